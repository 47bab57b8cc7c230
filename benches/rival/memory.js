// Runs in both programs' workers before their own code: keeps hold of their WebAssembly
// memories, which only ever grow, so that what they hold at the end was their peak.
const memories = new Set();
const own = () => [...memories].reduce((sum, memory) => sum + memory.buffer.byteLength, 0);

// A worker that waits for orders, as those do that ours shares its work with, cannot be
// asked: it tells whenever it holds more.
const channel = new BroadcastChannel("wasm-bytes");
const others = new Map();
channel.onmessage = ({ data: [name, bytes] }) => others.set(name, bytes);
self.wasmBytes = () => [...others.values()].reduce((sum, bytes) => sum + bytes, own());
if (self.location.pathname.endsWith("compute-worker-loader.js")) {
  const [name, { wait }] = [Math.random(), Atomics];
  let told = 0;
  Atomics.wait = (...how) => {
    if (own() > told) channel.postMessage([name, (told = own())]);
    return wait(...how);
  };
}

// Made in JavaScript, as programs with threads do…
const Memory = WebAssembly.Memory;
WebAssembly.Memory = class extends Memory {
  constructor(...options) {
    super(...options);
    memories.add(this);
  }
};
// …or in WebAssembly, and exported.
for (const name of ["instantiate", "instantiateStreaming"]) {
  const native = WebAssembly[name];
  WebAssembly[name] = async (...options) => {
    const made = await native.apply(WebAssembly, options);
    for (const value of Object.values((made.instance ?? made).exports)) {
      if (value instanceof Memory) memories.add(value);
    }
    return made;
  };
}
