// Nothing that a visitor trains gets lost: two tabs, a worker that dies, a lost GPU.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as h from "./harness.mjs";
import { browser, server } from "./harness.mjs";
import { CLASSES, file, finished, opened, takeSamples, train } from "./training.mjs";

const { hook, SLOW, WEBGPU } = h;
const options = { timeout: 5 * SLOW };
const suite = { timeout: 40 * SLOW };
// An emulated GPU takes minutes where the CPU takes seconds.
const onCpu = { ...options, skip: WEBGPU && "as on the CPU" };

h.useBrowser();

const open = (options) => opened(browser, server.url, options);
const steps = async (page) => Number(await page.locator(hook("chart")).first().getAttribute("data-points"));
const untilSteps = (page, count) =>
  page.waitForFunction(([q, count]) => Number(document.querySelector(q)?.dataset.points) >= count, [hook("chart"), count]);

/** What the page says over time, watched from inside: it may be back on its feet in no time. */
async function listen(page) {
  await page.evaluate((q) => {
    window.said = [];
    const look = () => {
      for (const notice of document.querySelectorAll(q)) {
        const text = notice.textContent.trim();
        if (!window.said.includes(text)) window.said.push(text);
      }
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
  }, hook("notice"));
}

describe("two tabs", suite, () => {
  test("one trains; the other says so, takes over when asked, and nothing is lost", onCpu, async () => {
    const { page: first, problems, close } = await open();
    await takeSamples(first);
    await train(first, "full", { epochs: 2000 });
    await untilSteps(first, 3);

    const second = await first.context().newPage();
    second.setDefaultTimeout(SLOW);
    second.on("pageerror", (error) => problems.push(`thrown: ${error}`));
    await second.goto(`${server.url}#train`);
    await second.locator(hook("elsewhere")).waitFor();
    assert.equal(await second.locator(hook("train-data")).count(), 0);
    // A picture that is dropped there is not taken into what the first tab keeps.
    await h.waitReady(second);
    await h.drop(second, [{ name: "cat.png", bytes: (await file("cat.png")).buffer }]);
    await second.locator(hook("error")).filter({ hasText: "another tab" }).waitFor();
    // The first one goes on all the while.
    const before = await steps(first);
    await untilSteps(first, before + 2);

    await second.locator(hook("take-turn")).click();
    await first.locator(hook("elsewhere")).waitFor();
    await second.locator(hook("interrupted")).waitFor();
    const words = await second.locator(hook("interrupted")).innerText();
    assert.ok(Number(words.match(/step (\d+) of/)[1]) >= before, `kept up to the last step: ${words}`);
    assert.equal(await second.locator(hook("class-card")).count(), CLASSES.length);
    await second.locator(hook("data-amount")).filter({ hasText: "78 images to train on, 18 held out for testing" }).waitFor();
    await second.waitForFunction((q) => document.querySelector(q)?.naturalWidth > 0, `${hook("sample-thumb")} img`);
    await second.locator(`${hook("interrupted-resume")}:enabled`).click();
    await untilSteps(second, before + 2);
    await second.locator(hook("train-finish")).click();
    await finished(second);

    // Closing it gives the turn back by itself, result and all.
    await second.close();
    await first.locator(hook("trained")).waitFor();
    assert.equal(await first.locator(hook("class-card")).count(), CLASSES.length);
    assert.deepEqual(problems, []);
    await close();
  });

  test("a tab that only classifies is in nobody's way", onCpu, async () => {
    const { page, close } = await h.openPage(browser, server.url);
    await h.waitReady(page);
    const second = await page.context().newPage();
    await second.goto(`${server.url}#train`);
    await second.locator(hook("first-classes")).click();
    assert.equal(await second.locator(hook("elsewhere")).count(), 0);
    await page.locator(hook("tab-train")).click();
    await page.locator(hook("elsewhere")).waitFor();
    await close();
  });

  test("an image added among other changes is there after the tab was closed at once", onCpu, async () => {
    const { page, close } = await open();
    await page.locator(hook("first-classes")).click();
    await page.locator(hook("class-files")).first().setInputFiles([await file("cat.png")]);
    await page.locator(hook("data-amount")).filter({ hasText: "1 image " }).waitFor();
    // Changes without a pause, the image not the first of them: what waits for a rest does not come to it.
    const names = page.locator(hook("class-name"));
    await names.first().fill("one");
    await page.locator(hook("class-files")).last().setInputFiles([await file("tree.png")]);
    await page.locator(hook("data-amount")).filter({ hasText: "2 images " }).waitFor();
    await page.reload();
    await page.locator(hook("data-amount")).filter({ hasText: "2 images " }).waitFor();
    assert.deepEqual(await page.locator(hook("class-count")).allInnerTexts(), ["1", "1"]);
    assert.deepEqual(await page.locator(hook("notice")).allInnerTexts(), []);
    await close();
  });

  test("a class that was removed right after another stays removed", onCpu, async () => {
    const { page, close } = await open();
    await takeSamples(page);
    const left = [...CLASSES];
    for (const pause of [0, 400]) {
      await page.locator(`${hook("class-card")}[data-name="${left.pop()}"] ${hook("class-remove")}`).click();
      await page.waitForTimeout(pause);
    }
    await page.reload();
    await page.locator(hook("class-card")).first().waitFor();
    await h.waitReady(page);
    const names = await page.locator(hook("class-card")).evaluateAll((all) => all.map((card) => card.dataset.name));
    assert.deepEqual(names, left);
    await close();
  });

  test("images stay when the description of their classes is broken", onCpu, async () => {
    const { page, close } = await open();
    await page.locator(hook("first-classes")).click();
    await page.locator(hook("class-files")).first().setInputFiles([await file("cat.png"), await file("tree.png")]);
    await page.locator(hook("data-amount")).filter({ hasText: "2 images " }).waitFor();
    await page.waitForTimeout(1000); // changes rest before they are kept
    await page.evaluate(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("training");
      const writable = await (await folder.getFileHandle("project")).createWritable();
      await writable.write("{");
      await writable.close();
    });
    await page.reload();
    await page.locator(hook("error")).filter({ hasText: "All its 2 images are in a new class." }).waitFor();
    assert.deepEqual(await page.locator(hook("class-count")).allInnerTexts(), ["2"]);
    await close();
  });

  test("pictures brought while the model still loads join those of the last visit", onCpu, async () => {
    const { page, close } = await open();
    await page.locator(hook("first-classes")).click();
    await page.locator(hook("class-files")).first().setInputFiles([await file("cat.png")]);
    await page.locator(hook("data-amount")).filter({ hasText: "1 image " }).waitFor();
    await page.waitForTimeout(1000); // changes rest before they are kept
    let give;
    const held = new Promise((resolve) => (give = resolve));
    await page.route(/open_clip_model\.safetensors/, async (route) => {
      await held;
      await route.continue();
    });
    await page.reload();
    await page.locator(hook("first-classes")).click();
    await page.locator(hook("class-files")).last().setInputFiles([await file("tree.png"), await file("pizza.png")]);
    give();
    await page.locator(hook("data-amount")).filter({ hasText: "3 images " }).waitFor();
    const sample = (name) => page.locator(`${hook("sample-thumb")}[title*="${name}"] img`);
    assert.deepEqual(await page.locator(hook("class-count")).allInnerTexts(), ["1", "2"]);
    await page.waitForTimeout(1000);
    await page.reload();
    await page.locator(hook("data-amount")).filter({ hasText: "3 images " }).waitFor();
    assert.deepEqual(await page.locator(hook("class-count")).allInnerTexts(), ["1", "2"]);
    assert.equal(await sample("cat.png").count(), 1);
    await close();
  });
});

