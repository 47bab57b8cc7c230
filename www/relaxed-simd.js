// Whether the browser has WebAssembly's relaxed SIMD: then the CPU's programs are taken that
// use it (`*-relaxed`). A script for workers of either kind.
self.hasRelaxedSimd = () =>
  WebAssembly.validate(
    // A function that returns f32x4.relaxed_madd of three zero vectors.
    Uint8Array.of(
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...[1, 5, 1, 0x60, 0, 1, 0x7b],
      ...[3, 2, 1, 0],
      ...[10, 19, 1, 17, 0],
      ...[0x41, 0, 0xfd, 0x0f, 0x41, 0, 0xfd, 0x0f, 0x41, 0, 0xfd, 0x0f],
      ...[0xfd, 0x85, 2, 0x0b],
    ),
  );
