// Ours and ONNX Runtime Web, the engine of transformers.js, side by side: in one headless
// Chromium, on one adapter, in turns, from the same random weights.
//
//   python benches/rival/make_models.py DIR
//   (cd benches/rival && npm ci --ignore-scripts)
//   node benches/rival.mjs DIR cpu|webgpu [--models ViT-B-32,RN50] [--batches 1,8] [--texts 16]
//                          [--rounds 3] [--turns 3] [--threads 1] [--only ours|rival] [--int8]
//   node benches/rival.mjs sizes
//
// Prints Markdown. A round starts each program in a fresh worker, with the model in reach
// on this machine: ours keeps it in the browser since a visit before, the rival's is
// fetched from a server here. Then each runs every task in turns, so that what else the
// machine does meanwhile hits both. Figures are medians over all rounds. --threads is for both,
// on the CPU. --int8 gives ours 8-bit weights, and puts the rival with its own 8-bit
// files beside the two.

import { spawn } from "node:child_process";
import { copyFile, cp, link, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import * as h from "../tests/browser/harness.mjs";
import { number, sizes } from "./weigh.mjs";

const RIVAL = join(h.ROOT, "benches/rival");
const ORT = join(RIVAL, "node_modules/onnxruntime-web");
/** What a visitor of a page with transformers.js loads of ONNX Runtime. */
const SHIPPED = ["ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"];
/** Below this the two do not compute the same, and no figure means anything. */
const SAME = 0.9999;
const SAME_INT8 = 0.999;
/**
 * Milliseconds that a program works on a task before its turns count: a GPU's kernels are made
 * for each shape, and browsers compile WebAssembly quickly first and well only where it runs long.
 */
const WARM = 1000;

const list = (text) => text.split(",").filter(Boolean);
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    models: { type: "string" },
    batches: { type: "string", default: "1,8" },
    texts: { type: "string", default: "16" },
    rounds: { type: "string", default: "3" },
    turns: { type: "string", default: "3" },
    threads: { type: "string", default: "1" },
    only: { type: "string" },
    int8: { type: "boolean", default: false },
  },
});
const PROGRAMS = ["ours", "rival", ...(options.int8 ? ["rival8"] : [])];
const [folder, mode] = positionals;
const { version } = JSON.parse(await readFile(join(ORT, "package.json"), "utf8"));

// ---------------------------------------------------------------- bytes of code

async function weigh() {
  const built = await readdir(join(h.ROOT, "dist"));
  const ours = (names) => built.filter((name) => names.test(name) && /\.(js|wasm)$/.test(name)).map((name) => join(h.ROOT, "dist", name));
  const rows = [
    ["ours on the GPU, with preprocessing and tokenizer", ours(/^worker-(gpu|loader)/)],
    ["ours on the CPU, with them and the program of further threads", ours(/^(worker-(cpu-relaxed|loader)|compute-worker-(relaxed|loader))/)],
    [`ONNX Runtime Web ${version}, without them`, SHIPPED.map((name) => join(ORT, "dist", name))],
  ];
  console.log("| bytes of code | raw | gzip -9 | brotli 11 |\n| --- | --: | --: | --: |");
  for (const [what, files] of rows) console.log(`| ${what} | ${(await sizes(files)).map(number).join(" | ")} |`);
}

// ---------------------------------------------------------------- times

