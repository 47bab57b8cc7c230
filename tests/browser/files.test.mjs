// Files as people really have them, in a real Chromium: the cases of tests/files.rs, which are
// in tests/fixtures/files.json, through the training side of the page.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as h from "./harness.mjs";
import { opened } from "./training.mjs";

const { hook, SLOW } = h;
const CASES = JSON.parse(readFileSync(join(h.FIXTURES, "files.json"), "utf8"));
const suite = { timeout: 20 * SLOW };
const options = { timeout: 5 * SLOW, skip: h.WEBGPU && "as on the CPU" };
/** A case takes a fraction of a second; the machine may be busy. */
const PATIENCE = 20_000;

let server, browser, page, problems, close;
before(async () => {
  server = await h.startServer();
  browser = await h.launchBrowser({ webgpu: false });
  ({ page, problems, close } = await opened(browser, server.url));
  // The worker reads the pictures.
  await h.waitReady(page);
});
after(async () => {
  await close?.();
  await browser?.close();
  server?.stop();
});

// ---------------------------------------------------------------- material

/** Contents as tests/files.rs has them. */
async function contents(text) {
  const rest = (prefix) => (text.startsWith(prefix) ? text.slice(prefix.length) : undefined);
  const fixture = (name) => readFile(join(h.FIXTURES, name));
  if (rest("#") !== undefined) return h.plainPng(2, 2, Array(3).fill(Number(rest("#"))));
  if (rest("latin:") !== undefined) return Buffer.from(rest("latin:"), "latin1");
  if (rest("utf16:") !== undefined) return Buffer.from(`\ufeff${rest("utf16:")}`, "utf16le");
  if (rest("hex:") !== undefined) return Buffer.from(rest("hex:"), "hex");
  if (rest("file:") !== undefined) return fixture(rest("file:"));
  if (rest("cut:") !== undefined) {
    const [length, name] = rest("cut:").split(":");
    return (await fixture(name)).subarray(0, Number(length));
  }
  return Buffer.from(text);
}

/** A zip of entries that are stored as they are; `name` is a buffer. */
async function zip(entries) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const entry of entries) {
    const { name } = entry;
    const bytes = name.at(-1) === 0x2f ? Buffer.alloc(0) : await contents(entry.contents);
    let extra = Buffer.alloc(0);
    if (entry.unicode) {
      const text = Buffer.from(entry.unicode);
      extra = Buffer.alloc(9 + text.length);
      extra.writeUInt16LE(0x7075, 0);
      extra.writeUInt16LE(5 + text.length, 2);
      extra.writeUInt8(1, 4);
      extra.writeUInt32LE((h.crc32(name) ^ (entry.outdated ? 1 : 0)) >>> 0, 5);
      text.copy(extra, 9);
    }
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE((entry.encrypted ? 1 : 0) | (entry.utf8 ? 1 << 11 : 0), 2);
    common.writeUInt16LE(entry.method ?? 0, 4);
    common.writeUInt32LE((h.crc32(bytes) ^ (entry.damaged ? 1 : 0)) >>> 0, 10);
    common.writeUInt32LE(bytes.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(name.length, 22);
    common.writeUInt16LE(extra.length, 24);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    directory.push(Buffer.from("PK\x01\x02\x14\0", "latin1"), common, place, name, extra);
    const local = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), common, name, extra, bytes]);
    parts.push(local);
    offset += local.length;
  }
  const listed = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(listed.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, listed, end]);
}

const zipOf = (files) =>
  zip(files.map(([path, contents]) => ({ name: Buffer.from(path), contents, utf8: true })));

// ---------------------------------------------------------------- the page

/** Brings a zip to a page without data. */
async function bring(bytes) {
  if (await page.locator(hook("clear-data")).count()) await page.locator(hook("clear-data")).click();
  for (;;) {
    const dismiss = page.locator('.notice button').first();
    if (!(await dismiss.count())) break;
    await dismiss.click();
  }
  await page.waitForFunction(
    ([card, captions, problems]) => !document.querySelector(`${card}, ${captions}, ${problems}`),
    [hook("class-card"), hook("captions"), hook("data-problems")],
  );
  await page
    .locator(hook("train-files"))
    .setInputFiles([{ name: "data.zip", mimeType: "application/zip", buffer: bytes }]);
}

