//! Fast paths with autodiff for tensors in CPU memory.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, Tensor, TensorData};

use super::super::Epilogue;
use super::super::conv::{Normalization, Normalized};
use super::super::graph::{CustomBackward, CustomOps, custom_op};
use super::{primitive, tensor};
use crate::kernels::attention::attention as attention_forward;
use crate::kernels::conv::{self, ConvParams};
use crate::kernels::conv_norm::{self, ConvBnCtx, ConvDims};
use crate::kernels::{ActivationFunction, attention_backward, bias_act, norm, parallel};

impl CustomOps for Flex {
    fn contiguous(tensor: FlexTensor) -> Option<FlexTensor> {
        Some(tensor.to_contiguous())
    }
}

fn shaped(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn like(values: Vec<f32>, of: &FlexTensor) -> FlexTensor {
    shaped(values, of.layout().shape().clone())
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
    let (residual, relu) = epilogue.split_relu()?;
    // Strided input gradients are left to the reference implementation.
    if params.stride > 1 && x.is_tracked() || x.shape().num_elements() == 0 {
        return None;
    }
    let dims = ConvDims::new(x.dims(), params);
    let batch_stats = norm.running.is_none();
    let running = match norm.running {
        Some([mean, variance]) => Some([double(mean)?, double(variance)?]),
        None => None,
    };
    let mut batch_moments = None;
    let run = |values: &[FlexTensor]| {
        let [x, weight, gamma, beta, residual @ ..] = values else {
            return None;
        };
        let residual = match residual {
            [residual] => Some(residual.as_slice()?),
            _ => None,
        };
        let (z, moments) = conv_norm::convolve(x.as_slice()?, weight.as_slice()?, dims);
        let [mean, variance] = running.unwrap_or_else(|| {
            let count = moments.count as f64;
            let unbiased = count / (count - 1.0).max(1.0);
            let estimated = moments.variance.iter().map(|variance| variance * unbiased);
            let noted = [single(moments.mean.iter().copied()), single(estimated)];
            batch_moments = Some(noted.map(|values| tensor(values, [params.out])));
            [moments.mean, moments.variance]
        });
        let inv_std: Vec<f64> = (variance.iter())
            .map(|variance| (variance + norm.epsilon).sqrt().recip())
            .collect();
        let (gain, bias) = (gamma.as_slice::<f32>()?, beta.as_slice::<f32>()?);
        let scale: Vec<f64> = (inv_std.iter().zip(gain))
            .map(|(inv_std, gain)| inv_std * f64::from(*gain))
            .collect();
        let shift = (mean.iter().zip(&scale).zip(bias))
            .map(|((mean, scale), bias)| f64::from(*bias) - mean * scale);
        let line = [single(scale.iter().copied()), single(shift)];
        let y = conv_norm::affine(&z, [&line[0], &line[1]], residual, relu);
        let [y, z] = [y, z].map(|values| shaped(values, dims.output_shape()));
        let ctx = ConvNormCtx {
            dims,
            x: x.clone(),
            weight: weight.clone(),
            gamma: gamma.clone(),
            z,
            y: relu.then(|| y.clone()),
            mean: single(mean.into_iter()),
            inv_std: single(inv_std.into_iter()),
            batch_stats,
        };
        Some((y, ctx))
    };
    let (x, weight) = (x.clone().into_dispatch(), weight.into_dispatch());
    let (gamma, beta) = (norm.gamma.into_dispatch(), norm.beta.into_dispatch());
    let y = match residual {
        None => custom_op::<Flex, _, _>([x, weight, gamma, beta], |values| run(values)),
        Some(residual) => {
            let residual = residual.clone().into_dispatch();
            custom_op::<Flex, _, _>([x, weight, gamma, beta, residual], |values| run(values))
        }
    };
    let y = Tensor::from_dispatch(y?);
    Some(Normalized { y, batch_moments })
}

fn single(values: impl Iterator<Item = f64>) -> Vec<f32> {
    values.map(|value| value as f32).collect()
}

fn double(values: Tensor<1>) -> Option<Vec<f64>> {
    let values = primitive(values)?;
    let values: &[f32] = values.as_slice()?;
    Some(values.iter().map(|value| f64::from(*value)).collect())
}

/// Saved state of [`conv_norm()`].
#[derive(Clone, Debug)]
struct ConvNormCtx {
    dims: ConvDims,
    x: FlexTensor,
    weight: FlexTensor,
    gamma: FlexTensor,
    z: FlexTensor,
    y: Option<FlexTensor>,
    mean: Vec<f32>,
    inv_std: Vec<f32>,
    batch_stats: bool,
}

impl<const N: usize> CustomBackward<Flex, N> for ConvNormCtx {
    fn backward(
        self,
        grad_output: FlexTensor,
        needs_grad: [bool; N],
    ) -> Option<[Option<FlexTensor>; N]> {
        let [x, weight, gamma, beta, residual @ ..] = needs_grad.as_slice() else {
            return None;
        };
        let residual = residual.first() == Some(&true);
        let y = match &self.y {
            Some(y) => Some(y.as_slice()?),
            None => None,
        };
        let ctx = ConvBnCtx {
            dims: self.dims,
            x: self.x.as_slice()?,
            weight: self.weight.as_slice()?,
            gamma: self.gamma.as_slice()?,
            z: self.z.as_slice()?,
            y,
            mean: &self.mean,
            inv_std: &self.inv_std,
            batch_stats: self.batch_stats,
        };
        let grads = ctx.backward(grad_output.as_slice()?, *x, *weight, residual);
        let grad_residual = match grads.residual {
            Some(values) => Some(like(values, &grad_output)),
            None => residual.then(|| grad_output.clone()),
        };
        let grads = [
            grads.x.map(|values| like(values, &self.x)),
            grads.weight.map(|values| like(values, &self.weight)),
            gamma.then(|| like(grads.gamma, &self.gamma)),
            beta.then(|| like(grads.beta, &self.gamma)),
            grad_residual,
        ];
        let mut grads = grads.into_iter();
        Some(std::array::from_fn(|_| grads.next().flatten()))
    }
}

/// See [`super::super::average_pool`].
pub fn average_pool(x: &Tensor<4>, side: usize) -> Option<Tensor<4>> {
    let shape = x.dims();
    let [batch, height, width, channels] = shape;
    if side == 0 || height < side || width < side {
        return None;
    }
    let output_shape = [batch, height / side, width / side, channels];
    let y = custom_op::<Flex, _, _>([x.clone().into_dispatch()], |[x]| {
        let y = conv::average_pool(x.as_slice()?, shape, side);
        Some((shaped(y, output_shape), AveragePoolCtx { shape, side }))
    });
    Some(Tensor::from_dispatch(y?))
}

/// Saved state of [`average_pool`].
#[derive(Clone, Debug)]
struct AveragePoolCtx {
    shape: [usize; 4],
    side: usize,
}

impl CustomBackward<Flex, 1> for AveragePoolCtx {
    fn backward(self, grad_output: FlexTensor, _: [bool; 1]) -> Option<[Option<FlexTensor>; 1]> {
        let x = conv::average_pool_backward(grad_output.as_slice()?, self.shape, self.side);
        Some([Some(shaped(x, self.shape))])
    }
}

/// `activation(x + bias + residual)`.
pub fn bias_act<const D: usize>(
    x: &Tensor<2>,
    bias: Tensor<1>,
    epilogue: &Epilogue<D>,
) -> Option<Tensor<2>> {
    let (residual, activation) = epilogue.split();
    let residual = residual.map(|residual| residual.clone().reshape(x.dims()));
    if x.shape().num_elements() == 0 || bias.dims()[0] != x.dims()[1] {
        return None;
    }
    let run = |values: &[FlexTensor]| {
        let [x, bias, residual @ ..] = values else {
            return None;
        };
        let residual = match residual {
            [residual] => Some(residual.as_slice()?),
            _ => None,
        };
        // The backward pass of an activation recomputes its input, which it does without
        // a residual.
        if residual.is_some() && activation != ActivationFunction::Identity {
            return None;
        }
        let y = bias_act::bias_act(x.as_slice()?, bias.as_slice()?, residual, activation);
        let pre_activation =
            (activation != ActivationFunction::Identity).then(|| (x.clone(), activation));
        let bias = bias.clone();
        Some((
            like(y, x),
            BiasActCtx {
                pre_activation,
                bias,
            },
        ))
    };
    let (x, bias) = (x.clone().into_dispatch(), bias.into_dispatch());
    let y = match residual {
        None => custom_op::<Flex, _, _>([x, bias], |values| run(values)),
        Some(residual) => {
            custom_op::<Flex, _, _>([x, bias, residual.into_dispatch()], |values| run(values))
        }
    };
    Some(Tensor::from_dispatch(y?))
}

/// Saved state of [`bias_act()`].
#[derive(Clone, Debug)]
struct BiasActCtx {
    pre_activation: Option<(FlexTensor, ActivationFunction)>,
    bias: FlexTensor,
}

impl<const N: usize> CustomBackward<Flex, N> for BiasActCtx {
    fn backward(
        self,
        grad_output: FlexTensor,
        needs_grad: [bool; N],
    ) -> Option<[Option<FlexTensor>; N]> {
        let bias: &[f32] = self.bias.as_slice()?;
        let grad_output = match &self.pre_activation {
            Some((x, activation)) => {
                let grad_output =
                    bias_act::backward(grad_output.as_slice()?, x.as_slice()?, bias, *activation);
                like(grad_output, x)
            }
            None => grad_output,
        };
        let sums = match needs_grad.get(1) {
            Some(true) => Some(parallel::column_sums(grad_output.as_slice()?, bias.len())),
            _ => None,
        };
        let mut sums = sums.map(|sums| like(sums, &self.bias));
        Some(std::array::from_fn(|index| match index {
            1 => sums.take(),
            _ => needs_grad[index].then(|| grad_output.clone()),
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
    let y = custom_op::<Flex, _, _>(inputs, |[x, gamma, beta]| {
        let (gain, bias) = (gamma.as_slice()?, beta.as_slice()?);
        let y = norm::layer_norm(x.as_slice()?, gain, bias, epsilon);
        let (x, gamma) = (x.clone(), gamma.clone());
        Some((like(y, &x), LayerNormCtx { x, gamma, epsilon }))
    });
    Some(Tensor::from_dispatch(y?))
}

/// Saved state of [`layer_norm`].
#[derive(Clone, Debug)]
struct LayerNormCtx {
    x: FlexTensor,
    gamma: FlexTensor,
    epsilon: f32,
}

impl CustomBackward<Flex, 3> for LayerNormCtx {
    fn backward(self, grad_output: FlexTensor, _: [bool; 3]) -> Option<[Option<FlexTensor>; 3]> {
        let (x, gamma) = (self.x.as_slice()?, self.gamma.as_slice()?);
        let [x, gamma, beta] =
            norm::layer_norm_backward(grad_output.as_slice()?, x, gamma, self.epsilon);
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
    let output = custom_op::<Flex, _, _>([qkv.clone().into_dispatch()], |[qkv]| {
        let output = attention_forward(qkv.as_slice()?, shape, heads, causal);
        let ctx = AttentionCtx {
            qkv: qkv.clone(),
            shape,
            heads,
            causal,
        };
        Some((shaped(output, shape), ctx))
    });
    Some(Tensor::from_dispatch(output?))
}

/// Saved state of [`attention`].
#[derive(Clone, Debug)]
struct AttentionCtx {
    qkv: FlexTensor,
    shape: [usize; 3],
    heads: usize,
    causal: bool,
}

impl CustomBackward<Flex, 1> for AttentionCtx {
    fn backward(self, grad_output: FlexTensor, _: [bool; 1]) -> Option<[Option<FlexTensor>; 1]> {
        let [_, length, width] = self.shape;
        let (grad_output, qkv) = (grad_output.as_slice()?, self.qkv.as_slice()?);
        let grads = attention_backward::backward(
            grad_output,
            qkv,
            [length, width],
            self.heads,
            self.causal,
        );
        Some([Some(like(grads, &self.qkv))])
    }
}
