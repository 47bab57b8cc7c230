// A real Firefox and a real WebKit behind the few calls that their tests need; Playwright drives only builds of its own.
// Firefox speaks WebDriver BiDi, through Puppeteer; WebKitGTK's driver WebDriver, which is JSON over HTTP.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import puppeteer from "puppeteer-core";
import { SLOW, hook } from "./harness.mjs";

function find(...names) {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

// ---------------------------------------------------------------- Firefox

const MAC = "/Applications/Firefox.app/Contents/MacOS/firefox";
const FIREFOX = process.env.FIREFOX || find("firefox", "firefox-esr") || (existsSync(MAC) && MAC);

const firefox = {
  name: "Firefox",
  missing: !FIREFOX && "no Firefox: run scripts/setup test, or name one in FIREFOX=/path/to/firefox",
  async open() {
    const browser = await puppeteer.launch({
      browser: "firefox",
      executablePath: FIREFOX,
      protocolTimeout: SLOW,
      extraPrefsFirefox: { "intl.accept_languages": "en-US, en" },
    });
    const page = await browser.newPage();
    await page.setViewport({ width: 1280, height: 900 });
    const problems = [];
    page.on("console", (message) => message.type() === "error" && problems.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => problems.push(`thrown: ${error.stack ?? error}`));
    return {
      problems,
      goto: (url) => page.goto(url),
      evaluate: (act, ...values) => page.evaluate(act, ...values),
      click: (selector) => page.click(selector),
      type: (selector, text) => page.type(selector, text),
      close: () => browser.close(),
    };
  },
};

// ---------------------------------------------------------------- WebKit

const MINI_BROWSERS = ["x86_64", "aarch64"].map((machine) => `/usr/lib/${machine}-linux-gnu/webkit2gtk-4.1/MiniBrowser`);
const WEBKIT = { driver: find("WebKitWebDriver"), display: find("Xvfb"), browser: MINI_BROWSERS.find((path) => existsSync(path)) };

const webkit = {
  name: "WebKit",
  missing:
    !(WEBKIT.driver && WEBKIT.display && WEBKIT.browser) && "no WebKitGTK with its driver and Xvfb: run scripts/setup test",
  async open() {
    const display = spawn(WEBKIT.display, ["-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp"], {
      stdio: ["ignore", "ignore", "ignore", "pipe"],
    });
    const number = await new Promise((resolve, reject) => {
      display.stdio[3].once("data", (data) => resolve(String(data).trim()));
      display.once("exit", (code) => reject(new Error(`Xvfb ended with ${code}`)));
    });
    const port = await freePort();
    // Without a GPU, and without a desktop's bus, for which it would wait.
    const env = {
      ...process.env,
      DISPLAY: `:${number}`,
      GDK_BACKEND: "x11",
      NO_AT_BRIDGE: "1",
      LIBGL_ALWAYS_SOFTWARE: "1",
      WEBKIT_DISABLE_COMPOSITING_MODE: "1",
      WEBKIT_DISABLE_DMABUF_RENDERER: "1",
      LANG: "en_US.UTF-8",
    };
    const driver = spawn(WEBKIT.driver, [`--port=${port}`], { stdio: "ignore", env });
    const ask = async (method, path, body) => {
      const answer = await fetch(`http://127.0.0.1:${port}/session${path}`, {
        method,
        headers: { "content-type": "application/json" },
        body: body && JSON.stringify(body),
      });
      const { value } = await answer.json();
      if (value?.error) throw new Error(`${path}: ${value.error}: ${value.message}`);
      return value;
    };
    const end = () => {
      driver.kill();
      display.kill();
    };
    try {
      await until(() => fetch(`http://127.0.0.1:${port}/status`).then(() => true, () => false));
      const options = { binary: WEBKIT.browser, args: ["--automation"] };
      const { sessionId } = await ask("POST", "", {
        capabilities: { alwaysMatch: { "webkitgtk:browserOptions": options, timeouts: { script: SLOW, pageLoad: SLOW } } },
      });
      const call = (path, body) => ask("POST", `/${sessionId}/${path}`, body);
      const element = async (selector) => {
        const found = await call("element", { using: "css selector", value: selector });
        return `element/${Object.values(found)[0]}`;
      };
      return {
        problems: [], // its driver tells none
        goto: (url) => call("url", { url }),
        evaluate: async (act, ...values) => {
          const script = `const done = arguments[1];
            Promise.resolve((${act})(...arguments[0])).then((value) => done({ value }), (error) => done({ error: String(error) }));`;
          const { value, error } = await call("execute/async", { script, args: [values] });
          if (error) throw new Error(error);
          return value;
        },
        click: async (selector) => call(`${await element(selector)}/click`, {}),
        type: async (selector, text) => call(`${await element(selector)}/value`, { text: text.replaceAll("\n", "\uE007") }),
        close: async () => {
          await ask("DELETE", `/${sessionId}`).catch(() => {});
          end();
        },
      };
    } catch (error) {
      end();
      throw error;
    }
  },
};

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

// ---------------------------------------------------------------- both

export const browsers = [firefox, webkit];

/** Asks until the answer is true, and returns it. */
export async function until(ask, what = "an answer", timeout = SLOW) {
  for (const end = Date.now() + timeout; Date.now() < end; ) {
    const found = await ask();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no ${what} after ${timeout} ms`);
}

export const waitFor = (page, selector) =>
  until(() => page.evaluate((selector) => document.querySelector(selector)?.checkVisibility(), selector), selector);
export const waitReady = (page) => waitFor(page, `${hook("worker-state")}[data-state="ready"]`);
export const text = (page, name) => page.evaluate((selector) => document.querySelector(selector)?.textContent, hook(name));
export const waitForText = (page, name, words) =>
  until(async () => (await text(page, name))?.includes(words), `"${words}" in ${name}`);

/** A card's ranking of so many labels: [{ label, probability }]. */
export function ranking(page, name, count) {
  const rows = `${hook("image-card")}[data-name="${name}"] ${hook("ranking")}:not([data-stale="true"]) ${hook("ranking-row")}`;
  const read = (rows) =>
    [...document.querySelectorAll(rows)].map(({ dataset }) => ({
      label: dataset.label,
      probability: Number(dataset.probability),
    }));
  return until(async () => {
    const found = await page.evaluate(read, rows);
    return found.length === count && found;
  }, `ranking of ${count} labels`);
}
