//! The fast paths in the CPU's memory of what is differentiated: burn's tensors in,
//! slices within.

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, Tensor, TensorData};

use super::super::conv::ConvShape;
use super::super::{Curve, Then};
use super::attention::attention as mix;
use super::conv_norm::{self, Kept, Sizes};
use super::graph::{WayBack, differentiable};
use super::{attention_back, conv, finish as end, norm, numbers, share, tensor};

fn shaped(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn like(values: Vec<f32>, of: &FlexTensor) -> FlexTensor {
    shaped(values, of.layout().shape().clone())
}

/// What a batch normalisation goes by.
#[derive(Clone)]
pub enum Statistics {
    /// The batch's own.
    Batch,
    /// A mean and a variance that it has learned.
    Running(Tensor<1>, Tensor<1>),
}

/// What became of a batch: its result, and in [`Statistics::Batch`] the mean and the
/// variance of every channel before normalisation, with what is the estimate of the
/// variance of what the batch was drawn from.
pub struct Normalized {
    pub y: Tensor<4>,
    pub noted: Option<[Tensor<1>; 2]>,
}

/// A convolution of `[batch, height, width, in]` with weights `[out, in, kernel, kernel]`, batch
/// normalisation, and what is to be added.
pub fn conv_norm(
    x: &Tensor<4>,
    weight: Tensor<4>,
    shape: ConvShape,
    [gamma, beta]: [Tensor<1>; 2],
    epsilon: f64,
    statistics: Statistics,
    add: Option<&Tensor<4>>,
    curve: Curve,
) -> Option<Normalized> {
    let sizes = Sizes::new(x.dims(), shape);
    let relu = match curve {
        Curve::Straight => false,
        Curve::Relu => true,
        Curve::QuickGelu | Curve::Gelu => return None,
    };
    // The way back to the input goes by single steps.
    if shape.stride > 1 && x.is_tracked() || x.shape().num_elements() == 0 {
        return None;
    }
    let mut noted = None;
    let mut run = |values: &[FlexTensor]| {
        let [x, weight, gamma, beta, add @ ..] = values else {
            return None;
        };
        let (z, moments) = conv_norm::convolve(x.as_slice()?, weight.as_slice()?, sizes);
        let [mean, variance] = match &statistics {
            Statistics::Batch => {
                let unbiased = moments.count as f64 / (moments.count as f64 - 1.0).max(1.0);
                let noted_variance = moments.variance.iter().map(|v| (v * unbiased) as f32);
                let mean: Vec<f32> = moments.mean.iter().map(|mean| *mean as f32).collect();
                let channels = mean.len();
                noted = Some([
                    tensor(mean, [channels]),
                    tensor(noted_variance.collect(), [channels]),
                ]);
                [moments.mean, moments.variance]
            }
            Statistics::Running(mean, variance) => {
                let double = |values: &Tensor<1>| {
                    let values = numbers(values.clone())?;
                    let values = values.as_slice::<f32>()?.iter().map(|v| f64::from(*v));
                    Some(values.collect::<Vec<f64>>())
                };
                [double(mean)?, double(variance)?]
            }
        };
        let inverse: Vec<f64> = variance
            .iter()
            .map(|v| (v + epsilon).sqrt().recip())
            .collect();
        let scale: Vec<f64> = (inverse.iter().zip(gamma.as_slice::<f32>()?))
            .map(|(inverse, gamma)| inverse * f64::from(*gamma))
            .collect();
        let shift = (mean.iter().zip(&scale).zip(beta.as_slice::<f32>()?))
            .map(|((mean, scale), beta)| (f64::from(*beta) - mean * scale) as f32);
        let shift: Vec<f32> = shift.collect();
        let single = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<f32>>();
        let add = match add {
            [add] => Some(add.as_slice()?),
            _ => None,
        };
        let y = conv_norm::affine(&z, [&single(&scale), &shift], add, relu);
        let result = |values| shaped(values, sizes.result());
        let y = result(y);
        let kept = ConvNorm {
            sizes,
            x: x.clone(),
            weight: weight.clone(),
            gamma: gamma.clone(),
            z: result(z),
            y: relu.then(|| y.clone()),
            mean: single(&mean),
            inverse: single(&inverse),
            by_batch: matches!(statistics, Statistics::Batch),
        };
        Some((y, kept))
    };
    let (x, weight) = (x.clone().into_dispatch(), weight.into_dispatch());
    let (gamma, beta) = (gamma.into_dispatch(), beta.into_dispatch());
    let y = match add {
        None => differentiable([x, weight, gamma, beta], |values| run(values)),
        Some(add) => {
            let add = add.clone().into_dispatch();
            differentiable([x, weight, gamma, beta, add], |values| run(values))
        }
    };
    Some(Normalized {
        y: Tensor::from_dispatch(y?),
        noted,
    })
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
        Some([Some(FlexTensor::from_data(TensorData::new(x, self.shape)))])
    }
}

/// `curve(x + bias + add)`: what follows a product.
pub fn finish<const D: usize>(x: &Tensor<2>, bias: Tensor<1>, then: &Then<D>) -> Option<Tensor<2>> {
    let (add, curve) = then.split();
    let add = add.map(|add| add.clone().reshape(x.dims()));
    if x.shape().num_elements() == 0 {
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
    if x.shape().num_elements() == 0 {
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
