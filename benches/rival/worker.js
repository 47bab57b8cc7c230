// ONNX Runtime Web in a worker that understands three of the messages of our own
// worker (src/engine/messages.rs), so that one page can drive both.
//
// Set up as transformers.js 4.3.1 sets it up in Chromium (its src/backends/onnx.js): the
// build that can wait inside WebAssembly (asyncify), with both execution providers, on
// the CPU too; the model's bytes in one piece; one session created after the other.

import "./memory.js";
import * as ort from "./ort.webgpu.min.mjs";

const address = (name) => new URL(name, import.meta.url).href;
const say = (message) => self.postMessage({ message });

let sessions, shape;

async function open({ image, text, device, threads, ...shapes }) {
  shape = shapes;
  ort.env.wasm.wasmPaths = {
    mjs: address("ort-wasm-simd-threaded.asyncify.mjs"),
    wasm: address("ort-wasm-simd-threaded.asyncify.wasm"),
  };
  ort.env.wasm.numThreads = threads;
  ort.env.webgpu.powerPreference = "high-performance";
  const options = {
    executionProviders: [device === "gpu" ? "webgpu" : "wasm"],
    graphOptimizationLevel: "all",
    logSeverityLevel: 3, // errors
  };
  const files = [image, text].map(async (file) => {
    const response = await fetch(file);
    if (!response.ok) throw new Error(`${file}: ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  });
  sessions = {};
  for (const [i, kind] of ["image", "text"].entries()) {
    sessions[kind] = await ort.InferenceSession.create(await files[i], options);
    files[i] = null;
  }
  return { Ready: { device: { name: `${options.executionProviders} (${threads} threads)`, gpu: device === "gpu" } } };
}

/** The same made-up pictures and texts as Engine::measure's (src/engine/inference.rs). */
function picture() {
  return Float32Array.from({ length: 3 * shape.size ** 2 }, (_, i) => Math.sin(Math.fround(i / 100)));
}
function tokens() {
  const end = shape.vocabulary - 1;
  const ids = BigInt64Array.from({ length: shape.context }, (_, i) => BigInt((i * 7919) % (end - 1)));
  [ids[0], ids[ids.length - 1]] = [BigInt(end - 1), BigInt(end)];
  return ids;
}

/** `count` times the same values. */
function repeated(values, count) {
  const all = new values.constructor(values.length * count);
  for (let i = 0; i < count; i++) all.set(values, i * values.length);
  return all;
}

/** Runs a session; milliseconds, read-back and unit length included, and the first row. */
async function run(session, type, values, dims) {
  const start = performance.now();
  const feeds = { [session.inputNames[0]]: new ort.Tensor(type, values, dims) };
  const output = (await session.run(feeds))[session.outputNames[0]];
  const width = output.dims[1];
  const rows = [];
  for (let i = 0; i < output.dims[0]; i++) {
    const row = output.data.slice(i * width, (i + 1) * width);
    const length = Math.hypot(...row);
    rows.push(row.map((value) => value / length));
  }
  return { ms: performance.now() - start, features: [...rows[0]] };
}

async function measure({ images, texts, runs }) {
  const { size, context } = shape;
  const pictures = repeated(picture(), images);
  const ids = repeated(tokens(), texts);
  const measured = { image_ms: [], text_ms: [], image_features: [], text_features: [] };
  for (let i = 0; i < runs; i++) {
    if (images) {
      const { ms, features } = await run(sessions.image, "float32", pictures, [images, 3, size, size]);
      measured.image_ms.push(ms);
      measured.image_features = features;
    }
    if (texts) {
      const { ms, features } = await run(sessions.text, "int64", ids, [texts, context]);
      measured.text_ms.push(ms);
      measured.text_features = features;
    }
  }
  return { Measured: measured };
}

self.onmessage = async ({ data: { message } }) => {
  const [kind, content] = Object.entries(message)[0];
  try {
    say(await { Open: open, Measure: measure }[kind](content));
  } catch (error) {
    say({ Died: { error: String(error?.message ?? error) } });
  }
};
