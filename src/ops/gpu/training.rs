//! Fast paths with autodiff on a GPU: what training needs of convolutions with their batch
//! norms, linear layers, layer norms, attention and activations. burn's own gradients take dozens of launches
//! for each, and for some a single thread per channel.

use burn::backend::Wgpu;
use burn::backend::wgpu::CubeTensor;
use burn::tensor::{DType, Tensor};

use super::super::Epilogue;
use super::super::conv::{Normalization, Normalized};
use super::super::graph::{CustomBackward, CustomOps, custom_op};
use super::attention::Layout;
use super::kernel::{
    Kernel, MAX_WORKGROUPS, WORKGROUP_SIZE, contiguous, on_gpu, rows_of_workgroups,
};
use super::matmul_conv::{ConvGeometry, activation_number, in_fours, matmul_conv};
use super::{MatmulKernel, choice, norm};
use crate::kernels::ActivationFunction;
use crate::kernels::conv::ConvParams;

impl CustomOps for Wgpu {
    fn contiguous(tensor: CubeTensor) -> Option<CubeTensor> {
        contiguous(tensor)
    }
}

fn tensor<const D: usize>(primitive: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<Wgpu>(primitive)
}

fn primitive<const D: usize>(tensor: Tensor<D>) -> Option<CubeTensor> {
    on_gpu(tensor, DType::F32)
}

/// Threads below which a GPU is underused.
const MIN_THREADS: usize = 8192;
/// Workgroup of kernels with a channel by a slice of rows in each thread.
const BY_CHANNEL: [usize; 2] = [8, 8];
/// Most rows of what is summed in one thread.
const MAX_SLICE: usize = 256;

/// Rows of a slice and number of slices, with a thread for each of `columns` in each slice.
fn slices(rows: usize, columns: usize) -> [usize; 2] {
    let wanted = MIN_THREADS.div_ceil(columns.max(1)).max(1);
    let slice = rows.div_ceil(wanted).clamp(16, MAX_SLICE);
    [slice, rows.div_ceil(slice)]
}

fn by_channel(channels: usize, slices: usize) -> [usize; 3] {
    let [width, height] = BY_CHANNEL;
    [channels.div_ceil(width), slices.div_ceil(height), 1]
}

/// Column sums, `[rows, columns]` to `[columns]`.
fn column_sums(x: CubeTensor, [rows, columns]: [usize; 2]) -> Option<CubeTensor> {
    let fours = columns / 4;
    let [slice, slices] = slices(rows, fours);
    let sum = |x: CubeTensor, rows: usize, slice: usize, slices: usize| {
        let arguments = [rows, fours, slice, slices].map(|n| n as u32);
        let groups = by_channel(fours, slices);
        let [y] = sum_rows_kernel().launch(&[x], &arguments, groups, [[slices, columns].into()])?;
        Some(y)
    };
    let mut sums = sum(x, rows, slice, slices)?;
    if slices > 1 {
        sums = sum(sums, slices, slices, 1)?;
    }
    primitive(tensor::<2>(sums).reshape([columns]))
}

/// `[kernel, kernel, channels, out]` as an im2col weight matrix.
fn matrix_of(window: Tensor<4>, out: usize) -> Option<CubeTensor> {
    let window = tensor::<4>(primitive(window)?);
    primitive(window.reshape([-1, out as isize]))
}

/// Product with weights `[kernel² * channels, out]`, plus `bias`. In f32, also where inference has
/// cooperative matrices in f16: gradients are smaller than its smallest numbers.
fn product(
    x: CubeTensor,
    geometry: ConvGeometry,
    weight: CubeTensor,
    bias: Option<CubeTensor>,
) -> Option<CubeTensor> {
    let parts = [None, bias.map(tensor), None];
    let activation = ActivationFunction::Identity;
    let kernel = match choice().matmul {
        MatmulKernel::Tensor => MatmulKernel::BySize,
        other => other,
    };
    let weight = tensor(weight);
    primitive(matmul_conv(x, geometry, weight, parts, activation, kernel)?)
}

