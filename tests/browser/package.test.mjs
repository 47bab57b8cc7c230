// The npm package in pages of other programs: served in a folder of a plain file server that sends no headers, on a
// port of its own. In a real Chromium and in Node, on the CPU: the device has no share in it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import * as h from "./harness.mjs";

const { SLOW, WEBGPU } = h;
const run = promisify(execFile);
const options = { timeout: SLOW, skip: WEBGPU && "as on the CPU" };
const PACKAGE = join(h.ROOT, "dist-npm");
const LABELS = ["cat", "tree", "umbrella"];
const DRAWINGS = join(h.FIXTURES, "drawings");
const PICTURES = ["cat.png", "tree.png", "umbrella.png"];

let browser, plain, other, root, native;
before(async () => {
  if (options.skip) return;
  await run(join(h.ROOT, "scripts/package"), ["--no-build"]);
  root = await mkdtemp(join(tmpdir(), "clip-package-"));
  const site = join(root, "some/where");
  await cp(join(h.ROOT, "examples/html"), site, { recursive: true });
  await cp(join(h.ROOT, "examples/web-worker"), join(site, "worker"), { recursive: true });
  await cp(DRAWINGS, join(site, "images"), { recursive: true });
  for (const folder of [site, join(site, "worker")]) await symlink(PACKAGE, join(folder, "clip-everyday"));
  await writeFile(join(site, "images/broken.png"), "not an image");
  await writeFile(join(root, "favicon.ico"), "");
  await writeFile(join(site, "empty.html"), "<!doctype html><title>another page</title>");
  plain = await h.startPlainServer(root);
  other = await h.startPlainServer(h.ROOT);
  browser = await h.launchBrowser({ webgpu: false });
  const paths = PICTURES.map((name) => join(DRAWINGS, name));
  native = await h.nativeAnswer(paths, LABELS, ["A photo of a {label}."]);
});
after(async () => {
  await browser?.close();
  plain?.stop();
  other?.stop();
  if (root) await rm(root, { recursive: true, force: true });
});

/** A page of another program, with the package loaded as `Clip`. */
async function withClip() {
  const opened = await h.openPage(browser, `${plain.url}some/where/empty.html`);
  await opened.page.evaluate(async () => {
    window.progress = [];
    window.Clip = (await import("./clip-everyday/clip.js")).Clip;
    window.clip = await Clip.load({ onProgress: (at) => progress.push(at) });
  });
  return opened;
}

