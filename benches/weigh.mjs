// How many bytes a visitor downloads: files as they are and compressed as hard as possible.

import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import zlib from "node:zlib";

const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_SIZE_HINT } = zlib.constants;

const gzip = async (data) => (await promisify(zlib.gzip)(data, { level: 9 })).length;
const brotli = async (data) => {
  const params = { [BROTLI_PARAM_QUALITY]: 11, [BROTLI_PARAM_LGWIN]: 24, [BROTLI_PARAM_SIZE_HINT]: data.length };
  return (await promisify(zlib.brotliCompress)(data, { params })).length;
};
export const number = (bytes) => bytes.toLocaleString("en-US");

/** Sums of a file, or of several: [raw, gzip, brotli]. */
export async function sizes(paths) {
  const each = await Promise.all(
    paths.map(async (path) => {
      const data = await readFile(path);
      return Promise.all([data.length, gzip(data), brotli(data)]);
    }),
  );
  return [0, 1, 2].map((i) => each.reduce((sum, file) => sum + file[i], 0));
}
