// A classifier as a page of its own: the zip that the page makes, unpacked into a folder of a plain file
// server that sends no headers. In a real Chromium, on the CPU: the device has no share in it.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { after, before, describe, test } from "node:test";
import { cameraOf } from "./camera.mjs";
import * as h from "./harness.mjs";
import { CLASSES, DRAWINGS, download, finished, opened, stored, takeSamples, train } from "./training.mjs";

const { hook, SLOW, WEBGPU } = h;
const options = { timeout: 5 * SLOW, skip: WEBGPU && "as on the CPU" };
const suite = { timeout: 30 * SLOW };

let server, browser, root, plain;
before(async () => {
  if (options.skip) return;
  server = await h.startServer();
  browser = await h.launchBrowser({ webgpu: false, flags: await cameraOf("raccoon.jpg") });
  root = await mkdtemp(join(tmpdir(), "clip-standalone-"));
  plain = await h.startPlainServer(root);
});
after(async () => {
  await browser?.close();
  server?.stop();
  plain?.stop();
  if (root) await rm(root, { recursive: true, force: true });
  await h.cleanUp();
});

/** Downloads the page of the part that is open, with a title. */
async function packed(page, part, title) {
  const form = page.locator(part).locator(hook("page-download"));
  await form.locator("summary").click();
  if (title) await form.locator(hook("page-title")).fill(title);
  const zip = await download(page, () => form.locator(hook("page-save")).click());
  await form.locator(hook("page-status")).filter({ hasText: `${zip.name} (` }).waitFor();
  return zip;
}

/** Unpacks a zip into a folder of the plain server; `change` may take files away or replace them. */
async function published(zip, name, change = (files) => files) {
  const files = change(Object.fromEntries(stored(zip.bytes).map(({ name, bytes }) => [name, bytes])));
  for (const [path, bytes] of Object.entries(files)) {
    const place = join(root, name, path);
    await mkdir(dirname(place), { recursive: true });
    await writeFile(place, bytes);
  }
  return `${plain.url}${name}/`;
}

const trained = async (page, method, settings) => {
  await takeSamples(page);
  await train(page, method, settings);
  await finished(page);
  await page.locator(hook("use-trained")).click();
  await page.locator(hook("in-use")).waitFor();
};

const PICTURE = join(DRAWINGS, "cat.png");
const answer = async (page, labels = CLASSES) => {
  await h.drop(page, [PICTURE]);
  return h.ranking(page, "cat.png", labels);
};

