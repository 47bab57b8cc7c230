//! The fast paths in the CPU's memory: burn's tensors in, slices within.

#[cfg(feature = "training")]
mod graph;
#[cfg(feature = "training")]
pub mod training;

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::module::{Param, ParamId};
use burn::tensor::{DType, Device, Element, Int, Tensor, TensorData};
use half::f16;

use super::linear::Int8;
use crate::kernels::conv::{self, ConvShape, Places};
use crate::kernels::crew::{self, Shares, Word};
use crate::kernels::gemm::{Finish, Values};
use crate::kernels::laid::{Laid, panels};
use crate::kernels::simd::tile_width;
use crate::kernels::{Curve, attention, int8, norm, winograd};

/// The numbers of a tensor, if they lie here and nobody differentiates.
fn numbers<const D: usize>(tensor: Tensor<D>) -> Option<FlexTensor> {
    Some(tensor.try_into_primitive::<Flex>().ok()?.to_contiguous())
}

/// The same of one that may be left out.
fn optional<const D: usize>(tensor: Option<Tensor<D>>) -> Option<Option<FlexTensor>> {
    match tensor {
        Some(tensor) => Some(Some(numbers(tensor)?)),
        None => Some(None),
    }
}

/// Whether it is the CPU.
pub fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

/// Whether the numbers lie here and nobody differentiates.
pub fn is_there<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.clone().try_into_primitive::<Flex>().is_ok()
}

fn tensor<T: Element, const D: usize>(values: Vec<T>, shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(values, shape);
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(data))
}

/// A matrix `[d_input, d_output]` in f32 or f16 as [`linear`] reads it; its shape
/// from then on means nothing. If there is a crew, this is the boss's share.
pub fn pack(matrix: Tensor<2>) -> Option<(Tensor<2>, Option<Shares>)> {
    fn pack<T: Element + Default + Word>(
        matrix: &[T],
        shape: [usize; 2],
    ) -> (Tensor<2>, Option<Shares>) {
        let (mine, shares) = crew::share(panels(matrix, shape, shape[1]), shape);
        let length = mine.len();
        (tensor(mine, [1, length]), shares)
    }
    let shape = matrix.dims();
    let matrix = numbers(matrix)?;
    match matrix.dtype() {
        DType::F32 => Some(pack::<f32>(matrix.as_slice()?, shape)),
        DType::F16 => Some(pack::<f16>(matrix.as_slice()?, shape)),
        _ => None,
    }
}

/// The same in 8 bits. Not for an odd `d_input`.
pub fn pack_int8(matrix: Tensor<2>) -> Option<(Int8, Option<Shares>)> {
    fn pack<T: Copy + Into<f32>>(
        matrix: &[T],
        [depth, columns]: [usize; 2],
    ) -> (Int8, Option<Shares>) {
        let (pairs, scales) = int8::weights(matrix, columns);
        let shape = [depth / 2, columns];
        let (mine, shares) = crew::share(panels(&pairs, shape, columns), shape);
        let mine = mine.into_flattened();
        let length = mine.len();
        let data = FlexTensor::from_data(TensorData::new(mine, [1, length]));
        let int8 = Int8 {
            weight: Param::initialized(ParamId::new(), Tensor::from_primitive::<Flex>(data)),
            scale: Param::from_tensor(tensor(scales, [columns])),
        };
        (int8, shares)
    }
    let shape = matrix.dims();
    let matrix = numbers(matrix)?;
    if !shape[0].is_multiple_of(2) {
        return None;
    }
    match matrix.dtype() {
        DType::F32 => Some(pack::<f32>(matrix.as_slice()?, shape)),
        DType::F16 => Some(pack::<f16>(matrix.as_slice()?, shape)),
        _ => None,
    }
}

/// The weights of a convolution, `[kernel * kernel * in, out]`, for its computation by
/// squares ([`winograd`]), where that is possible and worth its memory.
pub fn by_squares(matrix: &Tensor<2>, shape: ConvShape) -> Option<Tensor<2>> {
    if shape.kernel != winograd::KERNEL || shape.stride != 1 {
        return None;
    }
    let [depth, out] = matrix.dims();
    let channels = depth / winograd::KERNEL.pow(2);
    let matrix = numbers(matrix.clone())?;
    let after = winograd::PRODUCTS * channels * out * size_of::<f32>();
    let before = depth * out * matrix.dtype().size();
    // A vector has to fit.
    if channels < tile_width() / 2 || after > before + MOST_MORE {
        return None;
    }
    let values = match matrix.dtype() {
        DType::F32 => winograd::weights(matrix.as_slice()?, channels * out),
        DType::F16 => {
            let matrix: &[f16] = matrix.as_slice()?;
            let matrix: Vec<f32> = matrix.iter().map(|value| value.to_f32()).collect();
            winograd::weights(&matrix, channels * out)
        }
        _ => return None,
    };
    Some(tensor(values, [winograd::PRODUCTS * channels, out]))
}

