// One visit of the soak test (soak.mjs): the page, what a visitor has put on it, and the check that it still shows
// just that. Texts are told by their keys in locales/*.ftl, so that the language does not matter.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import zlib from "node:zlib";
import * as h from "./harness.mjs";

const { hook } = h;

/** How long a page may take to be at rest: a busy machine, an emulated GPU. */
const PATIENCE = 2 * h.SLOW;
/** What may be said while the storage is full. */
export const FULL = [/storage|quota|space/i, /存储|空间/];
/** What a step explains may be said a little later. */
const LATER = 3;

// ---------------------------------------------------------------- chance

/** Numbers that look random and follow from the seeds. */
export class Random {
  constructor(...seeds) {
    this.state = seeds.reduce((state, seed) => Math.imul(state ^ (seed + 0x9e3779b9), 0x85ebca6b) >>> 0, 0x811c9dc5);
  }

  /** From 0 to 1 (mulberry32). */
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  below = (n) => Math.floor(this.next() * n);
  chance = (share) => this.next() < share;
  pick = (list) => list[this.below(list.length)];
}

/** A PNG of coloured rectangles. */
export function drawing(random, [width, height] = [32 + random.below(400), 32 + random.below(300)]) {
  const rows = Buffer.alloc(height * (1 + 3 * width));
  const colour = () => [random.below(256), random.below(256), random.below(256)];
  const fill = (left, top, right, bottom, rgb) => {
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) rows.set(rgb, y * (1 + 3 * width) + 1 + 3 * x);
  };
  fill(0, 0, width, height, colour());
  for (let part = 0; part < 6; part++) {
    const [left, top] = [random.below(width), random.below(height)];
    fill(left, top, Math.min(width, left + 8 + random.below(width)), Math.min(height, top + 8 + random.below(height)), colour());
  }
  const chunk = (type, data) => {
    const out = Buffer.alloc(12 + data.length);
    out.writeUInt32BE(data.length, 0);
    out.write(type, 4, "latin1");
    data.copy(out, 8);
    out.writeUInt32BE(h.crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
    return out;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const data = zlib.deflateSync(rows, { level: 1 });
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}

// ---------------------------------------------------------------- texts

/** Patterns of the page's texts, in every language, and of what the engine says in English: [key, pattern]. */
const TEXTS = ["en", "zh"].flatMap((language) => {
  const text = readFileSync(join(h.ROOT, `locales/${language}.ftl`), "utf8");
  return [...text.matchAll(/^([a-z][\w-]*) = (.*(?:\n[ \t}].*)*)/gm)].map(([, key, value]) => [key, pattern(value)]);
});
const sources = join(h.ROOT, "src");
for (const file of readdirSync(sources, { recursive: true }).filter((name) => name.endsWith(".rs"))) {
  const source = readFileSync(join(sources, file), "utf8");
  for (const [, code, text] of source.matchAll(/diagnostic!\(\s*"([a-z0-9-]+)",\s*"((?:[^"\\]|\\.)*)"/g)) {
    const value = text.replace(/\{(\w+)\}/g, "{ $$$1 }").replaceAll('\\"', '"');
    TEXTS.push([`diagnostic-${code}`, pattern(value)]);
  }
}

