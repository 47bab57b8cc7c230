// Models other than the bundled one: from a hub that behaves and misbehaves, from
// an address, from the visitor's own files; and what the browser keeps of them.
// On the CPU: fetching is the same on every device, and this one is the faster.

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, open, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as h from "./harness.mjs";
import { startHub } from "./hub.mjs";

const { hook, SLOW } = h;
const GOLDEN = join(h.ROOT, "tests/golden/models");
const SCENE = join(h.FIXTURES, "scene.png");
const LABELS = ["a red house", "the sun", "a fish"];
const ID = "someone/tiny-clip";
const FILES = ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"];
const options = { timeout: 2 * SLOW };
const skip = h.WEBGPU && "fetching is the same with WebGPU";

let server, browser, hub, models;
before(async () => {
  if (skip) return;
  models = await mkdtemp(join(tmpdir(), "clip-hub-"));
  await repository(ID);
  hub = await startHub(models);
  server = await h.startServer();
  browser = await h.launchBrowser({ webgpu: false });
});
after(async () => {
  await browser?.close();
  server?.stop();
  hub?.stop();
  if (models) await rm(models, { recursive: true, force: true });
  await h.cleanUp();
});

/** A repository of the tiny golden model, padded so that a download takes several pieces. */
async function repository(id) {
  const folder = join(models, id);
  await mkdir(folder, { recursive: true });
  for (const file of FILES) await cp(join(GOLDEN, "hf-tokenizer-bf16", file), join(folder, file));
  const weights = join(folder, "model.safetensors");
  await writeFile(weights, padded(await readFile(weights), 9 << 20));
  return folder;
}

/** Header of a safetensors file, and the values behind it. */
function parted(file) {
  const end = 8 + Number(file.readBigUInt64LE(0));
  return { header: JSON.parse(file.subarray(8, end).toString()), data: file.subarray(end) };
}

/** Start of a safetensors file with that header. */
function headed(header) {
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([size, text]);
}

/** The same tensors, and one more of so many bytes, which is of no use to any model. */
function padded(file, bytes, dtype = "U8") {
  const { header, data } = parted(file);
  const end = Math.max(...Object.values(header).flatMap((t) => t.data_offsets?.[1] ?? []));
  const shape = dtype === "F32" ? [bytes / 1024, 256] : [bytes];
  header["padding.position_ids"] = { dtype, shape, data_offsets: [end, end + bytes] };
  const values = dtype === "F32" ? Buffer.from(new Float32Array(bytes / 4).fill(1.5).buffer) : h.noise(bytes);
  return Buffer.concat([headed(header), data, values]);
}

/** The weights of a folder in two files, each with every second tensor, and an index. */
async function inParts(folder) {
  const weights = join(folder, "model.safetensors");
  const { header, data: all } = parted(await readFile(weights));
  delete header.__metadata__;
  const weight_map = {};
  for (const part of [0, 1]) {
    const name = `model-0000${part + 1}-of-00002.safetensors`;
    const tensors = {};
    const data = [];
    let position = 0;
    for (const [tensor, info] of Object.entries(header).filter((_, place) => place % 2 === part)) {
      const bytes = all.subarray(...info.data_offsets);
      tensors[tensor] = { ...info, data_offsets: [position, (position += bytes.length)] };
      data.push(bytes);
      weight_map[tensor] = name;
    }
    await writeFile(join(folder, name), Buffer.concat([headed(tensors), ...data]));
  }
  await writeFile(`${weights}.index.json`, JSON.stringify({ metadata: {}, weight_map }));
  await rm(weights);
}

