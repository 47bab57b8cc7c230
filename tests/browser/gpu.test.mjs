// GPUs that no machine of these tests has, in a real Chromium: the emulated one is made to lie.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import * as h from "./harness.mjs";
import { browser, server } from "./harness.mjs";
import { file, train } from "./training.mjs";

const { hook, FIXTURES, SLOW, WEBGPU } = h;
const options = { timeout: 3 * SLOW, skip: !WEBGPU && "no GPU" };

h.useBrowser({ skip: options.skip });

const LABELS = ["cat", "house", "rocket"];
const SCENE = join(FIXTURES, "scene.png");

/** Opens the page whose worker runs `prelude` before its own code, until the test ends. */
async function openWith(t, prelude) {
  const server = await h.startServer({ prelude });
  t.after(() => server.stop());
  const { page, problems, close } = await h.openPage(browser, server.url);
  t.after(close);
  const programs = [];
  page.on("request", (request) => {
    const program = request.url().match(/worker-(gpu|cpu)[\w-]*_bg\.wasm/);
    if (program) programs.push(program[1]);
  });
  return { page, problems, programs };
}

const device = (page) => page.locator(hook("device-name")).textContent();

async function answers(page) {
  await h.drop(page, [SCENE]);
  await h.setLabels(page, LABELS);
  return h.ranking(page, "scene.png", LABELS);
}

/** Code that gives the GPU another name, as hardware would have. */
const named = (architecture) => `
  Object.defineProperty(GPUAdapter.prototype, "info", {
    get: () => ({ vendor: "acme", architecture: "${architecture}", device: "", description: "", isFallbackAdapter: false }),
  });`;

describe("a GPU that is of no use", () => {
  /** The page says why it computes on the CPU, and answers. */
  async function leftForTheCpu(page, why) {
    await h.waitReady(page);
    assert.match(await device(page), /^CPU/);
    assert.match(await page.locator(hook("status")).textContent(), why);
    await answers(page);
  }

  test("that does not open is left for the CPU", options, async (t) => {
    const { page } = await openWith(
      t,
      `GPUAdapter.prototype.requestDevice = async () => { throw new Error("out of order"); };`,
    );
    await leftForTheCpu(page, /GPU (cannot be used|did not work)/);
  });

  test("that computes wrongly fails its self-test, and is remembered", options, async (t) => {
    const wrong = `
      const create = GPUDevice.prototype.createShaderModule;
      GPUDevice.prototype.createShaderModule = function (descriptor) {
        return create.call(this, { ...descriptor, code: descriptor.code.replaceAll("inverseSqrt(", "1.01 * inverseSqrt(") });
      };`;
    const { page, problems, programs } = await openWith(t, wrong);
    await leftForTheCpu(page, /GPU failed its self-test: it computes wrongly, by 0\.0\d+/);
    assert.deepEqual(programs, ["gpu", "cpu"]);

    await page.reload();
    await leftForTheCpu(page, /GPU failed its self-test: it computes wrongly/);
    assert.deepEqual(programs.slice(2), ["cpu"], "the GPU is not tried again");

    // As on the day after another graphics card was put in.
    await page.addInitScript({ content: named("two") });
    await page.reload();
    await h.waitReady(page);
    assert.equal(programs[3], "gpu", "another one is tried");
    assert.deepEqual(problems, []);
  });

  test("that is slower than the CPU is left for it, but can be chosen", options, async (t) => {
    const { page, problems } = await openWith(t, named("one"));
    await leftForTheCpu(page, /GPU is slower than the CPU: \d+ ms in place of \d+/);
    await h.chooseDevice(page, "gpu", /WebGPU: acme one/);
    await answers(page);
    assert.deepEqual(problems, []);
  });
});

