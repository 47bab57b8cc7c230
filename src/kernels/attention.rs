//! Attention of one head at a time: its keys and values are small enough to be
//! laid out anew for every text and picture.

use super::gemm::{self, Finish, Matrix, Packed, Shared, Values};
use super::math;
use super::simd::{Lanes, Work, dispatch, tile_width};

/// `[batch, length, 3 * width]` to `[batch, length, width]`.
pub fn attention(
    qkv: &[f32],
    [batch, length, width]: [usize; 3],
    heads: usize,
    causal: bool,
) -> Vec<f32> {
    let head_dim = width / heads;
    let mut out = Vec::with_capacity(batch * length * width);
    let shared = Shared::new(out.spare_capacity_mut(), width);
    gemm::for_each(batch * heads, true, |index| {
        let (row, column) = (index / heads, index % heads * head_dim);
        let part = |number: usize| &qkv[row * length * 3 * width + number * width + column..];
        let mixed = head(
            [part(0), part(1), part(2)],
            [length, head_dim, 3 * width],
            causal,
        );
        for (line, values) in mixed.chunks_exact(head_dim).enumerate() {
            shared.write(row * length + line, column, values);
        }
    });
    // SAFETY: every head wrote its columns of every row.
    unsafe { out.set_len(batch * length * width) };
    out
}

/// Rows of query, key and value lie `stride` apart; `[length, head_dim]` comes out.
fn head(
    [query, key, value]: [&[f32]; 3],
    [length, head_dim, stride]: [usize; 3],
    causal: bool,
) -> Vec<f32> {
    let keys = transposed(key, [length, head_dim, stride]);
    let queries = Matrix {
        values: query,
        rows: length,
        depth: head_dim,
        stride,
    };
    let panels = Packed {
        values: Values::F32(&keys),
        depth: head_dim,
        columns: length,
    };
    let mut scores = gemm::product_here(&queries, &panels, &Finish::NOTHING);
    dispatch(Weights {
        scores: &mut scores,
        length,
        scale: (head_dim as f32).powf(-0.5),
        causal,
    });
    let mut panels = Vec::new();
    gemm::pack(value, length, head_dim, stride, &mut panels);
    let panels = Packed {
        values: Values::F32(&panels),
        depth: length,
        columns: head_dim,
    };
    let weights = Matrix {
        values: &scores,
        rows: length,
        depth: length,
        stride: length,
    };
    gemm::product_here(&weights, &panels, &Finish::NOTHING)
}

/// `[length, head_dim]` as the panels of its transpose.
fn transposed(matrix: &[f32], [length, head_dim, stride]: [usize; 3]) -> Vec<f32> {
    let width = tile_width();
    let mut panels = vec![0.0; length.div_ceil(width) * width * head_dim];
    for row in 0..length {
        let panel = &mut panels[row / width * width * head_dim..][..width * head_dim];
        let row_values = &matrix[row * stride..row * stride + head_dim];
        gemm::transpose_row(row_values, width, row % width, panel);
    }
    panels
}

/// Scores to weights: a softmax of every row, of what it may see.
pub struct Weights<'a> {
    pub scores: &'a mut [f32],
    pub length: usize,
    pub scale: f32,
    pub causal: bool,
}

impl Work for Weights<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        for (line, row) in self.scores.chunks_exact_mut(self.length).enumerate() {
            let seen = match self.causal {
                true => line + 1,
                false => row.len(),
            };
            let (seen, later) = row.split_at_mut(seen);
            seen.iter_mut().for_each(|score| *score *= self.scale);
            math::softmax(seen);
            later.fill(0.0);
        }
    }
}
