// The surroundings of a browser's worker in a worker thread of Node, as far as the engine needs them.

import { readFile } from "node:fs/promises";
import { parentPort, workerData } from "node:worker_threads";

const global = globalThis;
const base = new URL(workerData);
const isWorker = { [Symbol.hasInstance]: (object) => object === global };

global.self = global;
global.navigator ??= {};
global.caches = { open: () => Promise.reject(new Error("nothing is kept in Node")) };
global.WorkerGlobalScope = global.DedicatedWorkerGlobalScope = isWorker;

const events = new EventTarget();
for (const name of ["removeEventListener", "dispatchEvent"]) global[name] = events[name].bind(events);
events.addEventListener("message", (event) => global.onmessage?.(event));
// Not before the engine's loader listens: a thread, unlike a worker, does not keep messages for it.
global.addEventListener = (...args) => {
  events.addEventListener(...args);
  parentPort.on("message", (data) => {
    // Between threads a file loses what it has beside a blob.
    data.files = data.files?.map((file, index) => new File([file], file.name ?? String(index)));
    events.dispatchEvent(new MessageEvent("message", { data }));
  });
  global.addEventListener = events.addEventListener.bind(events);
};
global.postMessage = (data, transfer) => parentPort.postMessage(data, transfer);

const overNetwork = global.fetch;
global.fetch = async (input, options) => {
  const address = new URL(input.url ?? input, base);
  if (address.protocol !== "file:") return overNetwork(address, options);
  try {
    const headers = { "content-type": address.pathname.endsWith(".wasm") ? "application/wasm" : "application/octet-stream" };
    return new Response(await readFile(address), { headers });
  } catch (error) {
    if (error.code === "ENOENT") return new Response(null, { status: 404 });
    throw error;
  }
};

await import(base.href);
