//! Attention, one head at a time: keys and values of a head are small enough to be packed
//! for every sample.

use std::mem::MaybeUninit;

use super::gemm::{self, Epilogue, Matrix, Packed, PackedData};
use super::math;
use super::parallel::{for_each, for_each_index};
use super::pool;
use super::simd::{SimdF32, SimdJob, dispatch};
use super::uninit::{DisjointWriter, vec_init_with};

/// Multi-head attention: `[batch, length, 3 * width]` to `[batch, length, width]`.
pub fn attention(
    qkv: &[f32],
    [batch, length, width]: [usize; 3],
    heads: usize,
    causal: bool,
) -> Vec<f32> {
    let head_dim = width / heads;
    assert!(head_dim * heads == width);
    let place = |index: usize| (index / heads, index % heads * head_dim);
    let part = |index: usize, number: usize| {
        let (row, column) = place(index);
        Matrix {
            values: &qkv[row * length * 3 * width + number * width + column..],
            rows: length,
            depth: head_dim,
            stride: 3 * width,
        }
    };
    let head = |index| head_attention([0, 1, 2].map(|number| part(index, number)), causal);
    let copy = |index, values: &mut Vec<f32>| {
        for number in [0, 1, 2] {
            let Matrix { values: from, .. } = part(index, number);
            let rows = from.chunks(3 * width).take(length);
            rows.for_each(|row| values.extend_from_slice(&row[..head_dim]));
        }
    };
    let write = |out: &mut [MaybeUninit<f32>]| {
        let shared = DisjointWriter::new(out, width);
        let put = |index, attn_output: &[f32]| {
            let (row, column) = place(index);
            for (row_index, values) in attn_output.chunks_exact(head_dim).enumerate() {
                // SAFETY: no other head has these columns of this sample's rows.
                unsafe { shared.write(row * length + row_index, column, values) };
            }
        };
        let shape = [batch * heads, length, head_dim];
        if !pool::attention(shape, causal, copy, head, put) {
            for_each_index(batch * heads, true, |index| put(index, &head(index)));
        }
    };
    // SAFETY: every head of every sample writes its columns of all rows, and the heads have
    // all columns, as asserted.
    unsafe { vec_init_with(batch * length * width, write) }
}