describe("a worker that dies in the middle of a training", suite, () => {
  const survives = async (order) => {
    const { page, close } = await open({ prepare: h.sabotage });
    await page.locator(hook("first-classes")).click();
    for (const [i, names] of [["cat.png", "butterfly.png"], ["pizza.png", "grapes.png"]].entries()) {
      await page.locator(hook("class-files")).nth(i).setInputFiles(await Promise.all(names.map((name) => file(name))));
    }
    await page.locator(hook("data-amount")).filter({ hasText: "4 images" }).waitFor();
    await listen(page);
    await train(page, "lora", { epochs: 2000 });
    await untilSteps(page, 1);
    // What is kept by a pause is what it goes on from.
    await page.locator(hook("train-pause")).click();
    await page.locator(`${hook("train-run")}[data-state="paused"]`).waitFor();
    const before = await steps(page);
    await page.locator(hook("train-resume")).click();
    const workers = await page.evaluate(() => window.workers.length);
    await h.order(page, order);
    await page.waitForFunction((n) => window.workers.length > n, workers);
    await h.waitReady(page);
    // A step may have come between the pause and the end.
    await untilSteps(page, (await steps(page)) + 2);
    assert.ok((await page.evaluate(() => window.said)).some((text) => /crashed.*restarted automatically/.test(text)), "it says what happened");
    await page.locator(hook("data-amount")).filter({ hasText: "4 images" }).waitFor();
    assert.equal(await page.locator(`${hook("sample-thumb")}[data-role="left-out"]`).count(), 0, "no picture is blamed");
    await page.locator(hook("train-finish")).click();
    await page.locator(hook("trained")).waitFor();
    assert.ok((await steps(page)) > before);
    await close();
  };

  test("by a trap: told, started again, goes on from what was kept", onCpu, () => survives("trap"));
  test("by a lost GPU: told, started again, goes on from what was kept", { ...options, skip: !WEBGPU && "no GPU to lose" }, () =>
    survives("lose the GPU"));
});

describe("a storage that fills up", suite, () => {
  test("what was kept before is there in the next visit", onCpu, async () => {
    const { page, problems, close } = await open();
    await takeSamples(page);
    const counts = () => page.locator(hook("class-count")).allInnerTexts();
    const before = await counts();
    // Bytes of the file that says what the images are.
    const kept = () =>
      page.evaluate(async () => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("training");
        const file = await folder.getFileHandle("project").catch(() => null);
        return file ? (await file.getFile()).size : 0;
      });
    while ((await kept()) < 1000) await page.waitForTimeout(100);
    const cdp = await page.context().newCDPSession(page);
    await cdp.send("Storage.overrideQuotaForOrigin", { origin: server.url, quotaSize: 2048 });
    await page.locator(hook("class-name")).first().fill("a name that cannot be kept");
    await page.locator(hook("class-name")).first().press("Enter");
    await page.locator(hook("notice")).filter({ hasText: "not enough storage space" }).waitFor();
    await cdp.send("Storage.overrideQuotaForOrigin", { origin: server.url });
    await page.reload();
    await page.locator(hook("class-card")).nth(CLASSES.length - 1).waitFor();
    assert.deepEqual(await counts(), before);
    assert.deepEqual(problems, []);
    await close();
  });
});
