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

use burn::backend::Wgpu;
use burn::tensor::{DType, Device, Tensor};

pub use attention::{attention, pool_attention};
pub use norm::{fold, layer_norm, normalize};
pub use places::{average_pool, in_order, tokens};
pub use product::{conv, linear};
pub use table::gather;

/// See [`super::compile_ahead`].
pub fn compile_ahead(head_dims: &[usize], convolutions: bool, device: &Device) {
    let Ok(tensor) = Tensor::<1>::from_data([0.0], device).try_into_primitive::<Wgpu>() else {
        return;
    };
    let mut kernels = vec![
        product::kernel(4, 4, DType::F32),
        product::kernel(4, 4, DType::F16),
        Some(norm::layer_norm_kernel()),
        Some(norm::normalize_kernel()),
        table::kernel(DType::F32),
        table::kernel(DType::F16),
        Some(places::tokens_kernel()),
        Some(kernel::in_order_kernel()),
    ];
    for head_dim in head_dims {
        kernels.push(Some(attention::kernel(*head_dim)));
    }
    if convolutions {
        kernels.extend([
            product::kernel(8, 4, DType::F32),
            product::kernel(4, 1, DType::F32),
            Some(places::average_pool_kernel()),
            Some(norm::fold_kernel()),
        ]);
    }
    for kernel in kernels.into_iter().flatten() {
        kernel.compile(&tensor.client);
    }
}
