//! Compute worker: see [`clip::engine::compute_worker`].

#[cfg(target_arch = "wasm32")]
pub fn main() {
    clip::engine::run_constructors();
}

#[cfg(not(target_arch = "wasm32"))]
pub fn main() {
    eprintln!("a compute worker runs in a browser: build it for wasm32-unknown-unknown");
}

#[cfg(target_arch = "wasm32")]
mod exports {
    use clip::engine::compute_worker;
    use js_sys::SharedArrayBuffer;
    use wasm_bindgen::prelude::wasm_bindgen;

    /// Does not return.
    #[wasm_bindgen]
    pub fn work(buffer: SharedArrayBuffer, index: usize, workers: usize) {
        compute_worker::work(buffer, index, workers);
    }

    /// Marks this worker as failed, after `work` has thrown.
    #[wasm_bindgen]
    pub fn fail(buffer: SharedArrayBuffer) {
        compute_worker::fail(buffer);
    }
}
