//! Convolution as an implicit GEMM (im2col), and average pooling. Channels last (NHWC).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::gemm::{GemmElement, LhsSource};
use super::parallel::for_each;
use super::simd::{SimdF32, SimdJob, dispatch};

/// Convolution parameters besides the weights: square kernel, stride, output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvParams {
    pub kernel: usize,
    pub stride: usize,
    pub out: usize,
}

/// Output side length for a padding of `kernel / 2`.
pub fn conv_output_size(side: usize, kernel: usize, stride: usize) -> usize {
    (side + 2 * (kernel / 2) - kernel) / stride + 1
}

/// Convolution geometry: input `[batch, height, width, channels]`, kernel and stride.
/// Rows count over the whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvGeometry {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Computed with [`super::winograd`].
    pub winograd: bool,
}

impl ConvGeometry {
    pub fn new(
        [batch, height, width, channels]: [usize; 4],
        params: ConvParams,
        winograd: bool,
    ) -> Self {
        Self {
            batch,
            height,
            width,
            channels,
            kernel: params.kernel,
            stride: params.stride,
            winograd,
        }
    }

    /// Output height and width.
    pub fn output_size(&self) -> [usize; 2] {
        [self.height, self.width].map(|side| conv_output_size(side, self.kernel, self.stride))
    }

    /// Output rows of the whole batch.
    pub fn output_rows(&self) -> Range<usize> {
        0..self.batch * self.output_size()[0]
    }

    /// Inputs per output pixel: `kernel² * channels`.
    pub fn depth(&self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    /// Values per input row.
    pub fn row_len(&self) -> usize {
        self.width * self.channels
    }

    /// Input rows needed for a range of output rows (with halo).
    pub fn input_rows(&self, rows: &Range<usize>) -> Range<usize> {
        let ([out_height, _], padding) = (self.output_size(), self.kernel / 2);
        let top = |row: usize| (row / out_height, row % out_height * self.stride);
        let ((first, above), (last, below)) =
            (top(rows.start), top(rows.end.max(rows.start + 1) - 1));
        first * self.height + above.saturating_sub(padding)
            ..last * self.height + (below + self.kernel - padding).min(self.height)
    }

    /// The same geometry with channels counted in pairs.
    pub fn with_paired_channels(self) -> Self {
        Self {
            channels: self.channels / 2,
            ..self
        }
    }
}

/// im2col view of a convolution's input: a row for each output pixel, never materialised.
pub struct Patches<'a, N = f32> {
    /// Input rows from `first_row` on.
    picture: &'a [N],
    first_row: usize,
    geometry: ConvGeometry,
    /// Output rows to compute.
    rows: Range<usize>,
    /// A zero pixel, for the padding.
    padding: Vec<N>,
}

impl<'a, N: GemmElement> Patches<'a, N> {
    /// `picture` starts at the first input row that the output `rows` need.
    pub fn new(picture: &'a [N], geometry: ConvGeometry, rows: Range<usize>) -> Self {
        Self {
            picture,
            first_row: geometry.input_rows(&rows).start,
            geometry,
            rows,
            padding: vec![N::default(); geometry.channels],
        }
    }
}

impl<N: GemmElement> LhsSource<N> for Patches<'_, N> {
    fn count(&self) -> usize {
        self.rows.len() * self.geometry.output_size()[1]
    }

    fn segments(&self) -> usize {
        self.geometry.kernel * self.geometry.kernel
    }

    fn row<'a>(&'a self, row: usize) -> impl Iterator<Item = &'a [N]>
    where
        N: 'a,
    {
        let ConvGeometry {
            height,
            width,
            channels,
            kernel,
            stride,
            ..
        } = self.geometry;
        let [out_height, out_width] = self.geometry.output_size();
        let (out_row, x) = (self.rows.start + row / out_width, row % out_width);
        let (batch, y) = (out_row / out_height, out_row % out_height);
        let padding = kernel / 2;
        (0..kernel * kernel).map(move |segment| {
            let (down, across) = (y * stride + segment / kernel, x * stride + segment % kernel);
            let inside = (padding..height + padding).contains(&down)
                && (padding..width + padding).contains(&across);
            if inside {
                let row = batch * height + down - padding - self.first_row;
                let pixel = row * width + across - padding;
                &self.picture[pixel * channels..(pixel + 1) * channels]
            } else {
                &self.padding
            }
        })
    }
}

/// Average pooling with a window and a stride of `side`.
pub fn average_pool(
    picture: &[f32],
    [batch, height, width, channels]: [usize; 4],
    side: usize,
) -> Vec<f32> {
    /// One output row, from the input rows it averages.
    struct Pool<'a>(&'a [f32], [usize; 2], usize, &'a mut [f32]);
    impl SimdJob for Pool<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: SimdF32>(self) {
            let Self(rows, [width, channels], side, out) = self;
            let weight = 1.0 / (side * side) as f32;
            for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                for i in 0..side * side {
                    let start = (i / side * width + x * side + i % side) * channels;
                    let from = &rows[start..start + channels];
                    out.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                }
                out.iter_mut().for_each(|value| *value *= weight);
            }
        }
    }
    let [down, across] = [height, width].map(|length| length / side);
    let mut out = vec![0.0; batch * down * across * channels];
    let rows = out.chunks_mut((across * channels).max(1)).enumerate();
    for_each(rows.collect(), true, |(row, out)| {
        let first = (row / down * height + row % down * side) * width * channels;
        dispatch(Pool(&picture[first..], [width, channels], side, out));
    });
    out
}

/// Backward pass of [`average_pool`]: the gradient of each mean, divided among its
/// window.
pub fn average_pool_backward(
    grad_output: &[f32],
    [batch, height, width, channels]: [usize; 4],
    side: usize,
) -> Vec<f32> {
    struct AveragePoolBackward<'a>(&'a [f32], [usize; 3], usize, &'a mut [f32]);
    impl SimdJob for AveragePoolBackward<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: SimdF32>(self) {
            let Self(grad_output, [height, width, channels], side, out) = self;
            let (down, across) = (height / side, width / side);
            let weight = 1.0 / (side * side) as f32;
            for (pixel, out) in out.chunks_exact_mut(channels).enumerate() {
                let (y, x) = (pixel / width / side, pixel % width / side);
                // An incomplete window at the edge is in no mean.
                if y < down && x < across {
                    let from = &grad_output[(y * across + x) * channels..][..channels];
                    out.iter_mut()
                        .zip(from)
                        .for_each(|(to, from)| *to = from * weight);
                }
            }
        }
    }
    let [before, after] = [1, side].map(|side| (height / side) * (width / side) * channels);
    let mut out = vec![0.0; batch * before];
    let pictures = grad_output
        .chunks(after.max(1))
        .zip(out.chunks_mut(before.max(1)));
    for_each(pictures.collect(), true, |(grad_output, out)| {
        dispatch(AveragePoolBackward(
            grad_output,
            [height, width, channels],
            side,
            out,
        ));
    });
    out
}
