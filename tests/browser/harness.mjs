// What the browser tests share: the server, a real Chromium with or without WebGPU,
// and the few gestures of a visitor. Knows the page by its data-testid hooks only.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { chromium } from "playwright-core";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const FIXTURES = join(ROOT, "tests/fixtures");
export const WEBGPU = process.env.CLIP_WEBGPU !== "0";
export const MODE = WEBGPU ? "WebGPU" : "no WebGPU";

// The GPU of these tests is emulated on the CPU, and the CPU may be busy.
export const SLOW = 180_000;

// ---------------------------------------------------------------- server

/**
 * Serves dist/, or another folder, on a free port; resolves to { url, stop }. With
 * `prelude`, a copy of dist/ whose worker runs that code before its own.
 */
export async function startServer({ prelude, folder } = {}) {
  const root = folder ?? (prelude ? await changedPage(prelude) : join(ROOT, "dist"));
  return serve([join(ROOT, "scripts/serve.py"), "--port", "0", root]);
}

/** Server and browser of a test file that calls `useBrowser`. */
export let server, browser;

/** Starts the server and a browser before the tests of a file, unless they are skipped, and ends both after them. */
export function useBrowser({ skip, ...options } = {}) {
  if (skip) return;
  before(async () => {
    server = await startServer();
    browser = await launchBrowser(options);
  });
  after(async () => {
    await browser?.close();
    server?.stop();
    await cleanUp();
  });
}

/** Serves dist/, or another folder, as a host would that knows nothing of it. */
export async function startPlainServer(folder = join(ROOT, "dist")) {
  const command = ["-um", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder];
  return serve(command, "ignore"); // where it writes every request
}

async function serve(command, errors = "inherit") {
  const child = spawn("python3", command, { stdio: ["ignore", "pipe", errors] });
  const url = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (data) => {
      text += data;
      const found = text.match(/http:\/\/[^\s)]+/);
      if (found) resolve(found[0]);
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`python3 ${command.join(" ")} ended with ${code}`)));
  });
  return { url, stop: () => child.kill() };
}

async function changedPage(prelude) {
  const folder = await mkdtemp(join(tmpdir(), "clip-page-"));
  temporary.push(folder);
  await cp(join(ROOT, "dist"), folder, { recursive: true });
  const loader = join(folder, "worker-loader.js");
  for (const ending of [".br", ".gz"]) await rm(loader + ending, { force: true });
  await writeFile(loader, `${prelude}\n${await readFile(loader, "utf8")}`);
  return folder;
}

// ---------------------------------------------------------------- browser

function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]) {
    for (const folder of (process.env.PATH ?? "").split(delimiter)) {
      if (folder && existsSync(join(folder, name))) return join(folder, name);
    }
  }
  throw new Error("no Chromium found: run scripts/setup test, or name one in CHROMIUM=/path/to/chrome");
}

/** A fresh Chromium with a profile of its own. Without the flags its requestAdapter() finds nothing. */
export function launchBrowser({ webgpu = WEBGPU, flags = [] } = {}) {
  const gpu = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"];
  return chromium.launch({
    executablePath: findChromium(),
    args: ["--no-sandbox", "--no-first-run", ...quiet, ...(webgpu ? gpu : []), ...flags],
  });
}

/**
 * Opens the page in a context of its own (no storage shared with other tests).
 * `problems` collects what the console calls an error and what was thrown unseen.
 */
