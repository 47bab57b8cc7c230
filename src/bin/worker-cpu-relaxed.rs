//! The engine in a Web Worker, on the CPU, for browsers with relaxed SIMD.

#[path = "worker-cpu.rs"]
mod program;

fn main() {
    program::main();
}
