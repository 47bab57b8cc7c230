// A project as one file: saved, opened on another machine with the same classes, held-out images and answers;
// refused in words where it cannot be. And whether a trained head's classes fit at all. In a real Chromium, on
// the CPU: the device has no share in it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import * as h from "./harness.mjs";
import { CLASSES, DRAWINGS, download, file, finished, header, opened, shown, stored, takeSamples, train } from "./training.mjs";

const { hook, SLOW, WEBGPU } = h;
const options = { timeout: 3 * SLOW, skip: WEBGPU && "as on the CPU" };
const PHOTO = join(h.ROOT, "assets/samples/coffee.jpg");
const OTHER_MODEL = ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"]
  .map((name) => join(h.ROOT, "tests/golden/models/siglip-f32", name));

let server, browser, root;
before(async () => {
  if (options.skip) return;
  server = await h.startServer();
  browser = await h.launchBrowser({ webgpu: false });
  root = await mkdtemp(join(tmpdir(), "clip-project-"));
});
after(async () => {
  await browser?.close();
  server?.stop();
  if (root) await rm(root, { recursive: true, force: true });
  await h.cleanUp();
});

const clip = async (...words) => {
  const { stdout } = await promisify(execFile)(h.CLIP, [...words, "--device", "cpu"], { cwd: h.ROOT });
  return stdout;
};
const notice = (page, words) => page.locator(hook("notice")).filter({ hasText: words });
const choose = (page, { name, bytes }) =>
  page.locator(hook("train-files")).setInputFiles([{ name, mimeType: "application/zip", buffer: bytes }]);
const names = (page) => page.locator(hook("class-card")).evaluateAll((all) => all.map((card) => card.dataset.name));
/** Title and role of each image. */
const images = (page) =>
  page.locator(hook("sample-thumb")).evaluateAll((all) => all.map((one) => [one.title, one.dataset.role]));
const amount = (page, words) => page.locator(hook("data-amount")).filter({ hasText: words }).waitFor();

async function answer(page, picture = join(DRAWINGS, "pizza.png"), labels = CLASSES) {
  await page.locator(hook("use-trained")).click();
  await page.locator(hook("in-use")).waitFor();
  await h.drop(page, [picture]);
  return h.ranking(page, picture.split("/").at(-1), labels);
}

