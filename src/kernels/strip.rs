//! Matrix products on one thread between matrices as they lie: what training
//! multiplies is used once or twice, too seldom to be laid out for it.

use std::mem::MaybeUninit;

use super::simd::{Lanes, Work, dispatch};

/// The left matrix: where the result's rows begin in it, and how far it is from
/// number to number of a sum. Sums run in two loops, so that rows may consist of
/// several parts.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub steps: [usize; 2],
}

/// The right matrix: how far it is from row to row. Its columns lie side by side,
/// and whole vectors are read of them.
#[derive(Clone, Copy)]
pub struct Right<'a> {
    pub values: &'a [f32],
    pub steps: [usize; 2],
}

/// Rows of the result that are computed together. With two vectors of columns their
/// sums keep both multipliers of a processor busy.
const HEIGHT: usize = 8;

/// `left` times `right`, `[rows, columns]`, into `out`, whose rows are `stride` apart:
/// no more columns than two vectors have numbers. Each sum has as many terms as
/// both of `counts` say, and `on_top` adds it to what is there.
pub struct Strip<'a> {
    pub left: Left<'a>,
    pub right: Right<'a>,
    pub counts: [usize; 2],
    pub rows: usize,
    pub columns: usize,
    pub out: &'a mut [MaybeUninit<f32>],
    pub stride: usize,
    pub on_top: bool,
}

impl Strip<'_> {
    pub fn run(self) {
        dispatch(self);
    }
}

impl Work for Strip<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let most = HEIGHT.min(V::ROWS);
        let tiles = self.rows.div_ceil(most);
        for tile in 0..tiles {
            let first = tile * self.rows / tiles;
            let height = (tile + 1) * self.rows / tiles - first;
            // SAFETY: the caller's.
            unsafe {
                match self.columns <= V::LANES {
                    true => self.tiles::<V, 1>(first, height),
                    false => self.tiles::<V, 2>(first, height),
                }
            }
        }
    }
}

impl Strip<'_> {
    #[inline(always)]
    unsafe fn tiles<V: Lanes, const W: usize>(&mut self, first: usize, height: usize) {
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
    unsafe fn tile<V: Lanes, const H: usize, const W: usize>(&mut self, first: usize) {
        let Self { left, right, .. } = *self;
        let [outer, inner] = self.counts;
        let last = |steps: [usize; 2]| {
            outer.saturating_sub(1) * steps[0] + inner.saturating_sub(1) * steps[1]
        };
        assert!((first + H - 1) * left.row + last(left.steps) < left.values.len());
        assert!(last(right.steps) + W * V::LANES <= right.values.len());
        assert!((first + H - 1) * self.stride + self.columns <= self.out.len());
        let whole = self.columns == W * V::LANES;
        // SAFETY: all places were just checked; the rest is the caller's.
        unsafe {
            let mut sums = [[V::zero(); W]; H];
            let mut a = left.values.as_ptr().add(first * left.row);
            let mut b = right.values.as_ptr();
            for _ in 0..outer {
                let (mut across, mut down) = (a, b);
                for _ in 0..inner {
                    let mut b = [V::zero(); W];
                    for (j, b) in b.iter_mut().enumerate() {
                        *b = V::load(down.add(j * V::LANES));
                    }
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let a = *across.add(i * left.row);
                        for (sum, b) in sums.iter_mut().zip(b) {
                            *sum = sum.add_product(a, b);
                        }
                    }
                    across = across.wrapping_add(left.steps[1]);
                    down = down.wrapping_add(right.steps[1]);
                }
                a = a.wrapping_add(left.steps[0]);
                b = b.wrapping_add(right.steps[0]);
            }
            for (i, sums) in sums.into_iter().enumerate() {
                let place = (first + i) * self.stride;
                let to = self.out.as_mut_ptr().add(place).cast::<f32>();
                if whole {
                    for (j, mut sum) in sums.into_iter().enumerate() {
                        let to = to.add(j * V::LANES);
                        if self.on_top {
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
                    *to.add(j) = if self.on_top { *to.add(j) + sum } else { *sum };
                }
            }
        }
    }
}
