//! Normalisation of rows, and what batch normalisation comes down to.

use burn::tensor::{DType, Tensor};

use super::kernel::{Kernel, on_gpu};

/// Threads in a workgroup; where rows are normalised, they share one.
const TOGETHER: u32 = 32;

/// `[rows, width]`, see [`crate::ops::LayerNorm`].
pub fn layer_norm(
    x: Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Option<Tensor<2>> {
    let [rows, width] = x.dims();
    if !width.is_multiple_of(4) {
        return None;
    }
    let inputs = [
        on_gpu(x, DType::F32)?,
        on_gpu(gamma, DType::F32)?,
        on_gpu(beta, DType::F32)?,
    ];
    let arguments = [(width / 4) as u32, (epsilon as f32).to_bits()];
    layer_norm_kernel().run(&inputs, &arguments, [rows, 1, 1], [rows, width])
}

/// See [`crate::ops::normalize`].
pub fn normalize(x: Tensor<2>) -> Option<Tensor<2>> {
    let [rows, width] = x.dims();
    if !width.is_multiple_of(4) {
        return None;
    }
    normalize_kernel().run(
        &[on_gpu(x, DType::F32)?],
        &[(width / 4) as u32],
        [rows, 1, 1],
        [rows, width],
    )
}

/// What batch normalisation with these statistics multiplies by, and what it adds.
pub fn fold(
    gamma: Tensor<1>,
    beta: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    epsilon: f64,
) -> Option<[Tensor<1>; 2]> {
    let [channels] = gamma.dims();
    let inputs = [
        on_gpu(gamma, DType::F32)?,
        on_gpu(beta, DType::F32)?,
        on_gpu(mean, DType::F32)?,
        on_gpu(variance, DType::F32)?,
    ];
    let part = |adds: u32| {
        let arguments = [channels as u32, (epsilon as f32).to_bits(), adds];
        let groups = [channels.div_ceil(TOGETHER as usize), 1, 1];
        fold_kernel().run(&inputs, &arguments, groups, [channels])
    };
    Some([part(0)?, part(1)?])
}

pub fn layer_norm_kernel() -> Kernel {
    Kernel::new(include_str!("layer_norm.wgsl"), [TOGETHER, 1])
}

pub fn normalize_kernel() -> Kernel {
    Kernel::new(include_str!("normalize.wgsl"), [TOGETHER, 1])
}

pub fn fold_kernel() -> Kernel {
    Kernel::new(include_str!("fold.wgsl"), [TOGETHER, 1])
}