/** The same model with so many rows in its token embedding, which no text uses, as long as its own or longer. */
async function withLargeTable(folder, rows, columns) {
  const weights = join(folder, "model.safetensors");
  const { header, data } = parted(await readFile(weights));
  const [name, table] = Object.entries(header).find(([name]) => name.endsWith("token_embedding.weight"));
  const [, end] = table.data_offsets;
  const [before, width] = table.shape;
  const value = { F32: 4, F16: 2, BF16: 2 }[table.dtype];
  table.shape = [rows, columns ?? width];
  const more = (table.shape[0] * table.shape[1] - before * width) * value;
  for (const [other, tensor] of Object.entries(header)) {
    if (other === "__metadata__") continue;
    const later = tensor.data_offsets[0] >= end;
    if (later) tensor.data_offsets[0] += more;
    if (later || other === name) tensor.data_offsets[1] += more;
  }
  // With a hole in place of the new rows: they may be many.
  const handle = await open(weights, "w");
  const start = Buffer.concat([headed(header), data.subarray(0, end)]);
  await handle.write(start, 0, start.length, 0);
  await handle.truncate(start.length + more);
  await handle.write(data, end, data.length - end, start.length + more);
  await handle.close();
  const config = join(folder, "config.json");
  const json = JSON.parse(await readFile(config));
  json.text_config.vocab_size = rows;
  await writeFile(config, JSON.stringify(json));
  return { table: table.data_offsets[1] - table.data_offsets[0], row: width * value };
}

/** A visitor whose hub behaves as told. */
async function visit(behaviour, act, { url = server.url, ...extra } = {}) {
  await hub.reset();
  const prepare = (page) =>
    page.addInitScript((hub) => localStorage.setItem("clip.hub", hub), hub.url + behaviour);
  const opened = await h.openPage(browser, url, { prepare, ...extra });
  try {
    await opened.page.locator(hook("model-input")).waitFor({ state: "attached" });
    await opened.page.locator(`${hook("models")} summary`).click();
    return await act(opened.page, opened);
  } finally {
    await opened.close();
  }
}

async function load(page, name) {
  await page.locator(hook("model-input")).fill(name);
  await page.locator(hook("model-load")).click();
}

/** Waits until that model is the one that runs. */
async function ready(page, name) {
  await page.locator(hook("model-info")).filter({ hasText: name }).waitFor();
  await h.waitReady(page);
}

async function answer(page) {
  await h.setLabels(page, LABELS);
  await h.drop(page, [SCENE]);
  return h.ranking(page, "scene.png", LABELS);
}

async function failure(page) {
  await h.waitForState(page, "failed");
  return page.locator(`.engine ${hook("error")}`).innerText();
}

let native;
const expected = async () => (native ??= await h.nativeAnswer([SCENE], LABELS, ["A photo of a {label}."], join(models, ID)));

