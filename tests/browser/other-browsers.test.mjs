// One visit to the page, and a second one without a network, in a real Firefox and a real WebKit: neither has WebGPU on
// Linux or File System Access, and WebKitGTK lacks more. README.md has a table of it.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as h from "./harness.mjs";
import { browsers, ranking, text, until, waitFor, waitForText, waitReady } from "./other-browsers.mjs";

const { hook, FIXTURES, SLOW, WEBGPU } = h;
const SCENE = join(FIXTURES, "scene.png");
const LABELS = ["a red house", "the sun", "a bowl of fruit", "a fish"];

/** What each has of what the page uses where it is there; of WebKit what does not differ from port to port. */
const EXPECTED = {
  Firefox: { isolated: true, sharedMemory: true, opfs: true, folders: false, webgpu: false },
  WebKit: { isolated: true, folders: false, webgpu: false },
};

const abilities = () => ({
  isolated: crossOriginIsolated,
  sharedMemory: "SharedArrayBuffer" in window,
  opfs: typeof navigator.storage?.getDirectory === "function",
  folders: "showDirectoryPicker" in window,
  webgpu: "gpu" in navigator,
});

/** Names of what is kept in OPFS, or in its place in the Cache API. */
async function kept() {
  const names = await caches.keys();
  const root = await navigator.storage?.getDirectory?.();
  if (root) for await (const name of root.keys()) names.push(name);
  return names;
}

for (const { name, missing, open } of browsers) {
  const skip = WEBGPU ? "once is enough, without WebGPU" : missing;
  const options = { timeout: 2 * SLOW, skip };

  describe(`the page in ${name}`, { timeout: 8 * SLOW, skip }, () => {
    let server, page;
    before(async () => {
      if (skip) return;
      server = await h.startServer();
      page = await open();
      await page.goto(server.url);
    });
    after(async () => {
      await page?.close();
      server?.stop();
    });
    const click = (name) => page.click(hook(name));

    async function assertAnswer() {
      await h.drop(page, [SCENE]);
      const answer = await ranking(page, "scene.png", LABELS.length);
      const [native] = await h.nativeAnswer([SCENE], LABELS, ["A photo of a {label}."]);
      h.assertClose(answer, native, 1e-3, "scene.png");
    }

    test("gets ready on the CPU and says why not on the GPU", options, async () => {
      await waitReady(page);
      const status = await text(page, "status");
      assert.match(status, /^Running on CPU \(.*SIMD.*\): this browser does not support WebGPU, or it is disabled$/);
      const found = await page.evaluate(abilities);
      assert.deepEqual({ ...found, ...EXPECTED[name] }, found);
    });

    test("a dropped image gets the command's answer, and Chinese words", options, async () => {
      await click("labels-clear");
      await page.type(hook("label-input"), LABELS.map((label) => `${label}\n`).join(""));
      await assertAnswer();
      await click("language");
      await waitForText(page, "tab-train", "训练");
      assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN");
      await click("language");
      await waitForText(page, "tab-train", "Train");
    });

    test("a classifier is trained", options, async () => {
      await click("tab-train");
      await click("sample-data");
      await waitForText(page, "data-amount", "18 held out");
      await page.click(`${hook("method")}[data-method="probe"]`);
      await waitFor(page, `${hook("train-start")}:enabled`);
      await click("train-start");
      await waitFor(page, hook("after"));
      const [was, is] = [parseInt(await text(page, "before"), 10), parseInt(await text(page, "after"), 10)];
      assert.ok(is > was && is >= 40, `${was} % before, ${is} % after`);
      const names = await page.evaluate(kept);
      assert.ok(names.includes("training"), `kept: ${names}`);
    });

    test("a library is searched, and the page says that its folder has to be chosen again", options, async () => {
      await click("tab-library");
      assert.match(await text(page, "no-folder-access"), /on the next visit, choose it again/);
      await h.drop(page, ["raccoon.jpg", "rocket.jpg", "pizza.png"].map((name) => join(h.ROOT, "assets/samples", name)));
      await waitForText(page, "index-status", "3 images");
      await page.type(hook("search-input"), "a rocket");
      const first = (hit) => document.querySelector(hit)?.dataset.path;
      await until(async () => (await page.evaluate(first, hook("hit"))) === "rocket.jpg", "rocket");
    });

    test("a second visit needs no network", options, async () => {
      await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
      server.stop();
      await page.goto(server.url);
      await waitReady(page);
      assert.equal(await page.evaluate((chip) => document.querySelectorAll(chip).length, hook("label-chip")), LABELS.length);
      await assertAnswer();
      assert.deepEqual(page.problems, []);
    });
  });
}
