//! The way back of attention. A head's weights are computed again: it takes less time
//! than to keep them takes memory.

use std::mem::MaybeUninit;

use super::attention::Weights;
use super::gemm::for_all;
use super::math;
use super::room::{as_room, filled};
use super::simd::{Lanes, Work, dispatch, tile_width};
use super::strip::{Left, Right, Strip};

/// What is asked of query, key and value side by side, `[batch, length, 3 * width]`, by
/// what is `asked` of `[batch, length, width]`.
pub fn back(
    asked: &[f32],
    qkv: &[f32],
    [length, width]: [usize; 2],
    heads: usize,
    causal: bool,
) -> Vec<f32> {
    filled(qkv.len(), |out| {
        let texts = asked
            .chunks(length * width)
            .zip(qkv.chunks(3 * length * width));
        let texts = texts.zip(out.chunks_mut(3 * length * width));
        for_all(texts.collect(), true, |((asked, qkv), out)| {
            let mut head = Head::new(length, width / heads, causal);
            for index in 0..heads {
                head.back(asked, qkv, out, width, index * (width / heads));
            }
        });
    })
}

/// Room for one head's matrices.
struct Head {
    length: usize,
    head_dim: usize,
    causal: bool,
    /// Query, key and what is asked, `[length, head_dim]`, their rows a whole number of
    /// vectors long.
    rows: [Vec<f32>; 3],
    /// Key and value the other way, `[head_dim, length]`.
    turned: [Vec<f32>; 2],
    /// `[length, length]`
    weights: Vec<f32>,
    /// What is asked of them, then of the scores that they come from.
    scores: Vec<f32>,
}

impl Head {
    fn new(length: usize, head_dim: usize, causal: bool) -> Self {
        let [across, along] = [head_dim, length].map(|side| side.next_multiple_of(tile_width()));
        let room = |rows: usize, columns: usize| vec![0.0; rows * columns];
        Self {
            length,
            head_dim,
            causal,
            rows: [0; 3].map(|_| room(length, across)),
            turned: [0; 2].map(|_| room(head_dim, along)),
            weights: room(length, length),
            scores: room(length, length),
        }
    }

    /// One head's part of [`back`], whose columns begin at `first`.
    fn back(
        &mut self,
        asked: &[f32],
        qkv: &[f32],
        out: &mut [MaybeUninit<f32>],
        width: usize,
        first: usize,
    ) {
        let (length, head_dim, stride) = (self.length, self.head_dim, 3 * width);
        let [across, along] = [head_dim, length].map(|side| side.next_multiple_of(tile_width()));
        let [query, key, asked_rows] = &mut self.rows;
        let [keys, values] = &mut self.turned;
        for place in 0..length {
            let row = &qkv[place * stride + first..];
            let to = place * across..place * across + head_dim;
            query[to.clone()].copy_from_slice(&row[..head_dim]);
            key[to.clone()].copy_from_slice(&row[width..][..head_dim]);
            asked_rows[to].copy_from_slice(&asked[place * width + first..][..head_dim]);
            for i in 0..head_dim {
                keys[i * along + place] = row[width + i];
                values[i * along + place] = row[2 * width + i];
            }
        }
        let by_rows = |values, row| Left {
            values,
            row,
            steps: [0, 1],
        };
        let by_columns = |values| Left {
            values,
            row: 1,
            steps: [0, length],
        };
        let (weights, scores) = (&mut self.weights, &mut self.scores);
        let (square, scale) = ([length, head_dim, length], (head_dim as f32).powf(-0.5));
        let query_rows = by_rows(query, across);
        product(query_rows, keys, along, square, as_room(weights), length);
        dispatch(Weights {
            scores: weights,
            length,
            scale,
            causal: self.causal,
        });
        let asked_of_rows = by_rows(asked_rows, across);
        product(
            asked_of_rows,
            values,
            along,
            square,
            as_room(scores),
            length,
        );
        dispatch(Scores {
            weights,
            asked: scores,
            length,
            scale,
        });
        let parts = [
            (by_rows(scores, length), &*key),
            (by_columns(scores), &*query),
            (by_columns(weights), &*asked_rows),
        ];
        for (index, (left, right)) in parts.into_iter().enumerate() {
            let out = &mut out[index * width + first..];
            let shape = [length, length, head_dim];
            product(left, right, across, shape, out, stride);
        }
    }
}

/// `left` times `right`, whose rows are `step` apart: `[rows, depth]` times
/// `[depth, columns]`.
fn product(
    left: Left,
    right: &[f32],
    step: usize,
    [rows, depth, columns]: [usize; 3],
    out: &mut [MaybeUninit<f32>],
    stride: usize,
) {
    let tile = tile_width();
    for first in (0..columns).step_by(tile) {
        Strip {
            left,
            right: Right {
                values: &right[first..],
                steps: [0, step],
            },
            counts: [1, depth],
            rows,
            columns: tile.min(columns - first),
            out: &mut out[first..],
            stride,
            on_top: false,
        }
        .run();
    }
}

/// From what is asked of a softmax's results, its `weights`, to what is asked of the
/// numbers that it began with.
struct Scores<'a> {
    weights: &'a [f32],
    asked: &'a mut [f32],
    length: usize,
    scale: f32,
}

impl Work for Scores<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let rows = self.asked.chunks_exact_mut(self.length);
        for (asked, weights) in rows.zip(self.weights.chunks_exact(self.length)) {
            let level = math::sum_of_products(asked, weights);
            for (asked, weight) in asked.iter_mut().zip(weights) {
                *asked = (*asked - level) * weight * self.scale;
            }
        }
    }
}
