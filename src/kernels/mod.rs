//! CPU kernels over plain slices: no tensors, no devices. Called by [`crate::ops`] for
//! tensors in CPU memory, and by the compute workers of a browser ([`pool`]), whose
//! program contains nothing else.

pub mod attention;
pub mod attention_backward;
pub mod bias_act;
pub mod conv;
pub mod conv_norm;
pub(crate) mod gemm;
pub mod int8;
pub mod math;
pub mod norm;
pub mod packed_weights;
pub(crate) mod parallel;
pub mod pool;
pub mod simd;
mod strassen;
pub(crate) mod uninit;
pub mod unpacked_gemm;
pub mod winograd;

use serde::{Deserialize, Serialize};

/// Pseudo-random values from -1 to 1, for tests.
#[cfg(test)]
fn test_values(count: usize, seed: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0;
    (0..count).map(value).collect()
}

#[cfg(test)]
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let product = |(a, b): (&f32, &f32)| f64::from(*a) * f64::from(*b);
    a.iter().zip(b).map(product).sum()
}

/// Compares a gradient with differences of the function, for tests.
#[cfg(test)]
#[track_caller]
fn assert_gradient(grad: &[f32], x: &[f32], f: impl Fn(&[f32]) -> f64) {
    const STEP: f32 = 1e-2;
    // Miri takes a thousand times as long.
    const EVERY: usize = if cfg!(miri) { 11 } else { 1 };
    assert_eq!(grad.len(), x.len());
    let mut moved = x.to_vec();
    for (i, grad) in grad.iter().enumerate().step_by(EVERY) {
        let [above, below] = [STEP, -STEP].map(|step| {
            moved[i] = x[i] + step;
            f(&moved)
        });
        moved[i] = x[i];
        let slope = (above - below) / f64::from(2.0 * STEP);
        let distance = (f64::from(*grad) - slope).abs();
        assert!(
            distance < 5e-3 * slope.abs().max(1.0),
            "{i}: {grad} instead of {slope}"
        );
    }
}

/// Element-wise activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ActivationFunction {
    Identity,
    QuickGelu,
    Gelu,
    GeluTanh,
    Relu,
}
