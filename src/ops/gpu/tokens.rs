//! Pooling, token sequences and memory layout.

use burn::backend::Wgpu;
use burn::tensor::{DType, Tensor};

use super::kernel::{Kernel, on_gpu};

/// See [`crate::ops::average_pool`].
pub fn average_pool(x: Tensor<4>, side: usize) -> Option<Tensor<4>> {
    let [batch, height, width, channels] = x.dims();
    if !channels.is_multiple_of(4) {
        return None;
    }
    let (out_height, out_width) = (height / side, width / side);
    let places = batch * out_height * out_width;
    let arguments = [
        places,
        channels / 4,
        height,
        width,
        out_height,
        out_width,
        side,
    ];
    let groups = [(channels / 4).div_ceil(8), places.div_ceil(8), 1];
    average_pool_kernel().run(
        &[on_gpu(x, DType::F32)?],
        &arguments.map(|n| n as u32),
        groups,
        [batch, out_height, out_width, channels],
    )
}

/// See [`crate::ops::add_cls_and_position`].
pub fn add_cls_and_position(
    first: Option<Tensor<1>>,
    places: Tensor<3>,
    positions: Tensor<2>,
) -> Option<Tensor<3>> {
    let [batch, count, width] = places.dims();
    if !width.is_multiple_of(4) {
        return None;
    }
    let places = on_gpu(places, DType::F32)?;
    let positions = on_gpu(positions, DType::F32)?;
    let given = u32::from(first.is_some());
    let first = match first {
        Some(first) => on_gpu(first, DType::F32)?,
        None => positions.clone(),
    };
    let rows = batch * (count + 1);
    let arguments = [rows as u32, (width / 4) as u32, count as u32, given];
    let groups = [(width / 4).div_ceil(8), rows.div_ceil(8), 1];
    add_cls_and_position_kernel().run(
        &[places, positions, first],
        &arguments,
        groups,
        [batch, count + 1, width],
    )
}

/// See [`crate::ops::into_contiguous`].
pub fn into_contiguous<const D: usize>(x: Tensor<D>) -> Option<Tensor<D>> {
    Some(Tensor::from_primitive::<Wgpu>(on_gpu(x, DType::F32)?))
}

pub fn average_pool_kernel() -> Kernel {
    Kernel::new("average_pool", include_str!("average_pool.wgsl"), [8, 8])
}

pub fn add_cls_and_position_kernel() -> Kernel {
    Kernel::new("tokens", include_str!("tokens.wgsl"), [8, 8])
}
