//! Convolution with batch normalisation, forward and backward. Channels last (NHWC); each
//! image is processed start to end while it is in the cache.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::conv::{ConvParams, conv_output_size};
use super::gemm;
use super::parallel::{
    CHUNKS_PER_THREAD, add_assign, chunk_ranges, chunk_ranges_with, for_each, par_fill, split_by,
    sum_by_channel, tile_to_vector,
};
use super::simd::{SimdF32, SimdJob, dispatch, tile_width};
use super::uninit::vec_init_with;
use super::unpacked_gemm::{Lhs, Output, Rhs, UnpackedGemm};

#[derive(Clone, Copy, Debug)]
pub struct ConvDims {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub params: ConvParams,
}

/// Minimum pixels per GEMM.
const MIN_PIXELS: usize = 128;

impl ConvDims {
    pub fn new([batch, height, width, channels]: [usize; 4], params: ConvParams) -> Self {
        Self {
            batch,
            height,
            width,
            channels,
            params,
        }
    }

    /// Output height and width.
    fn output_size(&self) -> [usize; 2] {
        let ConvParams { kernel, stride, .. } = self.params;
        [self.height, self.width].map(|side| conv_output_size(side, kernel, stride))
    }

    pub fn output_shape(&self) -> [usize; 4] {
        let [height, width] = self.output_size();
        [self.batch, height, width, self.params.out]
    }

    /// Values per input and per output image.
    fn image_lens(&self) -> [usize; 2] {
        let [height, width] = self.output_size();
        let input_len = self.height * self.width * self.channels;
        [input_len, height * width * self.params.out]
    }

    /// For 1x1 convolutions: several images folded into one, since their pixels are
    /// independent.
    fn fold_batch(self) -> Self {
        let pixels = self.height * self.width;
        if self.params.kernel > 1 || self.params.stride > 1 || pixels == 0 {
            return self;
        }
        let count = MIN_PIXELS.div_ceil(pixels).clamp(1, self.batch.max(1));
        Self {
            batch: self.batch.div_ceil(count),
            height: 1,
            width: pixels * count,
            ..self
        }
    }

    /// Geometry of the transposed convolution, which maps the output gradient to the
    /// input gradient. Stride 1 only.
    fn transposed(self) -> Self {
        let [height, width] = self.output_size();
        Self {
            height,
            width,
            channels: self.params.out,
            params: ConvParams {
                out: self.channels,
                ..self.params
            },
            ..self
        }
    }

    /// Zeroed buffer for one padded image, plus a vector that may be read past the end.
    fn padded_buffer(&self) -> Vec<f32> {
        let margin = 2 * (self.params.kernel / 2);
        let pixels = (self.height + margin) * (self.width + margin);
        vec![0.0; pixels * self.channels + tile_width()]
    }

    /// Row stride of a padded image.
    fn padded_row_len(&self) -> usize {
        (self.width + 2 * (self.params.kernel / 2)) * self.channels
    }

    /// Offset of image row `y` in [`Self::padded_buffer`].
    fn row_offset(&self, y: usize) -> usize {
        let margin = self.params.kernel / 2;
        (y + margin) * self.padded_row_len() + margin * self.channels
    }

    /// Contiguous values read per kernel row.
    fn segment_len(&self) -> usize {
        self.params.kernel * self.channels
    }

    /// Copies `picture` into `scratch`, leaving the zero padding around it.
    fn pad(&self, picture: &[f32], scratch: &mut [f32]) {
        let width = self.width * self.channels;
        for (y, elements) in picture.chunks_exact(width).enumerate() {
            scratch[self.row_offset(y)..][..width].copy_from_slice(elements);
        }
    }

