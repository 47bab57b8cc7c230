// Starts the WebAssembly of one of the engine's compute workers.
import "./relaxed-simd.js";

const told = new Promise((resolve) => {
  self.onmessage = ({ data }) => resolve(data);
});
let work, fail;
try {
  const program = await import(hasRelaxedSimd() ? "./compute-worker-relaxed.js" : "./compute-worker.js");
  await program.default();
  ({ work, fail } = program);
} catch (error) {
  self.postMessage(String((error && error.message) || error));
}
if (work) {
  const [buffer, index, workers] = await told;
  self.postMessage(null);
  try {
    work(buffer, index, workers);
  } catch (error) {
    fail(buffer);
    throw error;
  }
}
