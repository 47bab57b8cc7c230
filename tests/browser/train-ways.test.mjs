// Ways into and out of training: captions, camera, folders, other models, a LoRA taken
// away and brought back. In a real Chromium, on the CPU: what a GPU has a share in is
// in train.test.mjs.

import assert from "node:assert/strict";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as h from "./harness.mjs";
import { CLASSES, DRAWINGS, download, finished, opened, shown, stored, takeSamples, train } from "./training.mjs";

const { hook, SLOW, WEBGPU } = h;
const options = { timeout: 5 * SLOW, skip: WEBGPU && "as on the CPU" };
const suite = { timeout: 40 * SLOW };
const CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];

let server, browser, folder;
before(async () => {
  server = await h.startServer();
  browser = await h.launchBrowser({ webgpu: false, flags: CAMERA });
  folder = await mkdtemp(join(tmpdir(), "clip-train-"));
});
after(async () => {
  await browser?.close();
  server?.stop();
  await rm(folder, { recursive: true, force: true });
  await h.cleanUp();
});

const open = (options) => opened(browser, server.url, options);
const amount = (page, words) => page.locator(hook("data-amount")).filter({ hasText: words }).waitFor();

/** Lays sample pictures into folders: { "pets/cat": ["cat.png"] }. */
async function lay(name, folders) {
  const root = join(folder, name);
  for (const [path, pictures] of Object.entries(folders)) {
    await mkdir(join(root, path), { recursive: true });
    for (const picture of pictures) await copyFile(join(DRAWINGS, picture), join(root, path, picture));
  }
  return root;
}

/** A real drag of files and folders from outside, to the middle of an element. */
async function dragOnto(page, locator, paths) {
  await locator.scrollIntoViewIfNeeded();
  const { x, y, width, height } = await locator.boundingBox();
  const cdp = await page.context().newCDPSession(page);
  const data = { items: [], files: paths, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) {
    await cdp.send("Input.dispatchDragEvent", { type, x: x + width / 2, y: y + height / 2, data });
  }
  await cdp.detach();
}

const CAPTIONS = {
  "bicycle.png": "a bicycle leaning on nothing",
  "butterfly.png": "a butterfly, wings open",
  "cat.png": "a cat looking at you",
  "grapes.png": "a bunch of grapes",
  "guitar.png": "a guitar for songs",
  "pizza.png": "a slice of pizza",
  "rocket.png": "a rocket on its way",
  "soccer.png": "a ball for football",
  "tree.png": "a green tree",
  "umbrella.png": "an umbrella against the rain",
};

describe("pictures with captions", suite, () => {
  for (const method of ["lora", "full"]) {
    test(`a folder with a table, ${method}: learnt from and measured on`, options, async () => {
      const root = await lay(`captions-${method}`, { "": Object.keys(CAPTIONS) });
      const rows = Object.entries(CAPTIONS).map(([name, text]) => `${name},"${text}"\n`);
      await writeFile(join(root, "captions.csv"), `file_name,text\n${rows.join("")}`);
      const { page, problems, close } = await open();
      await page.locator(hook("train-folder")).setInputFiles(root);
      await amount(page, "8 images to train on, 2 held out for testing");
      await train(page, method, { epochs: 3 });
      await finished(page);
      for (const name of ["before", "after"]) {
        const share = await shown(page, name);
        assert.ok(share >= 0 && share <= 100, `${name}: ${share} %`);
      }
      assert.match(await page.locator(hook("verdict")).innerText(), /on 2 held-out images/);
      assert.ok(Number(await page.locator(hook("chart")).first().getAttribute("data-points")) >= 3);

      if (method === "lora") {
        // The pairs leave as a zip with a table, and come back from it.
        const { name, bytes } = await download(page, () => page.locator(hook("save-project")).click());
        await page.locator(hook("clear-data")).click();
        await page.locator(hook("captions")).waitFor({ state: "detached" });
        await page.locator(hook("train-files")).setInputFiles([{ name, mimeType: "application/zip", buffer: bytes }]);
        await amount(page, "8 images to train on, 2 held out for testing");
        const captions = await page.locator(`${hook("captions")} textarea`).evaluateAll((all) => all.map((a) => a.value));
        assert.deepEqual(captions.sort(), Object.values(CAPTIONS).sort());
      }
      assert.deepEqual(problems, []);
      await close();
    });
  }
});

