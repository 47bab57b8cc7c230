//! Uninitialised output buffers.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Vector initialised by `write`, which must write all of it.
pub fn vec_init_with(length: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut values = Vec::with_capacity(length);
    write(&mut values.spare_capacity_mut()[..length]);
    // SAFETY: `write` initialised all of it.
    unsafe { values.set_len(length) };
    values
}

/// View of initialised values as an output buffer.
pub fn as_uninit_mut(values: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: callers in this crate write only initialised values.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut [MaybeUninit<f32>]) }
}

/// Matrix that several threads write to, in disjoint places.
pub struct DisjointWriter<'a> {
    start: *mut f32,
    len: usize,
    stride: usize,
    _matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: callers write every element from one thread only: panels and heads are disjoint
// columns, chunks are disjoint rows.
unsafe impl Send for DisjointWriter<'_> {}
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

    #[inline(always)]
    pub fn write(&self, row: usize, column: usize, values: &[f32]) {
        let to = self.ptr_at(row, column, values.len());
        // SAFETY: in bounds, and no other thread writes there.
        unsafe { to.copy_from_nonoverlapping(values.as_ptr(), values.len()) }
    }

    /// Pointer to `count` values of a row; panics if out of bounds.
    #[inline(always)]
    pub fn ptr_at(&self, row: usize, column: usize, count: usize) -> *mut f32 {
        let offset = row * self.stride + column;
        assert!(offset + count <= self.len);
        // SAFETY: in bounds, as just checked.
        unsafe { self.start.add(offset) }
    }
}