/** Code after which the GPU has what WebGPU guarantees (section 3.6.2 of its specification), and no more. */
const LEAST = `
  const limits = {
    maxTextureDimension1D: 8192, maxTextureDimension2D: 8192, maxTextureDimension3D: 2048, maxTextureArrayLayers: 256,
    maxBindGroups: 4, maxBindGroupsPlusVertexBuffers: 24, maxBindingsPerBindGroup: 1000,
    maxDynamicUniformBuffersPerPipelineLayout: 8, maxDynamicStorageBuffersPerPipelineLayout: 4,
    maxSampledTexturesPerShaderStage: 16, maxSamplersPerShaderStage: 16, maxStorageBuffersPerShaderStage: 8,
    maxStorageTexturesPerShaderStage: 4, maxUniformBuffersPerShaderStage: 12, maxUniformBufferBindingSize: 65536,
    maxStorageBufferBindingSize: 134217728, minUniformBufferOffsetAlignment: 256, minStorageBufferOffsetAlignment: 256,
    maxVertexBuffers: 8, maxBufferSize: 268435456, maxVertexAttributes: 16, maxVertexBufferArrayStride: 2048,
    maxInterStageShaderVariables: 16, maxColorAttachments: 8, maxColorAttachmentBytesPerSample: 32,
    maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256,
    maxComputeWorkgroupSizeY: 256, maxComputeWorkgroupSizeZ: 64, maxComputeWorkgroupsPerDimension: 65535,
  };
  Object.defineProperty(GPUAdapter.prototype, "limits", { get: () => limits });
  Object.defineProperty(GPUAdapter.prototype, "features", { get: () => new Set() });
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await request.call(this, descriptor);
    for (const [name, limit] of Object.entries(limits)) {
      if (device.limits[name] !== limit) console.error(name + " is " + device.limits[name]);
    }
    // A browser's own, which every device has.
    const features = [...device.features].filter((name) => name !== "core-features-and-limits");
    if (features.length) console.error("features: " + features);
    return device;
  };`;

describe("a GPU with no more than WebGPU guarantees", () => {
  test("classifies, and trains the whole model", { ...options, timeout: 5 * SLOW }, async (t) => {
    const { page, problems } = await openWith(t, LEAST);
    await h.waitReady(page);
    assert.match(await device(page), /GPU/);
    const found = await answers(page);
    const [expected] = await h.nativeAnswer([SCENE], LABELS, await h.templates(page));
    h.assertClose(found, expected, 1e-3, "beside the command on the CPU");

    await page.locator(hook("tab-train")).click();
    await page.locator(hook("first-classes")).click();
    const cards = page.locator(hook("class-card"));
    const classes = { animal: ["cat.png", "butterfly.png"], vehicle: ["bicycle.png", "rocket.png"] };
    for (const [index, [name, files]] of Object.entries(classes).entries()) {
      await cards.nth(index).locator(hook("class-name")).fill(name);
      await cards.nth(index).locator(hook("class-files")).setInputFiles(await Promise.all(files.map((each) => file(each))));
    }
    await page.locator(hook("data-amount")).filter({ hasText: "4 images" }).waitFor();
    await train(page, "full", { epochs: 1 });
    // Each kernel of the gradients is compiled for the first time.
    await page.locator(hook("trained")).waitFor({ timeout: 3 * SLOW });
    assert.deepEqual(problems, []);
  });
});

describe("the compiler of the browser", () => {
  // Kernels that no GPU here runs, too: which ones run depends on the GPU.
  const folder = process.env.CLIP_WGSL;
  const skip = options.skip || (!(folder && existsSync(folder)) && "CLIP_WGSL names no folder of kernels (scripts/test makes one)");

  test("accepts every kernel", { ...options, skip }, async () => {
    const names = (await readdir(folder)).filter((name) => name.endsWith(".wgsl"));
    assert.ok(names.length > 25, `${names.length} kernels`);
    const kernels = await Promise.all(names.map(async (name) => ({ name, code: await readFile(join(folder, name), "utf8") })));
    const wrong = { name: "wrong", code: kernels[0].code.replace("fn main", "fn main(") };
    const { page, close } = await h.openPage(browser, `${server.url}icon.svg`);
    const found = await page.evaluate(async (kernels) => {
      const device = await (await navigator.gpu.requestAdapter()).requestDevice();
      const found = [];
      for (const { name, code } of kernels) {
        device.pushErrorScope("validation");
        const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
        const error = await device.popErrorScope();
        const texts = messages.filter(({ type }) => type !== "info").map(({ lineNum, message }) => `${lineNum}: ${message}`);
        if (error && !texts.length) texts.push(error.message);
        if (texts.length) found.push({ name, texts });
      }
      return found;
    }, [...kernels, wrong]);
    assert.deepEqual(found.map(({ name }) => name), ["wrong"], JSON.stringify(found, null, 2));
    await close();
  });
});
