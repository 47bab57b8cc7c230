//! Attention, one head at a time: keys and values of a head are small enough to be packed
//! for every sample.

use super::gemm::{self, Epilogue, Matrix, Packed, PackedData};
use super::math;
use super::parallel::{for_each, for_each_index};
use super::simd::{SimdF32, SimdJob, dispatch, tile_width};
use super::uninit::{DisjointWriter, as_uninit_mut, vec_init_with};

/// Multi-head attention: `[batch, length, 3 * width]` to `[batch, length, width]`.
pub fn attention(
    qkv: &[f32],
    [batch, length, width]: [usize; 3],
    heads: usize,
    causal: bool,
) -> Vec<f32> {
    let head_dim = width / heads;
    vec_init_with(batch * length * width, |out| {
        let shared = DisjointWriter::new(out, width);
        for_each_index(batch * heads, true, |index| {
            let (row, column) = (index / heads, index % heads * head_dim);
            let part = |number: usize| Matrix {
                values: &qkv[row * length * 3 * width + number * width + column..],
                rows: length,
                depth: head_dim,
                stride: 3 * width,
            };
            let scale = (head_dim as f32).powf(-0.5);
            let attn_output = sdpa([part(0), part(1), part(2)], scale, causal);
            for (row_index, values) in attn_output.chunks_exact(head_dim).enumerate() {
                shared.write(row * length + row_index, column, values);
            }
        });
    })
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
        gemm::gemm_serial_into(&queries, &key, as_uninit_mut(projected_query));
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
    vec_init_with(batch * width, |out| {
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
                shared.write(row, columns.start, values);
            }
        });
    })
}

/// Scaled dot-product attention of one head: `softmax(query keyᵀ scale) value`,
/// `[queries, depth]`.
fn sdpa([query, key, value]: [Matrix; 3], scale: f32, causal: bool) -> Vec<f32> {
    let (length, depth) = (key.rows, value.depth);
    let keys = transposed(&key);
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

/// Packs the transpose of a matrix.
fn transposed(matrix: &Matrix) -> Vec<f32> {
    let (width, depth) = (tile_width(), matrix.depth);
    let mut packed = vec![0.0; matrix.rows.div_ceil(width) * width * depth];
    for row in 0..matrix.rows {
        let panel = &mut packed[row / width * width * depth..][..width * depth];
        let values = &matrix.values[row * matrix.stride..][..depth];
        gemm::transpose_row(values, width, row % width, panel);
    }
    packed
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
