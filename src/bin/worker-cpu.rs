//! The engine in a Web Worker, on the CPU: see [`clip::engine::worker`].

#[cfg(target_arch = "wasm32")]
pub fn main() {
    clip::engine::worker::start();
}

#[cfg(not(target_arch = "wasm32"))]
pub fn main() {
    eprintln!("the worker runs in a browser: build it for wasm32-unknown-unknown");
}
