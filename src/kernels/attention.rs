//! Attention of one head at a time: its keys and values are small enough to be
//! laid out anew for every text and picture.

use super::gemm::{self, Finish, Matrix, Packed, Values, for_all, for_each};
use super::math;
use super::room::{Shared, as_room, filled};
use super::simd::{Lanes, Work, dispatch, tile_width};

/// `[batch, length, 3 * width]` to `[batch, length, width]`.
pub fn attention(
    qkv: &[f32],
    [batch, length, width]: [usize; 3],
    heads: usize,
    causal: bool,
) -> Vec<f32> {
    let head_dim = width / heads;
    filled(batch * length * width, |out| {
        let shared = Shared::new(out, width);
        for_each(batch * heads, true, |index| {
            let (row, column) = (index / heads, index % heads * head_dim);
            let part = |number: usize| Matrix {
                values: &qkv[row * length * 3 * width + number * width + column..],
                rows: length,
                depth: head_dim,
                stride: 3 * width,
            };
            let scale = (head_dim as f32).powf(-0.5);
            let mixed = mix([part(0), part(1), part(2)], scale, causal);
            for (line, values) in mixed.chunks_exact(head_dim).enumerate() {
                shared.write(row * length + line, column, values);
            }
        });
    })
}

/// [`crate::ops::pool_attention`] of `tokens`, `[batch, length, width]`: `query` is
/// `[batch, width]`, `key` the projection of the keys turned around, `[d_output, d_input]`,
/// and `value` that of the values, both packed, and a head's columns whole panels.
///
/// Where only one asks, not every token needs to be projected: `q · (t W)` is
/// `(q Wᵀ) · t`, and a sum of projected tokens is the projected sum. What is added
/// to the keys changes all scores of a head by as much, and so nothing.
pub fn pool_attention(
    tokens: &[f32],
    query: &[f32],
    [key, value]: [Values; 2],
    bias: Option<&[f32]>,
    [batch, length, width]: [usize; 3],
    heads: usize,
) -> Vec<f32> {
    let head_dim = width / heads;
    let part = |head: usize| head * head_dim..(head + 1) * head_dim;
    // What each head looks for in a token: [heads, batch, width].
    let mut sought = vec![0.0; heads * batch * width];
    let of_heads = sought.chunks_exact_mut((batch * width).max(1)).enumerate();
    for_all(of_heads.collect(), true, |(head, sought)| {
        let queries = Matrix {
            values: &query[part(head).start..],
            rows: batch,
            depth: head_dim,
            stride: width,
        };
        let key = Packed {
            part: part(head),
            ..Packed::new(key, width, width)
        };
        gemm::product_into(&queries, &key, as_room(sought));
    });
    // What each finds: [batch, heads, width].
    let mut found = vec![0.0; batch * heads * width];
    let of_pictures = found.chunks_exact_mut((heads * width).max(1)).enumerate();
    for_all(of_pictures.collect(), true, |(picture, found)| {
        let queries = Matrix {
            values: &sought[picture * width..],
            rows: heads,
            depth: width,
            stride: batch * width,
        };
        let tokens = || Matrix {
            values: &tokens[picture * length * width..],
            rows: length,
            depth: width,
            stride: width,
        };
        let scale = (head_dim as f32).powf(-0.5);
        found.copy_from_slice(&mix([queries, tokens(), tokens()], scale, false));
    });
    filled(batch * width, |out| {
        let shared = Shared::new(out, width);
        for_each(heads, true, |head| {
            let found = Matrix {
                values: &found[head * width..],
                rows: batch,
                depth: width,
                stride: heads * width,
            };
            let columns = part(head);
            let value = value.part(columns.start * width..columns.end * width);
            let finish = Finish {
                bias: bias.map(|bias| &bias[columns.clone()]),
                ..Finish::NOTHING
            };
            let value = Packed::new(value, width, head_dim);
            let mixed = gemm::product_here(&found, &value, &finish);
            for (row, values) in mixed.chunks_exact(head_dim).enumerate() {
                shared.write(row, columns.start, values);
            }
        });
    })
}

/// `softmax(query keyᵀ scale) value`, `[queries, depth]`.
fn mix([query, key, value]: [Matrix; 3], scale: f32, causal: bool) -> Vec<f32> {
    let (length, depth) = (key.rows, value.depth);
    let keys = transposed(&key);
    let panels = Packed::new(Values::F32(&keys), key.depth, length);
    let mut scores = gemm::product_here(&query, &panels, &Finish::NOTHING);
    dispatch(Weights {
        scores: &mut scores,
        length,
        scale,
        causal,
    });
    let mut panels = Vec::new();
    gemm::pack(value.values, length, depth, value.stride, &mut panels);
    let panels = Packed::new(Values::F32(&panels), length, depth);
    let weights = Matrix {
        values: &scores,
        rows: query.rows,
        depth: length,
        stride: length,
    };
    gemm::product_here(&weights, &panels, &Finish::NOTHING)
}

/// The panels of a matrix's transpose.
fn transposed(matrix: &Matrix) -> Vec<f32> {
    let (width, depth) = (tile_width(), matrix.depth);
    let mut panels = vec![0.0; matrix.rows.div_ceil(width) * width * depth];
    for row in 0..matrix.rows {
        let panel = &mut panels[row / width * width * depth..][..width * depth];
        let numbers = &matrix.values[row * matrix.stride..][..depth];
        gemm::transpose_row(numbers, width, row % width, panel);
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
