//! Memory that is written before it is read.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// A vector, all of which `write` fills.
pub fn filled(length: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut values = Vec::with_capacity(length);
    write(&mut values.spare_capacity_mut()[..length]);
    // SAFETY: all was written.
    unsafe { values.set_len(length) };
    values
}

/// Numbers as room for others.
pub fn as_room(numbers: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: nothing but numbers is ever written there.
    unsafe { &mut *(std::ptr::from_mut(numbers) as *mut [MaybeUninit<f32>]) }
}

/// A matrix that several threads write different places of.
pub struct Shared<'a> {
    start: *mut f32,
    len: usize,
    stride: usize,
    _matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: `write` is called for each place once: panels and heads are different
// columns, chunks different rows.
unsafe impl Send for Shared<'_> {}
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Room for a matrix, all of which is going to be written.
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
        let to = self.place_of(row, column, values.len());
        // SAFETY: inside, and no other thread's.
        unsafe { to.copy_from_nonoverlapping(values.as_ptr(), values.len()) }
    }

    /// Where `count` numbers of a row begin, all of them inside the matrix.
    #[inline(always)]
    pub fn place_of(&self, row: usize, column: usize, count: usize) -> *mut f32 {
        let place = row * self.stride + column;
        assert!(place + count <= self.len);
        // SAFETY: inside, as just checked.
        unsafe { self.start.add(place) }
    }
}
