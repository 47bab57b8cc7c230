//! Fused bias, residual and activation, forward and backward, in one pass each.

use std::mem::MaybeUninit;

use super::Activation;
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
    activation: Activation,
) -> Vec<f32> {
    par_fill(x.len(), ROWS * bias.len(), |part, out| {
        dispatch(Forward {
            x: &x[part.clone()],
            bias,
            residual: residual.map(|residual| &residual[part]),
            activation,
            out,
        });
    })
}

struct Forward<'a> {
    x: &'a [f32],
    bias: &'a [f32],
    residual: Option<&'a [f32]>,
    activation: Activation,
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
                    let columns = columns.zip(&residual[index * width..]);
                    for (out, ((x, bias), residual)) in out.iter_mut().zip(columns) {
                        out.write(x + bias + residual);
                    }
                }
            }
            // SAFETY: just written.
            math::activate(self.activation, unsafe { out.assume_init_mut() });
        }
    }
}

/// Gradient of `x + bias`, given the gradient of [`bias_act()`] without residual.
pub fn backward(grad_output: &[f32], x: &[f32], bias: &[f32], activation: Activation) -> Vec<f32> {
    par_fill(x.len(), ROWS * bias.len(), |part, out| {
        dispatch(Backward {
            grad_output: &grad_output[part.clone()],
            x: &x[part],
            bias,
            activation,
            out,
        });
    })
}

struct Backward<'a> {
    grad_output: &'a [f32],
    x: &'a [f32],
    bias: &'a [f32],
    activation: Activation,
    out: &'a mut [MaybeUninit<f32>],
}

impl SimdJob for Backward<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        match self.activation {
            Activation::Identity => self.map(|_| 1.0),
            Activation::QuickGelu => self.map(math::quick_gelu_grad),
            Activation::Gelu => self.map(math::gelu_grad),
            Activation::Relu => self.map(|x| if x > 0.0 { 1.0 } else { 0.0 }),
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
