// The labels against a camera and a video, live. In a real Chromium whose camera is a file with one
// photograph, so that every frame is the same and so is its answer.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { cameraOf, filmed } from "./camera.mjs";
import * as h from "./harness.mjs";
import { CLASSES, finished, takeSamples, train } from "./training.mjs";

const { hook, SLOW, WEBGPU } = h;
const SAMPLES = join(h.ROOT, "assets/samples");
const LABELS = ["raccoon", "pizza", "umbrella"];
const options = { timeout: 5 * SLOW };
const onCpu = { ...options, skip: WEBGPU && "as on the CPU" };

let server, browser;
before(async () => {
  server = await h.startServer();
  browser = await h.launchBrowser({ flags: await cameraOf("raccoon.jpg") });
});
after(async () => {
  await browser?.close();
  server?.stop();
  await h.cleanUp();
});

/** For `prepare`: counts the frames that are with the worker, and keeps the camera's streams. */
const watch = (page) =>
  page.addInitScript(() => {
    window.frames_ = { sent: 0, answered: 0, most: 0 };
    window.streams = [];
    const watched = new WeakSet();
    const post = Worker.prototype.postMessage;
    Worker.prototype.postMessage = function (data, ...more) {
      if (data?.message?.ClassifyFrame) {
        if (!watched.has(this)) {
          watched.add(this);
          frames_.answered = frames_.sent; // what another worker had is gone
          this.addEventListener("message", ({ data }) => data?.message?.FrameClassified && frames_.answered++);
        }
        frames_.sent++;
        frames_.most = Math.max(frames_.most, frames_.sent - frames_.answered);
      }
      return post.call(this, data, ...more);
    };
    const open = navigator.mediaDevices.getUserMedia;
    navigator.mediaDevices.getUserMedia = async function (wishes) {
      const stream = await open.call(this, wishes);
      streams.push(stream);
      return stream;
    };
  });

const tracks = (page) => page.evaluate(() => streams.flatMap((s) => s.getTracks().map((track) => track.readyState)));
const sent = (page) => page.evaluate(() => frames_.sent);
const moreFrames = async (page, count = 2) => {
  const before = await sent(page);
  await page.waitForFunction((n) => frames_.sent >= n, before + count, { timeout: SLOW });
};

