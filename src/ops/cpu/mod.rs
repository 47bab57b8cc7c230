//! Fast paths for tensors in CPU memory: burn's tensors in, kernels over slices within.

#[cfg(feature = "training")]
pub mod training;

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::module::{Param, ParamId};
use burn::tensor::{DType, Device, Element, Int, Tensor, TensorData};
use half::f16;

use super::linear::Int8;
use crate::kernels::conv::{self, ConvGeometry, ConvParams};
use crate::kernels::gemm::{Epilogue, PackedData};
use crate::kernels::packed_weights::{PackedWeights, pack as pack_panels, pack_transposed};
use crate::kernels::pool::{self, ShardedMatrix, Transport};
use crate::kernels::simd::tile_width;
use crate::kernels::{ActivationFunction, attention, int8, norm, winograd};

/// Contiguous CPU primitive of an untracked tensor, else `None`.
fn primitive<const D: usize>(tensor: Tensor<D>) -> Option<FlexTensor> {
    Some(tensor.try_into_primitive::<Flex>().ok()?.to_contiguous())
}

/// [`primitive`] of an optional tensor.
fn optional_primitive<const D: usize>(tensor: Option<Tensor<D>>) -> Option<Option<FlexTensor>> {
    match tensor {
        Some(tensor) => Some(Some(primitive(tensor)?)),
        None => Some(None),
    }
}

/// Whether a device is the CPU.
pub fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

/// Whether a tensor is in CPU memory and untracked.
pub fn is_cpu_untracked<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.clone().try_into_primitive::<Flex>().is_ok()
}

fn tensor<T: Element, const D: usize>(values: Vec<T>, shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(values, shape);
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(data))
}

/// Packs a matrix `[d_input, d_output]` in f32 or f16 for [`linear`]; the shape of the
/// result carries no meaning. With a worker pool, this is the coordinator's shard. A matrix that is
/// the view of its transpose, as files have most of them, is packed without a copy.
pub fn pack(matrix: Tensor<2>) -> Option<(Tensor<2>, Option<ShardedMatrix>)> {
    fn pack<T: Element + Default + Transport>(
        values: &[T],
        shape: [usize; 2],
        is_transpose: bool,
    ) -> (Tensor<2>, Option<ShardedMatrix>) {
        let packed = match is_transpose {
            true => pack_transposed(values, shape),
            false => pack_panels(values, shape, shape[1]),
        };
        let (local, shards) = pool::shard(packed, shape);
        let length = local.len();
        (tensor(local, [1, length]), shards)
    }
    let shape = matrix.dims();
    let matrix = matrix.try_into_primitive::<Flex>().ok()?;
    let transpose = matrix.transpose(0, 1);
    let is_transpose = !matrix.is_contiguous() && transpose.is_contiguous();
    let values = match is_transpose {
        true => transpose,
        false => matrix.to_contiguous(),
    };
    match values.dtype() {
        DType::F32 => Some(pack::<f32>(values.as_slice()?, shape, is_transpose)),
        DType::F16 => Some(pack::<f16>(values.as_slice()?, shape, is_transpose)),
        _ => None,
    }
}

/// [`pack`] in int8. The matrix must have an even `d_input`.
pub fn pack_int8(matrix: Tensor<2>) -> Option<(Int8, Option<ShardedMatrix>)> {
    fn pack<T: Copy + Into<f32>>(
        matrix: &[T],
        [depth, columns]: [usize; 2],
    ) -> (Int8, Option<ShardedMatrix>) {
        let (pairs, scales) = int8::quantize_weights(matrix, columns);
        let shape = [depth / 2, columns];
        let (local, shards) = pool::shard(pack_panels(&pairs, shape, columns), shape);
        let local = local.into_flattened();
        let length = local.len();
        let data = FlexTensor::from_data(TensorData::new(local, [1, length]));
        let int8 = Int8 {
            weight: Param::initialized(ParamId::new(), Tensor::from_primitive::<Flex>(data)),
            scale: Param::from_tensor(tensor(scales, [columns])),
        };
        (int8, shards)
    }
    let shape = matrix.dims();
    let matrix = primitive(matrix)?;
    if !shape[0].is_multiple_of(2) {
        return None;
    }
    match matrix.dtype() {
        DType::F32 => Some(pack::<f32>(matrix.as_slice()?, shape)),
        DType::F16 => Some(pack::<f16>(matrix.as_slice()?, shape)),
        _ => None,
    }
}

