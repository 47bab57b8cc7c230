// Drives the two programs' workers, which understand the same messages.

const workers = new Map();

/** An imitated GPU takes minutes for a large model's pictures. */
const PATIENCE = 30 * 60_000;

/** The next message of one of these kinds. */
function next(worker, ...kinds) {
  return new Promise((found, failed) => {
    const hear = ({ data: { message } }) => {
      const [kind, content] = Object.entries(message)[0];
      if (["OpenFailed", "MeasureFailed", "Died"].includes(kind)) end(failed, new Error(content.error));
      else if (kinds.includes(kind)) end(found, content);
    };
    const error = (event) => end(failed, new Error(event.message || "the worker did not start"));
    const patience = setTimeout(() => end(failed, new Error(`no answer in ${PATIENCE / 6e4} minutes`)), PATIENCE);
    const end = (settle, value) => {
      clearTimeout(patience);
      worker.removeEventListener("message", hear);
      worker.removeEventListener("error", error);
      settle(value);
    };
    worker.addEventListener("message", hear);
    worker.addEventListener("error", error);
  });
}

function ask(worker, message, ...kinds) {
  const answer = next(worker, ...kinds);
  worker.postMessage({ message });
  return answer;
}

window.programs = {
  /**
   * Starts a program's worker; milliseconds until it has the features of a picture and a text, and until
   * each step on the way, as far as it tells of them.
   */
  async start(program, script, open) {
    const began = performance.now();
    const steps = {};
    const worker = new Worker(script, { type: "module" });
    worker.addEventListener("message", ({ data: { message } }) => {
      const now = performance.now() - began;
      steps.code ??= now;
      const { stage, done } = message.Loading ?? {};
      if (stage === "Download" && done > 0) steps.weights = now;
    });
    workers.set(program, worker);
    const { device } = await ask(worker, { Open: open }, "Ready");
    steps.model = performance.now() - began;
    await ask(worker, { Measure: { images: 1, texts: 1, runs: 1 } }, "Measured");
    return { device, steps, answer: performance.now() - began };
  },
  /** Milliseconds in which a worker that does nothing else reads the weights that ours keeps of a model. */
  read(model) {
    return new Promise((found, failed) => {
      const worker = new Worker("rival/read.js");
      worker.onmessage = ({ data: { ms, error } }) => (worker.terminate(), error ? failed(new Error(error)) : found(ms));
      worker.onerror = (event) => failed(new Error(event.message));
      worker.postMessage(model);
    });
  },
  measure: (program, what) => ask(workers.get(program), { Measure: what }, "Measured"),
  stop(program) {
    workers.get(program)?.terminate();
    workers.delete(program);
  },
};
