// How the page grows with the number of pictures: the built page (dist/) in a headless
// Chromium, on the CPU.
//
//   node benches/many_pictures.mjs [COUNT...] [--side 800] [--library] [--cores N]
//
// by default 100 1000 10000; --cores tells the worker how many there are: with 1 it decodes
// all by itself.
//
// Prints Markdown, a row for each number of pictures, each in a browser of its own. On the
// side "Classify":
//
// - adding: from the drop to the last answer; a picture's share of it; and the part that
//   the worker takes to prepare and encode a picture
// - one more label: from the key to the last answer, with what is in sight drawn
// - longest frame: between two frames, while pictures are added, while a label is, and
//   while the page is scrolled from end to end
// - memory: of the page's process, beside what it took with the model and no pictures
// - cards: how many are in the document at the end
//
// With --library, on the side "Library":
//
// - opening: from the click to the first progress; indexing: from there to the last
//   picture; a picture's share of it
// - search: from the key to the hits; sort: from the click to the groups; one more label
//   to sort by; duplicates
// - CPU: time of the processor that the page's process takes for opening and indexing
// - longest frame: while opening and indexing, and in all that follows
//
// Pictures are JPEG, `side` wide and three quarters of it high, no two alike, made by the
// page itself. Nothing is asserted but that every picture gets its answers.

import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import * as h from "../tests/browser/harness.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { side: { type: "string", default: "800" }, library: { type: "boolean", default: false }, cores: { type: "string" } },
});
const side = Number(options.side);
const counts = positionals.length ? positionals.map(Number) : [100, 1000, 10000];
if (!(side >= 8) || !counts.every((count) => Number.isInteger(count) && count > 0)) {
  console.error("node benches/many_pictures.mjs [COUNT...] [--side 800] [--library]");
  process.exit(2);
}
/** An hour: a page that is slow is to be measured, too. */
const PATIENCE = 3_600_000;
const LABELS = ["cat", "dog", "bird", "house", "tree", "car", "flower", "mountain"];

/** Runs in the page before anything of its own: notes what the worker says, and the frames. */
function watch() {
  const seen = { answered: new Map(), failed: [], prepared: 0, encoded: 0, encodeMs: 0, last: 0, question: 0 };
  const frames = { longest: 0, before: null };
  window.bench = { seen, frames };
  const hear = (message) => {
    if (typeof message !== "object" || message === null) return;
    const [kind, content] = Object.entries(message)[0] ?? [];
    if (kind === "ImageEncoded") {
      seen.encoded += 1;
      seen.encodeMs += content.preprocess_ms + content.encode_ms;
    } else if (kind === "Answers") {
      seen.question = content.question;
      for (const image of content.rankings.images) seen.answered.set(image, content.question);
      seen.last = performance.now();
    } else if (["OpenFailed", "ImageFailed", "QuestionFailed", "Died"].includes(kind)) {
      seen.failed.push(content.error.text ?? content.error);
    }
  };
  window.Worker = class extends Worker {
    constructor(...options) {
      super(...options);
      this.addEventListener("message", (event) => hear(event.data?.message));
    }
  };
  const draw = (now) => {
    if (frames.before !== null) frames.longest = Math.max(frames.longest, now - frames.before);
    frames.before = now;
    requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
}

/** In the page: makes the pictures, and keeps them in `bench.files`. */
async function make({ count, side }) {
  const canvas = new OffscreenCanvas(side, Math.round(side * 0.75));
  const context = canvas.getContext("2d");
  window.bench.files = [];
  // Large ones have the grain of photographs: smooth ones would be decoded too fast.
  const grain = new OffscreenCanvas(256, 256);
  const pixels = new ImageData(256, 256);
  for (let i = 0; i < pixels.data.length; i += 4) {
    pixels.data.fill((i * 7919 + ((i * i) >> 7)) % 251, i, i + 3);
    pixels.data[i + 3] = 40;
  }
  grain.getContext("2d").putImageData(pixels, 0, 0);
  for (let i = 0; i < count; i++) {
    for (let part = 0; part < 12; part++) {
      context.fillStyle = `hsl(${(i * 137 + part * 53) % 360} 60% ${20 + ((i * 7 + part * 11) % 60)}%)`;
      const [x, y] = [((i * 31 + part * 97) % 83) / 83, ((i * 17 + part * 41) % 71) / 71];
      context.fillRect(x * canvas.width, y * canvas.height, canvas.width / 3, canvas.height / 4);
    }
    if (side > 2000) {
      context.fillStyle = context.createPattern(grain, "repeat");
      context.fillRect(0, 0, canvas.width, canvas.height);
    }
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 });
    window.bench.files.push(new File([blob], `picture-${i}.jpg`, { type: "image/jpeg" }));
  }
}

