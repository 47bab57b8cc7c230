//! Fused bias, residual and activation, forward and backward, in one pass each.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::ActivationFunction;
use super::math;
use super::parallel::par_fill;
use super::simd::{SimdF32, SimdJob, dispatch};

/// Minimum rows per task.
const ROWS: usize = 64;

/// `activation(x + bias + residual)` of rows as long as the bias.
pub fn bias_act(
    x: &[f32],
    bias: &[f32],
    residual: Option<&[f32]>,
    activation: ActivationFunction,
) -> Vec<f32> {
    assert!(x.len().is_multiple_of(bias.len()));
    let write = |part: Range<usize>, out: &mut [MaybeUninit<f32>]| {
        dispatch(Forward {
            x: &x[part.clone()],
            bias,
            residual: residual.map(|residual| &residual[part]),
            activation,
            out,
        });
    };
    // SAFETY: `Forward` writes all rows, and each part consists of whole ones.
    unsafe { par_fill(x.len(), ROWS * bias.len(), write) }
}

struct Forward<'a> {
    x: &'a [f32],
    bias: &'a [f32],
    residual: Option<&'a [f32]>,
    activation: ActivationFunction,
    out: &'a mut [MaybeUninit<f32>],
}

impl SimdJob for Forward<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let width = self.bias.len();
        let rows = self.x.chunks_exact(width);
        for (index, (x, out)) in rows.zip(self.out.chunks_exact_mut(width)).enumerate() {
            let columns = x.iter().zip(self.bias);
            match self.residual {
                None => {
                    for (out, (x, bias)) in out.iter_mut().zip(columns) {
                        out.write(x + bias);
                    }
                }
                Some(residual) => {
                    let columns = columns.zip(&residual[index * width..][..width]);
                    for (out, ((x, bias), residual)) in out.iter_mut().zip(columns) {
                        out.write(x + bias + residual);
                    }
                }
            }
            // SAFETY: `x`, `out` and the bias have the same length, and the residual's row is as long, so
            // that all was written.
            let out = unsafe { out.assume_init_mut() };
            math::activate(self.activation, out);
        }
    }
}

/// Gradient of `x + bias`, given the gradient of [`bias_act()`] without residual.
pub fn backward(
    grad_output: &[f32],
    x: &[f32],
    bias: &[f32],
    activation: ActivationFunction,
) -> Vec<f32> {
    assert!(x.len().is_multiple_of(bias.len()));
    let write = |part: Range<usize>, out: &mut [MaybeUninit<f32>]| {
        dispatch(Backward {
            grad_output: &grad_output[part.clone()],
            x: &x[part],
            bias,
            activation,
            out,
        });
    };
    // SAFETY: `Backward` writes all rows, and each part consists of whole ones.
    unsafe { par_fill(x.len(), ROWS * bias.len(), write) }
}

struct Backward<'a> {
    grad_output: &'a [f32],
    x: &'a [f32],
    bias: &'a [f32],
    activation: ActivationFunction,
    out: &'a mut [MaybeUninit<f32>],
}

impl SimdJob for Backward<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        match self.activation {
            ActivationFunction::Identity => self.map(|_| 1.0),
            ActivationFunction::QuickGelu => self.map(math::quick_gelu_grad),
            ActivationFunction::Gelu => self.map(math::gelu_grad),
            ActivationFunction::GeluTanh => self.map(math::gelu_tanh_grad),
            ActivationFunction::Relu => self.map(|x| if x > 0.0 { 1.0 } else { 0.0 }),
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn map(self, grad: impl Fn(f32) -> f32) {
        let width = self.bias.len();
        let rows = self
            .x
            .chunks_exact(width)
            .zip(self.grad_output.chunks_exact(width));
        for ((x, grad_output), out) in rows.zip(self.out.chunks_exact_mut(width)) {
            let columns = grad_output.iter().zip(x.iter().zip(self.bias));
            for (out, (grad_output, (x, bias))) in out.iter_mut().zip(columns) {
                out.write(grad_output * grad(x + bias));
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
    fn gradients_are_the_slopes_of_the_activations() {
        let (rows, width) = (3, 21);
        let [x, grad_output] = [1, 2].map(|seed| test_values(rows * width, seed));
        let bias = test_values(width, 3);
        for activation in [
            ActivationFunction::Identity,
            ActivationFunction::QuickGelu,
            ActivationFunction::Gelu,
            ActivationFunction::GeluTanh,
        ] {
            at_every_level(|| {
                let grad = backward(&grad_output, &x, &bias, activation);
                assert_gradient(&grad, &x, |x| {
                    dot(&bias_act(x, &bias, None, activation), &grad_output)
                });
            });
        }
    }

    #[test]
    fn the_residual_is_added() {
        let (rows, width) = (130, 5);
        let [x, residual] = [1, 2].map(|seed| test_values(rows * width, seed));
        let bias = test_values(width, 3);
        let y = bias_act(&x, &bias, Some(&residual), ActivationFunction::Relu);
        for (i, y) in y.into_iter().enumerate() {
            assert_eq!(y, (x[i] + bias[i % width] + residual[i]).max(0.0));
        }
    }
}
