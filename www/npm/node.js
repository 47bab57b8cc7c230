// CLIP in Node: the same engine, on the CPU, in a worker thread.

import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { platform } from "./platform.js";

/** A worker thread with the face of a browser's worker. */
class WorkerThread {
  #thread;

  constructor(address) {
    const script = new URL("./node-worker.js", import.meta.url);
    this.#thread = new Worker(script, { workerData: String(address), execArgv: [] });
    this.#thread.on("message", (data) => this.onmessage?.({ data }));
    this.#thread.on("error", (error) => this.onerror?.({ message: error.message }));
  }

  postMessage(data, transfer) {
    this.#thread.postMessage(data, transfer);
  }

  terminate() {
    this.#thread.terminate();
  }
}

platform.startWorker = (address) => new WorkerThread(address);
platform.base = () => pathToFileURL(`${process.cwd()}/`);
platform.fetch = async (address, options) =>
  address.protocol === "file:" ? new Response(await readFile(address)) : fetch(address, options);

export * from "./clip.js";
