// The page as a visitor meets it, in a real Chromium; with WebGPU or without it,
// as CLIP_WEBGPU says (scripts/test runs both). The model is the bundled one.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import * as h from "./harness.mjs";
import { browser, server } from "./harness.mjs";

const { hook, FIXTURES, MODE, SLOW, WEBGPU } = h;
const SCENE = join(FIXTURES, "scene.png");
const LABELS = ["a red house", "the sun", "a bowl of fruit", "a fish"];
const options = { timeout: 5 * SLOW };
const suite = { timeout: 40 * SLOW };

h.useBrowser();

/** For `prepare`: a visitor who wants so many threads of the CPU. */
const threads = (count) => (page) => page.addInitScript((count) => localStorage.setItem("clip.threads", count), count);

/** What must not be in the console, whatever the visitor did. */
const assertQuiet = (problems) => assert.deepEqual(problems, [], "the console should be quiet");

// A page that never gets ready would let every test wait to its end.
let works = false;
const needsPage = () => works || assert.fail("not tried: the page never got ready");

describe(`one visit (${MODE})`, suite, () => {
  let page, problems, close;
  before(async () => {
    ({ page, problems, close } = await h.openPage(browser, server.url));
  });
  after(() => close?.());
  // On an emulated GPU a picture takes seconds: none waits for another test's.
  beforeEach(() => works && h.clearPictures(page));
  afterEach(() => assertQuiet(problems.splice(0)));

  test("gets ready and says where it runs", options, async () => {
    await h.waitReady(page);
    works = true;
    const device = await page.locator(hook("device-name")).textContent();
    assert.match(device, WEBGPU ? /GPU/ : /^CPU/, "the device in words");
    if (!WEBGPU) {
      const status = await page.locator(hook("status")).textContent();
      assert.match(status, /GPU|graphics/i, "and why not the GPU");
      assert.ok(status.length < 160 && !/[{}]|::/.test(status), `in words for people, not "${status}"`);
    }
    const fetched = await page.workers()[0].evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
    const programs = fetched.map((name) => name.match(/worker-([a-z-]+)_bg\.wasm$/)?.[1]).filter(Boolean);
    const cpu = (await page.workers()[0].evaluate(() => hasRelaxedSimd())) ? "cpu-relaxed" : "cpu";
    assert.deepEqual(programs, [WEBGPU ? "gpu" : cpu], "no program that is not needed");
    assert.notEqual(await page.title(), "");
    assert.ok(await page.locator(hook("drop-zone")).isVisible());
  });

  test("a picture without labels gets a hint, not a ranking", options, async () => {
    needsPage();
    await h.clearLabels(page);
    await h.drop(page, [SCENE]);
    const card = h.card(page, "scene.png");
    await card.waitFor();
    await card.filter({ hasText: /add a label/i }).waitFor();
    assert.match(await page.locator(hook("label-hint")).innerText(), /add at least one label/i);
    assert.equal(await card.locator(hook("ranking-row")).count(), 0);
  });

  test("a dropped picture and typed labels give a ranking", options, async () => {
    needsPage();
    await h.drop(page, [SCENE]);
    await h.setLabels(page, LABELS);
    const chips = await page.locator(hook("label-chip")).allInnerTexts();
    assert.equal(chips.length, LABELS.length);
    const rows = await h.ranking(page, "scene.png", LABELS);
    const sum = rows.reduce((total, row) => total + row.probability, 0);
    assert.ok(Math.abs(sum - 1) < 1e-4, `probabilities sum to ${sum}`);
    for (const [i, row] of rows.entries()) {
      assert.ok(row.similarity >= -1 && row.similarity <= 1, `similarity ${row.similarity}`);
      if (i) assert.ok(row.probability <= rows[i - 1].probability, "most likely first");
    }
  });

  test("every kind of picture file gets the native command's answer", options, async () => {
    needsPage();
    // Reading a file is the same code on every device: the slow one gets two.
    const names = WEBGPU ? ["scene.jpg", "scene-orientation-6.jpg"] : [
      "scene.jpg", "scene.png", "scene.webp", "scene.gif", "scene.bmp", "scene-animated.gif",
      "scene-alpha.png", "scene-palette.png", "scene-grey16.png", "scene-orientation-6.jpg", "scene-cmyk.jpg",
    ];
    const files = names.map((name) => join(FIXTURES, name));
    await h.setLabels(page, LABELS);
    await h.drop(page, files);
    const native = await h.nativeAnswer(files, LABELS, await h.templates(page));
    for (const [i, name] of names.entries()) {
      h.assertClose(await h.ranking(page, name, LABELS), native[i], 1e-3, name);
    }
    // A phone's picture is turned before it is looked at: almost the upright one's answer.
    const upright = await h.ranking(page, "scene.jpg", LABELS);
    const turned = await h.ranking(page, "scene-orientation-6.jpg", LABELS);
    h.assertClose(turned, upright, 0.05, "orientation");
  });

  test("a broken file is told on its card, and the page goes on", options, async () => {
    needsPage();
    const whole = await readFile(SCENE);
    await h.setLabels(page, LABELS);
    await h.drop(page, [
      SCENE,
      { name: "noise.png", bytes: h.noise(4096) },
      { name: "half.png", bytes: whole.subarray(0, whole.length >> 1) },
      { name: "empty.png", bytes: Buffer.alloc(0) },
      { name: "after.png", bytes: whole },
    ]);
    for (const name of ["noise.png", "half.png", "empty.png"]) {
      const error = h.card(page, name).locator(hook("error"));
      await error.waitFor();
      const text = (await error.innerText()).trim();
      assert.match(text, /[a-z]{3,} [a-z]{2,}/i, `${name}: a sentence, not "${text}"`);
      assert.doesNotMatch(text, /unwrap|panicked|undefined|\[object/, `${name}: "${text}"`);
      assert.equal(await h.card(page, name).locator(hook("ranking-row")).count(), 0);
    }
    const rows = await h.ranking(page, "after.png", LABELS);
    h.assertClose(rows, await h.ranking(page, "scene.png", LABELS), 1e-4, "the file behind the broken ones");
  });

  test("a change of labels is answered anew for every picture", options, async () => {
    needsPage();
    const others = [...LABELS.slice(0, 2), "a bicycle"];
    await h.drop(page, [SCENE, { name: "second.png", bytes: await readFile(SCENE) }]);
    await h.setLabels(page, LABELS);
    await h.ranking(page, "second.png", LABELS);
    await h.setLabels(page, others);
    const native = await h.nativeAnswer([SCENE], others, await h.templates(page));
    h.assertClose(await h.ranking(page, "scene.png", others), native[0], 1e-3, "scene.png");
    await h.ranking(page, "second.png", others);
  });

  test("an over-long label is cut with a note", options, async () => {
    needsPage();
    const long = "a very long description of a red house on a green field ".repeat(12).trim();
    await h.drop(page, [SCENE]);
    await h.setLabels(page, ["a fish", long]);
    await h.ranking(page, "scene.png", ["a fish", long]);
    const note = await page.locator(hook("notes")).innerText();
    assert.match(note, /\b(cut|shortened|truncated|too long|longer)\b/i, "a note about the cut");
  });

  test("a picture of 100 megapixels gets an answer or a clear message", options, async () => {
    needsPage();
    await h.setLabels(page, LABELS);
    const bytes = await h.plainPng(10_000, 10_000, [200, 60, 50]);
    await h.drop(page, [{ name: "huge.png", bytes }]);
    const card = h.card(page, "huge.png");
    await card.locator(`${hook("ranking-row")}, ${hook("error")}`).first().waitFor({ timeout: 2 * SLOW });
    const error = card.locator(hook("error"));
    if (await error.count()) {
      assert.match(await error.innerText(), /large|big|pixel|memory|size/i);
    } else {
      const path = await h.writeTemporary("huge.png", bytes);
      const native = await h.nativeAnswer([path], LABELS, await h.templates(page));
      h.assertClose(await h.ranking(page, "huge.png", LABELS), native[0], 1e-3, "huge.png");
    }
    await h.waitReady(page);
    await h.drop(page, [{ name: "after-huge.png", bytes: await readFile(SCENE) }]);
    await h.ranking(page, "after-huge.png", LABELS);
  });

  test("on the CPU and back: the same answers", { ...options, skip: !WEBGPU && "no GPU to switch from" }, async () => {
    needsPage();
    await h.setLabels(page, LABELS);
    await h.drop(page, [SCENE]);
    const onGpu = await h.ranking(page, "scene.png", LABELS);
    for (const [choice, words] of [["cpu", /^CPU/], ["gpu", /GPU/]]) {
      await h.chooseDevice(page, choice, words);
      h.assertClose(await h.ranking(page, "scene.png", LABELS), onGpu, 1e-3, `${choice}, a picture from before`);
      await h.drop(page, [{ name: `on-${choice}.png`, bytes: await readFile(SCENE) }]);
      h.assertClose(await h.ranking(page, `on-${choice}.png`, LABELS), onGpu, 1e-3, `${choice}, a new picture`);
    }
  });

  test("8-bit weights on the CPU: said, close to the exact answers, and switched off again", { ...options, skip: WEBGPU && "for the CPU" }, async () => {
    needsPage();
    await h.setLabels(page, LABELS);
    await h.drop(page, [SCENE]);
    const exact = await h.ranking(page, "scene.png", LABELS);
    for (const [on, words] of [[true, /8-bit weights/], [false, /^(?!.*8-bit)/]]) {
      await page.locator(hook("int8")).setChecked(on);
      await page.locator(hook("model-info")).filter({ hasText: words }).waitFor();
      await h.waitReady(page);
      await h.drop(page, [{ name: `int8-${on}.png`, bytes: await readFile(SCENE) }]);
      const rows = await h.ranking(page, `int8-${on}.png`, LABELS);
      h.assertClose(rows, exact, on ? 0.05 : 1e-6, `8 bits: ${on}`);
      assert.equal(JSON.stringify(rows) !== JSON.stringify(exact), on, "8 bits are not the exact weights");
    }
  });

  test("work can be cancelled and taken up again", options, async () => {
    needsPage();
    const bytes = await readFile(SCENE);
    await h.setLabels(page, LABELS);
    await h.waitReady(page);
    await h.drop(page, Array.from({ length: 20 }, (_, i) => ({ name: `many-${i}.png`, bytes })));
    await page.locator(hook("cancel")).click();
    await h.waitReady(page);
    const cancelled = page.locator(`${hook("image-card")}[data-state="cancelled"]`);
    assert.ok((await cancelled.count()) > 0, "pictures that wait are dropped");
    const one = await cancelled.first().getAttribute("data-name");
    await page.locator(hook("resume")).click();
    await h.ranking(page, one, LABELS);
    assert.equal(await cancelled.count(), 0);
  });

  test("a card shows a small copy of a large picture", options, async () => {
    needsPage();
    await h.drop(page, [{ name: "wide.png", bytes: await h.plainPng(2000, 1000, [200, 60, 50]) }]);
    const image = h.card(page, "wide.png").locator("img");
    await image.waitFor();
    const size = await image.evaluate(async (image) => {
      await image.decode();
      return [image.naturalWidth, image.naturalHeight];
    });
    assert.deepEqual(size, [448, 224]);
  });

  test("of many pictures those near the viewport have cards, and all get answers", { ...options, skip: WEBGPU && "an emulated GPU takes seconds for each" }, async () => {
    needsPage();
    const bytes = await readFile(SCENE);
    const names = Array.from({ length: 200 }, (_, i) => `many-${i}.png`);
    const [first, last] = [names[0], names.at(-1)];
    await h.setLabels(page, LABELS);
    await h.drop(page, names.map((name) => ({ name, bytes })));
    const top = await h.ranking(page, first, LABELS);
    await h.waitReady(page);
    assert.match(await page.locator("#answers-title").innerText(), /200/);
    const cards = page.locator(hook("image-card"));
    assert.ok((await cards.count()) < 100, `${await cards.count()} cards`);
    assert.equal(await h.card(page, last).count(), 0, "the last one is far away");

    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    h.assertClose(await h.ranking(page, last, LABELS), top, 1e-4, "the same picture, far down");
    assert.equal(await h.card(page, first).count(), 0, "the first one is far away now");
    assert.ok((await cards.count()) < 100, `${await cards.count()} cards`);

    await h.card(page, last).locator(hook("image-remove")).focus();
    await page.evaluate(() => scrollTo(0, 0));
    await h.ranking(page, first, LABELS);
    const focused = await page.evaluate((q) => document.activeElement.closest(q)?.dataset.name, hook("image-card"));
    assert.equal(focused, last, "the focus stays where it was");

    await h.addLabels(page, ["a bicycle"]);
    await h.ranking(page, first, [...LABELS, "a bicycle"]);
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await h.ranking(page, last, [...LABELS, "a bicycle"]);
  });

  test("labels survive a reload", options, async () => {
    needsPage();
    await h.setLabels(page, LABELS);
    await page.reload();
    await h.waitReady(page);
    const chips = await page.locator(hook("label-chip")).allInnerTexts();
    assert.equal(chips.length, LABELS.length);
    for (const [i, label] of LABELS.entries()) assert.ok(chips[i].includes(label), `${chips[i]} is ${label}`);
  });

  test("a link has labels and templates, and leaves one's own alone", options, async () => {
    needsPage();
    const opened = await h.openPage(browser, server.url, { permissions: ["clipboard-read", "clipboard-write"] });
    try {
      const { page } = opened;
      const chips = () => page.locator(hook("label-chip")).allInnerTexts();
      await h.waitReady(page);
      await h.setLabels(page, ["my own", "another"]);
      const hash = "#label=a+cat+%26+dog&label=%E7%8C%AB&template=a+sketch+of+%7Blabel%7D&model=wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M";
      await page.goto(`${server.url}/${hash}`);
      await page.locator(hook("label-chip")).filter({ hasText: "猫" }).waitFor();
      assert.deepEqual(await chips(), ["a cat & dog", "猫"]);
      assert.match(await page.locator(hook("load-linked")).innerText(), /TinyCLIP ViT-8M.*93.8 MB/);
      await page.reload();
      await h.waitReady(page);
      assert.deepEqual(await chips(), ["a cat & dog", "猫"]);
      assert.match(await page.locator("details").filter({ hasText: "Prompt templates" }).innerText(), /a sketch of \{label\}/);
      await h.addLabels(page, ["a fish"]);
      await page.locator(hook("copy-link")).click();
      await page.getByText("Link copied").waitFor();
      const copied = await page.evaluate(() => navigator.clipboard.readText());
      assert.ok(copied.startsWith(`${server.url}/#label=a+cat+%26+dog&label=`) && copied.includes("label=a+fish&template=a+sketch"), copied);
      // Without the link, what was there before.
      await page.goto("about:blank");
      await page.goto(server.url);
      await h.waitReady(page);
      assert.deepEqual(await chips(), ["my own", "another"]);
      assertQuiet(opened.problems);
    } finally {
      await opened.close();
    }
  });

  test("the samples work, with the labels that the page suggests for them", options, async () => {
    const samples = JSON.parse(await readFile(join(h.ROOT, "assets/samples/samples.json"), "utf8"));
    const opened = await h.openPage(browser, server.url);
    try {
      await h.waitReady(opened.page);
      await opened.page.locator(hook("sample")).first().click();
      const [{ file, labels }] = samples;
      const found = await h.ranking(opened.page, file.split("/").at(-1), labels);
      assert.equal(found[0].label, labels[0], JSON.stringify(found));
      await opened.page.locator(hook("sample")).nth(1).click();
      const both = [...new Set([...labels, ...samples[1].labels])];
      await h.ranking(opened.page, samples[1].file.split("/").at(-1), both);
      assert.deepEqual(opened.problems, []);
    } finally {
      await opened.close();
    }
  });
});

describe(`a page that stays awake (${MODE})`, suite, () => {
  // Timers measure the page's own thread. Frames also wait for the GPU process,
  // which an emulated GPU keeps busy with the worker's kernels.
  const measureGaps = (mounted) => {
    const gaps = (window.gaps = { timer: 0, frame: 0, frames: 0 });
    const last = {};
    const note = (kind) => {
      const now = performance.now();
      if (last[kind]) gaps[kind] = Math.max(gaps[kind], now - last[kind]);
      if (last[kind] || document.querySelector(mounted)) last[kind] = now;
    };
    setInterval(() => note("timer"), 10);
    const draw = () => {
      note("frame");
      gaps.frames++;
      requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
  };

  const visit = async () => {
    // An empty page beside it tells how much is the machine's doing.
    const control = await browser.newPage();
    await control.evaluate(measureGaps, "body");
    const { page, problems, close } = await h.openPage(browser, server.url, {
      prepare: (page) => page.addInitScript(measureGaps, hook("label-input")),
    });
    try {
      await h.drop(page, [SCENE, join(FIXTURES, "scene.jpg")]);
      await h.setLabels(page, LABELS);
      await h.ranking(page, "scene.jpg", LABELS);
      assertQuiet(problems);
      const gaps = await page.evaluate(() => window.gaps);
      return { ...gaps, empty: await control.evaluate(() => window.gaps.timer) };
    } finally {
      await close();
      await control.close();
    }
  };

  test("nothing stalls while the model loads and pictures are encoded", options, async (t) => {
    needsPage();
    const stalls = [];
    // Other programs can hold up any page for a moment; what this one does shows every time.
    for (let i = 0; i < 3; i++) {
      const { timer, frame, frames, empty } = await visit();
      t.diagnostic(`longest gap: timers ${timer.toFixed(0)} ms, frames ${frame.toFixed(0)} ms; an empty page ${empty.toFixed(0)} ms`);
      assert.ok(frames > 10, `${frames} frames`);
      const worst = Math.max(timer, WEBGPU ? 0 : frame);
      if (worst < Math.max(500, 2 * empty)) return;
      stalls.push(`${worst.toFixed(0)} ms`);
    }
    assert.fail(`the page stood still for ${stalls.join(", ")}`);
  });
});

describe(`a worker that dies (${MODE})`, suite, () => {
  const survives = async (order) => {
    needsPage();
    const prepare = async (page) => {
      if (order === "lose a compute worker") await threads(2)(page);
      await h.sabotage(page);
    };
    const { page, close } = await h.openPage(browser, server.url, { prepare });
    try {
      await h.waitReady(page);
      await h.drop(page, [SCENE]);
      await h.setLabels(page, LABELS);
      const first = await h.ranking(page, "scene.png", LABELS);
      const before = await page.evaluate(() => window.workers.length);
      // Watched from inside, since the page may be back on its feet in no time.
      await page.evaluate((q) => {
        window.said = [];
        const look = () => {
          const state = document.querySelector(q.state)?.dataset.state;
          const text = [...document.querySelectorAll(q.words)].map((e) => e.textContent.trim()).join(" | ");
          const now = `${state}: ${text}`;
          if (window.said.at(-1) !== now) window.said.push(now);
        };
        look();
        new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
      }, { state: hook("worker-state"), words: `${hook("notice")}, ${hook("error")}` });

      await h.order(page, order);
      // A trap needs code to run in. A lost GPU is noticed by itself.
      if (order !== "lose the GPU") await h.drop(page, [{ name: "victim.png", bytes: await readFile(SCENE) }]);
      await page.waitForFunction((n) => window.workers.length > n, before, { timeout: SLOW });
      await h.waitReady(page);
      await h.drop(page, [{ name: "after.png", bytes: await readFile(SCENE) }]);
      h.assertClose(await h.ranking(page, "after.png", LABELS), first, 1e-3, "after the restart");
      h.assertClose(await h.ranking(page, "scene.png", LABELS), first, 1e-3, "a picture from before");
      const said = await page.evaluate(() => window.said);
      assert.match(said.join("\n"), /lost|stopped|crash|died|restart|start(s|ed|ing) again|went away|failed/i, "the page says what happened");
    } finally {
      await close();
    }
  };

  test("by a trap: told, restarted, answers again", options, () => survives("trap"));
  test("by a trap that nobody waits for: told, restarted, answers again", options, () => survives("reject"));
  test("by a lost GPU: told, restarted, answers again", { ...options, skip: !WEBGPU && "no GPU to lose" }, () =>
    survives("lose the GPU"));
  test("by a lost thread: told, restarted, answers again", { ...options, skip: WEBGPU && "for the CPU" }, () =>
    survives("lose a compute worker"));
});

describe("threads", { ...suite, skip: WEBGPU && "for the CPU" }, () => {
  /** The device's name and the answer where so many threads are asked for. */
  const ask = async (count, prelude) => {
    const server = await h.startServer({ prelude });
    const { page, problems, close } = await h.openPage(browser, server.url, { prepare: threads(count) });
    try {
      await h.waitReady(page);
      await h.drop(page, [SCENE]);
      await h.setLabels(page, LABELS);
      const answer = await h.ranking(page, "scene.png", LABELS);
      assertQuiet(problems);
      return { answer, name: await page.locator(hook("device-name")).textContent() };
    } finally {
      await close();
      server.stop();
    }
  };

  test("as many as are asked for, and the answer of one", options, async () => {
    needsPage();
    const alone = await ask(1);
    assert.match(alone.name, /one thread/);
    for (const count of [2, 3]) {
      const { name, answer } = await ask(count);
      assert.match(name, new RegExp(`${count} threads`));
      h.assertClose(answer, alone.answer, 1e-5, name);
    }
  });

  test("from the second visit on where the host sends no headers for it", options, async () => {
    needsPage();
    const plain = await h.startPlainServer();
    const { page, problems, close } = await h.openPage(browser, plain.url, { serviceWorkers: "allow", prepare: threads(2) });
    try {
      const name = page.locator(hook("device-name"));
      await h.waitReady(page);
      assert.match(await name.textContent(), /one thread/);
      await page.evaluate(() => navigator.serviceWorker.ready);
      await page.reload();
      await h.waitReady(page);
      assert.match(await name.textContent(), /2 threads/);
      assert.ok(await page.evaluate(() => crossOriginIsolated));
      assertQuiet(problems);
    } finally {
      await close();
      plain.stop();
    }
  });

  test("one where memory cannot be shared or no worker starts", options, async () => {
    needsPage();
    for (const trouble of [
      `Object.defineProperty(globalThis, "crossOriginIsolated", { value: false });`,
      `Worker = class { constructor() { throw new Error("no"); } };`,
    ]) {
      assert.match((await ask(2, trouble)).name, /one thread/, trouble);
    }
  });
});

describe(`a keyboard alone (${MODE})`, suite, () => {
  test("reaches the labels, adds and removes them", options, async () => {
    needsPage();
    const { page, problems, close } = await h.openPage(browser, server.url);
    try {
      await page.locator(hook("label-input")).waitFor();
      await h.clearLabels(page);
      await page.evaluate(() => document.activeElement?.blur());
      const focused = (name) =>
        page.evaluate((q) => !!document.activeElement?.closest(q), hook(name));
      const tabTo = async (name, key = "Tab") => {
        for (let i = 0; i < 60; i++) {
          await page.keyboard.press(key);
          if (await focused(name)) return;
        }
        assert.fail(`${key} never reaches ${name}`);
      };
      await tabTo("label-input");
      for (const label of ["a red house", "a fish"]) {
        await page.keyboard.type(label);
        await page.keyboard.press("Enter");
      }
      assert.equal(await page.locator(hook("label-chip")).count(), 2);
      assert.ok(await focused("label-input"), "Enter keeps the focus, for the next label");

      const chips = page.locator(hook("label-chip"));
      for (const key of ["Tab", "Shift+Tab"]) {
        for (let i = 0; i < 6 && !(await focused("label-chip")); i++) await page.keyboard.press(key);
        if (await focused("label-chip")) break;
      }
      assert.ok(await focused("label-chip"), "the chips can be reached");
      await page.keyboard.press("Enter");
      await page.waitForFunction((q) => document.querySelectorAll(q).length === 1, hook("label-chip"));
      assert.equal(await chips.count(), 1);

      // Picking a file must not need a mouse either.
      const reach = await page.evaluate(
        (q) => {
          const input = document.querySelector(q.input);
          const zone = document.querySelector(q.zone);
          const stops = [input, zone, ...(zone?.querySelectorAll("button, [tabindex], label") ?? [])];
          return stops.some((e) => e && e.tabIndex >= 0 && e.getClientRects().length > 0);
        },
        { input: hook("file-input"), zone: hook("drop-zone") },
      );
      assert.ok(reach, "file-input or something in drop-zone can be focused");
      assertQuiet(problems);
    } finally {
      await close();
    }
  });
});
