//! Layer normalisation, row by row.

use super::math;
use super::simd::{Lanes, Work, dispatch};

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta` for rows as long as `gamma`.
pub fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32) -> Vec<f32> {
    struct Norm<'a> {
        out: &'a mut [f32],
        gamma: &'a [f32],
        beta: &'a [f32],
        epsilon: f32,
    }
    impl Work for Norm<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) {
            let width = self.gamma.len() as f32;
            for row in self.out.chunks_exact_mut(self.gamma.len()) {
                let mean = math::sum(row) / width;
                row.iter_mut().for_each(|x| *x -= mean);
                let variance = math::sum_of_squares(row) / width;
                let scale = 1.0 / (variance + self.epsilon).sqrt();
                let line = self.gamma.iter().zip(self.beta);
                for (x, (gamma, beta)) in row.iter_mut().zip(line) {
                    *x = *x * scale * gamma + beta;
                }
            }
        }
    }
    let mut out = x.to_vec();
    dispatch(Norm {
        out: &mut out,
        gamma,
        beta,
        epsilon,
    });
    out
}
