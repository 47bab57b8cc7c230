//! What follows a product, there and back, in one pass each.

use std::mem::MaybeUninit;

use super::Curve;
use super::math;
use super::share::filled_in_parts;
use super::simd::{Lanes, Work, dispatch};

/// Rows that are worth a task.
const ROWS: usize = 64;

/// `curve(x + bias + add)` of rows as long as the bias.
pub fn finish(x: &[f32], bias: &[f32], add: Option<&[f32]>, curve: Curve) -> Vec<f32> {
    filled_in_parts(x.len(), ROWS * bias.len(), |part, out| {
        dispatch(There {
            x: &x[part.clone()],
            bias,
            add: add.map(|add| &add[part]),
            curve,
            out,
        });
    })
}

struct There<'a> {
    x: &'a [f32],
    bias: &'a [f32],
    add: Option<&'a [f32]>,
    curve: Curve,
    out: &'a mut [MaybeUninit<f32>],
}

impl Work for There<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let width = self.bias.len();
        let rows = self.x.chunks_exact(width);
        for (index, (x, out)) in rows.zip(self.out.chunks_exact_mut(width)).enumerate() {
            let line = x.iter().zip(self.bias);
            match self.add {
                None => {
                    for (out, (x, bias)) in out.iter_mut().zip(line) {
                        out.write(x + bias);
                    }
                }
                Some(add) => {
                    let line = line.zip(&add[index * width..]);
                    for (out, ((x, bias), add)) in out.iter_mut().zip(line) {
                        out.write(x + bias + add);
                    }
                }
            }
            // SAFETY: just written.
            math::bend(self.curve, unsafe { out.assume_init_mut() });
        }
    }
}

/// What is asked of `x`, by what is `asked` of [`finish`] of it, without `add`.
pub fn back(asked: &[f32], x: &[f32], bias: &[f32], curve: Curve) -> Vec<f32> {
    filled_in_parts(x.len(), ROWS * bias.len(), |part, out| {
        dispatch(Back {
            asked: &asked[part.clone()],
            x: &x[part],
            bias,
            curve,
            out,
        });
    })
}

struct Back<'a> {
    asked: &'a [f32],
    x: &'a [f32],
    bias: &'a [f32],
    curve: Curve,
    out: &'a mut [MaybeUninit<f32>],
}

impl Work for Back<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        match self.curve {
            Curve::Straight => self.each(|_| 1.0),
            Curve::QuickGelu => self.each(math::quick_gelu_slope),
            Curve::Gelu => self.each(math::gelu_slope),
            Curve::Relu => self.each(|x| if x > 0.0 { 1.0 } else { 0.0 }),
        }
    }
}

impl Back<'_> {
    #[inline(always)]
    fn each(self, slope: impl Fn(f32) -> f32) {
        let width = self.bias.len();
        let rows = self
            .x
            .chunks_exact(width)
            .zip(self.asked.chunks_exact(width));
        for ((x, asked), out) in rows.zip(self.out.chunks_exact_mut(width)) {
            let line = asked.iter().zip(x.iter().zip(self.bias));
            for (out, (asked, (x, bias))) in out.iter_mut().zip(line) {
                out.write(asked * slope(x + bias));
            }
        }
    }
}
