//! What is fast on a CPU, over plain slices: no tensors, no devices. [`crate::ops`]
//! calls it with what lies in the CPU's memory, and so do the workers that share its
//! work in a browser ([`crew`]), whose program holds nothing else.

// What makes them safe is told once, at the traits that have them.
#![allow(clippy::missing_safety_doc)]

pub mod attention;
#[cfg(feature = "training")]
pub mod attention_back;
pub mod conv;
#[cfg(feature = "training")]
pub mod conv_norm;
pub mod crew;
#[cfg(feature = "training")]
pub mod finish;
pub mod gemm;
pub mod int8;
pub mod laid;
pub mod math;
pub mod norm;
pub mod room;
#[cfg(feature = "training")]
pub mod share;
pub mod simd;
#[cfg(feature = "training")]
pub mod strip;
pub mod winograd;

use serde::{Deserialize, Serialize};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Curve {
    Straight,
    QuickGelu,
    Gelu,
    Relu,
}