/// `x W + b`, `[rows, d_input]` to `[rows, d_output]`.
pub fn linear(x: &Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Option<Tensor<2>> {
    let ([rows, d_input], [_, d_output]) = (x.dims(), weight.dims());
    if rows == 0 || !d_input.is_multiple_of(4) || !d_output.is_multiple_of(4) {
        return None;
    }
    let run = |values: &[CubeTensor]| {
        let [x, weight, bias @ ..] = values else {
            return None;
        };
        let bias = bias.first().cloned();
        let geometry = ConvGeometry::matmul(rows, d_input);
        let y = product(x.clone(), geometry, weight.clone(), bias)?;
        let state = LinearState {
            x: x.clone(),
            weight: weight.clone(),
            shape: [rows, d_input, d_output],
        };
        Some((y, state))
    };
    let (x, weight) = (x.clone().into_dispatch(), weight.into_dispatch());
    let y = match bias {
        None => custom_op::<Wgpu, _, _>([x, weight], |values| run(values)),
        Some(bias) => {
            let bias = bias.into_dispatch();
            custom_op::<Wgpu, _, _>([x, weight, bias], |values| run(values))
        }
    };
    Some(Tensor::from_dispatch(y?))
}

/// Saved state of [`linear()`].
#[derive(Clone, Debug)]
struct LinearState {
    x: CubeTensor,
    weight: CubeTensor,
    shape: [usize; 3],
}

impl<const N: usize> CustomBackward<Wgpu, N> for LinearState {
    fn backward(
        self,
        grad_output: CubeTensor,
        needs_grad: [bool; N],
    ) -> Option<[Option<CubeTensor>; N]> {
        let [rows, d_input, d_output] = self.shape;
        let [x, weight, bias @ ..] = needs_grad.as_slice() else {
            return None;
        };
        let grad_x = match x {
            true => {
                let weight = primitive(tensor::<2>(self.weight).transpose())?;
                let geometry = ConvGeometry::matmul(rows, d_output);
                Some(product(grad_output.clone(), geometry, weight, None)?)
            }
            false => None,
        };
        let grad_weight = match weight {
            true => {
                let geometry = ConvGeometry::matmul(rows, d_input);
                let grad = conv_weight(self.x, grad_output.clone(), geometry, d_output)?;
                Some(primitive(tensor::<1>(grad).reshape([d_input, d_output]))?)
            }
            false => None,
        };
        let grad_bias = match bias.first() {
            Some(true) => Some(column_sums(grad_output, [rows, d_output])?),
            _ => None,
        };
        let mut grads = [grad_x, grad_weight, grad_bias].into_iter();
        Some(std::array::from_fn(|_| grads.next().flatten()))
    }
}

/// Gradient of a convolution's weights, `[kernel² * channels * out]`.
fn conv_weight(
    x: CubeTensor,
    grad_output: CubeTensor,
    geometry: ConvGeometry,
    out: usize,
) -> Option<CubeTensor> {
    let step = match geometry.channels.is_multiple_of(4) {
        true => 4,
        false => 1,
    };
    let (rows, columns) = (geometry.output_pixels(), out / 4);
    let channels = geometry.channels / step;
    let patches = geometry.kernel * geometry.kernel * channels;
    let vectors = match step == 4 && channels.is_multiple_of(2) {
        true => 2,
        false => 1,
    };
    let threads = [columns.div_ceil(2), patches / vectors];
    // As many slices as keep the GPU busy, of so many places that writing the sums is little work.
    let wanted = MIN_THREADS.div_ceil(threads[0] * threads[1]);
    let slice = rows.div_ceil(wanted).max(64);
    let slices = rows.div_ceil(slice);
    let arguments = [
        rows,
        columns,
        geometry.height,
        geometry.width,
        channels,
        geometry.output_side(geometry.height),
        geometry.output_side(geometry.width),
        geometry.kernel,
        geometry.stride,
        slice,
    ];
    let [width, height] = BY_CHANNEL;
    let groups = [
        threads[0].div_ceil(width),
        threads[1].div_ceil(height),
        slices,
    ];
    let count = patches * step * out;
    let [sums] = conv_weight_kernel(vectors, step).launch(
        &[x, grad_output],
        &arguments.map(|n| n as u32),
        groups,
        [[slices, count].into()],
    )?;
    match slices {
        1 => primitive(tensor::<2>(sums).reshape([count])),
        _ => column_sums(sums, [slices, count]),
    }
}

/// See [`super::super::ConvNorm`]: convolution with weights `[out, in, kernel, kernel]`,
/// batch normalisation and `epilogue`.
pub fn conv_norm(
    x: &Tensor<4>,
    weight: Tensor<4>,
    params: ConvParams,
    norm: Normalization,
    epilogue: &Epilogue<4>,
) -> Option<Normalized> {
    /// Most rows of a product, within WebGPU's limit on workgroups.
    const MAX_ROWS: usize = 1 << 21;

    let (residual, relu) = epilogue.split_relu()?;
    let size @ [batch, height, width, channels] = x.dims();
    let ConvParams { stride, out, .. } = params;
    let geometry = ConvGeometry::new(size, params);
    let rows = geometry.output_pixels();
    // Gradients of other inputs are left to the reference implementation.
    let way_back = !x.is_tracked()
        || stride == 1 && channels.is_multiple_of(4) && batch * height * width <= MAX_ROWS;
    if !way_back || rows == 0 || rows > MAX_ROWS || !out.is_multiple_of(4) {
        return None;
    }
    let running = match norm.running {
        Some([mean, variance]) => Some([primitive(mean)?, primitive(variance)?]),
        None => None,
    };
    let batch_stats = running.is_none();
    let mut batch_moments = None;
    let run = |values: &[CubeTensor]| {
        let [x, weight, gamma, beta, residual @ ..] = values else {
            return None;
        };
        let matrix = tensor::<4>(weight.clone()).permute([2, 3, 1, 0]);
        let z = product(x.clone(), geometry, matrix_of(matrix, out)?, None)?;
        let [mean, variance] = match running {
            Some(running) => running,
            None => {
                let [mean, variance] = moments(z.clone(), [rows, out])?;
                let unbiased = rows as f64 / (rows as f64 - 1.0).max(1.0);
                let variance = tensor::<1>(variance);
                batch_moments = Some([tensor::<1>(mean.clone()), variance.clone() * unbiased]);
                [mean, primitive(variance)?]
            }
        };
        let (groups, row) = rows_of_workgroups(rows * out / 4);
        let arguments = [
            (rows * out / 4) as u32,
            row,
            (out / 4) as u32,
            u32::from(!residual.is_empty()),
            u32::from(relu),
            (norm.epsilon as f32).to_bits(),
        ];
        let residual = residual.first().unwrap_or(&z);
        let inputs = [&z, &mean, &variance, gamma, beta, residual].map(CubeTensor::clone);
        let shapes = [geometry.output_shape(out).into()];
        let [y] = batch_norm_kernel().launch(&inputs, &arguments, groups, shapes)?;
        let state = ConvNormState {
            geometry,
            out,
            x: x.clone(),
            weight: weight.clone(),
            gamma: gamma.clone(),
            z,
            y: relu.then(|| y.clone()),
            mean,
            variance,
            epsilon: norm.epsilon as f32,
            batch_stats,
        };
        Some((y, state))
    };
    let (x, weight) = (x.clone().into_dispatch(), weight.into_dispatch());
    let (gamma, beta) = (norm.gamma.into_dispatch(), norm.beta.into_dispatch());
    let y = match residual {
        None => custom_op::<Wgpu, _, _>([x, weight, gamma, beta], |values| run(values)),
        Some(residual) => {
            let residual = residual.clone().into_dispatch();
            custom_op::<Wgpu, _, _>([x, weight, gamma, beta, residual], |values| run(values))
        }
    };
    let y = Tensor::from_dispatch(y?);
    Some(Normalized { y, batch_moments })
}

/// Mean and biased variance by column of `[rows, columns]`.
fn moments(x: CubeTensor, [rows, columns]: [usize; 2]) -> Option<[CubeTensor; 2]> {
    let fours = columns / 4;
    let [slice, slices] = slices(rows, fours);
    let arguments = [rows, fours, slice, slices].map(|n| n as u32);
    let shape = || [slices, columns].into();
    let parts = moments_kernel().launch(
        &[x],
        &arguments,
        by_channel(fours, slices),
        [shape(), shape()],
    )?;
    let shape = || [columns].into();
    let groups = [fours.div_ceil(WORKGROUP_SIZE), 1, 1];
    moments_total_kernel().launch(&parts, &arguments, groups, [shape(), shape()])
}

/// Saved state of [`conv_norm()`].
#[derive(Clone, Debug)]
struct ConvNormState {
    geometry: ConvGeometry,
    out: usize,
    x: CubeTensor,
    weight: CubeTensor,
    gamma: CubeTensor,
    /// Output of the convolution.
    z: CubeTensor,
    /// Output, if a ReLU made it.
    y: Option<CubeTensor>,
    mean: CubeTensor,
    variance: CubeTensor,
    epsilon: f32,
    batch_stats: bool,
}

impl<const N: usize> CustomBackward<Wgpu, N> for ConvNormState {
    fn backward(
        self,
        grad_output: CubeTensor,
        needs_grad: [bool; N],
    ) -> Option<[Option<CubeTensor>; N]> {
        let [x, weight, gamma, beta, residual @ ..] = needs_grad.as_slice() else {
            return None;
        };
        let (geometry, out) = (self.geometry, self.out);
        let (rows, fours) = (geometry.output_pixels(), out / 4);
        let relu = u32::from(self.y.is_some());
        let y = self.y.unwrap_or_else(|| self.z.clone());

        let [slice, slices] = slices(rows, fours);
        let mut arguments = [rows, fours, slice, slices].map(|n| n as u32).to_vec();
        arguments.push(relu);
        let inputs = [&grad_output, &self.z, &y, &self.mean].map(CubeTensor::clone);
        let shape = || [slices, out].into();
        let groups = by_channel(fours, slices);
        let [sums, products] =
            batch_norm_sums_kernel().launch(&inputs, &arguments, groups, [shape(), shape()])?;
        let arguments = [
            rows as u32,
            fours as u32,
            slices as u32,
            u32::from(self.batch_stats),
            self.epsilon.to_bits(),
        ];
        let groups = [fours.div_ceil(WORKGROUP_SIZE), 1, 1];
        let shapes = [[out].into(), [out].into(), [3, out].into()];
        let inputs = [sums, products, self.variance, self.gamma];
        let [grad_gamma, grad_beta, factors] =
            batch_norm_total_kernel().launch(&inputs, &arguments, groups, shapes)?;

        let (groups, row) = rows_of_workgroups(rows * fours);
        let residual = residual.first() == Some(&true);
        let arguments = [
            (rows * fours) as u32,
            row,
            fours as u32,
            relu,
            u32::from(residual),
        ];
        let shape = geometry.output_shape(out);
        // What is not written needs no room.
        let shapes = [
            shape.into(),
            if residual { shape } else { [1, 1, 1, 4] }.into(),
        ];
        let inputs = [grad_output, self.z, y, self.mean, factors];
        let [grad_z, grad_residual] =
            batch_norm_input_kernel().launch(&inputs, &arguments, groups, shapes)?;

        let ConvGeometry {
            kernel, channels, ..
        } = geometry;
        let grad_weight = match weight {
            true => {
                let grad = conv_weight(self.x, grad_z.clone(), geometry, out)?;
                let grad = tensor::<1>(grad).reshape([kernel, kernel, channels, out]);
                Some(primitive(grad.permute([3, 2, 0, 1]))?)
            }
            false => None,
        };
        let grad_x = match x {
            true => {
                // A convolution with the window turned around, from outputs to inputs.
                let mut window = tensor::<4>(self.weight);
                if kernel > 1 {
                    window = window.flip([2, 3]);
                }
                let window = matrix_of(window.permute([2, 3, 0, 1]), channels)?;
                let back = ConvGeometry {
                    channels: out,
                    ..geometry
                };
                let grad = tensor::<2>(product(grad_z, back, window, None)?);
                let size = [geometry.batch, geometry.height, geometry.width, channels];
                Some(primitive(grad.reshape(size))?)
            }
            false => None,
        };
        let grads = [
            grad_x,
            grad_weight,
            gamma.then_some(grad_gamma),
            beta.then_some(grad_beta),
            residual.then_some(grad_residual),
        ];
        let mut grads = grads.into_iter();
        Some(std::array::from_fn(|_| grads.next().flatten()))
    }
}

/// `[rows, width]`, see [`crate::ops::LayerNorm`].
pub fn layer_norm(
    x: &Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Option<Tensor<2>> {
    let [rows, width] = x.dims();
    if rows == 0 || !width.is_multiple_of(4) {
        return None;
    }
    let inputs = [
        x.clone().into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
    ];
    let y = custom_op::<Wgpu, _, _>(inputs, |[x, gamma, beta]| {
        let [x, gamma, beta] = [x, gamma, beta].map(CubeTensor::clone);
        let y = norm::layer_norm(
            tensor(x.clone()),
            tensor(gamma.clone()),
            tensor(beta),
            epsilon,
        )?;
        let state = LayerNormState {
            x,
            gamma,
            shape: [rows, width],
            epsilon: epsilon as f32,
        };
        Some((primitive(y)?, state))
    });
    Some(Tensor::from_dispatch(y?))
}

/// Saved state of [`layer_norm`].
#[derive(Clone, Debug)]
struct LayerNormState {
    x: CubeTensor,
    gamma: CubeTensor,
    shape: [usize; 2],
    epsilon: f32,
}

impl CustomBackward<Wgpu, 3> for LayerNormState {
    fn backward(
        self,
        grad_output: CubeTensor,
        needs_grad: [bool; 3],
    ) -> Option<[Option<CubeTensor>; 3]> {
        let [rows, width] = self.shape;
        let arguments = [(width / 4) as u32, self.epsilon.to_bits()];
        let inputs = [grad_output.clone(), self.x, self.gamma];
        let shape = || [rows, width].into();
        let [grad_x, products] = layer_norm_back_kernel().launch(
            &inputs,
            &arguments,
            [rows, 1, 1],
            [shape(), shape()],
        )?;
        let [_, gamma, beta] = needs_grad;
        let grad_gamma = match gamma {
            true => Some(column_sums(products, [rows, width])?),
            false => None,
        };
        let grad_beta = match beta {
            true => Some(column_sums(grad_output, [rows, width])?),
            false => None,
        };
        Some([Some(grad_x), grad_gamma, grad_beta])
    }
}

/// See [`crate::ops::attention`].
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Option<Tensor<3>> {
    let layout = Layout::fused(qkv.dims(), heads, causal);
    check(&layout)?;
    let y = custom_op::<Wgpu, _, _>([qkv.into_dispatch()], |[qkv]| {
        let inputs = [qkv, qkv, qkv].map(CubeTensor::clone);
        let y = layout.attend(inputs.clone())?;
        Some((primitive(y)?, AttentionState { layout, inputs }))
    });
    Some(Tensor::from_dispatch(y?))
}

/// Multi-head attention of queries `[batch, queries, width]` to keys and values `[batch, keys,
/// width]`.
pub fn multi_head(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    heads: usize,
) -> Option<Tensor<3>> {
    let layout = Layout::apart(query.dims(), key.dims(), heads);
    check(&layout)?;
    let inputs = [query, key, value].map(Tensor::into_dispatch);
    let y = custom_op::<Wgpu, _, _>(inputs, |inputs| {
        let y = layout.attend(inputs.clone())?;
        let inputs = inputs.clone();
        Some((primitive(y)?, AttentionState { layout, inputs }))
    });
    Some(Tensor::from_dispatch(y?))
}

/// Whether the gradient will find room for its scores, and workgroups enough.
fn check(layout: &Layout) -> Option<()> {
    /// Largest binding that WebGPU guarantees.
    const MAX_BYTES: u64 = 128 << 20;

    let Layout {
        batch,
        queries,
        keys,
        heads,
        ..
    } = *layout;
    let sizes = [size_of::<f32>(), batch, heads, queries, keys];
    let bytes = sizes
        .iter()
        .try_fold(1u64, |product, n| product.checked_mul(*n as u64))?;
    let fits = [batch, queries, heads]
        .iter()
        .all(|n| (1..=MAX_WORKGROUPS).contains(n));
    (fits && (1..=MAX_BYTES).contains(&bytes)).then_some(())
}

/// Saved state of [`attention`] and [`multi_head`]: queries, keys and values.
#[derive(Clone, Debug)]
struct AttentionState {
    layout: Layout,
    inputs: [CubeTensor; 3],
}

impl AttentionState {
    /// What both kernels know of the layout: numbers of queries and keys, and lengths in fours.
    fn layout_arguments(&self) -> [usize; 7] {
        let layout = &self.layout;
        [
            layout.queries,
            layout.keys,
            layout.width / 4,
            layout.width / layout.heads / 4,
            layout.query_row / 4,
            layout.key_row / 4,
            layout.key_start / 4,
        ]
    }

    /// Probabilities, and the gradient of the scores.
    fn scores(&self, grad_output: &CubeTensor) -> Option<[CubeTensor; 2]> {
        let layout = &self.layout;
        let [query, key, value] = self.inputs.each_ref().map(CubeTensor::clone);
        let mut arguments = self.layout_arguments().map(|n| n as u32).to_vec();
        let value_start = (layout.value_start / 4) as u32;
        arguments.extend([value_start, layout.causal.into(), layout.scale().to_bits()]);
        let shape = || [layout.batch, layout.heads, layout.queries, layout.keys].into();
        attention_scores_kernel().launch(
            &[query, key, value, grad_output.clone()],
            &arguments,
            [layout.queries, layout.heads, layout.batch],
            [shape(), shape()],
        )
    }

    /// Gradient of what has the shape `[batch, rows, columns]`, whose first column is of `part`.
    fn grad(
        &self,
        grad_output: &CubeTensor,
        [probabilities, grad_scores]: &[CubeTensor; 2],
        part: usize,
        [rows, columns]: [usize; 2],
    ) -> Option<CubeTensor> {
        let layout = &self.layout;
        let count = layout.batch * rows * columns / 4;
        let (groups, row) = rows_of_workgroups(count);
        let mut arguments = vec![count as u32, row];
        arguments.extend(self.layout_arguments().map(|n| n as u32));
        arguments.extend([(columns / 4) as u32, part as u32]);
        let [query, key, _] = &self.inputs;
        let inputs = [query, key, grad_output, probabilities, grad_scores];
        let [grad] = attention_back_kernel().launch(
            &inputs.map(CubeTensor::clone),
            &arguments,
            groups,
            [[layout.batch, rows, columns].into()],
        )?;
        Some(grad)
    }
}

impl<const N: usize> CustomBackward<Wgpu, N> for AttentionState {
    fn backward(
        self,
        grad_output: CubeTensor,
        needs_grad: [bool; N],
    ) -> Option<[Option<CubeTensor>; N]> {
        let scores = self.scores(&grad_output)?;
        let Layout {
            queries,
            keys,
            width,
            ..
        } = self.layout;
        let mut grads = [const { None }; N];
        for (part, (grad, needed)) in grads.iter_mut().zip(needs_grad).enumerate() {
            let shape = match (N, part) {
                (1, _) => [queries, 3 * width],
                (_, 0) => [queries, width],
                _ => [keys, width],
            };
            if needed {
                *grad = Some(self.grad(&grad_output, &scores, part, shape)?);
            }
        }
        Some(grads)
    }
}

/// Activation of `[rows, width]`.
pub fn activate(x: &Tensor<2>, activation: ActivationFunction) -> Option<Tensor<2>> {
    let shape = x.dims();
    if shape.contains(&0) || !shape[1].is_multiple_of(4) {
        return None;
    }
    let y = custom_op::<Wgpu, _, _>([x.clone().into_dispatch()], |[x]| {
        let state = ActivationState {
            x: x.clone(),
            shape,
            activation,
        };
        Some((state.run(None)?, state))
    });
    Some(Tensor::from_dispatch(y?))
}

/// Saved state of [`activate`].
#[derive(Clone, Debug)]
struct ActivationState {
    x: CubeTensor,
    shape: [usize; 2],
    activation: ActivationFunction,
}

impl ActivationState {
    /// Output, or given dL/d(output) dL/d(input).
    fn run(&self, grad_output: Option<CubeTensor>) -> Option<CubeTensor> {
        let [rows, width] = self.shape;
        let count = rows * width / 4;
        let (groups, row) = rows_of_workgroups(count);
        let arguments = [
            count as u32,
            row,
            activation_number(self.activation),
            u32::from(grad_output.is_some()),
        ];
        let inputs = [self.x.clone(), grad_output.unwrap_or(self.x.clone())];
        let [y] = activation_kernel().launch(&inputs, &arguments, groups, [self.shape.into()])?;
        Some(y)
    }
}

impl CustomBackward<Wgpu, 1> for ActivationState {
    fn backward(self, grad_output: CubeTensor, _: [bool; 1]) -> Option<[Option<CubeTensor>; 1]> {
        Some([Some(self.run(Some(grad_output))?)])
    }
}

/// Sum of the squares of all values of all tensors, `[1]`.
pub fn sum_of_squares<'a>(tensors: impl IntoIterator<Item = &'a Tensor<1>>) -> Option<Tensor<1>> {
    const PARTS: usize = 4096;
    let mut sums: Option<CubeTensor> = None;
    for x in tensors {
        let [count] = x.dims();
        let x = primitive(x.clone())?;
        let arguments = [count as u32, PARTS as u32, u32::from(sums.is_some())];
        let before = sums.unwrap_or_else(|| x.clone());
        let groups = [PARTS / WORKGROUP_SIZE, 1, 1];
        let shapes = [[PARTS].into()];
        let [added] = sum_squares_kernel().launch(&[x, before], &arguments, groups, shapes)?;
        sums = Some(added);
    }
    Some(tensor::<1>(sums?).sum())
}

/// Kernels of training, with names.
#[cfg(test)]
pub fn kernels() -> Vec<(&'static str, Kernel)> {
    vec![
        ("sum rows", sum_rows_kernel()),
        ("conv weight, one channel", conv_weight_kernel(1, 1)),
        ("conv weight, four channels", conv_weight_kernel(1, 4)),
        ("conv weight, eight channels", conv_weight_kernel(2, 4)),
        ("moments", moments_kernel()),
        ("moments total", moments_total_kernel()),
        ("batch norm", batch_norm_kernel()),
        ("batch norm sums", batch_norm_sums_kernel()),
        ("batch norm total", batch_norm_total_kernel()),
        ("batch norm input", batch_norm_input_kernel()),
        ("layer norm back", layer_norm_back_kernel()),
        ("attention scores", attention_scores_kernel()),
        ("attention back", attention_back_kernel()),
        ("activation", activation_kernel()),
        ("sum squares", sum_squares_kernel()),
    ]
}

fn channel_kernel(name: &'static str, source: &'static str) -> Kernel {
    Kernel::new(name, source, BY_CHANNEL.map(|side| side as u32))
}

fn elementwise_kernel(name: &'static str, source: &'static str) -> Kernel {
    Kernel::new(name, source, [WORKGROUP_SIZE as u32, 1])
}

fn sum_rows_kernel() -> Kernel {
    channel_kernel("sum_rows", include_str!("sum_rows.wgsl"))
}

/// Kernel for `vectors` of `step` channels in a thread, four or one.
fn conv_weight_kernel(vectors: usize, step: usize) -> Kernel {
    let kernel = channel_kernel("conv_weight", include_str!("conv_weight.wgsl"))
        .unroll("{v}", vectors)
        .unroll("{s}", step)
        .unroll("{c}", 2)
        .define("vectors", vectors)
        .define("step", step);
    match step {
        4 => in_fours(kernel),
        _ => (kernel.define("input", "f32")).define("as_input", "vec4f(v, 0.0, 0.0, 0.0)"),
    }
}

fn moments_kernel() -> Kernel {
    channel_kernel("moments", include_str!("moments.wgsl"))
}

fn moments_total_kernel() -> Kernel {
    elementwise_kernel("moments_total", include_str!("moments_total.wgsl"))
}

fn batch_norm_kernel() -> Kernel {
    elementwise_kernel("batch_norm", include_str!("batch_norm.wgsl"))
}

fn batch_norm_sums_kernel() -> Kernel {
    channel_kernel("batch_norm_sums", include_str!("batch_norm_sums.wgsl"))
}

fn batch_norm_total_kernel() -> Kernel {
    elementwise_kernel("batch_norm_total", include_str!("batch_norm_total.wgsl"))
}

fn batch_norm_input_kernel() -> Kernel {
    elementwise_kernel("batch_norm_input", include_str!("batch_norm_input.wgsl"))
}

fn layer_norm_back_kernel() -> Kernel {
    Kernel::new(
        "layer_norm_back",
        include_str!("layer_norm_back.wgsl"),
        [norm::WORKGROUP_SIZE, 1],
    )
}

fn attention_scores_kernel() -> Kernel {
    Kernel::new(
        "attention_scores",
        include_str!("attention_scores.wgsl"),
        [32, 1],
    )
}

fn attention_back_kernel() -> Kernel {
    elementwise_kernel("attention_back", include_str!("attention_back.wgsl"))
}

fn activation_kernel() -> Kernel {
    elementwise_kernel("activation", include_str!("activation.wgsl"))
}

fn sum_squares_kernel() -> Kernel {
    elementwise_kernel("sum_squares", include_str!("sum_squares.wgsl"))
}
