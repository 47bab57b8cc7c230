// Training in the page, in a real Chromium, with the bundled model; on the CPU, and
// the parts that a GPU has a share in on WebGPU, too.

import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import * as h from "./harness.mjs";
import { browser, server } from "./harness.mjs";
import { CLASSES, DRAWINGS, download, file, finished, header, opened, shown, takeSamples, train } from "./training.mjs";

const { hook, SLOW, WEBGPU } = h;
const options = { timeout: 5 * SLOW };
const suite = { timeout: 40 * SLOW };
// An emulated GPU takes minutes where the CPU takes seconds.
const onCpu = { ...options, skip: WEBGPU && "as on the CPU" };

h.useBrowser();

const open = (options) => opened(browser, server.url, options);

describe("the visitor's pictures", suite, () => {
  test("what cannot be used is named, and the rest goes on", options, async () => {
    const { page, problems, close } = await open();
    await page.locator(hook("first-classes")).click();
    const cards = page.locator(hook("class-card"));
    await cards.first().locator(hook("class-name")).fill("pet");
    await cards.first().locator(hook("class-files")).setInputFiles([
      await file("cat.png"),
      await file("cat.png", "again.png"),
      { name: "broken.png", mimeType: "image/png", buffer: Buffer.from("no picture") },
    ]);
    await cards.last().locator(hook("class-files")).setInputFiles([await file("tree.png")]);
    await page.locator(hook("add-class")).click();
    await page.locator(hook("data-amount")).filter({ hasText: "2 images" }).waitFor();
    const said = await page.locator(hook("data-problems")).innerText();
    assert.match(said, /again\.png is a duplicate of pet\/cat\.png/);
    assert.match(said, /broken\.png: /);
    assert.match(said, /Class 3/);
    const roles = page.locator(`${hook("sample-thumb")}[data-role="left-out"]`);
    assert.equal(await roles.count(), 2);
    assert.deepEqual(problems, []);
    await close();
  });

  test("pictures with captions come as a table", onCpu, async () => {
    const { page, close } = await open();
    await page.locator(hook("train-files")).setInputFiles([
      await file("cat.png"),
      await file("tree.png"),
      { name: "captions.csv", mimeType: "text/csv", buffer: Buffer.from("file_name,text\ncat.png,\"a cat, walking\"\ntree.png,a green tree\ngone.png,nothing\n") },
    ]);
    await page.locator(hook("captions")).waitFor();
    const captions = await page.locator(`${hook("captions")} textarea`).evaluateAll((all) => all.map((a) => a.value));
    assert.deepEqual(captions, ["a cat, walking", "a green tree"]);
    assert.match(await page.locator(hook("data-problems")).innerText(), /gone\.png/);
    await page.locator(hook("data-amount")).filter({ hasText: "2 images" }).waitFor();
    assert.ok(await page.locator('[data-method="probe"] input').isDisabled(), "a probe needs classes");
    await close();
  });

  test("samples leave as a zip and come back", onCpu, async () => {
    const { page, close } = await open();
    await takeSamples(page);
    const { name, bytes } = await download(page, () => page.locator(hook("save-project")).click());
    assert.match(name, /\.clip-project\.zip$/);
    await page.locator(hook("clear-data")).click();
    await page.locator(hook("class-card")).first().waitFor({ state: "detached" });
    await page.locator(hook("train-files")).setInputFiles([{ name, mimeType: "application/zip", buffer: bytes }]);
    await page.locator(hook("data-amount")).filter({ hasText: "78 images" }).waitFor();
    const names = await page.locator(hook("class-card")).evaluateAll((all) => all.map((card) => card.dataset.name));
    assert.deepEqual(names.sort(), CLASSES);
    await close();
  });
});

