//! Convolutions as matrix products, and pooling. Channels come last.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::gemm::{Number, Rows, for_all};
use super::simd::{Lanes, Work, dispatch};

/// What a convolution is beside its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    pub kernel: usize,
    pub stride: usize,
    pub out: usize,
}

/// What becomes of a picture's side, which has half a kernel of margin at each end.
pub fn side_after(side: usize, kernel: usize, stride: usize) -> usize {
    (side + 2 * (kernel / 2) - kernel) / stride + 1
}

/// A convolution's measures: of the pictures, `[batch, height, width, channels]`, and
/// of what each place of the result reads of them. Lines count over the whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Computed as [`super::winograd`] does.
    pub by_squares: bool,
}

impl Places {
    pub fn new(
        [batch, height, width, channels]: [usize; 4],
        shape: ConvShape,
        by_squares: bool,
    ) -> Self {
        Self {
            batch,
            height,
            width,
            channels,
            kernel: shape.kernel,
            stride: shape.stride,
            by_squares,
        }
    }

    /// Height and width of the result.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width].map(|side| side_after(side, self.kernel, self.stride))
    }

    /// All lines of the result.
    pub fn lines(&self) -> Range<usize> {
        0..self.batch * self.size()[0]
    }

    /// Numbers that a place of the result reads.
    pub fn depth(&self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    /// Numbers in a line of a picture.
    pub fn line(&self) -> usize {
        self.width * self.channels
    }

    /// The lines of the pictures that some lines of the result read.
    pub fn reads(&self, lines: &Range<usize>) -> Range<usize> {
        let ([out_height, _], padding) = (self.size(), self.kernel / 2);
        let top = |line: usize| (line / out_height, line % out_height * self.stride);
        let ((first, above), (last, below)) =
            (top(lines.start), top(lines.end.max(lines.start + 1) - 1));
        first * self.height + above.saturating_sub(padding)
            ..last * self.height + (below + self.kernel - padding).min(self.height)
    }

    /// With channels taken as pairs.
    pub fn of_pairs(self) -> Self {
        Self {
            channels: self.channels / 2,
            ..self
        }
    }
}

/// What each place of a convolution's result reads of a picture, as the rows of a
/// matrix that is never written down whole.
pub struct Patches<'a, N = f32> {
    /// Lines of the pictures from `first_line` on.
    picture: &'a [N],
    first_line: usize,
    places: Places,
    /// Those of the result that are wanted.
    lines: Range<usize>,
    /// The channels of what is beyond a picture's edge.
    outside: Vec<N>,
}

impl<'a, N: Number> Patches<'a, N> {
    /// `picture` begins with the first line that `lines` of the result read.
    pub fn new(picture: &'a [N], places: Places, lines: Range<usize>) -> Self {
        Self {
            picture,
            first_line: places.reads(&lines).start,
            places,
            lines,
            outside: vec![N::default(); places.channels],
        }
    }
}

impl<N: Number> Rows<N> for Patches<'_, N> {
    fn count(&self) -> usize {
        self.lines.len() * self.places.size()[1]
    }

    fn runs(&self) -> usize {
        self.places.kernel * self.places.kernel
    }

    fn row(&self, row: usize, mut see: impl FnMut(usize, &[N])) {
        let Places {
            height,
            width,
            channels,
            kernel,
            stride,
            ..
        } = self.places;
        let [out_height, out_width] = self.places.size();
        let (out_line, x) = (self.lines.start + row / out_width, row % out_width);
        let (batch, y) = (out_line / out_height, out_line % out_height);
        let padding = kernel / 2;
        for run in 0..kernel * kernel {
            let (down, across) = (y * stride + run / kernel, x * stride + run % kernel);
            let inside = (padding..height + padding).contains(&down)
                && (padding..width + padding).contains(&across);
            if inside {
                let line = batch * height + down - padding - self.first_line;
                let place = line * width + across - padding;
                see(run, &self.picture[place * channels..(place + 1) * channels]);
            } else {
                see(run, &self.outside);
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
    /// A line of the result, from the lines that it is the mean of.
    struct Pool<'a>(&'a [f32], [usize; 2], usize, &'a mut [f32]);
    impl Work for Pool<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) {
            let Self(lines, [width, channels], side, out) = self;
            let share = 1.0 / (side * side) as f32;
            for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                for i in 0..side * side {
                    let start = (i / side * width + x * side + i % side) * channels;
                    let from = &lines[start..start + channels];
                    out.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                }
                out.iter_mut().for_each(|value| *value *= share);
            }
        }
    }
    let [down, across] = [height, width].map(|length| length / side);
    let mut out = vec![0.0; batch * down * across * channels];
    let lines = out.chunks_mut((across * channels).max(1)).enumerate();
    for_all(lines.collect(), true, |(line, out)| {
        let first = (line / down * height + line % down * side) * width * channels;
        dispatch(Pool(&picture[first..], [width, channels], side, out));
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
