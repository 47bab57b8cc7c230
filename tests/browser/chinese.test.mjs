// The page in Chinese: by the browser's language or by the button in the header, with Chinese labels
// and templates, and no English left on any tab.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import * as h from "./harness.mjs";
import { browser, server } from "./harness.mjs";

const { hook, MODE, SLOW } = h;
const options = { timeout: 5 * SLOW };
const suite = { timeout: 20 * SLOW };
const TEMPLATE = "一张{label}的照片";

// Words that are names, formats, units or the field's own in Chinese texts, too.
const NAMES = new Set(
  `CLIP SigLIP ViT GPU CPU SIMD WebGPU WebAssembly Rust Chrome Edge Firefox Safari Hugging Face OpenAI ImageNet English
  PNG JPEG WebP GIF BMP TIFF AVIF HEIC CSV TSV JSONL JSON safetensors zip config json https Ctrl kbd
  QuickGELU GELU LoRA PEFT ONNX MLP alpha Alpha softmax Transformer OpenCLIP DataComp open_clip transformers WiSE FT GDA CLIP_benchmark
  Top top ECE NLL Brier Wilson Wald McNemar scikit learn label hf datasets clip benchmark wds_cifar10 model all
  adapter_model adapter_config TinyCLIP MetaCLIP XLM RoBERTa photo imagenet google swiftshader`.split(/\s+/),
);
// Which model is recommended, and so which license is named, depends on the machine.
for (const { license } of JSON.parse(await readFile(join(h.ROOT, "assets/catalogue.json"), "utf8")))
  for (const word of license.split(/[^A-Za-z]+/)) NAMES.add(word);

h.useBrowser();

const open = (locale, place = "") => h.openPage(browser, server.url + place, { locale });
const language = (page) => page.evaluate(() => document.documentElement.lang);
const chips = (page) => page.locator(hook("label-chip")).evaluateAll((all) => all.map((chip) => chip.dataset.label));
const selected = (page) =>
  page.locator("input[data-template]").evaluateAll((boxes) => boxes.filter((box) => box.checked).map((box) => box.dataset.template));
const isChinese = (text) => /[\u4e00-\u9fff]/.test(text);

/** English words that a visitor sees, or that a screen reader says, but for names. `data`: selectors of what is the visitor's. */
async function english(page, data) {
  const texts = await page.evaluate((data) => {
    const found = [];
    const skip = (element) => element.closest(data) || element.closest("code, kbd, script, style, noscript, [hidden]");
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const { parentElement, textContent } = walker.currentNode;
      if (!skip(parentElement) && parentElement.checkVisibility()) found.push(textContent);
    }
    for (const element of document.body.querySelectorAll("[aria-label], [title], [placeholder]")) {
      if (skip(element) || !element.checkVisibility()) continue;
      for (const name of ["aria-label", "title", "placeholder"]) found.push(element.getAttribute(name) ?? "");
    }
    return found;
  }, data);
  const words = (text) => (text.match(/[A-Za-z][A-Za-z_]{2,}\d*/g) ?? []).filter((word) => !NAMES.has(word));
  return texts.filter((text) => words(text).length).map((text) => `${words(text)}: ${text.trim()}`);
}

const unfold = (page, part) =>
  page.locator(`${part} details`).evaluateAll((all) => all.forEach((details) => (details.open = true)));

// Names of models, of files and of other things that are not the page's words.
const DATA = [
  '[data-testid="model-info"]',
  '[data-testid="device-name"]',
  '[data-testid="announcement"]',
  '[data-testid="trained"]',
  ".published",
  "[data-template]",
  ".tick:has([data-template])",
  ".class-card .class-name",
  ".thumbs",
  "option[value^='set ']",
].join(", ");