/** In the page: drops what `make` made; returns when. */
async function add() {
  const transfer = new DataTransfer();
  for (const file of window.bench.files) transfer.items.add(file);
  window.bench.files = null;
  // That was no work of the page's.
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  window.bench.frames.longest = 0;
  const start = performance.now();
  document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer }));
  return start;
}

/** In the page: all pictures have an answer to one question, later than `after`; and nothing in sight is stale. */
function settled({ count, after }) {
  const { seen } = window.bench;
  if (seen.failed.length) return true;
  if (seen.question <= after) return false;
  let answered = 0;
  for (const question of seen.answered.values()) answered += question === seen.question;
  return answered >= count && !document.querySelector('[data-stale="true"]');
}

/** Waits until all is answered; the time of the page's clock when it was, and what was seen. */
async function until(page, count, after) {
  await page.waitForFunction(settled, { count, after }, { polling: 20, timeout: PATIENCE });
  return page.evaluate(async () => {
    // The last answers are drawn in the next frame.
    const drawn = await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const { seen, frames } = window.bench;
    if (seen.failed.length) throw new Error(`the page failed: ${seen.failed[0]}`);
    const { question, encoded, encodeMs } = seen;
    return { question, encoded, encodeMs, end: drawn, longest: frames.longest };
  });
}

/** Resident memory of the browser's page processes, in bytes, without garbage. */
async function memory(browser, page) {
  const heap = await page.context().newCDPSession(page);
  await heap.send("HeapProfiler.collectGarbage");
  await heap.detach();
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  let bytes = 0;
  for (const { type, id } of processInfo) {
    if (type !== "renderer") continue;
    const status = await readFile(`/proc/${id}/status`, "utf8").catch(() => "");
    bytes += 1024 * Number(status.match(/VmRSS:\s+(\d+)/)?.[1] ?? 0);
  }
  return bytes;
}

/** Seconds of the processor that the browser's page processes have taken. */
async function cpu(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  const pages = processInfo.filter(({ type }) => type === "renderer");
  return pages.reduce((sum, { cpuTime }) => sum + cpuTime, 0);
}

async function measure(server, count) {
  const browser = await h.launchBrowser({ webgpu: false });
  try {
    const { page, problems } = await h.openPage(browser, server.url, { prepare: (page) => page.addInitScript(watch) });
    page.setDefaultTimeout(PATIENCE);
    await h.waitReady(page);
    await h.setLabels(page, LABELS);
    await page.evaluate(make, { count, side });
    const empty = await memory(browser, page);

    const start = await page.evaluate(add);
    const added = await until(page, count, 0);

    const input = page.locator(h.hook("label-input"));
    await input.fill("bicycle");
    const labelled = await page.evaluate(() => {
      window.bench.frames.longest = 0;
      return performance.now();
    });
    await input.press("Enter");
    const more = await until(page, count, added.question);

    await page.evaluate(() => (window.bench.frames.longest = 0));
    const scrolled = await page.evaluate(async () => {
      const frame = () => new Promise(requestAnimationFrame);
      const height = () => document.documentElement.scrollHeight - innerHeight;
      for (let y = 0; y < height(); y += Math.max(innerHeight, height() / 200)) {
        scrollTo(0, y);
        await frame();
      }
      await frame();
      return window.bench.frames.longest;
    });
    const full = await memory(browser, page);
    const cards = await page.locator(h.hook("image-card")).count();
    for (const problem of problems) console.error(`page: ${problem}`);
    return {
      adding: added.end - start,
      work: added.encodeMs / added.encoded,
      addingFrame: added.longest,
      label: more.end - labelled,
      labelFrame: more.longest,
      scrolled,
      memory: full - empty,
      cards,
      version: browser.version(),
    };
  } finally {
    await browser.close();
  }
}

/** In the page: a folder of the pictures that `make` made, for whoever chooses one. */
function offerFolder() {
  const files = window.bench.files;
  window.bench.files = null;
  // A real folder's entries come from another process, each in a task of its own.
  const later = () => new Promise((done) => setTimeout(done));
  const values = async function* () {
    for (const [i, file] of files.entries()) {
      if (i % 50 === 0) await later();
      yield { kind: "file", name: file.name, getFile: async () => file };
    }
  };
  window.showDirectoryPicker = async () => ({ name: "Photos", kind: "directory", values });
}