/** What the page shows of the data. */
const shown = () =>
  page.evaluate(() => {
    const all = (name, within = document) => [...within.querySelectorAll(`[data-testid="${name}"]`)];
    const used = (thumb) => thumb.dataset.role !== "left-out";
    const name = (thumb) => thumb.querySelector("button").getAttribute("aria-label").replace("Remove ", "");
    const classes = {};
    const files = [];
    for (const card of all("class-card")) {
      const thumbs = all("sample-thumb", card);
      classes[card.dataset.name] = thumbs.filter(used).length;
      files.push(...thumbs.map((thumb) => `${card.dataset.name}/${name(thumb)}`));
    }
    const rows = [...document.querySelectorAll('[data-testid="captions"] .caption-row')];
    const captions = rows
      .filter((row) => used(row.querySelector('[data-testid="sample-thumb"]')))
      .map((row) => row.querySelector("textarea").value.split("\n").filter(Boolean).length);
    return {
      reading: all("reading").length > 0,
      classes,
      files: files.sort(),
      captions: captions.reduce((sum, count) => sum + count, 0),
      held_out: all("sample-thumb").filter((thumb) => thumb.dataset.role === "held-out").length,
      problems: [...document.querySelectorAll('[data-testid="data-problems"] li')].map((li) => li.textContent.trim()),
      errors: [...document.querySelectorAll('.notice [data-testid="error"]')].map((p) => p.innerText),
      notices: all("notice").map((p) => p.innerText),
    };
  });

/** Waits until the page shows what is right; otherwise says what it shows instead. */
async function until(right) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await shown();
    const wrong = found.reading ? ["it is reading"] : right(found);
    if (wrong.length === 0) return undefined;
    if (Date.now() > end) return `${wrong.join("; ")}: ${JSON.stringify(found)}`;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What is told, without what it must not be about. */
const told = (found) => [...found.problems, ...found.errors, ...found.notices];

/** `expected` in a line, as tests/files.rs has it: "cat 2, dog 1; held out 1; left out 1 missing". */
function rightData({ expected, words, page: own }) {
  const [first, ...parts] = expected.split("; ");
  const numbers = (text) => (text?.match(/\d+/g) ?? []).map(Number).reduce((a, b) => a + b, 0);
  const part = (start) => numbers(parts.find((part) => part.startsWith(start))?.slice(start.length));
  return (found) => {
    const wrong = [];
    const same = (what, is, should) => {
      if (JSON.stringify(is) !== JSON.stringify(should)) wrong.push(`${what}: ${JSON.stringify(should)} expected`);
    };
    same("refused", found.errors.length > 0, first === "refused");
    if (first.endsWith(" captions")) same("captions", found.captions, Number(first.split(" ")[0]));
    else if (first !== "refused") {
      const classes = first.split(", ").map((text) => [text.replace(/ \d+$/, ""), Number(text.match(/\d+$/)[0])]);
      same("classes", Object.entries(found.classes).sort(), classes.sort());
      same("left out", found.problems.length, part("left out"));
      same("held out", found.held_out, part("held out"));
    }
    const all = told(found).join("\n");
    for (const text of own ?? words) if (!all.includes(text)) wrong.push(`not told: ${text}`);
    if (words.length === 0 && all) wrong.push("nothing may be told");
    return wrong;
  };
}

// ---------------------------------------------------------------- tests

describe("data sets", suite, () => {
  for (const group of ["folders", "parts", "names", "tables"]) {
    test(group, options, async () => {
      const wrong = [];
      for (const case_ of CASES[group]) {
        await bring(await zipOf(case_.files));
        const found = await until(rightData(case_));
        if (found) wrong.push(`${case_.name}: ${found}`);
      }
      assert.deepEqual(wrong, []);
    });
  }
});

test("names in a zip", options, async () => {
  const wrong = [];
  for (const { name, entries, paths, words } of CASES.zips) {
    await bring(await zip(entries.map((entry) => ({ ...entry, name: Buffer.from(entry.raw, "latin1") }))));
    const found = await until((found) => {
      const all = told(found).join("\n");
      const missing = words.filter((text) => !all.includes(text)).map((text) => `not told: ${text}`);
      if (JSON.stringify(found.files) !== JSON.stringify([...paths].sort())) missing.push(`${paths} expected`);
      if (words.length === 0 && all) missing.push("nothing may be told");
      return missing;
    });
    if (found) wrong.push(`${name}: ${found}`);
  }
  assert.deepEqual(wrong, []);
});

test("pictures", options, async () => {
  const name = (index, file) => `${String(index).padStart(3, "0")}-${file ?? "a.png"}`;
  await bring(await zipOf(CASES.pictures.map(({ file, contents }, index) => [`pic/${name(index, file)}`, contents])));
  const found = await until(({ problems }) =>
    CASES.pictures.flatMap(({ name: title, file, words }, index) => {
      const line = problems.find((line) => line.startsWith(`pic/${name(index, file)}`));
      if (words) return line?.includes(words) ? [] : [`${title}: ${line}`];
      // Two of them may be one picture under two names.
      return !line || line.includes("is a duplicate of") ? [] : [`${title}: ${line}`];
    }),
  );
  assert.equal(found, undefined);
});

test("nothing of it broke the page", options, async () => {
  assert.deepEqual(problems, []);
});
