//! GEMM with int8 weights: half the instructions and a quarter of the memory of f32.
//! Weights are quantised symmetrically per column, to -127..=127 and a scale. The
//! left-hand side is quantised per row, to as many bits as the i32 accumulator allows,
//! which is 12 or more in any CLIP: the error is that of the weights.

use std::ops::Range;

use super::conv::{ConvGeometry, Patches};
use super::gemm::{self, Epilogue, Matrix, Packed, Pair};
use super::parallel;
use super::simd::{SimdF32, SimdJob, dispatch};

const MAX_WEIGHT: f32 = 127.0;

/// Quantises a matrix `[depth, columns]`: pairs of rows, `[depth / 2, columns]`, and a
/// scale per column. The depth must be even.
pub fn quantize_weights<T: Copy + Into<f32>>(
    matrix: &[T],
    columns: usize,
) -> (Vec<[i8; 2]>, Vec<f32>) {
    let mut abs_max = vec![0; columns];
    for row in matrix.chunks_exact(columns) {
        let values = abs_max.iter_mut().zip(row);
        values.for_each(|(abs_max, value)| *abs_max = abs_bits((*value).into()).max(*abs_max));
    }
    let scales: Vec<f32> = (abs_max.into_iter())
        .map(|abs_max| f32::from_bits(abs_max) / MAX_WEIGHT)
        .collect();
    let round = |value: T, scale: f32| match scale > 0.0 {
        true => (value.into() / scale).round() as i8,
        false => 0,
    };
    let mut pairs = Vec::with_capacity(matrix.len() / 2);
    for rows in matrix.chunks_exact(2 * columns) {
        let (first, second) = rows.split_at(columns);
        let values = first.iter().zip(second).zip(&scales);
        pairs.extend(values.map(|((a, b), scale)| [round(*a, *scale), round(*b, *scale)]));
    }
    (pairs, scales)
}

/// `values`, rows of length `depth`, times `packed`.
pub fn gemm(values: &[f32], depth: usize, packed: &Packed<Pair>, epilogue: &Epilogue) -> Vec<f32> {
    let (pairs, scales) = quantize(values, depth, max_quantized(depth));
    let rows = Matrix {
        values: &pairs,
        rows: scales.len(),
        depth: depth / 2,
        stride: depth / 2,
    };
    let scaled_epilogue = Epilogue {
        row_scale: Some(&scales),
        ..*epilogue
    };
    gemm::gemm(&rows, packed, &scaled_epilogue)
}

/// Output rows of a convolution, which must be whole images; the number of channels is
/// even.
pub fn conv(
    input: &[f32],
    geometry: ConvGeometry,
    output_rows: Range<usize>,
    packed: &Packed<Pair>,
    epilogue: &Epilogue,
) -> Vec<f32> {
    let depth = geometry.depth();
    if geometry.kernel == 1 && geometry.stride == 1 {
        return gemm(input, depth, packed, epilogue);
    }
    // Neighbouring pixels overlap, so a whole image shares one scale.
    let (pairs, scales) = quantize(
        input,
        geometry.height * geometry.row_len(),
        max_quantized(depth),
    );
    let patches = Patches::new(&pairs, geometry.with_paired_channels(), output_rows);
    let results: usize = geometry.output_size().iter().product();
    let scales: Vec<f32> = (scales.into_iter())
        .flat_map(|scale| std::iter::repeat_n(scale, results))
        .collect();
    let scaled_epilogue = Epilogue {
        row_scale: Some(&scales),
        ..*epilogue
    };
    gemm::gemm(&patches, packed, &scaled_epilogue)
}

/// Largest quantised magnitude for which `depth` products with weights fit an i32.
fn max_quantized(depth: usize) -> f32 {
    (i32::MAX / (MAX_WEIGHT as i32 * depth as i32)).min(i16::MAX.into()) as f32
}

