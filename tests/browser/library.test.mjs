// The library side of the page, in a real Chromium: a folder is indexed, searched, its duplicates
// found and its images sorted; a second visit reads only what is new.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import * as h from "./harness.mjs";

const { hook, MODE, SLOW, WEBGPU } = h;
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
  /** Waits until the tiles, which come some in a frame, are all there. */
  const drawn = (page) =>
    page.evaluate(async () => {
      const tiles = () => [...document.querySelectorAll(".tile")].map((tile) => tile.dataset.path).join("|");
      for (let before = tiles(), same = 0; same < 6; ) {
        await new Promise(requestAnimationFrame);
        same = tiles() === before ? same + 1 : 0;
        before = tiles();
      }
    });
  const paths = async (page) => {
    await drawn(page);
    return page.locator(hook("hit")).evaluateAll((hits) => hits.map((hit) => hit.dataset.path));
  };
  /** Waits for the answer to a query: without one all images are shown. */
  const ranked = (page) => page.locator(hook("search-count")).filter({ hasText: /best first|1 image$/ }).waitFor();
  const choose = (page) => page.locator(hook("folder-input")).setInputFiles(folder);

  test("a folder is indexed, searched and sorted, and its duplicates are found", options, async () => {
    const { page, problems, close } = await h.openPage(browser, server.url);
    try {
      await h.waitReady(page);
      await page.locator(hook("tab-library")).click();
      await choose(page);
      await status(page, "Photos: 6 images");
      assert.match(await page.locator(hook("skipped")).innerText(), /1 file was left out/);

      await page.locator(hook("search-count")).filter({ hasText: "6 images, newest first" }).waitFor();
      await page.locator(hook("search-input")).fill("a photo of a rocket");
      await ranked(page);
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
      await identical.filter({ hasText: "cat.jpg" }).waitFor();
      await drawn(page);
      assert.equal(await identical.locator(".tile").count(), 2);

      await page.locator(hook("task-sort")).click();
      await page.locator(hook("sort-labels")).fill("cat, cup of coffee, rocket, flower, pizza");
      await page.locator(hook("sort-images")).click();
      const rockets = page.locator(`${hook("sorted-group")}[data-label="rocket"]`);
      await rockets.locator(`${hook("sorted-image")}[data-path="rocket.jpg"]`).waitFor();
      await drawn(page);
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
      await second.locator(hook("kept-index")).filter({ hasText: "Photos" }).filter({ hasText: "6 images" }).waitFor();
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

  test("an index is kept, also if its lock is granted after the last image", options, async () => {
    const late = `
      const request = navigator.locks.request.bind(navigator.locks);
      navigator.locks.request = async (...lock) => {
        await new Promise((resolve) => setTimeout(resolve, 250));
        return request(...lock);
      };`;
    const prepare = (page) =>
      page.route("**/worker-loader.js", async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: late + (await response.text()) });
      });
    const few = await mkdtemp(join(tmpdir(), "clip-few-"));
    await cp(join(h.ROOT, "assets/samples/cat.jpg"), join(few, "cat.jpg"));
    const { page, close } = await h.openPage(browser, `${server.url}#library`, { prepare });
    try {
      await h.waitReady(page);
      await page.locator(hook("folder-input")).setInputFiles(few);
      await status(page, /: 1 image/);
      assert.notEqual(await h.indexBytes(page), 0);
    } finally {
      await close();
      await rm(few, { recursive: true, force: true });
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

  test("several workers decode, and the scores are those of the command", options, async () => {
    const many = join(await mkdtemp(join(tmpdir(), "clip-many-")), "Many");
    const { page, problems, close } = await h.openPage(browser, server.url);
    try {
      const samples = (await readdir(join(h.ROOT, "assets/samples"))).filter((name) => /\.(jpg|png)$/.test(name));
      await mkdir(many, { recursive: true });
      for (const name of samples) await cp(join(h.ROOT, "assets/samples", name), join(many, name));
      await cp(join(h.FIXTURES, "scene-orientation-6.jpg"), join(many, "turned.jpg"));
      const loaded = [];
      page.context().on("request", (request) => loaded.push(new URL(request.url()).pathname));
      await h.waitReady(page);
      await page.locator(hook("tab-library")).click();
      await page.locator(hook("folder-input")).setInputFiles(many);
      await status(page, `Many: ${samples.length + 1} images`);
      await page.locator(hook("search-input")).fill("a photo of a rocket");
      await ranked(page);
      await drawn(page);
      const found = await page.locator(hook("hit")).evaluateAll((hits) =>
        hits.map((hit) => [hit.dataset.path, Number(hit.querySelector(".score").textContent)]),
      );
      assert.ok(loaded.some((path) => path.endsWith("/decoder_bg.wasm")), "no decoder was started");
      const index = join(many, "..", "index.safetensors");
      const command = ["search", "a photo of a rocket", "--data", many, "--index", index, "--device", "cpu", "--json"];
      const { stdout } = await promisify(execFile)(h.CLIP, command, { cwd: h.ROOT });
      const expected = new Map(JSON.parse(stdout).images.map((hit) => [hit.path, hit.score]));
      assert.equal(found.length, expected.size);
      for (const [path, score] of found) {
        assert.ok(Math.abs(score - expected.get(path)) < 2e-3, `${path}: ${score} and not ${expected.get(path)}`);
      }
      assert.deepEqual(problems, []);
    } finally {
      await close();
      await rm(join(many, ".."), { recursive: true, force: true });
    }
  });

  test("the browser decodes what our decoders do not, and the rest is named", options, async () => {
    const mixed = join(await mkdtemp(join(tmpdir(), "clip-mixed-")), "Mixed");
    const { page, problems, close } = await h.openPage(browser, server.url);
    try {
      await mkdir(mixed, { recursive: true });
      for (const name of ["scene.png", "scene.avif", "scene-orientation-6.avif"]) {
        await cp(join(h.FIXTURES, name), join(mixed, name));
      }
      await cp(join(h.ROOT, "assets/samples/rocket.jpg"), join(mixed, "rocket.jpg"));
      const heic = Buffer.concat([Buffer.from("\0\0\0\x18ftypheic\0\0\0\0mif1heic", "latin1"), h.noise(500)]);
      await writeFile(join(mixed, "phone.heic"), heic);
      await h.waitReady(page);
      await page.locator(hook("tab-library")).click();
      await page.locator(hook("folder-input")).setInputFiles(mixed);
      await status(page, "Mixed: 4 images");
      const skipped = page.locator(hook("skipped"));
      await skipped.locator("summary").click();
      assert.match(await skipped.innerText(), /phone\.heic: this is a HEIC image, which this browser does not decode/);

      // The same scene, also the one that was stored on its side.
      await page.locator(hook("query-image")).setInputFiles(join(h.FIXTURES, "scene.png"));
      await ranked(page);
      await drawn(page);
      const scores = new Map(
        await page.locator(hook("hit")).evaluateAll((hits) =>
          hits.map((hit) => [hit.dataset.path, Number(hit.querySelector(".score").textContent)]),
        ),
      );
      // An image from elsewhere finds its own copy, too.
      assert.ok(scores.get("scene.png") > 0.999);
      assert.ok(scores.get("scene.avif") > 0.98, String(scores.get("scene.avif")));
      assert.ok(scores.get("scene-orientation-6.avif") > 0.98, String(scores.get("scene-orientation-6.avif")));
      assert.ok(scores.get("rocket.jpg") < 0.95);
      assert.deepEqual(problems, []);
    } finally {
      await close();
      await rm(join(mixed, ".."), { recursive: true, force: true });
    }
  });

  test("an image is pasted, dropped or chosen as the query", options, async () => {
    const { page, problems, close } = await h.openPage(browser, server.url);
    try {
      await h.waitReady(page);
      await page.locator(hook("tab-library")).click();
      await choose(page);
      await status(page, "Photos: 6 images");
      const bytes = (await readFile(join(h.ROOT, "assets/samples/rocket.jpg"))).toString("base64");
      const bring = (kind) =>
        page.evaluate(
          async ({ kind, bytes }) => {
            const transfer = new DataTransfer();
            const blob = await (await fetch(`data:image/jpeg;base64,${bytes}`)).blob();
            transfer.items.add(new File([blob], `${kind}.jpg`, { type: "image/jpeg" }));
            const event =
              kind === "paste"
                ? new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData: transfer })
                : new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer });
            document.querySelector('[data-testid="search-input"]').dispatchEvent(event);
          },
          { kind, bytes },
        );
      await bring("paste");
      const chips = page.locator(hook("like-chip"));
      await chips.filter({ hasText: "paste.jpg" }).waitFor();
      await page.locator(`${hook("hit")}:first-child[data-path="rocket.jpg"]`).waitFor();
      await chips.getByRole("button").click();
      await page.locator(hook("search-count")).filter({ hasText: "newest first" }).waitFor();
      await bring("drop");
      await chips.filter({ hasText: "drop.jpg" }).waitFor();
      await page.locator(`${hook("hit")}:first-child[data-path="rocket.jpg"]`).waitFor();
      // What is no image is said, and the page goes on.
      await page.locator(hook("query-image")).setInputFiles({ name: "x.jpg", mimeType: "image/jpeg", buffer: h.noise(900) });
      await page.locator(hook("library-error")).filter({ hasText: "x.jpg" }).waitFor();
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("images are filtered by folder, date and label, and grouped without labels", options, async () => {
    const { page, problems, close } = await h.openPage(browser, server.url);
    try {
      await utimes(join(folder, "kitchen/pizza.png"), new Date("2020-06-01"), new Date("2020-06-01"));
      await h.waitReady(page);
      await page.locator(hook("tab-library")).click();
      await choose(page);
      await status(page, "Photos: 6 images");
      const count = (text) => page.locator(hook("search-count")).filter({ hasText: text }).waitFor();
      await count("6 images, newest first");
      // The oldest is the last.
      assert.equal((await paths(page)).at(-1), "kitchen/pizza.png");
      assert.deepEqual(await page.locator(`${hook("filter-folder")} option`).allInnerTexts(), ["all", "animals", "backup", "kitchen", "花"]);
      await page.locator(hook("filter-folder")).selectOption("kitchen");
      await count("2 images");
      await page.locator(hook("filter-to")).fill("2020-12-31");
      await count(/^1 image$/);
      await page.locator(hook("search-input")).fill("a rocket");
      await ranked(page);
      assert.deepEqual(await paths(page), ["kitchen/pizza.png"]);
      await page.locator(hook("filter-clear")).click();
      await count("6 images, best first");
      await page.locator(hook("search-input")).fill("");
      await count("6 images, newest first");

      await page.locator(hook("task-sort")).click();
      await page.locator(hook("group-count")).fill("5");
      await page.locator(hook("cluster")).click();
      // Both copies of the cat, and each of the others.
      const groups = page.locator(hook("sorted-group"));
      await groups.nth(4).waitFor();
      await page.waitForFunction((q) => ![...document.querySelectorAll(q)].some((i) => i.value.startsWith("Group ")), hook("group-name"));
      const both = groups.filter({ has: page.locator('[data-path="animals/cat.jpg"]') });
      await drawn(page);
      assert.equal(await both.locator(hook("sorted-image")).count(), 2);
      await both.locator(hook("group-name")).fill("my cats");
      await both.locator(hook("group-name")).press("Enter");
      await page.locator(`${hook("sorted-group")}[data-label="my cats"]`).waitFor();
      await page.locator(hook("filter-label")).selectOption("my cats");
      await page.locator(hook("task-search")).click();
      await count("2 of 6 images");
      assert.deepEqual((await paths(page)).sort(), ["animals/cat.jpg", "backup/cat.jpg"]);
      await page.locator(hook("task-sort")).click();
      await page.locator(hook("train-sorted")).click();
      await page.locator(hook("class-card")).nth(4).waitFor();
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  describe("in a folder that the browser gives access to", () => {
    // The private file system stands for the disk: its handles are of the same kind.
    const prepare = (page) =>
      page.addInitScript(() => {
        const disk = async () => (await navigator.storage.getDirectory()).getDirectoryHandle("disk", { create: true });
        window.disk = {
          async folder(path) {
            let folder = await disk();
            for (const name of path.split("/")) folder = await folder.getDirectoryHandle(name, { create: true });
            return folder;
          },
          async write(folder, name, blob) {
            const inner = await window.disk.folder(folder);
            const writable = await (await inner.getFileHandle(name, { create: true })).createWritable();
            await writable.write(blob);
            await writable.close();
          },
          /** Images of a few shapes, no two alike. */
          async draw(folder, names) {
            const canvas = new OffscreenCanvas(160, 120);
            const context = canvas.getContext("2d");
            for (const [i, name] of names.entries()) {
              for (let part = 0; part < 6; part++) {
                context.fillStyle = `hsl(${(i * 137 + part * 53) % 360} 60% ${20 + ((i * 7 + part * 11) % 60)}%)`;
                context.fillRect(((i * 31 + part * 97) % 83) * 2, ((i * 17 + part * 41) % 71) * 2, 50, 30);
              }
              await window.disk.write(folder, name, await canvas.convertToBlob({ type: "image/jpeg" }));
            }
          },
          async remove(folder, name) {
            await (await window.disk.folder(folder)).removeEntry(name, { recursive: true });
          },
          async list(path) {
            const names = [];
            for await (const entry of (await window.disk.folder(path)).values()) names.push(entry.name);
            return names.sort();
          },
        };
        window.showDirectoryPicker = ({ mode }) => window.disk.folder(mode === "readwrite" ? "Sorted" : (window.pick ?? "Photos"));
      });
    const names = (count) => Array.from({ length: count }, (_, i) => `${String(i).padStart(4, "0")}.jpg`);
    const open = async (context) => {
      const page = await context.newPage();
      page.setDefaultTimeout(SLOW);
      page.problems = [];
      page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
      page.on("pageerror", (error) => page.problems.push(String(error)));
      await prepare(page);
      await page.goto(`${server.url}#library`);
      await h.waitReady(page);
      return page;
    };
    const inContext = async (act) => {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, serviceWorkers: "block" });
      try {
        await act(context);
      } finally {
        await context.close();
      }
    };
    const draw = (page, folder, names) => page.evaluate(([folder, names]) => window.disk.draw(folder, names), [folder, names]);

    test("it is opened again with one click, and follows what has changed", options, () =>
      inContext(async (context) => {
        let page = await open(context);
        await draw(page, "Photos", names(12));
        await page.locator(hook("choose-folder")).click();
        await status(page, "Photos: 12 images");
        // Read again while it is open: two new ones, one changed, one gone.
        await draw(page, "Photos/new", ["a.jpg", "b.jpg"]);
        await draw(page, "Photos", ["x.jpg", "0003.jpg"]);
        await page.evaluate(() => window.disk.remove("Photos", "0005.jpg"));
        await page.locator(hook("refresh")).click();
        await status(page, "Photos: 14 images");
        assert.deepEqual(page.problems, []);
        await page.close();

        page = await open(context);
        await page.locator(hook("kept-index")).filter({ hasText: "14 images" }).waitFor();
        await page.evaluate((selector) => {
          window.seen = [];
          new MutationObserver(() => window.seen.push(document.querySelector(selector)?.textContent)).observe(document.body, {
            childList: true,
            characterData: true,
            subtree: true,
          });
        }, hook("index-status"));
        await page.locator(hook("reopen")).click();
        await status(page, "Photos: 14 images");
        assert.ok(!(await page.evaluate(() => window.seen)).some((text) => text?.includes("indexing")));
        assert.deepEqual(page.problems, []);
      }),
    );

    test("two folders of one name have an index each", options, () =>
      inContext(async (context) => {
        const page = await open(context);
        await draw(page, "Photos", names(3));
        await draw(page, "old/Photos", names(5));
        await page.locator(hook("choose-folder")).click();
        await status(page, "Photos: 3 images");
        await page.evaluate(() => (window.pick = "old/Photos"));
        await page.locator(hook("choose-folder")).click();
        await status(page, "Photos (2): 5 images");
        await page.close();
        const again = await open(context);
        await again.locator(hook("kept-index")).filter({ hasText: "Photos (2)" }).filter({ hasText: "5 images" }).waitFor();
        await again.locator(hook("kept-index")).filter({ hasText: "3 images" }).waitFor();
      }),
    );

    test("sorted images are copied into folders, and nothing is overwritten", options, () =>
      inContext(async (context) => {
        const page = await open(context);
        await draw(page, "Photos", ["a.jpg", "b.jpg"]);
        await draw(page, "Photos/more", ["a.jpg"]);
        await page.locator(hook("choose-folder")).click();
        await status(page, "Photos: 3 images");
        await page.locator(hook("task-sort")).click();
        await page.locator(hook("sort-labels")).fill("rot/grün");
        await page.locator(hook("sort-images")).click();
        await page.locator(hook("sorted-image")).first().waitFor();
        await page.locator(hook("copy-sorted")).click();
        await page.getByText("3 images were copied into Sorted").waitFor();
        const [label] = await page.evaluate(() => window.disk.list("Sorted"));
        assert.deepEqual(await page.evaluate((label) => window.disk.list(`Sorted/${label}`), label), ["a.jpg", "b.jpg", "more_a.jpg"]);
        await page.locator(hook("copy-sorted")).click();
        await page.waitForFunction(async (label) => (await window.disk.list(`Sorted/${label}`)).length === 6, label);
        assert.ok((await page.evaluate((label) => window.disk.list(`Sorted/${label}`), label)).includes("a (2).jpg"));
        assert.deepEqual(page.problems, []);
      }),
    );

    test("a folder that vanishes in the middle", options, () =>
      inContext(async (context) => {
        const page = await open(context);
        await draw(page, "Photos", names(150));
        await draw(page, "Photos/z", names(30));
        await page.locator(hook("choose-folder")).click();
        await status(page, /indexing/);
        await page.evaluate(() => window.disk.remove("Photos", "z"));
        await status(page, "Photos: 150 images");
        await page.locator(hook("skipped")).filter({ hasText: "30 files were left out" }).waitFor();
        await page.locator(`${hook("skipped")} summary`).click();
        assert.match(await page.locator(hook("skipped")).innerText(), /z\/0000\.jpg: it could not be read: it has been moved/);
        // The rest is of use.
        await page.locator(hook("search-input")).fill("red");
        await ranked(page);
        // And all of it, before it is opened again.
        await page.evaluate(() => window.disk.remove("Photos", "0000.jpg"));
        await page.evaluate(async () => (await (await navigator.storage.getDirectory()).getDirectoryHandle("disk")).removeEntry("Photos", { recursive: true }));
        await page.locator(hook("refresh")).click();
        await page.getByText("Photos could not be read: it has been moved or deleted").waitFor();
        await page.locator(hook("hit")).first().waitFor();
      }),
    );

    test("a tab that is closed in the middle loses little", options, () =>
      inContext(async (context) => {
        // An emulated GPU takes its time.
        const count = WEBGPU ? 300 : 900;
        let page = await open(context);
        await draw(page, "Photos", names(count));
        await page.locator(hook("choose-folder")).click();
        // Until some of it is kept: a file that no longer grows.
        await page.evaluate(async () => {
          const size = async () => {
            const library = await (await navigator.storage.getDirectory()).getDirectoryHandle("library").catch(() => null);
            if (!library) return 0;
            for await (const entry of library.values()) return (await entry.getFile().catch(() => null))?.size ?? 0;
            return 0;
          };
          for (let before = 0, now = 0; !now || now !== before; before = now, now = await size()) {
            await new Promise((later) => setTimeout(later, 500));
          }
        });
        await page.close();
        page = await open(context);
        await page.locator(hook("reopen")).click();
        // What is left may be done within a moment.
        const left = new Set();
        const watched = page.locator(hook("index-status"));
        for (let text = ""; !text.includes(`Photos: ${count} images`); text = await watched.innerText().catch(() => "")) {
          const [, total] = text.match(/indexing, \d+ of (\d+)/) ?? [];
          if (total) left.add(Number(total));
          await page.waitForTimeout(20);
        }
        for (const total of left) assert.ok(total < count, `${total} of ${count} are left`);
      }),
    );

    test("two tabs with one folder", options, () =>
      inContext(async (context) => {
        const first = await open(context);
        const second = await open(context);
        await draw(first, "Photos", names(120));
        for (const page of [first, second]) {
          await page.bringToFront();
          await page.locator(hook("choose-folder")).click();
        }
        for (const page of [first, second]) {
          await status(page, "Photos: 120 images");
          assert.equal(await page.locator(hook("library-error")).count(), 0);
          assert.deepEqual(page.problems, []);
        }
        // The second keeps its own when the first is gone.
        await first.close();
        await draw(second, "Photos/new", names(4));
        await second.locator(hook("refresh")).click();
        await status(second, "Photos: 124 images");
        await second.close();
        const third = await open(context);
        await third.locator(hook("kept-index")).filter({ hasText: "124 images" }).waitFor();
        assert.equal(await third.locator(hook("kept-index")).count(), 1);
      }),
    );

    test("names in any script", options, () =>
      inContext(async (context) => {
        const page = await open(context);
        const all = ["عطلة.jpg", "e\u0301te\u0301.jpg", "#1 50% & more?.jpg", "'quoted' \"name\".jpg", "<b>bold<b>.jpg", "👩‍👩‍👧 ☀️.jpg", "写真.jpg"];
        await page.evaluate(() => (window.pick = "рисунки 📷"));
        await draw(page, "рисунки 📷/ночь #2", all);
        await page.locator(hook("choose-folder")).click();
        await status(page, `рисунки 📷: ${all.length} images`);
        await page.locator(hook("search-input")).fill("red");
        await ranked(page);
        assert.deepEqual((await paths(page)).sort(), all.map((name) => `ночь #2/${name}`).sort());
        await page.locator(`${hook("hit")} img[src^="blob:"]`).nth(all.length - 1).waitFor();
        await page.locator(hook("hit")).first().getByRole("button", { name: "More like this" }).click();
        await page.locator(hook("search-count")).filter({ hasText: `${all.length - 1} images` }).waitFor();
        await page.locator(hook("task-sort")).click();
        await page.locator(hook("sort-labels")).fill("ночь");
        await page.locator(hook("sort-images")).click();
        await page.locator(hook("sorted-image")).first().waitFor();
        await page.locator(hook("copy-sorted")).click();
        await page.getByText(`${all.length} images were copied into Sorted`).waitFor();
        assert.deepEqual(await page.evaluate(() => window.disk.list("Sorted/ночь")), [...all].sort());
        assert.deepEqual(page.problems, []);
      }),
    );
  });

  test("a full storage is said, and the index is used all the same", options, async () => {
    const { page, close } = await h.openPage(browser, server.url);
    try {
      await h.waitReady(page);
      const cdp = await page.context().newCDPSession(page);
      await cdp.send("Storage.overrideQuotaForOrigin", { origin: server.url, quotaSize: 2048 });
      await page.locator(hook("tab-library")).click();
      await choose(page);
      await status(page, "Photos: 6 images");
      await page.locator(hook("not-kept")).filter({ hasText: "storage is full" }).waitFor();
      await page.locator(hook("search-input")).fill("a photo of a rocket");
      await page.locator(`${hook("hit")}:first-child[data-path="rocket.jpg"]`).waitFor();
    } finally {
      await close();
    }
  });
});
