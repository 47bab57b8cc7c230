//! Convolution with batch normalisation and a fused epilogue, channels last: `[batch,
//! height, width, channels]`.

use burn::module::{Module, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::module::{avg_pool2d, batch_norm_train};
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor, TensorData};

use super::linear::Int8;
use super::{Epilogue, Initializer, WeightPrecision, cpu, into_contiguous};
use crate::kernels::conv::ConvParams;
use crate::kernels::pool::ShardedMatrix;

/// Square convolution without bias, padded by `kernel / 2`, and batch normalisation.
#[derive(Module, Debug)]
pub struct ConvNorm {
    /// Weights `[out, in, kernel, kernel]`; once packed, in the layout of the device's
    /// kernel.
    pub conv: Conv2d,
    /// Once packed, with the running statistics folded into gamma and beta.
    pub norm: BatchNorm,
    /// Packed int8 weights, in place of `conv.weight`.
    int8: Option<Int8>,
    /// Handle of the worker pool's shards, once packed.
    #[module(skip)]
    shards: Option<ShardedMatrix>,
    packed: bool,
    /// Packed for Winograd convolution.
    winograd: bool,
}

impl ConvNorm {
    /// Convolution of `channels` `[in, out]`, initialised as in PyTorch.
    pub fn init(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Self {
        let padding = kernel / 2;
        let mut conv = Conv2dConfig::new(channels, [kernel, kernel])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(
                padding, padding, padding, padding,
            ))
            .with_bias(false)
            .init(device);
        let [inputs, outputs] = channels;
        conv.weight = Initializer::fan_in_uniform(inputs * kernel * kernel)
            .init([outputs, inputs, kernel, kernel], device);
        Self {
            conv,
            norm: batch_norm(channels[1], device),
            int8: None,
            shards: None,
            packed: false,
            winograd: false,
        }
    }

