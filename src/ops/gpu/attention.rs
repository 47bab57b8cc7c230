//! Fused attention: scores stay in registers.

use burn::backend::wgpu::CubeTensor;
use burn::tensor::{DType, Tensor};

use super::choice;
use super::kernel::{Kernel, on_gpu};

/// See [`crate::ops::attention`].
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Option<Tensor<3>> {
    let [batch, length, triple] = qkv.dims();
    let width = triple / 3;
    let qkv = on_gpu(qkv, DType::F32)?;
    attend(
        [qkv.clone(), qkv.clone(), qkv],
        Attention {
            queries: length,
            keys: length,
            query_row: triple,
            key_row: triple,
            key_start: width,
            value_start: 2 * width,
            causal,
        },
        heads,
        [batch, length, width],
    )
}

/// See [`crate::ops::pool_attention`].
pub fn pool_attention(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    heads: usize,
) -> Option<Tensor<3>> {
    let shape = query.dims();
    let [_, queries, width] = shape;
    let [_, keys, _] = key.dims();
    let inputs = [
        on_gpu(query, DType::F32)?,
        on_gpu(key, DType::F32)?,
        on_gpu(value, DType::F32)?,
    ];
    let how = Attention {
        queries,
        keys,
        query_row: width,
        key_row: width,
        key_start: 0,
        value_start: 0,
        causal: false,
    };
    attend(inputs, how, heads, shape)
}

/// Layout of queries, keys and values in their tensors.
struct Attention {
    queries: usize,
    keys: usize,
    query_row: usize,
    key_row: usize,
    key_start: usize,
    value_start: usize,
    causal: bool,
}

fn attend(
    inputs: [CubeTensor; 3],
    how: Attention,
    heads: usize,
    shape: [usize; 3],
) -> Option<Tensor<3>> {
    let [batch, _, width] = shape;
    let head_dim = width / heads;
    if !head_dim.is_multiple_of(4) {
        return None;
    }
    let arguments = [
        how.queries as u32,
        how.keys as u32,
        (width / 4) as u32,
        (how.query_row / 4) as u32,
        (how.key_row / 4) as u32,
        (how.key_start / 4) as u32,
        (how.value_start / 4) as u32,
        how.causal.into(),
        (head_dim as f32).powf(-0.5).to_bits(),
    ];
    let groups = [how.queries.div_ceil(WORKGROUP_SIZE), heads, batch];
    kernel(head_dim, choice().queries_in_registers).run(&inputs, &arguments, groups, shape)
}

/// Queries per workgroup: the subgroup size of most GPUs.
const WORKGROUP_SIZE: usize = 32;

/// Kernel for a head dimension, which keeps its query in registers if `held`.
pub fn kernel(head_dim: usize, held: bool) -> Kernel {
    let comment_unless = |wanted: bool| if wanted { "" } else { "//" };
    Kernel::new(
        "attention",
        include_str!("attention.wgsl"),
        [WORKGROUP_SIZE as u32, 1],
    )
    .unroll("{d}", head_dim / 4)
    .define("fours", head_dim / 4)
    .define("held", comment_unless(held))
    .define("looped", comment_unless(!held))
}