    /// Convolves one padded image with weights from [`pack_conv_weight`] into all of `out`.
    fn convolve(&self, padded: &[f32], packed: &[f32], out: &mut [MaybeUninit<f32>]) {
        let ConvParams {
            kernel,
            stride,
            out: columns,
        } = self.params;
        let [height, width] = self.output_size();
        assert!(out.len() == height * width * columns);
        let (segment_len, tile) = (self.segment_len(), tile_width());
        let panel_len = kernel * segment_len * tile;
        for (index, first) in (0..columns).step_by(tile).enumerate() {
            for y in 0..height {
                let place = y * width * columns + first;
                UnpackedGemm {
                    lhs: Lhs {
                        values: &padded[y * stride * self.padded_row_len()..],
                        row: stride * self.channels,
                        strides: [self.padded_row_len(), 1],
                    },
                    rhs: Rhs {
                        values: &packed[index * panel_len..][..panel_len],
                        strides: [segment_len * tile, tile],
                    },
                    extents: [kernel, segment_len],
                    rows: width,
                    columns: tile.min(columns - first),
                    out: Output::Write(&mut out[place..]),
                    stride: columns,
                }
                .run();
            }
        }
    }

    /// Accumulates the weight gradient of one image into `sums`, `[out, kernel,
    /// segment_len]`. Both inputs are padded.
    fn accumulate_weight_grad(&self, padded: &[f32], grad_output: &[f32], sums: &mut [f32]) {
        let ConvParams {
            kernel,
            stride,
            out,
        } = self.params;
        let (segment_len, tile, transposed) = (self.segment_len(), tile_width(), self.transposed());
        let [height, width] = self.output_size();
        for k in 0..kernel {
            for first in (0..segment_len).step_by(tile) {
                UnpackedGemm {
                    lhs: Lhs {
                        values: &grad_output[transposed.row_offset(0)..],
                        row: 1,
                        strides: [transposed.padded_row_len(), out],
                    },
                    rhs: Rhs {
                        values: &padded[k * self.padded_row_len() + first..],
                        strides: [stride * self.padded_row_len(), stride * self.channels],
                    },
                    extents: [height, width],
                    rows: out,
                    columns: tile.min(segment_len - first),
                    out: Output::Accumulate(&mut sums[k * segment_len + first..]),
                    stride: kernel * segment_len,
                }
                .run();
            }
        }
    }
}

/// Packs weights `[out, in, kernel, kernel]` for [`ConvDims::convolve`]; `transposed` for
/// the backward pass, with input and output channels swapped and the kernel flipped.
fn pack_conv_weight(weight: &[f32], dims: ConvDims, transposed: bool) -> Vec<f32> {
    let (kernel, input, out) = (dims.params.kernel, dims.channels, dims.params.out);
    let area = kernel * kernel;
    let mut matrix = Vec::with_capacity(weight.len());
    for place in 0..area {
        match transposed {
            false => (0..input).for_each(|i| {
                matrix.extend((0..out).map(|o| weight[(o * input + i) * area + place]));
            }),
            true => (0..out).for_each(|o| {
                let from = o * input * area + area - 1 - place;
                matrix.extend((0..input).map(|i| weight[from + i * area]));
            }),
        }
    }
    let columns = if transposed { input } else { out };
    let mut packed = Vec::new();
    gemm::pack(
        &matrix,
        weight.len() / columns,
        columns,
        columns,
        &mut packed,
    );
    packed
}

/// `[out, kernel, kernel, in]` to `[out, in, kernel, kernel]`.
fn to_oihw(sums: &[f32], dims: ConvDims) -> Vec<f32> {
    let area = dims.params.kernel * dims.params.kernel;
    let depth = area * dims.channels;
    let mut weight = Vec::with_capacity(sums.len());
    for sums in sums.chunks_exact(depth) {
        for i in 0..dims.channels {
            weight.extend((0..area).map(|place| sums[place * dims.channels + i]));
        }
    }
    weight
}

/// Per-channel mean and variance of `count` values each.
#[derive(Clone, Debug)]
pub struct Moments {
    pub count: usize,
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
}

