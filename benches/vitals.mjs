// What a visitor with a slow connection and a slow processor waits for: the built page (dist/) in a headless Chromium
// that imitates both.
//
//   node benches/vitals.mjs
//
// Prints Markdown; scripts/bench puts it into benches/README.md. Nothing is asserted but that the page works.

import * as h from "../tests/browser/harness.mjs";

if (process.argv.length > 2) {
  console.error("node benches/vitals.mjs");
  process.exit(2);
}

const VISITS = 3;
/** Chrome's "Fast 4G": 9 Mbit/s down and 1.5 up, of which nine tenths arrive; latency in ms. */
const NETWORK = { offline: false, downloadThroughput: 0.9 * (9e6 / 8), uploadThroughput: 0.9 * (1.5e6 / 8), latency: 165 };
const CPU_RATE = 4;
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true };

/** Runs in the page before anything of its own. */
function watch({ state }) {
  const seen = { paint: null, largest: null, what: null, shifts: 0, ready: null, interactions: {} };
  window.vitals = seen;
  const observe = (type, hear, options = {}) =>
    new PerformanceObserver((list) => list.getEntries().forEach(hear)).observe({ type, buffered: true, ...options });
  observe("paint", ({ name, startTime }) => name === "first-contentful-paint" && (seen.paint = startTime));
  observe("largest-contentful-paint", ({ startTime, element }) => {
    seen.largest = startTime;
    seen.what = element?.tagName.toLowerCase() ?? "?";
  });
  observe("layout-shift", ({ value, hadRecentInput }) => hadRecentInput || (seen.shifts += value));
  const hear = ({ interactionId: id, duration }) => {
    if (id) seen.interactions[id] = Math.max(seen.interactions[id] ?? 0, duration);
  };
  observe("event", hear, { durationThreshold: 16 });
  new MutationObserver(() => {
    if (document.querySelector(`${state}[data-state="ready"]`)) seen.ready ??= performance.now();
  }).observe(document, { attributes: true, attributeFilter: ["data-state"], childList: true, subtree: true });
}

/** Slows down the page, and the network of its workers, which fetch the program and the model. */
async function slowDown(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.emulateNetworkConditions", NETWORK);
  await session.send("Emulation.setCPUThrottlingRate", { rate: CPU_RATE });
  session.on("Target.attachedToTarget", async ({ sessionId }) => {
    let id = 0;
    const tell = (method, params = {}) =>
      session.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id: ++id, method, params }) });
    await tell("Network.enable");
    await tell("Network.emulateNetworkConditions", NETWORK);
    await tell("Runtime.runIfWaitingForDebugger");
  });
  await session.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: true, flatten: false });
}

/** What a visitor does in the first minutes; each gesture is one interaction or a few. */
const GESTURES = [
  ["click a sample image", (page) => page.locator(h.hook("sample")).first().click()],
  ["type a letter of a label", (page) => page.locator(h.hook("label-input")).press("c")],
  ["add the label with Enter", (page) => page.locator(h.hook("label-input")).press("Enter")],
  ["remove a label", (page) => page.locator(`${h.hook("label-chip")} button`).last().click()],
  ["show the heat map of a label", (page) => page.locator(h.hook("ranking-row")).first().click()],
  ["open the Library tab", (page) => page.locator(h.hook("tab-library")).click()],
  ["open the Train tab", (page) => page.locator(h.hook("tab-train")).click()],
  ["open the Evaluate tab", (page) => page.locator(h.hook("tab-evaluate")).click()],
  ["back to the Classify tab", (page) => page.locator(h.hook("tab-classify")).click()],
  ["change the language", (page) => page.locator(h.hook("language")).click()],
  ["change the theme", (page) => page.locator(h.hook("theme")).click()],
];

async function visit(server, settings) {
  const browser = await h.launchBrowser({ webgpu: false });
  try {
    const prepare = async (page) => {
      await page.addInitScript(watch, { state: h.hook("worker-state") });
      await slowDown(page);
    };
    const { page, problems } = await h.openPage(browser, server.url, { ...settings, prepare });
    await page.waitForFunction(() => window.vitals.ready !== null, null, { timeout: h.SLOW, polling: 200 });
    const loaded = await page.evaluate(() => ({ ...window.vitals }));
    const times = [];
    for (const [what, act] of GESTURES) {
      await page.evaluate(() => (window.vitals.interactions = {}));
      if (what.startsWith("show")) await page.locator(h.hook("ranking-row")).first().waitFor();
      await act(page);
      await page.waitForTimeout(1500);
      const all = await page.evaluate(() => Object.values(window.vitals.interactions));
      times.push(Math.max(0, ...all));
    }
    for (const problem of problems) console.error(`page: ${problem}`);
    return { ...loaded, times, browser: browser.version() };
  } finally {
    await browser.close();
  }
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
/** The browser tells interactions of 16 ms and more, in steps of 8. */
const milliseconds = (ms) => (ms < 16 ? "< 16 ms" : `${Math.round(ms)} ms`);

const server = await h.startServer();
try {
  const screens = [["desktop", {}], ["phone", PHONE]];
  const all = [];
  for (const [, settings] of screens) {
    const visits = [];
    while (visits.length < VISITS) visits.push(await visit(server, settings));
    all.push(visits);
  }
  const row = (what, read) => console.log(`| ${what} | ${all.map(read).join(" | ")} |`);
  console.log(`Chromium ${all[0][0].browser}, headless; medians of ${VISITS} visits.\n`);
  console.log(`| | ${screens.map(([name]) => name).join(" | ")} |\n| --- | --: | --: |`);
  row("first contentful paint", (visits) => seconds(median(visits.map(({ paint }) => paint))));
  row("largest contentful paint (LCP)", (visits) => seconds(median(visits.map(({ largest }) => largest))));
  row("layout shift (CLS)", (visits) => median(visits.map(({ shifts }) => shifts)).toFixed(3));
  row("ready to classify", (visits) => seconds(median(visits.map(({ ready }) => ready))));
  for (const [place, [what]] of GESTURES.entries()) {
    row(what, (visits) => milliseconds(median(visits.map(({ times }) => times[place]))));
  }
  row("**slowest interaction (INP)**", (visits) => milliseconds(median(visits.map(({ times }) => Math.max(...times)))));
} finally {
  server.stop();
}
