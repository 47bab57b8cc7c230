// What a visitor of a browser with relaxed SIMD downloads: sizes of the built page (dist/), the bundled model and
// CLIP's vocabulary, as they are and compressed as hard as possible.
//
//   node benches/sizes.mjs
//
// Prints Markdown; scripts/bench puts it into benches/README.md. Brotli takes its
// time, a minute or two.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import zlib from "node:zlib";
import { number, sizes } from "./weigh.mjs";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

// The page's names carry hashes; the workers' do not.
const built = await readdir(join(ROOT, "dist")).catch(() => []);
// Longer names first: the others begin like them.
const WORKERS = ["worker-cpu-relaxed", "worker-cpu", "worker-gpu", "compute-worker-relaxed", "compute-worker", "decoder"];
const inDist = (program, ending) =>
  built
    .filter((name) => name.endsWith(ending) && (WORKERS.find((worker) => name.startsWith(worker)) ?? "page") === program)
    .map((name) => `dist/${name}`);

const parts = [
  ["page, WebAssembly", inDist("page", ".wasm")],
  ["page, JavaScript", inDist("page", ".js")],
  ["worker on the GPU, WebAssembly", inDist("worker-gpu", ".wasm")],
  ["worker on the GPU, JavaScript", inDist("worker-gpu", ".js")],
  ["worker on the CPU, WebAssembly", inDist("worker-cpu-relaxed", ".wasm")],
  ["worker on the CPU, JavaScript", inDist("worker-cpu-relaxed", ".js")],
  ["a decoder for many images, both", [...inDist("decoder", ".wasm"), ...inDist("decoder", ".js")]],
  ["a further thread on the CPU, both", [...inDist("compute-worker-relaxed", ".wasm"), ...inDist("compute-worker-relaxed", ".js")]],
];
const isBuilt = parts.every(([, files]) => files.length > 0);
if (!isBuilt) {
  parts.length = 0;
  console.error("sizes: no built page in dist/ (scripts/build makes it), so only the model is measured");
}
for (const name of ["open_clip_config.json", "tokenizer.json", "open_clip_model.safetensors"]) {
  parts.push([`model, \`${name}\``, [`assets/model/${name}`]]);
}

const rows = await Promise.all(
  parts.map(async ([what, files]) => [what, ...(await sizes(files.map((path) => join(ROOT, path))))]),
);
if (isBuilt) {
  // A visit needs one of the two workers; the bundled model needs no further threads.
  const visit = (device) => rows.filter(([what]) => /^(page|model)/.test(what) || what.startsWith(`worker on the ${device}`));
  const together = (device) => [1, 2, 3].map((i) => visit(device).reduce((sum, row) => sum + row[i], 0));
  rows.push(...["GPU", "CPU"].map((device) => [`**a first visit on the ${device}**`, ...together(device)]));
}

console.log("| bytes | raw | gzip -9 | brotli 11 |\n| --- | --: | --: | --: |");
for (const [what, ...columns] of rows) console.log(`| ${what} | ${columns.map(number).join(" | ")} |`);
// Compressed already, and fetched only for models that bring no tokenizer of their own.
const vocabulary = await readFile(join(ROOT, "assets/clip_vocabulary/merges.txt.gz"));
const unpacked = zlib.gunzipSync(vocabulary).length;
console.log(`| CLIP's vocabulary | ${number(unpacked)} | ${number(vocabulary.length)} (as it is shipped) | – |`);
