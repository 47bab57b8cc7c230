//! Parallel loops over threads, buffers split into chunks for them, and reductions by column.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::simd::{SimdF32, SimdJob, dispatch};
use super::uninit::vec_init_with;

/// Calls `work` for every index below `count`: on all threads if `parallel` and there
/// are several, else in order on this one.
pub fn for_each_index(count: usize, parallel: bool, work: impl Fn(usize) + Sync + Send) {
    for_each((0..count).collect(), parallel, work);
}

/// [`for_each_index`] over owned items.
pub fn for_each<T: Send>(items: Vec<T>, parallel: bool, work: impl Fn(T) + Sync + Send) {
    #[cfg(not(target_arch = "wasm32"))]
    if parallel && items.len() > 1 && threads() > 1 {
        use rayon::prelude::*;
        items.into_par_iter().for_each(work);
        return;
    }
    let _ = parallel;
    items.into_iter().for_each(work);
}

/// Threads of this process's pool; 1 in a browser.
pub fn threads() -> usize {
    #[cfg(not(target_arch = "wasm32"))]
    return rayon::current_num_threads();
    #[cfg(target_arch = "wasm32")]
    1
}

/// Chunks per thread: more than one balances the load.
pub const CHUNKS_PER_THREAD: usize = 4;

/// `0..count` in chunks for all threads.
pub fn chunk_ranges(count: usize) -> Vec<Range<usize>> {
    chunk_ranges_with(count, CHUNKS_PER_THREAD)
}

/// [`chunk_ranges`] with a given number of chunks per thread.
pub fn chunk_ranges_with(count: usize, per_thread: usize) -> Vec<Range<usize>> {
    let parts = match threads() {
        1 => 1,
        threads => per_thread * threads,
    };
    let parts = parts.min(count);
    (0..parts)
        .map(|part| part * count / parts..(part + 1) * count / parts)
        .collect()
}

/// Splits `values` by chunks of rows of `length` values.
pub fn split_by<'a, T>(
    mut values: &'a mut [T],
    chunks: &[Range<usize>],
    length: usize,
) -> Vec<&'a mut [T]> {
    let mut parts = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let count = (chunk.len() * length).min(values.len());
        let (part, rest) = values.split_at_mut(count);
        parts.push(part);
        values = rest;
    }
    parts
}

/// Vector filled in parallel: `write` gets a range of whole rows of `row_len` values,
/// and the part of the vector for it.
///
/// # Safety
/// If `write` returns, it has initialised all of its part.
pub unsafe fn par_fill(
    length: usize,
    row_len: usize,
    write: impl Fn(Range<usize>, &mut [MaybeUninit<f32>]) + Sync + Send,
) -> Vec<f32> {
    let chunks = chunk_ranges(length.div_ceil(row_len));
    let write_all = |out: &mut [MaybeUninit<f32>]| {
        let parts = chunks.iter().zip(split_by(out, &chunks, row_len)).collect();
        for_each(parts, true, |(chunk, out)| {
            let first = chunk.start * row_len;
            write(first..first + out.len(), out);
        });
    };
    // SAFETY: the chunks cover all rows, and the caller guarantees that `write`
    // initialises each.
    unsafe { vec_init_with(length, write_all) }
}

/// Per-channel values repeated to at least the length of a vector, so that few
/// channels are vectorised, too.
pub fn tile_to_vector(values: &[f32]) -> Vec<f32> {
    const LENGTH: usize = 64;
    values.repeat(LENGTH.div_ceil(values.len().max(1)))
}

/// Sums by channel of values repeated by [`tile_to_vector`].
pub fn sum_by_channel(tile_to_vector: &[f32], channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for part in tile_to_vector.chunks_exact(channels) {
        let sums = sums.iter_mut().zip(part);
        sums.for_each(|(sum, value)| *sum += f64::from(*value));
    }
    sums
}

pub fn add_assign(all: &mut [f64], more: &[f64]) {
    all.iter_mut()
        .zip(more)
        .for_each(|(all, more)| *all += more);
}

/// Column sums of `rows`.
pub fn column_sums(rows: &[f32], columns: usize) -> Vec<f32> {
    struct Sums<'a>(&'a [f32], &'a mut [f32]);
    impl SimdJob for Sums<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: SimdF32>(self) {
            for row in self.0.chunks_exact(self.1.len()) {
                self.1.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
        }
    }
    // Partial sums, so that small values are not lost against a large sum.
    const ROWS: usize = 512;
    let chunks = chunk_ranges(rows.len().div_ceil(ROWS * columns));
    let mut parts = vec![vec![0.0; columns]; chunks.len()];
    for_each(
        chunks.iter().zip(&mut parts).collect(),
        true,
        |(chunk, all)| {
            let rows = rows.chunks(ROWS * columns);
            for rows in rows.skip(chunk.start).take(chunk.len()) {
                let mut sums = vec![0.0; columns];
                dispatch(Sums(rows, &mut sums));
                add_assign(all, &sum_by_channel(&sums, columns));
            }
        },
    );
    let mut all = vec![0.0; columns];
    parts.iter().for_each(|part| add_assign(&mut all, part));
    all.into_iter().map(|sum| sum as f32).collect()
}
