// What a visitor of the soak test (soak.mjs) may do, and what may happen to them. A step is chosen by its weight among
// those whose `when` holds, which must depend on nothing but the seed and the steps before; `run` does it.

import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as h from "./harness.mjs";
import { Broken, FULL, Random, drawing } from "./soak-visit.mjs";
import { header } from "./training.mjs";

const { hook } = h;
const GOLDEN = join(h.ROOT, "tests/golden/models");
const MODELS = ["hf-tokenizer-bf16", "openclip-gelu-f16", "openclip-resnet-f16", "chinese-clip-f32", "siglip-f32", "openclip-custom-text-f16"];
/** Those that a LoRA may be trained of. */
const ADAPTABLE = ["hf-tokenizer-bf16", "openclip-gelu-f16", "chinese-clip-f32", "siglip-f32"];
export const HUB_MODEL = "someone/tiny-clip";
const WORDS = [
  "cat", "a red house", "the sun", "umbrella", "rocket", "pizza", "a blue square", "green leaves", "noise", "a flag", "猫", "一座红色的房子",
  "ein Haus", "🍕", "abstract art", "a very long label that says far more about an image than anybody ever would",
];
const TEMPLATES = ["My {label}.", "A sketch of a {label}.", "the colour of {label}", "一张{label}的图", "{label}, {label} and {label}"];
const COLOURS = { red: [220, 30, 30], green: [20, 160, 40], blue: [30, 50, 220] };
const MOST_PICTURES = 16;

const free = (visit) => !visit.run && !visit.full;
/** Whether a folder can be chosen: of a tab that was frozen, Chromium never answers when it is told to. */
const takesFolders = (visit) => !visit.full && !visit.wasFrozen;
const bundled = (visit) => !visit.model;
const crash = [/^worker-/, /^gpu-failed/, /^interrupted-too-early/, /^diagnostic-result-gone/, /^text: the program has stopped/];

/** Files that the visitor has on the disk: folders of images, and what the hub has. */
export async function material(root) {
  const random = new Random(7);
  for (const [folder, count] of [["Photos", 24], ["Archive", 10]]) {
    await mkdir(join(root, folder, "older"), { recursive: true });
    for (let i = 0; i < count; i++) await writeFile(join(root, folder, i % 3 ? "" : "older", `${i}.png`), drawing(random));
    await writeFile(join(root, folder, "broken.jpg"), h.noise(900));
    await writeFile(join(root, folder, "notes.txt"), "no image");
  }
  for (const [name, rgb] of Object.entries(COLOURS)) {
    await mkdir(join(root, "colours", name), { recursive: true });
    for (let i = 0; i < 5; i++) await writeFile(join(root, "colours", name, `${i}.png`), await shade(rgb, i));
  }
  const hub = join(root, "hub", HUB_MODEL);
  await mkdir(hub, { recursive: true });
  await cp(join(GOLDEN, "hf-tokenizer-bf16"), hub, { recursive: true });
}

const shade = (rgb, i) => h.plainPng(40 + i, 32, rgb.map((value) => Math.max(0, Math.min(255, value + 7 * i - 15))));

const newPictures = (visit, random, count) =>
  Array.from({ length: count }, () => ({ name: `${++visit.numbers}.png`, bytes: drawing(random) }));

/** Files of a model, as they are dropped. */
export async function modelFiles(name) {
  const all = ["config.json", "open_clip_config.json", "model.safetensors", "open_clip_model.safetensors", "preprocessor_config.json", "tokenizer.json"];
  const files = await Promise.all(all.map(async (file) => ({ name: file, bytes: await readFile(join(GOLDEN, name, file)).catch(() => null) })));
  return files.filter(({ bytes }) => bytes);
}

async function openPanel(visit) {
  await visit.tab("classify");
  await visit.unfold(hook("models"));
}

/** Waits for a training that has been started or stopped to be in a state. */
const trainingIs = (visit, ...states) =>
  visit.until(`the training to be ${states}`, async () => states.includes((await visit.see()).run));

const loraSteps = async (visit) => Number((await visit.at("chart").count()) && (await visit.at("chart").first().getAttribute("data-points")));

async function pauseAfterSteps(visit) {
  const before = await loraSteps(visit);
  await visit.until("two steps of training", async () => (await loraSteps(visit)) >= Math.min(before, 1) + 2);
  await visit.at("train-pause").click();
  await trainingIs(visit, "paused");
  visit.run = "paused";
}

