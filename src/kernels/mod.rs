//! What is fast on a CPU, over plain slices: no tensors, no devices. [`crate::ops`]
//! calls it with what lies in the CPU's memory, and so do the workers that share its
//! work in a browser ([`crew`]), whose program holds nothing else.

// What makes them safe is told once, at the traits that have them.
#![allow(clippy::missing_safety_doc)]

pub mod attention;
pub mod conv;
pub mod crew;
pub mod gemm;
pub mod int8;
pub mod laid;
pub mod math;
pub mod norm;
pub mod simd;

use serde::{Deserialize, Serialize};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Curve {
    Straight,
    QuickGelu,
    Gelu,
    Relu,
}