describe("models from a hub", { timeout: 40 * SLOW, skip }, () => {
  test("one is fetched, answers as the native command, and is kept", options, async () => {
    await visit("", async (page) => {
      await load(page, ID);
      await ready(page, ID);
      h.assertClose(await answer(page), (await expected())[0], 1e-3, "fetched");
      const kept = page.locator(`${hook("kept-model")}[data-model="${ID}"]`);
      await kept.waitFor();
      assert.match(await kept.innerText(), /9\.\d MB/);
      assert.equal((await hub.log()).length, 1, "the weights came once");

      // Again: nothing of it comes over the network.
      await page.reload();
      await ready(page, ID);
      h.assertClose(await answer(page), (await expected())[0], 1e-3, "kept");
      assert.equal((await hub.log()).length, 1, "the weights did not come again");

      // And without a hub.
      await page.evaluate((url) => localStorage.setItem("clip.hub", url), `${hub.url}/offline`);
      await page.addInitScript((url) => localStorage.setItem("clip.hub", url), `${hub.url}/offline`);
      await page.reload();
      await ready(page, ID);
      h.assertClose(await answer(page), (await expected())[0], 1e-3, "offline");

      await page.locator(`${hook("models")} summary`).click();
      await kept.locator(hook("kept-delete")).click();
      await kept.waitFor({ state: "detached" });
    });
  });

  test("a connection that breaks is taken up where it stopped", options, async () => {
    await visit("/break-5000000", async (page) => {
      await load(page, ID);
      await ready(page, ID);
      h.assertClose(await answer(page), (await expected())[0], 1e-3, "in two parts");
      // What a browser holds when a connection breaks may be lost, but no more.
      const [first, second] = (await hub.log()).map((request) => request.range);
      assert.equal(first, null);
      assert.ok(Number(second.match(/^bytes=(\d+)-$/)[1]) > 3_000_000, second);
    });
  });

  test("a visit that breaks off is taken up in the next one", options, async () => {
    await visit("/slow-3000000", async (page) => {
      await load(page, ID);
      // Its first chunk is kept by then.
      await page.locator(hook("status")).filter({ hasText: /[5-9]\.\d MB of/ }).waitFor();
      await page.locator(hook("cancel")).click();
      await h.waitForState(page, "stopped");
      await page.reload();
      await ready(page, ID);
      h.assertClose(await answer(page), (await expected())[0], 1e-3, "in two visits");
      const ranges = (await hub.log()).map((request) => request.range);
      assert.match(ranges.at(-1), /^bytes=(4194304|8388608)-$/);
    });
  });

  // Of each: the size that is shown, where its first chunk is stored, from where on the rest of the file has to
  // come, and how far the answer may be.
  const smaller = {
    f16: { size: /10\.\d MB, f16/, begun: /1[0-6]\.\d MB of 21\.\d MB/, from: [8e6, 17.5e6], tolerance: 1e-3 },
    int8: { size: /5\.\d MB, 8 bits/, begun: /(1[7-9]|20)\.\d MB of 21\.\d MB/, from: [16e6, 21e6], tolerance: 1e-2 },
  };
  for (const [precision, at] of Object.entries(smaller)) {
    test(`f32 weights are stored as ${precision} when asked, and a broken download of them goes on`, options, () =>
      storesSmaller(precision, at));
  }

  async function storesSmaller(precision, { size, begun, from: [least, most], tolerance }) {
    const other = `someone/large-clip-${precision}`;
    const folder = join(models, other);
    const golden = join(GOLDEN, "hf-legacy-eos-f32");
    await mkdir(folder, { recursive: true });
    await cp(golden, folder, { recursive: true });
    const weights = join(folder, "model.safetensors");
    await writeFile(weights, padded(await readFile(weights), 20 << 20, "F32"));
    const [exact] = await h.nativeAnswer([SCENE], LABELS, ["A photo of a {label}."], folder);
    const kept = (page) => page.locator(`${hook("kept-model")}[data-model="${other}"]`);
    await visit("/slow-6000000", async (page) => {
      await page.locator(hook("stored-precision")).selectOption(precision);
      const facts = await page.locator("ul.published .published-facts").allTextContents();
      assert.ok(facts.length > 20 && facts.every((text) => / · license \S/.test(text)), facts.join("\n"));
      await load(page, other);
      // Its first chunk is stored by then. Progress is that of the download.
      await page.locator(hook("status")).filter({ hasText: begun }).waitFor();
      await page.locator(hook("cancel")).click();
      await h.waitForState(page, "stopped");
      // What is begun goes on as it began.
      await page.locator(hook("stored-precision")).selectOption("");
      await page.reload();
      await ready(page, other);
      const ranges = (await hub.log()).map((request) => Number(request.range?.match(/^bytes=(\d+)-$/)[1]));
      const from = ranges.at(-1);
      assert.ok(from > least && from < most, `farther in the file than in the copy: ${from}`);
      h.assertClose(await answer(page), exact, tolerance, "in two visits");
      await page.locator(`${hook("models")} summary`).click();
      assert.match(await kept(page).innerText(), size);

      // Without a network, and with the other choice: it is read as it is stored.
      await page.addInitScript((url) => localStorage.setItem("clip.hub", url), `${hub.url}/offline`);
      await page.reload();
      await ready(page, other);
      h.assertClose(await answer(page), exact, tolerance, "from the storage");
      await page.locator(`${hook("models")} summary`).click();
      await kept(page).locator(hook("kept-delete")).click();
      await kept(page).waitFor({ state: "detached" });
    });
    await visit("", async (page) => {
      await load(page, other);
      await ready(page, other);
      await kept(page).waitFor();
      assert.match(await kept(page).innerText(), /21\.\d MB(?!,)/);
      // Asked for later: what is stored stays.
      await page.locator(hook("stored-precision")).selectOption(precision);
      await page.reload();
      await ready(page, other);
      assert.equal((await hub.log()).length, 1, "the weights did not come again");
      await page.locator(`${hook("models")} summary`).click();
      assert.equal(await page.locator(hook("stored-precision")).inputValue(), precision, "the choice is remembered");
    });
  }

  test("weights in several files are read as one, from the hub and from one's own", options, async () => {
    const other = "someone/in-parts";
    const folder = join(models, other);
    await cp(join(GOLDEN, "hf-tokenizer-bf16"), folder, { recursive: true });
    await inParts(folder);
    const [exact] = await h.nativeAnswer([SCENE], LABELS, ["A photo of a {label}."], folder);
    for (const precision of ["", "int8"]) {
      const tolerance = precision === "int8" ? 0.01 : 1e-3;
      await visit("", async (page) => {
        await page.locator(hook("stored-precision")).selectOption(precision);
        await load(page, other);
        await ready(page, other);
        h.assertClose(await answer(page), exact, tolerance, precision);
        await page.addInitScript((url) => localStorage.setItem("clip.hub", url), `${hub.url}/offline`);
        await page.reload();
        await ready(page, other);
        h.assertClose(await answer(page), exact, tolerance, `${precision}, offline`);
      });
    }
    await visit("", async (page) => {
      const files = (await readdir(folder)).map((name) => join(folder, name));
      await h.drop(page, files);
      await page.locator(hook("model-source")).filter({ hasNotText: /bundled/i }).waitFor({ state: "attached" });
      await h.waitReady(page);
      h.assertClose(await answer(page), exact, 1e-3, "dropped");
    });
  });

  test("a token embedding may have more bits than 32 bits count", options, async () => {
    // The header is read: it is the model that has no place for rows of this length, which are left out.
    const refused = [
      [32, 2 ** 29, /token_embedding.* has shape \[0, 32\].* requires \[4194304, 16\]/],
      [256, 2 ** 32, /the weights have 4296 MB, and a page can use 4294 MB/],
    ];
    for (const [columns, bytes, words] of refused) {
      const other = `someone/rows-of-${columns}`;
      const folder = join(models, other);
      await cp(join(GOLDEN, "siglip2-f32"), folder, { recursive: true });
      assert.equal((await withLargeTable(folder, 2 ** 22, columns)).table, bytes);
      await visit("", async (page) => {
        await page.locator(hook("used-words")).check();
        await load(page, other);
        assert.match(await failure(page), words);
      });
      await rm(folder, { recursive: true });
    }
  });

  test("only the words that are used are downloaded when asked, and what is begun goes on", options, async () => {
    const other = "someone/many-words";
    const RARE = "한"; // its tokens are far from all others, which come with their neighbours
    const folder = join(models, other);
    await cp(join(GOLDEN, "siglip2-f16"), folder, { recursive: true });
    const { table, row } = await withLargeTable(folder, 100_000);
    const weights = join(folder, "model.safetensors");
    await writeFile(weights, padded(await readFile(weights), 9 << 20));
    const rest = (await readFile(weights)).length - table;
    const answerOf = async (labels) => (await h.nativeAnswer([SCENE], labels, ["A photo of a {label}."], folder))[0];
    const exact = await answerOf(LABELS);
    const kept = (page) => page.locator(`${hook("kept-model")}[data-model="${other}"]`);
    const ask = async (page, labels) => {
      await h.setLabels(page, labels);
      return h.ranking(page, "scene.png", labels);
    };
    const sent = async () => (await hub.log()).reduce((sum, request) => sum + request.sent, 0);
    await visit("/slow-3000000", async (page) => {
      await page.locator(hook("used-words")).check();
      await load(page, other);
      await page.locator(hook("status")).filter({ hasText: /[5-9]\.\d MB of 9\.\d MB/ }).waitFor();
      await page.locator(hook("cancel")).click();
      await h.waitForState(page, "stopped");
      await page.locator(hook("used-words")).uncheck();
      await hub.reset();
      await page.addInitScript((url) => localStorage.setItem("clip.hub", url), hub.url);
      await page.reload();
      await ready(page, other);
      const from = Number((await hub.log())[0].range.match(/^bytes=(\d+)-$/)[1]);
      assert.ok(from >= table + 4_000_000, `after the table, where it stopped: ${from}`);
      h.assertClose(await answer(page), exact, 1e-6, "in two visits");
    });
    await visit("", async (page) => {
      await page.locator(hook("used-words")).check();
      await load(page, other);
      await ready(page, other);
      h.assertClose(await answer(page), exact, 1e-6, "with the rows used");
      const rows = (await sent()) - rest;
      assert.ok(rows > 10 * row && rows < 64 * 1024 + 600 * row, `besides the rest, ${rows} bytes`);
      await page.locator(hook("models")).locator(hook("kept-model")).first().waitFor();
      assert.match(await kept(page).innerText(), /9\.\d MB, words used/);

      // Words that are known need no network; others wait for it.
      await page.context().route(/safetensors/, (route) => route.abort());
      await h.setLabels(page, [RARE]);
      const error = page.locator(`.engine ${hook("error")}`);
      await error.filter({ hasText: /used for the first time.*cannot be reached/ }).waitFor();
      h.assertClose(await ask(page, LABELS), exact, 1e-6, "known words");
      await h.setLabels(page, [...LABELS, RARE]);
      await error.waitFor();
      await page.context().unroute(/safetensors/);
      await page.locator(hook("ask-again")).click();
      const labels = [...LABELS, RARE];
      h.assertClose(await h.ranking(page, "scene.png", labels), await answerOf(labels), 1e-6, "again");

      // The next visit knows them all.
      await page.addInitScript((url) => localStorage.setItem("clip.hub", url), `${hub.url}/offline`);
      await page.reload();
      await ready(page, other);
      await h.drop(page, [SCENE]);
      h.assertClose(await h.ranking(page, "scene.png", labels), await answerOf(labels), 1e-6, "offline");
    });
  });

  test("a model is downloaded as a whole where leaving words out is of no use, and told", options, async () => {
    for (const [behaviour, id, words] of [
      ["", ID, /only a small part/],
      ["/no-range-break-once-5000000", "someone/many-words", /no parts/],
    ]) {
      await visit(behaviour, async (page) => {
        await page.locator(hook("used-words")).check();
        await load(page, id);
        await ready(page, id);
        await page.locator(hook("notice")).filter({ hasText: words }).waitFor();
        await page.locator(`${hook("kept-model")}[data-model="${id}"]`).waitFor();
        const text = await page.locator(`${hook("kept-model")}[data-model="${id}"]`).innerText();
        assert.doesNotMatch(text, /words used/);
      });
    }
  });

  test("weights that the hub's bot has converted are taken, and told of", options, async () => {
    const other = "someone/pickled";
    await repository(`${other}@refs-pr-1`);
    await cp(join(models, `${other}@refs-pr-1`), join(models, other), { recursive: true });
    await rm(join(models, other, "model.safetensors"));
    const list = (author) =>
      writeFile(
        join(models, `${other}.discussions.json`),
        JSON.stringify([{ num: 1, author: { name: author }, status: "open", isPullRequest: true, title: "" }]),
      );
    await list("somebody");
    await visit("", async (page) => {
      await load(page, other);
      assert.match(await failure(page), /pytorch_model\.bin/);
    });
    await list("SFconvertbot");
    await visit("", async (page) => {
      await load(page, other);
      await h.waitReady(page);
      await page.locator(hook("notice")).filter({ hasText: `${other}@refs/pr/1` }).waitFor();
      h.assertClose(await answer(page), (await expected())[0], 1e-3, "converted");
      await page.addInitScript((url) => localStorage.setItem("clip.hub", url), `${hub.url}/offline`);
      await page.reload();
      await h.waitReady(page);
      h.assertClose(await answer(page), (await expected())[0], 1e-3, "offline");
    });
  });

  test("one of the published models is recommended for the device, with the reason", options, async () => {
    const device = (memory, connection) => async (page) => {
      await page.addInitScript(([memory, connection]) => {
        Object.defineProperty(navigator, "deviceMemory", { value: memory });
        Object.defineProperty(navigator, "connection", { value: connection });
      }, [memory, connection]);
    };
    const cases = [
      [device(8, { saveData: false, effectiveType: "4g" }), "ViT-B/32 at 256 px (DataComp-1B)", /1\.00 GB to download.*CPU/],
      [device(1.5, undefined), "TinyCLIP ViT-39M/16, text 19M", /\(1\.5 GB\).*CPU/],
      [device(8, { saveData: true, effectiveType: "4g" }), null, /save data/],
      [device(0.25, undefined), null, /memory/],
    ];
    for (const [prepare, name, reason] of cases) {
      const opened = await h.openPage(browser, server.url, { prepare });
      try {
        await h.waitReady(opened.page);
        await opened.page.locator(`${hook("models")} summary`).click();
        const text = await opened.page.locator(hook("recommendation")).innerText();
        assert.match(text, reason);
        assert.ok(text.includes(name ?? "the bundled model"), text);
        const marked = await opened.page.locator(`li:has(${hook("recommended-here")})`).allInnerTexts();
        assert.deepEqual(marked.map((row) => row.includes(name)), name ? [true] : []);
      } finally {
        await opened.close();
      }
    }
  });

  test("a file that changes under way is noticed", options, async () => {
    await visit("/changed-5000000", async (page) => {
      await load(page, ID);
      await ready(page, ID);
      await answer(page);
      const whole = (await hub.log()).filter((request) => request.range === null && request.status === 200);
      assert.ok(whole.length >= 2, "it was fetched anew from its beginning");
    });
  });

  test("a file that changed since the last visit is noticed", options, async () => {
    const other = "someone/changing-clip";
    const folder = await repository(other);
    await visit("", async (page) => {
      await load(page, other);
      await ready(page, other);
      const weights = join(folder, "model.safetensors");
      const bytes = await readFile(weights);
      bytes[bytes.length - 1] ^= 1;
      await writeFile(weights, bytes);
      await page.reload();
      await ready(page, other);
      await page.locator(hook("notice")).filter({ hasText: /changed since/ }).waitFor();
      assert.equal((await hub.log()).length, 2);
    });
  });

  test("a browser without room says so, and goes on", options, async () => {
    await visit("", async (page) => {
      const cdp = await page.context().newCDPSession(page);
      await cdp.send("Storage.overrideQuotaForOrigin", { origin: server.url, quotaSize: 6 << 20 });
      await load(page, ID);
      await ready(page, ID);
      await page.locator(hook("notice")).filter({ hasText: /not enough storage space/ }).waitFor();
      h.assertClose(await answer(page), (await expected())[0], 1e-3, "not kept");
    });
  });

  test("a browser without files to write keeps models in its cache", options, async () => {
    const prelude = "delete FileSystemFileHandle.prototype.createSyncAccessHandle;";
    const changed = await h.startServer({ prelude });
    await visit("", async (page) => {
      await load(page, ID);
      await ready(page, ID);
      assert.ok(await page.evaluate(() => caches.has("models")), "a cache is there");
      await page.reload();
      await ready(page, ID);
      h.assertClose(await answer(page), (await expected())[0], 1e-3, "kept");
      assert.equal((await hub.log()).length, 1, "the weights came once");
      await page.locator(`${hook("models")} summary`).click();
      const kept = page.locator(`${hook("kept-model")}[data-model="${ID}"]`);
      await kept.locator(hook("kept-delete")).click();
      await kept.waitFor({ state: "detached" });
    }, { url: changed.url }).finally(changed.stop);
  });

  test("servers without ranges and without ETags work, too", options, async () => {
    for (const behaviour of ["/no-range-break-once-5000000", "/no-etag", "/error-503-once"]) {
      await visit(behaviour, async (page) => {
        await load(page, ID);
        await ready(page, ID);
        h.assertClose(await answer(page), (await expected())[0], 1e-3, behaviour);
      });
    }
  });

  test("what goes wrong is said, and the bundled model is a click away", options, async () => {
    const wrong = [
      ["", "someone/else", /no such model|private/],
      ["/gated", ID, /agree/],
      ["/error-500", ID, /500/],
      ["/html", ID, /web page|does not contain a CLIP model|not valid JSON/],
      ["/truncated-4000000", ID, /end after 4000000/],
      ["/offline", ID, /cannot be reached/],
      ["/no-cors", ID, /cannot be reached/],
    ];
    for (const [behaviour, id, words] of wrong) {
      await visit(behaviour, async (page) => {
        await load(page, id);
        const text = await failure(page);
        assert.match(text, words, behaviour);
        assert.doesNotMatch(text, /unwrap|panicked|undefined|\[object/);
        await page.getByRole("button", { name: "Use the bundled model" }).click();
        await ready(page, "everyday");
      });
    }
  });

  test("names that are none are refused at once", options, async () => {
    await visit("", async (page) => {
      await h.waitReady(page);
      for (const name of ["", "clip", "a/b/c", "ftp://x/y"]) {
        await load(page, name);
        assert.match(await page.locator(hook("model-problem")).innerText(), /neither/);
      }
      assert.equal(await page.locator(hook("worker-state")).getAttribute("data-state"), "ready");
    });
  });

  test("an address of a file, without a config", options, async () => {
    await mkdir(join(models, "someone/lone"), { recursive: true });
    const from = join(h.ROOT, "assets/model");
    await cp(join(from, "open_clip_model.safetensors"), join(models, "someone/lone/x.safetensors"));
    await cp(join(from, "tokenizer.json"), join(models, "someone/lone/tokenizer.json"));
    await visit("", async (page) => {
      await load(page, `${hub.url}/someone/lone/resolve/main/x.safetensors`);
      await page.locator(hook("notice")).filter({ hasText: /no config/ }).waitFor();
      await h.waitReady(page);
      await answer(page);
    });
  });
});

describe("a visitor's own model", { timeout: 10 * SLOW, skip }, () => {
  const read = async (name) => ({ name, bytes: await readFile(join(models, ID, name)) });

  test("dropped files", options, async () => {
    await visit("", async (page) => {
      await h.waitReady(page);
      await h.drop(page, await Promise.all(FILES.map(read)));
      await page.locator(hook("model-source")).filter({ hasText: "your files" }).waitFor();
      await h.waitReady(page);
      h.assertClose(await answer(page), (await expected())[0], 1e-3, "dropped");
    });
  });

  test("templates of one's own are the same with another model", options, async () => {
    await visit("", async (page) => {
      await h.waitReady(page);
      const shown = () => page.locator(hook("template-custom")).evaluateAll((inputs) => inputs.map(({ value }) => value));
      const [a, b, c] = ["A", "B", "C"].map((letter) => `${letter} {label}.`);
      await page.locator("details.templates summary").click();
      for (const template of [a, b, c]) {
        await page.locator(hook("template-input")).fill(template);
        await page.locator(hook("template-input")).press("Enter");
      }
      await page.getByRole("button", { name: `Remove template ${a}` }).click();
      await h.drop(page, await Promise.all(FILES.map(read)));
      await page.locator(hook("model-source")).filter({ hasText: "your files" }).waitFor();
      await h.waitReady(page);
      assert.deepEqual(await shown(), [b, c]);
      await page.locator(hook("undo-button")).click();
      assert.deepEqual(await shown(), [a, b, c]);
    });
  });

  test("files that are no model are refused in words", options, async () => {
    const config = await read("config.json");
    const cases = [
      [[{ name: "x.safetensors", bytes: h.noise(5000) }], /not a safetensors file/],
      [[{ name: "x.safetensors", bytes: Buffer.from("PK\x03\x04 and more of it") }], /PyTorch/],
      [[config, await read("tokenizer.json"), { name: "model.safetensors", bytes: (await read("model.safetensors")).bytes.subarray(0, 70_000) }], /end after/],
    ];
    for (const [files, words] of cases) {
      await visit("", async (page) => {
        await h.waitReady(page);
        await h.drop(page, files);
        assert.match(await failure(page), words);
      });
    }
  });
});

describe("a page without a network", { timeout: 10 * SLOW, skip }, () => {
  test("the second visit opens, with the model of the first", options, async () => {
    await visit("", async (page, { problems }) => {
      await load(page, ID);
      await ready(page, ID);
      // Everything of the page is kept once its service worker is there.
      await page.evaluate(() => navigator.serviceWorker.ready);
      await page.context().setOffline(true);
      await page.reload();
      await ready(page, ID);
      h.assertClose(await answer(page), (await expected())[0], 1e-3, "offline");
      problems.length = 0; // the console tells of every request that failed
    }, { serviceWorkers: "allow" });
  });
});
