//! Fast paths on a GPU: WGSL kernels.
//!
//! They accumulate in f32 and, but for cooperative matrices, require only baseline WebGPU,
//! since a visitor's GPU may be any; what a GPU is known to be faster with is a
//! [`KernelChoice`]. There are few of them: shapes are arguments, so a model's first answer
//! waits for a dozen compilations rather than one per layer.

mod adamw;
mod attention;
mod gather;
mod kernel;
mod matmul_conv;
mod norm;
#[cfg(test)]
mod portability;
#[cfg(all(test, feature = "command"))]
pub(super) mod tests;
mod tokens;
#[cfg(feature = "training")]
pub mod training;

use std::sync::{PoisonError, RwLock};

use burn::backend::Wgpu;
use burn::tensor::{DType, Device, Tensor};

pub use adamw::{AdamWStep, adamw};
pub use attention::{attention, pool_attention};
pub use gather::gather;
pub use matmul_conv::{conv, linear};
pub use norm::{fold, layer_norm, normalize};
pub use tokens::{add_cls_and_position, average_pool, into_contiguous};
#[cfg(feature = "training")]
pub use training::sum_of_squares;

/// Kernels to choose from: which are the fastest depends on the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelChoice {
    /// Kernels of matmuls and convolutions.
    pub matmul: MatmulKernel,
    /// Whether attention keeps its query in registers.
    pub queries_in_registers: bool,
}

impl KernelChoice {
    /// For GPUs of which nothing is known.
    pub const ANY: Self = Self {
        matmul: MatmulKernel::Direct,
        queries_in_registers: false,
    };
    /// For large GPUs, see `benches/gpu.md`.
    pub const LARGE: Self = Self {
        matmul: MatmulKernel::BySize,
        queries_in_registers: true,
    };
    /// For large GPUs with cooperative matrices of 16 by 16 in f16, and subgroups of 32.
    pub const TENSOR: Self = Self {
        matmul: MatmulKernel::Tensor,
        queries_in_registers: true,
    };
}

/// Kernel of a matmul or convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatmulKernel {
    /// Each thread reads from global memory what it multiplies.
    Direct,
    /// Tiles of 64 by 64 in workgroup memory.
    Shared,
    /// Channels are dealt out to the threads of a workgroup.
    Sliced,
    /// One of these two, by the size of the product.
    BySize,
    /// Cooperative matrices where the product is large.
    Tensor,
}

static CHOICE: RwLock<KernelChoice> = RwLock::new(KernelChoice::ANY);

/// Chooses the kernels of all launches from now on.
pub fn choose_kernels(choice: KernelChoice) {
    *CHOICE.write().unwrap_or_else(PoisonError::into_inner) = choice;
}

fn choice() -> KernelChoice {
    *CHOICE.read().unwrap_or_else(PoisonError::into_inner)
}

/// See [`super::precompile_kernels`].
pub fn precompile_kernels(head_dims: &[usize], convolutions: bool, device: &Device) {
    let Ok(tensor) = Tensor::<1>::from_data([0.0], device).try_into_primitive::<Wgpu>() else {
        return;
    };
    let choice = choice();
    let mut kernels = matmul_conv::kernels(choice.matmul, convolutions);
    kernels.extend([
        Some(norm::layer_norm_kernel()),
        Some(norm::normalize_kernel()),
        gather::kernel(DType::F32),
        gather::kernel(DType::F16),
        Some(tokens::add_cls_and_position_kernel()),
        Some(kernel::into_contiguous_kernel()),
    ]);
    for head_dim in head_dims {
        kernels.push(Some(attention::kernel(
            *head_dim,
            choice.queries_in_registers,
        )));
    }
    if convolutions {
        kernels.extend([
            Some(tokens::average_pool_kernel()),
            Some(norm::fold_kernel()),
        ]);
    }
    for kernel in kernels.into_iter().flatten() {
        kernel.compile(&tensor.client);
    }
}