impl Moments {
    fn zero(channels: usize) -> Self {
        Self {
            count: 0,
            mean: vec![0.0; channels],
            variance: vec![0.0; channels],
        }
    }

    /// Merges the moments of two sets (Chan et al. 1979).
    fn merge(&mut self, other: &Self) {
        let total = (self.count + other.count) as f64;
        let weight = other.count as f64 / total;
        let theirs = other.mean.iter().zip(&other.variance);
        for ((mean, variance), (mean2, variance2)) in
            self.mean.iter_mut().zip(&mut self.variance).zip(theirs)
        {
            let delta = mean2 - *mean;
            *mean += delta * weight;
            *variance += (variance2 - *variance) * weight + delta * delta * weight * (1.0 - weight);
        }
        self.count += other.count;
    }

    /// Moments of rows of `channels` values.
    fn of(rows: &[f32], channels: usize) -> Self {
        // Shifted by one of the values, whose square may be far larger than the variance.
        let origin = &rows[..channels];
        let tiled = tile_to_vector(origin);
        let mut sums = [vec![0.0; tiled.len()], vec![0.0; tiled.len()]];
        dispatch(MomentSums {
            rows,
            origin: &tiled,
            sums: &mut sums,
        });
        let count = rows.len() / channels;
        let [sum, squares] = sums.map(|sums| sum_by_channel(&sums, channels));
        let shifted = |c: usize| sum[c] / count as f64;
        Self {
            count,
            mean: (0..channels)
                .map(|c| f64::from(origin[c]) + shifted(c))
                .collect(),
            variance: (0..channels)
                .map(|c| (squares[c] / count as f64 - shifted(c).powi(2)).max(0.0))
                .collect(),
        }
    }
}

/// Sums of `x - origin` and of its square.
struct MomentSums<'a> {
    rows: &'a [f32],
    origin: &'a [f32],
    sums: &'a mut [Vec<f32>; 2],
}

impl SimdJob for MomentSums<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let [sum, squares] = self.sums;
        for part in self.rows.chunks(self.origin.len()) {
            let sums = sum.iter_mut().zip(squares.iter_mut());
            for ((x, origin), (sum, squares)) in part.iter().zip(self.origin).zip(sums) {
                let shifted = x - origin;
                *sum += shifted;
                *squares += shifted * shifted;
            }
        }
    }
}

/// `x scale + shift + residual`, with ReLU if `relu`.
struct Affine<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    residual: Option<&'a [f32]>,
    relu: bool,
    out: &'a mut [MaybeUninit<f32>],
}

impl SimdJob for Affine<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let length = self.scale.len();
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        // NaN is passed on: a diverging run must stay visible.
        let above = |x: f32| if x < floor { floor } else { x };
        let parts = self.x.chunks(length).zip(self.out.chunks_mut(length));
        for (index, (x, out)) in parts.enumerate() {
            let elements = x.iter().zip(self.scale.iter().zip(self.shift));
            match self.residual {
                None => {
                    for (out, (x, (scale, shift))) in out.iter_mut().zip(elements) {
                        out.write(above(x * scale + shift));
                    }
                }
                Some(residual) => {
                    let residual = &residual[index * length..][..x.len()];
                    let elements = elements.zip(residual);
                    for (out, ((x, (scale, shift)), residual)) in out.iter_mut().zip(elements) {
                        out.write(above(x * scale + shift + residual));
                    }
                }
            }
        }
    }
}

/// Input of [`ConvDims::convolve`] and [`ConvDims::accumulate_weight_grad`]: the image
/// itself if no padding is needed, else a padded copy.
struct PaddedInput {
    dims: ConvDims,
    scratch: Option<Vec<f32>>,
}

impl PaddedInput {
    fn new(dims: ConvDims) -> Self {
        // Whole vectors are read from the channels of a pixel.
        let is_contiguous =
            dims.params.kernel == 1 && dims.channels.is_multiple_of(tile_width() / 2);
        Self {
            dims,
            scratch: (!is_contiguous).then(|| dims.padded_buffer()),
        }
    }