/** Starts a method with the settings given, as the page has them otherwise. */
async function start(visit, method, settings = {}) {
  await visit.tab("train");
  await visit.page.locator(`${hook("method")}[data-method="${method}"]`).click();
  if (Object.keys(settings).length) {
    await visit.unfold(hook("advanced"));
    for (const [name, value] of Object.entries(settings)) {
      const field = visit.at(`setting-${name}`);
      await field.fill(String(value));
      await field.press("Enter");
      await field.blur();
    }
  }
  await visit.page.locator(`${hook("train-start")}:enabled`).click();
}

async function finished(visit) {
  await trainingIs(visit, "idle", "failed");
  if ((await visit.see()).run === "failed") throw new Broken(`the training failed: ${await visit.at("train-error").textContent()}`);
  visit.run = null;
  await visit.at("trained").waitFor();
  visit.trained = true;
}

/** An image to train on that is not stored yet does not outlast the tab, as the page says: a visitor waits. */
async function stored(visit) {
  await visit.until("the images to be stored", async () => !(await visit.at("reading").count()));
}

async function reload(visit, random) {
  await stored(visit);
  await visit.page.reload();
  await visit.at("label-input").waitFor({ state: "attached" });
  visit.cameBack();
  if (random.chance(0.5)) await visit.tab("train");
}

async function downloaded(visit, name) {
  const [file] = await Promise.all([visit.page.waitForEvent("download"), visit.at(name).first().click()]);
  const bytes = await readFile(await file.path());
  await file.delete();
  return bytes;
}

/** Opens a folder's index, and waits for it. */
async function openFolder(visit, folder, count) {
  await visit.tab("library");
  await visit.at("folder-input").setInputFiles(join(visit.root, folder));
  await visit.until(`the index of ${folder}`, async () => {
    const text = await visit.at("index-status").textContent({ timeout: 1000 }).catch(() => "");
    return new RegExp(`^${folder}\\D*\\b${count}\\b`).test(text.trim()) && !(await visit.at("index-pause").count());
  });
}

const idle = (visit) => visit.page.locator(`${hook("prompts-start")}:enabled`).waitFor();

