// Starts the engine's WebAssembly in the worker: one program computes on the GPU, two on
// the CPU, with and without relaxed SIMD, and only the one that is needed is fetched.
//
// The page speaks at once, the engine listens only when its program is there:
// what comes in between is kept and handed on.
import "./relaxed-simd.js";

const early = [];
let keep;
const first = new Promise((resolve) => {
  keep = ({ data }) => {
    early.push(data);
    resolve(data.message);
  };
});
self.addEventListener("message", keep);

const say = (message) => self.postMessage({ message });
const text = (error) => String((error && error.message) || error);

/** What the engine calls a diagnostic: a sentence, and code and values by which a page says it in another language. */
const diagnostic = (code, sentence, values) => ({
  code,
  values: Object.entries(values),
  text: sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]),
});

// A trap inside asynchronous code reaches nobody otherwise.
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  say({ Died: { error: text(event.reason), gpu: false } });
});

/**
 * CubeCL ends its program where a GPU has no timestamps, though nothing is timed here. So each claims to have
 * them, and is asked only for what it has.
 */
function claimTimestamps() {
  const get = Object.getOwnPropertyDescriptor(globalThis.GPUAdapter?.prototype ?? {}, "features")?.get;
  if (!get) return;
  const request = GPUAdapter.prototype.requestDevice;
  Object.defineProperty(GPUAdapter.prototype, "features", {
    get() {
      const features = get.call(this);
      return { has: (name) => name === "timestamp-query" || features.has(name) };
    },
  });
  GPUAdapter.prototype.requestDevice = function (descriptor) {
    const features = get.call(this);
    const requiredFeatures = (descriptor?.requiredFeatures ?? []).filter((name) => features.has(name));
    return request.call(this, { ...descriptor, requiredFeatures });
  };
}

const findsGpu = async () => Boolean(await navigator.gpu?.requestAdapter().catch(() => null));

// The first message says which device is wanted: "gpu", "cpu", or "auto".
const { device } = (await first).Open;
const gpu = device === "gpu" || (device === "auto" && (await findsGpu()));
try {
  if (gpu) claimTimestamps();
  const cpu = hasRelaxedSimd() ? "./worker-cpu-relaxed.js" : "./worker-cpu.js";
  const { default: start } = await import(gpu ? "./worker-gpu.js" : cpu);
  await start();
} catch (error) {
  say({
    OpenFailed: {
      error: diagnostic("program-not-loaded", "The program that computes could not be loaded ({reason}). Check the connection and try again.", {
        reason: text(error),
      }),
      gpu,
    },
  });
}

self.removeEventListener("message", keep);
for (const data of early) {
  self.dispatchEvent(new MessageEvent("message", { data }));
}
