// The library side of the page, in a real Chromium: a folder is indexed, searched, its duplicates
// found and its images sorted; a second visit reads only what is new.

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as h from "./harness.mjs";

const { hook, MODE, SLOW } = h;
const options = { timeout: 3 * SLOW };

describe(`a library of one's own images (${MODE})`, { timeout: 10 * SLOW }, () => {
  let server, browser, folder;

  before(async () => {
    server = await h.startServer();
    browser = await h.launchBrowser();
    folder = join(await mkdtemp(join(tmpdir(), "clip-library-")), "Photos");
    for (const [from, to] of [
      ["cat.jpg", "animals/cat.jpg"],
      ["cat.jpg", "backup/cat.jpg"],
      ["coffee.jpg", "kitchen/coffee.jpg"],
      ["pizza.png", "kitchen/pizza.png"],
      ["rocket.jpg", "rocket.jpg"],
      ["flower.jpg", "花/flower.jpg"],
    ]) {
      const target = join(folder, to);
      await mkdir(join(target, ".."), { recursive: true });
      await cp(join(h.ROOT, "assets/samples", from), target);
    }
    await writeFile(join(folder, "broken.jpg"), h.noise(2000));
    await writeFile(join(folder, "notes.txt"), "no image");
  });

  after(async () => {
    await browser?.close();
    server?.stop();
    if (folder) await rm(join(folder, ".."), { recursive: true, force: true });
  });

  const status = (page, text) => page.locator(hook("index-status")).filter({ hasText: text }).waitFor();
  const paths = (page) => page.locator(hook("hit")).evaluateAll((hits) => hits.map((hit) => hit.dataset.path));
  const choose = (page) => page.locator(hook("folder-input")).setInputFiles(folder);

  test("a folder is indexed, searched and sorted, and its duplicates are found", options, async () => {
    const { page, problems, close } = await h.openPage(browser, server.url);
    try {
      await h.waitReady(page);
      await page.locator(hook("tab-library")).click();
      await choose(page);
      await status(page, "Photos: 6 images");
      assert.match(await page.locator(hook("skipped")).innerText(), /1 files skipped/);

      await page.locator(hook("search-input")).fill("a photo of a rocket");
      await page.locator(hook("hit")).first().waitFor();
      const found = await paths(page);
      assert.equal(found.length, 6);
      assert.equal(found[0], "rocket.jpg");

      // More like this: neither it nor its copy is an answer.
      const cat = page.locator(`${hook("hit")}[data-path="animals/cat.jpg"]`);
      await cat.getByRole("button", { name: "More like this" }).click();
      await page.locator(hook("search-input")).fill("");
      await page.locator(hook("like-chip")).waitFor();
      await page.locator(hook("search-count")).filter({ hasText: "4 images" }).waitFor();
      assert.ok(!(await paths(page)).some((path) => path.endsWith("cat.jpg")));

      await page.locator(hook("task-duplicates")).click();
      await page.locator(hook("find-duplicates")).click();
      const identical = page.locator(hook("identical"));
      await identical.waitFor();
      assert.match(await identical.innerText(), /cat\.jpg/);
      assert.equal(await identical.locator(".tile").count(), 2);

      await page.locator(hook("task-sort")).click();
      await page.locator(hook("sort-labels")).fill("cat, cup of coffee, rocket, flower, pizza");
      await page.locator(hook("sort-images")).click();
      const rockets = page.locator(`${hook("sorted-group")}[data-label="rocket"]`);
      await rockets.locator(`${hook("sorted-image")}[data-path="rocket.jpg"]`).waitFor();
      const all = await page.locator(hook("sorted-image")).count();
      assert.equal(all, 6);
      // By hand into another group.
      await rockets.locator(`${hook("sorted-image")}[data-path="rocket.jpg"] select`).selectOption({ label: "pizza" });
      await page
        .locator(`${hook("sorted-group")}[data-label="pizza"] ${hook("sorted-image")}[data-path="rocket.jpg"]`)
        .waitFor();
      // And on to training.
      await page.locator(hook("train-sorted")).click();
      await page.locator(hook("class-card")).first().waitFor();
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("a second visit reads only what is new", options, async () => {
    const context = await browser.newContext();
    try {
      const visit = async (expected) => {
        const page = await context.newPage();
        await page.goto(`${server.url}#library`);
        await h.waitReady(page);
        await choose(page);
        await status(page, expected);
        return page;
      };
      const first = await visit("Photos: 6 images");
      await first.close();
      const second = await context.newPage();
      await second.goto(`${server.url}#library`);
      await h.waitReady(second);
      await second.locator(hook("kept-index")).filter({ hasText: "Photos · 6 images" }).waitFor();
      // No image is encoded again: the index is complete as soon as it is open.
      await second.evaluate((selector) => {
        window.seen = [];
        new MutationObserver(() => window.seen.push(document.querySelector(selector)?.textContent)).observe(document.body, {
          childList: true,
          characterData: true,
          subtree: true,
        });
      }, hook("index-status"));
      await choose(second);
      await status(second, "Photos: 6 images");
      assert.ok(!(await second.evaluate(() => window.seen)).some((text) => text?.includes("indexing")));
    } finally {
      await context.close();
    }
  });

  test("a folder without images says so", options, async () => {
    const empty = await mkdtemp(join(tmpdir(), "clip-empty-"));
    await writeFile(join(empty, "notes.txt"), "no image");
    const { page, close } = await h.openPage(browser, server.url);
    try {
      await h.waitReady(page);
      await page.locator(hook("tab-library")).click();
      await page.locator(hook("folder-input")).setInputFiles(empty);
      await page.getByText("There are no images in this folder").waitFor();
    } finally {
      await close();
      await rm(empty, { recursive: true, force: true });
    }
  });
});
