//! The engine in a Web Worker, on the GPU: see [`clip::engine::worker`].

#[cfg(target_arch = "wasm32")]
fn main() {
    clip::engine::worker::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("the worker runs in a browser: build it for wasm32-unknown-unknown");
}
