// The evaluating side of the page, in a real Chromium: on generated images its figures are those of
// `clip evaluate`, long work can be paused and ended, and a reload loses nothing but the images.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import * as h from "./harness.mjs";

const { hook, MODE, SLOW, WEBGPU } = h;
const options = { timeout: 5 * SLOW };
const EACH = 6;
/** An emulated GPU takes its time: there, limits with some 100 images in place of 800. */
const FEW_IMAGES = ["Left and right", "Written words", "Negation"];
const COLOURS = { red: [255, 0, 0], green: [0, 160, 0], blue: [0, 40, 220], yellow: [250, 220, 0] };

/** The figures of the command. */
async function command(data, ...more) {
  const run = promisify(execFile);
  const { stdout } = await run(h.CLIP, ["evaluate", "--data", data, "--device", "cpu", "--json", ...more], {
    maxBuffer: 1 << 26,
  });
  return JSON.parse(stdout);
}

/** Equal, but for the last digits of 32-bit floats, or up to another tolerance. */
function assertSame(found, wanted, what, tolerance = 2e-4) {
  if (typeof wanted === "number") {
    assert.ok(Math.abs(found - wanted) <= tolerance * Math.max(1, Math.abs(wanted)), `${what}: ${found}, not ${wanted}`);
  } else if (wanted && typeof wanted === "object") {
    assert.deepEqual(Object.keys(found ?? {}), Object.keys(wanted), what);
    for (const key of Object.keys(wanted)) assertSame(found[key], wanted[key], `${what}.${key}`, tolerance);
  } else {
    assert.equal(found, wanted, what);
  }
}

/** Equal, but for the last digit, which is lost on the way through JSON. */
const assertEqual = (found, wanted) => assertSame(found, wanted, "figures", 1e-12);