/** Pattern of a text with placeables; of a selection it takes any variant. */
function pattern(value) {
  const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const plain = (text) =>
    text
      .split(/(\{\s*"[^"]*"\s*\}|\{[^{}]*\})/)
      .map((part) => {
        const quoted = part.match(/^\{\s*"([^"]*)"\s*\}$/);
        return quoted ? escape(quoted[1]) : part.startsWith("{") ? "(?:.+)" : escape(part);
      })
      .join("");
  const selections = value.replace(/\{ \$\w+ ->([^]*?)\n\}/g, (_, variants) => {
    const texts = [...variants.matchAll(/^\s*\*?\[\w+\] (.*)$/gm)].map(([, text]) => text);
    return `\u0001${texts.join("\u0002")}\u0003`;
  });
  const source = plain(selections).replaceAll("\u0001", "(?:").replaceAll("\u0002", "|").replaceAll("\u0003", ")");
  // The page may begin with a capital and end with a full stop where the engine did not.
  return new RegExp(`^${source.replace(/\s*\n\s*/g, "\\s*")}[.。]?$`, "is");
}

const VAGUE = /^(error-in-english|quoted|error|foreign-share-and-range|foreign-percent|foreign-report-of-the-class)$/;

/** Keys of the texts that this may be one of. */
export const keysOf = (text) => TEXTS.filter(([key, pattern]) => !VAGUE.test(key) && pattern.test(text)).map(([key]) => key);

// ---------------------------------------------------------------- the page

/** In the page, before its own program: takes note of what is said, of every loading, and of the programs' memory. */
function watch(messages, state) {
  const soak = (window.soak = { said: [], loads: 0, memory: null, workers: [] });
  let shown = new Set();
  let before;
  const look = () => {
    const now = new Set();
    for (const element of document.querySelectorAll(messages)) {
      const text = element.textContent.trim();
      // A card's own errors are looked at with the card; the page's last words are there from the beginning.
      const other = element.closest('[data-testid="image-card"], #breakdown[hidden]');
      if (text && !other) now.add(text);
    }
    for (const text of now) if (!shown.has(text)) soak.said.push(text);
    shown = now;
    const current = document.querySelector(state)?.dataset.state;
    if (current === "loading" && before !== "loading") soak.loads++;
    before = current;
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const native = WebAssembly[name];
    WebAssembly[name] = async (...args) => {
      const made = await native.apply(WebAssembly, args);
      soak.memory = (made.instance ?? made).exports.memory;
      return made;
    };
  }
  const Native = Worker;
  window.Worker = class extends Native {
    constructor(...options) {
      super(...options);
      soak.workers.push(new WeakRef(this));
    }
  };
}

/** In the page: what there is to see. */
function see(selector) {
  const all = (name, within = document) => [...within.querySelectorAll(selector.replace("NAME", name))];
  const one = (name) => all(name)[0];
  const visible = (element) => !!element?.checkVisibility();
  return {
    state: one("worker-state")?.dataset.state,
    status: one("status")?.textContent,
    resume: visible(one("resume")),
    cards: all("image-card").map((card) => ({
      name: card.dataset.name,
      state: card.dataset.state,
      error: all("error", card)[0]?.textContent.trim() ?? "",
      retry: !!card.querySelector(".card-error button"),
      stale: all("ranking", card)[0]?.dataset.stale,
      rows: all("ranking-row", card).map((row) => [row.dataset.label, Number(row.dataset.probability)]),
      text: card.querySelector(".card-status")?.textContent ?? "",
    })),
    labels: all("label-chip").map((chip) => chip.dataset.label),
    templates: all("template-custom").map((input) => input.value),
    presets: [...document.querySelectorAll("input[data-template]")].filter((box) => box.checked).map((box) => box.dataset.template),
    inUse: one("in-use")?.querySelector(".help").textContent.split(", ") ?? null,
    classes: all("class-card").map((card) => [card.dataset.name, Number(all("class-count", card)[0].textContent)]),
    refusal: one("train-refusal")?.textContent ?? "",
    run: one("train-run")?.dataset.state,
    interrupted: !!one("interrupted"),
    trained: !!one("trained"),
  };
}

/** What went wrong; ends the visit. */
export class Broken extends Error {}

export class Visit {
  constructor(browser, url) {
    Object.assign(this, { browser, url, problems: [], explained: [], step: 0, batch: 0, numbers: 0, missed: 0 });
    /** Bytes of the pictures, by name. */
    this.files = new Map();
    /** What is there to be seen. Pictures in the order of the page. */
    this.pictures = [];
    this.labels = [];
    this.templates = [];
    /** Of the training side: [name, count]. */
    this.classes = [];
    this.model = null;
    /** A LoRA that rests: "paused" or, after a reload, "interrupted"; "stranded" where its model is gone. */
    this.run = null;
    this.trained = false;
    /** Whether the page has been asked what an earlier visit left to train with. */
    this.atTraining = false;
    this.int8 = false;
    this.full = false;
    this.wasFrozen = false;
    /** Top-1 accuracy by model and templates. */
    this.accuracy = new Map();
  }

  async open(settings = {}) {
    this.context = await this.browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, locale: "en-US" });
    await this.context.addInitScript(watch.toString().replace(/^/, "(") + `)('.notice p, .failure p, [role="alert"]', '${hook("worker-state")}')`);
    await this.context.addInitScript((settings) => {
      if (location.protocol === "about:") return;
      for (const [key, value] of Object.entries(settings)) localStorage.setItem(key, value);
    }, settings);
    await this.newPage();
  }

  /** Opens the page in a fresh tab. Pictures are not kept from visit to visit. */
  async newPage() {
    const page = (this.page = await this.context.newPage());
    page.setDefaultTimeout(h.SLOW);
    this.cdp = await this.context.newCDPSession(page);
    page.on("console", (message) => {
      if (message.type() === "error") this.problems.push(`console: ${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => this.problems.push(`thrown: ${error.stack ?? error}`));
    page.on("crash", () => this.problems.push("the page crashed"));
    page.on("dialog", (dialog) => dialog.accept());
    await page.goto(this.url);
    await page.locator(hook("label-input")).waitFor({ state: "attached" });
  }

  at = (name) => this.page.locator(hook(name));

  async tab(name) {
    const tab = this.at(`tab-${name}`);
    if ((await tab.getAttribute("aria-selected")) !== "true") await tab.click();
    this.atTraining ||= name === "train";
  }

  async unfold(selector) {
    const details = this.page.locator(selector);
    if (!(await details.evaluate((details) => details.open))) await details.locator("summary").first().click();
  }

  see = () => this.page.evaluate(see, hook("NAME"));

  /** Waits for something to become true. */
  async until(what, test, patience = PATIENCE) {
    const end = Date.now() + patience;
    for (;;) {
      const found = await test();
      if (found) return found;
      if (Date.now() > end) throw new Broken(`waited ${patience / 1000} s for: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }

  /** Does what makes the worker start anew, and waits until it has begun to. */
  async reloading(act) {
    const loads = () => this.page.evaluate(() => window.soak.loads);
    const before = await loads();
    await act();
    // A worker that crashes twice within a minute is not started again.
    const begun = async () => (await loads()) > before || (await this.see()).state === "failed";
    await this.until("the model to be loaded anew", begun);
  }

  // ---------------------------------------------------------------- what the visitor has

  /** Puts pictures on the page, all at once. `broken`: such as cannot be read. */
  async add(files, broken = false) {
    await this.tab("classify");
    const names = files.map(({ name }) => name);
    this.batch++;
    for (const { name, bytes } of files) this.files.set(name, bytes);
    this.pictures.unshift(...names.map((name, index) => ({ name, broken, order: [-this.batch, index] })));
    await h.drop(this.page, files);
  }

  restore(pictures) {
    this.pictures.push(...pictures);
    this.pictures.sort((a, b) => a.order[0] - b.order[0] || a.order[1] - b.order[1]);
  }

  /** Takes a picture away. Between press and release another card may grow; then that was no click, and one clicks again. */
  async remove({ name }) {
    const card = h.card(this.page, name);
    const gone = () => card.waitFor({ state: "detached", timeout: 5000 });
    await card.locator(hook("image-remove")).click();
    await gone().catch(async () => {
      if (!(await card.count())) return;
      this.missed++;
      await card.locator(hook("image-remove")).click();
      await gone();
    });
  }

  /** Takes back what was removed last. */
  undo = () => this.at("undo").last().locator(hook("undo-button")).click();

  /** What a visitor who comes back finds. */
  cameBack() {
    this.pictures = [];
    this.atTraining = false;
    if (this.run === "paused") this.run = "interrupted";
    if (this.model?.files) {
      // The bundled model takes its place.
      if (this.run) this.run = "stranded";
      Object.assign(this, { model: null, trained: false });
    }
  }

  /** Explains texts by their keys, and console messages, from this step on. */
  explain(...patterns) {
    this.explained.push({ step: this.step, patterns });
  }

  isExplained(text) {
    if (this.full && FULL.some((pattern) => pattern.test(text))) return true;
    const patterns = this.explained.filter(({ step }) => step >= this.step - LATER).flatMap(({ patterns }) => patterns);
    const names = [...keysOf(text), `text: ${text}`];
    return patterns.some((pattern) => names.some((name) => pattern.test(name)));
  }

  // ---------------------------------------------------------------- checks

  /** What is not as it should be, in words. */
  wrong(seen) {
    const wrong = [];
    if (seen.state !== "ready") wrong.push(`the worker is ${seen.state}: ${seen.status}`);
    const names = (list) => list.map(({ name }) => name).join(", ");
    if (names(seen.cards) !== names(this.pictures)) wrong.push(`pictures ${names(this.pictures)} expected, but there are ${names(seen.cards)}`);
    const asked = seen.inUse ?? seen.labels;
    if (!seen.inUse && seen.labels.join() !== this.labels.join()) wrong.push(`labels ${this.labels} expected, but there are ${seen.labels}`);
    if (!seen.inUse && !this.templates.every((text) => seen.templates.includes(text))) wrong.push(`templates ${this.templates} expected, but there are ${seen.templates}`);
    for (const { name, state, error, stale, rows, text } of seen.cards) {
      const picture = this.pictures.find((picture) => picture.name === name);
      if (picture?.broken) {
        if (state !== "failed" || !error) wrong.push(`${name}: no error, but ${state}`);
        continue;
      }
      if (state !== "encoded") wrong.push(`${name}: ${state} ${error}`);
      else if (!asked.length && rows.length) wrong.push(`${name}: answers without labels`);
      else if (asked.length) {
        const shown = asked.length > 8 ? 5 : asked.length;
        const known = rows.every(([label]) => asked.includes(label));
        if (stale !== "false" || rows.length !== shown || !known) wrong.push(`${name}: ${text || `${rows.length} of ${shown} answers`}`);
        if (rows.some(([, probability]) => !(probability >= 0 && probability <= 1))) wrong.push(`${name}: ${rows}`);
      }
    }
    if (this.atTraining && JSON.stringify(seen.classes) !== JSON.stringify(this.classes)) {
      wrong.push(`classes ${JSON.stringify(this.classes)} expected, but there are ${JSON.stringify(seen.classes)}`);
    }
    // The page says that it is not done with them; who leaves now may find fewer.
    if (this.atTraining && keysOf(seen.refusal).includes("images-being-read")) wrong.push(seen.refusal);
    const run = { paused: "paused" }[this.run] ?? "idle";
    if (this.atTraining && seen.run !== run) wrong.push(`the training is ${seen.run}, not ${run}`);
    if (this.atTraining && ["interrupted", "stranded"].includes(this.run) && !seen.interrupted) wrong.push("no training can be resumed");
    return wrong;
  }

  /** Waits until the page is at rest and as it should be; does what it asks the visitor to do. */
  async settle() {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const seen = await this.see();
      const wrong = this.wrong(seen);
      if (!wrong.length) return seen;
      if (Date.now() > end) throw new Broken(wrong.join("; "));
      await this.help(seen);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }

  async help(seen) {
    if (seen.state === "failed" || seen.state === "stopped") {
      const text = seen.state === "failed" ? await this.page.locator(`.engine ${hook("error")}`).first().textContent() : "";
      if (text && !this.isExplained(text.trim())) throw new Broken(`the worker failed: ${text}`);
      await this.page.locator(`.engine ${hook("try-again")}`).first().click({ timeout: 5000 }).catch(() => {});
      return;
    }
    if (seen.resume) await this.at("resume").click({ timeout: 5000 }).catch(() => {});
    for (const { name, state, error, retry } of seen.cards) {
      const picture = this.pictures.find((picture) => picture.name === name);
      if (state !== "failed" || !picture || picture.broken) continue;
      if (!this.isExplained(error)) throw new Broken(`${name}: ${error}`);
      if (!retry) throw new Broken(`${name}: ${error}; and no other try is offered`);
      await this.tab("classify");
      await h.card(this.page, name).locator(".card-error button").click({ timeout: 5000 }).catch(() => {});
    }
  }

  /** What was said, and thrown, that nothing explains. */
  async unexplained() {
    const said = await this.page.evaluate(() => window.soak.said.splice(0));
    const found = said.filter((text) => !this.isExplained(text)).map((text) => `said “${text}” (${keysOf(text)})`);
    return [...found, ...this.problems.splice(0).filter((problem) => !this.isExplained(problem))];
  }

  /** Rankings of all pictures: { name: { label: probability } }. */
  async answers() {
    const { cards } = await this.settle();
    return Object.fromEntries(cards.map(({ name, rows }) => [name, Object.fromEntries(rows)]));
  }

  /** Bytes after a collection of garbage, and counts of the document. */
  async memory() {
    await this.cdp.send("HeapProfiler.enable");
    for (let i = 0; i < 2; i++) await this.cdp.send("HeapProfiler.collectGarbage");
    const { usedSize } = await this.cdp.send("Runtime.getHeapUsage");
    const { nodes, jsEventListeners } = await this.cdp.send("Memory.getDOMCounters");
    await this.cdp.send("HeapProfiler.disable");
    const program = await this.page.evaluate(() => window.soak.memory?.buffer.byteLength ?? 0);
    let worker = 0;
    for (const one of this.page.workers()) {
      // A further thread sleeps within its program and answers nothing; another may end while it is asked.
      if (one.url().includes("compute-worker")) continue;
      const bytes = one.evaluate(() => self.measured?.buffer.byteLength ?? 0).catch(() => 0);
      worker += await Promise.race([bytes, new Promise((resolve) => setTimeout(resolve, 10_000, 0))]);
    }
    return { heap: usedSize, program, worker, renderers: await renderers(this.browser), nodes, listeners: jsEventListeners };
  }

  close = () => this.context.close();
}

async function processes(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  return processInfo;
}

/** Resident bytes of the processes that show pages; 0 where the system does not tell. */
async function renderers(browser) {
  let bytes = 0;
  for (const { type, id } of await processes(browser)) {
    if (type !== "renderer") continue;
    try {
      bytes += 1024 * Number(readFileSync(`/proc/${id}/status`, "utf8").match(/VmRSS:\s+(\d+)/)?.[1] ?? 0);
    } catch {
      // It has ended, or this is no Linux.
    }
  }
  return bytes;
}

/** Seconds of the processor that the browser's present processes have taken. */
export const cpuSeconds = async (browser) => (await processes(browser)).reduce((sum, { cpuTime }) => sum + cpuTime, 0);