/// Transforms convolution weights `[kernel * kernel * in, out]` for [`winograd`]
/// convolution, where that is possible and worth its memory.
pub fn winograd_weights(matrix: &Tensor<2>, params: ConvParams) -> Option<Tensor<2>> {
    if params.kernel != winograd::KERNEL || params.stride != 1 {
        return None;
    }
    let [depth, out] = matrix.dims();
    let channels = depth / winograd::KERNEL.pow(2);
    let matrix = primitive(matrix.clone())?;
    let transformed = winograd::PRODUCTS * channels * out * size_of::<f32>();
    let original = depth * out * matrix.dtype().size();
    // A row of channels must hold a vector.
    if channels < tile_width() / 2 || transformed > original + MAX_EXTRA_BYTES {
        return None;
    }
    let values = match matrix.dtype() {
        DType::F32 => winograd::transform_weights(matrix.as_slice()?, channels * out),
        DType::F16 => {
            let matrix: &[f16] = matrix.as_slice()?;
            let matrix: Vec<f32> = matrix.iter().map(|value| value.to_f32()).collect();
            winograd::transform_weights(&matrix, channels * out)
        }
        _ => return None,
    };
    Some(tensor(values, [winograd::PRODUCTS * channels, out]))
}

/// Maximum growth of a convolution's weights, in bytes.
const MAX_EXTRA_BYTES: usize = 10 << 20;

/// Columns of this thread's shard.
fn local(shards: &Option<ShardedMatrix>, columns: usize) -> Range<usize> {
    shards
        .as_ref()
        .map_or(0..columns, ShardedMatrix::local_columns)
}

/// View of a packed matrix.
pub struct PackedMatrix<'a> {
    values: FlexTensor,
    shards: &'a Option<ShardedMatrix>,
    /// See [`winograd_weights`].
    winograd: bool,
}

impl<'a> PackedMatrix<'a> {
    pub fn exact<const D: usize>(
        weights: Tensor<D>,
        shards: &'a Option<ShardedMatrix>,
    ) -> Option<Self> {
        Some(Self::new(primitive(weights)?, shards))
    }

    pub fn int8(int8: &Int8, shards: &'a Option<ShardedMatrix>) -> Option<Self> {
        let values = int8.weight.val().try_into_primitive::<Flex>().ok()?;
        Some(Self::new(values, shards))
    }

    fn new(values: FlexTensor, shards: &'a Option<ShardedMatrix>) -> Self {
        Self {
            values,
            shards,
            winograd: false,
        }
    }

    pub fn winograd(self, winograd: bool) -> Self {
        Self { winograd, ..self }
    }

    fn packed(&self) -> Option<PackedWeights<'_>> {
        Some(match self.values.dtype() {
            DType::I8 => PackedWeights::Int8(self.values.as_slice::<i8>()?.as_chunks().0),
            _ => PackedWeights::Exact(values(&self.values)?),
        })
    }
}

fn values(tensor: &FlexTensor) -> Option<PackedData<'_>> {
    Some(match tensor.dtype() {
        DType::F32 => PackedData::F32(tensor.as_slice()?),
        _ => PackedData::F16(tensor.as_slice()?),
    })
}

/// `activation(x w * scale + bias + residual)`: `[rows, d_input]` times a packed matrix.
pub fn linear(
    x: Tensor<2>,
    weights: PackedMatrix<'_>,
    d_output: usize,
    [scale, bias]: [Option<Tensor<1>>; 2],
    residual: Option<Tensor<2>>,
    activation: ActivationFunction,
) -> Option<Tensor<2>> {
    let [rows, depth] = x.dims();
    let x = primitive(x)?;
    let (scale, bias, residual) = (
        optional_primitive(scale)?,
        optional_primitive(bias)?,
        optional_primitive(residual)?,
    );
    let epilogue = Epilogue {
        row_scale: None,
        scale: scale.as_ref().and_then(FlexTensor::as_slice),
        bias: bias.as_ref().and_then(FlexTensor::as_slice),
        residual: residual.as_ref().and_then(FlexTensor::as_slice),
        activation,
    };
    let (x, packed): (&[f32], _) = (x.as_slice()?, weights.packed()?);
    let columns = local(weights.shards, d_output).len();
    let out = match weights.shards {
        None => packed.linear(x, [depth, columns], &epilogue),
        Some(shards) => shards.linear(x, depth, &epilogue, |part| {
            let x = &x[part.units.start * depth..part.units.end * depth];
            packed.linear(x, [depth, columns], &part.epilogue)
        })?,
    };
    Some(tensor(out, [rows, d_output]))
}

