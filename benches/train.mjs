// How fast the page trains: full fine-tuning of the bundled model on the sample data, in a
// headless Chromium.
//
//   node benches/train.mjs cpu|webgpu [--batch-size 32] [--steps 5]
//
// Prints a row of Markdown for each method. A step is the whole of it: pictures read and
// varied, both towers there and back, the optimiser, what the page shows of it. Memory is the
// worker's at its peak: WebAssembly's only ever grows.

import { parseArgs } from "node:util";
import * as h from "../tests/browser/harness.mjs";
import { opened, takeSamples, train } from "../tests/browser/training.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { "batch-size": { type: "string", default: "32" }, steps: { type: "string", default: "5" } },
});
const [mode] = positionals;
if (!["cpu", "webgpu"].includes(mode)) {
  console.error("node benches/train.mjs cpu|webgpu [--batch-size 32] [--steps 5]");
  process.exit(2);
}
const webgpu = mode === "webgpu";
const batch = Number(options["batch-size"]);
/** The first steps make room for moments, and compile. */
const UNTIMED = 2;
const PATIENCE = 20 * h.SLOW;

/** Notes when steps end and what device it is, before anything of the page's own. */
function watch() {
  window.bench = { steps: [], device: null };
  window.Worker = class extends Worker {
    constructor(...options) {
      super(...options);
      this.addEventListener("message", ({ data }) => {
        if (data?.message?.Ready) window.bench.device = data.message.Ready.device;
        if (data?.message?.Training?.Step) window.bench.steps.push(performance.now());
      });
    }
  };
}

async function measure(browser, server, method) {
  const { page, close } = await opened(browser, server.url, { prepare: (page) => page.addInitScript(watch) });
  await h.waitReady(page);
  await takeSamples(page);
  await train(page, method, { epochs: 1000, batch_size: batch, micro_batch: batch });
  const wanted = UNTIMED + Number(options.steps);
  await page.waitForFunction((wanted) => window.bench.steps.length > wanted, wanted, { polling: 100, timeout: PATIENCE });
  const { steps, device } = await page.evaluate(() => window.bench);
  const memory = await h.wasmMemory(page);
  await close();
  if (device.gpu !== webgpu) throw new Error(`it computed on ${device.name}`);
  const times = steps.slice(UNTIMED + 1).map((end, i) => end - steps[UNTIMED + i]).sort((a, b) => a - b);
  return { device: device.name, ms: times[times.length >> 1], memory };
}

const server = await h.startServer({ prelude: h.WATCH_MEMORY });
const browser = await h.launchBrowser({ webgpu });
try {
  const rows = [];
  let name;
  for (const method of ["full", "lora"]) {
    const { device, ms, memory } = await measure(browser, server, method);
    name = device;
    rows.push(`| ${method}, batch ${batch} | ${Math.round(ms)} ms | ${((1000 * batch) / ms).toFixed(1)} | ${Math.round(memory / 2 ** 20)} MiB |`);
  }
  console.log(`Chromium ${browser.version()}, headless. Device: ${name}.`);
  if (webgpu) console.log("**This is no GPU**: SwiftShader, a program on the CPU, imitates one.");
  console.log("\n| | a step | pairs a second | WebAssembly's memory |\n| --- | --: | --: | --: |");
  console.log(rows.join("\n"));
} finally {
  await browser.close();
  server.stop();
  await h.cleanUp();
}
