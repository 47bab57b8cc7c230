// What everybody needs from the first minute on: nothing that axe finds fault with, all of it by keyboard, at 200 %
// and without motion, nothing that moves while the page loads, a tour, and no file that is lost by a drop too early.
// In a real Chromium, on the CPU: the device has no share in it.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import * as h from "./harness.mjs";
import { browser, server } from "./harness.mjs";

const { hook, FIXTURES, SLOW, WEBGPU } = h;
const options = { timeout: 3 * SLOW, skip: WEBGPU && "as on the CPU" };
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true };
/** A window of 1280 x 900 at 200 %. */
const ZOOMED = { viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 };

h.useBrowser({ skip: options.skip, webgpu: false });

/** Takes a visitor through the tabs, and calls `look` with the name of each state; without `work` only what is there at once. */
async function walk(page, look, work) {
  const locator = (name) => page.locator(hook(name));
  const unfold = () => page.locator("details").evaluateAll((all) => all.forEach((details) => (details.open = true)));
  await h.waitReady(page);
  await look("classify, empty");
  for (const sample of [0, 4]) await locator("sample").nth(sample).click();
  await locator("timing").nth(1).waitFor();
  await locator("reject-toggle").check();
  await h.drop(page, [{ name: "broken.png", bytes: h.noise(4096) }]);
  await h.card(page, "broken.png").locator(hook("error")).waitFor();
  await locator("ranking-row").first().click();
  await locator("heat-map").first().waitFor();
  await unfold();
  await look("classify, answers");
  await locator("images-clear").click();
  await locator("undo").waitFor();
  await look("classify, undo");

  await locator("tab-library").click();
  await look("library, empty");
  if (!work) {
    for (const tab of ["train", "evaluate"]) {
      await locator(`tab-${tab}`).click();
      await look(`${tab}, empty`);
    }
    return;
  }
  await locator("folder-input").setInputFiles(join(h.ROOT, "assets/samples"));
  await locator("index-status").filter({ hasText: "12" }).waitFor();
  await locator("search-input").fill("cat");
  await locator("hit").first().waitFor();
  await look("library, search");
  await locator("task-duplicates").click();
  await locator("find-duplicates").click();
  await locator("identical").waitFor();
  await look("library, duplicates");
  await locator("task-sort").click();
  await locator("sort-images").click();
  await locator("sorted-image").first().waitFor();
  await look("library, sort");

  await locator("tab-train").click();
  await look("train, empty");
  await locator("sample-data").click();
  await page.locator(`${hook("method")}[data-method="probe"]`).click();
  await page.locator(`${hook("advanced")} > summary`).click();
  await page.locator(`${hook("train-start")}:enabled`).waitFor();
  await look("train, data");
  await page.locator(`${hook("train-start")}:enabled`).click();
  await locator("after").waitFor();
  await unfold();
  await look("train, result");

  await locator("tab-evaluate").click();
  await look("evaluate, empty");
  await locator("evaluate-samples").click();
  await page.locator(`${hook("prompts-start")}:enabled`).waitFor();
  await unfold();
  await look("evaluate, report");
}