/** Does something, and waits until `selector` is there (again); how long it took, and the longest frame. */
async function timed(page, act, selector) {
  await page.evaluate((selector) => {
    window.bench.frames.longest = 0;
    window.bench.frames.start = performance.now();
    for (const old of document.querySelectorAll(selector)) old.dataset.old = "";
  }, selector);
  await act();
  return page.evaluate(async (selector) => {
    const frame = () => new Promise(requestAnimationFrame);
    while (!document.querySelector(`${selector}:not([data-old])`)) await frame();
    await frame();
    const { start, longest } = window.bench.frames;
    return { ms: performance.now() - start, longest };
  }, selector);
}

async function measureLibrary(server, count) {
  const browser = await h.launchBrowser({ webgpu: false });
  try {
    const prepare = async (page) => {
      await page.addInitScript(watch);
      await page.addInitScript(() => (window.showDirectoryPicker = () => {}));
    };
    const { page, problems } = await h.openPage(browser, `${server.url}#library`, { prepare });
    page.setDefaultTimeout(PATIENCE);
    await h.waitReady(page);
    await page.evaluate(make, { count, side });
    const empty = await memory(browser, page);

    await page.evaluate(offerFolder);
    await page.evaluate(() => (window.bench.frames.longest = 0));
    const start = Date.now();
    const cpuBefore = await cpu(browser);
    await page.locator(h.hook("choose-folder")).click();
    await page.locator(h.hook("index-status")).filter({ hasText: /indexing|images/ }).waitFor();
    const opened = Date.now();
    await page.locator(h.hook("index-status")).filter({ hasText: `Photos: ${count} images` }).waitFor();
    const indexed = Date.now();
    const cpuSeconds = (await cpu(browser)) - cpuBefore;
    const indexingFrame = await page.evaluate(() => window.bench.frames.longest);

    const button = (name) => page.locator(h.hook(name));
    const search = await timed(page, () => button("search-input").fill("a red car"), h.hook("hit"));
    await button("task-sort").click();
    await button("sort-labels").fill("red, green");
    await timed(page, () => button("sort-images").click(), h.hook("sorted-image"));
    await button("sort-labels").fill(LABELS.join(", "));
    const sort = await timed(page, () => button("sort-images").click(), h.hook("sorted-image"));
    await button("sort-labels").fill([...LABELS, "bicycle"].join(", "));
    const label = await timed(page, () => button("sort-images").click(), h.hook("sorted-image"));
    await button("task-duplicates").click();
    const duplicates = await timed(page, () => button("find-duplicates").click(), h.hook("identical"));
    const full = await memory(browser, page);
    for (const problem of problems) console.error(`page: ${problem}`);
    return {
      cells: [
        count.toLocaleString("en"),
        time(opened - start),
        time(indexed - opened),
        time((indexed - opened) / count),
        `${cpuSeconds.toFixed(1)} s`,
        time(search.ms),
        time(sort.ms),
        time(label.ms),
        time(duplicates.ms),
        `${time(indexingFrame)}, ${time(Math.max(search.longest, sort.longest, label.longest, duplicates.longest))}`,
        `${Math.round((full - empty) / 2 ** 20)} MiB`,
      ],
      version: browser.version(),
    };
  } finally {
    await browser.close();
  }
}

const time = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`);

async function measureClassify(server, count) {
  const found = await measure(server, count);
  const frames = [found.addingFrame, found.labelFrame, found.scrolled];
  return {
    cells: [
      count.toLocaleString("en"),
      time(found.adding),
      time(found.adding / count),
      time(found.work),
      time(found.label),
      frames.map(time).join(", "),
      `${Math.round(found.memory / 2 ** 20)} MiB`,
      found.cards,
    ],
    version: found.version,
  };
}

const CLASSIFY = ["pictures", "adding", "a picture's share", "preparing + encoding it", "one more label", "longest frame: adding, label, scrolling", "memory", "cards"];
const LIBRARY = ["pictures", "opening", "indexing", "a picture's share", "CPU", "search", "sort", "one more label", "duplicates", "longest frame: indexing, after it", "memory"];

const cores = options.cores && `Object.defineProperty(navigator, "hardwareConcurrency", { value: ${Number(options.cores)} });`;
const server = await h.startServer({ prelude: cores });
try {
  const rows = [];
  let version;
  for (const count of counts) {
    const row = await (options.library ? measureLibrary : measureClassify)(server, count);
    version = row.version;
    rows.push(`| ${row.cells.join(" | ")} |`);
    console.error(rows.at(-1));
  }
  console.log(`Chromium ${version}, headless, on the CPU. Pictures of ${side} x ${Math.round(side * 0.75)}.\n`);
  const head = options.library ? LIBRARY : CLASSIFY;
  console.log(`| ${head.join(" | ")} |`);
  console.log(`|${" --: |".repeat(head.length)}`);
  console.log(rows.join("\n"));
} finally {
  server.stop();
  await h.cleanUp();
}
