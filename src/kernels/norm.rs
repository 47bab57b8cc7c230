//! Layer normalisation by row.

use std::mem::MaybeUninit;

use super::math;
use super::parallel::{add_assign, chunk_ranges, for_each, split_by, sum_by_channel};
use super::simd::{SimdF32, SimdJob, dispatch};
use super::uninit::vec_init_with;

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta` for rows as long as `gamma`.
pub fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32) -> Vec<f32> {
    struct Norm<'a> {
        out: &'a mut [f32],
        gamma: &'a [f32],
        beta: &'a [f32],
        epsilon: f32,
    }
    impl SimdJob for Norm<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: SimdF32>(self) {
            let width = self.gamma.len() as f32;
            for row in self.out.chunks_exact_mut(self.gamma.len()) {
                let mean = math::sum(row) / width;
                row.iter_mut().for_each(|x| *x -= mean);
                let variance = math::sum_of_squares(row) / width;
                let scale = 1.0 / (variance + self.epsilon).sqrt();
                let columns = self.gamma.iter().zip(self.beta);
                for (x, (gamma, beta)) in row.iter_mut().zip(columns) {
                    *x = *x * scale * gamma + beta;
                }
            }
        }
    }
    let mut out = x.to_vec();
    let parts = out.chunks_mut(ROWS * gamma.len().max(1)).collect();
    for_each(parts, true, |out| {
        dispatch(Norm {
            out,
            gamma,
            beta,
            epsilon,
        })
    });
    out
}

/// Minimum rows per task.
const ROWS: usize = 64;

/// Gradients of `x`, gamma and beta, given the gradient of [`layer_norm`].
pub fn layer_norm_backward(
    grad_output: &[f32],
    x: &[f32],
    gamma: &[f32],
    epsilon: f32,
) -> [Vec<f32>; 3] {
    let width = gamma.len();
    assert!(grad_output.len() == x.len() && x.len().is_multiple_of(width));
    let chunks = chunk_ranges(x.len().div_ceil(ROWS * width));
    let mut parts = vec![[vec![0.0; width], vec![0.0; width]]; chunks.len()];
    let write = |out: &mut [MaybeUninit<f32>]| {
        let out = split_by(out, &chunks, ROWS * width);
        let parts = chunks.iter().zip(&mut parts).zip(out).collect();
        for_each(parts, true, |((chunk, all), out)| {
            let first = chunk.start * ROWS * width;
            let part = first..first + out.len();
            let (grad_output, x) = (&grad_output[part.clone()], &x[part]);
            let rows = grad_output.chunks(ROWS * width).zip(x.chunks(ROWS * width));
            for ((grad_output, x), out) in rows.zip(out.chunks_mut(ROWS * width)) {
                let mut sums = [vec![0.0; width], vec![0.0; width]];
                dispatch(Backward {
                    grad_output,
                    x,
                    gamma,
                    epsilon,
                    out,
                    sums: &mut sums,
                });
                for (all, sums) in all.iter_mut().zip(&sums) {
                    add_assign(all, &sum_by_channel(sums, width));
                }
            }
        });
    };
    // SAFETY: the chunks cover all rows, which leave no remainder, as asserted, and
    // `Backward` writes all of its rows.
    let grad_x = unsafe { vec_init_with(x.len(), write) };
    let [gamma, beta] = [0, 1].map(|index| {
        let mut all = vec![0.0; width];
        parts
            .iter()
            .for_each(|part| add_assign(&mut all, &part[index]));
        all.into_iter().map(|sum| sum as f32).collect()
    });
    [grad_x, gamma, beta]
}

/// Rows of [`layer_norm_backward`]; `sums` accumulates the gradients of gamma and beta.
struct Backward<'a> {
    grad_output: &'a [f32],
    x: &'a [f32],
    gamma: &'a [f32],
    epsilon: f32,
    out: &'a mut [MaybeUninit<f32>],
    sums: &'a mut [Vec<f32>; 2],
}

impl SimdJob for Backward<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let length = self.gamma.len();
        let width = length as f32;
        let [grad_gamma, grad_beta] = self.sums;
        let (mut normalized, mut scaled) = (vec![0.0; length], vec![0.0; length]);
        let rows = self
            .grad_output
            .chunks_exact(length)
            .zip(self.x.chunks_exact(length));
        for ((grad_output, x), out) in rows.zip(self.out.chunks_exact_mut(length)) {
            let mean = math::sum(x) / width;
            let centred = normalized.iter_mut().zip(x);
            centred.for_each(|(normalized, x)| *normalized = x - mean);
            let variance = math::sum_of_squares(&normalized) / width;
            let inv_std = 1.0 / (variance + self.epsilon).sqrt();
            normalized.iter_mut().for_each(|x| *x *= inv_std);
            let sums = grad_gamma.iter_mut().zip(grad_beta.iter_mut());
            for ((grad_output, normalized), (grad_gamma, grad_beta)) in
                grad_output.iter().zip(&normalized).zip(sums)
            {
                *grad_gamma += grad_output * normalized;
                *grad_beta += grad_output;
            }
            let columns = scaled.iter_mut().zip(grad_output.iter().zip(self.gamma));
            columns.for_each(|(scaled, (grad_output, gamma))| *scaled = grad_output * gamma);
            // Removes the components along the mean and the variance.
            let mean_grad = math::sum(&scaled) / width;
            let projection = math::dot(&scaled, &normalized) / width;
            let columns = scaled.iter().zip(&normalized);
            for (out, (scaled, normalized)) in out.iter_mut().zip(columns) {
                out.write(inv_std * (scaled - mean_grad - normalized * projection));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::level::at_every_level;
    use super::super::{assert_gradient, dot, test_values};
    use super::*;

    #[test]
    fn gradients_are_the_slopes_of_layer_norm() {
        let (rows, width) = (3, 20);
        let [x, grad_output] = [1, 2].map(|seed| test_values(rows * width, seed));
        let [gamma, beta] = [3, 4].map(|seed| test_values(width, seed));
        at_every_level(|| {
            let loss = |x: &[f32], gamma: &[f32], beta: &[f32]| {
                dot(&layer_norm(x, gamma, beta, 1e-2), &grad_output)
            };
            let grads = layer_norm_backward(&grad_output, &x, &gamma, 1e-2);
            assert_gradient(&grads[0], &x, |x| loss(x, &gamma, &beta));
            assert_gradient(&grads[1], &gamma, |gamma| loss(&x, gamma, &beta));
            assert_gradient(&grads[2], &beta, |beta| loss(&x, &gamma, beta));
        });
    }
}
