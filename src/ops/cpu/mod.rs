//! The fast paths in the CPU's memory: burn's tensors in, slices within.

mod attention;
mod conv;
mod gemm;
mod math;
mod norm;
mod simd;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Int, Tensor, TensorData};
use half::f16;

use self::gemm::{Finish, Matrix, Packed, Values};
use super::Curve;
use super::conv::ConvShape;

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

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(values, shape);
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(data))
}

/// A matrix `[d_input, d_output]` in f32 or f16 as [`linear`] reads it; its shape
/// from then on means nothing.
pub fn pack(matrix: Tensor<2>) -> Option<Tensor<2>> {
    let [depth, columns] = matrix.dims();
    let matrix = numbers(matrix)?;
    let data = match matrix.dtype() {
        DType::F32 => {
            let mut packed = Vec::new();
            gemm::pack::<f32>(matrix.as_slice()?, depth, columns, columns, &mut packed);
            let length = packed.len();
            TensorData::new(packed, [1, length])
        }
        DType::F16 => {
            let mut packed = Vec::new();
            gemm::pack::<f16>(matrix.as_slice()?, depth, columns, columns, &mut packed);
            let length = packed.len();
            TensorData::new(packed, [1, length])
        }
        _ => return None,
    };
    Some(Tensor::from_primitive::<Flex>(FlexTensor::from_data(data)))
}

fn packed(weights: &FlexTensor, depth: usize, columns: usize) -> Option<Packed<'_>> {
    let values = match weights.dtype() {
        DType::F32 => Values::F32(weights.as_slice()?),
        _ => Values::F16(weights.as_slice()?),
    };
    Some(Packed {
        values,
        depth,
        columns,
    })
}

/// `curve(x w + bias + add)`: `[rows, d_input]` times a packed matrix.
pub fn linear(
    x: Tensor<2>,
    weights: Tensor<2>,
    d_output: usize,
    bias: Option<Tensor<1>>,
    add: Option<Tensor<2>>,
    curve: Curve,
) -> Option<Tensor<2>> {
    let [rows, depth] = x.dims();
    let (x, weights) = (numbers(x)?, numbers(weights)?);
    let (bias, add) = (optional(bias)?, optional(add)?);
    let mut out = vec![0.0; rows * d_output];
    gemm::product(
        &Matrix {
            values: x.as_slice()?,
            rows,
            depth,
            stride: depth,
        },
        &packed(&weights, depth, d_output)?,
        &Finish {
            bias: bias.as_ref().and_then(FlexTensor::as_slice),
            add: add.as_ref().and_then(FlexTensor::as_slice),
            curve,
            ..Finish::NOTHING
        },
        &mut out,
    );
    Some(tensor(out, [rows, d_output]))
}

/// See [`super::ConvNorm`]: `curve(… * scale + bias + add)`.
pub fn conv(
    x: Tensor<4>,
    weights: Tensor<4>,
    shape: ConvShape,
    scale: Tensor<1>,
    bias: Tensor<1>,
    add: Option<Tensor<4>>,
    curve: Curve,
) -> Option<Tensor<4>> {
    let [batch, height, width, channels] = x.dims();
    let [x, weights] = [numbers(x)?, numbers(weights)?];
    let [scale, bias] = [numbers(scale)?, numbers(bias)?];
    let add = optional(add)?;
    let patches = conv::Patches::new(x.as_slice()?, [batch, height, width, channels], shape);
    let [out_height, out_width] = patches.size();
    let mut out = vec![0.0; batch * out_height * out_width * shape.out];
    let finish = Finish {
        scale: scale.as_slice(),
        bias: bias.as_slice(),
        add: add.as_ref().and_then(FlexTensor::as_slice),
        curve,
    };
    let weights = packed(&weights, shape.kernel * shape.kernel * channels, shape.out)?;
    gemm::product(&patches, &weights, &finish, &mut out);
    Some(tensor(out, [batch, out_height, out_width, shape.out]))
}

/// See [`super::attention`].
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Option<Tensor<3>> {
    let [batch, length, triple] = qkv.dims();
    let qkv = numbers(qkv)?;
    let out = attention::attention(qkv.as_slice()?, [batch, length, triple / 3], heads, causal);
    Some(tensor(out, [batch, length, triple / 3]))
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