    /// `[batch, height, width, in]` to `[batch, height / stride, width / stride, out]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_fused(x, Epilogue::None)
    }

    /// [`Self::forward`] and ReLU.
    pub fn forward_relu(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_fused(x, Epilogue::Relu)
    }

    /// `residual` plus [`Self::forward`], then ReLU.
    pub fn forward_residual_relu(&self, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
        self.forward_fused(x, Epilogue::AddRelu(residual))
    }

    /// Convolution, normalisation and `epilogue` in one pass, where there is a fast path.
    pub(super) fn forward_fused(&self, x: Tensor<4>, epilogue: Epilogue<4>) -> Tensor<4> {
        let fast = match self.packed {
            true => self.fast(&x, &epilogue),
            false => self.accelerated_training(&x, &epilogue),
        };
        match fast {
            Some(y) => y,
            None => self.reference(x, epilogue),
        }
    }

    /// Accelerated forward pass that supports autodiff.
    #[cfg(feature = "training")]
    pub(super) fn accelerated_training(
        &self,
        x: &Tensor<4>,
        epilogue: &Epilogue<4>,
    ) -> Option<Tensor<4>> {
        let (weight, params) = (self.conv.weight.val(), self.params());
        let norm = || {
            let norm = &self.norm;
            let running = [&norm.running_mean, &norm.running_var];
            Normalization {
                gamma: norm.gamma.val(),
                beta: norm.beta.val(),
                epsilon: norm.epsilon,
                running: (!norm.training.is_enabled())
                    .then(|| running.map(|noted| noted.value().inner())),
            }
        };
        let normalized: Option<Normalized> = None;
        #[cfg(feature = "cpu")]
        let normalized = normalized
            .or_else(|| cpu::training::conv_norm(x, weight.clone(), params, norm(), epilogue));
        #[cfg(feature = "gpu")]
        let normalized = normalized.or_else(|| {
            super::gpu::training::conv_norm(x, weight.clone(), params, norm(), epilogue)
        });
        let normalized = normalized?;
        if let Some(batch_moments) = normalized.batch_moments {
            self.update_running_stats(batch_moments);
        }
        Some(normalized.y)
    }

    #[cfg(not(feature = "training"))]
    fn accelerated_training(&self, _: &Tensor<4>, _: &Epilogue<4>) -> Option<Tensor<4>> {
        None
    }

    pub(super) fn fast(&self, x: &Tensor<4>, epilogue: &Epilogue<4>) -> Option<Tensor<4>> {
        let (residual, activation) = epilogue.split();
        let (weight, shape) = (self.conv.weight.val(), self.params());
        let (scale, bias) = (self.norm.gamma.val(), self.norm.beta.val());
        let (x, residual) = (x.clone(), residual.cloned());
        if let Some(int8) = &self.int8 {
            let weights = cpu::PackedMatrix::int8(int8, &self.shards)?;
            return cpu::conv(x, weights, shape, scale, bias, residual, activation);
        }
        #[cfg(feature = "gpu")]
        if let Some(y) = super::gpu::conv(&x, &weight, shape, &scale, &bias, &residual, activation)
        {
            return Some(y);
        }
        let weights = cpu::PackedMatrix::exact(weight, &self.shards)?.winograd(self.winograd);
        cpu::conv(x, weights, shape, scale, bias, residual, activation)
    }

    pub(super) fn reference(&self, x: Tensor<4>, epilogue: Epilogue<4>) -> Tensor<4> {
        // burn convolves channels first. Permuting moves no data, and between consecutive
        // convolutions the permutations cancel.
        let x = x.permute([0, 3, 1, 2]);
        let y = self.normalize(self.conv.forward(x));
        epilogue.reference(y.permute([0, 2, 3, 1]))
    }

    /// Batch normalisation of `[batch, channels, height, width]`. In training, the
    /// running variance is updated as in PyTorch, with the unbiased estimate (n / (n -
    /// 1)); burn would use the biased one.
    fn normalize(&self, x: Tensor<4>) -> Tensor<4> {
        let norm = &self.norm;
        if !(x.device().is_autodiff() && norm.training.is_enabled()) {
            return norm.forward(x);
        }
        let [batch, _, height, width] = x.dims();
        let count = (batch * height * width) as f64;
        let (gamma, beta) = (norm.gamma.val(), norm.beta.val());
        let result = batch_norm_train(x, gamma, beta, norm.epsilon);
        let mean = result.mean.inner();
        let variance = result.variance.inner() * (count / (count - 1.0).max(1.0));
        self.update_running_stats([mean, variance]);
        result.output
    }

    /// Updates the running statistics with a batch's mean and variance.
    fn update_running_stats(&self, batch_moments: [Tensor<1>; 2]) {
        let norm = &self.norm;
        for (running, batch_moments) in [&norm.running_mean, &norm.running_var]
            .into_iter()
            .zip(batch_moments)
        {
            let before = running.value_sync();
            let batch_moments = batch_moments.to_device(&before.device());
            running.update(before * (1.0 - norm.momentum) + batch_moments * norm.momentum);
        }
    }

    /// Packs the weights for the device's kernel.
    pub fn pack(&mut self, packing: WeightPrecision) {
        if self.packed {
            return;
        }
        let weight = self.conv.weight.val();
        let [out, input, kernel, _] = weight.dims();
        // [kernel, kernel, in, out]: an im2col weight matrix.
        let matrix = into_contiguous(weight.permute([2, 3, 1, 0]));
        let matrix = matrix.reshape([kernel * kernel * input, out]);
        // Int8 kernels read channels in pairs.
        let int8 = match packing {
            WeightPrecision::Int8 if input.is_multiple_of(2) => cpu::pack_int8(matrix.clone()),
            _ => None,
        };
        let [mut gamma, beta] = fold(&self.norm);
        let packed = match int8 {
            Some((int8, shards)) => {
                gamma = gamma * int8.scale.val();
                (self.int8, self.shards) = (Some(int8), shards);
                Tensor::zeros([1, 1], &matrix.device())
            }
            None => {
                let transformed = cpu::winograd_weights(&matrix, self.params());
                self.winograd = transformed.is_some();
                match cpu::pack(transformed.unwrap_or_else(|| matrix.clone())) {
                    Some((packed, shards)) => {
                        self.shards = shards;
                        packed
                    }
                    None if cfg!(feature = "gpu") && out.is_multiple_of(4) => matrix,
                    None => return,
                }
            }
        };
        self.conv.weight = Param::from_tensor(packed.unsqueeze());
        let [gamma, beta] = [gamma, beta].map(Param::from_tensor);
        (self.norm.gamma, self.norm.beta) = (gamma, beta);
        self.packed = true;
    }

    fn params(&self) -> ConvParams {
        ConvParams {
            kernel: self.conv.kernel_size[0],
            stride: self.conv.stride[0],
            out: self.norm.gamma.dims()[0],
        }
    }
}

