//! Products with 8-bit weights, which cost half the instructions of exact ones and
//! a quarter of the memory. A column of weights is whole numbers from -127 to 127
//! and a scale. What it is multiplied with becomes whole numbers, too, but of as
//! many bits as the sums leave it of 32, which is 12 or more in any CLIP: what is
//! lost is lost in the weights.

use std::ops::Range;

use super::conv::{Patches, Places};
use super::gemm::{self, Finish, Matrix, Packed, Pair};
use super::simd::{Lanes, Work, dispatch};

const MOST_WEIGHT: f32 = 127.0;

/// A matrix `[depth, columns]` as pairs of rows, `[depth / 2, columns]`, and the
/// scale of each column. The depth is even.
pub fn weights<T: Copy + Into<f32>>(matrix: &[T], columns: usize) -> (Vec<[i8; 2]>, Vec<f32>) {
    let mut largest = vec![0; columns];
    for row in matrix.chunks_exact(columns) {
        let values = largest.iter_mut().zip(row);
        values.for_each(|(largest, value)| *largest = magnitude((*value).into()).max(*largest));
    }
    let scales: Vec<f32> = (largest.into_iter())
        .map(|largest| f32::from_bits(largest) / MOST_WEIGHT)
        .collect();
    let whole = |value: T, scale: f32| match scale > 0.0 {
        true => (value.into() / scale).round() as i8,
        false => 0,
    };
    let mut pairs = Vec::with_capacity(matrix.len() / 2);
    for rows in matrix.chunks_exact(2 * columns) {
        let (first, second) = rows.split_at(columns);
        let values = first.iter().zip(second).zip(&scales);
        pairs.extend(values.map(|((a, b), scale)| [whole(*a, *scale), whole(*b, *scale)]));
    }
    (pairs, scales)
}

/// `values`, rows of `depth` numbers, times `packed`.
pub fn product(values: &[f32], depth: usize, packed: &Packed<Pair>, finish: &Finish) -> Vec<f32> {
    let (pairs, scales) = quantize(values, depth, most(depth));
    let rows = Matrix {
        values: &pairs,
        rows: scales.len(),
        depth: depth / 2,
        stride: depth / 2,
    };
    let rows_scaled = Finish {
        rows: Some(&scales),
        ..*finish
    };
    gemm::product(&rows, packed, &rows_scaled)
}

/// Some lines of a convolution's result, which are whole pictures' of an even number
/// of channels.
pub fn conv(
    picture: &[f32],
    places: Places,
    lines: Range<usize>,
    packed: &Packed<Pair>,
    finish: &Finish,
) -> Vec<f32> {
    let depth = places.depth();
    if places.kernel == 1 && places.stride == 1 {
        return product(picture, depth, packed, finish);
    }
    // Places share their neighbours, so a whole picture has one scale.
    let (pairs, scales) = quantize(picture, places.height * places.line(), most(depth));
    let patches = Patches::new(&pairs, places.of_pairs(), lines);
    let results: usize = places.size().iter().product();
    let scales: Vec<f32> = (scales.into_iter())
        .flat_map(|scale| std::iter::repeat_n(scale, results))
        .collect();
    let rows_scaled = Finish {
        rows: Some(&scales),
        ..*finish
    };
    gemm::product(&patches, packed, &rows_scaled)
}

/// The largest whole number of which `depth` products with weights add up in 32 bits.
fn most(depth: usize) -> f32 {
    (i32::MAX / (MOST_WEIGHT as i32 * depth as i32)).min(i16::MAX.into()) as f32
}

