// What is deleted can be brought back for a while, everywhere on the page. In a real Chromium, on the CPU:
// the device has no share in it.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, copyFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import * as h from "./harness.mjs";
import { browser, server } from "./harness.mjs";
import { CLASSES, DRAWINGS, opened, takeSamples } from "./training.mjs";

const { hook, SLOW, WEBGPU } = h;
const options = { timeout: 3 * SLOW, skip: WEBGPU && "as on the CPU" };
const LABELS = ["cat", "tree", "umbrella"];

h.useBrowser({ skip: options.skip, webgpu: false });

const offer = (page, words) => page.locator(hook("undo")).filter({ hasText: words });
const undo = (page, words) => offer(page, words).locator(hook("undo-button")).click();
const all = (page, name, attribute) =>
  page.locator(hook(name)).evaluateAll((found, attribute) => found.map((one) => one.dataset[attribute]), attribute);

describe("undo", { timeout: 12 * SLOW }, () => {
  test("images come back to their places, with their answers", options, async () => {
    const { page, problems, close } = await h.openPage(browser, server.url);
    await h.waitReady(page);
    await h.setLabels(page, LABELS);
    const names = ["cat.png", "tree.png", "umbrella.png"];
    await h.drop(page, names.map((name) => join(DRAWINGS, name)));
    const first = await h.ranking(page, "tree.png", LABELS);
    await h.card(page, "tree.png").locator(hook("image-remove")).click();
    await h.card(page, "tree.png").waitFor({ state: "detached" });
    // Another question meanwhile: it is asked about it, too.
    await h.addLabels(page, ["pizza"]);
    await undo(page, "tree.png removed.");
    assert.deepEqual(await all(page, "image-card", "name"), names);
    const labels = [...LABELS, "pizza"];
    await h.ranking(page, "tree.png", labels);
    await page.locator(`${hook("label-chip")}[data-label="pizza"] button`).click();
    h.assertClose(await h.ranking(page, "tree.png", LABELS), first, 1e-5, "the same answer");

    await page.locator(hook("images-clear")).click();
    await h.drop(page, [join(DRAWINGS, "rocket.png")]);
    await undo(page, "3 images removed.");
    assert.deepEqual(await all(page, "image-card", "name"), ["rocket.png", ...names]);
    for (const name of names) await h.ranking(page, name, LABELS);
    assert.deepEqual(problems, []);
    await close();
  });

  test("labels and templates come back, the latest by Ctrl and Z; not while typing", options, async () => {
    const { page, problems, close } = await h.openPage(browser, server.url);
    await h.waitReady(page);
    await h.setLabels(page, LABELS);
    // Three at most; the oldest makes room.
    for (const label of ["tree", "cat", "umbrella"]) {
      await page.locator(`${hook("label-chip")}[data-label="${label}"] button`).click();
      await offer(page, `Label “${label}” removed.`).waitFor();
    }
    assert.equal(await page.locator(hook("undo")).count(), 3);
    const input = page.locator(hook("label-input"));
    await input.pressSequentially("abc");
    await input.press("Control+z");
    assert.deepEqual(await all(page, "label-chip", "label"), [], "what was typed is undone");
    await input.fill("");
    await input.press("Control+z");
    assert.deepEqual(await all(page, "label-chip", "label"), ["umbrella"]);
    await undo(page, "tree");
    await undo(page, "cat");
    assert.deepEqual((await all(page, "label-chip", "label")).sort(), LABELS);

    await page.locator(hook("labels-clear")).click();
    await h.addLabels(page, ["pizza"]);
    await undo(page, "3 labels removed.");
    assert.equal((await all(page, "label-chip", "label")).length, 4);
    await page.reload();
    await page.locator(hook("label-chip")).nth(3).waitFor();

    await page.locator("details.templates summary").click();
    await page.locator(hook("template-input")).fill("My {label}.");
    await page.locator(hook("template-input")).press("Enter");
    await page.getByRole("button", { name: "Remove template My {label}." }).click();
    await page.locator(hook("template-custom")).waitFor({ state: "detached" });
    await undo(page, "Prompt template “My {label}.” removed.");
    await page.locator(hook("template-custom")).waitFor();
    assert.deepEqual(problems, []);
    await close();
  });

  test("a class comes back with its images, also after a reload; what is not brought back is gone", options, async () => {
    const { page, problems, close } = await opened(browser, server.url);
    await takeSamples(page);
    const counts = () => page.locator(hook("class-count")).allInnerTexts();
    const before = [await all(page, "class-card", "name"), await counts()];
    const food = page.locator(`${hook("class-card")}[data-name="food"]`);
    await food.locator(hook("class-remove")).click();
    await food.waitFor({ state: "detached" });
    await undo(page, "Class food removed, with");
    assert.deepEqual([await all(page, "class-card", "name"), await counts()], before);
    await page.locator(hook("data-amount")).filter({ hasText: "78 images to train on, 18 held out for testing" }).waitFor();
    await page.locator(hook("clear-data")).click();
    await page.locator(hook("class-card")).first().waitFor({ state: "detached" });
    await page.locator("body").press("Control+z");
    assert.deepEqual([await all(page, "class-card", "name"), await counts()], before);
    await page.waitForTimeout(1500); // what is kept rests for half a second

    await page.reload();
    await page.locator(hook("class-card")).nth(CLASSES.length - 1).waitFor();
    assert.deepEqual([await all(page, "class-card", "name"), await counts()], before);
    await page.locator(hook("data-amount")).filter({ hasText: "78 images to train on" }).waitFor();
    await page.waitForFunction((q) => [...document.querySelectorAll(q)].slice(0, 5).every((image) => image.naturalWidth > 0), `${hook("sample-thumb")} img`);

    // Files that an earlier visit kept come back as well.
    await food.locator(hook("class-remove")).click();
    await undo(page, "Class food removed");
    await page.locator(hook("data-amount")).filter({ hasText: "78 images to train on" }).waitFor();
    await food.locator(hook("class-remove")).click();
    await offer(page, "Class food removed").locator(hook("undo-dismiss")).click();
    await page.waitForTimeout(1500);
    await page.reload();
    await page.locator(hook("class-card")).nth(CLASSES.length - 2).waitFor();
    await page.waitForTimeout(500);
    assert.ok(!(await all(page, "class-card", "name")).includes("food"));
    assert.deepEqual(problems, []);
    await close();
  });

  test("the index of a folder comes back, or is deleted when the offer is over", options, async () => {
    const root = await mkdtemp(join(tmpdir(), "clip-undo-"));
    const folder = join(root, "Photos");
    await mkdir(folder);
    for (const name of ["cat.png", "tree.png"]) await copyFile(join(DRAWINGS, name), join(folder, name));
    const context = await browser.newContext({ serviceWorkers: "block" });
    const page = await context.newPage();
    page.setDefaultTimeout(SLOW);
    const visit = async () => {
      await page.goto("about:blank");
      await page.goto(`${server.url}#library`);
      await h.waitReady(page);
    };
    const kept = page.locator(hook("kept-index")).filter({ hasText: "Photos" });
    const remove = () => kept.getByRole("button", { name: "Delete the index of Photos" }).click();
    await visit();
    await page.locator(hook("folder-input")).setInputFiles(folder);
    await page.locator(hook("index-status")).filter({ hasText: /^Photos: 2 images/ }).waitFor();
    await visit();
    await kept.waitFor();
    await remove();
    await kept.waitFor({ state: "detached" });
    await undo(page, "The index of Photos for");
    await kept.waitFor();
    await remove();
    await offer(page, "The index of Photos for").locator(hook("undo-dismiss")).click();
    while (await h.indexBytes(page)) await page.waitForTimeout(50);
    await visit();
    await page.waitForTimeout(1000);
    assert.equal(await kept.count(), 0);
    await context.close();
    await rm(root, { recursive: true, force: true });
  });
});
