//! Operations that CLIP is built from. Each has a reference implementation in burn, for
//! every device and with autodiff, and fast paths: kernels for CPU memory, and WGSL
//! kernels for a GPU. A fast path returns `None` for tensors that it does
//! not support, and the reference implementation runs.
//!
//! [`Linear::pack`] and [`ConvNorm::pack`] convert weights to the layout of the fast
//! paths, which the reference implementations cannot read.

mod attention;
mod conv;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(not(feature = "cpu"))]
#[path = "cpu_stub.rs"]
mod cpu;
mod embedding;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(all(feature = "training", any(feature = "cpu", feature = "gpu")))]
mod graph;
mod init;
mod linear;
mod norm;
mod read_back;
mod tokens;

pub use attention::{PackedPool, attention, multi_head, pool_attention, pool_value};
pub use conv::{Conv, ConvNorm, average_pool};
pub use cpu::is_cpu;
pub use embedding::{Embedding, select_rows};
#[cfg(all(feature = "gpu", feature = "training"))]
pub use gpu::sum_of_squares;
#[cfg(feature = "gpu")]
pub use gpu::{AdamWStep, KernelChoice, MatmulKernel, adamw, choose_kernels};
pub use init::{Initializer, seed};
pub use linear::{Linear, LowRank};
pub use norm::{LayerNorm, normalize};
pub use read_back::{ReadBackError, read_back};
pub use tokens::{add_cls_and_position, into_contiguous, map_samples};

use burn::tensor::activation::{gelu, relu, sigmoid};
use burn::tensor::{Device, Tensor};

use crate::kernels::ActivationFunction;

/// Compiles the GPU kernels for a model with these head dimensions, to warm the kernel
/// cache while the weights load. Runs nothing; nothing else may run meanwhile.
pub fn precompile_kernels(head_dims: &[usize], convolutions: bool, device: &Device) {
    #[cfg(feature = "gpu")]
    gpu::precompile_kernels(head_dims, convolutions, device);
    #[cfg(not(feature = "gpu"))]
    let _ = (head_dims, convolutions, device);
}

/// Precision of packed weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightPrecision {
    /// Data type of the model's file.
    #[default]
    AsStored,
    /// On the CPU, int8 with a scale per column: faster and smaller, with a small error.
    /// On a GPU as stored.
    Int8,
}

impl WeightPrecision {
    /// `Int8` if set.
    pub fn from_int8(int8: bool) -> Self {
        match int8 {
            true => Self::Int8,
            false => Self::AsStored,
        }
    }
}

/// Epilogue fused into a matmul or convolution: activation and/or residual add.
#[derive(Clone, Debug)]
enum Epilogue<const D: usize> {
    None,
    /// `x * sigmoid(1.702 x)`
    QuickGelu,
    /// Exact GELU.
    Gelu,
    /// GELU by its tanh approximation.
    GeluTanh,
    Relu,
    /// Residual add.
    Add(Tensor<D>),
    /// Residual add, then ReLU.
    AddRelu(Tensor<D>),
}

impl<const D: usize> Epilogue<D> {
    fn reference(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::None => x,
            Self::QuickGelu => x.clone() * sigmoid(x * 1.702),
            Self::Gelu => gelu(x),
            Self::GeluTanh => gelu_tanh(x),
            Self::Relu => relu(x),
            Self::Add(other) => x + other,
            Self::AddRelu(other) => relu(x + other),
        }
    }

    /// Residual, and whether the activation is ReLU. `None` for other activations.
    #[cfg(all(feature = "training", any(feature = "cpu", feature = "gpu")))]
    fn split_relu(&self) -> Option<(Option<&Tensor<D>>, bool)> {
        match self.split() {
            (residual, ActivationFunction::Identity) => Some((residual, false)),
            (residual, ActivationFunction::Relu) => Some((residual, true)),
            _ => None,
        }
    }

    /// Residual and activation, for the fast paths.
    fn split(&self) -> (Option<&Tensor<D>>, ActivationFunction) {
        match self {
            Self::None => (None, ActivationFunction::Identity),
            Self::QuickGelu => (None, ActivationFunction::QuickGelu),
            Self::Gelu => (None, ActivationFunction::Gelu),
            Self::GeluTanh => (None, ActivationFunction::GeluTanh),
            Self::Relu => (None, ActivationFunction::Relu),
            Self::Add(other) => (Some(other), ActivationFunction::Identity),
            Self::AddRelu(other) => (Some(other), ActivationFunction::Relu),
        }
    }
}

/// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x³))) / 2`, by the sigmoid of twice the argument.
fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let inner = x.clone() + x.clone().powi_scalar(3) * 0.044_715;
    x * sigmoid(inner * 1.595_769_121_605_731)
}

#[cfg(test)]
mod tests;
