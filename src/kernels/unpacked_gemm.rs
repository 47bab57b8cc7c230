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

/// `lhs` times `rhs`, `[rows, columns]`, into `out` with row stride `stride`, for at most
/// two vectors of columns. The depth is the product of `extents`; `accumulate` adds to
/// `out`.
pub struct UnpackedGemm<'a> {
    pub lhs: Lhs<'a>,
    pub rhs: Rhs<'a>,
    pub extents: [usize; 2],
    pub rows: usize,
    pub columns: usize,
    pub out: &'a mut [MaybeUninit<f32>],
    pub stride: usize,
    pub accumulate: bool,
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
    #[inline(always)]
    unsafe fn tiles<V: SimdF32, const W: usize>(&mut self, first: usize, height: usize) {
        macro_rules! heights {
            ($($height:literal)*) => {
                match height {
                    $($height if $height <= V::ROWS => unsafe {
                        self.tile::<V, $height, W>(first)
                    },)*
                    _ => unreachable!("a tile higher than there are registers"),
                }
            };
        }
        heights!(1 2 3 4 5 6 7 8)
    }

    #[inline(always)]
    unsafe fn tile<V: SimdF32, const H: usize, const W: usize>(&mut self, first: usize) {
        let Self { lhs, rhs, .. } = *self;
        let [outer, inner] = self.extents;
        let last = |strides: [usize; 2]| {
            outer.saturating_sub(1) * strides[0] + inner.saturating_sub(1) * strides[1]
        };
        assert!((first + H - 1) * lhs.row + last(lhs.strides) < lhs.values.len());
        assert!(last(rhs.strides) + W * V::LANES <= rhs.values.len());
        assert!((first + H - 1) * self.stride + self.columns <= self.out.len());
        let full_width = self.columns == W * V::LANES;
        // SAFETY: all bounds were just checked; the caller guarantees V's instructions.
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
                let to = self.out.as_mut_ptr().add(offset).cast::<f32>();
                if full_width {
                    for (j, mut sum) in sums.into_iter().enumerate() {
                        let to = to.add(j * V::LANES);
                        if self.accumulate {
                            sum = sum.add(V::load(to));
                        }
                        sum.store(to);
                    }
                    continue;
                }
                let mut row = [0.0f32; 32];
                for (j, sum) in sums.into_iter().enumerate() {
                    sum.store(row.as_mut_ptr().add(j * V::LANES));
                }
                for (j, sum) in row[..self.columns].iter().enumerate() {
                    *to.add(j) = if self.accumulate {
                        *to.add(j) + sum
                    } else {
                        *sum
                    };
                }
            }
        }
    }
}