    /// The padded `picture` and its dimensions: the last of the folded images may be
    /// smaller.
    fn take<'a>(&'a mut self, picture: &'a [f32]) -> (ConvDims, &'a [f32]) {
        let mut dims = self.dims;
        dims.width = picture.len() / (dims.height * dims.channels).max(1);
        let padded = match &mut self.scratch {
            Some(scratch) => {
                dims.pad(picture, scratch);
                scratch
            }
            None => picture,
        };
        (dims, padded)
    }
}

/// Convolution of a batch, with the moments of its output channels.
pub fn convolve(x: &[f32], weight: &[f32], dims: ConvDims) -> (Vec<f32>, Moments) {
    let channels = dims.params.out;
    let packed = pack_conv_weight(weight, dims, false);
    let folded = dims.fold_batch();
    let [input_len, output_len] = folded.image_lens();
    let chunks = chunk_ranges(folded.batch);
    let mut moments = vec![Moments::zero(channels); chunks.len()];
    let [len, output_total] = dims.image_lens().map(|len| dims.batch * len);
    assert!(x.len() == len);
    let write = |out: &mut [MaybeUninit<f32>]| {
        let out = split_by(out, &chunks, output_len);
        let parts = chunks.iter().zip(out).zip(&mut moments).collect();
        for_each(parts, true, |((chunk, out), moments)| {
            let mut padded_input = PaddedInput::new(folded);
            let pictures = x[chunk.start * input_len..].chunks(input_len);
            for (picture, out) in pictures.zip(out.chunks_mut(output_len)) {
                let (dims, padded) = padded_input.take(picture);
                dims.convolve(padded, &packed, out);
                // SAFETY: `convolve` writes all of its output.
                let out = unsafe { out.assume_init_ref() };
                moments.merge(&Moments::of(out, channels));
            }
        });
    };
    // SAFETY: the chunks cover the batch, and `convolve` writes all of the output of every
    // image. There are as many inputs as outputs, as asserted.
    let z = unsafe { vec_init_with(output_total, write) };
    let mut all = Moments::zero(channels);
    moments.iter().for_each(|moments| all.merge(moments));
    (z, all)
}

/// `z scale + shift + residual` by channel, with ReLU if `relu`.
pub fn affine(
    z: &[f32],
    [scale, shift]: [&[f32]; 2],
    residual: Option<&[f32]>,
    relu: bool,
) -> Vec<f32> {
    let [scale, shift] = [scale, shift].map(tile_to_vector);
    assert!(scale.len() == shift.len());
    let write = |part: Range<usize>, out: &mut [MaybeUninit<f32>]| {
        dispatch(Affine {
            x: &z[part.clone()],
            scale: &scale,
            shift: &shift,
            residual: residual.map(|residual| &residual[part]),
            relu,
            out,
        });
    };
    // SAFETY: `Affine` writes as many values as it reads of `z`: scale and shift are equally
    // long, as asserted, and the residual's part is as long.
    unsafe { par_fill(z.len(), scale.len(), write) }
}

/// Forward state saved for the backward pass.
pub struct ConvBnCtx<'a> {
    pub dims: ConvDims,
    pub x: &'a [f32],
    pub weight: &'a [f32],
    pub gamma: &'a [f32],
    /// Output of the convolution.
    pub z: &'a [f32],
    /// Output of the whole operation, if a ReLU followed.
    pub y: Option<&'a [f32]>,
    /// Statistics that normalised `z`.
    pub mean: &'a [f32],
    pub inv_std: &'a [f32],
    /// Whether they are the batch's own.
    pub batch_stats: bool,
}

/// Gradients, where they were needed.
pub struct ConvBnGrads {
    pub x: Option<Vec<f32>>,
    pub weight: Option<Vec<f32>>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    /// Gradient of the residual, if it differs from that of the output.
    pub residual: Option<Vec<f32>>,
}

