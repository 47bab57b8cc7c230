//! Layer normalisation.

use burn::module::{Module, Param};
use burn::tensor::module::layer_norm;
use burn::tensor::{Device, Tensor};

use super::{Initializer, cpu};

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta` over the last axis.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[width]`
    pub gamma: Param<Tensor<1>>,
    /// `[width]`
    pub beta: Param<Tensor<1>>,
    epsilon: f64,
}

impl LayerNorm {
    /// Layer norm with gamma 1 and beta 0.
    pub fn init(width: usize, epsilon: f64, device: &Device) -> Self {
        Self {
            gamma: Initializer::Ones.init([width], device),
            beta: Initializer::Zeros.init([width], device),
            epsilon,
        }
    }

    /// `[…, width]`, in and out.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.fast(&x) {
            Some(y) => y,
            None => self.reference(x),
        }
    }

    pub(super) fn fast<const D: usize>(&self, x: &Tensor<D>) -> Option<Tensor<D>> {
        let shape = x.dims();
        let width = *shape.last()?;
        let rows = x.shape().num_elements() / width.max(1);
        let x = x.clone().reshape([rows, width]);
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        let y = cpu::layer_norm(x.clone(), gamma.clone(), beta.clone(), self.epsilon);
        #[cfg(all(feature = "cpu", feature = "training"))]
        let y = y.or_else(|| {
            let (gamma, beta) = (gamma.clone(), beta.clone());
            cpu::training::layer_norm(&x, gamma, beta, self.epsilon)
        });
        #[cfg(all(feature = "gpu", feature = "training"))]
        let y = y.or_else(|| {
            let (gamma, beta) = (gamma.clone(), beta.clone());
            super::gpu::training::layer_norm(&x, gamma, beta, self.epsilon)
        });
        #[cfg(feature = "gpu")]
        let y = y.or_else(|| super::gpu::layer_norm(x, gamma, beta, self.epsilon));
        Some(y?.reshape(shape))
    }

    pub(super) fn reference<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let beta = Some(self.beta.val());
        layer_norm(x, self.gamma.val(), beta, self.epsilon)
    }
}

/// L2 normalisation of rows.
pub fn normalize(x: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "gpu")]
    if let Some(y) = super::gpu::normalize(x.clone()) {
        return y;
    }
    let norm = x.clone().square().sum_dim(1).sqrt();
    x / norm
}
