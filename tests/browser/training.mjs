// What a visitor does on the training side of the page, for the tests of it.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as h from "./harness.mjs";

const { hook } = h;
export const DRAWINGS = join(h.ROOT, "tests/fixtures/drawings");
/** Of the sample data. */
export const CLASSES = ["animal", "building", "clothes", "face", "food", "vehicle"];

export const file = async (name, as = name) => ({
  name: as,
  mimeType: "image/png",
  buffer: await readFile(join(DRAWINGS, name)),
});

/** The training side of the page, in a context of its own. */
export async function opened(browser, url, options) {
  const opened = await h.openPage(browser, `${url}#train`, { acceptDownloads: true, ...options });
  await opened.page.locator(hook("train-data")).waitFor();
  return opened;
}

export async function takeSamples(page) {
  await page.locator(hook("sample-data")).click();
  await page.locator(hook("class-card")).nth(CLASSES.length - 1).waitFor();
  // Read by the worker, all of them.
  await page.locator(hook("data-amount")).filter({ hasText: "78 images to train on, 18 held out for testing" }).waitFor();
}

export const choose = (page, method) => page.locator(`${hook("method")}[data-method="${method}"]`).click();

export async function train(page, method, settings = {}) {
  await choose(page, method);
  const names = Object.keys(settings);
  if (names.length) await page.locator(`${hook("advanced")} summary`).click();
  for (const name of names) {
    const field = page.locator(hook(`setting-${name}`));
    await field.fill(String(settings[name]));
    await field.press("Enter");
    await field.blur();
  }
  if (names.length) await page.locator(`${hook("advanced")} summary`).click();
  await page.locator(`${hook("train-start")}:enabled`).click();
}

export const finished = (page) => page.locator(hook("after")).waitFor();
export const shown = async (page, name) => parseInt(await page.locator(hook(name)).innerText(), 10);

export async function download(page, act) {
  const [file] = await Promise.all([page.waitForEvent("download"), act()]);
  return { name: file.suggestedFilename(), bytes: await readFile(await file.path()) };
}

/** Header of a safetensors file. */
export function header(bytes) {
  const length = Number(bytes.readBigUInt64LE(0));
  return JSON.parse(bytes.subarray(8, 8 + length).toString());
}

/** The files of a zip whose entries are stored as they are. */
export function stored(zip) {
  const files = [];
  for (let at = 0; zip.readUInt32LE(at) === 0x04034b50; ) {
    const [size, name, extra] = [zip.readUInt32LE(at + 18), zip.readUInt16LE(at + 26), zip.readUInt16LE(at + 28)];
    const start = at + 30 + name + extra;
    files.push({ name: zip.toString("utf8", at + 30, at + 30 + name), bytes: zip.subarray(start, start + size) });
    at = start + size;
  }
  return files;
}