/// Batch normalisation parameters, each `[channels]`.
#[cfg(feature = "training")]
pub(super) struct Normalization {
    pub gamma: Tensor<1>,
    pub beta: Tensor<1>,
    pub epsilon: f64,
    /// Running mean and variance; `None` for the batch's own.
    pub running: Option<[Tensor<1>; 2]>,
}

/// Convolution with batch normalisation in training.
#[cfg(feature = "training")]
pub(super) struct Normalized {
    pub y: Tensor<4>,
    /// Mean and unbiased variance by channel, if the batch's own were used.
    pub batch_moments: Option<[Tensor<1>; 2]>,
}

/// Square convolution with a bias, padded by `kernel / 2`, channels last.
#[derive(Module, Debug)]
pub struct Conv {
    /// Weights `[out, in / groups, kernel, kernel]`.
    pub conv: Conv2d,
}

impl Conv {
    /// Convolution of `channels` `[in, out]` in `groups` of them, initialised as in PyTorch.
    pub fn init(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
        device: &Device,
    ) -> Self {
        let padding = kernel / 2;
        let mut conv = Conv2dConfig::new(channels, [kernel, kernel])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(
                padding, padding, padding, padding,
            ))
            .with_groups(groups)
            .init(device);
        let [inputs, outputs] = [channels[0] / groups, channels[1]];
        conv.weight = Initializer::fan_in_uniform(inputs * kernel * kernel)
            .init([outputs, inputs, kernel, kernel], device);
        conv.bias = Some(Initializer::Zeros.init([outputs], device));
        Self { conv }
    }

    /// `[batch, height, width, in]` to `[batch, height / stride, width / stride, out]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        (self.conv.forward(x.permute([0, 3, 1, 2]))).permute([0, 2, 3, 1])
    }
}

/// burn's initialisation, except for the statistics: burn's would run GPU kernels that
/// nothing else needs.
fn batch_norm(channels: usize, device: &Device) -> BatchNorm {
    let config = BatchNormConfig::new(channels);
    let vec_init_with = |value: f32| {
        let values = TensorData::new(vec![value; channels], [channels]);
        RunningState::new(Tensor::from_data(values, device))
    };
    BatchNorm {
        gamma: Initializer::Ones.init([channels], device),
        beta: Initializer::Zeros.init([channels], device),
        training: Param::from_bool(true),
        running_mean: vec_init_with(0.0),
        running_var: vec_init_with(1.0),
        momentum: config.momentum,
        epsilon: config.epsilon,
    }
}

/// Folds batch normalisation in evaluation mode into a scale and a shift.
fn fold(norm: &BatchNorm) -> [Tensor<1>; 2] {
    let (gamma, beta) = (norm.gamma.val(), norm.beta.val());
    let (mean, variance) = (norm.running_mean.value(), norm.running_var.value());
    #[cfg(feature = "gpu")]
    if let Some(folded) = super::gpu::fold(
        gamma.clone(),
        beta.clone(),
        mean.clone(),
        variance.clone(),
        norm.epsilon,
    ) {
        return folded;
    }
    let gamma = gamma / (variance + norm.epsilon).sqrt();
    let beta = beta - mean * gamma.clone();
    [gamma, beta]
}

/// Average pooling with a window and a stride of `side`: `[batch, height, width,
/// channels]` to `[batch, height / side, width / side, channels]`.
pub fn average_pool(x: Tensor<4>, side: usize) -> Tensor<4> {
    if side == 1 {
        return x;
    }
    let y = cpu::average_pool(x.clone(), side);
    #[cfg(all(feature = "cpu", feature = "training"))]
    let y = y.or_else(|| cpu::training::average_pool(&x, side));
    #[cfg(feature = "gpu")]
    let y = y.or_else(|| super::gpu::average_pool(x.clone(), side));
    match y {
        Some(y) => y,
        None => {
            let options = AvgPoolOptions::new([side, side]);
            avg_pool2d(x.permute([0, 3, 1, 2]), options).permute([0, 2, 3, 1])
        }
    }
}
