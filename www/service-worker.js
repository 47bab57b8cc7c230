// Keeps the page itself, so that it opens without a network, and isolates it from
// other origins. Models are kept by the engine. `files.json`, which the build writes,
// names all there is; a page built without it keeps what it has seen.
importScripts("relaxed-simd.js");

const CACHE = "page";

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(keepAll());
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== location.origin) return;
  event.respondWith(newestOrKept(request).then((response) => isolated(request, response)));
});

async function keepAll() {
  const cache = await caches.open(CACHE);
  try {
    const files = await (await fetch("files.json")).json();
    // The program for the CPU is of use where there is a GPU: it may fail. The other
    // one is of none where there is none. Of the two for the CPU the browser takes one.
    const gpu = await navigator.gpu?.requestAdapter().catch(() => null);
    const unused = hasRelaxedSimd() ? /^(worker-cpu|compute-worker)(_bg|\.js)/ : /^(worker-cpu|compute-worker)-relaxed/;
    const wanted = files.filter((file) => (gpu || !file.startsWith("worker-gpu")) && !unused.test(file));
    await cache.addAll(["./", ...wanted]);
  } catch {
    // No list, or no room: visits still keep what they fetch, where that is possible.
  }
}

/**
 * Pages and workers with the headers that let them share memory, and so compute in several
 * threads. Many hosts cannot send any: there it is so from the second visit on.
 */
function isolated(request, response) {
  if (!response.ok || !["document", "worker"].includes(request.destination)) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

/** The server's word first: a page that was renewed is not held back by what is kept. */
async function newestOrKept(request) {
  try {
    const response = await fetch(request);
    if (response.ok) keep(request, response.clone());
    return response;
  } catch (error) {
    const kept = await caches.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}

async function keep(request, response) {
  try {
    const cache = await caches.open(CACHE);
    const kept = await cache.match(request);
    const tag = response.headers.get("etag");
    if (!kept || !tag || kept.headers.get("etag") !== tag) await cache.put(request, response);
  } catch {
    // No room: the next visit needs the network, as this one did.
  }
}
