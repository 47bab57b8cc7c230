//! Convolutions as matrix products, and pooling. Channels come last.

use std::ops::Range;

use super::super::conv::ConvShape;
use super::gemm::{Number, Rows, for_all, transpose_row};
use super::simd::{Lanes, Work, dispatch};

/// What each place of a convolution's result reads of a picture, as the rows of a
/// matrix that is never written down whole.
pub struct Patches<'a, N = f32> {
    picture: &'a [N],
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
    kernel: usize,
    stride: usize,
}

impl<'a, N: Number> Patches<'a, N> {
    pub fn new(
        picture: &'a [N],
        [batch, height, width, channels]: [usize; 4],
        shape: ConvShape,
    ) -> Self {
        Self {
            picture,
            batch,
            height,
            width,
            channels,
            kernel: shape.kernel,
            stride: shape.stride,
        }
    }

    /// Height and width of the result.
    pub fn size(&self) -> [usize; 2] {
        let padded = 2 * (self.kernel / 2);
        [self.height, self.width].map(|side| (side + padded - self.kernel) / self.stride + 1)
    }
}

impl<N: Number> Rows<N> for Patches<'_, N> {
    fn count(&self) -> usize {
        let [height, width] = self.size();
        self.batch * height * width
    }

    fn gather(&self, rows: Range<usize>, block: &mut [N]) {
        let [out_height, out_width] = self.size();
        let (across, padding) = (rows.len(), self.kernel / 2);
        let line = self.kernel * self.channels;
        for (i, row) in rows.enumerate() {
            let (batch, y, x) = (
                row / (out_height * out_width),
                row / out_width % out_height,
                row % out_width,
            );
            let (top, left) = (y * self.stride, x * self.stride);
            // The columns of the kernel that are inside lie side by side.
            let from = padding.saturating_sub(left);
            let to = self.kernel.min(self.width + padding - left);
            for k in 0..self.kernel {
                let part = &mut block[k * line * across..(k + 1) * line * across];
                let at = top + k;
                if at < padding || at - padding >= self.height {
                    (part[i..].iter_mut().step_by(across)).for_each(|value| *value = N::default());
                    continue;
                }
                let start = (batch * self.height + at - padding) * self.width + left + from;
                let start = (start - padding) * self.channels;
                let inside = &self.picture[start..start + (to - from) * self.channels];
                let (before, after) = (from * self.channels, to * self.channels);
                if before > 0 || after < line {
                    (part[i..].iter_mut().step_by(across)).for_each(|value| *value = N::default());
                }
                transpose_row(inside, across, i, &mut part[before * across..]);
            }
        }
    }
}

/// Means of squares of `side` x `side`.
pub fn average_pool(
    picture: &[f32],
    [batch, height, width, channels]: [usize; 4],
    side: usize,
) -> Vec<f32> {
    struct Pool<'a>(&'a [f32], [usize; 3], usize, &'a mut [f32]);
    impl Work for Pool<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) {
            let Self(picture, [_, width, channels], side, out) = self;
            let (across, share) = (width / side, 1.0 / (side * side) as f32);
            for (place, out) in out.chunks_exact_mut(channels).enumerate() {
                let (y, x) = (place / across, place % across);
                for i in 0..side * side {
                    let row = y * side + i / side;
                    let start = (row * width + x * side + i % side) * channels;
                    let from = &picture[start..start + channels];
                    out.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                }
                out.iter_mut().for_each(|value| *value *= share);
            }
        }
    }
    let [before, after] = [1, side].map(|side| (height / side) * (width / side) * channels);
    let mut out = vec![0.0; batch * after];
    let pictures = picture
        .chunks(before.max(1))
        .zip(out.chunks_mut(after.max(1)));
    for_all(pictures.collect(), true, |(picture, out)| {
        dispatch(Pool(picture, [height, width, channels], side, out));
    });
    out
}

/// The way back of [`average_pool`]: what is `asked` of each mean is shared by
/// what it is the mean of.
#[cfg(feature = "training")]
pub fn spread(
    asked: &[f32],
    [batch, height, width, channels]: [usize; 4],
    side: usize,
) -> Vec<f32> {
    struct Spread<'a>(&'a [f32], [usize; 3], usize, &'a mut [f32]);
    impl Work for Spread<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) {
            let Self(asked, [height, width, channels], side, out) = self;
            let (down, across) = (height / side, width / side);
            let share = 1.0 / (side * side) as f32;
            for (place, out) in out.chunks_exact_mut(channels).enumerate() {
                let (y, x) = (place / width / side, place % width / side);
                // What is too little for a square at the edge is in no mean.
                if y < down && x < across {
                    let from = &asked[(y * across + x) * channels..][..channels];
                    out.iter_mut()
                        .zip(from)
                        .for_each(|(to, from)| *to = from * share);
                }
            }
        }
    }
    let [before, after] = [1, side].map(|side| (height / side) * (width / side) * channels);
    let mut out = vec![0.0; batch * before];
    let pictures = asked
        .chunks(after.max(1))
        .zip(out.chunks_mut(before.max(1)));
    for_all(pictures.collect(), true, |(asked, out)| {
        dispatch(Spread(asked, [height, width, channels], side, out));
    });
    out
}
