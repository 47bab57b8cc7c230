// What the page refuses to run or to ask, and texts of others that must stay texts; in a real
// Chromium, without WebGPU (nothing of it depends on the device).

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as h from "./harness.mjs";

const { hook, FIXTURES, SLOW } = h;
const options = { timeout: 2 * SLOW, skip: h.WEBGPU && "the same on every device" };

/** Runs if it is taken for markup or for a script anywhere. */
const HOSTILE = `<img src=x onerror="window.ran = true"><script>window.ran = true</script>`;

describe("the page's own and nothing else", { timeout: 6 * SLOW }, () => {
  let server, browser, page, problems, close;
  before(async () => {
    if (options.skip) return;
    server = await h.startServer();
    browser = await h.launchBrowser({ webgpu: false });
    ({ page, problems, close } = await h.openPage(browser, server.url));
    await h.waitReady(page);
  });
  after(async () => {
    await close?.();
    await browser?.close();
    server?.stop();
    await h.cleanUp();
  });

  test("no script, frame or address that is not allowed", options, async () => {
    // Its own scripts ran without a complaint, or nothing would be ready.
    assert.deepEqual(problems.splice(0), []);
    const refused = await page.evaluate(async () => {
      const violations = [];
      document.addEventListener("securitypolicyviolation", (event) => violations.push(event.effectiveDirective));
      const handler = document.createElement("div");
      handler.innerHTML = '<img src="data:," onerror="window.ran = true">';
      document.body.append(handler);
      await import("https://127.0.0.1:9/x.js").catch(() => {});
      const frame = document.createElement("iframe");
      frame.src = "https://127.0.0.1:9/";
      document.body.append(frame);
      await fetch("http://example.invalid/").catch(() => {});
      await new Promise((done) => setTimeout(done, 500));
      frame.remove();
      handler.remove();
      // Trusted Types: what would become a script is refused before it is one. Not tried by `eval`: what a test calls
      // directly may do more than the page.
      const script = document.createElement("script");
      const tries = {
        text: () => (script.textContent = "window.ran = true"),
        address: () => (script.src = "https://127.0.0.1:9/x.js"),
        worker: () => new Worker(URL.createObjectURL(new Blob(["postMessage(1)"]))),
        policy: () => trustedTypes.createPolicy("another", {}),
        timer: () => setTimeout("window.ran = true"),
      };
      const passed = Object.keys(tries).filter((name) => {
        try {
          tries[name]();
          return true;
        } catch {
          return false;
        }
      });
      await new Promise((done) => setTimeout(done, 100));
      return { violations, ran: window.ran, passed };
    });
    assert.deepEqual(refused.passed, []);
    assert.equal(refused.ran, undefined);
    for (const directive of ["script-src-attr", "script-src-elem", "frame-src", "connect-src"]) {
      assert.ok(refused.violations.includes(directive), `${directive} in ${refused.violations}`);
    }
    problems.splice(0);
  });

  test("a worker evaluates no strings either", options, async () => {
    const policy = await page.workers()[0].evaluate(async () => (await fetch(self.location.href)).headers.get("content-security-policy"));
    assert.match(policy, /script-src 'self' 'wasm-unsafe-eval';/);
  });

  test("labels, templates, names of files and classes are texts", options, async () => {
    const scene = await readFile(join(FIXTURES, "scene.png"));
    await h.setLabels(page, [HOSTILE.replaceAll(",", ""), "a house"]);
    await page.locator("details.templates summary").click();
    await page.locator(hook("template-input")).fill(`${HOSTILE} {label}`);
    await page.locator(hook("template-input")).press("Enter");
    await page.locator(hook("template-custom")).waitFor();
    const name = `${HOSTILE.replaceAll("/", "")}.png`;
    await page.evaluate(
      async ({ bytes, name }) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name, { type: "image/png" }));
        document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer }));
      },
      { bytes: scene.toString("base64"), name },
    );
    const card = page.locator(hook("image-card")).first();
    await card.locator(hook("ranking-row")).first().waitFor({ timeout: SLOW });
    assert.ok((await card.innerText()).includes("onerror"), "it is shown as it is");

    // The same words as classes of labelled images, and in the report.
    const path = (folder, file) => ({ folder, file });
    await page.goto(`${server.url}#evaluate`);
    await h.waitReady(page);
    const files = [path(HOSTILE.replaceAll("/", ""), name), path("house", "b.png")];
    await page.evaluate(
      ({ bytes, files }) => {
        const input = document.querySelector('[data-testid="evaluate-folder"]');
        const transfer = new DataTransfer();
        for (const { folder, file } of files) {
          const made = new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], file, { type: "image/png" });
          Object.defineProperty(made, "webkitRelativePath", { value: `data/${folder}/${file}` });
          transfer.items.add(made);
        }
        Object.defineProperty(input, "files", { value: transfer.files, configurable: true });
        // The list makes copies, which have no path.
        for (const [place, { folder, file }] of files.entries()) {
          Object.defineProperty(transfer.files[place], "webkitRelativePath", { value: `data/${folder}/${file}` });
        }
        input.dispatchEvent(new Event("change", { bubbles: true }));
      },
      { bytes: scene.toString("base64"), files },
    );
    await page.locator(hook("evaluate-data")).filter({ hasText: "data" }).waitFor();
    await page.locator("#panel-evaluate").getByText("onerror").first().waitFor({ timeout: SLOW });
    assert.equal(await page.evaluate(() => window.ran), undefined);
    assert.equal(await page.locator('img[src="x"]').count(), 0);
    assert.deepEqual(problems.splice(0), []);
  });

  test("cells of a table and keys of a config are texts", options, async () => {
    const scene = await readFile(join(FIXTURES, "scene.png"));
    const cell = `"${HOSTILE.replaceAll('"', '""')}"`;
    const table = Buffer.from(`file,label\nscene.png,${cell}\nmissing${HOSTILE.replaceAll(/[",]/g, "")}.png,house\n`);
    await page.goto(`${server.url}#train`);
    await h.waitReady(page);
    await page.locator(hook("train-files")).setInputFiles([
      { name: "labels.csv", mimeType: "text/csv", buffer: table },
      { name: "scene.png", mimeType: "image/png", buffer: scene },
    ]);
    const name = page.locator(`${hook("class-card")} ${hook("class-name")}`).first();
    await name.waitFor();
    assert.equal(await name.inputValue(), HOSTILE);

    await page.goto(`${server.url}#classify`);
    const model = join(h.ROOT, "tests/golden/models/openclip-eos-f16");
    const config = JSON.parse(await readFile(join(model, "open_clip_config.json")));
    config.model_cfg.text_cfg[HOSTILE] = 1;
    await page.locator(`${hook("models")} summary`).click();
    const files = ["open_clip_model.safetensors", "tokenizer.json"].map(async (name) => ({
      name,
      mimeType: "application/octet-stream",
      buffer: await readFile(join(model, name)),
    }));
    const changed = { name: "open_clip_config.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(config)) };
    await page.locator(hook("model-files")).setInputFiles([changed, ...(await Promise.all(files))]);
    await page.locator(hook("error")).filter({ hasText: "onerror" }).first().waitFor();
    assert.equal(await page.evaluate(() => window.ran), undefined);
    assert.equal(await page.locator('img[src="x"]').count(), 0);
    assert.deepEqual(problems.splice(0), []);
  });
});
