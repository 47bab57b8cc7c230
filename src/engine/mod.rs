//! A session that owns a device and a model, and the messages it understands.
//!
//! [`Engine`] is the same in the page's worker and in the command; the worker
//! is a thin loop around it, the command another.

#[cfg(all(target_arch = "wasm32", feature = "hand"))]
pub mod compute_worker;
#[cfg(feature = "compute")]
mod device;
pub mod messages;
mod place;
pub mod sensible;
#[cfg(feature = "compute")]
mod session;
#[cfg(feature = "training")]
pub mod training;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub mod worker;

pub use place::{Place, PlaceError};

#[cfg(feature = "compute")]
pub use device::{DeviceError, OpenedDevice, cpu_name, open_device};
#[cfg(feature = "compute")]
pub use session::{Engine, EngineError, Swapped, TextFeatures, Waiting};

/// Runs what crates registered to be run first: once, before anything else in a
/// worker's program. Unless somebody calls it, the linker has it run at every call
/// from JavaScript.
#[cfg(all(target_arch = "wasm32", feature = "hand"))]
pub fn run_constructors() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: it takes nothing, and the linker writes it.
    unsafe { __wasm_call_ctors() };
}