/** What is shown live, once it is about exactly these labels. */
async function live(page, labels) {
  const rows = page.locator(`${hook("live-ranking")}:not(.stale) ${hook("live-row")}`);
  const end = Date.now() + SLOW;
  for (;;) {
    const found = await rows.evaluateAll((all) =>
      all.map(({ dataset }) => ({ label: dataset.label, probability: Number(dataset.probability) })),
    );
    const total = found.reduce((sum, row) => sum + row.probability, 0);
    if (found.map((row) => row.label).join() === labels.join() && total > 0.99) return found;
    if (Date.now() > end) assert.fail(`no live answer for ${labels}: ${await page.locator(hook("live")).innerText()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The same of the photograph: the first frames of a camera may be black. */
async function photograph(page, labels) {
  for (;;) {
    const rows = await live(page, labels);
    if (top(rows) === "raccoon") return rows;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const top = (rows) => rows.reduce((best, row) => (row.probability > best.probability ? row : best)).label;

async function started(prepare = watch) {
  const opened = await h.openPage(browser, server.url, { prepare });
  await h.waitReady(opened.page);
  await h.setLabels(opened.page, LABELS);
  await opened.page.locator(hook("live-camera")).click();
  return opened;
}

describe(`live (${h.MODE})`, { timeout: 40 * SLOW }, () => {
  test("the camera's labels are ranked, one frame at a time; a kept image has the same answer", options, async () => {
    const { page, problems, close } = await started();
    try {
      const first = await photograph(page, LABELS);
      await page.locator(hook("live-said")).filter({ hasText: "raccoon" }).waitFor({ state: "attached" });
      await page.locator(hook("live-rate")).filter({ hasText: /^\d+(\.\d)? images per second$/ }).waitFor();
      await moreFrames(page, WEBGPU ? 2 : 40);
      const rate = parseFloat(await page.locator(hook("live-rate")).innerText());
      assert.ok(rate > 0.05 && rate < 25, `the camera has 20 frames a second, none is classified twice: ${rate}`);
      assert.equal(await page.locator(`${hook("live-class")}`).count(), 0, "there is no class to add to");

      await page.locator(hook("live-keep")).click();
      h.assertClose(await h.ranking(page, "camera-001.png", LABELS), await live(page, LABELS), 1e-4, "the kept image");

      // Other images are classified meanwhile, and the video goes on.
      await h.drop(page, ["coffee.jpg", "rocket.jpg"].map((name) => join(SAMPLES, name)));
      for (const name of ["coffee.jpg", "rocket.jpg"]) await h.ranking(page, name, LABELS);
      await moreFrames(page);

      const labels = ["cat", ...LABELS.slice(1)];
      await h.setLabels(page, labels);
      const second = await live(page, labels);
      assert.notEqual(second[1].probability, first[1].probability, "another question has another answer");
      h.assertClose(await h.ranking(page, "camera-001.png", labels), second, 1e-4, "the kept image and other labels");

      assert.equal(await page.evaluate(() => frames_.most), 1, "never two frames with the worker");
      assert.deepEqual(await tracks(page), ["live"]);
      await page.locator(hook("live-stop")).click();
      await page.locator(hook("live")).waitFor({ state: "detached" });
      assert.deepEqual(await tracks(page), ["ended"]);
      assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), "live-camera");
      const count = await sent(page);
      await page.waitForTimeout(300);
      assert.equal(await sent(page), count, "nothing is sent after that");
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("an image goes into a class, and the camera is off on another side of the page", onCpu, async () => {
    const { page, problems, close } = await h.openPage(browser, `${server.url}#train`, { prepare: watch });
    try {
      await h.waitReady(page);
      await page.locator(hook("first-classes")).click();
      await page.locator(hook("class-card")).nth(1).waitFor();
      await page.locator(hook("tab-classify")).click();
      await h.setLabels(page, LABELS);
      await page.locator(hook("live-camera")).click();
      await live(page, LABELS);
      await page.locator(hook("live-class")).selectOption({ index: 1 });
      await page.locator(hook("live-add")).click();
      await page.locator(hook("live-done")).filter({ hasText: "added to the class" }).waitFor();
      await page.locator(hook("tab-train")).click();
      await page.locator(hook("class-card")).nth(1).locator(hook("sample-thumb")).waitFor();
      assert.equal(await page.locator(hook("class-card")).first().locator(hook("sample-thumb")).count(), 0);
      assert.deepEqual(await tracks(page), ["ended"]);
      assert.equal(await page.locator(hook("live")).count(), 0);
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("the classes of what was trained are ranked", onCpu, async () => {
    const { page, problems, close } = await h.openPage(browser, `${server.url}#train`, { prepare: watch });
    try {
      await h.waitReady(page);
      await takeSamples(page);
      await train(page, "probe");
      await finished(page);
      await page.locator(hook("use-trained")).click();
      await page.locator(hook("in-use")).waitFor();
      await page.locator(hook("tab-classify")).click();
      await page.locator(hook("live-camera")).click();
      await live(page, CLASSES);
      await page.locator(hook("live-keep")).click();
      h.assertClose(await h.ranking(page, "camera-001.png", CLASSES), await live(page, CLASSES), 1e-4, "the kept image");
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("it goes on after the worker has crashed", options, async () => {
    const { page, close } = await started(async (page) => {
      await h.sabotage(page);
      await watch(page);
    });
    try {
      const first = await photograph(page, LABELS);
      const before = await page.evaluate(() => workers.length);
      await h.order(page, "trap");
      // A frame may be waiting for the GPU just then: a trap needs code to run in.
      await h.drop(page, [join(SAMPLES, "coffee.jpg")]);
      await page.waitForFunction((n) => workers.length > n, before, { timeout: SLOW });
      await h.waitReady(page);
      await moreFrames(page);
      h.assertClose(await live(page, LABELS), first, 1e-3, "after the restart");
    } finally {
      await close();
    }
  });

  test("a page out of sight switches the camera off", onCpu, async () => {
    const { page, close } = await started();
    try {
      await live(page, LABELS);
      const hide = (hidden) =>
        page.evaluate((hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
        }, hidden);
      await hide(true);
      await page.locator(hook("live")).waitFor({ state: "detached" });
      assert.deepEqual(await tracks(page), ["ended"]);
      await page.getByText("The camera was switched off").waitFor();
    } finally {
      await close();
    }
  });

  test("a video file is ranked, also while it pauses; one that cannot be played is told of", onCpu, async () => {
    const { page, close } = await h.openPage(browser, server.url, { prepare: watch });
    try {
      await h.waitReady(page);
      await h.setLabels(page, LABELS);
      await page.locator(hook("video-input")).setInputFiles(await filmed("raccoon.jpg"));
      await photograph(page, LABELS);
      await page.locator(hook("live-rate")).filter({ hasText: "Paused" }).waitFor();
      await page.waitForFunction(() => frames_.sent === frames_.answered);
      const count = await sent(page);
      await page.waitForTimeout(500);
      assert.equal(await sent(page), count, "a paused video sends nothing");
      await h.setLabels(page, ["cat", "pizza"]);
      await live(page, ["cat", "pizza"]);

      // Stopped and dropped among images: the video is ranked as before, the image gets its card.
      await page.locator(hook("live-stop")).click();
      const video = { name: "raccoon.webm", type: "video/webm", bytes: (await filmed("raccoon.jpg")).buffer };
      await h.drop(page, [video, join(SAMPLES, "rocket.jpg")]);
      await h.ranking(page, "rocket.jpg", ["cat", "pizza"]);
      await live(page, ["cat", "pizza"]);
      assert.equal(await page.locator(hook("image-card")).count(), 1, "a video is no image");
      await h.drop(page, [{ ...video, name: "first.webm" }, { ...video, name: "second.webm" }]);
      await page.locator(hook("notice")).filter({ hasText: "One video is classified at a time: first.webm" }).waitFor();

      await page.locator(hook("video-input")).setInputFiles({ name: "bad.mp4", mimeType: "video/mp4", buffer: h.noise(5000) });
      await page.locator(hook("live-problem")).filter({ hasText: "This video cannot be played" }).waitFor();
      await page.locator(hook("live-stop")).click();
      await h.drop(page, [join(SAMPLES, "coffee.jpg")]);
      await h.ranking(page, "coffee.jpg", ["cat", "pizza"]);
    } finally {
      await close();
    }
  });

  for (const [what, flags, words] of [
    ["a camera that is not allowed", ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream=deny"], "Camera access was denied"],
    ["no camera", ["--use-fake-device-for-media-stream=device-count=0", "--use-fake-ui-for-media-stream"], "No camera was found"],
  ]) {
    test(`${what} is told of`, onCpu, async () => {
      const other = await h.launchBrowser({ webgpu: false, flags });
      const { page, problems, close } = await h.openPage(other, server.url);
      try {
        await h.waitReady(page);
        await page.locator(hook("live-camera")).click();
        await page.locator(hook("live-problem")).filter({ hasText: words }).waitFor();
        assert.ok(await page.locator(hook("live-keep")).isDisabled());
        await page.locator(hook("live-stop")).click();
        await page.locator(hook("live")).waitFor({ state: "detached" });
        assert.deepEqual(problems, []);
      } finally {
        await close();
        await other.close();
      }
    });
  }
});
