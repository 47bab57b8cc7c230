//! A Web Worker that computes with the engine's: see [`clip::engine::hands`].

#[cfg(target_arch = "wasm32")]
fn main() {
    clip::engine::run_constructors();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("a hand works in a browser: build it for wasm32-unknown-unknown");
}

#[cfg(target_arch = "wasm32")]
mod hand {
    use clip::engine::hands;
    use js_sys::SharedArrayBuffer;
    use wasm_bindgen::prelude::wasm_bindgen;

    /// Does not return.
    #[wasm_bindgen]
    pub fn work(buffer: SharedArrayBuffer, number: usize, hands: usize) {
        hands::work(buffer, number, hands);
    }

    /// After `work` has ended with an error.
    #[wasm_bindgen]
    pub fn fail(buffer: SharedArrayBuffer) {
        hands::fail(buffer);
    }
}
