//! Single-threaded GEMM on unpacked operands: training uses a matrix too few times to
//! amortise packing.

use std::mem::MaybeUninit;

use super::simd::{SimdF32, SimdJob, dispatch};

/// Left-hand side: the offset between rows, and the strides of the two nested loops over
/// the depth. Two, so that a row may consist of several segments.
#[derive(Clone, Copy)]
pub struct Lhs<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub strides: [usize; 2],
}

/// Right-hand side: the strides over the depth. Columns are contiguous, and whole vectors
/// are read.
#[derive(Clone, Copy)]
pub struct Rhs<'a> {
    pub values: &'a [f32],
    pub strides: [usize; 2],
}

/// Tile height (MR): with two vectors of columns, enough accumulators to saturate both
/// FMA units.
const MR: usize = 8;

/// What becomes of the products.
pub enum Output<'a> {
    Write(&'a mut [MaybeUninit<f32>]),
    Accumulate(&'a mut [f32]),
}

impl Output<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        match self {
            Self::Write(values) => values.len(),
            Self::Accumulate(values) => values.len(),
        }
    }

    #[inline(always)]
    fn as_mut_ptr(&mut self) -> *mut f32 {
        match self {
            Self::Write(values) => values.as_mut_ptr().cast(),
            Self::Accumulate(values) => values.as_mut_ptr(),
        }
    }
}

/// `lhs` times `rhs`, `[rows, columns]`, into `out` with row stride `stride`, for at most
/// two vectors of columns: all of them are written. The depth is the product of `extents`.
pub struct UnpackedGemm<'a> {
    pub lhs: Lhs<'a>,
    pub rhs: Rhs<'a>,
    pub extents: [usize; 2],
    pub rows: usize,
    pub columns: usize,
    pub out: Output<'a>,
    pub stride: usize,
}

impl UnpackedGemm<'_> {
    pub fn run(self) {
        dispatch(self);
    }
}

impl SimdJob for UnpackedGemm<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: SimdF32>(mut self) {
        let max_rows = MR.min(V::ROWS);
        let tiles = self.rows.div_ceil(max_rows);
        for tile in 0..tiles {
            let first = tile * self.rows / tiles;
            let height = (tile + 1) * self.rows / tiles - first;
            // SAFETY: the caller guarantees V's instructions.
            unsafe {
                match self.columns <= V::LANES {
                    true => self.tiles::<V, 1>(first, height),
                    false => self.tiles::<V, 2>(first, height),
                }
            }
        }
    }
}

