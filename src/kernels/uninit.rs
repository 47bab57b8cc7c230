//! Uninitialised output buffers.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Vector of `length` values, written by `write`.
///
/// # Safety
/// If `write` returns, it has initialised every element.
pub unsafe fn vec_init_with(
    length: usize,
    write: impl FnOnce(&mut [MaybeUninit<f32>]),
) -> Vec<f32> {
    let mut values = Vec::with_capacity(length);
    write(&mut values.spare_capacity_mut()[..length]);
    // SAFETY: the capacity is at least `length`, and the caller guarantees that all of it
    // is initialised.
    unsafe { values.set_len(length) };
    values
}

/// View of initialised values as an output buffer.
///
/// # Safety
/// Only initialised values are written to it.
pub unsafe fn as_uninit_mut(values: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    let values: *mut [f32] = values;
    // SAFETY: `MaybeUninit<f32>` has the layout of `f32`, the reference is as exclusive and
    // lives as long as `values`, and the caller guarantees that they stay initialised.
    unsafe { &mut *(values as *mut [MaybeUninit<f32>]) }
}

/// Matrix that several threads write to, in disjoint places.
pub struct DisjointWriter<'a> {
    start: *mut f32,
    len: usize,
    stride: usize,
    _matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for an exclusive borrow of plain values, which may move to another
// thread.
unsafe impl Send for DisjointWriter<'_> {}
// SAFETY: a shared writer does nothing but compute pointers and, in `write`, whose callers
// guarantee that no other thread accesses the same elements, write through them.
unsafe impl Sync for DisjointWriter<'_> {}

impl<'a> DisjointWriter<'a> {
    /// Writer for a matrix with row stride `stride`.
    pub fn new(matrix: &'a mut [MaybeUninit<f32>], stride: usize) -> Self {
        Self {
            start: matrix.as_mut_ptr().cast(),
            len: matrix.len(),
            stride,
            _matrix: PhantomData,
        }
    }

    /// Writes part of a row; panics if out of bounds.
    ///
    /// # Safety
    /// No other thread accesses these elements at the same time.
    #[inline(always)]
    pub unsafe fn write(&self, row: usize, column: usize, values: &[f32]) {
        let to = self.ptr_at(row, column, values.len());
        // SAFETY: `ptr_at` checked the bounds. The matrix is borrowed exclusively, so
        // `values` is no part of it, and the caller guarantees that no other thread
        // accesses the elements.
        unsafe { to.copy_from_nonoverlapping(values.as_ptr(), values.len()) }
    }

    /// Pointer to `count` values of a row; panics if out of bounds. It is valid for
    /// writes as long as no other thread accesses these elements.
    #[inline(always)]
    pub fn ptr_at(&self, row: usize, column: usize, count: usize) -> *mut f32 {
        let offset = row * self.stride + column;
        assert!(count <= self.len && offset <= self.len - count);
        // SAFETY: the offset is at most the matrix's length, as just checked.
        unsafe { self.start.add(offset) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_write_disjoint_columns() {
        let (rows, columns, threads) = (5, 12, 4);
        let width = columns / threads;
        let write = |out: &mut [MaybeUninit<f32>]| {
            let writer = DisjointWriter::new(out, columns);
            std::thread::scope(|scope| {
                for thread in 0..threads {
                    let writer = &writer;
                    scope.spawn(move || {
                        for row in 0..rows {
                            let value = (row * threads + thread) as f32;
                            // SAFETY: every thread has columns of its own.
                            unsafe { writer.write(row, thread * width, &[value; 3]) };
                        }
                    });
                }
            });
        };
        // SAFETY: four threads with three columns each write all twelve of every row.
        let values = unsafe { vec_init_with(rows * columns, write) };
        let expected: Vec<f32> = (0..rows * columns).map(|i| (i / width) as f32).collect();
        assert_eq!(values, expected);
    }

    #[test]
    fn a_write_beyond_the_matrix_panics() {
        for (row, column, count) in [(1, 2, 2), (2, 0, 1), (0, 7, 0), (usize::MAX / 3, 3, 9)] {
            let mut values = [MaybeUninit::uninit(); 6];
            let out_of_bounds = std::panic::catch_unwind(move || {
                DisjointWriter::new(&mut values, 3).ptr_at(row, column, count)
            });
            assert!(out_of_bounds.is_err(), "{row}, {column}, {count}");
        }
    }
}