describe("the package in a page", () => {
  test("classifies as the command does, whatever an image is given as", options, async () => {
    const { page, problems, close } = await withClip();
    const requests = [];
    page.on("request", (request) => requests.push(request.url()));
    const about = await page.evaluate(() => [clip.model.name, clip.model.embedDim, clip.device.gpu, progress.some((at) => at.done > 1e6)]);
    assert.deepEqual(about, ["clip-everyday", 256, false, true]);
    const found = await page.evaluate(
      ([names, labels]) => clip.classify(names.map((name) => `images/${name}`), labels),
      [PICTURES, LABELS],
    );
    for (const [index, ranking] of found.entries()) {
      h.assertClose(ranking, native[index], 1e-3, PICTURES[index]);
      assert.ok(ranking[0].probability >= ranking[1].probability, "ranked");
    }
    const answers = await page.evaluate(async (labels) => {
      const blob = await (await fetch("images/cat.png")).blob();
      const image = new Image();
      image.src = "images/cat.png";
      await image.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
      const bytes = await blob.arrayBuffer();
      const files = [blob, new File([blob], "x"), bytes, new Uint8Array(bytes), new URL("images/cat.png", document.baseURI), image];
      const drawn = [canvas, pixels, await createImageBitmap(image)];
      const classify = async (images) => {
        const all = [];
        for (const image of images) all.push(await clip.classify(image, labels));
        return all;
      };
      return { files: await classify(files), drawn: await classify(drawn) };
    }, LABELS);
    for (const answer of answers.files) h.assertClose(answer, native[0], 1e-3, "as a file");
    // The file has a palette, which the model's preprocessing resizes in its own way.
    for (const answer of answers.drawn) h.assertClose(answer, native[0], 1e-2, "as pixels");
    assert.ok(requests.every((url) => url.startsWith(plain.url)), requests.join());
    assert.deepEqual(problems, []);
    await close();
  });

  test("embeds and searches, and trains a classifier that it uses", options, async () => {
    const { page, problems, close } = await withClip();
    const found = await page.evaluate(async (names) => {
      const images = names.map((name) => `images/${name}`);
      const features = await clip.embedImage(images);
      const texts = await clip.embedText(Array.from({ length: 70 }, (_, i) => `text ${i}`));
      const alone = await clip.embedText("text 69");
      const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
      const hits = await clip.search("a tree", features, { top: 2 });
      const same = await clip.search("a tree", images);
      const like = await clip.search(features[2], features);

      const samples = { pet: images.slice(0, 1), other: images.slice(1) };
      const head = await clip.trainHead(samples, { method: "adapter" });
      const trained = await clip.classify(images, head);
      const untrained = await clip.classify(images[0], ["pet", "other"]);
      const again = await clip.classify(images, head.file);
      const probe = await clip.trainHead({ a: Array(4).fill(images[0]), b: Array(4).fill(images[1]) }, { heldOut: 0.25 });
      const folder = await navigator.storage.getDirectory();
      const kept = [];
      for await (const name of folder.keys()) kept.push(name);
      return {
        norms: [...features, ...texts].map((row) => dot(row, row)),
        off: Math.max(...alone.map((x, i) => Math.abs(x - texts[69][i]))),
        ...{ hits, same, like: like[0], trained, untrained, again, classes: head.classes, bytes: head.file.size },
        ...{ accuracy: [head.accuracy, probe.accuracy], kept },
      };
    }, PICTURES);
    assert.ok(found.norms.every((norm) => Math.abs(norm - 1) < 1e-3), "unit vectors");
    assert.ok(found.off < 1e-5, "the same alone as among others");
    assert.deepEqual(found.hits.map(({ index }) => index).length, 2);
    assert.equal(found.hits[0].index, 1);
    assert.ok(Math.abs(found.hits[0].similarity - found.same[0].similarity) < 1e-5);
    assert.ok(found.like.index === 2 && found.like.similarity > 0.999);
    assert.deepEqual(found.trained.map(([best]) => best.label), ["pet", "other", "other"]);
    assert.deepEqual(found.again, found.trained, "its file is as good");
    assert.notDeepEqual(found.untrained, found.trained[0]);
    assert.deepEqual(found.classes, ["pet", "other"]);
    assert.ok(found.bytes > 2 * 256 * 4);
    assert.deepEqual(found.accuracy, [undefined, 1], "only what was held out is judged");
    assert.ok(!found.kept.includes("training"), found.kept.join());
    assert.deepEqual(problems, []);
    await close();
  });

  test("errors are told in words, and do not disturb what follows", options, async () => {
    const { page, close } = await withClip();
    const said = await page.evaluate(async () => {
      const said = {};
      const note = (name, promise) => promise.then((value) => (said[name] = value), ({ message, index, code }) => (said[name] = { message, index, code }));
      await note("broken", clip.classify("images/broken.png", ["cat"]));
      await note("second", clip.embedImage(["images/cat.png", "images/broken.png"]));
      await note("missing", clip.classify("images/none.png", ["cat"]));
      await note("unlabelled", clip.classify("images/cat.png", []));
      await note("template", clip.classify("images/cat.png", ["cat"], { templates: "a photo" }));
      await note("nonsense", clip.classify(7, ["cat"]));
      await note("head", clip.classify("images/cat.png", new Blob(["x"])));
      await note("one class", clip.trainHead({ cat: ["images/cat.png"] }));
      await note("sample", clip.trainHead({ cat: ["images/cat.png"], tree: ["images/broken.png"] }));
      await note("base", Clip.load({ base: "https://example.invalid/engine/" }));
      await note("nowhere", Clip.load({ base: "nowhere/" }));
      await note("model", Clip.load({ model: "images/none.safetensors" }));
      await note("fine", clip.classify("images/cat.png", ["cat", "tree"]));
      clip.close();
      await note("closed", clip.classify("images/cat.png", ["cat"]));
      return said;
    });
    const says = (name, words, index) => {
      assert.match(said[name].message, words, name);
      assert.equal(said[name].index, index, name);
    };
    says("broken", /^(?!image 0).*image/);
    assert.equal(said.unlabelled.code, "no-labels");
    assert.ok(said.second.code === said.broken.code && said.second.code !== "", said.second.code);
    assert.equal(said.nonsense.code, "");
    says("second", /^image 1: /, 1);
    says("missing", /none\.png: the server responded with status 404/);
    says("unlabelled", /label/);
    says("template", /\{label\}/);
    says("nonsense", /an image is a File/);
    says("head", /not a classifier trained with this program/);
    says("one class", /class/);
    says("sample", /^image 1: /, 1);
    says("base", /same origin as the page, so copy the package's folder `engine`/);
    says("nowhere", /nowhere\/worker-loader\.js could not be loaded/);
    says("model", /none\.safetensors/);
    says("closed", /closed/);
    assert.equal(said.fine[0].label, "cat");
    await close();
  });

  test("a signal ends a task, a training or loading", options, async () => {
    const { page, problems, close } = await withClip();
    const ended = await page.evaluate(async () => {
      const reasons = [];
      const ended = (promise) => promise.then(() => reasons.push("done"), (error) => reasons.push(error));
      const after = (count) => {
        const controller = new AbortController();
        return { signal: controller.signal, onProgress: ({ done }) => done >= count && controller.abort("enough") };
      };
      const many = Array(40).fill("images/cat.png");
      await ended(clip.classify(many, ["cat", "tree"], after(3)));
      await ended(clip.embedImage(many, after(3)));
      await ended(clip.trainHead({ cat: many, tree: many.map(() => "images/tree.png") }, after(1)));
      await ended(Clip.load(after(1)));
      // While another task is going on.
      const controller = new AbortController();
      const first = clip.embedImage(many.slice(0, 10));
      const waiting = ended(clip.embedText("a cat", { signal: controller.signal }));
      controller.abort("not now");
      await waiting;
      const whole = (await first).length;
      const head = await clip.trainHead({ cat: ["images/cat.png"], tree: ["images/tree.png"] });
      const [best] = await clip.classify("images/tree.png", head);
      return { reasons, whole, best: best.label };
    });
    assert.deepEqual(ended, { reasons: [...Array(4).fill("enough"), "not now"], whole: 10, best: "tree" });
    assert.deepEqual(problems, []);
    await close();
  });

  test("works in a worker of the page's own", options, async () => {
    const { page, problems, close } = await h.openPage(browser, `${plain.url}some/where/worker/`);
    await page.locator("input").setInputFiles([join(DRAWINGS, "cat.png"), join(DRAWINGS, "pizza.png")]);
    await page.locator("pre").filter({ hasText: "food: pizza.png" }).waitFor();
    assert.match(await page.locator("pre").innerText(), /cat: cat\.png/);
    assert.deepEqual(problems, []);
    await close();
  });
});

describe("the element", () => {
  const opened = async (more) => {
    const opened = await h.openPage(browser, `${plain.url}some/where/`, more);
    await opened.page.evaluate((labels) => {
      document.querySelector("clip-classifier").labels = labels;
      window.heard = [];
      for (const name of ["clip-result", "clip-error"]) {
        document.addEventListener(name, ({ type, detail }) =>
          heard.push([type, detail.ranking?.[0].label ?? detail.error.message]),
        );
      }
    }, LABELS);
    return opened;
  };

  test("with the keyboard: a button, a file, an answer that is read out", options, async () => {
    const { page, problems, close } = await opened();
    page.on("filechooser", (chooser) => chooser.setFiles(join(DRAWINGS, "cat.png")));
    const button = page.locator("clip-classifier").getByRole("button", { name: "Choose an image" });
    await page.keyboard.press("Tab");
    assert.ok(await button.evaluate((button) => button.matches(":focus")));
    await page.keyboard.press("Enter");
    const rows = page.locator("clip-classifier").getByRole("status").getByRole("listitem");
    await rows.first().waitFor();
    assert.match(await rows.first().innerText(), /^cat\s+\d+(\.\d)?\s?%$/);
    assert.equal(await rows.count(), 3);
    assert.deepEqual(await page.evaluate(() => heard), [["clip-result", "cat"]]);

    // Other labels ask again.
    await page.evaluate(() => (document.querySelector("clip-classifier").labels = ["a drawing", "a kitten"]));
    await rows.nth(1).waitFor();
    await page.waitForFunction(() => heard.length === 2);
    assert.equal(await rows.count(), 2);
    assert.deepEqual(problems, []);
    await close();
  });

  test("a drop, and files that are no images", options, async () => {
    const { page, close } = await opened({ colorScheme: "dark", viewport: { width: 400, height: 800 } });
    const drop = (name, bytes) =>
      page.evaluate(
        ([name, bytes]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([Uint8Array.from(bytes)], name, { type: "image/png" }));
          const frame = document.querySelector("clip-classifier").shadowRoot.querySelector(".frame");
          frame.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true, bubbles: true }));
        },
        [name, [...bytes]],
      );
    await drop("broken.png", [1, 2, 3]);
    const alert = page.locator("clip-classifier").getByRole("alert");
    await alert.filter({ hasText: /That did not work: .+/ }).waitFor();
    await drop("cat.png", await readFile(join(DRAWINGS, "cat.png")));
    await page.locator("clip-classifier").getByRole("listitem").first().filter({ hasText: "cat" }).waitFor();
    assert.equal(await alert.isVisible(), false);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 400, `${width} pixels wide on a phone`);
    await page.evaluate(() => document.querySelector("clip-classifier").setAttribute("labels", " , "));
    await alert.filter({ hasText: "`labels` is empty" }).waitFor();
    await page.evaluate(() => (document.documentElement.lang = "zh"));
    await page.evaluate(() => document.querySelector("clip-classifier").setAttribute("lang", "zh-CN"));
    await page.locator("clip-classifier").getByRole("button", { name: "选择图片" }).waitFor();
    await close();
  });
});