impl UnpackedGemm<'_> {
    /// Dispatches to the tile of this height, `W` vectors wide.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn tiles<V: SimdF32, const W: usize>(&mut self, first: usize, height: usize) {
        macro_rules! heights {
            ($($height:literal)*) => {
                match height {
                    // SAFETY: the caller guarantees V's instructions.
                    $($height if $height <= V::ROWS => unsafe {
                        self.tile::<V, $height, W>(first)
                    },)*
                    _ => unreachable!("a tile higher than there are registers"),
                }
            };
        }
        heights!(1 2 3 4 5 6 7 8)
    }

    /// Multiplies `H` rows from `first` on.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn tile<V: SimdF32, const H: usize, const W: usize>(&mut self, first: usize) {
        const MAX_WIDTH: usize = 32;
        const { assert!(W * V::LANES <= MAX_WIDTH) };
        let (lhs, rhs) = (self.lhs, self.rhs);
        let [outer, inner] = self.extents;
        // Offset of the last of so many elements.
        let last = |count: usize, stride: usize| count.saturating_sub(1).saturating_mul(stride);
        let last_step = |[a, b]: [usize; 2]| last(outer, a).saturating_add(last(inner, b));
        let last_row = |stride: usize| last(first + H, stride);
        let lhs_last = last_row(lhs.row).saturating_add(last_step(lhs.strides));
        assert!(lhs_last < lhs.values.len());
        assert!(last_step(rhs.strides).saturating_add(W * V::LANES) <= rhs.values.len());
        assert!(last_row(self.stride).saturating_add(self.columns) <= self.out.len());
        assert!(self.columns <= W * V::LANES);
        let accumulate = matches!(self.out, Output::Accumulate(_));
        let full_width = self.columns == W * V::LANES;
        // SAFETY: no step reads beyond the last one, and no row is written beyond the last
        // one, for which the bounds were just checked; pointers may leave the slices only
        // after the last step, without being read. `row` has space for W vectors. `out` is
        // read only if it is initialised. The caller guarantees V's instructions.
        unsafe {
            let mut sums = [[V::zero(); W]; H];
            let mut a = lhs.values.as_ptr().add(first * lhs.row);
            let mut b = rhs.values.as_ptr();
            for _ in 0..outer {
                let (mut lhs_ptr, mut rhs_ptr) = (a, b);
                for _ in 0..inner {
                    let mut b = [V::zero(); W];
                    for (j, b) in b.iter_mut().enumerate() {
                        *b = V::load(rhs_ptr.add(j * V::LANES));
                    }
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let a = *lhs_ptr.add(i * lhs.row);
                        for (sum, b) in sums.iter_mut().zip(b) {
                            *sum = sum.mul_add(a, b);
                        }
                    }
                    lhs_ptr = lhs_ptr.wrapping_add(lhs.strides[1]);
                    rhs_ptr = rhs_ptr.wrapping_add(rhs.strides[1]);
                }
                a = a.wrapping_add(lhs.strides[0]);
                b = b.wrapping_add(rhs.strides[0]);
            }
            for (i, sums) in sums.into_iter().enumerate() {
                let offset = (first + i) * self.stride;
                let to = self.out.as_mut_ptr().add(offset);
                if full_width {
                    for (j, mut sum) in sums.into_iter().enumerate() {
                        let to = to.add(j * V::LANES);
                        if accumulate {
                            sum = sum.add(V::load(to));
                        }
                        sum.store(to);
                    }
                    continue;
                }
                let mut row = [0.0f32; MAX_WIDTH];
                for (j, sum) in sums.into_iter().enumerate() {
                    sum.store(row.as_mut_ptr().add(j * V::LANES));
                }
                for (j, sum) in row[..self.columns].iter().enumerate() {
                    *to.add(j) = match accumulate {
                        true => *to.add(j) + sum,
                        false => *sum,
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::level::at_every_level;
    use super::super::simd::tile_width;
    use super::super::test_values;
    use super::*;

    /// `[rows, depth]` times `[depth, columns]`, added to `initial` if there is one, with
    /// one column more in each row of the output.
    fn product(
        [rows, depth, columns]: [usize; 3],
        a: &[f32],
        b: &[f32],
        initial: Option<f32>,
    ) -> Vec<f32> {
        let mut out = vec![initial.unwrap_or(f32::NAN); rows * (columns + 1)];
        let mut uninit = vec![MaybeUninit::uninit(); rows * (columns + 1)];
        UnpackedGemm {
            lhs: Lhs {
                values: a,
                row: depth,
                strides: [0, 1],
            },
            rhs: Rhs {
                values: b,
                strides: [0, columns],
            },
            extents: [1, depth],
            rows,
            columns,
            out: match initial {
                Some(_) => Output::Accumulate(&mut out),
                None => Output::Write(&mut uninit),
            },
            stride: columns + 1,
        }
        .run();
        if initial.is_none() {
            for (out, row) in out.chunks_mut(columns + 1).zip(uninit.chunks(columns + 1)) {
                for (out, value) in out[..columns].iter_mut().zip(row) {
                    // SAFETY: all columns of all rows are written.
                    *out = unsafe { value.assume_init() };
                }
            }
        }
        out
    }

    #[test]
    fn a_product_is_that_of_the_definition() {
        at_every_level(|| {
            let width = tile_width();
            for [rows, depth, columns] in [
                [1, 1, 1],
                [9, 5, width / 2],
                [17, 3, width - 1],
                [8, 4, width],
            ] {
                let a = test_values(rows * depth, 1);
                // Whole vectors are read.
                let b = test_values(depth * columns + width, 2);
                for initial in [None, Some(0.5)] {
                    let found = product([rows, depth, columns], &a, &b, initial);
                    for (place, found) in found.into_iter().enumerate() {
                        let (row, column) = (place / (columns + 1), place % (columns + 1));
                        if column == columns {
                            let untouched = initial.map_or(found.is_nan(), |value| value == found);
                            assert!(untouched, "the column beyond holds {found}");
                            continue;
                        }
                        let product = |i: usize| a[row * depth + i] * b[i * columns + column];
                        let expected =
                            (0..depth).map(product).sum::<f32>() + initial.unwrap_or(0.0);
                        assert!((found - expected).abs() < 1e-5, "{row}, {column}: {found}");
                    }
                }
            }
        });
    }

    #[test]
    fn operands_that_are_too_short_panic() {
        let (a, b) = (test_values(8, 1), test_values(100, 2));
        for (a, b, depth) in [
            (&a[..7], &b[..], 4),
            (&a[..], &b[..4], 4),
            (&a[..], &b[..], usize::MAX),
        ] {
            let result = std::panic::catch_unwind(|| {
                let mut out = [0.0; 8];
                UnpackedGemm {
                    lhs: Lhs {
                        values: a,
                        row: 4,
                        strides: [0, 1],
                    },
                    rhs: Rhs {
                        values: b,
                        strides: [0, 4],
                    },
                    extents: [1, depth],
                    rows: 2,
                    columns: 4,
                    out: Output::Accumulate(&mut out),
                    stride: 4,
                }
                .run();
            });
            assert!(result.is_err());
        }
    }
}
