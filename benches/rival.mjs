// Ours and ONNX Runtime Web, the engine of transformers.js, side by side: in one headless
// Chromium, on one adapter, in turns, from the same random weights.
//
//   python benches/rival/make_models.py DIR
//   (cd benches/rival && npm ci --ignore-scripts)
//   node benches/rival.mjs DIR cpu|webgpu [--models ViT-B-32,RN50] [--batches 1,8] [--texts 16]
//                          [--rounds 3] [--turns 3] [--threads 1] [--only ours|rival]
//   node benches/rival.mjs sizes
//
// Prints Markdown. A round starts each program in a fresh worker, with the model in reach
// on this machine: ours keeps it in the browser since a visit before, the rival's is
// fetched from a server here. Then each runs every task in turns, so that what else the
// machine does meanwhile hits both. Figures are medians over all rounds.

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
  },
});
const [folder, mode] = positionals;
const { version } = JSON.parse(await readFile(join(ORT, "package.json"), "utf8"));

// ---------------------------------------------------------------- bytes of code

async function weigh() {
  const worker = (await readdir(join(h.ROOT, "dist"))).filter((name) => /^worker.*\.(js|wasm)$/.test(name));
  const rows = [
    ["ours: the worker, with preprocessing and tokenizer", worker.map((name) => join(h.ROOT, "dist", name))],
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
  const programs = options.only ? [options.only] : ["ours", "rival"];
  const jobs = [
    ...batches.map((images) => ({ what: images > 1 ? `${images} pictures` : "a picture", images, texts: 0 })),
    ...(texts ? [{ what: `${texts} texts`, images: 0, texts }] : []),
  ];

  const site = await mkdtemp(join(tmpdir(), "clip-rival-"));
  const stops = [() => rm(site, { recursive: true, force: true })];
  try {
    await lay(site, names, programs);
    const server = await h.startServer({ folder: join(site, "page") });
    stops.push(server.stop);
    const hub = await startHub(join(site, "hub"));
    stops.push(hub.stop);
    const browser = await h.launchBrowser({ webgpu });
    stops.push(() => browser.close());
    const { page } = await h.openPage(browser, `${server.url}page.html`);
    page.on("console", (message) => console.error(`page: ${message.text()}`));

    const results = [];
    const seen = {};
    for (const name of names) {
      const opens = {
        ours: {
          device: webgpu ? "gpu" : "cpu",
          source: { Place: { Hub: { id: `rival/${name}`, revision: "main" } } },
          hub: hub.url,
          activation: null,
        },
        rival: { device: webgpu ? "gpu" : "cpu", threads, ...(await files(name)) },
      };
      const start = (program) =>
        page.evaluate(([program, script, open]) => programs.start(program, script, open), [
          program,
          `${program}/${program === "ours" ? "worker-loader" : "worker"}.js`,
          opens[program],
        ]);
      const stop = (program) => page.evaluate((program) => programs.stop(program), program);
      const measure = async (program, { images, texts }) => {
        const what = [program, { images, texts, runs: 1 }];
        const measured = await page.evaluate(([program, what]) => programs.measure(program, what), what);
        const kind = images ? "image" : "text";
        return { ms: measured[`${kind}_ms`][0], features: measured[`${kind}_features`] };
      };

      // A visit before: what ours keeps of the model is there, and the browser knows both programs' code.
      for (const program of programs) {
        seen[program] = await start(program);
        console.error(`${name}: ${program} on ${seen[program].device.name}`);
        if (seen[program].device.gpu !== webgpu) throw new Error(`${program} computes on ${seen[program].device.name}`);
        await stop(program);
      }
      await hub.forget();

      const result = { name, answers: table(programs), memory: table(programs), jobs: jobs.map(() => table(programs)), cosines: [] };
      for (let round = 0; round < rounds; round++) {
        const order = round % 2 ? [...programs].reverse() : programs;
        for (const program of order) result.answers[program].push((await start(program)).answer);
        for (const [j, job] of jobs.entries()) {
          for (const program of order) {
            for (let warm = 0; warm < WARM; ) warm += (await measure(program, job)).ms;
          }
          const features = {};
          for (let turn = 0; turn < turns; turn++) {
            for (const program of order) {
              const measured = await measure(program, job);
              result.jobs[j][program].push(measured.ms);
              features[program] = measured.features;
            }
          }
          result.cosines[j] = programs.length > 1 ? cosine(features.ours, features.rival) : NaN;
        }
        for (const program of programs) result.memory[program].push(await memory(page, program));
        for (const program of programs) await stop(program);
        console.error(`${name}: round ${round + 1} of ${rounds}`);
      }
      if (await hub.sent()) throw new Error(`${name} came over the network again: the browser did not keep it`);
      results.push(result);
    }
    print(results, { browser, seen, webgpu, threads, jobs, rounds, turns, programs });
    if (results.some(({ cosines }) => cosines.some((value) => value < SAME))) {
      throw new Error("the two programs do not compute the same: these figures mean nothing");
    }
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

/** Room for what is measured of each program. */
const table = (programs) => Object.fromEntries(programs.map((program) => [program, []]));

/** The page and both programs under one root, and the models where each looks for them. */
async function lay(site, names, programs) {
  const page = join(site, "page");
  const put = (from, to) => link(from, to).catch(() => copyFile(from, to)); // the server follows no symbolic links
  for (const path of ["page/models", "page/ours", "page/rival", "hub/rival"]) await mkdir(join(site, path), { recursive: true });
  await writeFile(join(page, "page.html"), '<!doctype html><title>bench</title><link rel="icon" href="data:,"><script src="page.js"></script>');
  await copyFile(join(RIVAL, "page.js"), join(page, "page.js"));
  for (const name of ["worker.js", "memory.js"]) await copyFile(join(RIVAL, name), join(page, "rival", name));
  for (const name of SHIPPED) await put(join(ORT, "dist", name), join(page, "rival", name));
  if (programs.includes("ours")) {
    // Neither program comes compressed: over no network it would only take time.
    const filter = (path) => !/\.(br|gz)$/.test(path) || path.includes("clip_vocabulary");
    await cp(join(h.ROOT, "dist"), join(page, "ours"), { recursive: true, filter });
    const loader = join(page, "ours/worker-loader.js");
    const parts = await Promise.all([join(RIVAL, "memory.js"), loader].map((path) => readFile(path, "utf8")));
    await writeFile(loader, parts.join("\n"));
  }
  for (const name of names) {
    await mkdir(join(page, "models", name));
    for (const file of ["image.onnx", "text.onnx"]) await put(resolve(folder, name, file), join(page, "models", name, file));
    await mkdir(join(site, "hub/rival", name));
    for (const file of ["open_clip_config.json", "open_clip_model.safetensors"]) {
      await symlink(resolve(folder, name, file), join(site, "hub/rival", name, file));
    }
  }
}

/** Where the page finds a model's two ONNX files, and what is made up for them. */
async function files(name) {
  const { model_cfg } = JSON.parse(await readFile(join(folder, name, "open_clip_config.json"), "utf8"));
  return {
    image: `../models/${name}/image.onnx`,
    text: `../models/${name}/text.onnx`,
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

function memory(page, program) {
  const worker = page.workers().find((worker) => new URL(worker.url()).pathname.startsWith(`/${program}/worker`));
  return worker.evaluate(() => self.wasmBytes());
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

/** Cells of a pair of measurements: ours, the rival's, and how many times ours it is. */
function pair(measured, write) {
  const [ours, rival] = ["ours", "rival"].map((program) => measured[program] && median(measured[program]));
  const cell = (value) => (value === undefined ? "–" : write(value));
  return `${cell(ours)} | ${cell(rival)} | ${ours && rival ? (rival / ours).toFixed(2) : "–"}`;
}

const milliseconds = (ms) => `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;
const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

function print(results, { browser, seen, webgpu, threads, jobs, rounds, turns }) {
  const device = seen.ours?.device.name ?? "not measured";
  console.log(
    `Chromium ${browser.version()}, headless. Ours: ${device}. ONNX Runtime Web ${version}: ` +
      `${webgpu ? "WebGPU, the same adapter" : `WebAssembly, ${threads > 1 ? `${threads} threads` : "1 thread"}`}.`,
  );
  if (webgpu && /swiftshader/i.test(device)) console.log("**This is no GPU**: SwiftShader, a program on the CPU, imitates one.");
  console.log(`\nMedians of ${rounds * turns} runs in ${rounds} rounds.`);
  console.log("\n| model | at once | ours | ONNX Runtime Web | its : ours | cosine |\n| --- | --- | --: | --: | --: | --: |");
  for (const { name, jobs: times, cosines } of results) {
    for (const [j, { what }] of jobs.entries()) {
      console.log(`| ${name} | ${what} | ${pair(times[j], milliseconds)} | ${Number.isNaN(cosines[j]) ? "–" : cosines[j].toFixed(7)} |`);
    }
  }
  console.log(`\nStart of the worker to the features of a picture and a text; medians of ${rounds}.`);
  console.log("\n| model | | ours | ONNX Runtime Web | its : ours |\n| --- | --- | --: | --: | --: |");
  for (const { name, answers, memory } of results) {
    console.log(`| ${name} | first answer | ${pair(answers, seconds)} |`);
    console.log(`| ${name} | WebAssembly's memory, at its peak | ${pair(memory, megabytes)} |`);
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
