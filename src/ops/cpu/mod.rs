//! The fast paths in the CPU's memory: burn's tensors in, slices within.

mod attention;
#[cfg(feature = "training")]
mod attention_back;
mod conv;
#[cfg(feature = "training")]
mod conv_norm;
#[cfg(feature = "training")]
mod finish;
mod gemm;
#[cfg(feature = "training")]
mod graph;
mod int8;
mod math;
mod norm;
#[cfg(feature = "training")]
mod share;
mod simd;
#[cfg(feature = "training")]
mod strip;
#[cfg(feature = "training")]
pub mod training;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::module::{Param, ParamId};
use burn::tensor::{DType, Element, Int, Tensor, TensorData};
use half::f16;

use self::gemm::{Finish, Matrix, Packed, Pair, Values};
use super::Curve;
use super::conv::ConvShape;
use super::linear::Int8;

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

fn tensor<T: Element, const D: usize>(values: Vec<T>, shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(values, shape);
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(data))
}

/// A matrix `[d_input, d_output]` in f32 or f16 as [`linear`] reads it; its shape
/// from then on means nothing.
pub fn pack(matrix: Tensor<2>) -> Option<Tensor<2>> {
    let shape = matrix.dims();
    let matrix = numbers(matrix)?;
    match matrix.dtype() {
        DType::F32 => Some(panels::<f32>(matrix.as_slice()?, shape)),
        DType::F16 => Some(panels::<f16>(matrix.as_slice()?, shape)),
        _ => None,
    }
}

fn panels<T: Element + Default>(matrix: &[T], [depth, columns]: [usize; 2]) -> Tensor<2> {
    let mut packed = Vec::new();
    gemm::pack(matrix, depth, columns, columns, &mut packed);
    let length = packed.len();
    tensor(packed, [1, length])
}

/// The same in 8 bits. Not for an odd `d_input`.
pub fn pack_int8(matrix: Tensor<2>) -> Option<Int8> {
    let [depth, columns] = matrix.dims();
    let matrix = numbers(matrix)?;
    if !depth.is_multiple_of(2) {
        return None;
    }
    let (pairs, scales) = match matrix.dtype() {
        DType::F32 => int8::weights::<f32>(matrix.as_slice()?, columns),
        DType::F16 => int8::weights::<f16>(matrix.as_slice()?, columns),
        _ => return None,
    };
    let mut packed = Vec::new();
    gemm::pack(&pairs, depth / 2, columns, columns, &mut packed);
    let packed = packed.into_flattened();
    let length = packed.len();
    let data = FlexTensor::from_data(TensorData::new(packed, [1, length]));
    Some(Int8 {
        weight: Param::initialized(ParamId::new(), Tensor::from_primitive::<Flex>(data)),
        scale: Param::from_tensor(tensor(scales, [columns])),
    })
}

/// A packed matrix.
pub struct Weights(FlexTensor);

impl Weights {
    pub fn exact<const D: usize>(weights: Tensor<D>) -> Option<Self> {
        Some(Self(numbers(weights)?))
    }

    pub fn int8(int8: &Int8) -> Option<Self> {
        let weights = int8.weight.val().try_into_primitive::<Flex>().ok()?;
        Some(Self(weights))
    }

    /// The product with an exact matrix or an 8-bit one.
    fn times(
        &self,
        [depth, columns]: [usize; 2],
        exact: impl FnOnce(&Packed) -> Vec<f32>,
        int8: impl FnOnce(&Packed<Pair>) -> Vec<f32>,
    ) -> Option<Vec<f32>> {
        let values = match self.0.dtype() {
            DType::I8 => {
                let (values, _) = self.0.as_slice::<i8>()?.as_chunks();
                return Some(int8(&Packed {
                    values,
                    depth: depth / 2,
                    columns,
                }));
            }
            DType::F32 => Values::F32(self.0.as_slice()?),
            _ => Values::F16(self.0.as_slice()?),
        };
        Some(exact(&Packed {
            values,
            depth,
            columns,
        }))
    }
}

/// `curve(x w * scale + bias + add)`: `[rows, d_input]` times a packed matrix.
pub fn linear(
    x: Tensor<2>,
    weights: Weights,
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
    let values = x.as_slice()?;
    let x = Matrix {
        values,
        rows,
        depth,
        stride: depth,
    };
    let out = weights.times(
        [depth, d_output],
        |packed| gemm::product(&x, packed, &finish),
        |packed| int8::product(values, depth, packed, &finish),
    )?;
    Some(tensor(out, [rows, d_output]))
}

/// See [`super::ConvNorm`]: `curve(… * scale + bias + add)`.
pub fn conv(
    x: Tensor<4>,
    weights: Weights,
    shape: ConvShape,
    scale: Tensor<1>,
    bias: Tensor<1>,
    add: Option<Tensor<4>>,
    curve: Curve,
) -> Option<Tensor<4>> {
    let size = x.dims();
    let [batch, _, _, channels] = size;
    let (x, scale, bias) = (numbers(x)?, numbers(scale)?, numbers(bias)?);
    let add = optional(add)?;
    let finish = Finish {
        rows: None,
        scale: scale.as_slice(),
        bias: bias.as_slice(),
        add: add.as_ref().and_then(FlexTensor::as_slice),
        curve,
    };
    let picture = x.as_slice()?;
    let patches = conv::Patches::new(picture, size, shape);
    let [out_height, out_width] = patches.size();
    let depth = shape.kernel * shape.kernel * channels;
    let out = weights.times(
        [depth, shape.out],
        |packed| gemm::product(&patches, packed, &finish),
        |packed| int8::conv(picture, size, shape, packed, &finish),
    )?;
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

/// Does `run` with every kind of vector that the processor has, on one thread.
#[cfg(all(test, feature = "training"))]
pub fn with_all_vectors(run: impl Fn() + Send + Sync) {
    run();
    #[cfg(target_arch = "x86_64")]
    for level in [0, 1] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        pool.unwrap().install(|| {
            simd::level::MOST.set(level);
            run();
        });
    }
}
