// Where in an image a label fits, and when none of them does: the same in the page as in the command.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import * as h from "./harness.mjs";
import { browser, server } from "./harness.mjs";

const { hook, MODE, SLOW } = h;
const SAMPLES = join(h.ROOT, "assets/samples");
const SIGLIP = join(h.ROOT, "tests/golden/models/siglip-f32");
const options = { timeout: 5 * SLOW };

h.useBrowser();

/** What the command prints as JSON. */
async function clip(...words) {
  const { stdout } = await promisify(execFile)(h.CLIP, [...words, "--device", "cpu", "--json"], { cwd: h.ROOT });
  return JSON.parse(stdout).images;
}

const row = (page, image, label) => h.card(page, image).locator(`${hook("ranking-row")}[data-label="${label}"]`);
const button = (page, image, label) => row(page, image, label).locator("button");

async function classified(page, images, labels) {
  await h.waitReady(page);
  await h.setLabels(page, labels);
  await h.drop(page, images.map((name) => join(SAMPLES, name)));
  for (const image of images) await h.ranking(page, image, labels);
}

describe(`where and none of these (${MODE})`, { timeout: 30 * SLOW }, () => {
  test("a label's heat map lies over the image, by mouse and keyboard, where the command puts it", options, async () => {
    const { page, problems, close } = await h.openPage(browser, server.url);
    try {
      const labels = ["cat", "flower"];
      await classified(page, ["cat.jpg", "flower.jpg"], labels);
      const legend = h.card(page, "cat.jpg").locator(hook("heat-legend"));
      const overlay = h.card(page, "cat.jpg").locator(hook("heat-map"));
      const [{ labels: expected }] = await clip("locate", join(SAMPLES, "cat.jpg"), "--labels", labels.join(","));
      for (const label of labels) {
        // The first by mouse, anywhere on its row; the second by keyboard.
        if (label === "cat") await row(page, "cat.jpg", label).click({ position: { x: 5, y: 5 } });
        else {
          await button(page, "cat.jpg", label).focus();
          await page.keyboard.press("Enter");
        }
        await legend.filter({ hasText: `“${label}” fits` }).waitFor();
        assert.equal(await button(page, "cat.jpg", label).getAttribute("aria-pressed"), "true");
        const place = expected.find((found) => found.label === label);
        const percent = (share) => Math.round(100 * share);
        const text = `${percent(place.x)} % from the left and ${percent(place.y)} % from the top`;
        assert.ok((await legend.textContent()).includes(text), `${await legend.textContent()} says ${text}`);
        await page.waitForFunction((q) => document.querySelector(q)?.naturalWidth > 0, hook("heat-map"));
      }
      assert.equal(await button(page, "cat.jpg", "cat").getAttribute("aria-pressed"), "false");
      assert.equal(await h.card(page, "flower.jpg").locator(hook("heat-map")).count(), 0, "only on its own card");

      // As large and as high as the image below it.
      const sizes = await h.card(page, "cat.jpg").locator(".thumb img").evaluateAll((images) =>
        images.map((image) => [image.naturalWidth / image.naturalHeight, image.clientWidth, image.clientHeight]));
      assert.equal(sizes.length, 2);
      assert.ok(Math.abs(sizes[0][0] - sizes[1][0]) < 0.02, `${sizes}`);
      assert.deepEqual(sizes[0].slice(1), sizes[1].slice(1));

      const [download] = await Promise.all([page.waitForEvent("download"), legend.locator(hook("heat-save")).click()]);
      assert.equal(download.suggestedFilename(), "cat - flower.png");
      const png = await readFile(await download.path());
      assert.deepEqual([...png.subarray(1, 4)], [..."PNG"].map((letter) => letter.charCodeAt(0)));
      const size = await page.evaluate(async (bytes) => {
        const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
        return [bitmap.width, bitmap.height];
      }, [...png]);
      const facts = await h.card(page, "cat.jpg").locator(".facts").textContent();
      assert.equal(facts, `${size[0]} × ${size[1]} pixels`);

      await button(page, "cat.jpg", "flower").click();
      await overlay.waitFor({ state: "detached" });
      assert.equal(await legend.count(), 0);
      // Other labels take a map away, too: it was an answer to the old question.
      await button(page, "cat.jpg", "cat").click();
      await overlay.waitFor();
      await h.addLabels(page, ["dog"]);
      await h.ranking(page, "cat.jpg", [...labels, "dog"]);
      await overlay.waitFor({ state: "detached" });
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("a label that is gone is told of before the image is decoded", options, async () => {
    const { page, close } = await h.openPage(browser, server.url, { prepare: h.sabotage });
    try {
      await classified(page, ["cat.jpg"], ["cat", "flower"]);
      const error = await page.evaluate(
        () =>
          new Promise((resolve) => {
            const worker = workers.at(-1);
            worker.addEventListener("message", ({ data }) => data.message.LocateFailed && resolve(data.message.LocateFailed.error.text));
            // Bytes that are no image.
            worker.postMessage({ message: { Locate: { image: 999, label: "gone", drawing: "Overlay" } }, bytes: new ArrayBuffer(9) });
          }),
      );
      assert.equal(error, "the labels have changed: click the label again");
    } finally {
      await close();
    }
  });

  test("images that no label fits are told by the command's score, and the threshold is kept", options, async () => {
    const { page, problems, close } = await h.openPage(browser, server.url);
    try {
      const labels = ["motorcycle", "cow"];
      const images = ["coffee.jpg", "pizza.png"];
      await classified(page, images, labels);
      const said = (image) => h.card(page, image).locator(hook("none-fits"));
      assert.equal(await said("coffee.jpg").count(), 0, "off at first");
      await page.locator(hook("reject-toggle")).check();
      await said("coffee.jpg").waitFor();
      const found = await clip("classify", "--labels", labels.join(","), "--reject", "--images", ...images.map((name) => join(SAMPLES, name)));
      for (const [index, image] of images.entries()) {
        const { fit, rejected, labels: ranking } = found[index];
        assert.equal(await said(image).count(), rejected ? 1 : 0, `${image}: ${fit}`);
        if (!rejected) continue;
        const text = await said(image).textContent();
        assert.ok(text.endsWith(`closest: ${ranking[0].label}.`), text);
        const shown = text.match(/\((.+) %\)/)[1];
        assert.ok(Math.abs(Number(shown.replace("<", "")) / 100 - fit) < 0.006, `${text}, by the command ${fit}`);
      }
      // A label that fits: the answer changes with the question.
      await h.addLabels(page, ["cup of coffee"]);
      await h.ranking(page, "coffee.jpg", [...labels, "cup of coffee"]);
      await said("coffee.jpg").waitFor({ state: "detached" });

      const slider = page.locator(hook("reject-threshold"));
      await slider.fill("100");
      await said("coffee.jpg").waitFor();
      await page.reload();
      await h.waitReady(page);
      assert.ok(await page.evaluate(() => JSON.parse(localStorage.getItem("clip.reject"))).then(({ on, share }) => on && share === 1));
      await h.drop(page, [join(SAMPLES, "coffee.jpg")]);
      await said("coffee.jpg").waitFor();
      assert.equal(await page.locator(hook("reject-threshold")).inputValue(), "100");
      await page.locator(hook("reject-threshold")).fill("0");
      await said("coffee.jpg").waitFor({ state: "detached" });
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("a sigmoid model's labels are each rejected by their own probability", options, async () => {
    const { page, problems, close } = await h.openPage(browser, server.url);
    try {
      await h.waitReady(page);
      const help = page.locator(hook("answers-help"));
      await page.locator(hook("model-files")).setInputFiles(
        ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"].map((name) => join(SIGLIP, name)));
      await page.locator(hook("model-source")).filter({ hasText: "your files" }).waitFor();
      const labels = ["cat", "dog", "a b c"];
      await classified(page, ["cat.jpg"], labels);
      await help.filter({ hasText: "do not add up to 100 %" }).waitFor();
      await page.locator(hook("reject-toggle")).check();
      await page.locator(hook("reject-threshold")).fill("100");
      const said = h.card(page, "cat.jpg").locator(hook("none-fits"));
      await said.waitFor();
      const [{ fit }] = await clip("classify", "--model", SIGLIP, "--labels", labels.join(","), "--reject", "1", "--images", join(SAMPLES, "cat.jpg"));
      const [top] = await h.ranking(page, "cat.jpg", labels);
      assert.ok(Math.abs(top.probability - fit) < 1e-3, `${top.probability}, by the command ${fit}`);
      await button(page, "cat.jpg", "dog").click();
      await h.card(page, "cat.jpg").locator(hook("heat-map")).waitFor();
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });
});
