// What differs between a browser and Node (node.js): how a worker is started and a file is read.

export const platform = {
  /** Starts the engine's worker. */
  startWorker: (address) => new Worker(address, { type: "module", name: "clip" }),
  fetch: (address, options) => fetch(address, options),
  /** To which addresses of models and images are relative. */
  base: () => globalThis.document?.baseURI ?? globalThis.location?.href,
};
