// Plug-in for Vite: the engine's files as they are, beside the program.

import { readFile, readdir } from "node:fs/promises";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";

const ENGINE = fileURLToPath(new URL("./engine/", import.meta.url));
const NAME = "clip-everyday";
const TYPES = { js: "text/javascript", wasm: "application/wasm", json: "application/json" };

async function files() {
  const entries = await readdir(ENGINE, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(ENGINE.length).replaceAll("\\", "/"));
}

export default function clip() {
  let folder;
  return {
    name: NAME,
    // Bundled beforehand, the program would not find the engine beside it.
    config: () => ({ optimizeDeps: { exclude: [NAME] } }),
    configResolved: (config) => {
      folder = posix.join(config.build.assetsDir, "engine");
    },
    // Vite would add its own client to scripts, which does not run in a worker.
    configureServer: async (server) => {
      const known = new Set(await files());
      server.middlewares.use(async (request, response, next) => {
        const [, file] = /\/engine\/([^?]+)/.exec(request.url) ?? [];
        if (!known.has(file)) return next();
        response.setHeader("Content-Type", TYPES[file.split(".").pop()] ?? "application/octet-stream");
        response.end(await readFile(join(ENGINE, file)));
      });
    },
    async generateBundle() {
      for (const file of await files()) {
        this.emitFile({ type: "asset", fileName: posix.join(folder, file), source: await readFile(join(ENGINE, file)) });
      }
    },
  };
}
