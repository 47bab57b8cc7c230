// Runs in both programs' workers before their own code: keeps hold of their WebAssembly
// memories, which only ever grow, so that what they hold at the end was their peak.
const memories = new Set();
self.wasmBytes = () => [...memories].reduce((sum, memory) => sum + memory.buffer.byteLength, 0);

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
