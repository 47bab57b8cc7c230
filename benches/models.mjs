// Full-size models in the page: loads each from a hub on this machine, and compares
// its answers with the native command's.
//
//   python benches/reference.py --models RN50,ViT-B-32,ViT-L-14 --keep DIR
//   node benches/models.mjs DIR [cpu|webgpu] [--used-words]
//
// --used-words: without the rows of the token embedding that no text uses.
// Prints Markdown. Memory is that of the worker's WebAssembly, which only ever grows.

import { spawn } from "node:child_process";
import { mkdtemp, mkdir, readdir, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import * as h from "../tests/browser/harness.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { "used-words": { type: "boolean", default: false } },
});
const [folder, mode = "cpu"] = positionals;
if (!folder || !["cpu", "webgpu"].includes(mode)) {
  console.error("node benches/models.mjs DIR [cpu|webgpu] [--used-words]");
  process.exit(2);
}
const SCENE = join(h.FIXTURES, "scene.png");
/** Of words that the made-up tokenizers know, too. */
const LABELS = ["red house", "cat", "green field", "house on a field"];
const PATIENCE = 20 * h.SLOW;

const models = await mkdtemp(join(tmpdir(), "clip-models-"));
await mkdir(join(models, "full"));
const names = [];
for (const model of await readdir(folder)) {
  for (const kind of await readdir(join(folder, model))) {
    const name = `${model}-${kind}`;
    await symlink(resolve(folder, model, kind), join(models, "full", name));
    names.push(name);
  }
}
const hub = spawn("python3", [join(h.ROOT, "tests/hub/server.py"), "--port", "0", "--models", models], {
  stdio: ["ignore", "pipe", "inherit"],
});
const hubUrl = await new Promise((found) => hub.stdout.once("data", (data) => found(String(data).trim())));
const server = await h.startServer({ prelude: h.WATCH_MEMORY });
try {
  console.log("| model | file | ready after | memory | memory : file | a picture | farthest cosine |");
  console.log("| --- | --: | --: | --: | --: | --: | --: |");
  for (const name of names.sort()) await measure(name);
} finally {
  server.stop();
  hub.kill();
  await rm(models, { recursive: true, force: true });
  await h.cleanUp();
}

async function measure(name) {
  const browser = await h.launchBrowser({ webgpu: mode === "webgpu" });
  try {
    const place = { Hub: { id: `full/${name}`, revision: "main" } };
    const prepare = async (page) => {
      await page.addInitScript(({ hub, place, mode, usedWords }) => {
        localStorage.setItem("clip.hub", hub);
        localStorage.setItem("clip.model", JSON.stringify(place));
        localStorage.setItem("clip.device", JSON.stringify(mode === "cpu" ? "cpu" : "gpu"));
        localStorage.setItem("clip.used-words", JSON.stringify(usedWords));
      }, { hub: hubUrl, place, mode, usedWords: options["used-words"] });
    };
    const start = Date.now();
    const { page, problems } = await h.openPage(browser, server.url, { prepare });
    const state = page.locator(`${h.hook("worker-state")}:is([data-state="ready"], [data-state="failed"])`);
    await state.waitFor({ timeout: PATIENCE });
    const ready = Date.now() - start;
    const failure = page.locator(`.engine ${h.hook("error")}`);
    if (await failure.count()) {
      console.log(`| ${name} | | | | | | ${await failure.innerText()} |`);
      return;
    }
    const memory = await h.wasmMemory(page);
    await h.setLabels(page, LABELS);
    await h.drop(page, [SCENE]);
    const before = Date.now();
    const found = await h.ranking(page, "scene.png", LABELS, PATIENCE);
    const picture = Date.now() - before;
    const model = join(models, "full", name);
    const [expected] = await h.nativeAnswer([SCENE], LABELS, await h.templates(page), model);
    const off = expected.map(({ label, similarity }) =>
      Math.abs(found.find((row) => row.label === label).similarity - similarity),
    );
    const weights = (await readdir(model)).find((file) => file.endsWith(".safetensors"));
    const file = (await stat(join(model, weights))).size;
    const mega = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
    console.log(
      `| ${name} | ${mega(file)} | ${(ready / 1e3).toFixed(1)} s | ${mega(memory)} | ${(memory / file).toFixed(2)} ` +
        `| ${(picture / 1e3).toFixed(2)} s | ${Math.max(...off).toExponential(1)} |`,
    );
    for (const problem of problems) console.error(`page: ${problem}`);
  } finally {
    await browser.close();
  }
}