/// [`crate::ops::pool_attention`] of `tokens`, `[batch, length, width]`: `query` is
/// `[batch, width]`, `key` the transposed key projection `[d_output, d_input]`, `value`
/// the value projection. Both are packed, and the columns of a head are whole panels.
///
/// With a single query the tokens need no projection: `q · (t W)` is `(q Wᵀ) · t`, and a
/// weighted sum of projected tokens is the projection of their weighted sum. The key bias
/// shifts all scores of a head equally and drops out of the softmax.
pub fn pool_attention(
    tokens: &[f32],
    query: &[f32],
    [key, value]: [PackedData; 2],
    bias: Option<&[f32]>,
    [batch, length, width]: [usize; 3],
    heads: usize,
) -> Vec<f32> {
    let head_dim = width / heads;
    assert!(head_dim * heads == width);
    let part = |head: usize| head * head_dim..(head + 1) * head_dim;
    // Queries projected into token space, per head: [heads, batch, width].
    let mut projected_query = vec![0.0; heads * batch * width];
    let of_heads = projected_query
        .chunks_exact_mut((batch * width).max(1))
        .enumerate();
    for_each(of_heads.collect(), true, |(head, projected_query)| {
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
        gemm::gemm_serial_into(&queries, &key, projected_query);
    });
    // Attended tokens, per head: [batch, heads, width].
    let mut context = vec![0.0; batch * heads * width];
    let of_pictures = context.chunks_exact_mut((heads * width).max(1)).enumerate();
    for_each(of_pictures.collect(), true, |(picture, context)| {
        let queries = Matrix {
            values: &projected_query[picture * width..],
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
        context.copy_from_slice(&sdpa([queries, tokens(), tokens()], scale, false));
    });
    let write = |out: &mut [MaybeUninit<f32>]| {
        let shared = DisjointWriter::new(out, width);
        for_each_index(heads, true, |head| {
            let context = Matrix {
                values: &context[head * width..],
                rows: batch,
                depth: width,
                stride: heads * width,
            };
            let columns = part(head);
            let value = value.part(columns.start * width..columns.end * width);
            let epilogue = Epilogue {
                bias: bias.map(|bias| &bias[columns.clone()]),
                ..Epilogue::NONE
            };
            let value = Packed::new(value, width, head_dim);
            let attn_output = gemm::gemm_serial(&context, &value, &epilogue);
            for (row, values) in attn_output.chunks_exact(head_dim).enumerate() {
                // SAFETY: no other head has these columns.
                unsafe { shared.write(row, columns.start, values) };
            }
        });
    };
    // SAFETY: every head writes its columns of all rows, and the heads have all columns, as
    // asserted.
    unsafe { vec_init_with(batch * width, write) }
}

/// Attention of one head: query, key and value `[length, head_dim]` to the same shape.
pub fn head_attention(qkv: [Matrix; 3], causal: bool) -> Vec<f32> {
    let scale = (qkv[0].depth as f32).powf(-0.5);
    sdpa(qkv, scale, causal)
}

/// Scaled dot-product attention of one head: `softmax(query keyᵀ scale) value`,
/// `[queries, depth]`.
fn sdpa([query, key, value]: [Matrix; 3], scale: f32, causal: bool) -> Vec<f32> {
    let (length, depth) = (key.rows, value.depth);
    let keys = gemm::pack_transposed(&key);
    let packed = Packed::new(PackedData::F32(&keys), key.depth, length);
    let mut scores = gemm::gemm_serial(&query, &packed, &Epilogue::NONE);
    dispatch(MaskedSoftmax {
        scores: &mut scores,
        length,
        scale,
        causal,
    });
    let mut packed = Vec::new();
    gemm::pack(value.values, length, depth, value.stride, &mut packed);
    let packed = Packed::new(PackedData::F32(&packed), length, depth);
    let weights = Matrix {
        values: &scores,
        rows: query.rows,
        depth: length,
        stride: length,
    };
    gemm::gemm_serial(&weights, &packed, &Epilogue::NONE)
}

/// Scaled softmax of score rows, with an optional causal mask.
pub struct MaskedSoftmax<'a> {
    pub scores: &'a mut [f32],
    pub length: usize,
    pub scale: f32,
    pub causal: bool,
}

impl SimdJob for MaskedSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        for (row_index, row) in self.scores.chunks_exact_mut(self.length).enumerate() {
            let visible = match self.causal {
                true => row_index + 1,
                false => row.len(),
            };
            let (visible, masked) = row.split_at_mut(visible);
            visible.iter_mut().for_each(|score| *score *= self.scale);
            math::softmax(visible);
            masked.fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::level::at_every_level;
    use super::super::test_values;
    use super::*;

    #[test]
    fn attention_is_that_of_the_definition() {
        let [batch, length, heads, head_dim] = [2, 5, 3, 4];
        let width = heads * head_dim;
        let qkv = test_values(batch * length * 3 * width, 1);
        // Part 0 is the query, 1 the key, 2 the value.
        let at = |sample: usize, place: usize, part: usize, column: usize| {
            f64::from(qkv[(sample * length + place) * 3 * width + part * width + column])
        };
        for causal in [false, true] {
            let expected = |index: usize| {
                let (row, column) = (index / width, index % width);
                let (sample, place) = (row / length, row % length);
                let head = column / head_dim * head_dim..(column / head_dim + 1) * head_dim;
                let visible = if causal { place + 1 } else { length };
                let score = |other: usize| {
                    let product = |i| at(sample, place, 0, i) * at(sample, other, 1, i);
                    (head.clone().map(product).sum::<f64>() / (head_dim as f64).sqrt()).exp()
                };
                let total: f64 = (0..visible).map(score).sum();
                let weighted = |other| score(other) / total * at(sample, other, 2, column);
                (0..visible).map(weighted).sum::<f64>()
            };
            at_every_level(|| {
                let found = attention(&qkv, [batch, length, width], heads, causal);
                assert_eq!(found.len(), batch * length * width);
                for (index, found) in found.into_iter().enumerate() {
                    let distance = (f64::from(found) - expected(index)).abs();
                    assert!(distance < 1e-5, "{index}: {distance}");
                }
            });
        }
    }

    #[test]
    #[should_panic]
    fn heads_that_leave_a_remainder_panic() {
        attention(&[0.0; 30], [1, 1, 10], 3, false);
    }
}