/// Rows of `length` numbers as whole numbers up to `most`, and the scale of each.
fn quantize(values: &[f32], length: usize, most: f32) -> (Vec<Pair>, Vec<f32>) {
    struct Row<'a>(&'a [f32], &'a mut [Pair], &'a mut f32, f32);
    impl Work for Row<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) {
            let Self(row, pairs, scale, most) = self;
            let largest = (row.iter()).fold(0, |largest, x| magnitude(*x).max(largest));
            // Of zeros alone the scale is anything but zero.
            let largest = f32::from_bits(largest.max(f32::MIN_POSITIVE.sqrt().to_bits()));
            *scale = largest / most;
            let inverse = most / largest;
            for (to, x) in pairs.as_flattened_mut().iter_mut().zip(row) {
                // Adding this number rounds, and the last bits are the sum.
                const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
                *to = (x * inverse + ROUND).to_bits() as i16;
            }
        }
    }
    let mut pairs = vec![[0; 2]; values.len() / 2];
    let mut scales = vec![0.0; values.len() / length];
    let rows = values.chunks_exact(length);
    let rows = rows
        .zip(pairs.chunks_exact_mut(length / 2))
        .zip(&mut scales);
    let rows = rows.map(|((row, pairs), scale)| Row(row, pairs, scale, most));
    gemm::for_all(rows.collect(), true, dispatch);
    (pairs, scales)
}

/// The bits of an absolute value, which are in the same order: of whatever is not
/// a number they are the largest, so that it gets into the scale and is not lost.
#[inline(always)]
fn magnitude(x: f32) -> u32 {
    x.to_bits() & (u32::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use super::super::Curve;
    use super::*;

    /// Made-up numbers from -1 to 1.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        let number = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0;
        (0..count).map(number).collect()
    }

    /// The product against one of exact numbers in f64, within what rounding to
    /// whole numbers can do: half a step for each number.
    fn within_its_bound([rows, depth, columns]: [usize; 3]) {
        let (x, w) = (numbers(rows * depth, 1), numbers(depth * columns, 2));
        let (pairs, scales) = weights(&w, columns);
        let mut packed = Vec::new();
        gemm::pack(&pairs, depth / 2, columns, columns, &mut packed);
        let packed = Packed::new(packed.as_slice(), depth / 2, columns);
        let finish = Finish {
            scale: Some(&scales),
            ..Finish::NOTHING
        };
        let most = most(depth);
        let (left, row_scales) = quantize(&x, depth, most);
        let matrix = Matrix {
            values: &left,
            rows,
            depth: depth / 2,
            stride: depth / 2,
        };
        let rows_scaled = Finish {
            rows: Some(&row_scales),
            ..finish
        };
        let found = gemm::product_here(&matrix, &packed, &rows_scaled);
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

    fn every_shape() {
        for shape in [[1, 64, 8], [3, 100, 36], [50, 96, 132], [33, 4608, 40]] {
            within_its_bound(shape);
        }
    }

    #[test]
    fn products_are_as_near_as_whole_numbers_allow() {
        every_shape();
        #[cfg(target_arch = "x86_64")]
        for level in 0..2 {
            super::super::simd::level::MOST.set(level);
            every_shape();
            super::super::simd::level::MOST.set(u8::MAX);
        }
    }

    #[test]
    fn the_largest_sums_fit() {
        for depth in [2, 64, 4608, 16_384] {
            let (x, w) = (vec![1.0; depth], vec![-1.0; depth * 2]);
            let (pairs, scales) = weights(&w, 2);
            let mut packed = Vec::new();
            gemm::pack(&pairs, depth / 2, 2, 2, &mut packed);
            let packed = Packed::new(packed.as_slice(), depth / 2, 2);
            let finish = Finish {
                scale: Some(&scales),
                curve: Curve::Straight,
                ..Finish::NOTHING
            };
            for found in product(&x, depth, &packed, &finish) {
                assert!((found / -(depth as f32) - 1.0).abs() < 1e-5, "{found}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_not_lost_and_zeros_stay() {
        let bad = [1.0, f32::NAN, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0];
        let (pairs, scales) = quantize(&bad, 4, most(4));
        assert!(scales[0].is_nan() && scales[1] > 0.0);
        assert_eq!(pairs[2..], [[0, 0], [0, 0]]);
        assert!(weights(&bad, 4).1[1].is_nan());
    }
}
