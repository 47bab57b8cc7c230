// Starts the WebAssembly of one of the engine's decoders, and hands it one file after the other.
const started = import("./decoder.js").then(async (decoder) => {
  await decoder.default();
  self.postMessage(null);
  return decoder;
});
// Without its program a decoder is of no use: the engine goes on without.
started.catch((error) => self.postMessage(String((error && error.message) || error)));

let before = started;
self.onmessage = ({ data: [file, config] }) => {
  before = before.then(async () => {
    const reply = await (await started).prepare(file, config);
    self.postMessage(reply, reply[0] instanceof Float32Array ? [reply[0].buffer] : []);
  });
};
