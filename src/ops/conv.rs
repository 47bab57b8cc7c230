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
            #[cfg(feature = "gpu")]
            None if x.device().is_autodiff() && !cpu::is_cpu(&x.device().inner()) => {
                self.as_matmul(x, epilogue)
            }
            None => self.reference(x, epilogue),
        }
    }

    /// Accelerated forward pass that supports autodiff.
    #[cfg(all(feature = "cpu", feature = "training"))]
    pub(super) fn accelerated_training(
        &self,
        x: &Tensor<4>,
        epilogue: &Epilogue<4>,
    ) -> Option<Tensor<4>> {
        use cpu::training::{Normalization, conv_norm};
        let norm = &self.norm;
        let running = || [&norm.running_mean, &norm.running_var].map(|noted| noted.value().inner());
        let norm = Normalization {
            gamma: norm.gamma.val(),
            beta: norm.beta.val(),
            epsilon: norm.epsilon,
            running: (!norm.training.is_enabled()).then(running),
        };
        let normalized = conv_norm(x, self.conv.weight.val(), self.params(), norm, epilogue)?;
        if let Some(batch_moments) = normalized.batch_moments {
            self.update_running_stats(batch_moments);
        }
        Some(normalized.y)
    }

    #[cfg(not(all(feature = "cpu", feature = "training")))]
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

    /// [`Self::reference`] for training on a GPU: convolution as a matmul per image, and
    /// normalisation over the places of an image, then over images. The gradients of
    /// burn's own have a thread per channel, which leaves a GPU idle.
    #[cfg(any(feature = "gpu", test))]
    pub(super) fn as_matmul(&self, x: Tensor<4>, epilogue: Epilogue<4>) -> Tensor<4> {
        let ConvParams {
            kernel,
            stride,
            out,
        } = self.params();
        let [batch, height, width, channels] = x.dims();
        let [rows, columns] = [height, width].map(|side| (side - 1) / stride + 1);
        let weight = self.conv.weight.val().permute([2, 3, 1, 0]);
        let weight = weight.reshape([1, kernel * kernel * channels, out]);
        let y = match (kernel, stride) {
            (1, 1) => x.reshape([batch, height * width, channels]),
            _ => unfold(x, [rows, columns], kernel, stride),
        };
        let y = y.matmul(weight);
        let y = match self.norm.training.is_enabled() {
            true => {
                let y = self.normalize_places(y);
                y.reshape([batch, rows, columns, out])
            }
            false => {
                let y = y.reshape([batch, rows, columns, out]);
                self.norm
                    .forward(y.permute([0, 3, 1, 2]))
                    .permute([0, 2, 3, 1])
            }
        };
        epilogue.reference(y)
    }

    /// Batch normalisation of `[batch, places, channels]` in training.
    #[cfg(any(feature = "gpu", test))]
    fn normalize_places(&self, x: Tensor<3>) -> Tensor<3> {
        let norm = &self.norm;
        let [batch, places, channels] = x.dims();
        let mean = |x: Tensor<3>| x.mean_dim(1).mean_dim(0);
        let count = (batch * places) as f64;
        let average = mean(x.clone());
        let centered = x - average.clone();
        let variance = mean(centered.clone().square());
        // As PyTorch's running variance: the unbiased estimate.
        let unbiased = variance.clone().inner() * (count / (count - 1.0).max(1.0));
        self.update_running_stats([average.inner(), unbiased].map(|x| x.reshape([channels])));
        let gamma = norm.gamma.val().unsqueeze::<3>();
        let scale = gamma / (variance + norm.epsilon).sqrt();
        centered * scale + norm.beta.val().unsqueeze::<3>()
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

/// What each place of a convolution sees, padded with zeros by `kernel / 2`: `[batch,
/// height, width, channels]` to `[batch, rows * columns, kernel² * channels]`.
#[cfg(any(feature = "gpu", test))]
fn unfold(x: Tensor<4>, [rows, columns]: [usize; 2], kernel: usize, stride: usize) -> Tensor<3> {
    let [batch, _, _, channels] = x.dims();
    let before = kernel / 2;
    // At the end what the last step reaches over, too.
    let ends = (before, before + stride - 1);
    let x = x.pad([(0, 0), ends, ends, (0, 0)], 0.0);
    let seen = (0..kernel * kernel).map(|place| {
        let (down, right) = (place / kernel, place % kernel);
        (x.clone().narrow(1, down, rows * stride))
            .narrow(2, right, columns * stride)
            .reshape([batch, rows, stride, columns, stride * channels])
            .narrow(2, 0, 1)
            .narrow(4, 0, channels)
            .reshape([batch, rows * columns, channels])
    });
    Tensor::cat(seen.collect(), 2)
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