describe(`the page in Chinese (${MODE})`, suite, () => {
  test("the browser's language decides, and English is for all others", options, async () => {
    for (const [locale, lang] of [["zh-CN", "zh-CN"], ["zh-TW", "zh-CN"], ["en-GB", "en"], ["de-DE", "en"]]) {
      const { page, close } = await open(locale);
      try {
        await page.locator(hook("drop-zone")).waitFor();
        assert.equal(await language(page), lang, locale);
        assert.equal(isChinese(await page.title()), lang === "zh-CN", locale);
        assert.equal(isChinese(await page.locator("#add-title").innerText()), lang === "zh-CN", locale);
        assert.equal((await chips(page)).length, 20);
        assert.equal((await chips(page)).every(isChinese), lang === "zh-CN", locale);
      } finally {
        await close();
      }
    }
  });

  test("a sample is answered in Chinese, and typed labels end with a Chinese comma", options, async () => {
    const samples = JSON.parse(await readFile(join(h.ROOT, "assets/samples/samples.json"), "utf8"));
    const { page, problems, close } = await open("zh-CN");
    try {
      await h.waitReady(page);
      assert.deepEqual(await selected(page), [TEMPLATE]);
      const { file, zh } = samples.find((sample) => sample.file.includes("raccoon"));
      const index = samples.findIndex((sample) => sample.file === file);
      await page.locator(hook("sample")).nth(index).click();
      const found = await h.ranking(page, file.split("/").at(-1), zh.labels);
      assert.equal(found[0].label, zh.labels[0], JSON.stringify(found));
      await h.clearLabels(page);
      await page.locator(hook("label-input")).pressSequentially("浣熊，鱼、");
      assert.deepEqual(await chips(page), ["浣熊", "鱼"]);
      const [best] = await h.ranking(page, file.split("/").at(-1), ["浣熊", "鱼"]);
      assert.equal(best.label, "浣熊");
      const said = await page.locator(hook("announcement")).textContent();
      assert.match(said, /已分类 1 张图片。/);
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("what was said before the language changed is said in the new one", options, async () => {
    const { page, problems, close } = await open("en-US");
    const button = page.locator(hook("language"));
    const said = async (what) => (await page.locator(hook(what)).allInnerTexts()).map((text) => text.split("\n")[0]);
    try {
      await h.waitReady(page);
      await h.setLabels(page, ["cat", "dog"]);
      await page.locator(hook("copy-link")).click();
      await page.locator(hook("notice")).waitFor();
      await page.locator(hook("labels-clear")).click();
      await page.locator(hook("undo")).first().waitFor();
      const english = [...(await said("notice")), ...(await said("undo"))];
      assert.ok(english.every((text) => !isChinese(text)) && english.length >= 2, english.join("\n"));
      await button.click();
      const chinese = [...(await said("notice")), ...(await said("undo"))];
      assert.equal(chinese.length, english.length);
      assert.ok(chinese.every((text) => isChinese(text) && !text.includes("原文")), chinese.join("\n"));
      await button.click();
      assert.deepEqual([...(await said("notice")), ...(await said("undo"))], english);
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("the button changes the language, keeps what is on the page, and is remembered", options, async () => {
    const { page, problems, close } = await open("en-US");
    const button = page.locator(hook("language"));
    try {
      await h.waitReady(page);
      assert.equal(await button.innerText(), "中文");
      await page.locator(hook("sample")).first().click();
      await page.locator(hook("image-card")).waitFor();
      await button.click();
      assert.equal(await language(page), "zh-CN");
      assert.equal(await page.locator(hook("image-card")).count(), 1, "the picture stays");
      assert.ok((await chips(page)).every(isChinese), "suggested labels follow");
      assert.deepEqual(await selected(page), [TEMPLATE], "and so does the default template");
      assert.equal(await page.evaluate(() => document.activeElement.id), "language", "the focus stays");
      await page.reload();
      await h.waitReady(page);
      assert.equal(await language(page), "zh-CN");
      await h.setLabels(page, ["猫", "dog"]);
      await button.click();
      assert.equal(await language(page), "en");
      assert.equal(await page.title(), "CLIP in your browser");
      assert.deepEqual(await chips(page), ["猫", "dog"], "labels of one's own stay");
      assert.deepEqual(await selected(page), ["A photo of a {label}."]);
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("an error says in Chinese what to do", options, async () => {
    const { page, close } = await open("zh-CN");
    try {
      await h.waitReady(page);
      await h.drop(page, [{ name: "broken.png", bytes: h.noise(4096) }]);
      const error = h.card(page, "broken.png").locator(hook("error"));
      await error.waitFor();
      assert.match(await error.innerText(), /^不是可读的图片。支持 PNG|^不是可读的图片。支持 JPEG|^这张 PNG 图片/);
    } finally {
      await close();
    }
  });

  test("so does one from before the program is there", options, async () => {
    const prepare = (page) => page.route(/worker-[cg]pu[^/]*\.js/, (route) => route.abort());
    const { page, close } = await h.openPage(browser, server.url, { locale: "zh-CN", prepare });
    try {
      await page.getByText(/^无法加载计算程序（.*）。请检查网络连接后重试。/).first().waitFor();
    } finally {
      await close();
    }
  });

  test("no tab has English words left", options, async () => {
    const { page, problems, close } = await open("zh-CN");
    const left = {};
    const look = async (name, data) => {
      const found = await english(page, data ? `${DATA}, ${data}` : DATA);
      if (found.length) left[name] = [...new Set(found)];
    };
    try {
      await h.waitReady(page);
      await look("classify, empty");
      for (const index of [0, 4]) await page.locator(hook("sample")).nth(index).click();
      await page.locator(hook("reject-toggle")).check();
      await unfold(page, "#panel-classify");
      await page.locator(hook("timing")).nth(1).waitFor();
      await look("classify", ".card h3, .card [aria-label], .card [title]");

      await page.locator(hook("tab-library")).click();
      await look("library, empty");
      await page.locator(hook("folder-input")).setInputFiles(join(h.ROOT, "assets/samples"));
      await page.locator(hook("index-status")).filter({ hasText: "samples：12 张图片" }).waitFor();
      await page.locator(hook("search-input")).fill("浣熊");
      await page.locator(hook("search-count")).filter({ hasText: "最相似的在前" }).waitFor();
      await look("library, search", ".tile-name, .index-status p");
      await page.locator(hook("task-duplicates")).click();
      await page.locator(hook("find-duplicates")).click();
      await page.locator(hook("identical")).waitFor();
      await look("library, duplicates", ".tile-name, .index-status p");
      await page.locator(hook("task-sort")).click();
      await page.locator(hook("sort-images")).click();
      await page.locator(hook("sorted-image")).first().waitFor();
      await look("library, sort", ".tile-name, .index-status p, .tile-foot");

      await page.locator(hook("tab-train")).click();
      await look("train, empty");
      await page.locator(hook("sample-data")).click();
      await page.locator(hook("data-amount")).filter({ hasText: "留出" }).waitFor();
      await page.locator(`${hook("method")}[data-method="lora"]`).click();
      await page.locator(`${hook("advanced")} > summary`).click();
      await look("train, data", ".class-card [aria-label]");
      await page.locator(`${hook("method")}[data-method="adapter"]`).click();
      await page.locator(`${hook("train-start")}:enabled`).click();
      await page.locator(hook("after")).waitFor();
      await look("train, result", ".class-card [aria-label], .findings th, .matrix, .matrix [aria-label], .gallery, .mistakes");

      await page.locator(hook("tab-evaluate")).click();
      await look("evaluate, empty");
      await page.locator(hook("evaluate-samples")).click();
      const ready = () => page.locator(`${hook("prompts-start")}:enabled`).waitFor();
      await ready();
      await page.locator(hook("prompts-start")).click();
      await ready();
      await page.locator(hook("shots-start")).click();
      await ready();
      await unfold(page, "#panel-evaluate");
      const visitors = ".report th[scope=row], .report b, .report svg, .report td, .mistakes, .cell-images, .cell-choice option";
      await look("evaluate", `${visitors}, h2[data-testid="evaluate-title"]`);

      assert.deepEqual(left, {});
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });
});
