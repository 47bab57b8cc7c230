// Pictures of the page for people to look at:
//
//   node tests/browser/screenshots.mjs OUTDIR [REPORT.html]
//
// empty, answers, chinese, where, models, none, live, error, phone, dark, library, train, trained, trained-phone, page-download,
// standalone, standalone-phone, evaluate, evaluate-phone, element (of the package in dist-npm/), or only those that ONLY names (ONLY=live,dark); from the built
// page in dist/, on the CPU, with the sample pictures; and the upper part of a report of `clip evaluate`. Those in docs/
// are made like this, reduced to 256 colours. The one in Chinese needs a font for it, such as Debian's fonts-noto-cjk.

import { rmSync } from "node:fs";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { cameraOf } from "./camera.mjs";
import * as h from "./harness.mjs";
import { CLASSES, DRAWINGS, download, stored } from "./training.mjs";

const [out, report] = process.argv.slice(2);
if (!out) {
  console.error("node tests/browser/screenshots.mjs OUTDIR [REPORT.html]");
  process.exit(2);
}
await mkdir(out, { recursive: true });
const only = process.env.ONLY?.split(",");

const LABELS = ["raccoon", "squirrel", "cup of coffee", "rocket", "pizza", "umbrella", "soccer ball", "bicycle"];
const PICTURES = ["raccoon.jpg", "coffee.jpg", "rocket.jpg", "pizza.png", "umbrella.png", "soccer.png"].map(
  (name) => `assets/samples/${name}`,
);

const IN_CHINESE = ["浣熊", "松鼠", "咖啡", "火箭", "披萨", "雨伞", "足球", "飞机"];

const server = await h.startServer();
const browser = await h.launchBrowser({ webgpu: false, flags: await cameraOf("raccoon.jpg") });
try {
  await shoot("empty", {}, async (page) => {
    await h.waitReady(page);
  });
  await shoot("answers", {}, answers);
  await shoot("chinese", { locale: "zh-CN" }, (page) => answers(page, IN_CHINESE));
  await shoot("where", {}, async (page) => {
    await answers(page);
    await h.card(page, "soccer.png").locator(h.hook("ranking-row")).first().click();
    await page.locator(h.hook("heat-map")).waitFor();
  });
  await shoot("models", {}, async (page) => {
    await h.waitReady(page);
    const models = page.locator(h.hook("models"));
    await models.locator("summary").click();
    return models;
  });
  await shoot("none", {}, async (page) => {
    await answers(page);
    await page.locator(h.hook("reject-toggle")).check();
    await h.setLabels(page, ["pizza", "umbrella"]);
    await page.locator(h.hook("none-fits")).first().waitFor();
  });
  await shoot("live", {}, live);
  await shoot("error", {}, async (page) => {
    await answers(page);
    await h.drop(page, [{ name: "broken.png", bytes: h.noise(4096) }]);
    await h.card(page, "broken.png").locator(h.hook("error")).waitFor();
  });
  await shoot("phone", { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true }, answers);
  await shoot("dark", { colorScheme: "dark" }, answers);
  await shoot("library", {}, library, "#library");
  await shoot("train", {}, samples, "#train");
  await shoot("trained", {}, trained, "#train");
  await shoot("trained-phone", { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, colorScheme: "dark" }, trained, "#train");
  const published = !only || only.some((name) => /^(standalone|page-download)/.test(name)) ? await standalone() : undefined;
  for (const [name, options] of [
    ["standalone", { viewport: { width: 1180, height: 760 } }],
    ["standalone-phone", { viewport: { width: 400, height: 844 }, deviceScaleFactor: 2, hasTouch: true, colorScheme: "dark" }],
  ]) {
    await shoot(name, options, async (page) => {
      await page.goto(published.url);
      await h.waitReady(page);
      const pictures = ["cat.png", "rocket.png", "pizza.png"];
      await h.drop(page, pictures.map((picture) => join(DRAWINGS, picture)));
      for (const picture of pictures) await h.ranking(page, picture, CLASSES);
    });
  }
  published?.stop();
  await shoot("evaluate", {}, evaluated, "#evaluate");
  await shoot("evaluate-phone", { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, colorScheme: "dark" }, evaluated, "#evaluate");
  await shoot("element", { viewport: { width: 1000, height: 560 } }, element);
  if (report) {
    const context = await browser.newContext({ viewport: { width: 1180, height: 3200 } });
    const page = await context.newPage();
    await page.goto(pathToFileURL(report).href);
    await page.screenshot({ path: join(out, "report.png") });
    await context.close();
  }
} finally {
  await browser.close();
  server.stop();
  await h.cleanUp();
}

async function answers(page, labels = LABELS) {
  await h.waitReady(page);
  await h.drop(page, PICTURES.map((path) => join(h.ROOT, path)));
  await h.setLabels(page, labels);
  for (const picture of PICTURES) await h.ranking(page, picture.split("/").at(-1), labels);
}

