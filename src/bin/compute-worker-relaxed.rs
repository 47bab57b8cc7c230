//! Compute worker of the engine's pool, for browsers with relaxed SIMD.

#[path = "compute-worker.rs"]
mod program;

fn main() {
    program::main();
}
