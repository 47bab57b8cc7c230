// How long a visitor waits: the built page (dist/) in a headless Chromium.
//
//   node benches/page.mjs cpu      a browser without WebGPU
//   node benches/page.mjs webgpu   WebGPU, imitated on the CPU by SwiftShader
//
// Prints Markdown; scripts/bench puts it into benches/README.md. Nothing is asserted
// but that the page works, and on the device that was meant.

import * as h from "../tests/browser/harness.mjs";

const mode = process.argv[2];
if (!["cpu", "webgpu"].includes(mode) || process.argv.length > 3) {
  console.error("node benches/page.mjs cpu|webgpu");
  process.exit(2);
}
const webgpu = mode === "webgpu";

/** Visits for each time from navigation; every one with a browser that has seen nothing yet. */
const VISITS = 3;
/** An imitated GPU compiles its kernels for minutes on a busy machine. */
const PATIENCE = 10 * h.SLOW;

/**
 * Runs in the page before anything of its own: notes what happens when, so that what
 * is measured does not depend on how often this script looks. Times count from navigation.
 */
function watch({ state, sample, row, click }) {
  const seen = { device: null, pictures: [], error: null, ready: null, clicked: null, answered: null };
  window.bench = seen;

  const hear = (message) => {
    if (typeof message !== "object" || message === null) return;
    const [kind, content] = Object.entries(message)[0] ?? [];
    if (kind === "Ready") seen.device = content.device;
    if (kind === "ImageEncoded") seen.pictures.push(content);
    if (["OpenFailed", "ImageFailed", "QuestionFailed", "Died"].includes(kind)) seen.error ??= content.error.text ?? content.error;
  };
  window.Worker = class extends Worker {
    constructor(...options) {
      super(...options);
      this.addEventListener("message", (event) => hear(event.data?.message));
      this.addEventListener("error", (event) => (seen.error ??= event.message || "the worker did not start"));
    }
  };

  const look = () => {
    const now = performance.now();
    if (document.querySelector(`${state}[data-state="ready"]`)) seen.ready ??= now;
    if (document.querySelector(row)) seen.answered ??= now;
    const picture = click && seen.clicked === null && document.querySelector(sample);
    if (picture) {
      seen.clicked = now;
      picture.click();
    }
  };
  new MutationObserver(look).observe(document, {
    attributes: true,
    attributeFilter: ["data-state"],
    childList: true,
    subtree: true,
  });
}

/** A visitor with a fresh browser; with `click`, one who clicks a sample picture as soon as there is one. */
async function visit(server, click, act) {
  const browser = await h.launchBrowser({ webgpu });
  try {
    const hooks = { state: h.hook("worker-state"), sample: h.hook("sample"), row: h.hook("ranking-row"), click };
    const prepare = (page) => page.addInitScript(watch, hooks);
    const { page, problems } = await h.openPage(browser, server.url, { prepare });
    const result = await act(page);
    for (const problem of problems) console.error(`page: ${problem}`);
    return { ...result, browser: browser.version() };
  } finally {
    await browser.close();
  }
}

/** Waits until the page has seen something, and returns all that it has seen. */
async function until(page, what, count = 1) {
  const done = ({ what, count }) => {
    const { [what]: value, error } = window.bench;
    return error !== null || (Array.isArray(value) ? value.length >= count : value !== null);
  };
  await page.waitForFunction(done, { what, count }, { polling: 100, timeout: PATIENCE });
  const seen = await page.evaluate(() => window.bench);
  if (seen.error !== null) throw new Error(`the page failed: ${seen.error}`);
  if (seen.device && seen.device.gpu !== webgpu) {
    throw new Error(`it computes on ${seen.device.name}, not on what was to be measured (${seen.device.reason.text ?? seen.device.reason})`);
  }
  return seen;
}

/** Ready, then every sample picture, one after the other. */
async function readyThenAll(page) {
  const { ready, device } = await until(page, "ready");
  const samples = page.locator(h.hook("sample"));
  await samples.first().waitFor();
  const count = await samples.count();
  let pictures = [];
  for (let i = 0; i < count; i++) {
    await samples.nth(i).click();
    ({ pictures } = await until(page, "pictures", i + 1));
  }
  return { ready, device, pictures };
}

const onlyReady = async (page) => ({ ready: (await until(page, "ready")).ready });
const firstAnswer = async (page) => ({ answered: (await until(page, "answered")).answered });

// ---------------------------------------------------------------- figures

function row(what, times, unit) {
  const sorted = [...times].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  const [a, b, c] = [median, sorted[0], sorted.at(-1)].map(duration);
  console.log(`| ${what} | ${a} | ${b} | ${c} | ${sorted.length} ${unit} |`);
}

function duration(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;
}

const server = await h.startServer();
try {
  const first = await visit(server, false, readyThenAll);
  const ready = [first.ready];
  while (ready.length < VISITS) ready.push((await visit(server, false, onlyReady)).ready);
  const answered = [];
  while (answered.length < VISITS) answered.push((await visit(server, true, firstAnswer)).answered);

  console.log(`Chromium ${first.browser}, headless. Device: ${first.device.name}.`);
  if (webgpu) console.log("**This is no GPU**: SwiftShader, a program on the CPU, imitates one.");
  console.log("\n| | median | fastest | slowest | of |\n| --- | --: | --: | --: | --: |");
  row("navigation to ready", ready, "visits");
  row("navigation to the first answer", answered, "visits");
  row("decode and prepare a picture", first.pictures.map((picture) => picture.preprocess_ms), "pictures");
  row("encode a picture", first.pictures.map((picture) => picture.encode_ms), "pictures");
} finally {
  server.stop();
}
