// Soak test: for minutes or hours, what a visitor may do and what may happen to them, in an order that follows from a
// seed; in the built page (dist/) in a headless Chromium.
//
//   node tests/browser/soak.mjs [--minutes 10] [--seed 1] [--every 4] [--load 1] [--webgpu]
//
// After every step the page must come to rest within minutes, with all images, labels, templates and classes that were
// put on it, an answer on every card, no error of the program, and no message that the step does not explain. Every few
// minutes (--every) its memory is measured, after a collection of garbage, and its answers are compared with those of a
// fresh page that was given the same. --load: share of a core to use, by pauses between the steps.
//
// What fails is printed with the seed, the step and the steps before. A page that is not as it should be is given up:
// another one begins, with the next seed. `--seed` tries one again, as far as a browser is repeatable.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import * as h from "./harness.mjs";
import { startHub } from "./hub.mjs";
import { HUB_MODEL, STEPS, material, modelFiles } from "./soak-steps.mjs";
import { Broken, Random, Visit, cpuSeconds } from "./soak-visit.mjs";

const LABELS = ["cat", "umbrella", "the sun"];
const TOLERANCE = 1e-3;
/** Longest pause between two steps, in seconds. */
const MOST_PAUSE = 60;
/** Longest that a step may take, with what it waits for, in minutes. */
const MOST_STEP = 15;

/** A step's work, or an error if it does not come to an end. */
function inTime(work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Broken(`the step has not ended after ${MOST_STEP} minutes`)), MOST_STEP * 60_000);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** What a run came to. */
class Report {
  webgpu = false;
  minutes = 0;
  steps = 0;
  kinds = {};
  seeds = [];
  comparisons = 0;
  /** Largest difference of a probability. */
  furthest = 0;
  memory = [];
  failures = [];
}

/** A step by its weight among those that are possible. */
function choose(random, visit) {
  const possible = STEPS.filter(({ when }) => !when || when(visit));
  let at = random.next() * possible.reduce((sum, { weight }) => sum + weight, 0);
  return possible.find(({ weight }) => (at -= weight) < 0) ?? possible.at(-1);
}

/** Compares the answers with those of a fresh page that is given the same; returns the largest difference. */
async function compare(visit) {
  if ((await visit.see()).inUse) {
    await visit.tab("classify");
    await visit.at("back-to-before").click();
    await visit.at("in-use").waitFor({ state: "detached" });
  }
  const pictures = visit.pictures.filter(({ broken }) => !broken);
  if (!pictures.length) return 0;
  const answers = await visit.answers();
  const settings = await visit.page.evaluate(() => ({ ...localStorage }));
  const fresh = new Visit(visit.browser, visit.url);
  await fresh.open(settings);
  try {
    Object.assign(fresh, { labels: visit.labels, templates: visit.templates });
    await fresh.settle();
    if (visit.model?.files) {
      const files = await modelFiles(visit.model.files);
      await fresh.reloading(() => h.drop(fresh.page, files));
    }
    await fresh.add(pictures.map(({ name }) => ({ name, bytes: visit.files.get(name) })));
    const wanted = await fresh.answers();
    let furthest = 0;
    for (const { name } of pictures) {
      for (const [label, probability] of Object.entries(wanted[name])) {
        const found = answers[name][label];
        // Of many labels the first ones are shown: the last of them may be another.
        if (found === undefined && visit.labels.length > 8) continue;
        const off = Math.abs(found - probability);
        if (!(off <= TOLERANCE)) throw new Broken(`${name}, “${label}”: ${found}, and ${probability} in a fresh page`);
        furthest = Math.max(furthest, off);
      }
    }
    return furthest;
  } finally {
    await fresh.close();
  }
}

/** How much more there may be of each in the last third of a run than half more than in the first. */
const GROWTH = { heap: 16 << 20, program: 16 << 20, renderers: 256 << 20, nodes: 2000, listeners: 2000 };

/** What grows from the first third of the measurements to the last, in words. */
function grown(memory) {
  const third = Math.floor(memory.length / 3);
  if (third < 2) return [];
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  const of = (part, key) => median(part.map((at) => at[key]));
  return Object.entries(GROWTH).flatMap(([key, more]) => {
    const [first, last] = [of(memory.slice(0, third), key), of(memory.slice(-third), key)];
    return last > 1.5 * first + more ? [`${key} has grown from ${first} to ${last}`] : [];
  });
}

/**
 * Lets a visitor loose on the page for some minutes. `every`: minutes between comparisons; `load`: share of a core
 * to use; `say` gets lines of what goes on. Resolves to a {@link Report}.
 */