describe("from samples to a classifier", suite, () => {
  for (const method of ["probe", "adapter"]) {
    test(`${method}: trained, looked at, used, taken away and brought back`, method === "probe" ? options : onCpu, async () => {
      const { page, problems, close } = await open();
      await takeSamples(page);
      await train(page, method);
      await finished(page);
      const [was, is] = [await shown(page, "before"), await shown(page, "after")];
      // With a dozen held-out images an adapter may name as many as zero-shot does, a probe must have learnt.
      assert.ok((method === "probe" ? is > was : is >= was) && is >= 40, `${was} % before, ${is} % after`);
      assert.equal(await page.locator(hook("class-result")).count(), CLASSES.length);

      const cell = page.locator(hook("confusion-cell")).first();
      const count = Number(await cell.innerText());
      await cell.click();
      const pictures = page.locator(`${hook("cell-pictures")} img`);
      assert.equal(await pictures.count(), count);
      await page.waitForFunction((q) => document.querySelector(q).naturalWidth > 0, `${hook("cell-pictures")} img`);

      const report = await download(page, () => page.locator(hook("save-report")).click());
      const read = JSON.parse(report.bytes);
      assert.equal(read.method, method);
      assert.equal(read.data.train, 78);
      const taken = await download(page, () => page.locator('[data-export="Head"]').click());
      assert.equal(header(taken.bytes).__metadata__.method, method);
      const onnx = await download(page, () => page.locator('[data-export="Onnx"]').click());
      assert.equal(onnx.name, `${method}.onnx`);
      assert.ok(["image_features", "probabilities", JSON.stringify(CLASSES)].every((text) => onnx.bytes.includes(text)));

      await page.locator(hook("use-trained")).click();
      await page.locator(hook("in-use")).waitFor();
      await h.drop(page, [join(DRAWINGS, "pizza.png")]);
      const rows = await h.ranking(page, "pizza.png", CLASSES);
      assert.equal(rows[0].label, "food");
      await page.locator(hook("back-to-before")).click();
      await page.locator(hook("in-use")).waitFor({ state: "detached" });

      await page.locator(hook("tab-train")).click();
      await page.locator(hook("import-files")).setInputFiles([{ name: taken.name, mimeType: "", buffer: taken.bytes }]);
      await page.locator(hook("notice")).filter({ hasText: "imported" }).waitFor();
      assert.deepEqual(problems, []);
      await close();
    });
  }

  test("LoRA: steps, curves, pause and resume, files", options, async () => {
    const { page, problems, close } = await open();
    await takeSamples(page);
    await train(page, "lora", { epochs: WEBGPU ? 1 : 4 });
    await page.locator(hook("charts")).waitFor();
    await page.locator(hook("train-pause")).click();
    await page.locator(`${hook("train-run")}[data-state="paused"]`).waitFor();
    const points = () => page.locator(hook("chart")).first().getAttribute("data-points");
    const still = await points();
    await page.waitForTimeout(1500);
    assert.equal(await points(), still, "nothing goes on while it is paused");
    await page.locator(hook("train-resume")).click();
    await finished(page);
    const taken = await download(page, () => page.locator('[data-export="Lora"]').click());
    assert.match(taken.name, /\.zip$/);
    assert.ok(taken.bytes.includes("adapter_config.json"));
    const whole = await download(page, () => page.locator('[data-export="OpenClip"]').click());
    assert.ok(whole.bytes.includes("open_clip_config.json"));
    await page.locator(hook("use-trained")).click();
    await page.locator(hook("in-use")).waitFor();
    await h.drop(page, [join(DRAWINGS, "pizza.png")]);
    await h.ranking(page, "pizza.png", CLASSES);
    assert.deepEqual(problems, []);
    await close();
  });

  test("a reload loses nothing: pictures are there, and the training goes on", onCpu, async () => {
    const { page, close } = await open();
    await takeSamples(page);
    await train(page, "full", { epochs: 2000 });
    await page.locator(hook("train-pace")).filter({ hasText: "checkpoint at step" }).waitFor();
    await page.reload();
    await page.locator(hook("interrupted")).waitFor();
    assert.equal(await page.locator(hook("class-card")).count(), CLASSES.length);
    await page.locator(hook("data-amount")).filter({ hasText: "78 images" }).waitFor();
    await page.locator(`${hook("interrupted-resume")}:enabled`).click();
    await page.locator(hook("charts")).waitFor();
    await page.locator(hook("train-finish")).click();
    await finished(page);
    await page.reload();
    await page.locator(hook("trained")).waitFor();
    assert.equal(await page.locator(hook("interrupted")).count(), 0);
    await close();
  });

  test("a stopped training leaves nothing", onCpu, async () => {
    const { page, close } = await open();
    await takeSamples(page);
    await train(page, "lora", { epochs: 2000 });
    await page.locator(hook("charts")).waitFor();
    await page.locator(hook("train-stop")).click();
    await page.locator(`${hook("train-run")}[data-state="idle"]`).waitFor();
    await page.reload();
    await h.waitReady(page);
    await page.locator(hook("class-card")).first().waitFor();
    assert.equal(await page.locator(hook("interrupted")).count(), 0);
    await close();
  });
});
