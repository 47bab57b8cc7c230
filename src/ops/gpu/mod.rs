//! The fast paths on a GPU: kernels of our own in WGSL.
//!
//! They ask little of a GPU, since a visitor's may be any: no feature beyond plain
//! WebGPU, hardly any memory shared between threads, sums in f32. And they are few:
//! shapes are arguments, so that a model's first answer waits for a dozen to be
//! compiled and not for one for each of its layers.

mod attention;
mod kernel;
mod norm;
mod places;
mod product;
mod table;
#[cfg(all(test, feature = "command"))]
pub(super) mod tests;

pub use attention::{attention, pool_attention};
pub use norm::{fold, layer_norm, normalize};
pub use places::{average_pool, in_order, tokens};
pub use product::{conv, linear};
pub use table::gather;