/** A tar with short names. */
function tar(files) {
  const blocks = [];
  for (const [name, bytes] of files) {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write("0000644\0", 100);
    header.write(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("        0ustar\0" + "00", 148);
    const sum = header.reduce((sum, byte) => sum + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    blocks.push(header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

describe(`evaluation on labelled images (${MODE})`, { timeout: 20 * SLOW }, () => {
  let server, browser, root, data;

  before(async () => {
    server = await h.startServer();
    browser = await h.launchBrowser();
    root = await mkdtemp(join(tmpdir(), "clip-evaluate-"));
    data = join(root, "colours");
    for (const [name, rgb] of Object.entries(COLOURS)) {
      await mkdir(join(data, name), { recursive: true });
      for (let number = 0; number < EACH; number++) {
        const shade = rgb.map((value) => Math.max(0, Math.min(255, value + 9 * number - 30)));
        await writeFile(join(data, name, `${number}.png`), await h.plainPng(64 + number, 48, shade));
      }
    }
    await writeFile(join(data, "red", "broken.png"), h.noise(500));
    await writeFile(join(data, "blue", "copy.png"), await readFile(join(data, "blue", "3.png")));
  });

  after(async () => {
    await browser?.close();
    server?.stop();
    if (root) await rm(root, { recursive: true, force: true });
  });

  async function opened(more) {
    const opened = await h.openPage(browser, `${server.url}#evaluate`, { acceptDownloads: true, ...more });
    await h.waitReady(opened.page);
    return opened;
  }

  const title = (page, text) => page.locator(hook("evaluate-title")).filter({ hasText: text }).waitFor();
  const idle = (page) => page.locator(`${hook("prompts-start")}:enabled`).waitFor();

  async function saved(page, what) {
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator(hook(what)).click()]);
    return (await readFile(await file.path())).toString();
  }
  const figures = async (page) => JSON.parse(await saved(page, "evaluate-json"));

  test("its figures are those of the command", options, async () => {
    const report = join(root, "report.html");
    const wanted = await command(data, "--report", report, "--shots", "1,2,all", "--draws", "2", "--limits");
    const { page, problems, close } = await opened();
    try {
      await page.locator(hook("evaluate-folder")).setInputFiles(data);
      await title(page, "on colours");
      await idle(page);
      let found = await figures(page);
      for (const part of ["metrics", "calibration", "templates"]) assertSame(found[part], wanted[part], part);
      for (const part of ["images", "top_1", "top_5", "among_10", "classes", "confusion"]) {
        assertSame(found.evaluation[part], wanted.evaluation[part], part);
      }
      assert.deepEqual(
        found.left_out_by_reason.map(({ problem, count }) => [problem, count]),
        wanted.left_out_by_reason.map(({ problem, count }) => [problem, count]),
      );
      assert.match(await page.locator(hook("evaluate-left-out")).innerText(), /1 .*not readable/s);
      const shown = await page.locator(hook("evaluate-overview")).innerText();
      const percent = `${(100 * wanted.metrics.top_1.value).toFixed(1)} %`;
      assert.ok(shown.includes(percent), `${percent} in ${shown}`);

      await page.locator(hook("prompts-start")).click();
      await page.locator(`${hook("evaluate-prompts")} svg`).first().waitFor();
      await idle(page);
      await page.locator(hook("shots-numbers")).fill("1, 2, none");
      assert.ok(await page.locator(hook("shots-start")).isDisabled());
      await page.locator(hook("shots-numbers")).fill("1, 2, all");
      await page.locator(hook("shots-draws")).fill("2");
      await page.locator(hook("shots-draws")).blur();
      await page.locator(hook("shots-start")).click();
      await page.locator(`${hook("evaluate-shots")} svg`).first().waitFor();
      for (const button of await page.locator(hook("limit")).all()) {
        await idle(page);
        const name = await button.getAttribute("data-limit");
        if (WEBGPU && !FEW_IMAGES.includes(name)) continue;
        await button.click();
        await page.locator(`${hook("evaluate-limits")} h3`).filter({ hasText: name }).waitFor();
      }
      await idle(page);
      found = await figures(page);
      assertSame(found.prompts, wanted.prompts, "prompts");
      assertSame(found.shots, wanted.shots, "shots");
      const tried = WEBGPU ? wanted.limits.filter(({ name }) => FEW_IMAGES.includes(name)) : wanted.limits;
      assert.equal(tried.length, WEBGPU ? FEW_IMAGES.length : 9);
      assertSame(found.limits, tried, "limits");

      const html = await saved(page, "evaluate-html");
      const sections = (text) => [...text.matchAll(/<section id="(\w+)"/g)].map(([, id]) => id);
      assert.deepEqual(sections(html), sections(await readFile(report, "utf8")));
      assert.ok(!html.includes("<script"));
      assert.equal((html.match(/<img src="data:/g) ?? []).length, Math.min(20, wanted.evaluation.mistakes.length));
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("a cell of the confusion matrix shows its images, by mouse and by keyboard", options, async () => {
    const { page, problems, close } = await opened();
    try {
      await page.locator(hook("evaluate-folder")).setInputFiles(data);
      await title(page, "on colours");
      const { evaluation } = await figures(page);
      const [first, second] = evaluation.confusion;
      const shows = async ({ truth, answer, images }) => {
        const name = (index) => evaluation.classes[index].name;
        const text = truth === answer ? `${name(truth)}, named right` : `${name(truth)} named ${name(answer)}`;
        await page.locator(hook("cell-title")).filter({ hasText: text }).waitFor();
        const pictures = page.locator(`${hook("cell-picture")} img`);
        await pictures.nth(images - 1).waitFor();
        assert.equal(await pictures.count(), images);
      };
      await page.locator(`[data-cell="${first.truth},${first.answer}"]`).click();
      await shows(first);
      await page.locator(hook("cell-truth")).selectOption(String(second.truth));
      await page.locator(hook("cell-answer")).selectOption(String(second.answer));
      await shows(second);
      // Other templates, on the same images.
      await page.locator(hook("evaluate-templates")).selectOption("written");
      await page.locator(hook("evaluate-written")).fill("the colour");
      await page.locator(hook("evaluate-written")).blur();
      await page.getByText("has no {label} in it").waitFor();
      await page.locator(hook("evaluate-written")).fill("the colour {label}\n{label}");
      await page.locator(hook("evaluate-written")).blur();
      await page.locator(hook("evaluate-method")).filter({ hasText: "the colour {label}" }).waitFor();
      const templates = ["--template", "the colour {label}", "--template", "{label}"];
      const wanted = await command(data, ...templates);
      assertSame((await figures(page)).metrics, wanted.metrics, "metrics");
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  /** A folder of shards with three images of each class. */
  async function makeShards(folder, count) {
    const shards = join(root, folder);
    await mkdir(join(shards, "test"), { recursive: true });
    const names = Object.keys(COLOURS);
    const files = Array.from({ length: count }, () => []);
    for (const [label, name] of names.entries()) {
      for (let number = 0; number < 3; number++) {
        const key = `s${label}${number}`;
        const shard = files[number % count];
        shard.push([`${key}.png`, await readFile(join(data, name, `${number}.png`))]);
        shard.push([`${key}.cls`, Buffer.from(String(label))]);
      }
    }
    for (const [number, shard] of files.entries()) await writeFile(join(shards, `test/${number}.tar`), tar(shard));
    await writeFile(join(shards, "classnames.txt"), names.join("\n"));
    await writeFile(join(shards, "zeroshot_classification_templates.txt"), "something {c}\n");
    return shards;
  }

  test("shards, sample images and those of the Train tab are evaluated", options, async () => {
    const shards = await makeShards("shards", 1);
    const { page, problems, close } = await opened();
    try {
      await page.locator(hook("evaluate-folder")).setInputFiles(shards);
      await title(page, "on shards");
      await page.locator(hook("evaluate-templates")).selectOption("own");
      await page.locator(hook("evaluate-method")).filter({ hasText: "something {label}" }).waitFor();
      const wanted = await command(shards, "--template", "something {label}");
      assert.equal(wanted.metrics.images, 12);
      assertSame((await figures(page)).metrics, wanted.metrics, "metrics");

      // The same without their folder.
      await page.locator(hook("evaluate-close")).click();
      const loose = ["test/0.tar", "classnames.txt", "zeroshot_classification_templates.txt"];
      await page.locator(hook("evaluate-files")).setInputFiles(loose.map((name) => join(shards, name)));
      await title(page, "on images");
      assert.equal((await figures(page)).metrics.images, 12);

      await page.locator(hook("evaluate-samples")).click();
      await title(page, "on sample images");
      const samples = await figures(page);
      assert.equal(samples.metrics.images, 96);

      // The same images by way of the Train tab.
      await page.locator(hook("tab-train")).click();
      await page.locator(hook("sample-data")).click();
      await page.locator(hook("data-amount")).filter({ hasText: "held out" }).waitFor();
      await page.locator(hook("tab-evaluate")).click();
      await page.locator(hook("evaluate-training")).click();
      await title(page, "on samples");
      assertSame((await figures(page)).metrics, samples.metrics, "metrics");
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("a second model is compared on the same images", options, async () => {
    const model = join(h.ROOT, "tests/golden/models/hf-tokenizer-bf16");
    const wanted = await command(data, "--model", model, "--compare", "bundled");
    const { page, problems, close } = await opened();
    try {
      await page.locator(hook("evaluate-folder")).setInputFiles(data);
      await title(page, "on colours");
      await page.locator(hook("tab-classify")).click();
      const names = ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"];
      const read = async (name) => ({ name, bytes: await readFile(join(model, name)) });
      await h.drop(page, await Promise.all(names.map(read)));
      await page.locator(hook("tab-evaluate")).click();
      await page.locator(hook("evaluate-again")).click();
      await page.locator(hook("evaluate-models")).waitFor();
      const found = await figures(page);
      assertSame(found.metrics, wanted.metrics, "metrics");
      assertSame(found.comparison.test, wanted.comparison.test, "test");
      assertSame(found.comparison.metrics, wanted.comparison.metrics, "the other's metrics");
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("long work is paused and ended, and errors are told in words", options, async () => {
    const { page, problems, close } = await opened();
    try {
      await page.locator(hook("evaluate-folder")).setInputFiles(join(data, "red"));
      await page.locator(hook("evaluate-error")).filter({ hasText: /at least two classes|no usable images/ }).waitFor();
      await page.locator(hook("evaluate-samples")).click();
      await title(page, "on sample images");
      await idle(page);
      await page.locator(hook("shots-draws")).fill("20");
      await page.locator(hook("shots-draws")).blur();
      await page.locator(hook("shots-start")).click();
      const progress = page.locator(hook("evaluate-progress"));
      await progress.filter({ hasText: /fits/ }).waitFor();
      await page.locator(hook("evaluate-pause")).click();
      await progress.filter({ hasText: "Paused" }).waitFor();
      // Meanwhile the worker answers others.
      await page.locator(hook("tab-classify")).click();
      await h.drop(page, [join(h.FIXTURES, "drawings/cat.png")]);
      await h.setLabels(page, ["cat", "pizza"]);
      await h.ranking(page, "cat.png", ["cat", "pizza"]);
      await page.locator(hook("tab-evaluate")).click();
      await page.locator(hook("evaluate-pause")).click();
      await progress.filter({ hasText: /fits/ }).waitFor();
      await page.locator(hook("evaluate-cancel")).click();
      await idle(page);
      assert.equal(await page.locator(`${hook("evaluate-shots")} svg`).count(), 0);
      await page.locator(hook("evaluate-close")).click();
      await page.locator(hook("evaluate-overview")).waitFor({ state: "detached" });
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("classes that are numbers get names, and other names cost no images", options, async () => {
    const numbers = join(root, "numbers");
    for (const [label, name] of Object.keys(COLOURS).entries()) {
      await mkdir(join(numbers, String(label)), { recursive: true });
      for (let number = 0; number < 3; number++) {
        const bytes = await readFile(join(data, name, `${number}.png`));
        await writeFile(join(numbers, String(label), `${number}.png`), bytes);
      }
    }
    const list = join(root, "names.txt");
    await writeFile(list, `\ufeff${Object.keys(COLOURS).join("\r\n")}\n`);
    const { page, problems, close } = await opened();
    try {
      await page.locator(hook("evaluate-folder")).setInputFiles(numbers);
      await title(page, "on numbers");
      await idle(page);
      const chosen = async (...more) => {
        const wanted = await command(numbers, ...more);
        const classes = wanted.evaluation.classes.map(({ name }) => name);
        await page.locator(hook("evaluate-classes")).filter({ hasText: classes[0] }).waitFor();
        await idle(page);
        const found = await figures(page);
        assertSame(found.metrics, wanted.metrics, "metrics");
        assertSame(found.evaluation.classes, wanted.evaluation.classes, "classes");
      };
      await chosen();
      await page.locator(hook("evaluate-names")).selectOption("written");
      await page.getByText("Write one class name a line").waitFor();
      await page.locator(hook("evaluate-names-file")).setInputFiles(list);
      await chosen("--class-names", list);
      assert.match(await page.locator(hook("evaluate-written-names")).inputValue(), /red\s+green/);
      await page.locator(hook("evaluate-names")).selectOption("set mnist");
      await chosen("--class-names", "mnist");
      await page.locator(hook("evaluate-names")).selectOption("own");
      await chosen();
      // They do not fit classes that have names.
      await page.locator(hook("evaluate-folder")).setInputFiles(data);
      await title(page, "on colours");
      await idle(page);
      await page.locator(hook("evaluate-names")).selectOption("set mnist");
      await page.locator(hook("evaluate-error")).filter({ hasText: /10 class names.*is none of these numbers/ }).waitFor();
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("shards come from an address", options, async () => {
    const shards = await makeShards("remote", 2);
    await writeFile(join(shards, "test/nshards.txt"), "2");
    const asked = [];
    let slow = false;
    const host = createServer(async (request, response) => {
      const [, kind, ...path] = decodeURIComponent(request.url).split("/");
      asked.push(path.join("/"));
      if (kind !== "closed") response.setHeader("access-control-allow-origin", "*");
      if (kind === "secret") return response.writeHead(403).end();
      const bytes = await readFile(join(shards, ...path)).catch(() => null);
      if (!bytes || (kind === "half" && path.at(-1) === "1.tar")) return response.writeHead(404).end();
      if (kind === "page") return response.end("<!doctype html>");
      response.setHeader("content-length", bytes.length);
      if (!slow || path.at(-1) !== "1.tar") return response.end(bytes);
      response.write(bytes.subarray(0, 1000)); // and no more of it
    });
    await new Promise((resolve) => host.listen(0, "127.0.0.1", resolve));
    const at = (kind) => `http://127.0.0.1:${host.address().port}/${kind}`;
    const { page, problems, close } = await opened();
    try {
      await page.locator(hook("evaluate-address-open")).click();
      const download = async (address) => {
        await page.locator(hook("evaluate-address")).fill(address);
        await page.locator(hook("evaluate-download")).click();
      };
      const fails = (text) => page.locator(hook("evaluate-error")).filter({ hasText: text }).waitFor();
      await download("remote");
      await page.getByText("Enter the address of a folder").waitFor();
      await download(at("closed"));
      await fails("does not allow other sites");
      await download(at("secret"));
      await fails("access is restricted");
      await download(at("page"));
      await fails("should be the number of shards");
      await download(at("half"));
      await fails("test/1.tar is missing: there should be 2 shards");
      await download(at("nothing/there"));
      await fails("only data sets in CLIP_benchmark");

      slow = true;
      await download(at("open"));
      await page.locator(hook("evaluate-progress")).filter({ hasText: "shard 2 of 2" }).waitFor();
      assert.equal(await page.locator(hook("evaluate-pause")).count(), 0);
      await page.locator(hook("evaluate-cancel")).click();
      await page.locator(hook("evaluate-working")).waitFor({ state: "detached" });
      slow = false;
      asked.length = 0;
      await download(`${at("open")}/`);
      await title(page, "on open");
      await idle(page);
      assert.ok(asked.includes("test/1.tar") && !asked.includes("train/0.tar"), asked.join(", "));
      await page.locator(hook("evaluate-templates")).selectOption("own");
      await page.locator(hook("evaluate-method")).filter({ hasText: "something {label}" }).waitFor();
      const wanted = await command(shards, "--template", "something {label}");
      const before = await figures(page);
      assertSame(before.metrics, wanted.metrics, "metrics");

      // The address is known after a reload, and gives the images again.
      await page.reload();
      await h.waitReady(page);
      await page.locator(hook("evaluate-continue")).click();
      await idle(page);
      assertEqual(await figures(page), before);
      // The browser reports refusals, which were wanted here.
      const others = problems.filter((problem) => !/Failed to load resource|CORS policy/.test(problem));
      assert.deepEqual(others, []);
    } finally {
      await close();
      host.closeAllConnections();
      host.close();
    }
  });

  /** Names of what is kept. */
  const kept = (page) =>
    page.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle("evaluation").catch(() => null);
      const names = [];
      if (folder) for await (const name of folder.keys()) names.push(name);
      return names.sort();
    });
  const overwrite = (page, name) =>
    page.evaluate(async (name) => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("evaluation");
      const writable = await (await folder.getFileHandle(name)).createWritable();
      await writable.write("{");
      await writable.close();
    }, name);

  test("a reload after the end loses nothing but the images", options, async () => {
    const wanted = await command(data, "--shots", "1,all", "--draws", "2");
    const { page, problems, close } = await opened();
    const reload = async () => {
      await page.reload();
      await h.waitReady(page);
      await page.locator(hook("evaluate-kept")).filter({ hasText: /colours.*24 images, evaluated with/s }).waitFor();
    };
    try {
      await page.locator(hook("evaluate-folder")).setInputFiles(data);
      await title(page, "on colours");
      await idle(page);
      // What is chosen meanwhile is used afterwards.
      await page.locator(hook("evaluate-templates")).selectOption("label");
      await page.locator(hook("evaluate-templates")).selectOption("set imagenet-simple");
      await page.locator(hook("evaluate-method")).filter({ hasText: "itap of a {label}." }).waitFor();
      await page.locator(hook("evaluate-templates")).selectOption("default");
      await page.locator(hook("evaluate-method")).filter({ hasNotText: "itap of a {label}." }).waitFor();
      await idle(page);
      await page.locator(hook("prompts-start")).click();
      await page.locator(`${hook("evaluate-prompts")} svg`).first().waitFor();
      await idle(page);
      const before = await figures(page);
      const report = await saved(page, "evaluate-html");

      await reload();
      await page.locator(hook("evaluate-continue")).click();
      await page.locator(hook("evaluate-restored")).waitFor();
      await idle(page);
      assertEqual(await figures(page), before);
      assert.equal(await saved(page, "evaluate-html"), report);
      // What needs no images goes on.
      await page.locator(hook("shots-numbers")).fill("1, all");
      await page.locator(hook("shots-draws")).fill("2");
      await page.locator(hook("shots-draws")).blur();
      await page.locator(hook("shots-start")).click();
      await page.locator(`${hook("evaluate-shots")} svg`).first().waitFor();
      await idle(page);
      assertSame((await figures(page)).shots, wanted.shots, "shots");
      await page.locator(`${hook("limit")}[data-limit="Written words"]`).click();
      await page.locator(hook("evaluate-error")).filter({ hasText: "choose them again" }).waitFor();
      // With the images again, the figures stay and a cell shows its images.
      await page.locator(hook("evaluate-folder")).setInputFiles(data);
      await page.locator(hook("evaluate-restored")).waitFor({ state: "detached" });
      await idle(page);
      const again = await figures(page);
      assertEqual(again.prompts, before.prompts);
      assertEqual(again.metrics, before.metrics);
      const [first] = again.evaluation.confusion;
      await page.locator(`[data-cell="${first.truth},${first.answer}"]`).click();
      await page.locator(`${hook("cell-picture")} img`).first().waitFor();

      // A second tab does not write over it.
      const second = await page.context().newPage();
      await second.goto(`${server.url}#evaluate`);
      await h.waitReady(second);
      await second.locator(hook("evaluate-samples")).click();
      await second.locator(hook("evaluate-not-kept")).filter({ hasText: "another tab" }).waitFor();
      await title(second, "on sample images");
      await second.close();

      // What is damaged is told, and the figures are still there.
      await overwrite(page, "data-set");
      await reload();
      await page.locator(hook("evaluate-continue")).click();
      await page.locator(hook("evaluate-error")).filter({ hasText: "incomplete" }).waitFor();
      assertEqual((await figures(page)).metrics, before.metrics);
      await overwrite(page, "page");
      await page.reload();
      await h.waitReady(page);
      await page.locator(hook("evaluate-error")).filter({ hasText: "cannot be read any more" }).waitFor();
      await page.locator(hook("evaluate-folder")).setInputFiles(data);
      await title(page, "on colours");
      await idle(page);
      assertEqual((await figures(page)).metrics, before.metrics);

      await page.locator(hook("evaluate-close")).click();
      while ((await kept(page)).length) await page.waitForTimeout(50);
      await page.reload();
      await h.waitReady(page);
      assert.equal(await page.locator(hook("evaluate-kept")).count(), 0);
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("a reload in the middle loses little", options, async () => {
    const many = join(root, "many");
    const each = WEBGPU ? 20 : 60;
    for (const [name, rgb] of Object.entries(COLOURS)) {
      await mkdir(join(many, name), { recursive: true });
      for (let number = 0; number < each; number++) {
        const shade = rgb.map((value) => Math.max(0, Math.min(255, value + 2 * number - 60)));
        await writeFile(join(many, name, `${number}.png`), await h.plainPng(200 + number, 150, shade));
      }
    }
    const wanted = await command(many);
    const { page, problems, close } = await opened();
    try {
      await page.locator(hook("evaluate-folder")).setInputFiles(many);
      while (!(await kept(page)).some((name) => name.startsWith("features-"))) await page.waitForTimeout(20);
      assert.ok(!(await kept(page)).includes("data-set"), "in the middle");
      await page.reload();
      await h.waitReady(page);
      await page.locator(hook("evaluate-kept")).filter({ hasText: /interrupted. Choose “many” again/ }).waitFor();
      assert.equal(await page.locator(hook("evaluate-continue")).count(), 0);
      await page.locator(hook("evaluate-folder")).setInputFiles(many);
      await title(page, "on many");
      await idle(page);
      const found = await figures(page);
      assertSame(found.metrics, wanted.metrics, "metrics");
      assertSame(found.evaluation.confusion, wanted.evaluation.confusion, "confusion");

      // The page's own images come without asking.
      await page.locator(hook("evaluate-samples")).click();
      await page.locator(hook("evaluate-cancel")).click();
      await page.reload();
      await h.waitReady(page);
      await page.locator(hook("evaluate-continue")).click();
      await title(page, "on sample images");
      await idle(page);
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("a browser without room says so, and evaluates", options, async () => {
    const { page, close } = await opened();
    try {
      const cdp = await page.context().newCDPSession(page);
      await cdp.send("Storage.overrideQuotaForOrigin", { origin: server.url, quotaSize: 2048 });
      await page.locator(hook("evaluate-folder")).setInputFiles(data);
      await page.locator(hook("evaluate-not-kept")).filter({ hasText: "storage is full" }).waitFor();
      await title(page, "on colours");
      assert.equal((await figures(page)).metrics.images, 24);
    } finally {
      await close();
    }
  });
});