export async function openPage(browser, url, { prepare, ...options } = {}) {
  // A service worker's requests are out of the tests' reach: only its own test has one.
  const usual = { viewport: { width: 1280, height: 900 }, serviceWorkers: "block" };
  const context = await browser.newContext({ ...usual, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(SLOW);
  const problems = [];
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => problems.push(`thrown: ${error.stack ?? error}`));
  page.on("crash", () => problems.push("the page crashed"));
  // A visitor who is asked whether to leave, leaves.
  page.on("dialog", (dialog) => (dialog.type() === "beforeunload" ? dialog.accept() : dialog.dismiss()));
  await prepare?.(page);
  await page.goto(url);
  return { page, problems, close: () => context.close() };
}

// ---------------------------------------------------------------- gestures

export const hook = (name) => `[data-testid="${name}"]`;

export async function waitForState(page, state, timeout = SLOW) {
  await page.locator(`${hook("worker-state")}[data-state="${state}"]`).waitFor({ state: "attached", timeout });
}
export const waitReady = (page) => waitForState(page, "ready");

/** Drops files on the document as a file manager would. `files`: paths or { name, bytes, type }. */
export async function drop(page, files) {
  const loaded = await Promise.all(
    files.map(async (file) => {
      const { name, bytes, type } =
        typeof file === "string" ? { name: file.split("/").at(-1), bytes: await readFile(file) } : file;
      return { name, type: type ?? mime(name), base64: Buffer.from(bytes).toString("base64") };
    }),
  );
  await page.evaluate(async (files) => {
    const transfer = new DataTransfer();
    for (const { name, type, base64 } of files) {
      const bytes = await (await fetch(`data:application/octet-stream;base64,${base64}`)).arrayBuffer();
      transfer.items.add(new File([bytes], name, { type }));
    }
    const target = document.body;
    const fire = (kind) =>
      target.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
    fire("dragenter");
    // A page that does not take over "dragover" would never get the drop. The program that does starts
    // after the page has loaded.
    const end = performance.now() + 30_000;
    while (fire("dragover")) {
      if (performance.now() > end) throw new Error("the page does not accept drops: dragover was not prevented");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    fire("drop");
  }, loaded);
}

function mime(name) {
  const types = { png: "image/png", jpg: "image/jpeg", webp: "image/webp", gif: "image/gif", bmp: "image/bmp" };
  return types[name.split(".").at(-1)] ?? "";
}

export async function addLabels(page, labels) {
  const input = page.locator(hook("label-input"));
  for (const label of labels) {
    await input.fill(label);
    await input.press("Enter");
  }
}

/** Takes away every label chip. */
export async function clearLabels(page) {
  await page.locator(hook("label-input")).waitFor();
  if (await page.locator(hook("label-chip")).count()) await page.locator(hook("labels-clear")).click();
  await page.waitForFunction((q) => !document.querySelector(q), hook("label-chip"));
}

export async function setLabels(page, labels) {
  await clearLabels(page);
  await addLabels(page, labels);
}

/** Takes away every picture, and with it what work waits for them. */
export async function clearPictures(page) {
  if (await page.locator(hook("image-card")).count()) await page.locator(hook("images-clear")).click();
  await page.waitForFunction((q) => !document.querySelector(q), hook("image-card"));
}

export const card = (page, name) => page.locator(`${hook("image-card")}[data-name="${name}"]`).last();

/** A card's ranking, once it is about exactly these labels: [{ label, probability, similarity }]. */
export async function ranking(page, name, labels, timeout = SLOW) {
  const rows = card(page, name).locator(`${hook("ranking")}:not([data-stale="true"]) ${hook("ranking-row")}`);
  const wanted = JSON.stringify([...labels].sort());
  const end = Date.now() + timeout;
  for (;;) {
    const found = await rows.evaluateAll((all) =>
      all.map((row) => ({
        label: row.dataset.label,
        probability: Number(row.dataset.probability),
        similarity: Number(row.dataset.similarity),
      })),
    );
    if (JSON.stringify(found.map((row) => row.label).sort()) === wanted) return found;
    if (Date.now() > end) {
      const text = await card(page, name).innerText({ timeout: 1000 }).catch(() => "(no such card)");
      const state = await page.locator(hook("worker-state")).innerText({ timeout: 1000 }).catch(() => "(no state)");
      assert.fail(`no ranking of ${wanted} for ${name} after ${timeout} ms; its card: ${text}; the page: ${state}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Prompt templates that are in use on the page. */
export async function templates(page) {
  const own = await page.locator(hook("template-custom")).count();
  assert.equal(own, 0, "no test has templates of its own");
  return page.locator("input[data-template]").evaluateAll((boxes) =>
    boxes.filter((box) => box.checked).map((box) => box.dataset.template),
  );
}

/** Picks a device and waits until the model runs there. */
export async function chooseDevice(page, choice, words) {
  await page.locator(hook("device-select")).selectOption(choice);
  await page.locator(hook("device-name")).filter({ hasText: words }).waitFor();
  await waitReady(page);
}

/** Bytes of the indexes of folders that the page keeps. */
export const indexBytes = (page) =>
  page.evaluate(async () => {
    const library = await (await navigator.storage.getDirectory()).getDirectoryHandle("library").catch(() => null);
    let bytes = 0;
    for await (const entry of library?.values() ?? []) bytes += (await entry.getFile?.().catch(() => null))?.size ?? 0;
    return bytes;
  });

// ---------------------------------------------------------------- sabotage

/** Code that runs in the worker before its own, and breaks it when told to. */
export const SABOTEUR = `
  const ask = globalThis.GPUAdapter?.prototype.requestDevice;
  if (ask) GPUAdapter.prototype.requestDevice = async function (...args) {
    return (globalThis.lastDevice = await ask.apply(this, args));
  };
  // A trap in the middle of wasm code cannot be ordered from outside; an import
  // that throws what a trap throws, through the same frames, can.
  let trap = false;
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const native = WebAssembly[name];
    WebAssembly[name] = (source, imports) => {
      for (const module of Object.values(imports ?? {})) {
        for (const [key, call] of Object.entries(module)) {
          if (typeof call !== "function") continue;
          module[key] = (...args) => {
            if (trap) throw new WebAssembly.RuntimeError("unreachable");
            return call(...args);
          };
        }
      }
      return native.call(WebAssembly, source, imports);
    };
  }
  // What a compute worker whose program has ended leaves behind: its mark among the signals.
  let signals;
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...more) {
    if (message?.[0] instanceof SharedArrayBuffer) signals = new Int32Array(message[0]);
    return post.call(this, message, ...more);
  };
  addEventListener("message", (event) => {
    if (!["trap", "reject", "lose the GPU", "lose a compute worker"].includes(event.data)) return;
    event.stopImmediatePropagation();
    if (event.data === "trap") trap = true;
    // What becomes of a trap in asynchronous code that nobody waits for.
    else if (event.data === "reject") Promise.reject(new WebAssembly.RuntimeError("unreachable"));
    else if (event.data === "lose a compute worker") signals[3] = 1;
    else lastDevice.destroy();
  });`;

/** For `prepare`: a page whose workers can be broken by `order`. */
export async function sabotage(page) {
  await page.addInitScript(() => {
    const workers = (window.workers = []);
    const Native = Worker;
    window.Worker = class extends Native {
      constructor(address, options) {
        const marked = new URL(address, document.baseURI);
        if (marked.protocol.startsWith("http")) marked.searchParams.set("sabotaged", "1");
        super(marked, options);
        workers.push(this);
      }
    };
  });
  await page.route(/[?&]sabotaged=1/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: SABOTEUR + (await response.text()) });
  });
}

/** Breaks the page's worker: "trap", "reject", "lose the GPU" or "lose a compute worker". */
export const order = (page, what) => page.evaluate((what) => window.workers.at(-1).postMessage(what), what);

// ---------------------------------------------------------------- the native answer

export const CLIP = process.env.CLIP_BIN ?? join(process.env.CLIP_CACHE ?? `${process.env.HOME}/.cache/clip`, "target/release/clip");

/** What the native command says, on the CPU: per picture, its ranking. */
export async function nativeAnswer(images, labels, prompts, model) {
  const templates = prompts.flatMap((prompt) => ["--template", prompt]);
  const other = model ? ["--model", model] : [];
  const { stdout } = await promisify(execFile)(
    CLIP,
    ["classify", "--device", "cpu", "--images", ...images, "--labels", labels.join(","), ...templates, ...other, "--json"],
    { cwd: ROOT, maxBuffer: 1 << 26 },
  );
  return JSON.parse(stdout).images.map((image) => image.labels);
}

/** The same label has the same probability in both, to `tolerance`. */
export function assertClose(actual, expected, tolerance, what) {
  assert.equal(actual.length, expected.length, `${what}: number of labels`);
  for (const { label, probability } of expected) {
    const found = actual.find((row) => row.label === label);
    assert.ok(found, `${what}: no row for "${label}"`);
    const off = Math.abs(found.probability - probability);
    assert.ok(off <= tolerance, `${what}: "${label}" is ${found.probability} and should be ${probability} (off by ${off})`);
  }
}

// ---------------------------------------------------------------- memory

/** Prelude of a server: keeps hold of the worker's memory. */
export const WATCH_MEMORY = `
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const native = WebAssembly[name];
    WebAssembly[name] = async (...args) => {
      const made = await native.apply(WebAssembly, args);
      self.measured = (made.instance ?? made).exports.memory;
      return made;
    };
  }
`;

/** Bytes of the worker's WebAssembly, which only ever grow; behind a server with {@link WATCH_MEMORY}. */
export const wasmMemory = (page) => page.workers()[0].evaluate(() => self.measured.buffer.byteLength);

// ---------------------------------------------------------------- material

/** A PNG of one colour, of any size, without holding its pixels in memory. */
export async function plainPng(width, height, [red, green, blue]) {
  const chunk = (type, data) => {
    const out = Buffer.alloc(12 + data.length);
    out.writeUInt32BE(data.length, 0);
    out.write(type, 4, "latin1");
    data.copy(out, 8);
    out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
    return out;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8); // 8 bits, RGB
  const row = Buffer.alloc(1 + 3 * width);
  for (let x = 0; x < width; x++) row.set([red, green, blue], 1 + 3 * x);
  const deflate = zlib.createDeflate({ level: 1 });
  const parts = [];
  const done = new Promise((resolve, reject) => deflate.on("data", (part) => parts.push(part)).on("end", resolve).on("error", reject));
  for (let y = 0; y < height; y++) {
    if (!deflate.write(row)) await new Promise((resolve) => deflate.once("drain", resolve));
  }
  deflate.end();
  await done;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", Buffer.concat(parts)), chunk("IEND", Buffer.alloc(0))]);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});
export function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Bytes that look random and are the same in every run. */
export function noise(length) {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** Writes bytes to a file for the native command; removed by `cleanUp`. */
const temporary = [];
export async function writeTemporary(name, bytes) {
  const folder = await mkdtemp(join(tmpdir(), "clip-test-"));
  temporary.push(folder);
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}
export async function cleanUp() {
  for (const folder of temporary.splice(0)) await rm(folder, { recursive: true, force: true });
}
