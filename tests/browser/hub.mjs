// The stand-in for the hub (tests/hub/server.py), for the tests that need one.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { ROOT } from "./harness.mjs";

/** Serves the models of a folder; resolves to { url, log, reset, stop }. `log`: what was asked of its files of weights. */
export async function startHub(folder) {
  const child = spawn("python3", [join(ROOT, "tests/hub/server.py"), "--port", "0", "--models", folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const url = await new Promise((resolve, reject) => {
    child.stdout.once("data", (data) => resolve(String(data).trim()));
    child.once("exit", (code) => reject(new Error(`tests/hub/server.py ended with ${code}`)));
  });
  const log = async () => (await (await fetch(`${url}/log`)).json()).filter((r) => /cdn/.test(r.path) && r.method === "GET");
  const reset = () => fetch(`${url}/reset`, { method: "POST" });
  return { url, log, reset, stop: () => child.kill() };
}