/// See [`super::ConvNorm`]: `activation(… * scale + bias + residual)`.
pub fn conv(
    x: Tensor<4>,
    weights: PackedMatrix<'_>,
    params: ConvParams,
    scale: Tensor<1>,
    bias: Tensor<1>,
    residual: Option<Tensor<4>>,
    activation: ActivationFunction,
) -> Option<Tensor<4>> {
    let size = x.dims();
    let (x, scale, bias) = (primitive(x)?, primitive(scale)?, primitive(bias)?);
    let residual = optional_primitive(residual)?;
    let epilogue = Epilogue {
        row_scale: None,
        scale: scale.as_slice(),
        bias: bias.as_slice(),
        residual: residual.as_ref().and_then(FlexTensor::as_slice),
        activation,
    };
    let (input, packed): (&[f32], _) = (x.as_slice()?, weights.packed()?);
    let geometry = ConvGeometry::new(size, params, weights.winograd);
    let columns = local(weights.shards, params.out).len();
    let out = match weights.shards {
        None => packed.conv(input, geometry, geometry.output_rows(), columns, &epilogue),
        Some(shards) => shards.conv(input, geometry, &epilogue, |part| {
            let read = geometry.input_rows(&part.units);
            let input = &input[read.start * geometry.row_len()..read.end * geometry.row_len()];
            packed.conv(input, geometry, part.units, columns, &part.epilogue)
        })?,
    };
    let [out_height, out_width] = geometry.output_size();
    Some(tensor(out, [size[0], out_height, out_width, params.out]))
}

/// See [`super::attention`].
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Option<Tensor<3>> {
    let [batch, length, triple] = qkv.dims();
    let qkv = primitive(qkv)?;
    let out = attention::attention(qkv.as_slice()?, [batch, length, triple / 3], heads, causal);
    Some(tensor(out, [batch, length, triple / 3]))
}

/// Packs a square matrix for [`pool_attention`], if a head's columns are whole panels.
pub fn pack_pool(matrix: Tensor<2>, heads: usize) -> Option<Tensor<2>> {
    fn pack<T: Element + Default>(matrix: &[T], width: usize) -> Tensor<2> {
        let packed = pack_panels(matrix, [width, width], width);
        tensor(packed, [width, width])
    }
    let [width, d_output] = matrix.dims();
    if width != d_output || !(width / heads).is_multiple_of(tile_width()) {
        return None;
    }
    let matrix = primitive(matrix)?;
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
    let (tokens, query) = (primitive(tokens)?, primitive(query)?);
    let (key, value, bias) = (
        primitive(key)?,
        primitive(value)?,
        optional_primitive(bias)?,
    );
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
    let (x, gamma, beta) = (primitive(x)?, primitive(gamma)?, primitive(beta)?);
    let (gamma, beta) = (gamma.as_slice()?, beta.as_slice()?);
    let out = norm::layer_norm(x.as_slice()?, gamma, beta, epsilon as f32);
    Some(tensor(out, shape))
}

/// Gathers the rows `ids` of an f16 table `[count, width]`, as f32.
pub fn gather_f16(table: Tensor<2>, ids: Tensor<1, Int>) -> Option<Tensor<2>> {
    let ([count, width], [rows]) = (table.dims(), ids.dims());
    let table = primitive(table)?;
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
    let x = primitive(x)?;
    let out = conv::average_pool(x.as_slice()?, [batch, height, width, channels], side);
    Some(tensor(out, [batch, height / side, width / side, channels]))
}