/** What axe finds fault with, in words. */
const findings = (page) =>
  page.evaluate(async () => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 200)).join("\n  ")}`);
  });

/** Controls that a mouse can use and the Tab key does not reach, or that lie outside of the window. */
async function unreachable(page) {
  const count = await page.evaluate(() => {
    document.activeElement?.blur();
    const controls = "a[href], button, input, select, textarea, summary, [tabindex='0']";
    const usable = (element) => element.checkVisibility() && !element.disabled && !element.closest("[aria-hidden='true']");
    const all = [...document.querySelectorAll(controls)].filter(usable);
    // Of radio buttons and of tabs one is reached, and the arrows do the rest.
    window.expected = new Set(
      all.filter((element) => element.role !== "tab" && (element.type !== "radio" || element.checked)),
    );
    window.outside = all.filter((element) => {
      const { left, right, width } = element.getBoundingClientRect();
      for (let box = element; box; box = box.parentElement) {
        if (/auto|scroll/.test(getComputedStyle(box).overflowX)) return false;
      }
      return width > 1 && (left < 0 || right > innerWidth + 0.5);
    });
    return all.length;
  });
  for (let i = 0; i < count + 5; i++) {
    await page.keyboard.press("Tab");
    const left = await page.evaluate(() => {
      window.expected.delete(document.activeElement);
      return window.expected.size;
    });
    if (left === 0) break;
  }
  return page.evaluate(() => {
    const text = (element) => element.outerHTML.slice(0, 160);
    // What looks as if it could be clicked belongs to something that has the focus; a row has its label's button, and
    // the cells of a confusion matrix have two lists beside them.
    const otherWay = `[data-testid="ranking-row"]:has(button), [data-cell]`;
    const focusable = "a[href], button, input, select, textarea, summary, label, option, [tabindex='0'], [role='tab']";
    const mouseOnly = [...document.body.querySelectorAll("*")].filter(
      (element) =>
        element.checkVisibility() &&
        getComputedStyle(element).cursor === "pointer" &&
        !element.closest(focusable) &&
        !element.closest(otherWay) &&
        !element.querySelector(focusable),
    );
    return [
      ...[...window.expected].map((element) => `not reached: ${text(element)}`),
      ...window.outside.map((element) => `outside of the window: ${text(element)}`),
      ...mouseOnly.map((element) => `for a mouse alone: ${text(element)}`),
    ];
  });
}

const sideways = (page) =>
  page.evaluate(() => (document.documentElement.scrollWidth > innerWidth ? [`${document.documentElement.scrollWidth} px wide`] : []));

/** What sticks out of its panel, card or tile to the right, and is not cut off before. */
const spilling = (page) =>
  page.evaluate(() => {
    const found = [];
    for (const box of document.querySelectorAll(".panel, .card, .class-card, .tile, .notice, .undo, .tab, .button")) {
      if (!box.checkVisibility()) continue;
      const edge = box.getBoundingClientRect().right + 1;
      for (const inner of box.querySelectorAll("*")) {
        if (!inner.checkVisibility() || inner.getBoundingClientRect().right <= edge) continue;
        let cut = false;
        for (let around = inner.parentElement; around !== box; around = around.parentElement) {
          cut ||= getComputedStyle(around).overflowX !== "visible";
        }
        // For screen readers alone.
        if (!cut && inner.getBoundingClientRect().width > 1) found.push(`out of .${box.className}: ${inner.outerHTML.slice(0, 160)}`);
      }
    }
    return found;
  });

describe("for everybody", { timeout: 12 * SLOW }, () => {
  for (const [name, settings, work] of [
    ["light, English", {}, true],
    ["dark, a phone, Chinese", { ...PHONE, colorScheme: "dark", locale: "zh-CN" }, true],
    ["dark, at 200 %", { ...ZOOMED, colorScheme: "dark" }, false],
  ]) {
    test(`axe finds nothing, the keyboard reaches all, no sideways scrolling: ${name}`, options, async () => {
      const prepare = (page) => page.addInitScript({ path: AXE });
      const { page, problems, close } = await h.openPage(browser, server.url, { ...settings, prepare });
      try {
        const wrong = {};
        const look = async (state) => {
          const found = [...(await findings(page)), ...(await sideways(page)), ...(await spilling(page)), ...(await unreachable(page))];
          if (found.length) wrong[state] = found;
        };
        await walk(page, look, work);
        assert.deepEqual(wrong, {});
        assert.deepEqual(problems, []);
      } finally {
        await close();
      }
    });
  }

  for (const [name, settings] of [["a desktop", {}], ["a phone", PHONE]]) {
    test(`long names stay in their boxes: ${name}`, options, async () => {
      const { page, problems, close } = await h.openPage(browser, server.url, settings);
      const wrong = {};
      const look = async (state) => {
        const found = [...(await sideways(page)), ...(await spilling(page))];
        if (found.length) wrong[state] = found;
      };
      const bytes = await readFile(join(FIXTURES, "scene.png"));
      const word = "W".repeat(70);
      const names = [`${word}.png`, `${"a long name ".repeat(9)}.png`, "c.png"];
      const locator = (name) => page.locator(hook(name));
      try {
        await h.waitReady(page);
        await h.setLabels(page, [word, "a long label ".repeat(9), "c"]);
        await h.drop(page, names.map((name) => ({ name, bytes })));
        await locator("timing").nth(2).waitFor();
        await look("classify");
        assert.deepEqual(wrong, {});
        await locator("ranking-row").first().click();
        await locator("heat-map").first().waitFor();
        await look("heat map");
        await locator("labels-clear").click();
        await locator("undo").first().waitFor();
        await look("undo");
        await locator("tab-train").click();
        await locator("first-classes").click();
        await locator("class-name").first().fill(word);
        await locator("class-name").first().press("Enter");
        await look("train");
        assert.deepEqual(wrong, {});
        assert.deepEqual(problems, []);
      } finally {
        await close();
      }
    });
  }

  test("nothing moves by itself for those who want no motion", options, async () => {
    const { page, close } = await h.openPage(browser, server.url, { reducedMotion: "reduce" });
    try {
      await page.locator(hook("drop-zone")).waitFor();
      const moving = () => page.evaluate(() => document.getAnimations().length);
      assert.equal(await moving(), 0, "while it loads");
      await h.waitReady(page);
      await h.drop(page, [join(FIXTURES, "scene.png")]);
      assert.equal(await moving(), 0, "while it works");
    } finally {
      await close();
    }
  });

  for (const [name, settings] of [["a desktop", {}], ["a phone", PHONE], ["200 %", ZOOMED]]) {
    test(`hardly anything shifts while it loads: ${name}`, options, async () => {
      const prepare = (page) =>
        page.addInitScript(() => {
          window.shifts = [];
          new PerformanceObserver((list) => {
            for (const { value, sources } of list.getEntries()) {
              window.shifts.push({ value, what: sources.map(({ node }) => node?.outerHTML?.slice(0, 80)) });
            }
          }).observe({ type: "layout-shift", buffered: true });
        });
      const { page, close } = await h.openPage(browser, server.url, { ...settings, prepare });
      try {
        await h.waitReady(page);
        await page.waitForTimeout(300);
        const shifts = await page.evaluate(() => window.shifts);
        const total = shifts.reduce((sum, { value }) => sum + value, 0);
        assert.ok(total < 0.02, `${total}: ${JSON.stringify(shifts, null, 1)}`);
      } finally {
        await close();
      }
    });
  }
});

describe("the tour of a first visit", { timeout: 6 * SLOW }, () => {
  const strip = (page) => page.locator(hook("tour"));
  const step = (page) => page.locator("[data-tour]").getAttribute("data-tour");

  test("three steps, by keyboard, and never again", options, async () => {
    const { page, problems, close } = await h.openPage(browser, server.url);
    try {
      await strip(page).filter({ hasText: "1 of 3" }).waitFor();
      assert.equal(await step(page), "image");
      const next = page.locator(hook("tour-next"));
      await next.focus();
      for (const [place, name] of [["2 of 3", "labels"], ["3 of 3", "train"]]) {
        await page.keyboard.press("Enter");
        await strip(page).filter({ hasText: place }).waitFor();
        assert.equal(await step(page), name);
        assert.ok(await next.evaluate((button) => button === document.activeElement), "the focus stays");
      }
      assert.equal(await next.innerText(), "Done");
      await page.keyboard.press("Enter");
      await strip(page).waitFor({ state: "detached" });
      assert.equal(await page.evaluate(() => document.activeElement.id), "tab-classify");
      assert.equal(await page.locator("[data-tour]").count(), 0);
      await page.reload();
      await h.waitReady(page);
      assert.equal(await strip(page).count(), 0);
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });

  test("covers nothing, is skipped with one click, and follows the visitor", options, async () => {
    const { page, close } = await h.openPage(browser, server.url, { ...PHONE, locale: "zh-CN" });
    try {
      await strip(page).filter({ hasText: "1 / 3" }).waitFor();
      const overlaps = await strip(page).evaluate((tour) => {
        const { top, bottom } = tour.getBoundingClientRect();
        const others = [...document.querySelectorAll(".tabs, .engine, .add, .labels, .answers")];
        return others.filter((other) => {
          const box = other.getBoundingClientRect();
          return box.height && box.top < bottom && box.bottom > top;
        }).length;
      });
      assert.equal(overlaps, 0);
      await page.locator(hook("sample")).first().click();
      await strip(page).filter({ hasText: "2 / 3" }).waitFor();
      await h.addLabels(page, ["猫"]);
      await strip(page).filter({ hasText: "3 / 3" }).waitFor();
      await page.locator(hook("tab-train")).click();
      await page.locator(hook("tab-classify")).click();
      assert.equal(await strip(page).count(), 0, "done");
    } finally {
      await close();
    }

    const other = await h.openPage(browser, server.url);
    try {
      await other.page.locator(hook("tour-skip")).click();
      assert.equal(await strip(other.page).count(), 0);
    } finally {
      await other.close();
    }
  });

  test("is not for those who were here before there was one", options, async () => {
    const prepare = (page) => page.addInitScript(() => localStorage.setItem("clip.labels", '["cat"]'));
    const { page, close } = await h.openPage(browser, server.url, { prepare });
    try {
      await h.waitReady(page);
      assert.equal(await strip(page).count(), 0);
    } finally {
      await close();
    }
  });
});

describe("an impatient visitor", { timeout: 2 * SLOW }, () => {
  test("an image that is dropped before the program is there is not lost", options, async () => {
    let arrive;
    const asked = new Promise((resolve) => (arrive = resolve));
    const prepare = (page) => page.route(/\/web-[^/]*\.wasm/, (route) => arrive(route));
    const { page, problems, close } = await h.openPage(browser, server.url, { prepare });
    try {
      const route = await asked;
      const scene = (await readFile(join(FIXTURES, "scene.png"))).toString("base64");
      const prevented = await page.evaluate((scene) => {
        const bytes = Uint8Array.from(atob(scene), (c) => c.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], "scene.png", { type: "image/png" }));
        const fire = (kind) =>
          !document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer }));
        return [fire("dragover"), fire("drop")];
      }, scene);
      assert.deepEqual(prevented, [true, true], "or the browser opens the file in the page's place");
      await route.continue();
      await h.card(page, "scene.png").locator(hook("ranking-row")).first().waitFor();
      // From now on texts can be dragged into fields again.
      const left = await page.evaluate(() => {
        const dataTransfer = new DataTransfer();
        dataTransfer.setData("text/plain", "cat");
        const event = new DragEvent("dragover", { bubbles: true, cancelable: true, dataTransfer });
        return document.querySelector('[data-testid="label-input"]').dispatchEvent(event);
      });
      assert.ok(left);
      assert.deepEqual(problems, []);
    } finally {
      await close();
    }
  });
});