describe("classes", suite, () => {
  test("a folder dropped on a card goes into that class", options, async () => {
    const root = await lay("pets", { "": ["cat.png"], "more": ["butterfly.png"] });
    const { page, problems, close } = await open();
    await page.locator(hook("first-classes")).click();
    const card = page.locator(hook("class-card")).first();
    await card.locator(hook("class-name")).fill("animals");
    await card.locator(hook("class-name")).blur();
    await dragOnto(page, card, [root]);
    await card.locator(hook("sample-thumb")).nth(1).waitFor();
    await dragOnto(page, page.locator(hook("class-card")).last(), [join(DRAWINGS, "tree.png"), join(DRAWINGS, "pizza.png")]);
    await amount(page, "4 images to train on");
    const counts = await page.locator(hook("class-count")).allInnerTexts();
    assert.deepEqual(counts, ["2", "2"]);
    // Anywhere else, sub-folders are classes.
    const classes = await lay("things", { animals: ["cat.png"], food: ["grapes.png"], music: ["guitar.png"] });
    await dragOnto(page, page.locator(hook("bring")), [classes]);
    await page.locator(`${hook("class-card")}[data-name="music"]`).waitFor();
    await amount(page, "6 images to train on"); // a second cat is none
    assert.match(await page.locator(hook("data-problems")).innerText(), /a duplicate of/);
    assert.deepEqual(problems, []);
    await close();
  });

  test("the camera takes one with a tap and several while it is held", options, async () => {
    const { page, problems, close } = await open();
    await page.locator(hook("first-classes")).click();
    const card = page.locator(hook("class-card")).first();
    await card.locator(hook("camera-open")).click();
    const take = card.locator(`${hook("camera-take")}:enabled`);
    await page.waitForFunction((q) => document.querySelector(q)?.videoWidth > 0, `${hook("camera")} video`);
    await take.click();
    await card.locator(hook("sample-thumb")).first().waitFor();
    const before = await card.locator(hook("sample-thumb")).count();
    // What is shown while an image is read moves the button.
    await page.locator(hook("reading")).waitFor({ state: "detached" });
    await take.hover();
    await page.mouse.down();
    await card.locator(hook("sample-thumb")).nth(before + 2).waitFor();
    await page.mouse.up();
    await page.waitForTimeout(600);
    const taken = await card.locator(hook("sample-thumb")).count();
    await page.waitForTimeout(600);
    assert.equal(await card.locator(hook("sample-thumb")).count(), taken, "a released button takes no more");
    await page.locator(hook("reading")).waitFor({ state: "detached" });
    const size = await card.locator(`${hook("sample-thumb")} img`).first().evaluate((img) => [img.naturalWidth, img.naturalHeight]);
    assert.equal(size[0], size[1], "a square, as the model sees it");
    await card.locator(hook("camera-close")).click();
    await page.locator(hook("camera")).waitFor({ state: "detached" });
    assert.deepEqual(problems, []);
    await close();
  });
});

describe("models", suite, () => {
  /** Probabilities of the classes for a picture, by what was trained. */
  async function answers(page, picture) {
    await page.locator(hook("use-trained")).click();
    await page.locator(hook("in-use")).waitFor();
    await h.setLabels(page, CLASSES);
    await h.drop(page, [join(DRAWINGS, picture)]);
    return h.ranking(page, picture, CLASSES);
  }

  test("a LoRA is taken away and gives the same answers where it is brought", options, async () => {
    const first = await open();
    await takeSamples(first.page);
    await train(first.page, "lora", { epochs: 2 });
    await finished(first.page);
    const taken = await download(first.page, () => first.page.locator('[data-export="Lora"]').click());
    const expected = await answers(first.page, "pizza.png");
    await first.close();

    for (const files of [stored(taken.bytes), [{ name: taken.name, bytes: taken.bytes }]]) {
      const { page, problems, close } = await open();
      await h.waitReady(page);
      await page.locator(hook("import-files")).setInputFiles(
        files.map(({ name, bytes }) => ({ name, mimeType: "", buffer: bytes })),
      );
      await page.locator(hook("notice")).filter({ hasText: "imported" }).waitFor();
      h.assertClose(await answers(page, "pizza.png"), expected, 1e-5, files.map((file) => file.name).join());
      await page.locator(hook("back-to-before")).click();
      await page.locator(hook("in-use")).waitFor({ state: "detached" });
      const plain = await h.ranking(page, "pizza.png", CLASSES);
      assert.ok(plain.some((row, i) => Math.abs(row.probability - expected[i].probability) > 1e-4), "it was the LoRA's doing");
      assert.deepEqual(problems, []);
      await close();
    }
  });

  /** Opens a model from its files. */
  async function openModel(page, files) {
    await page.locator(hook("tab-classify")).click();
    await h.drop(page, files);
    await page.locator(hook("model-source")).filter({ hasNotText: /bundled/i }).waitFor({ state: "attached" });
    await h.waitReady(page);
  }

  // Neither has a place in OpenCLIP's format: a text that does not end with the highest id, and a SigLIP.
  for (const model of ["hf-tokenizer-bf16", "siglip-f32"]) {
    test(`${model} learns as well, and what it learnt is a model`, options, async () => {
      const golden = join(h.ROOT, "tests/golden/models", model);
      const names = ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"];
      const first = await open();
      await h.waitReady(first.page);
      await openModel(first.page, names.map((name) => join(golden, name)));
      await first.page.locator(hook("tab-train")).click();
      await takeSamples(first.page);
      for (const method of ["lora", "full"]) {
        await train(first.page, method, { epochs: 1 });
        await first.page.locator(`${hook("train-run")}[data-state="running"]`).waitFor();
        await first.page.locator(`${hook("train-run")}[data-state="idle"]`).waitFor();
        await finished(first.page);
        assert.ok(Number(await first.page.locator(hook("chart")).first().getAttribute("data-points")) > 0);
      }
      const offered = await first.page.locator("[data-export]").evaluateAll((all) => all.map((a) => a.dataset.export));
      assert.deepEqual(offered, ["HuggingFace"]);
      const taken = await download(first.page, () => first.page.locator('[data-export="HuggingFace"]').click());
      const expected = await answers(first.page, "pizza.png");
      assert.deepEqual(first.problems, []);
      await first.close();

      const { page, problems, close } = await open();
      await h.waitReady(page);
      await openModel(page, stored(taken.bytes));
      await h.setLabels(page, CLASSES);
      await h.drop(page, [join(DRAWINGS, "pizza.png")]);
      h.assertClose(await h.ranking(page, "pizza.png", CLASSES), expected, 1e-5, model);
      assert.deepEqual(problems, []);
      await close();
    });
  }
});
