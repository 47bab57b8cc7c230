//! Convolutions with the normalisation and all else that follows them, over
//! channels-last pictures: `[batch, height, width, channels]`.

use burn::module::{Module, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::module::{avg_pool2d, batch_norm_train};
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor, TensorData};

use super::linear::Int8;
use super::{Packing, Start, Then, cpu, in_order};
use crate::kernels::conv::ConvShape;
use crate::kernels::crew::Shares;

/// A square convolution without bias, padded so that a stride of 1 keeps the
/// size, and batch normalisation.
#[derive(Module, Debug)]
pub struct ConvNorm {
    /// Weights `[out, in, kernel, kernel]`; once packed, as the device's kernel
    /// reads them.
    pub conv: Conv2d,
    /// Once packed, its gain and bias hold its statistics, too.
    pub norm: BatchNorm,
    /// Instead of the weights, once packed so.
    int8: Option<Int8>,
    /// What others have of the weights, once packed.
    #[module(skip)]
    shares: Option<Shares>,
    packed: bool,
    /// Packed to be computed by squares.
    by_squares: bool,
}

impl ConvNorm {
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
        conv.weight = Start::as_pytorch(inputs * kernel * kernel)
            .init([outputs, inputs, kernel, kernel], device);
        Self {
            conv,
            norm: batch_norm(channels[1], device),
            int8: None,
            shares: None,
            packed: false,
            by_squares: false,
        }
    }

    /// `[batch, height, width, in]` to `[batch, height / stride, width / stride,
    /// out]`, and on with `then`.
    pub fn forward(&self, x: Tensor<4>, then: Then<4>) -> Tensor<4> {
        let fast = match self.packed {
            true => self.fast(&x, &then),
            false => self.differentiable(&x, &then),
        };
        match fast {
            Some(y) => y,
            None => self.plain(x, then),
        }
    }

    /// As [`Self::plain`] is differentiated, but fast.
    #[cfg(all(feature = "cpu", feature = "training"))]
    pub(super) fn differentiable(&self, x: &Tensor<4>, then: &Then<4>) -> Option<Tensor<4>> {
        use cpu::training::{Normalization, conv_norm};
        let norm = &self.norm;
        let running = || [&norm.running_mean, &norm.running_var].map(|noted| noted.value().inner());
        let norm = Normalization {
            gamma: norm.gamma.val(),
            beta: norm.beta.val(),
            epsilon: norm.epsilon,
            running: (!norm.training.is_enabled()).then(running),
        };
        let normalized = conv_norm(x, self.conv.weight.val(), self.shape(), norm, then)?;
        if let Some(found) = normalized.found {
            self.note(found);
        }
        Some(normalized.y)
    }

    #[cfg(not(all(feature = "cpu", feature = "training")))]
    fn differentiable(&self, _: &Tensor<4>, _: &Then<4>) -> Option<Tensor<4>> {
        None
    }

    pub(super) fn fast(&self, x: &Tensor<4>, then: &Then<4>) -> Option<Tensor<4>> {
        let (add, curve) = then.split();
        let (weight, shape) = (self.conv.weight.val(), self.shape());
        let (scale, bias) = (self.norm.gamma.val(), self.norm.beta.val());
        let (x, add) = (x.clone(), add.cloned());
        if let Some(int8) = &self.int8 {
            let weights = cpu::Weights::int8(int8, &self.shares)?;
            return cpu::conv(x, weights, shape, scale, bias, add, curve);
        }
        #[cfg(feature = "gpu")]
        if let Some(y) = super::gpu::conv(&x, &weight, shape, &scale, &bias, &add, curve) {
            return Some(y);
        }
        let weights = cpu::Weights::exact(weight, &self.shares)?.by_squares(self.by_squares);
        cpu::conv(x, weights, shape, scale, bias, add, curve)
    }

    pub(super) fn plain(&self, x: Tensor<4>, then: Then<4>) -> Tensor<4> {
        // burn has channels first. Turning axes moves nothing, and from one
        // convolution to the next the turns undo each other.
        let x = x.permute([0, 3, 1, 2]);
        let y = self.normalize(self.conv.forward(x));
        then.plain(y.permute([0, 2, 3, 1]))
    }

    /// Batch normalisation of `[batch, channels, height, width]`. In training it
    /// goes by the batch's own statistics and notes them as PyTorch does: burn
    /// would note the variance of the batch itself, where the reference notes
    /// the estimate of what it was drawn from (n / (n - 1) times as much).
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
        self.note([mean, variance]);
        result.output
    }

    /// Moves the running statistics towards a batch's mean and variance.
    fn note(&self, found: [Tensor<1>; 2]) {
        let norm = &self.norm;
        for (running, found) in [&norm.running_mean, &norm.running_var]
            .into_iter()
            .zip(found)
        {
            let before = running.value_sync();
            let found = found.to_device(&before.device());
            running.update(before * (1.0 - norm.momentum) + found * norm.momentum);
        }
    }

    /// Lays the weights out for the device's kernel.
    pub fn pack(&mut self, packing: Packing) {
        if self.packed {
            return;
        }
        let weight = self.conv.weight.val();
        let [out, input, kernel, _] = weight.dims();
        // [kernel, kernel, in, out]: what one place of the result reads, by rows.
        let matrix = in_order(weight.permute([2, 3, 1, 0]));
        let matrix = matrix.reshape([kernel * kernel * input, out]);
        // A picture's numbers go by pairs of channels.
        let int8 = match packing {
            Packing::Int8 if input.is_multiple_of(2) => cpu::pack_int8(matrix.clone()),
            _ => None,
        };
        let [mut gamma, beta] = fold(&self.norm);
        let packed = match int8 {
            Some((int8, shares)) => {
                gamma = gamma * int8.scale.val();
                (self.int8, self.shares) = (Some(int8), shares);
                Tensor::zeros([1, 1], &matrix.device())
            }
            None => {
                let squares = cpu::by_squares(&matrix, self.shape());
                self.by_squares = squares.is_some();
                match cpu::pack(squares.unwrap_or_else(|| matrix.clone())) {
                    Some((packed, shares)) => {
                        self.shares = shares;
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

    fn shape(&self) -> ConvShape {
        ConvShape {
            kernel: self.conv.kernel_size[0],
            stride: self.conv.stride[0],
            out: self.norm.gamma.dims()[0],
        }
    }
}

/// As burn starts it, but for the statistics: burn's have a GPU run kernels that
/// nothing else needs.
fn batch_norm(channels: usize, device: &Device) -> BatchNorm {
    let config = BatchNormConfig::new(channels);
    let filled = |value: f32| {
        let values = TensorData::new(vec![value; channels], [channels]);
        RunningState::new(Tensor::from_data(values, device))
    };
    BatchNorm {
        gamma: Start::Ones.init([channels], device),
        beta: Start::Zeros.init([channels], device),
        training: Param::from_bool(true),
        running_mean: filled(0.0),
        running_var: filled(1.0),
        momentum: config.momentum,
        epsilon: config.epsilon,
    }
}

/// What a batch normalisation that learns no more multiplies by, and what it adds.
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

/// Means of squares of `side` x `side`: `[batch, height, width, channels]` to
/// `[batch, height / side, width / side, channels]`.
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