/** The element of the npm package twice, in light and dark. */
async function element(page) {
  const plain = await h.startPlainServer(join(h.ROOT, "dist-npm"));
  await page.goto(plain.url);
  const labels = "raccoon, squirrel, cat, dog";
  const one = (scheme) => `<div style="color-scheme: ${scheme}; background: Canvas"><clip-classifier labels="${labels}"></clip-classifier></div>`;
  const style = "<style>body { margin: 0; display: grid; grid-template-columns: 1fr 1fr; font: 16px sans-serif } div { padding: 1rem }</style>";
  await page.setContent(`${style}<script type="module" src="element.js"></script>${one("light")}${one("dark")}`);
  for (const input of await page.locator("clip-classifier input").all()) await input.setInputFiles(join(h.ROOT, PICTURES[0]));
  await page.locator("clip-classifier").getByRole("listitem").nth(7).waitFor();
  plain.stop();
}

async function live(page) {
  await h.waitReady(page);
  await h.setLabels(page, LABELS);
  await page.locator(h.hook("live-camera")).click();
  const raccoon = page.locator(`${h.hook("live-row")}.top[data-label="raccoon"]`);
  await raccoon.waitFor();
  await page.waitForTimeout(3000); // until the rate is a steady one
}

async function library(page) {
  await h.waitReady(page);
  await page.locator(h.hook("folder-input")).setInputFiles(join(h.ROOT, "assets/samples"));
  await page.locator(h.hook("index-status")).filter({ hasText: "12 images" }).waitFor();
  await page.locator(h.hook("search-input")).fill("raccoon");
  await page.locator(h.hook("search-count")).filter({ hasText: "best first" }).waitFor();
  await page.waitForFunction((q) => [...document.querySelectorAll(q)].every((image) => image.naturalWidth > 0), `${h.hook("hit")} img`);
}

async function samples(page) {
  await page.locator(h.hook("sample-data")).click();
  await page.locator(h.hook("data-amount")).filter({ hasText: "78 images to train on" }).waitFor();
}

async function trained(page) {
  await samples(page);
  await page.locator(`${h.hook("method")}[data-method="probe"]`).click();
  await page.locator(`${h.hook("train-start")}:enabled`).click();
  await page.locator(h.hook("after")).waitFor({ timeout: h.SLOW });
}

/** A server of the page of a trained adapter; with a picture of the form that makes it. */
async function standalone() {
  const { page, close } = await h.openPage(browser, `${server.url}#train`, { acceptDownloads: true });
  try {
    await samples(page);
    await page.locator(`${h.hook("train-start")}:enabled`).click();
    await page.locator(h.hook("after")).waitFor({ timeout: h.SLOW });
    const form = page.locator(h.hook("train-outcome")).locator(h.hook("page-download"));
    await form.locator("summary").click();
    await form.locator(h.hook("page-title")).fill("What did we draw?");
    const { bytes } = await download(page, () => form.locator(h.hook("page-save")).click());
    await form.locator(h.hook("page-status")).filter({ hasText: ".zip (" }).waitFor();
    await form.screenshot({ path: join(out, "page-download.png") });
    const folder = await mkdtemp(join(tmpdir(), "clip-standalone-"));
    for (const { name, bytes: content } of stored(bytes)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), content);
    }
    const plain = await h.startPlainServer(folder);
    const stop = () => {
      plain.stop();
      rmSync(folder, { recursive: true, force: true });
    };
    return { url: plain.url, stop };
  } finally {
    await close();
  }
}

async function evaluated(page) {
  await h.waitReady(page);
  await page.locator(h.hook("evaluate-samples")).click();
  const ready = () => page.locator(`${h.hook("prompts-start")}:enabled`).waitFor();
  await ready();
  await page.locator("[data-cell]").nth(1).click();
  for (const button of ["prompts-start", "shots-start", "limit"]) {
    for (const one of await page.locator(h.hook(button)).all()) {
      await one.click();
      await ready();
    }
  }
  await page.waitForFunction((q) => [...document.querySelectorAll(q)].every((image) => image.naturalWidth > 0), `${h.hook("cell-picture")} img`);
}

/** `act` may return the part of the page that is to be seen. */
async function shoot(name, options, act, place = "") {
  if (only && !only.includes(name)) return;
  const prepare = (page) => page.addInitScript(() => localStorage.setItem("clip.tour", "shown"));
  const { page, problems, close } = await h.openPage(browser, server.url + place, { prepare, ...options });
  try {
    const part = await act(page);
    const dismiss = page.locator(h.hook("undo-dismiss"));
    while (await dismiss.count()) await dismiss.first().click();
    const path = join(out, `${name}.png`);
    if (part) await part.screenshot({ path, animations: "disabled" });
    else await page.screenshot({ path, fullPage: true, animations: "disabled" });
    console.log(path, problems.length ? problems : "");
  } finally {
    await close();
  }
}
