//! Layer normalisation, row by row.

use super::gemm::for_all;
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
    let parts = out.chunks_mut(ROWS * gamma.len().max(1)).collect();
    for_all(parts, true, |out| {
        dispatch(Norm {
            out,
            gamma,
            beta,
            epsilon,
        })
    });
    out
}

/// Rows that are worth a task.
const ROWS: usize = 64;

/// What is asked of `x`, gamma and beta, by what is `asked` of [`layer_norm`].
#[cfg(feature = "training")]
pub fn back(asked: &[f32], x: &[f32], gamma: &[f32], epsilon: f32) -> [Vec<f32>; 3] {
    use super::room::filled;
    use super::share::{add_up, divide, shares, total};
    let width = gamma.len();
    let shares = shares(x.len().div_ceil(ROWS * width));
    let mut parts = vec![[vec![0.0; width], vec![0.0; width]]; shares.len()];
    let to_x = filled(x.len(), |out| {
        let out = divide(out, &shares, ROWS * width);
        let parts = shares.iter().zip(&mut parts).zip(out).collect();
        for_all(parts, true, |((share, all), out)| {
            let first = share.start * ROWS * width;
            let part = first..first + out.len();
            let (asked, x) = (&asked[part.clone()], &x[part]);
            let rows = asked.chunks(ROWS * width).zip(x.chunks(ROWS * width));
            for ((asked, x), out) in rows.zip(out.chunks_mut(ROWS * width)) {
                let mut sums = [vec![0.0; width], vec![0.0; width]];
                dispatch(Back {
                    asked,
                    x,
                    gamma,
                    epsilon,
                    out,
                    sums: &mut sums,
                });
                for (all, sums) in all.iter_mut().zip(&sums) {
                    add_up(all, &total(sums, width));
                }
            }
        });
    });
    let [gamma, beta] = [0, 1].map(|index| {
        let mut all = vec![0.0; width];
        parts.iter().for_each(|part| add_up(&mut all, &part[index]));
        all.into_iter().map(|sum| sum as f32).collect()
    });
    [to_x, gamma, beta]
}

/// See [`back`]; `sums` is what is asked of gamma and beta.
#[cfg(feature = "training")]
struct Back<'a> {
    asked: &'a [f32],
    x: &'a [f32],
    gamma: &'a [f32],
    epsilon: f32,
    out: &'a mut [std::mem::MaybeUninit<f32>],
    sums: &'a mut [Vec<f32>; 2],
}

#[cfg(feature = "training")]
impl Work for Back<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let length = self.gamma.len();
        let width = length as f32;
        let [to_gamma, to_beta] = self.sums;
        let (mut normal, mut scaled) = (vec![0.0; length], vec![0.0; length]);
        let rows = self
            .asked
            .chunks_exact(length)
            .zip(self.x.chunks_exact(length));
        for ((asked, x), out) in rows.zip(self.out.chunks_exact_mut(length)) {
            let mean = math::sum(x) / width;
            let centred = normal.iter_mut().zip(x);
            centred.for_each(|(normal, x)| *normal = x - mean);
            let variance = math::sum_of_squares(&normal) / width;
            let inverse = 1.0 / (variance + self.epsilon).sqrt();
            normal.iter_mut().for_each(|x| *x *= inverse);
            let sums = to_gamma.iter_mut().zip(to_beta.iter_mut());
            for ((asked, normal), (to_gamma, to_beta)) in asked.iter().zip(&normal).zip(sums) {
                *to_gamma += asked * normal;
                *to_beta += asked;
            }
            let line = scaled.iter_mut().zip(asked.iter().zip(self.gamma));
            line.for_each(|(scaled, (asked, gamma))| *scaled = asked * gamma);
            // What would move the mean, or the variance, is taken back.
            let level = math::sum(&scaled) / width;
            let along = math::sum_of_products(&scaled, &normal) / width;
            let line = scaled.iter().zip(&normal);
            for (out, (scaled, normal)) in out.iter_mut().zip(line) {
                out.write(inverse * (scaled - level - normal * along));
            }
        }
    }
}