describe("projects", { timeout: 12 * SLOW }, () => {
  let project; // the file, and what was to be seen
  test("saved, and opened in another browser: the same classes, held-out images and answers", options, async () => {
    const first = await opened(browser, server.url);
    await takeSamples(first.page);
    await train(first.page, "probe");
    await finished(first.page);
    project = { images: await images(first.page), after: await shown(first.page, "after") };
    Object.assign(project, await download(first.page, () => first.page.locator(hook("save-project")).click()));
    assert.match(project.name, /^.+\.clip-project\.zip$/);
    project.answer = await answer(first.page);
    assert.deepEqual(first.problems, []);
    await first.close();

    // For others to read: folders, a table of everything, and the head.
    const files = Object.fromEntries(stored(project.bytes).map(({ name, bytes }) => [name, bytes]));
    const described = JSON.parse(files["project.json"]);
    assert.deepEqual([described.format, described.version, described.classes], ["clip-project", 1, CLASSES]);
    assert.ok(described.images.every(({ file, class: name }) => file.startsWith(`${name}/`) && files[file]));
    assert.equal(described.images.filter(({ split }) => split === "test").length, 18);
    const head = header(files["probe.safetensors"]);
    assert.deepEqual(head.class_means.shape, head.weight.shape);

    const second = await opened(browser, server.url);
    const { page } = second;
    await h.waitReady(page);
    await h.drop(page, [{ name: project.name, type: "application/zip", bytes: project.bytes }]);
    await notice(page, "opened").waitFor();
    await amount(page, "78 images to train on, 18 held out for testing");
    assert.deepEqual(await names(page), CLASSES);
    assert.deepEqual(await images(page), project.images);
    await finished(page);
    assert.equal(await shown(page, "after"), project.after);
    assert.equal(await page.locator(hook("class-result")).count(), CLASSES.length);
    h.assertClose(await answer(page), project.answer, 1e-5, "the same answer");
    // It is kept as any other.
    await page.locator(hook("tab-train")).click();
    await page.waitForTimeout(1500);
    await page.reload();
    await amount(page, "78 images to train on, 18 held out for testing");
    assert.deepEqual(await images(page), project.images);
    assert.deepEqual(second.problems, []);
    await second.close();

    // The command obeys it, too.
    const zip = join(root, project.name);
    await writeFile(zip, project.bytes);
    await clip("train", "--method", "probe", "--data", zip, "--out", join(root, "out"));
    const report = JSON.parse(await readFile(join(root, "out/report.json"), "utf8"));
    assert.deepEqual([report.data.train, report.data.held_out, report.data.problems], [78, 18, []]);
  });

  test("it takes the place of another project, which comes back; a file that is none takes nothing's place", options, async () => {
    const { page, problems, close } = await opened(browser, server.url);
    await page.locator(hook("first-classes")).click();
    const card = page.locator(hook("class-card")).first();
    await card.locator(hook("class-name")).fill("pet");
    await card.locator(hook("class-files")).setInputFiles([await file("cat.png"), await file("butterfly.png")]);
    const mine = async () => {
      await amount(page, "2 images to train on");
      return [await names(page), await images(page)];
    };
    const before = await mine();
    const text = (change) => {
      const at = project.bytes.indexOf('"version": 1');
      const bytes = Buffer.from(project.bytes);
      bytes.write(change, at);
      return { name: "x.zip", bytes };
    };
    for (const [broken, words] of [
      [{ name: "cut.clip-project.zip", bytes: project.bytes.subarray(0, 5000) }, "not a readable zip"],
      [{ name: "other.zip", bytes: Buffer.from("no zip") }, "not a readable zip"],
      // The checksum of the zip tells.
      [text('"version": 9'), "could not be read"],
    ]) {
      await choose(page, broken);
      await page.locator(hook("error")).filter({ hasText: words }).first().waitFor();
      assert.deepEqual(await mine(), before);
    }
    await choose(page, project);
    await amount(page, "78 images to train on");
    assert.deepEqual(await names(page), CLASSES);
    await finished(page);
    await page.locator(hook("undo")).filter({ hasText: "opened" }).locator(hook("undo-button")).click();
    assert.deepEqual(await mine(), before);
    await page.locator(hook("after")).waitFor({ state: "detached" });
    // And back once more.
    await page.locator(hook("undo")).filter({ hasText: "opened" }).locator(hook("undo-button")).click();
    await amount(page, "78 images to train on, 18 held out for testing");
    assert.deepEqual(await images(page), project.images);
    await finished(page);
    assert.equal((await answer(page))[0].label, project.answer[0].label);
    assert.deepEqual(problems, []);
    await close();
  });

  test("of another model: the page asks, and opens that one first", options, async () => {
    const { page, problems, close } = await opened(browser, server.url);
    await h.waitReady(page);
    await page.locator(hook("tab-classify")).click();
    await page.locator(hook("model-files")).setInputFiles(OTHER_MODEL);
    await page.locator(hook("model-source")).filter({ hasText: "your files" }).waitFor();
    await h.waitReady(page);
    await page.locator(hook("tab-train")).click();
    const offer = page.locator(hook("project-offer"));
    await choose(page, project);
    await offer.filter({ hasText: "was made with the model clip-everyday" }).waitFor();
    await offer.locator(hook("project-dismiss")).click();
    assert.equal(await page.locator(hook("class-card")).count(), 0);
    await choose(page, project);
    await offer.locator(hook("project-without-trained")).click();
    await amount(page, "78 images to train on, 18 held out for testing");
    assert.deepEqual(await images(page), project.images);
    assert.equal(await page.locator(hook("use-trained")).count(), 0);
    await choose(page, project);
    await offer.locator(hook("project-open-model")).click();
    await finished(page);
    h.assertClose(await answer(page), project.answer, 1e-5, "the same answer");
    assert.deepEqual(problems, []);
    await close();
  });

  test("a trained head tells when none of its classes fits, as by the command", options, async () => {
    const { page, problems, close } = await h.openPage(browser, server.url);
    await h.waitReady(page);
    // Dropped on another tab, it opens the Train tab.
    await h.drop(page, [{ name: project.name, type: "application/zip", bytes: project.bytes }]);
    await finished(page);
    await answer(page, PHOTO);
    const said = h.card(page, "coffee.jpg").locator(hook("none-fits"));
    assert.equal(await said.count(), 0, "off at first");
    await page.locator(hook("reject-toggle")).check();
    await said.filter({ hasText: "None of these fits well" }).waitFor();
    assert.equal(await page.locator(hook("reject-threshold")).inputValue(), "5");
    // The features are the same: an image of the classes fits, as it does for the command.
    await h.drop(page, [join(DRAWINGS, "pizza.png")]);
    await h.ranking(page, "pizza.png", CLASSES);
    const head = join(root, "head.safetensors");
    await writeFile(head, stored(project.bytes).find(({ name }) => name === "probe.safetensors").bytes);
    const pictures = [PHOTO, join(DRAWINGS, "pizza.png")];
    const found = JSON.parse(await clip("classify", "--head", head, "--reject", "--json", "--images", ...pictures)).images;
    assert.deepEqual(found.map(({ rejected }) => rejected), [true, false]);
    await page.waitForTimeout(500);
    assert.equal(await h.card(page, "pizza.png").locator(hook("none-fits")).count(), 0);
    await page.locator(hook("reject-threshold")).fill("100");
    const shownFit = await h.card(page, "pizza.png").locator(hook("none-fits")).textContent();
    const percent = Number(shownFit.match(/\((.+) %\)/)[1]);
    assert.ok(Math.abs(percent / 100 - found[1].fit) < 0.006, `${shownFit}, by the command ${found[1].fit}`);
    // Of labels again, by the words.
    await page.locator(hook("reject-threshold")).fill("5");
    await page.locator(hook("back-to-before")).click();
    await page.waitForFunction((q) => document.querySelector(q).value === "30", hook("reject-threshold"));
    assert.deepEqual(problems, []);
    await close();
  });
});