/** Every kind of step. */
export const STEPS = [
  // ---------------------------------------------------------------- images
  {
    name: "add images", weight: 14,
    when: (v) => v.pictures.length < MOST_PICTURES,
    run: (v, random) => v.add(newPictures(v, random, 1 + random.below(4))),
  },
  {
    name: "add an image of another format", weight: 3,
    when: (v) => v.pictures.length < MOST_PICTURES,
    async run(v, random) {
      const file = random.pick(["scene.jpg", "scene.webp", "scene.gif", "scene.bmp", "scene-orientation-6.jpg", "scene-cmyk.jpg", "scene-alpha.png"]);
      await v.add([{ name: `${++v.numbers}-${file}`, bytes: await readFile(join(h.FIXTURES, file)) }]);
    },
  },
  {
    name: "add a broken file", weight: 4,
    when: (v) => v.pictures.length < MOST_PICTURES,
    async run(v, random) {
      const whole = drawing(random);
      const bytes = random.pick([h.noise(4096), whole.subarray(0, whole.length >> 1), Buffer.alloc(0), Buffer.from("no image"), Buffer.concat([whole.subarray(0, 40), h.noise(300)])]);
      await v.add([{ name: `${++v.numbers}-broken.${random.pick(["png", "jpg", "webp"])}`, bytes }], true);
    },
  },
  {
    name: "remove an image", weight: 8,
    when: (v) => v.pictures.length > 0,
    async run(v, random) {
      await v.tab("classify");
      const [picture] = v.pictures.splice(random.below(v.pictures.length), 1);
      await v.remove(picture);
      if (random.chance(0.5)) {
        await v.undo();
        v.restore([picture]);
      }
    },
  },
  {
    name: "remove all images", weight: 4,
    when: (v) => v.pictures.length > 5,
    async run(v, random) {
      await v.tab("classify");
      await v.at("images-clear").click();
      const all = v.pictures.splice(0);
      if (random.chance(0.3)) await v.add(newPictures(v, random, 2));
      if (random.chance(0.5)) {
        await v.undo();
        v.restore(all);
      }
    },
  },
  {
    name: "where a label fits", weight: 5,
    when: (v) => v.pictures.some(({ broken }) => !broken) && v.labels.length > 0,
    async run(v, random) {
      await v.tab("classify");
      await v.settle();
      const card = h.card(v.page, random.pick(v.pictures.filter(({ broken }) => !broken)).name);
      const row = card.locator(`${hook("ranking-row")} button`).first();
      // It may be shown from before; another click would take it away.
      if ((await row.getAttribute("aria-pressed")) !== "true") await row.click();
      await card.locator(`${hook("heat-map")}, ${hook("heat-legend")}.failed`).first().waitFor();
      if (bundled(v) && !(await card.locator(hook("heat-map")).count())) throw new Broken(`no heat map: ${await card.locator(hook("heat-legend")).textContent()}`);
      if (random.chance(0.7)) await row.click();
    },
  },
  {
    name: "download the answers", weight: 2,
    when: (v) => v.pictures.some(({ broken }) => !broken) && v.labels.length > 0,
    async run(v, random) {
      await v.tab("classify");
      const seen = await v.settle();
      const what = random.pick(["download-csv", "download-json"]);
      const text = (await downloaded(v, what)).toString();
      for (const { name, state } of seen.cards) if (state === "encoded" && !text.includes(name)) throw new Broken(`${name} is not in ${what}`);
    },
  },
  // ---------------------------------------------------------------- labels and templates
  {
    name: "add labels", weight: 8,
    when: (v) => v.labels.length < 12,
    async run(v, random) {
      await v.tab("classify");
      if ((await v.see()).inUse) return;
      for (let i = 0; i <= random.below(3); i++) {
        const label = random.pick(WORDS);
        await h.addLabels(v.page, [label]);
        if (!v.labels.includes(label)) v.labels.push(label);
      }
    },
  },
  {
    name: "remove a label", weight: 5,
    when: (v) => v.labels.length > 1,
    async run(v, random) {
      await v.tab("classify");
      if ((await v.see()).inUse) return;
      const place = random.below(v.labels.length);
      const [label] = v.labels.splice(place, 1);
      await v.page.locator(`${hook("label-chip")}[data-label="${label}"] button`).click();
      if (random.chance(0.4)) {
        await v.undo();
        v.labels.splice(place, 0, label);
      }
    },
  },
  {
    name: "other labels", weight: 2,
    when: (v) => v.labels.length > 0,
    async run(v, random) {
      await v.tab("classify");
      if ((await v.see()).inUse) return;
      await h.clearLabels(v.page);
      const before = v.labels.splice(0);
      if (random.chance(0.4)) {
        await v.undo();
        v.labels = before;
      } else {
        v.labels = [...new Set([random.pick(WORDS), random.pick(WORDS), random.pick(WORDS)])];
        await h.addLabels(v.page, v.labels);
      }
    },
  },
  {
    name: "choose a template", weight: 3,
    async run(v, random) {
      await v.tab("classify");
      if ((await v.see()).inUse) return;
      await v.unfold("details.templates");
      const boxes = v.page.locator("input[data-template]");
      await boxes.nth(random.below(await boxes.count())).click();
    },
  },
  {
    name: "write or remove a template", weight: 3,
    async run(v, random) {
      await v.tab("classify");
      if ((await v.see()).inUse) return;
      await v.unfold("details.templates");
      const template = random.pick(TEMPLATES);
      if (!v.templates.includes(template)) {
        await v.at("template-input").fill(template);
        await v.at("template-input").press("Enter");
        v.templates.push(template);
        return;
      }
      // A preset of the other language may have joined them.
      const place = (await v.see()).templates.indexOf(template);
      await v.page.locator("li.own button").nth(place).click();
      if (random.chance(0.5)) await v.undo();
      else v.templates.splice(v.templates.indexOf(template), 1);
    },
  },
  {
    name: "say when none fits", weight: 2,
    when: (v) => v.pictures.length > 0,
    async run(v) {
      await v.tab("classify");
      await v.at("reject-toggle").click();
    },
  },
  {
    name: "show the similarity", weight: 1,
    when: (v) => v.pictures.length > 0,
    async run(v) {
      await v.tab("classify");
      await v.at("similarity-toggle").click();
    },
  },
  {
    name: "in a hurry", weight: 5,
    when: (v) => v.pictures.length < MOST_PICTURES && v.labels.length > 2,
    async run(v, random) {
      if ((await v.see()).inUse) return;
      await v.add(newPictures(v, random, 3));
      await h.addLabels(v.page, ["for a moment"]);
      if (random.chance(0.5)) await v.at("cancel").click({ timeout: 500 }).catch(() => {});
      await v.page.locator(`${hook("label-chip")}[data-label="for a moment"] button`).click();
      await v.add(newPictures(v, random, 1));
      const [picture] = v.pictures.splice(1, 1);
      await v.remove(picture);
    },
  },
  // ---------------------------------------------------------------- model and device
  {
    name: "a model from files", weight: 3,
    when: free,
    async run(v, random) {
      const name = random.pick(MODELS.filter((name) => name !== v.model?.files));
      await v.tab("classify");
      v.explain(/^(foreign|diagnostic)-/);
      const files = await modelFiles(name);
      await v.reloading(() => h.drop(v.page, files));
      Object.assign(v, { model: { files: name }, trained: false });
    },
  },
  {
    name: "a model from the hub", weight: 2,
    when: (v) => free(v) && !v.model?.hub,
    async run(v) {
      await openPanel(v);
      await v.reloading(async () => {
        await v.at("model-input").fill(HUB_MODEL);
        await v.at("model-load").click();
      });
      Object.assign(v, { model: { hub: HUB_MODEL }, trained: false });
    },
  },
  {
    name: "the bundled model", weight: 6,
    when: (v) => free(v) && !bundled(v),
    async run(v) {
      await openPanel(v);
      await v.reloading(() => v.at("load-bundled").click());
      Object.assign(v, { model: null, trained: false });
    },
  },
  {
    name: "the device", weight: 2,
    async run(v, random) {
      v.explain(/^diagnostic-(gpu|no-)/, /^gpu-/);
      const select = v.at("device-select");
      const now = await select.inputValue();
      const choice = random.pick(["auto", "gpu", "cpu"].filter((choice) => choice !== now));
      await v.reloading(() => select.selectOption(choice));
      const state = () => v.see().then(({ state }) => state);
      await v.until("an answer to the device", async () => ["ready", "busy", "failed"].includes(await state()));
      if ((await state()) === "failed") await v.reloading(() => select.selectOption("cpu"));
    },
  },
  {
    name: "8-bit weights", weight: 2,
    when: free,
    async run(v) {
      if (!(await v.at("int8").count())) return;
      await v.reloading(() => v.at("int8").click());
      v.int8 = !v.int8;
    },
  },
  {
    name: "threads", weight: 2,
    when: (v) => !v.full,
    async run(v, random) {
      await v.page.evaluate((threads) => localStorage.setItem("clip.threads", threads), String(1 + random.below(3)));
      await reload(v, random);
    },
  },
  // ---------------------------------------------------------------- the page
  {
    name: "the language", weight: 4,
    async run(v, random) {
      // What still stands on the page is drawn, and so said, anew.
      v.explain(...FULL, ...new Set(v.explained.flatMap(({ patterns }) => patterns)));
      await v.at("language").click();
      if (random.chance(0.5)) await v.at("language").click();
    },
  },
  {
    name: "the tabs", weight: 5,
    async run(v, random) {
      for (let i = 0; i <= random.below(4); i++) await v.tab(random.pick(["classify", "library", "train", "evaluate"]));
      if (random.chance(0.2)) await v.at("theme").click();
    },
  },
  {
    name: "another tab", weight: 1,
    async run(v) {
      const other = await v.context.newPage();
      await other.goto(v.url);
      await h.waitReady(other);
      await other.close();
    },
  },
  { name: "reload", weight: 3, when: (v) => !v.full, run: reload },
  {
    name: "close the tab and come back", weight: 2,
    when: (v) => !v.full,
    async run(v, random) {
      await stored(v);
      await v.page.close();
      v.cameBack();
      await v.newPage();
      if (random.chance(0.5)) await v.tab("train");
    },
  },
  // ---------------------------------------------------------------- training
  {
    name: "images to train on", weight: 8,
    when: (v) => free(v) && v.classes.length === 0,
    async run(v) {
      await v.tab("train");
      await v.settle();
      await v.at("first-classes").click();
      for (const [place, [name, rgb]] of Object.entries(COLOURS).slice(0, 2).entries()) {
        const card = v.at("class-card").nth(place);
        await card.locator(hook("class-name")).fill(name);
        await card.locator(hook("class-name")).blur();
        const files = await Promise.all([0, 1, 2, 3, 4].map(async (i) => ({ name: `${name}-${i}.png`, mimeType: "image/png", buffer: await shade(rgb, i) })));
        await card.locator(hook("class-files")).setInputFiles(files);
        v.classes.push([name, 5]);
      }
    },
  },
  {
    name: "change what is trained on", weight: 3,
    when: (v) => free(v) && v.classes.length > 0,
    async run(v, random) {
      await v.tab("train");
      await v.settle();
      const place = random.below(v.classes.length);
      const [name, count] = v.classes[place];
      const card = v.page.locator(`${hook("class-card")}[data-name="${name}"]`);
      if (random.chance(0.5) && count < 10) {
        await card.locator(hook("class-files")).setInputFiles([{ name: `${++v.numbers}.png`, mimeType: "image/png", buffer: drawing(random) }]);
        v.classes[place][1]++;
      } else {
        await card.locator(hook("class-remove")).click();
        if (random.chance(0.8)) await v.undo();
        else if (v.classes.length > 1) v.classes.splice(place, 1);
        else v.classes = [];
      }
    },
  },
  {
    name: "train a probe or an adapter", weight: 6,
    when: (v) => free(v) && v.classes.length > 1 && !v.int8,
    async run(v, random) {
      await v.tab("train");
      await v.settle();
      await start(v, random.pick(["probe", "adapter"]));
      await finished(v);
    },
  },
  {
    name: "train a LoRA", weight: 3,
    when: (v) => free(v) && v.classes.length > 1 && !v.int8 && ADAPTABLE.includes(v.model?.files ?? MODELS[0]),
    async run(v, random) {
      await v.tab("train");
      await v.settle();
      const long = random.chance(0.7);
      await start(v, "lora", { epochs: long ? 2000 : 2 });
      if (long) await pauseAfterSteps(v);
      else await finished(v);
    },
  },
  {
    name: "go on with a training", weight: 7,
    when: (v) => ["paused", "interrupted"].includes(v.run) && !v.full && !v.int8,
    async run(v, random) {
      await v.tab("train");
      await v.settle();
      await v.page.locator(`${hook(v.run === "paused" ? "train-resume" : "interrupted-resume")}:enabled`).click();
      await trainingIs(v, "running");
      v.run = "paused";
      const way = random.pick(["pause", "finish", "stop"]);
      if (way === "pause") return pauseAfterSteps(v);
      await v.until("a step of training", async () => (await loraSteps(v)) > 0);
      await v.at(way === "finish" ? "train-finish" : "train-stop").click();
      if (way === "finish") return finished(v);
      await trainingIs(v, "idle");
      v.run = null;
    },
  },
  {
    name: "discard a training", weight: 1,
    when: (v) => ["interrupted", "stranded"].includes(v.run),
    async run(v) {
      await v.tab("train");
      await v.settle();
      await v.at("interrupted-discard").click();
      v.run = null;
    },
  },
  {
    name: "classify with what was trained", weight: 4,
    when: (v) => v.trained && !v.full,
    async run(v, random) {
      await v.tab("train");
      await v.settle();
      await v.until("a trained model", async () => (await v.see()).trained);
      const use = v.at("use-trained");
      if (await use.count()) {
        await use.click();
        await v.at("in-use").waitFor();
        await v.settle();
      }
      if (random.chance(0.7)) {
        await v.tab("classify");
        await v.at("back-to-before").click();
        await v.at("in-use").waitFor({ state: "detached" });
      }
    },
  },
  {
    name: "save the project", weight: 1,
    when: (v) => free(v) && v.classes.length > 0,
    async run(v) {
      await v.tab("train");
      await v.settle();
      v.explain(/^project-without/);
      const bytes = await downloaded(v, "save-project");
      if (bytes.readUInt32LE(0) !== 0x04034b50) throw new Broken("the project is no zip");
    },
  },
  {
    name: "export what was trained", weight: 1,
    when: (v) => v.trained && !v.full,
    async run(v) {
      await v.tab("train");
      await v.settle();
      const head = v.page.locator('[data-export="Head"]');
      if (!(await head.count())) return;
      const [file] = await Promise.all([v.page.waitForEvent("download"), head.click()]);
      header(await readFile(await file.path()));
    },
  },
  // ---------------------------------------------------------------- library and evaluation
  {
    name: "open a folder and search it", weight: 5,
    // With a full storage in library.test.mjs.
    when: takesFolders,
    async run(v, random) {
      const [folder, count] = random.pick([["Photos", 24], ["Archive", 10]]);
      await openFolder(v, folder, count);
      await v.at("task-search").click();
      await v.at("search-input").fill(random.pick(WORDS));
      await v.at("hit").first().waitFor();
      const way = random.pick(["search", "duplicates", "sort"]);
      if (way === "duplicates") {
        await v.at("task-duplicates").click();
        await v.at("find-duplicates").click();
        await v.until("the search for duplicates", async () => !(await v.page.locator(`${hook("find-duplicates")}:disabled`).count()));
      } else if (way === "sort") {
        await v.at("task-sort").click();
        await v.at("sort-labels").fill("red, green, blue");
        await v.at("sort-images").click();
        await v.at("sorted-image").first().waitFor();
      }
    },
  },
  {
    name: "evaluate", weight: 4,
    when: takesFolders,
    async run(v, random) {
      await v.tab("evaluate");
      if (await v.at("evaluate-cancel").count()) await v.at("evaluate-cancel").first().click();
      if (await v.at("evaluate-close").count()) await v.at("evaluate-close").click();
      await v.at("evaluate-folder").setInputFiles(join(v.root, "colours"));
      await idle(v);
      const found = JSON.parse((await downloaded(v, "evaluate-json")).toString());
      const { images, top_1 } = found.evaluation;
      if (images !== 15) throw new Broken(`${images} of 15 images were evaluated`);
      const key = JSON.stringify([v.model, v.int8, found.templates]);
      const known = v.accuracy.get(key) ?? top_1;
      if (known !== top_1) throw new Broken(`top-1 is ${top_1} and was ${known}: ${key}`);
      v.accuracy.set(key, top_1);
      if (random.chance(0.3)) {
        await v.at("prompts-start").click();
        if (random.chance(0.5)) await v.at("evaluate-cancel").first().click({ timeout: 3000 }).catch(() => {});
        await idle(v);
      }
    },
  },
  // ---------------------------------------------------------------- bad days
  {
    name: "the worker is killed", weight: 3,
    when: (v) => v.pictures.length < MOST_PICTURES,
    async run(v, random) {
      v.explain(...crash);
      const many = random.chance(0.5);
      if (many) await v.add(newPictures(v, random, 3));
      // A trap needs code to run in.
      await v.reloading(async () => {
        await order(v, "trap");
        await v.add(newPictures(v, random, 1));
      });
    },
  },
  {
    name: "a thread or the GPU is lost", weight: 2,
    when: (v) => v.pictures.length < MOST_PICTURES,
    async run(v, random) {
      v.explain(...crash);
      await v.settle();
      const device = (await v.at("device-name").textContent()) ?? "";
      // The other models are so small that nothing is shared: such a thread is not missed.
      const shared = /[2-9]/.test(device) && !v.model;
      const what = device.includes("GPU") ? "lose the GPU" : shared ? "lose a compute worker" : "trap";
      await v.reloading(async () => {
        await order(v, what);
        await v.add(newPictures(v, random, 1));
      });
    },
  },
  {
    name: "the tab is frozen", weight: 3,
    when: (v) => v.pictures.length < MOST_PICTURES,
    async run(v, random) {
      if (random.chance(0.7)) await v.add(newPictures(v, random, 2));
      v.wasFrozen = true;
      await v.cdp.send("Page.setWebLifecycleState", { state: "frozen" });
      await new Promise((resolve) => setTimeout(resolve, 500 + random.below(5000)));
      await v.cdp.send("Page.setWebLifecycleState", { state: "active" });
    },
  },
  {
    name: "the storage is full", weight: 2,
    when: (v) => !v.full,
    async run(v) {
      await stored(v);
      v.full = true;
      await v.cdp.send("Storage.overrideQuotaForOrigin", { origin: v.url, quotaSize: 2048 });
    },
  },
  {
    name: "there is storage again", weight: 30,
    when: (v) => v.full,
    async run(v) {
      v.full = false;
      await v.cdp.send("Storage.overrideQuotaForOrigin", { origin: v.url });
    },
  },
  {
    name: "offline", weight: 2,
    when: (v) => v.pictures.length < MOST_PICTURES && !v.full && !v.model?.hub,
    async run(v, random) {
      v.explain(/^text: console: Failed to load resource: net::ERR_INTERNET_DISCONNECTED/, /^console: /);
      await v.settle();
      await v.context.setOffline(true);
      try {
        // From the second visit on a service worker has the page.
        const kept = await v.page.evaluate(() => !!navigator.serviceWorker?.controller);
        if (kept && random.chance(0.5)) await reload(v, random);
        await v.add(newPictures(v, random, 2));
        await v.settle();
      } finally {
        await v.context.setOffline(false);
      }
    },
  },
];

/** Breaks the page's worker, as `order` in harness.mjs. */
const order = (visit, what) => visit.page.evaluate((what) => window.soak.workers.at(-1).deref()?.postMessage(what), what);