/// Quantises rows of `length` values to magnitudes up to `max`, with a scale per row.
fn quantize(values: &[f32], length: usize, max: f32) -> (Vec<Pair>, Vec<f32>) {
    struct Row<'a>(&'a [f32], &'a mut [Pair], &'a mut f32, f32);
    impl SimdJob for Row<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: SimdF32>(self) {
            let Self(row, pairs, scale, max) = self;
            let abs_max = (row.iter()).fold(0, |abs_max, x| abs_bits(*x).max(abs_max));
            // A row of zeros must not have a scale of zero.
            let abs_max = f32::from_bits(abs_max.max(f32::MIN_POSITIVE.sqrt().to_bits()));
            *scale = abs_max / max;
            let inv_scale = max / abs_max;
            for (to, x) in pairs.as_flattened_mut().iter_mut().zip(row) {
                // Adding this constant rounds; the low bits are the integer.
                const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
                *to = (x * inv_scale + ROUND).to_bits() as i16;
            }
        }
    }
    let mut pairs = vec![[0; 2]; values.len() / 2];
    let mut scales = vec![0.0; values.len() / length];
    let rows = values.chunks_exact(length);
    let rows = rows
        .zip(pairs.chunks_exact_mut(length / 2))
        .zip(&mut scales);
    let rows = rows.map(|((row, pairs), scale)| Row(row, pairs, scale, max));
    parallel::for_each(rows.collect(), true, dispatch);
    (pairs, scales)
}

/// Bits of the absolute value, which order as the values do. NaN orders highest, so it
/// reaches the scale and is not lost.
#[inline(always)]
fn abs_bits(x: f32) -> u32 {
    x.to_bits() & (u32::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use super::super::simd::level::at_every_level;
    use super::super::{ActivationFunction, test_values};
    use super::*;

    /// Int8 GEMM against f64, within the rounding error bound: half a quantisation step
    /// per value.
    fn within_its_bound([rows, depth, columns]: [usize; 3]) {
        let (x, w) = (
            test_values(rows * depth, 1),
            test_values(depth * columns, 2),
        );
        let (pairs, scales) = quantize_weights(&w, columns);
        let mut packed = Vec::new();
        gemm::pack(&pairs, depth / 2, columns, columns, &mut packed);
        let packed = Packed::new(packed.as_slice(), depth / 2, columns);
        let epilogue = Epilogue {
            scale: Some(&scales),
            ..Epilogue::NONE
        };
        let max = max_quantized(depth);
        let (left, row_scales) = quantize(&x, depth, max);
        let matrix = Matrix {
            values: &left,
            rows,
            depth: depth / 2,
            stride: depth / 2,
        };
        let scaled_epilogue = Epilogue {
            row_scale: Some(&row_scales),
            ..epilogue
        };
        let found = gemm::gemm_serial(&matrix, &packed, &scaled_epilogue);
        for (place, found) in found.into_iter().enumerate() {
            let (row, column) = (place / columns, place % columns);
            let (mut exact, mut bound) = (0.0, 1e-4);
            for i in 0..depth {
                let (a, b) = (x[row * depth + i], w[i * columns + column]);
                let (half_a, half_b) = (row_scales[row] / 2.0, scales[column] / 2.0);
                exact += f64::from(a) * f64::from(b);
                bound += f64::from(half_a * (b.abs() + half_b) + half_b * a.abs());
            }
            let distance = (f64::from(found) - exact).abs();
            assert!(distance <= bound, "{row}, {column}: {distance} > {bound}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes too long")]
    fn products_are_as_near_as_whole_numbers_allow() {
        at_every_level(|| {
            for shape in [[1, 64, 8], [3, 100, 36], [50, 96, 132], [33, 4608, 40]] {
                within_its_bound(shape);
            }
        });
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes too long")]
    fn the_largest_sums_fit() {
        for depth in [2, 64, 4608, 16_384] {
            let (x, w) = (vec![1.0; depth], vec![-1.0; depth * 2]);
            let (pairs, scales) = quantize_weights(&w, 2);
            let mut packed = Vec::new();
            gemm::pack(&pairs, depth / 2, 2, 2, &mut packed);
            let packed = Packed::new(packed.as_slice(), depth / 2, 2);
            let epilogue = Epilogue {
                scale: Some(&scales),
                activation: ActivationFunction::Identity,
                ..Epilogue::NONE
            };
            for found in gemm(&x, depth, &packed, &epilogue) {
                assert!((found / -(depth as f32) - 1.0).abs() < 1e-5, "{found}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_not_lost_and_zeros_stay() {
        let bad = [1.0, f32::NAN, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0];
        let (pairs, scales) = quantize(&bad, 4, max_quantized(4));
        assert!(scales[0].is_nan() && scales[1] > 0.0);
        assert_eq!(pairs[2..], [[0, 0], [0, 0]]);
        assert!(quantize_weights(&bad, 4).1[1].is_nan());
    }
}