async function race() {
  const webgpu = mode === "webgpu";
  const [rounds, turns, threads, texts] = ["rounds", "turns", "threads", "texts"].map((name) => Number(options[name]));
  const batches = list(options.batches).map(Number);
  const names = options.models ? list(options.models) : (await readdir(folder)).sort();
  const jobs = batches.map((images) => ({ what: images > 1 ? `${images} pictures` : "a picture", images, texts: 0 }));
  if (texts) jobs.push({ what: `${texts} texts`, images: 0, texts });

  const site = await mkdtemp(join(tmpdir(), "clip-rival-"));
  const stops = [() => rm(site, { recursive: true, force: true })];
  try {
    await lay(site, names);
    const server = await h.startServer({ folder: join(site, "page") });
    stops.push(server.stop);
    const hub = await startHub(join(site, "hub"));
    stops.push(hub.stop);
    const browser = await h.launchBrowser({ webgpu });
    stops.push(() => browser.close());
    const { page } = await h.openPage(browser, `${server.url}page.html`);
    page.on("console", (message) => console.error(`page: ${message.text()}`));

    const results = [];
    for (const name of names) {
      const device = webgpu ? "gpu" : "cpu";
      const source = { Place: { Hub: { id: `rival/${name}`, revision: "main" } } };
      const programs = [
        new Program(page, "ours", "worker-loader.js", { device, source, hub: hub.url, activation: null, int8: options.int8, threads }),
        new Program(page, "rival", "worker.js", { device, threads, ...(await files(name)) }),
        ...(options.int8 ? [new Program(page, "rival8", "worker.js?8", { device, threads, ...(await files(name, "_quantized")) })] : []),
      ].filter(({ name }) => !options.only || name.startsWith(options.only));
      try {
        results.push({ name, ...(await compare(name, programs, jobs, { webgpu, rounds, turns, hub })) });
      } catch (error) {
        // The other models may well work.
        console.error(`${name}: ${error.message}`);
        results.push({ name, failed: true });
      }
      for (const program of programs) await program.stop();
    }
    print(results, { browser, webgpu, threads, jobs, rounds, turns });
    if (results.some(({ cosines = [] }) => cosines.some((value) => !(value >= (options.int8 ? SAME_INT8 : SAME))))) {
      throw new Error("the two programs do not compute the same: these figures mean nothing");
    }
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

/** All that is measured of one model. */
async function compare(model, programs, jobs, { webgpu, rounds, turns, hub }) {
  const room = () => Object.fromEntries(programs.map(({ name }) => [name, []]));
  const result = { answers: room(), steps: [], reading: [], memory: room(), times: jobs.map(room), cosines: [], cosines8: [], devices: {} };

  // A visit before: what ours keeps of the model is there, and the browser knows both programs' code.
  for (const program of programs) {
    const { device } = await program.start();
    console.error(`${model}: ${program.name} on ${device.name}`);
    if (device.gpu !== webgpu) throw new Error(`${program.name} computes on ${device.name}`);
    result.devices[program.name] = device.name;
    await program.stop();
  }
  await hub.forget();

  for (let round = 0; round < rounds; round++) {
    const order = round % 2 ? [...programs].reverse() : programs;
    for (const program of order) {
      const { answer, steps } = await program.start();
      result.answers[program.name].push(answer);
      if (program.name === "ours") result.steps.push({ ...steps, answer });
    }
    const ours = programs.find(({ name }) => name === "ours");
    if (ours) result.reading.push(await ours.read(`rival/${model}`));
    for (const [j, job] of jobs.entries()) {
      for (const program of order) {
        for (let warm = 0; warm < WARM; ) warm += (await program.measure(job)).ms;
      }
      const features = {};
      for (let turn = 0; turn < turns; turn++) {
        for (const program of order) {
          const measured = await program.measure(job);
          result.times[j][program.name].push(measured.ms);
          features[program.name] = measured.features;
        }
      }
      if (features.ours && features.rival) result.cosines[j] = cosine(features.ours, features.rival);
      if (features.rival8 && features.rival) result.cosines8[j] = cosine(features.rival8, features.rival);
    }
    for (const program of programs) {
      result.memory[program.name].push(await program.memory());
      await program.stop();
    }
    console.error(`${model}: round ${round + 1} of ${rounds}`);
  }
  if (await hub.sent()) throw new Error("the model came over the network again: the browser did not keep it");
  return result;
}

/** A program in the page; see benches/rival/page.js. */
class Program {
  constructor(page, name, script, open) {
    // With 8-bit files the rival is the same program, at another address.
    Object.assign(this, { page, name, script: `${name.replace("8", "")}/${script}`, open });
  }

  start() {
    return this.page.evaluate((how) => programs.start(...how), [this.name, this.script, this.open]);
  }

  stop() {
    return this.page.evaluate((name) => programs.stop(name), this.name);
  }

  read(model) {
    return this.page.evaluate((model) => programs.read(model), model);
  }

  /** Milliseconds of one run, and the features of the first picture or text. */
  async measure({ images, texts }) {
    const what = [this.name, { images, texts, runs: 1 }];
    const measured = await this.page.evaluate((what) => programs.measure(...what), what);
    const kind = images ? "image" : "text";
    return { ms: measured[`${kind}_ms`][0], features: measured[`${kind}_features`] };
  }

  memory() {
    const worker = this.page.workers().find((worker) => worker.url().endsWith(`/${this.script}`));
    return worker.evaluate(() => self.wasmBytes());
  }
}

/** The page and both programs under one root, and the models where each looks for them. */
async function lay(site, names) {
  const page = join(site, "page");
  const put = (from, to) => link(from, to).catch(() => copyFile(from, to)); // the server follows no symbolic links
  for (const path of ["page/models", "page/ours", "page/rival", "hub/rival"]) await mkdir(join(site, path), { recursive: true });
  await writeFile(join(page, "page.html"), '<!doctype html><title>bench</title><link rel="icon" href="data:,"><script src="page.js"></script>');
  await copyFile(join(RIVAL, "page.js"), join(page, "page.js"));
  for (const name of ["worker.js", "memory.js", "read.js"]) await copyFile(join(RIVAL, name), join(page, "rival", name));
  for (const name of SHIPPED) await put(join(ORT, "dist", name), join(page, "rival", name));
  if (options.only !== "rival") {
    // Neither program comes compressed: over no network it would only take time.
    const filter = (path) => !/\.(br|gz)$/.test(path) || path.includes("clip_vocabulary");
    await cp(join(h.ROOT, "dist"), join(page, "ours"), { recursive: true, filter });
    const memory = await readFile(join(RIVAL, "memory.js"), "utf8");
    for (const name of ["worker-loader.js", "compute-worker-loader.js"]) {
      const loader = join(page, "ours", name);
      await writeFile(loader, [memory, await readFile(loader, "utf8")].join("\n"));
    }
  }
  for (const name of names) {
    await mkdir(join(page, "models", name));
    const forms = options.int8 ? ["", "_quantized"] : [""];
    for (const file of forms.flatMap((form) => [`image${form}.onnx`, `text${form}.onnx`])) await put(resolve(folder, name, file), join(page, "models", name, file));
    await mkdir(join(site, "hub/rival", name));
    for (const file of ["open_clip_config.json", "open_clip_model.safetensors"]) {
      await symlink(resolve(folder, name, file), join(site, "hub/rival", name, file));
    }
  }
}

/** Where the page finds a model's two ONNX files, and what is made up for them. */
async function files(name, form = "") {
  const { model_cfg } = JSON.parse(await readFile(join(folder, name, "open_clip_config.json"), "utf8"));
  return {
    image: `../models/${name}/image${form}.onnx`,
    text: `../models/${name}/text${form}.onnx`,
    size: model_cfg.vision_cfg.image_size,
    context: model_cfg.text_cfg.context_length,
    vocabulary: model_cfg.text_cfg.vocab_size,
  };
}

async function startHub(models) {
  const hub = spawn("python3", [join(h.ROOT, "tests/hub/server.py"), "--port", "0", "--models", models], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const url = await new Promise((found) => hub.stdout.once("data", (data) => found(String(data).trim())));
  return {
    url,
    stop: () => hub.kill(),
    forget: () => fetch(`${url}/reset`, { method: "POST" }),
    /** Whether it has sent anything large. */
    sent: async () => (await (await fetch(`${url}/log`)).json()).some(({ sent }) => sent > 1e6),
  };
}

function cosine(a, b) {
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

// ---------------------------------------------------------------- Markdown

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Cells of measurements: ours, the rival's (and with its 8-bit files), and how many times ours each is. */
function cells(measured, write) {
  const [ours, ...rivals] = PROGRAMS.map((program) => measured[program] && median(measured[program]));
  const cell = (value) => (value === undefined ? "–" : write(value));
  const ratios = rivals.map((rival) => (ours && rival ? (rival / ours).toFixed(2) : "–"));
  return [ours, ...rivals].map(cell).concat(ratios).join(" | ");
}

const milliseconds = (ms) => `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;
const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

function print(results, { browser, webgpu, threads, jobs, rounds, turns }) {
  const devices = results.find(({ devices }) => devices)?.devices ?? {};
  console.log(
    `Chromium ${browser.version()}, headless. Ours: ${devices.ours ?? "not measured"}. ONNX Runtime Web ${version}: ` +
      `${webgpu ? "WebGPU, the same adapter" : `CPU (${threads > 1 ? `${threads} threads` : "one thread"}, SIMD)`}.`,
  );
  if (/swiftshader/i.test(devices.ours)) console.log("**This is no GPU**: SwiftShader, a program on the CPU, imitates one.");
  console.log(`\nMedians of ${rounds * turns} runs (rounds: ${rounds}).`);
  const eight = options.int8;
  const named = eight ? ["ours, 8 bits", "ONNX Runtime Web", "in 8 bits"] : ["ours", "ONNX Runtime Web"];
  const ratios = eight ? ["its : ours", "in 8 bits : ours"] : ["its : ours"];
  const rows = (count) => "| --- ".repeat(2) + "| --: ".repeat(named.length + ratios.length + count) + "|";
  const exact = eight ? ["cosine, ours", "its in 8 bits"] : ["cosine"];
  console.log(`\n| model | at once | ${[...named, ...ratios, ...exact].join(" | ")} |\n${rows(exact.length)}`);
  for (const { name, failed, times, cosines, cosines8 } of results) {
    if (failed) console.log(`| ${name} | failed |${" – |".repeat(named.length + ratios.length + exact.length)}`);
    for (const [j, { what }] of failed ? [] : jobs.entries()) {
      const same = (eight ? [cosines[j], cosines8[j]] : [cosines[j]]).map((value) => value?.toFixed(eight ? 5 : 7) ?? "–");
      console.log(`| ${name} | ${what} | ${cells(times[j], milliseconds)} | ${same.join(" | ")} |`);
    }
  }
  if (eight) console.log("\nCosines are to ONNX Runtime Web's features with exact weights.");
  console.log(`\nFrom the start of the worker to the features of a picture and a text: medians over the rounds.`);
  console.log(`\n| model | | ${[...named, ...ratios].join(" | ")} |\n${rows(0)}`);
  for (const { name, answers, memory } of results.filter(({ failed }) => !failed)) {
    console.log(`| ${name} | first answer | ${cells(answers, seconds)} |`);
    console.log(`| ${name} | WebAssembly's memory, at its peak | ${cells(memory, megabytes)} |`);
  }
  if (options.only === "rival") return;
  const steps = ["code", "weights", "model", "answer"];
  console.log(`\nOurs, step by step: the program's code; config, tokenizer, a device, and the weights, which are turned to the kernels'`);
  console.log(`layout while they are read; the rest of the model; a picture and a text. Beside them what reading the file alone takes.`);
  console.log(`\n| model | ${steps.join(" | ")} | all | reading alone | all, less reading |\n| --- ${"| --: ".repeat(steps.length + 3)}|`);
  for (const { name, steps: taken = [], reading } of results.filter(({ steps }) => steps?.length)) {
    const until = steps.map((step) => median(taken.map((times) => times[step] ?? NaN)));
    const each = until.map((time, i) => time - (until[i - 1] ?? 0));
    const read = median(reading);
    const all = until.at(-1);
    console.log(`| ${name} | ${[...each, all, read, all - read].map(seconds).join(" | ")} |`);
  }
}

// ----------------------------------------------------------------

if (folder === "sizes") {
  await weigh();
} else if (folder && ["cpu", "webgpu"].includes(mode)) {
  await race();
} else {
  console.error("node benches/rival.mjs DIR cpu|webgpu [options], or: node benches/rival.mjs sizes");
  process.exit(2);
}