export async function soak({ minutes = 10, seed = 1, every = 4, load = 1, webgpu = false, say = () => {} } = {}) {
  const report = Object.assign(new Report(), { webgpu });
  const root = await mkdtemp(join(tmpdir(), "clip-soak-"));
  const begun = Date.now();
  const passed = () => (Date.now() - begun) / 60_000;
  let server, hub;
  try {
    await material(root);
    hub = await startHub(join(root, "hub"));
    server = await h.startServer({ prelude: h.SABOTEUR + h.WATCH_MEMORY });
    const settings = { minutes, every, load, passed, root, say, url: server.url, hub: hub.url };
    for (let next = seed; passed() < minutes; next++) {
      const browser = await h.launchBrowser({ webgpu });
      try {
        report.seeds.push(next);
        await round(browser, next, report, settings);
      } finally {
        await browser.close();
      }
    }
  } finally {
    server?.stop();
    hub?.stop();
    await h.cleanUp();
    await rm(root, { recursive: true, force: true });
  }
  report.minutes = passed();
  for (const what of grown(report.memory)) report.failures.push({ what });
  return report;
}

/** One visitor, until the time is over or the page is not as it should be. */
async function round(browser, seed, report, { minutes, every, load, passed, root, say, url, hub }) {
  const visit = new Visit(browser, url);
  visit.root = root;
  const steps = [];
  const fail = (what) => {
    report.failures.push({ seed, step: visit.step, what, steps: steps.slice(-30) });
    say(`FAILED, seed ${seed}, step ${visit.step}: ${what}\n  steps: ${steps.slice(-30).join(", ")}`);
  };
  let compared = passed();
  // Of processes that have ended nobody counts: what is passed and used is counted from here.
  const start = Date.now();
  try {
    await visit.open({ "clip.hub": hub });
    await h.setLabels(visit.page, LABELS);
    visit.labels = [...LABELS];
    await visit.settle();
    while (passed() < minutes) {
      visit.step++;
      const step = choose(new Random(seed, visit.step), visit);
      steps.push(step.name);
      const at = Date.now();
      await inTime(step.run(visit, new Random(seed, visit.step, 1)).then(() => visit.settle()));
      for (const what of await visit.unexplained()) fail(what);
      if (visit.missed) say(`step ${visit.step}: ${visit.missed} clicks missed what they were meant for`);
      visit.missed = 0;
      report.steps++;
      report.kinds[step.name] = (report.kinds[step.name] ?? 0) + 1;
      report.minutes = passed();
      say(`${passed().toFixed(1)} min, step ${visit.step}: ${step.name}, ${((Date.now() - at) / 1000).toFixed(1)} s`);
      if (passed() - compared >= every) {
        compared = passed();
        const memory = { minutes: passed(), ...(await visit.memory()) };
        report.memory.push(memory);
        steps.push("compare");
        report.furthest = Math.max(report.furthest, await compare(visit));
        report.comparisons++;
        say(`memory: ${JSON.stringify(memory)}`);
        say(`soak: ${JSON.stringify(report)}`);
      }
      for (let paused = 0; paused < MOST_PAUSE && passed() < minutes; paused++) {
        if ((await cpuSeconds(browser)) <= (load * (Date.now() - start)) / 1000) break;
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  } catch (error) {
    const shown = error instanceof Broken ? error.message : error.stack;
    fail(shown);
    for (const what of await visit.unexplained().catch(() => [])) fail(what);
    const picture = process.env.CLIP_SOAK_PICTURES;
    if (picture) await visit.page.screenshot({ path: join(picture, `seed-${seed}.png`), fullPage: true }).catch(() => {});
  } finally {
    await visit.close().catch(() => {});
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const usage = "scripts/soak [--minutes N] [--seed S] [--every MINUTES] [--load SHARE] [--webgpu]";
  const number = (fallback) => ({ type: "string", default: String(fallback) });
  let values;
  try {
    ({ values } = parseArgs({
      options: { minutes: number(10), seed: number(1), every: number(4), load: number(1), webgpu: { type: "boolean", default: false } },
    }));
  } catch (error) {
    console.error(`${usage}\n${error.message}`);
    process.exit(2);
  }
  const [minutes, seed, every, load] = ["minutes", "seed", "every", "load"].map((name) => Number(values[name]));
  if (!(minutes > 0 && seed >= 0 && every > 0 && load > 0)) {
    console.error(usage);
    process.exit(2);
  }
  const report = await soak({ minutes, seed, every, load, webgpu: values.webgpu, say: console.log });
  console.log(`soak: ${JSON.stringify(report)}`);
  for (const { seed, step, what } of report.failures) console.log(`failed: ${what}${seed ? `, seed ${seed}, step ${step}` : ""}`);
  console.log(`${report.steps} steps in ${report.minutes.toFixed(0)} minutes, ${report.comparisons} comparisons, ${report.failures.length} failures`);
  process.exitCode = report.failures.length ? 1 : 0;
}