/// Bytes by which a convolution's weights may grow in order to be fast.
const MOST_MORE: usize = 10 << 20;

/// The columns that lie here.
fn mine(shares: &Option<Shares>, columns: usize) -> Range<usize> {
    shares.as_ref().map_or(0..columns, Shares::mine)
}

/// A packed matrix.
pub struct Weights<'a> {
    values: FlexTensor,
    shares: &'a Option<Shares>,
    /// See [`by_squares`].
    by_squares: bool,
}

impl<'a> Weights<'a> {
    pub fn exact<const D: usize>(weights: Tensor<D>, shares: &'a Option<Shares>) -> Option<Self> {
        Some(Self::new(numbers(weights)?, shares))
    }

    pub fn int8(int8: &Int8, shares: &'a Option<Shares>) -> Option<Self> {
        let values = int8.weight.val().try_into_primitive::<Flex>().ok()?;
        Some(Self::new(values, shares))
    }

    fn new(values: FlexTensor, shares: &'a Option<Shares>) -> Self {
        Self {
            values,
            shares,
            by_squares: false,
        }
    }

    pub fn by_squares(self, by_squares: bool) -> Self {
        Self { by_squares, ..self }
    }

    fn laid(&self) -> Option<Laid<'_>> {
        Some(match self.values.dtype() {
            DType::I8 => Laid::Int8(self.values.as_slice::<i8>()?.as_chunks().0),
            _ => Laid::Exact(values(&self.values)?),
        })
    }
}

fn values(tensor: &FlexTensor) -> Option<Values<'_>> {
    Some(match tensor.dtype() {
        DType::F32 => Values::F32(tensor.as_slice()?),
        _ => Values::F16(tensor.as_slice()?),
    })
}

/// `curve(x w * scale + bias + add)`: `[rows, d_input]` times a packed matrix.
pub fn linear(
    x: Tensor<2>,
    weights: Weights<'_>,
    d_output: usize,
    [scale, bias]: [Option<Tensor<1>>; 2],
    add: Option<Tensor<2>>,
    curve: Curve,
) -> Option<Tensor<2>> {
    let [rows, depth] = x.dims();
    let x = numbers(x)?;
    let (scale, bias, add) = (optional(scale)?, optional(bias)?, optional(add)?);
    let finish = Finish {
        rows: None,
        scale: scale.as_ref().and_then(FlexTensor::as_slice),
        bias: bias.as_ref().and_then(FlexTensor::as_slice),
        add: add.as_ref().and_then(FlexTensor::as_slice),
        curve,
    };
    let (x, laid): (&[f32], _) = (x.as_slice()?, weights.laid()?);
    let columns = mine(weights.shares, d_output).len();
    let out = match weights.shares {
        None => laid.linear(x, [depth, columns], &finish),
        Some(shares) => shares.linear(x, depth, &finish, |part| {
            let x = &x[part.units.start * depth..part.units.end * depth];
            laid.linear(x, [depth, columns], &part.finish)
        })?,
    };
    Some(tensor(out, [rows, d_output]))
}

/// See [`super::ConvNorm`]: `curve(… * scale + bias + add)`.
pub fn conv(
    x: Tensor<4>,
    weights: Weights<'_>,
    shape: ConvShape,
    scale: Tensor<1>,
    bias: Tensor<1>,
    add: Option<Tensor<4>>,
    curve: Curve,
) -> Option<Tensor<4>> {
    let size = x.dims();
    let (x, scale, bias) = (numbers(x)?, numbers(scale)?, numbers(bias)?);
    let add = optional(add)?;
    let finish = Finish {
        rows: None,
        scale: scale.as_slice(),
        bias: bias.as_slice(),
        add: add.as_ref().and_then(FlexTensor::as_slice),
        curve,
    };
    let (picture, laid): (&[f32], _) = (x.as_slice()?, weights.laid()?);
    let places = Places::new(size, shape, weights.by_squares);
    let columns = mine(weights.shares, shape.out).len();
    let out = match weights.shares {
        None => laid.conv(picture, places, places.lines(), columns, &finish),
        Some(shares) => shares.conv(picture, places, &finish, |part| {
            let read = places.reads(&part.units);
            let picture = &picture[read.start * places.line()..read.end * places.line()];
            laid.conv(picture, places, part.units, columns, &part.finish)
        })?,
    };
    let [out_height, out_width] = places.size();
    Some(tensor(out, [size[0], out_height, out_width, shape.out]))
}

