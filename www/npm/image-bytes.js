// Images of all kinds as the bytes of a file, which the engine decodes.

import { platform } from "./platform.js";

/** Bytes of an image's file, in a buffer that may be given away. */
export async function imageBytes(image, signal) {
  const is = (name) => typeof globalThis[name] === "function" && image instanceof globalThis[name];
  if (is("Blob")) return image.arrayBuffer();
  if (is("ArrayBuffer")) return image.slice(0);
  if (ArrayBuffer.isView(image)) return image.buffer.slice(image.byteOffset, image.byteOffset + image.byteLength);
  if (typeof image === "string" || is("URL")) return download(image, signal);
  if (is("HTMLImageElement")) return download(image.currentSrc || image.src, signal);
  if (is("ImageData")) {
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return png(canvas);
  }
  const drawable = ["HTMLCanvasElement", "OffscreenCanvas", "ImageBitmap", "HTMLVideoElement", "VideoFrame"];
  if (drawable.some(is)) {
    const width = image.videoWidth ?? image.displayWidth ?? image.width;
    const height = image.videoHeight ?? image.displayHeight ?? image.height;
    if (!width || !height) throw new TypeError("this image is empty, or it has not been loaded yet");
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").drawImage(image, 0, 0, width, height);
    return png(canvas);
  }
  throw new TypeError(
    "an image is a File, a Blob, its bytes, a URL, an ImageData, an ImageBitmap, or an <img>, <canvas> or <video>",
  );
}

async function download(address, signal) {
  const url = new URL(address, platform.base());
  let response;
  try {
    response = await platform.fetch(url, { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    const refused = url.protocol === "file:" ? "cannot be read" : "cannot be reached, or does not allow other sites to read from it";
    throw new Error(`${shown(url)} ${refused} (${cause.message})`, { cause });
  }
  if (!response.ok) throw new Error(`${shown(url)}: the server responded with status ${response.status}`);
  return response.arrayBuffer();
}

const shown = (url) => (url.href.length > 200 ? `${url.href.slice(0, 200)}…` : url.href);

async function png(canvas) {
  return (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer();
}
