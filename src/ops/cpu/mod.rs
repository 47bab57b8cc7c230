//! The fast paths in the CPU's memory: burn's tensors in, slices within.

#[cfg(feature = "training")]
mod graph;
#[cfg(feature = "training")]
pub mod training;

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::module::{Param, ParamId};
use burn::tensor::{DType, Element, Int, Tensor, TensorData};
use half::f16;

use super::linear::Int8;
use crate::kernels::conv::{self, ConvShape, Places};
use crate::kernels::crew::{self, Shares};
use crate::kernels::gemm::{Finish, Values};
use crate::kernels::laid::{Laid, panels};
use crate::kernels::{Curve, attention, int8, norm};

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
/// from then on means nothing. If there is a crew, this is the boss's share.
pub fn pack(matrix: Tensor<2>) -> Option<(Tensor<2>, Option<Shares>)> {
    fn pack<T: Element + Default + Into<f32>>(
        matrix: &[T],
        shape: [usize; 2],
        f16: bool,
    ) -> (Tensor<2>, Option<Shares>) {
        let [depth, columns] = shape;
        let shares = crew::share(matrix, shape, f16, false);
        let mine = mine(&shares, columns);
        let packed = panels(&matrix[mine.start..], [depth, mine.len()], columns);
        let length = packed.len();
        (tensor(packed, [1, length]), shares)
    }
    let shape = matrix.dims();
    let matrix = numbers(matrix)?;
    match matrix.dtype() {
        DType::F32 => Some(pack::<f32>(matrix.as_slice()?, shape, false)),
        DType::F16 => Some(pack::<f16>(matrix.as_slice()?, shape, true)),
        _ => None,
    }
}

/// The same in 8 bits. Not for an odd `d_input`.
pub fn pack_int8(matrix: Tensor<2>) -> Option<(Int8, Option<Shares>)> {
    fn pack<T: Copy + Into<f32>>(
        matrix: &[T],
        [depth, columns]: [usize; 2],
    ) -> (Int8, Option<Shares>) {
        let shares = crew::share(matrix, [depth, columns], false, true);
        let mine = mine(&shares, columns);
        let (pairs, scales) = int8::weights(matrix, columns);
        let packed = panels(&pairs[mine.start..], [depth / 2, mine.len()], columns);
        let packed = packed.into_flattened();
        let length = packed.len();
        let data = FlexTensor::from_data(TensorData::new(packed, [1, length]));
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

/// The columns that lie here.
fn mine(shares: &Option<Shares>, columns: usize) -> Range<usize> {
    shares.as_ref().map_or(0..columns, Shares::mine)
}

/// A packed matrix.
pub struct Weights<'a> {
    values: FlexTensor,
    shares: &'a Option<Shares>,
}

impl<'a> Weights<'a> {
    pub fn exact<const D: usize>(weights: Tensor<D>, shares: &'a Option<Shares>) -> Option<Self> {
        let values = numbers(weights)?;
        Some(Self { values, shares })
    }

    pub fn int8(int8: &Int8, shares: &'a Option<Shares>) -> Option<Self> {
        let values = int8.weight.val().try_into_primitive::<Flex>().ok()?;
        Some(Self { values, shares })
    }

    fn laid(&self) -> Option<Laid<'_>> {
        Some(match self.values.dtype() {
            DType::I8 => Laid::Int8(self.values.as_slice::<i8>()?.as_chunks().0),
            DType::F32 => Laid::Exact(Values::F32(self.values.as_slice()?)),
            _ => Laid::Exact(Values::F16(self.values.as_slice()?)),
        })
    }
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
    let places = Places::new(size, shape);
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
            crate::kernels::simd::level::MOST.set(level);
            run();
        });
    }
}
