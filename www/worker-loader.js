// Starts the engine's WebAssembly in the worker.
//
// The page speaks at once, the engine listens only when its program is there:
// what comes in between is kept and handed on.
const early = [];
const keep = (event) => early.push(event.data);
self.addEventListener("message", keep);

const say = (message) => self.postMessage({ message });
const text = (error) => String((error && error.message) || error);

// A trap inside asynchronous code reaches nobody otherwise.
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  say({ Died: { error: text(event.reason) } });
});

try {
  const { default: start } = await import("./worker.js");
  await start();
} catch (error) {
  say({
    OpenFailed: {
      error: `The program that computes could not be loaded (${text(error)}). Check the connection and try again.`,
    },
  });
}

self.removeEventListener("message", keep);
for (const data of early) {
  self.dispatchEvent(new MessageEvent("message", { data }));
}
