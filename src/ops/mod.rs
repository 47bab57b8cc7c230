//! The operations that CLIP is made of. Each stands here in plain burn, which
//! runs on every device and is what training differentiates; where tensors lie
//! in the CPU's memory or on a GPU and nothing is to be differentiated, a fast
//! path of our own takes its place. A fast path that cannot take what it is
//! given says so (`None`), and the plain form goes on.
//!
//! [`Linear::pack`] and [`ConvNorm::pack`] lay weights out as the fast paths
//! read them; the plain forms have no use for them after that.

mod attention;
mod conv;
mod cpu;
mod embedding;
#[cfg(feature = "gpu")]
mod gpu;
mod linear;
mod norm;

pub use attention::attention;
pub use conv::{ConvNorm, average_pool};
pub use embedding::Embedding;
pub use linear::{Linear, LowRank};
pub use norm::LayerNorm;

use burn::tensor::Tensor;
use burn::tensor::activation::{gelu, relu, sigmoid};

/// What follows a product at once, so that it costs no pass of its own.
#[derive(Clone, Debug)]
pub enum Then<const D: usize> {
    Nothing,
    /// `x * sigmoid(1.702 x)`
    QuickGelu,
    /// Exact GELU.
    Gelu,
    Relu,
    /// Adds a tensor of the product's shape.
    Add(Tensor<D>),
    /// Adds a tensor of the product's shape, then takes what is above zero.
    AddRelu(Tensor<D>),
}

impl<const D: usize> Then<D> {
    fn plain(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Nothing => x,
            Self::QuickGelu => x.clone() * sigmoid(x * 1.702),
            Self::Gelu => gelu(x),
            Self::Relu => relu(x),
            Self::Add(other) => x + other,
            Self::AddRelu(other) => relu(x + other),
        }
    }

    /// As the fast paths take it: what to add, and what to do after that.
    fn split(&self) -> (Option<&Tensor<D>>, Curve) {
        match self {
            Self::Nothing => (None, Curve::Straight),
            Self::QuickGelu => (None, Curve::QuickGelu),
            Self::Gelu => (None, Curve::Gelu),
            Self::Relu => (None, Curve::Relu),
            Self::Add(other) => (Some(other), Curve::Straight),
            Self::AddRelu(other) => (Some(other), Curve::Relu),
        }
    }
}

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Curve {
    Straight,
    QuickGelu,
    Gelu,
    Relu,
}
