// Starts the WebAssembly of one of the engine's hands in its worker.
const told = new Promise((resolve) => {
  self.onmessage = ({ data }) => resolve(data);
});
let work, fail;
try {
  const hand = await import("./hand.js");
  await hand.default();
  ({ work, fail } = hand);
} catch (error) {
  self.postMessage(String((error && error.message) || error));
}
if (work) {
  const [buffer, number, hands] = await told;
  self.postMessage(null);
  try {
    work(buffer, number, hands);
  } catch (error) {
    fail(buffer);
    throw error;
  }
}
