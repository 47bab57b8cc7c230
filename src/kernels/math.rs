//! Branch-free scalar functions, so that compilers vectorise loops over them.

use super::ActivationFunction;

/// `e^x` to 2 units in the last place; 0 below -87, capped above 88.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // x = n ln 2 + r, |r| <= ln 2 / 2; adding and taking away this number rounds.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first exact in products with n.
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let e = p * r * r + r + 1.0;
    // 2^n by its exponent's bits.
    f32::from_bits(e.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// The error function to 4e-7, by Abramowitz and Stegun's 7.1.26 with all terms.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = 1.061_405_4;
    let p = p * t - 1.453_152;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    (1.0 - p * t * exp(-a * a)).copysign(x)
}

#[inline(always)]
pub fn quick_gelu(x: f32) -> f32 {
    x / (1.0 + exp(-1.702 * x))
}

#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// `0.044715` in the tanh approximation of GELU.
const CUBE: f32 = 0.044_715;
/// `2 sqrt(2 / pi)`: `(1 + tanh(x)) / 2` is the sigmoid of `2 x`.
const SLOPE: f32 = 1.595_769;

/// GELU by its tanh approximation.
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    x / (1.0 + exp(-SLOPE * (x + CUBE * x * x * x)))
}

/// Derivative of [`quick_gelu`].
#[inline(always)]
pub fn quick_gelu_grad(x: f32) -> f32 {
    let sigmoid = 1.0 / (1.0 + exp(-1.702 * x));
    sigmoid + 1.702 * x * sigmoid * (1.0 - sigmoid)
}

/// Derivative of [`gelu`].
#[inline(always)]
pub fn gelu_grad(x: f32) -> f32 {
    const DENSITY: f32 = 0.398_942_3; // 1 / sqrt(2 pi)
    let cdf = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
    cdf + x * DENSITY * exp(-0.5 * x * x)
}

/// Derivative of [`gelu_tanh`].
#[inline(always)]
pub fn gelu_tanh_grad(x: f32) -> f32 {
    let sigmoid = 1.0 / (1.0 + exp(-SLOPE * (x + CUBE * x * x * x)));
    let inner = SLOPE * (1.0 + 3.0 * CUBE * x * x);
    sigmoid + x * sigmoid * (1.0 - sigmoid) * inner
}

/// Applies an activation to a row, in place.
#[inline(always)]
pub fn activate(activation: ActivationFunction, row: &mut [f32]) {
    match activation {
        ActivationFunction::Identity => {}
        ActivationFunction::QuickGelu => row.iter_mut().for_each(|x| *x = quick_gelu(*x)),
        ActivationFunction::Gelu => row.iter_mut().for_each(|x| *x = gelu(*x)),
        ActivationFunction::GeluTanh => row.iter_mut().for_each(|x| *x = gelu_tanh(*x)),
        ActivationFunction::Relu => row.iter_mut().for_each(|x| *x = x.max(0.0)),
    }
}

/// Softmax of a row, in place.
#[inline(always)]
pub fn softmax(row: &mut [f32]) {
    let max = max(row);
    row.iter_mut().for_each(|x| *x = exp(*x - max));
    let sum = sum(row);
    row.iter_mut().for_each(|x| *x /= sum);
}

/// Reduction in sixteen lanes: float addition is not associative, so a compiler
/// vectorises only sums that are written this way.
#[inline(always)]
fn fold(row: &[f32], start: f32, each: impl Fn(f32) -> f32, with: impl Fn(f32, f32) -> f32) -> f32 {
    const LANES: usize = 16;
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = with(lanes[i], each(chunk[i]));
        }
    }
    let rest = rest.iter().map(|x| each(*x));
    lanes.into_iter().chain(rest).fold(start, with)
}

#[inline(always)]
fn max(row: &[f32]) -> f32 {
    fold(row, f32::MIN, |x| x, |a, b| if b > a { b } else { a })
}

#[inline(always)]
pub fn sum(row: &[f32]) -> f32 {
    fold(row, 0.0, |x| x, |a, b| a + b)
}

#[inline(always)]
pub fn sum_of_squares(row: &[f32]) -> f32 {
    fold(row, 0.0, |x| x * x, |a, b| a + b)
}

#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    lanes.into_iter().chain(rest).sum()
}

/// f16 to f32 by bit operations: wasm has no instruction for it.
#[inline(always)]
pub fn from_f16(bits: u16) -> f32 {
    let bits = bits as u32;
    // The multiplication adjusts the exponent's bias and normalises subnormals; weights
    // contain no infinities.
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exp() {
        for i in -8700..=8800 {
            let x = i as f32 / 100.0;
            let expected = (x as f64).exp();
            assert!((exp(x) as f64 / expected - 1.0).abs() < 4e-7, "{x}");
        }
        assert!(exp(-1e9) < 1e-37);
    }

    #[test]
    fn gelu_is_gelu() {
        // 0.5 (1 + erf(x / sqrt 2)), from a table of the normal distribution.
        for (x, phi) in [
            (0.0, 0.5),
            (0.5, 0.691_462_46),
            (1.0, 0.841_344_8),
            (2.0, 0.977_249_86),
            (3.0, 0.998_650_1),
        ] {
            assert!((gelu(x) - x * phi).abs() < 1e-6, "{x}");
            assert!((gelu(-x) + x * (1.0 - phi)).abs() < 1e-6, "-{x}");
        }
    }

    #[test]
    fn every_finite_half_is_exact() {
        for bits in 0..=u16::MAX {
            let expected = half::f16::from_bits(bits);
            if expected.is_finite() {
                assert_eq!(from_f16(bits), expected.to_f32());
            }
        }
    }

    #[test]
    fn softmax_sums_to_one() {
        let mut row: Vec<f32> = (0..50).map(|i| (i as f32).sin() * 30.0).collect();
        let expected: Vec<f64> = row.iter().map(|x| (*x as f64).exp()).collect();
        let total: f64 = expected.iter().sum();
        softmax(&mut row);
        for (found, expected) in row.iter().zip(expected) {
            assert!((*found as f64 - expected / total).abs() < 1e-6);
        }
    }
}