impl ConvBnCtx<'_> {
    /// Gradients of all inputs, given the gradient of the output. The gradient of `x`
    /// requires stride 1.
    pub fn backward(
        &self,
        grad_output: &[f32],
        x: bool,
        weight: bool,
        residual: bool,
    ) -> ConvBnGrads {
        let dims = self.dims;
        let folded = dims.fold_batch();
        let [input_len, output_len] = folded.image_lens();
        let lens = dims.image_lens().map(|len| dims.batch * len);
        assert!([self.x.len(), self.z.len()] == lens && grad_output.len() == lens[1]);
        // Else the transposed convolution has another size than `x`.
        let ConvParams { kernel, stride, .. } = dims.params;
        assert!(!x || stride == 1 && !kernel.is_multiple_of(2));
        // Each chunk has its own weight gradient: a bound on their total memory.
        const MAX_GRAD_LEN: usize = 1 << 20;
        let chunks = chunk_ranges_with(
            folded.batch,
            (MAX_GRAD_LEN / self.weight.len()).clamp(1, CHUNKS_PER_THREAD),
        );
        let [beta, gamma] = self.param_grad_sums(grad_output, &chunks, output_len);
        let coefficients = self.grad_coefficients([&beta, &gamma]);
        let transposed_weight = match x {
            true => pack_conv_weight(self.weight, dims, true),
            false => Vec::new(),
        };
        let residual = residual && self.y.is_some();
        let length = |needed: bool, length: usize| if needed { length } else { 0 };
        let mut sums = vec![vec![0.0; length(weight, self.weight.len())]; chunks.len()];
        let mut grad_residual = Vec::new();
        let write = |grad_x: &mut [MaybeUninit<f32>]| {
            let write = |grad_residual: &mut [MaybeUninit<f32>]| {
                let parts = (chunks.iter().zip(&mut sums))
                    .zip(split_by(grad_x, &chunks, input_len))
                    .zip(split_by(grad_residual, &chunks, output_len))
                    .collect();
                for_each(parts, true, |(((chunk, sums), grad_x), grad_residual)| {
                    let (mut grad_x, mut grad_residual) = (
                        grad_x.chunks_mut(input_len),
                        grad_residual.chunks_mut(output_len),
                    );
                    let (mut padded_input, mut scratch) = (
                        PaddedInput::new(folded),
                        folded.transposed().padded_buffer(),
                    );
                    for picture in chunk.clone() {
                        let x = &self.x[picture * input_len..];
                        let (dims, padded) = padded_input.take(&x[..input_len.min(x.len())]);
                        let transposed = dims.transposed();
                        let grad_residual = grad_residual.next().unwrap_or_default();
                        self.norm_backward(
                            &coefficients,
                            grad_output,
                            picture * output_len,
                            transposed,
                            &mut scratch,
                            grad_residual,
                        );
                        if weight {
                            dims.accumulate_weight_grad(padded, &scratch, sums);
                        }
                        if let Some(grad_x) = grad_x.next() {
                            transposed.convolve(&scratch, &transposed_weight, grad_x);
                        }
                    }
                });
            };
            // SAFETY: the chunks cover the batch, as long as asserted, and `norm_backward`
            // writes all values of every image, since there is a `y`.
            grad_residual = unsafe { vec_init_with(length(residual, self.z.len()), write) };
        };
        // SAFETY: the chunks cover the batch, as long as asserted, and `convolve` writes all
        // of its output for every image.
        let grad_x = unsafe { vec_init_with(length(x, self.x.len()), write) };
        let weights = sums.into_iter().reduce(|mut all, sums| {
            all.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
            all
        });
        let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        ConvBnGrads {
            x: x.then_some(grad_x),
            weight: weights.filter(|_| weight).map(|sums| to_oihw(&sums, dims)),
            gamma: single(gamma),
            beta: single(beta),
            residual: residual.then_some(grad_residual),
        }
    }

    /// Gradients of beta and gamma.
    fn param_grad_sums(
        &self,
        grad_output: &[f32],
        chunks: &[Range<usize>],
        length: usize,
    ) -> [Vec<f64>; 2] {
        let channels = self.dims.params.out;
        let mean = tile_to_vector(self.mean);
        let zeros = || [vec![0.0; channels], vec![0.0; channels]];
        let mut chunk_sums: Vec<[Vec<f64>; 2]> = chunks.iter().map(|_| zeros()).collect();
        for_each(
            chunks.iter().zip(&mut chunk_sums).collect(),
            true,
            |(chunk, all)| {
                for picture in chunk.clone() {
                    let part = picture * length..((picture + 1) * length).min(self.z.len());
                    let mut sums = [vec![0.0; mean.len()], vec![0.0; mean.len()]];
                    dispatch(ParamGradSums {
                        grad_output: &grad_output[part.clone()],
                        z: &self.z[part.clone()],
                        y: self.y.map(|y| &y[part]),
                        mean: &mean,
                        sums: &mut sums,
                    });
                    for (all, sums) in all.iter_mut().zip(&sums) {
                        add_assign(all, &sum_by_channel(sums, channels));
                    }
                }
            },
        );
        let [mut beta, mut gamma] = zeros();
        for [more_beta, more_gamma] in &chunk_sums {
            add_assign(&mut beta, more_beta);
            add_assign(&mut gamma, more_gamma);
        }
        let scaled = gamma.iter_mut().zip(self.inv_std);
        scaled.for_each(|(sum, inv_std)| *sum *= f64::from(*inv_std));
        [beta, gamma]
    }

    /// Coefficients by channel of the convolution's output gradient, `a grad_output + b z
    /// + c`: mean and variance depend on it.
    fn grad_coefficients(&self, [beta, gamma]: [&[f64]; 2]) -> [Vec<f32>; 3] {
        let channels = self.dims.params.out;
        let inv_count = match self.batch_stats {
            true => channels as f64 / self.z.len() as f64,
            false => 0.0,
        };
        let each = |of: &dyn Fn(f64, f64, usize) -> f64| {
            let of = |c: usize| {
                let inv_std = f64::from(self.inv_std[c]);
                of(f64::from(self.gamma[c]) * inv_std, inv_std, c) as f32
            };
            tile_to_vector(&(0..channels).map(of).collect::<Vec<f32>>())
        };
        [
            each(&|a, _, _| a),
            each(&|a, inv_std, c| -a * inv_std * gamma[c] * inv_count),
            each(&|a, inv_std, c| {
                let mean = f64::from(self.mean[c]);
                a * inv_count * (mean * inv_std * gamma[c] - beta[c])
            }),
        ]
    }

    /// Writes the gradient of the convolution's output, from value `first` on, into its
    /// padded buffer, and the gradient of the residual into `grad_residual` if it has
    /// space.
    fn norm_backward(
        &self,
        coefficients: &[Vec<f32>; 3],
        grad_output: &[f32],
        first: usize,
        dims: ConvDims,
        scratch: &mut [f32],
        mut grad_residual: &mut [MaybeUninit<f32>],
    ) {
        let width = dims.width * dims.channels;
        for y in 0..dims.height {
            let part = first + y * width..first + (y + 1) * width;
            let (row, rest) = grad_residual.split_at_mut(width.min(grad_residual.len()));
            grad_residual = rest;
            dispatch(NormBackward {
                grad_output: &grad_output[part.clone()],
                z: &self.z[part.clone()],
                y: self.y.map(|y| &y[part]),
                coefficients,
                out: &mut scratch[dims.row_offset(y)..][..width],
                grad_residual: row,
            });
        }
    }
}

