//! Fused attention: scores stay in registers.

use burn::backend::wgpu::CubeTensor;
use burn::tensor::{DType, Tensor};

use super::choice;
use super::kernel::{Kernel, on_gpu};

/// See [`crate::ops::attention`].
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Option<Tensor<3>> {
    let layout = Layout::fused(qkv.dims(), heads, causal);
    let qkv = on_gpu(qkv, DType::F32)?;
    layout.attend([qkv.clone(), qkv.clone(), qkv])
}

/// See [`crate::ops::pool_attention`].
pub fn pool_attention(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    heads: usize,
) -> Option<Tensor<3>> {
    let layout = Layout::apart(query.dims(), key.dims(), heads);
    let inputs = [query, key, value].map(|input| on_gpu(input, DType::F32));
    let [Some(query), Some(key), Some(value)] = inputs else {
        return None;
    };
    layout.attend([query, key, value])
}

/// Layout of queries, keys and values in their tensors.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub width: usize,
    pub heads: usize,
    pub query_row: usize,
    pub key_row: usize,
    pub key_start: usize,
    pub value_start: usize,
    pub causal: bool,
}

impl Layout {
    /// All three in rows of one tensor, `[batch, length, 3 * width]`.
    pub fn fused([batch, length, triple]: [usize; 3], heads: usize, causal: bool) -> Self {
        let width = triple / 3;
        Self {
            batch,
            queries: length,
            keys: length,
            width,
            heads,
            query_row: triple,
            key_row: triple,
            key_start: width,
            value_start: 2 * width,
            causal,
        }
    }

    /// Each in a tensor of its own, given the shapes of queries and keys.
    pub fn apart(
        [batch, queries, width]: [usize; 3],
        [_, keys, _]: [usize; 3],
        heads: usize,
    ) -> Self {
        Self {
            batch,
            queries,
            keys,
            width,
            heads,
            query_row: width,
            key_row: width,
            key_start: 0,
            value_start: 0,
            causal: false,
        }
    }

    pub fn scale(&self) -> f32 {
        ((self.width / self.heads) as f32).powf(-0.5)
    }

    /// Queries, keys and values to `[batch, queries, width]`.
    pub fn attend(&self, inputs: [CubeTensor; 3]) -> Option<Tensor<3>> {
        let head_dim = self.width / self.heads;
        if !head_dim.is_multiple_of(4) {
            return None;
        }
        let arguments = [
            self.queries as u32,
            self.keys as u32,
            (self.width / 4) as u32,
            (self.query_row / 4) as u32,
            (self.key_row / 4) as u32,
            (self.key_start / 4) as u32,
            (self.value_start / 4) as u32,
            self.causal.into(),
            self.scale().to_bits(),
        ];
        let groups = [
            self.queries.div_ceil(WORKGROUP_SIZE),
            self.heads,
            self.batch,
        ];
        let shape = [self.batch, self.queries, self.width];
        kernel(head_dim, choice().queries_in_registers).run(&inputs, &arguments, groups, shape)
    }
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