describe("a page of its own", suite, () => {
  let probe; // its zip, and its answer in the page that it comes from
  test("a trained probe: made, published under a path, the same answer", options, async () => {
    const first = await opened(browser, server.url);
    await trained(first.page, "probe");
    probe = { answer: await answer(first.page) };
    await first.page.locator(hook("tab-train")).click();
    probe.zip = await packed(first.page, hook("train-outcome"), `Our <b>things</b> & "more"`);
    assert.equal(probe.zip.name, "Our _b_things__b_ & _more_.zip");
    assert.deepEqual(first.problems, []);
    await first.close();

    const names = stored(probe.zip.bytes).map(({ name }) => name);
    for (const name of ["worker-cpu_bg.wasm", "worker-gpu_bg.wasm", "decoder.js", "model/open_clip_model.safetensors", "classifier.safetensors"]) {
      assert.ok(names.includes(name), name);
    }
    assert.ok(!names.some((name) => /^(samples|limits)\//.test(name)));
    const listed = JSON.parse(stored(probe.zip.bytes).find(({ name }) => name === "files.json").bytes);
    assert.deepEqual([...listed, "files.json", "README.txt"], names, "the service worker keeps what there is");

    const url = await published(probe.zip, "school/class 4b");
    const { page, problems, close } = await h.openPage(browser, url);
    await h.waitReady(page);
    assert.equal(await page.title(), `Our <b>things</b> & "more"`);
    assert.equal(await page.locator("h1").innerText(), `Our <b>things</b> & "more"`);
    assert.equal(await page.locator(hook("standalone-labels")).innerText(), CLASSES.join(", "));
    for (const other of ["tab-train", "label-input", "models", "sample", "device-select", "reject-toggle"]) {
      assert.equal(await page.locator(`${hook(other)}:visible`).count(), 0, other);
    }
    h.assertClose(await answer(page), probe.answer, 1e-5, "in its own page");
    await h.card(page, "cat.png").locator(hook("ranking-row")).first().click();
    await page.locator(hook("heat-map")).waitFor();

    // The camera sees the same classes.
    await page.locator(hook("live-camera")).click();
    const rows = page.locator(`${hook("live-ranking")}:not(.stale) ${hook("live-row")}`);
    await rows.nth(CLASSES.length - 1).waitFor();
    assert.deepEqual((await rows.evaluateAll((all) => all.map((row) => row.dataset.label))).sort(), CLASSES);
    await page.locator(hook("live-stop")).click();

    // Other pages of the same origin are left alone.
    const kept = await page.evaluate(async () => {
      const folder = await navigator.storage.getDirectory();
      const names = [];
      for await (const name of folder.keys()) names.push(name);
      return { names, settings: Object.keys(localStorage) };
    });
    assert.ok(!kept.names.includes("training"), kept.names.join());
    assert.deepEqual(kept.settings, []);
    assert.deepEqual(problems, []);
    await close();
  });

  test("settings and addresses of another page at the origin do not change it; a crash does neither", options, async () => {
    const url = `${plain.url}school/class 4b/#train`;
    const { page, close } = await h.openPage(browser, url, {
      prepare: async (page) => {
        await h.sabotage(page);
        await page.addInitScript(() => {
          localStorage["clip.labels"] = '["x", "y"]';
          localStorage["clip.model"] = '{"Hub": {"id": "no/model", "revision": "main"}}';
          localStorage["clip.similarity"] = localStorage["clip.reject"] = "true";
        });
      },
    });
    await h.waitReady(page);
    h.assertClose(await answer(page), probe.answer, 1e-5, "with foreign settings");
    await page.evaluate(() => (location.hash = "#label=x&label=y"));
    const workers = await page.evaluate(() => window.workers.length);
    await h.order(page, "trap");
    await h.drop(page, [join(DRAWINGS, "tree.png")]); // a trap needs code to run in
    await page.waitForFunction((n) => window.workers.length > n, workers, { timeout: SLOW });
    await h.waitReady(page);
    h.assertClose(await h.ranking(page, "cat.png", CLASSES), probe.answer, 1e-5, "after a crash");
    await close();
  });

  test("what is missing or does not fit is told in words", options, async () => {
    const without = (name) => (files) => (delete files[name], files);
    const starting = async (url, words) => {
      const { page, close } = await h.openPage(browser, url);
      await page.locator("#starting").filter({ hasText: words }).waitFor();
      await close();
    };
    await starting(await published(probe.zip, "a", without("classifier.json")), /classifier\.json could not be loaded \(status 404\).*put all files/);
    await starting(await published(probe.zip, "b", without("classifier.safetensors")), "classifier.safetensors could not be loaded");
    const broken = (text) => (files) => ({ ...files, "classifier.json": Buffer.from(text) });
    await starting(await published(probe.zip, "c", broken(`{"title": "x", "labels": []}`)), "does not describe a classifier: it has no labels.");
    await starting(pathToFileURL(join(root, "c/index.html")).href, "Browsers do not run this page from a disk.");

    // Two classes on features of another model.
    const metadata = {
      clip_head: "1", method: "probe", model: "another", classes: '["a","b"]', templates: "[]", logit_scale_exp: "100", alpha: "1", beta: "1",
    };
    const header = JSON.stringify({
      __metadata__: metadata,
      weight: { dtype: "F32", shape: [2, 4], data_offsets: [0, 32] },
      bias: { dtype: "F32", shape: [2], data_offsets: [32, 40] },
    });
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const head = Buffer.concat([length, Buffer.from(header), Buffer.alloc(40)]);
    const misfit = await published(probe.zip, "d", (files) => ({ ...files, "classifier.safetensors": head }));
    const { page, close } = await h.openPage(browser, misfit);
    await page.locator(hook("error")).filter({ hasText: "This page's classifier cannot be used: the classifier takes features of length 4, from the model another" }).waitFor();
    await h.waitForState(page, "failed");
    await close();
  });

  test("labels and templates, with the title that is suggested", options, async () => {
    const labels = ["cat", "tree", "umbrella"];
    const first = await h.openPage(browser, server.url, { acceptDownloads: true });
    await h.waitReady(first.page);
    await h.setLabels(first.page, labels);
    const expected = await answer(first.page, labels);
    const zip = await packed(first.page, ".labels");
    assert.equal(zip.name, "cat, tree or umbrella.zip");
    await first.close();
    const { page, problems, close } = await h.openPage(browser, await published(zip, "labels"));
    await h.waitReady(page);
    assert.equal(await page.title(), "cat, tree or umbrella?");
    h.assertClose(await answer(page, labels), expected, 1e-5, "in its own page");
    assert.deepEqual(problems, []);
    await close();
  });

  test("a LoRA, with the model that it was trained to", options, async () => {
    const first = await opened(browser, server.url);
    await trained(first.page, "lora", { epochs: 1 });
    const expected = await answer(first.page);
    await first.page.locator(hook("tab-train")).click();
    const zip = await packed(first.page, hook("train-outcome"), "LoRA");
    await first.close();
    const { page, problems, close } = await h.openPage(browser, await published(zip, "lora"));
    await h.waitReady(page);
    h.assertClose(await answer(page), expected, 2e-3, "in its own page");
    assert.deepEqual(problems, []);
    await close();
  });

  test("a part of the page that cannot be fetched is named", options, async () => {
    const { page, close } = await h.openPage(browser, server.url);
    await h.waitReady(page);
    await page.route(/worker-gpu_bg\.wasm/, (route) => route.abort());
    const form = page.locator(".labels").locator(hook("page-download"));
    await form.locator("summary").click();
    await form.locator(hook("page-save")).click();
    await form.locator(hook("page-problem")).filter({ hasText: /^worker-gpu_bg\.wasm, a part of the page, could not be fetched \(.+\)\. Check your connection/ }).waitFor();
    await page.unroute(/worker-gpu_bg\.wasm/);
    await page.route(/files\.json/, (route) => route.fulfill({ body: "<html>" }));
    await form.locator(hook("page-title")).press("Enter");
    await form.locator(hook("page-problem")).filter({ hasText: "The list of the page's files is damaged" }).waitFor();
    await close();
  });
});
