//! Decoder of image files in a worker of its own: see [`clip::engine::decoder`].

#[cfg(target_arch = "wasm32")]
fn main() {
    clip::engine::run_constructors();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("a decoder runs in a browser: build it for wasm32-unknown-unknown");
}

#[cfg(target_arch = "wasm32")]
mod decoder {
    use clip::engine::decoder;
    use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
    use web_sys::File;

    /// Decodes and preprocesses a file; the reply is for the engine.
    #[wasm_bindgen]
    pub async fn prepare(file: File, config: JsValue) -> JsValue {
        decoder::reply(&file, config).await
    }
}