/// See [`super::attention`].
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Option<Tensor<3>> {
    let [batch, length, triple] = qkv.dims();
    let qkv = numbers(qkv)?;
    let out = attention::attention(qkv.as_slice()?, [batch, length, triple / 3], heads, causal);
    Some(tensor(out, [batch, length, triple / 3]))
}

/// A square matrix as [`pool_attention`] reads it, if a head's columns are whole panels.
pub fn pack_pool(matrix: Tensor<2>, heads: usize) -> Option<Tensor<2>> {
    fn pack<T: Element + Default>(matrix: &[T], width: usize) -> Tensor<2> {
        let packed = panels(matrix, [width, width], width);
        tensor(packed, [width, width])
    }
    let [width, d_output] = matrix.dims();
    if width != d_output || !(width / heads).is_multiple_of(tile_width()) {
        return None;
    }
    let matrix = numbers(matrix)?;
    match matrix.dtype() {
        DType::F32 => Some(pack::<f32>(matrix.as_slice()?, width)),
        DType::F16 => Some(pack::<f16>(matrix.as_slice()?, width)),
        _ => None,
    }
}

/// See [`super::pool_attention`]: `tokens` are `[batch, length, width]`, `query`
/// `[batch, 1, width]`.
pub fn pool_attention(
    tokens: Tensor<3>,
    query: Tensor<3>,
    [key, value]: [Tensor<2>; 2],
    bias: Option<Tensor<1>>,
    heads: usize,
) -> Option<Tensor<3>> {
    let [batch, length, width] = tokens.dims();
    let (tokens, query) = (numbers(tokens)?, numbers(query)?);
    let (key, value, bias) = (numbers(key)?, numbers(value)?, optional(bias)?);
    let out = attention::pool_attention(
        tokens.as_slice()?,
        query.as_slice()?,
        [values(&key)?, values(&value)?],
        bias.as_ref().and_then(FlexTensor::as_slice),
        [batch, length, width],
        heads,
    );
    Some(tensor(out, [batch, 1, width]))
}

/// `[rows, width]`, see [`super::LayerNorm`].
pub fn layer_norm(
    x: Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Option<Tensor<2>> {
    let shape = x.dims();
    let (x, gamma, beta) = (numbers(x)?, numbers(gamma)?, numbers(beta)?);
    let (gamma, beta) = (gamma.as_slice()?, beta.as_slice()?);
    let out = norm::layer_norm(x.as_slice()?, gamma, beta, epsilon as f32);
    Some(tensor(out, shape))
}

/// Rows `ids` of an f16 table `[count, width]`, as f32.
pub fn gather_f16(table: Tensor<2>, ids: Tensor<1, Int>) -> Option<Tensor<2>> {
    let ([count, width], [rows]) = (table.dims(), ids.dims());
    let table = numbers(table)?;
    let ids = ids.try_into_primitive::<Flex>().ok()?.to_contiguous();
    let ids: Vec<usize> = match ids.dtype() {
        DType::I64 => ids
            .as_slice::<i64>()?
            .iter()
            .map(|id| *id as usize)
            .collect(),
        _ => ids
            .as_slice::<i32>()?
            .iter()
            .map(|id| *id as usize)
            .collect(),
    };
    let table: &[f16] = table.as_slice()?;
    let row = |id: usize| &table[id.min(count - 1) * width..][..width];
    let out = (ids.into_iter().flat_map(row)).map(|value| value.to_f32());
    Some(tensor(out.collect(), [rows, width]))
}

/// See [`super::average_pool`].
pub fn average_pool(x: Tensor<4>, side: usize) -> Option<Tensor<4>> {
    let [batch, height, width, channels] = x.dims();
    let x = numbers(x)?;
    let out = conv::average_pool(x.as_slice()?, [batch, height, width, channels], side);
    Some(tensor(out, [batch, height / side, width / side, channels]))
}

/// Does `run` with every kind of vector that the processor has, on one thread.
#[cfg(test)]
pub fn with_all_vectors(run: impl Fn() + Send + Sync) {
    run();
    #[cfg(target_arch = "x86_64")]
    for level in [0, 1] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        pool.unwrap().install(|| {
            crate::kernels::simd::level::MOST.set(level);
            run();
        });
    }
}
