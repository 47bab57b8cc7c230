//! A session that owns a device and a model, and the messages it understands.
//!
//! [`Engine`] is the same in the page's worker and in the command; the worker
//! is a thin loop around it, the command another.

#[cfg(feature = "compute")]
mod device;
pub mod messages;
mod place;
pub mod sensible;
#[cfg(feature = "compute")]
mod session;
#[cfg(feature = "training")]
pub mod training;

pub use place::{Place, PlaceError};

#[cfg(feature = "compute")]
pub use device::{DeviceError, OpenedDevice, open_device};
#[cfg(feature = "compute")]
pub use session::{Engine, EngineError, Swapped, TextFeatures, Waiting};
