//! CPU kernels over plain slices: no tensors, no devices. Called by [`crate::ops`] for
//! tensors in CPU memory, and by the compute workers of a browser ([`pool`]), whose
//! program contains nothing else.

// Safety is documented once, at the traits `SimdF32` and `SimdJob`.
#![allow(clippy::missing_safety_doc)]

pub mod attention;
#[cfg(feature = "training")]
pub mod attention_backward;
#[cfg(feature = "training")]
pub mod bias_act;
pub mod conv;
#[cfg(feature = "training")]
pub mod conv_norm;
pub(crate) mod gemm;
pub mod int8;
pub mod math;
pub mod norm;
pub mod packed_weights;
pub(crate) mod parallel;
pub mod pool;
pub mod simd;
pub(crate) mod uninit;
#[cfg(feature = "training")]
pub mod unpacked_gemm;
pub mod winograd;

use serde::{Deserialize, Serialize};

/// Element-wise activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Activation {
    Identity,
    QuickGelu,
    Gelu,
    Relu,
}
