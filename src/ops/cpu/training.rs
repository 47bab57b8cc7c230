//! The fast paths in the CPU's memory of what is differentiated: burn's tensors in,
//! slices within.

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, Tensor, TensorData};

use super::super::Then;
use super::graph::{WayBack, differentiable};
use super::{numbers, tensor};
use crate::kernels::attention::attention as mix;
use crate::kernels::conv::{self, ConvShape};
use crate::kernels::conv_norm::{self, Kept, Sizes};
use crate::kernels::{Curve, attention_back, finish as end, norm, share};

fn shaped(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn like(values: Vec<f32>, of: &FlexTensor) -> FlexTensor {
    shaped(values, of.layout().shape().clone())
}

/// Batch normalisation, all of it `[channels]`.
pub struct Normalization {
    pub gamma: Tensor<1>,
    pub beta: Tensor<1>,
    pub epsilon: f64,
    /// The mean and the variance that it goes by, if not by the batch's own.
    pub running: Option<[Tensor<1>; 2]>,
}

/// What became of a batch.
pub struct Normalized {
    pub y: Tensor<4>,
    /// Mean and variance of every channel, if it went by them: the variance as estimated of what the
    /// batch was drawn from.
    pub found: Option<[Tensor<1>; 2]>,
}

/// See [`super::super::ConvNorm`]: a convolution with weights `[out, in, kernel, kernel]`,
/// normalised, and on with `then`.
pub fn conv_norm(
    x: &Tensor<4>,
    weight: Tensor<4>,
    shape: ConvShape,
    norm: Normalization,
    then: &Then<4>,
) -> Option<Normalized> {
    let (add, curve) = then.split();
    let relu = match curve {
        Curve::Straight => false,
        Curve::Relu => true,
        Curve::QuickGelu | Curve::Gelu => return None,
    };
    // The way back to the input goes by single steps.
    if shape.stride > 1 && x.is_tracked() || x.shape().num_elements() == 0 {
        return None;
    }
    let sizes = Sizes::new(x.dims(), shape);
    let by_batch = norm.running.is_none();
    let running = match norm.running {
        Some([mean, variance]) => Some([double(mean)?, double(variance)?]),
        None => None,
    };
    let mut found = None;
    let run = |values: &[FlexTensor]| {
        let [x, weight, gamma, beta, add @ ..] = values else {
            return None;
        };
        let add = match add {
            [add] => Some(add.as_slice()?),
            _ => None,
        };
        let (z, moments) = conv_norm::convolve(x.as_slice()?, weight.as_slice()?, sizes);
        let [mean, variance] = running.unwrap_or_else(|| {
            let count = moments.count as f64;
            let unbiased = count / (count - 1.0).max(1.0);
            let estimated = moments.variance.iter().map(|variance| variance * unbiased);
            let noted = [single(moments.mean.iter().copied()), single(estimated)];
            found = Some(noted.map(|values| tensor(values, [shape.out])));
            [moments.mean, moments.variance]
        });
        let inverse: Vec<f64> = (variance.iter())
            .map(|variance| (variance + norm.epsilon).sqrt().recip())
            .collect();
        let (gain, bias) = (gamma.as_slice::<f32>()?, beta.as_slice::<f32>()?);
        let scale: Vec<f64> = (inverse.iter().zip(gain))
            .map(|(inverse, gain)| inverse * f64::from(*gain))
            .collect();
        let shift = (mean.iter().zip(&scale).zip(bias))
            .map(|((mean, scale), bias)| f64::from(*bias) - mean * scale);
        let line = [single(scale.iter().copied()), single(shift)];
        let y = conv_norm::affine(&z, [&line[0], &line[1]], add, relu);
        let [y, z] = [y, z].map(|values| shaped(values, sizes.result()));
        let kept = ConvNorm {
            sizes,
            x: x.clone(),
            weight: weight.clone(),
            gamma: gamma.clone(),
            z,
            y: relu.then(|| y.clone()),
            mean: single(mean.into_iter()),
            inverse: single(inverse.into_iter()),
            by_batch,
        };
        Some((y, kept))
    };
    let (x, weight) = (x.clone().into_dispatch(), weight.into_dispatch());
    let (gamma, beta) = (norm.gamma.into_dispatch(), norm.beta.into_dispatch());
    let y = match add {
        None => differentiable([x, weight, gamma, beta], |values| run(values)),
        Some(add) => {
            let add = add.clone().into_dispatch();
            differentiable([x, weight, gamma, beta, add], |values| run(values))
        }
    };
    let y = Tensor::from_dispatch(y?);
    Some(Normalized { y, found })
}

fn single(values: impl Iterator<Item = f64>) -> Vec<f32> {
    values.map(|value| value as f32).collect()
}

fn double(values: Tensor<1>) -> Option<Vec<f64>> {
    let values = numbers(values)?;
    let values: &[f32] = values.as_slice()?;
    Some(values.iter().map(|value| f64::from(*value)).collect())
}

/// What the way back of [`conv_norm`] needs.
#[derive(Clone, Debug)]
struct ConvNorm {
    sizes: Sizes,
    x: FlexTensor,
    weight: FlexTensor,
    gamma: FlexTensor,
    z: FlexTensor,
    y: Option<FlexTensor>,
    mean: Vec<f32>,
    inverse: Vec<f32>,
    by_batch: bool,
}

impl<const N: usize> WayBack<N> for ConvNorm {
    fn gradients(self, asked: FlexTensor, wanted: [bool; N]) -> Option<[Option<FlexTensor>; N]> {
        let [x, weight, gamma, beta, add @ ..] = wanted.as_slice() else {
            return None;
        };
        let add = add.first() == Some(&true);
        let y = match &self.y {
            Some(y) => Some(y.as_slice()?),
            None => None,
        };
        let kept = Kept {
            sizes: self.sizes,
            x: self.x.as_slice()?,
            weight: self.weight.as_slice()?,
            gamma: self.gamma.as_slice()?,
            z: self.z.as_slice()?,
            y,
            mean: &self.mean,
            inverse: &self.inverse,
            by_batch: self.by_batch,
        };
        let found = kept.back(asked.as_slice()?, *x, *weight, add);
        let found_add = match found.add {
            Some(values) => Some(like(values, &asked)),
            None => add.then(|| asked.clone()),
        };
        let found = [
            found.x.map(|values| like(values, &self.x)),
            found.weight.map(|values| like(values, &self.weight)),
            gamma.then(|| like(found.gamma, &self.gamma)),
            beta.then(|| like(found.beta, &self.gamma)),
            found_add,
        ];
        let mut found = found.into_iter();
        Some(std::array::from_fn(|_| found.next().flatten()))
    }
}

/// See [`super::super::average_pool`].
pub fn average_pool(x: &Tensor<4>, side: usize) -> Option<Tensor<4>> {
    let shape = x.dims();
    let [batch, height, width, channels] = shape;
    if side == 0 || height < side || width < side {
        return None;
    }
    let after = [batch, height / side, width / side, channels];
    let y = differentiable([x.clone().into_dispatch()], |[x]| {
        let y = conv::average_pool(x.as_slice()?, shape, side);
        Some((shaped(y, after), Pool { shape, side }))
    });
    Some(Tensor::from_dispatch(y?))
}

/// What was averaged.
#[derive(Clone, Debug)]
struct Pool {
    shape: [usize; 4],
    side: usize,
}

impl WayBack<1> for Pool {
    fn gradients(self, asked: FlexTensor, _: [bool; 1]) -> Option<[Option<FlexTensor>; 1]> {
        let x = conv::spread(asked.as_slice()?, self.shape, self.side);
        Some([Some(shaped(x, self.shape))])
    }
}

/// `curve(x + bias + add)`: what follows a product.
pub fn finish<const D: usize>(x: &Tensor<2>, bias: Tensor<1>, then: &Then<D>) -> Option<Tensor<2>> {
    let (add, curve) = then.split();
    let add = add.map(|add| add.clone().reshape(x.dims()));
    if x.shape().num_elements() == 0 || bias.dims()[0] != x.dims()[1] {
        return None;
    }
    let run = |values: &[FlexTensor]| {
        let [x, bias, add @ ..] = values else {
            return None;
        };
        let add = match add {
            [add] => Some(add.as_slice()?),
            _ => None,
        };
        // The way back from a curve begins where it was entered, without what was added.
        if add.is_some() && curve != Curve::Straight {
            return None;
        }
        let y = end::finish(x.as_slice()?, bias.as_slice()?, add, curve);
        let entered = (curve != Curve::Straight).then(|| (x.clone(), curve));
        let bias = bias.clone();
        Some((like(y, x), Finish { entered, bias }))
    };
    let (x, bias) = (x.clone().into_dispatch(), bias.into_dispatch());
    let y = match add {
        None => differentiable([x, bias], |values| run(values)),
        Some(add) => differentiable([x, bias, add.into_dispatch()], |values| run(values)),
    };
    Some(Tensor::from_dispatch(y?))
}

/// What the way back of [`finish`] needs.
#[derive(Clone, Debug)]
struct Finish {
    entered: Option<(FlexTensor, Curve)>,
    bias: FlexTensor,
}

impl<const N: usize> WayBack<N> for Finish {
    fn gradients(self, asked: FlexTensor, wanted: [bool; N]) -> Option<[Option<FlexTensor>; N]> {
        let bias: &[f32] = self.bias.as_slice()?;
        let asked = match &self.entered {
            Some((x, curve)) => {
                let asked = end::back(asked.as_slice()?, x.as_slice()?, bias, *curve);
                like(asked, x)
            }
            None => asked,
        };
        let sums = match wanted.get(1) {
            Some(true) => Some(share::column_sums(asked.as_slice()?, bias.len())),
            _ => None,
        };
        let mut sums = sums.map(|sums| like(sums, &self.bias));
        Some(std::array::from_fn(|index| match index {
            1 => sums.take(),
            _ => wanted[index].then(|| asked.clone()),
        }))
    }
}

/// `[rows, width]`, see [`super::super::LayerNorm`].
pub fn layer_norm(
    x: &Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Option<Tensor<2>> {
    if x.shape().num_elements() == 0 || gamma.dims()[0] != x.dims()[1] {
        return None;
    }
    let epsilon = epsilon as f32;
    let inputs = [
        x.clone().into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
    ];
    let y = differentiable(inputs, |[x, gamma, beta]| {
        let (gain, bias) = (gamma.as_slice()?, beta.as_slice()?);
        let y = norm::layer_norm(x.as_slice()?, gain, bias, epsilon);
        let (x, gamma) = (x.clone(), gamma.clone());
        Some((like(y, &x), LayerNorm { x, gamma, epsilon }))
    });
    Some(Tensor::from_dispatch(y?))
}

/// What the way back of [`layer_norm`] needs.
#[derive(Clone, Debug)]
struct LayerNorm {
    x: FlexTensor,
    gamma: FlexTensor,
    epsilon: f32,
}

impl WayBack<3> for LayerNorm {
    fn gradients(self, asked: FlexTensor, _: [bool; 3]) -> Option<[Option<FlexTensor>; 3]> {
        let (x, gamma) = (self.x.as_slice()?, self.gamma.as_slice()?);
        let [x, gamma, beta] = norm::back(asked.as_slice()?, x, gamma, self.epsilon);
        Some([
            Some(like(x, &self.x)),
            Some(like(gamma, &self.gamma)),
            Some(like(beta, &self.gamma)),
        ])
    }
}

/// See [`super::super::attention`].
pub fn attention(qkv: &Tensor<3>, heads: usize, causal: bool) -> Option<Tensor<3>> {
    let [batch, length, triple] = qkv.dims();
    if qkv.shape().num_elements() == 0 {
        return None;
    }
    let shape = [batch, length, triple / 3];
    let mixed = differentiable([qkv.clone().into_dispatch()], |[qkv]| {
        let mixed = mix(qkv.as_slice()?, shape, heads, causal);
        let kept = Attention {
            qkv: qkv.clone(),
            shape,
            heads,
            causal,
        };
        Some((shaped(mixed, shape), kept))
    });
    Some(Tensor::from_dispatch(mixed?))
}

/// What the way back of [`attention`] needs.
#[derive(Clone, Debug)]
struct Attention {
    qkv: FlexTensor,
    shape: [usize; 3],
    heads: usize,
    causal: bool,
}

impl WayBack<1> for Attention {
    fn gradients(self, asked: FlexTensor, _: [bool; 1]) -> Option<[Option<FlexTensor>; 1]> {
        let [_, length, width] = self.shape;
        let (asked, qkv) = (asked.as_slice()?, self.qkv.as_slice()?);
        let found = attention_back::back(asked, qkv, [length, width], self.heads, self.causal);
        Some([Some(like(found, &self.qkv))])
    }
}