/// Sums of `grad_output`, and of its products with `z - mean`. With `y`, masked by the
/// ReLU.
struct ParamGradSums<'a> {
    grad_output: &'a [f32],
    z: &'a [f32],
    y: Option<&'a [f32]>,
    mean: &'a [f32],
    sums: &'a mut [Vec<f32>; 2],
}

impl SimdJob for ParamGradSums<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let length = self.mean.len();
        let [sum, products] = self.sums;
        let parts = self.grad_output.chunks(length).zip(self.z.chunks(length));
        for (index, (grad_output, z)) in parts.enumerate() {
            let elements = z.iter().zip(self.mean);
            let elements = elements.zip(sum.iter_mut().zip(products.iter_mut()));
            let accumulate =
                |grad_output: f32, z: f32, mean: f32, sum: &mut f32, products: &mut f32| {
                    *sum += grad_output;
                    *products += grad_output * (z - mean);
                };
            match self.y {
                None => {
                    for (grad_output, ((z, mean), (sum, products))) in
                        grad_output.iter().zip(elements)
                    {
                        accumulate(*grad_output, *z, *mean, sum, products);
                    }
                }
                Some(y) => {
                    let grad_output = grad_output.iter().zip(&y[index * length..]);
                    for ((grad_output, y), ((z, mean), (sum, products))) in
                        grad_output.zip(elements)
                    {
                        let grad_output = if *y > 0.0 { *grad_output } else { 0.0 };
                        accumulate(grad_output, *z, *mean, sum, products);
                    }
                }
            }
        }
    }
}

