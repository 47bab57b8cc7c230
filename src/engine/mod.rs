//! Inference engine and training jobs, and the messages between page and worker.
//!
//! [`Engine`] is the same in the page's worker and in the command, which are thin loops
//! around it.

#[cfg(feature = "browser")]
pub mod browser_gpu;
#[cfg(all(target_arch = "wasm32", feature = "compute-worker"))]
pub mod compute_worker;
#[cfg(all(target_arch = "wasm32", feature = "decoder"))]
pub mod decoder;
pub mod defaults;
#[cfg(feature = "compute")]
mod device;
#[cfg(feature = "training")]
pub mod evaluation;
#[cfg(feature = "compute")]
pub mod heat_map;
#[cfg(feature = "compute")]
mod inference;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod library;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod locator;
pub mod messages;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod neutral_words;
#[cfg(feature = "training")]
pub mod onnx;
pub mod rankings;
pub mod reports;
#[cfg(feature = "gpu")]
mod self_test;
#[cfg(feature = "gpu")]
mod speed_test;
#[cfg(all(test, feature = "command"))]
mod testing;
#[cfg(feature = "training")]
pub mod training;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod web_lock;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub mod worker;

#[cfg(feature = "compute")]
pub use device::{DeviceError, GpuUnavailable, OpenedDevice, cpu_name, open_device};
#[cfg(feature = "training")]
use inference::scoring;
#[cfg(feature = "compute")]
pub use inference::{Engine, EngineError, ModelSlot, PendingPrompts, TextFeatures};

/// Calls the module's static constructors once. Without an explicit call wasm-ld runs
/// `__wasm_call_ctors` in every export.
#[cfg(all(
    target_arch = "wasm32",
    any(feature = "compute-worker", feature = "decoder")
))]
pub fn run_constructors() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: the linker defines it, without parameters.
    unsafe { __wasm_call_ctors() };
}
