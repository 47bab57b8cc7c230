//! Work on long vectors, shared by threads, and sums by column.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::gemm::{self, for_all};
use super::room::filled;
use super::simd::{Lanes, Work, dispatch};

/// Parts for each thread: more than one, so that a slow one holds no one up.
pub const PARTS: usize = 4;

/// `0..count` in parts for all threads.
pub fn shares(count: usize) -> Vec<Range<usize>> {
    parts(count, PARTS)
}

/// The same with so many parts for `each` thread.
pub fn parts(count: usize, each: usize) -> Vec<Range<usize>> {
    let parts = match gemm::threads() {
        1 => 1,
        threads => each * threads,
    };
    let parts = parts.min(count);
    (0..parts)
        .map(|part| part * count / parts..(part + 1) * count / parts)
        .collect()
}

/// The parts of `values` that belong to shares of pieces of `length` numbers.
pub fn divide<'a, T>(
    mut values: &'a mut [T],
    shares: &[Range<usize>],
    length: usize,
) -> Vec<&'a mut [T]> {
    let mut parts = Vec::with_capacity(shares.len());
    for share in shares {
        let count = (share.len() * length).min(values.len());
        let (part, rest) = values.split_at_mut(count);
        parts.push(part);
        values = rest;
    }
    parts
}

/// A vector that is filled on all threads: `write` fills parts of whole pieces of `piece`
/// numbers, and is told which.
pub fn filled_in_parts(
    length: usize,
    piece: usize,
    write: impl Fn(Range<usize>, &mut [MaybeUninit<f32>]) + Sync + Send,
) -> Vec<f32> {
    let shares = shares(length.div_ceil(piece));
    filled(length, |out| {
        let parts = shares.iter().zip(divide(out, &shares, piece)).collect();
        for_all(parts, true, |(share, out)| {
            let first = share.start * piece;
            write(first..first + out.len(), out);
        });
    })
}

/// Numbers of the channels, time and again, so that rows of few channels make whole
/// vectors, too.
pub fn repeated(values: &[f32]) -> Vec<f32> {
    const LENGTH: usize = 64;
    values.repeat(LENGTH.div_ceil(values.len().max(1)))
}

/// Sums by channel of such.
pub fn total(repeated: &[f32], channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for part in repeated.chunks_exact(channels) {
        let sums = sums.iter_mut().zip(part);
        sums.for_each(|(sum, value)| *sum += f64::from(*value));
    }
    sums
}

pub fn add_up(all: &mut [f64], more: &[f64]) {
    all.iter_mut()
        .zip(more)
        .for_each(|(all, more)| *all += more);
}

/// Sums of the columns of `rows`.
pub fn column_sums(rows: &[f32], columns: usize) -> Vec<f32> {
    struct Sums<'a>(&'a [f32], &'a mut [f32]);
    impl Work for Sums<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) {
            for row in self.0.chunks_exact(self.1.len()) {
                self.1.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
        }
    }
    // Partial sums, so that many small numbers are not lost on a large one.
    const ROWS: usize = 512;
    let shares = shares(rows.len().div_ceil(ROWS * columns));
    let mut parts = vec![vec![0.0; columns]; shares.len()];
    for_all(
        shares.iter().zip(&mut parts).collect(),
        true,
        |(share, all)| {
            let rows = rows.chunks(ROWS * columns);
            for rows in rows.skip(share.start).take(share.len()) {
                let mut sums = vec![0.0; columns];
                dispatch(Sums(rows, &mut sums));
                add_up(all, &total(&sums, columns));
            }
        },
    );
    let mut all = vec![0.0; columns];
    parts.iter().for_each(|part| add_up(&mut all, part));
    all.into_iter().map(|sum| sum as f32).collect()
}
