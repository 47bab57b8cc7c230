//! What the browser tells of the visitor's device and connection.

use js_sys::Reflect;
use wasm_bindgen::JsValue;

use crate::catalogue::{DeviceProfile, EffectiveType};

/// Device of the visitor. `gpu`: whether a model runs on the GPU, if that is known already;
/// otherwise it is supposed where the browser has WebGPU.
pub fn device_profile(gpu: Option<bool>) -> DeviceProfile {
    let navigator = web_sys::window().map(|window| window.navigator());
    let navigator = navigator.map_or(JsValue::UNDEFINED, JsValue::from);
    // Not all browsers have these, nor do their bindings.
    let get = |object: &JsValue, key: &str| Reflect::get(object, &key.into()).unwrap_or_default();
    let connection = get(&navigator, "connection");
    DeviceProfile {
        memory_gb: get(&navigator, "deviceMemory").as_f64(),
        gpu: gpu.unwrap_or_else(|| get(&navigator, "gpu").is_object()),
        save_data: get(&connection, "saveData").is_truthy(),
        effective_type: (get(&connection, "effectiveType").as_string())
            .and_then(|name| EffectiveType::parse(&name)),
    }
}