/// See [`ConvBnCtx::norm_backward`].
struct NormBackward<'a> {
    grad_output: &'a [f32],
    z: &'a [f32],
    y: Option<&'a [f32]>,
    coefficients: &'a [Vec<f32>; 3],
    out: &'a mut [f32],
    grad_residual: &'a mut [MaybeUninit<f32>],
}

impl SimdJob for NormBackward<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let [a, b, c] = self.coefficients;
        let length = a.len();
        let parts = self.grad_output.chunks(length).zip(self.z.chunks(length));
        for (index, ((grad_output, z), out)) in parts.zip(self.out.chunks_mut(length)).enumerate() {
            let elements = z.iter().zip(a.iter().zip(b.iter().zip(c)));
            let elements = out.iter_mut().zip(elements);
            match self.y {
                None => {
                    for (grad_output, (out, (z, (a, (b, c))))) in grad_output.iter().zip(elements) {
                        *out = a * grad_output + (b * z + c);
                    }
                }
                Some(y) => {
                    let grad_output = grad_output.iter().zip(&y[index * length..]);
                    for ((grad_output, y), (out, (z, (a, (b, c))))) in grad_output.zip(elements) {
                        let grad_output = if *y > 0.0 { *grad_output } else { 0.0 };
                        *out = a * grad_output + (b * z + c);
                    }
                }
            }
        }
        if let Some(y) = self.y {
            for (to, (grad_output, y)) in self
                .grad_residual
                .iter_mut()
                .zip(self.grad_output.iter().zip(y))
            {
                to.write(if *y > 0.0 { *grad_output } else { 0.0 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::level::at_every_level;
    use super::super::{assert_gradient, dot, test_values};
    use super::*;

    #[test]
    fn gradients_are_the_slopes_of_convolution_and_norm() {
        // Folded images and padded ones, with statistics of the batch and without.
        for ([height, width], [input, out], kernel, batch_stats) in [
            ([3, 2], [8, 5], 1, false),
            ([3, 2], [3, 4], 1, true),
            ([4, 3], [2, 5], 3, false),
            ([3, 4], [3, 4], 3, true),
        ] {
            let params = ConvParams {
                kernel,
                stride: 1,
                out,
            };
            let dims = ConvDims::new([2, height, width, input], params);
            let outputs = dims.output_shape().iter().product();
            let x = test_values(2 * height * width * input, 1);
            let weight = test_values(out * input * kernel * kernel, 2);
            let (gamma, beta) = (test_values(out, 3), test_values(out, 4));
            let (residual, grad_output) = (test_values(outputs, 5), test_values(outputs, 6));
            at_every_level(|| {
                // `[z, y]` and the statistics.
                let forward = |x: &[f32],
                               weight: &[f32],
                               [gamma, beta]: [&[f32]; 2],
                               residual: &[f32]| {
                    let (z, moments) = convolve(x, weight, dims);
                    let single = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect();
                    let (mean, inv_std): (Vec<f32>, Vec<f32>) = match batch_stats {
                        true => {
                            let inv_std = moments.variance.iter().map(|v| (v + 0.1).sqrt().recip());
                            let inv_std = single(inv_std.collect());
                            (single(moments.mean), inv_std)
                        }
                        false => (vec![0.2; out], vec![1.3; out]),
                    };
                    let scale: Vec<f32> = gamma.iter().zip(&inv_std).map(|(a, b)| a * b).collect();
                    let shift = mean
                        .iter()
                        .zip(&scale)
                        .zip(beta)
                        .map(|((m, s), b)| b - m * s);
                    let shift: Vec<f32> = shift.collect();
                    let y = affine(&z, [&scale, &shift], Some(residual), false);
                    ([z, y], mean, inv_std)
                };
                let loss = |x: &[f32], weight: &[f32], params: [&[f32]; 2], residual: &[f32]| {
                    let ([_, y], ..) = forward(x, weight, params, residual);
                    dot(&y, &grad_output)
                };
                let ([z, _], mean, inv_std) = forward(&x, &weight, [&gamma, &beta], &residual);
                let ctx = ConvBnCtx {
                    dims,
                    x: &x,
                    weight: &weight,
                    gamma: &gamma,
                    z: &z,
                    y: None,
                    mean: &mean,
                    inv_std: &inv_std,
                    batch_stats,
                };
                let grads = ctx.backward(&grad_output, true, true, true);
                let params = [gamma.as_slice(), &beta];
                assert_gradient(&grads.x.unwrap(), &x, |x| {
                    loss(x, &weight, params, &residual)
                });
                assert_gradient(&grads.weight.unwrap(), &weight, |weight| {
                    loss(&x, weight, params, &residual)
                });
                assert_gradient(&grads.gamma, &gamma, |gamma| {
                    loss(&x, &weight, [gamma, &beta], &residual)
                });
                assert_gradient(&grads.beta, &beta, |beta| {
                    loss(&x, &weight, [&gamma, beta], &residual)
                });
                assert!(grads.residual.is_none(), "it is that of the output");
            });
        }
    }

    #[test]
    fn a_relu_masks_the_gradient() {
        let params = ConvParams {
            kernel: 3,
            stride: 1,
            out: 4,
        };
        let dims = ConvDims::new([3, 3, 2, 2], params);
        let (x, weight) = (test_values(36, 1), test_values(72, 2));
        let (z, _) = convolve(&x, &weight, dims);
        let (scale, shift) = (test_values(4, 3), test_values(4, 4));
        let y = affine(&z, [&scale, &shift], None, true);
        let grad_output = test_values(y.len(), 5);
        let ctx = ConvBnCtx {
            dims,
            x: &x,
            weight: &weight,
            gamma: &scale,
            z: &z,
            y: Some(&y),
            mean: &[0.0; 4],
            inv_std: &[1.0; 4],
            batch_stats: false,
        };
        let masked = ctx
            .backward(&grad_output, false, false, true)
            .residual
            .unwrap();
        for (i, masked) in masked.into_iter().enumerate() {
            assert_eq!(masked, if y[i] > 0.0 { grad_output[i] } else { 0.0 });
        }
    }

    #[test]
    #[should_panic]
    fn images_that_are_missing_panic() {
        let params = ConvParams {
            kernel: 1,
            stride: 1,
            out: 1,
        };
        convolve(&[0.0; 4], &[1.0], ConvDims::new([2, 2, 2, 1], params));
    }
}
