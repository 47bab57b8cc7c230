//! Fast paths on a GPU: WGSL kernels.
//!
//! They require only baseline WebGPU, hardly any workgroup memory, and accumulate in f32,
//! since a visitor's GPU may be any. There are few of them: shapes are arguments, so a
//! model's first answer waits for a dozen compilations rather than one per layer.

mod attention;
mod gather;
mod kernel;
mod matmul_conv;
mod norm;
#[cfg(all(test, feature = "command"))]
pub(super) mod tests;
mod tokens;

use burn::backend::Wgpu;
use burn::tensor::{DType, Device, Tensor};

pub use attention::{attention, pool_attention};
pub use gather::gather;
pub use matmul_conv::{conv, linear};
pub use norm::{fold, layer_norm, normalize};
pub use tokens::{add_cls_and_position, average_pool, into_contiguous};

/// See [`super::precompile_kernels`].
pub fn precompile_kernels(head_dims: &[usize], convolutions: bool, device: &Device) {
    let Ok(tensor) = Tensor::<1>::from_data([0.0], device).try_into_primitive::<Wgpu>() else {
        return;
    };
    let mut kernels = vec![
        matmul_conv::kernel(4, 4, DType::F32),
        matmul_conv::kernel(4, 4, DType::F16),
        Some(norm::layer_norm_kernel()),
        Some(norm::normalize_kernel()),
        gather::kernel(DType::F32),
        gather::kernel(DType::F16),
        Some(tokens::add_cls_and_position_kernel()),
        Some(kernel::into_contiguous_kernel()),
    ];
    for head_dim in head_dims {
        kernels.push(Some(attention::kernel(*head_dim)));
    }
    if convolutions {
        kernels.extend([
            matmul_conv::kernel(8, 4, DType::F32),
            matmul_conv::kernel(4, 1, DType::F32),
            Some(tokens::average_pool_kernel()),
            Some(norm::fold_kernel()),
        ]);
    }
    for kernel in kernels.into_iter().flatten() {
        kernel.compile(&tensor.client);
    }
}
