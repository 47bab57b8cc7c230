//! Backward pass of attention. The attention weights are recomputed: that is cheaper than
//! storing them.

use std::mem::MaybeUninit;

use super::attention::MaskedSoftmax;
use super::math;
use super::parallel::for_each;
use super::simd::{SimdF32, SimdJob, dispatch, tile_width};
use super::uninit::{as_uninit_mut, vec_init_with};
use super::unpacked_gemm::{Lhs, Output, Rhs, UnpackedGemm};

/// Gradient of query, key and value, `[batch, length, 3 * width]`, given the gradient of
/// the output, `[batch, length, width]`.
pub fn backward(
    grad_output: &[f32],
    qkv: &[f32],
    [length, width]: [usize; 2],
    heads: usize,
    causal: bool,
) -> Vec<f32> {
    assert!(qkv.len() == 3 * grad_output.len());
    assert!(grad_output.len().is_multiple_of(length * width) && width.is_multiple_of(heads));
    let write = |out: &mut [MaybeUninit<f32>]| {
        let samples = grad_output
            .chunks(length * width)
            .zip(qkv.chunks(3 * length * width));
        let samples = samples.zip(out.chunks_mut(3 * length * width));
        for_each(samples.collect(), true, |((grad_output, qkv), out)| {
            let mut head = HeadScratch::new(length, width / heads, causal);
            for index in 0..heads {
                head.backward(grad_output, qkv, out, width, index * (width / heads));
            }
        });
    };
    // SAFETY: every head of every sample writes its columns of the three parts of all rows,
    // and samples and heads leave no remainder, as asserted.
    unsafe { vec_init_with(qkv.len(), write) }
}

/// Scratch matrices of one head.
struct HeadScratch {
    length: usize,
    head_dim: usize,
    causal: bool,
    /// Query, key and output gradient, `[length, head_dim]`, rows padded to whole
    /// vectors.
    rows: [Vec<f32>; 3],
    /// Transposed key and value, `[head_dim, length]`.
    transposed: [Vec<f32>; 2],
    /// Attention weights, `[length, length]`
    weights: Vec<f32>,
    /// Gradient of the weights, then of the scores.
    scores: Vec<f32>,
}

impl HeadScratch {
    fn new(length: usize, head_dim: usize, causal: bool) -> Self {
        let [padded_head_dim, padded_length] =
            [head_dim, length].map(|side| side.next_multiple_of(tile_width()));
        let zeros = |rows: usize, columns: usize| vec![0.0; rows * columns];
        Self {
            length,
            head_dim,
            causal,
            rows: [0; 3].map(|_| zeros(length, padded_head_dim)),
            transposed: [0; 2].map(|_| zeros(head_dim, padded_length)),
            weights: zeros(length, length),
            scores: zeros(length, length),
        }
    }

    /// [`backward`] of one head, whose columns start at `first`.
    fn backward(
        &mut self,
        grad_output: &[f32],
        qkv: &[f32],
        out: &mut [MaybeUninit<f32>],
        width: usize,
        first: usize,
    ) {
        let (length, head_dim, stride) = (self.length, self.head_dim, 3 * width);
        let [padded_head_dim, padded_length] =
            [head_dim, length].map(|side| side.next_multiple_of(tile_width()));
        let [query, key, grad_output_rows] = &mut self.rows;
        let [keys, values] = &mut self.transposed;
        for place in 0..length {
            let row = &qkv[place * stride + first..];
            let to = place * padded_head_dim..place * padded_head_dim + head_dim;
            query[to.clone()].copy_from_slice(&row[..head_dim]);
            key[to.clone()].copy_from_slice(&row[width..][..head_dim]);
            grad_output_rows[to].copy_from_slice(&grad_output[place * width + first..][..head_dim]);
            for i in 0..head_dim {
                keys[i * padded_length + place] = row[width + i];
                values[i * padded_length + place] = row[2 * width + i];
            }
        }
        let row_major = |values, row| Lhs {
            values,
            row,
            strides: [0, 1],
        };
        let transposed_lhs = |values| Lhs {
            values,
            row: 1,
            strides: [0, length],
        };
        let (weights, scores) = (&mut self.weights, &mut self.scores);
        let (square, scale) = ([length, head_dim, length], (head_dim as f32).powf(-0.5));
        let query_rows = row_major(query, padded_head_dim);
        // SAFETY: `gemm` writes sums of products.
        let weights_out = unsafe { as_uninit_mut(weights) };
        gemm(query_rows, keys, padded_length, square, weights_out, length);
        dispatch(MaskedSoftmax {
            scores: weights,
            length,
            scale,
            causal: self.causal,
        });
        let grad_output_lhs = row_major(grad_output_rows, padded_head_dim);
        // SAFETY: `gemm` writes sums of products.
        let scores_out = unsafe { as_uninit_mut(scores) };
        gemm(
            grad_output_lhs,
            values,
            padded_length,
            square,
            scores_out,
            length,
        );
        dispatch(SoftmaxBackward {
            weights,
            grad: scores,
            length,
            scale,
        });
        let parts = [
            (row_major(scores, length), &*key),
            (transposed_lhs(scores), &*query),
            (transposed_lhs(weights), &*grad_output_rows),
        ];
        for (index, (lhs, rhs)) in parts.into_iter().enumerate() {
            let out = &mut out[index * width + first..];
            let shape = [length, length, head_dim];
            gemm(lhs, rhs, padded_head_dim, shape, out, stride);
        }
    }
}

/// `lhs`, `[rows, depth]`, times `rhs`, `[depth, columns]` with row stride `row_stride`.
fn gemm(
    lhs: Lhs,
    rhs: &[f32],
    row_stride: usize,
    [rows, depth, columns]: [usize; 3],
    out: &mut [MaybeUninit<f32>],
    stride: usize,
) {
    let tile = tile_width();
    for first in (0..columns).step_by(tile) {
        UnpackedGemm {
            lhs,
            rhs: Rhs {
                values: &rhs[first..],
                strides: [0, row_stride],
            },
            extents: [1, depth],
            rows,
            columns: tile.min(columns - first),
            out: Output::Write(&mut out[first..]),
            stride,
        }
        .run();
    }
}

/// Softmax backward, in place: gradient of the weights to gradient of the scores.
struct SoftmaxBackward<'a> {
    weights: &'a [f32],
    grad: &'a mut [f32],
    length: usize,
    scale: f32,
}

impl SimdJob for SoftmaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let rows = self.grad.chunks_exact_mut(self.length);
        for (grad, weights) in rows.zip(self.weights.chunks_exact(self.length)) {
            let dot = math::dot(grad, weights);
            for (grad, weight) in grad.iter_mut().zip(weights) {
                *grad = (*grad - dot) * weight * self.scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attention::attention;
    use super::super::simd::level::at_every_level;
    use super::super::{assert_gradient, dot, test_values};
    use super::*;

    #[test]
    fn gradients_are_the_slopes_of_attention() {
        let [batch, length, heads, head_dim] = [2, 4, 2, 3];
        let width = heads * head_dim;
        let qkv = test_values(batch * length * 3 * width, 1);
        let grad_output = test_values(batch * length * width, 2);
        for causal in [false, true] {
            at_every_level(|| {
                let grad = backward(&grad_output, &qkv, [length, width], heads, causal);
                assert_gradient(&grad, &qkv, |qkv| {
                    let y = attention(qkv, [batch, length, width], heads, causal);
                    dot(&y, &grad_output)
                });
            });
        }
    }
}
