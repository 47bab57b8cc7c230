// Chromium's camera for tests and screenshots: a file that shows one of the sample photographs.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as h from "./harness.mjs";

const SAMPLES = join(h.ROOT, "assets/samples");

/** Flags of a Chromium whose camera, to which every page has access, shows a sample photograph. */
export async function cameraOf(name) {
  const file = await h.writeTemporary("camera.y4m", await photographed(name));
  return [`--use-file-for-fake-video-capture=${file}`, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
}

/** Draws a sample picture on a canvas in a browser and hands it to `use`, which runs there, too. */
async function drawn(name, use) {
  const painter = await h.launchBrowser({ webgpu: false });
  try {
    const page = await painter.newPage();
    const picture = (await readFile(join(SAMPLES, name))).toString("base64");
    return await page.evaluate(`(async () => {
      const image = new Image();
      image.src = "data:image/jpeg;base64,${picture}";
      await image.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [320, 240];
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0, 320, 240);
      return (${use})(canvas, context);
    })()`);
  } finally {
    await painter.close();
  }
}

/** A video of one picture as a camera delivers it, uncompressed. */
async function photographed(name) {
  const rgba = Buffer.from(
    await drawn(name, (canvas, context) => {
      const { data } = context.getImageData(0, 0, 320, 240);
      return btoa(data.reduce((text, byte) => text + String.fromCharCode(byte), ""));
    }),
    "base64",
  );
  const [y, u, v] = [Buffer.alloc(320 * 240), Buffer.alloc(160 * 120), Buffer.alloc(160 * 120)];
  for (let row = 0; row < 240; row++) {
    for (let column = 0; column < 320; column++) {
      const [red, green, blue] = rgba.subarray(4 * (row * 320 + column));
      y[row * 320 + column] = 16 + 0.257 * red + 0.504 * green + 0.098 * blue;
      const half = (row >> 1) * 160 + (column >> 1);
      u[half] = 128 - 0.148 * red - 0.291 * green + 0.439 * blue;
      v[half] = 128 + 0.439 * red - 0.368 * green - 0.071 * blue;
    }
  }
  const frame = Buffer.concat([Buffer.from("FRAME\n"), y, u, v]);
  return Buffer.concat([Buffer.from("YUV4MPEG2 W320 H240 F20:1 Ip A0:0 C420\n"), frame, frame]);
}

/** A WebM file that shows a picture for a second. */
export async function filmed(name) {
  const bytes = await drawn(name, async (canvas, context) => {
    const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: "video/webm" });
    const parts = [];
    recorder.ondataavailable = ({ data }) => parts.push(data);
    const stopped = new Promise((resolve) => (recorder.onstop = resolve));
    recorder.start();
    for (let step = 0; step < 20; step++) {
      context.fillRect(step, 0, 1, 1); // or nothing is recorded
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    recorder.stop();
    await stopped;
    const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
    return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));
  });
  return { name: "film.webm", mimeType: "video/webm", buffer: Buffer.from(bytes, "base64") };
}