test("another origin's copy is refused by the browser", options, async () => {
  const address = `${other.url}dist-npm/clip.js`;
  assert.equal((await fetch(address)).status, 200);
  const { page, close } = await h.openPage(browser, `${plain.url}some/where/empty.html`);
  const refused = await page.evaluate(
    (address) => import(address).then(() => "loaded", (error) => error.message),
    address,
  );
  assert.match(refused, /Failed to fetch/);
  await close();
});

test("in Node: the same answers", options, async () => {
  const program = `
    import { Clip } from ${JSON.stringify(join(PACKAGE, "node.js"))};
    const clip = await Clip.load();
    const images = ${JSON.stringify(PICTURES.map((name) => join(DRAWINGS, name)))};
    const rankings = await clip.classify(images, ${JSON.stringify(LABELS)});
    const [hit] = await clip.search("a tree", images);
    const head = await clip.trainHead({ cat: [images[0]], tree: [images[1]] });
    const [best] = await clip.classify(images[1], head);
    const error = await clip.classify("nowhere.png", ["a"]).catch(({ message }) => message);
    console.log(JSON.stringify({ rankings, hit, best, error }));
    clip.close();`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", program], { timeout: SLOW });
  const { rankings, hit, best, error } = JSON.parse(stdout);
  for (const [index, ranking] of rankings.entries()) h.assertClose(ranking, native[index], 1e-3, PICTURES[index]);
  assert.equal(hit.index, 1);
  assert.equal(best.label, "tree");
  assert.match(error, /nowhere\.png/);
});

test("every file that the package names is in it", options, async () => {
  const files = new Set(await readdir(PACKAGE, { recursive: true }));
  const { exports } = JSON.parse(await readFile(join(PACKAGE, "package.json")));
  for (const targets of Object.values(exports)) {
    for (const target of Object.values(targets)) {
      if (target.startsWith("./") && !target.includes("*")) assert.ok(files.has(target.slice(2)), target);
    }
  }
  for (const name of [...files].filter((name) => /^[\w-]+\.js$/.test(name))) {
    for (const [, path] of (await readFile(join(PACKAGE, name), "utf8")).matchAll(/from "\.\/([^"]+)"/g)) {
      assert.ok(files.has(path), `${name} imports ${path}`);
    }
  }
});
