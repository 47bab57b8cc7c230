//! Layer norm, L2 norm, and folding of batch norm.

use burn::tensor::{DType, Tensor};

use super::kernel::{Kernel, on_gpu};

/// Workgroup size; row normalisations use one workgroup per row.
pub const WORKGROUP_SIZE: u32 = 32;

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

/// Folds batch normalisation into a scale and a shift.
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
        let groups = [channels.div_ceil(WORKGROUP_SIZE as usize), 1, 1];
        fold_kernel().run(&inputs, &arguments, groups, [channels])
    };
    Some([part(0)?, part(1)?])
}

pub fn layer_norm_kernel() -> Kernel {
    Kernel::new(
        "layer_norm",
        include_str!("layer_norm.wgsl"),
        [WORKGROUP_SIZE, 1],
    )
}

pub fn normalize_kernel() -> Kernel {
    Kernel::new(
        "normalize",
        include_str!("normalize.wgsl"),
        [WORKGROUP_SIZE, 1],
    )
}

pub fn fold_kernel() -> Kernel {
    Kernel::new("fold", include_str!("fold.wgsl"), [WORKGROUP_SIZE, 1])
}
