//! GPU as a browser describes it.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// GPU of a browser.
pub struct BrowserGpu {
    /// Name to show, such as `WebGPU: nvidia ada-lovelace`. Browsers name the maker and the architecture
    /// at most.
    pub name: String,
    /// Whether it is emulated in software.
    pub emulated: bool,
}

/// Whether the browser has WebGPU at all.
pub fn has_webgpu() -> bool {
    webgpu().is_some()
}

/// GPU that the browser offers, if any. wgpu passes on another description, which browsers leave empty.
pub async fn browser_gpu() -> Option<BrowserGpu> {
    let gpu = webgpu()?;
    let request: Function = get(&gpu, "requestAdapter")?.dyn_into().ok()?;
    let promise: Promise = request.call0(&gpu).ok()?.dyn_into().ok()?;
    let adapter = JsFuture::from(promise).await.ok()?;
    if !adapter.is_object() {
        return None;
    }
    let info = get(&adapter, "info").unwrap_or_default();
    let words: Vec<String> = (["vendor", "architecture"].iter())
        .filter_map(|key| get(&info, key)?.as_string())
        .filter(|word| !word.is_empty())
        .collect();
    let fallback = get(&info, "isFallbackAdapter").is_some_and(|value| value.is_truthy());
    Some(BrowserGpu {
        emulated: fallback || words.iter().any(|word| word == "swiftshader"),
        name: match words.is_empty() {
            true => "WebGPU".into(),
            false => format!("WebGPU: {}", words.join(" ")),
        },
    })
}

fn webgpu() -> Option<JsValue> {
    let navigator = get(&js_sys::global(), "navigator")?;
    get(&navigator, "gpu").filter(JsValue::is_object)
}

fn get(object: &JsValue, key: &str) -> Option<JsValue> {
    Reflect::get(object, &key.into()).ok()
}
