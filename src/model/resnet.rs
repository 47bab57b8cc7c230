//! The ResNet of CLIP (He et al. 2016, changed as the paper's section 2.4
//! says): a stem of three convolutions, pooling instead of strides against
//! aliasing, and attention in the place of the last average.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor};

use super::ResNetConfig;

/// Each stage's bottlenecks put out this many times the channels they work in.
const EXPANSION: usize = 4;

/// CLIP's image encoder: pixels to a point of the shared space.
#[derive(Module, Debug)]
pub struct ModifiedResNet {
    pub conv1: Conv2d,
    pub bn1: BatchNorm,
    pub conv2: Conv2d,
    pub bn2: BatchNorm,
    pub conv3: Conv2d,
    pub bn3: BatchNorm,
    pub layer1: Vec<Bottleneck>,
    pub layer2: Vec<Bottleneck>,
    pub layer3: Vec<Bottleneck>,
    pub layer4: Vec<Bottleneck>,
    pub attnpool: AttentionPool2d,
}

impl ModifiedResNet {
    pub(super) fn init(config: &ResNetConfig, embed_dim: usize, device: &Device) -> Self {
        let width = config.width;
        let stage = |index: usize| {
            let planes = width << index;
            let before = match index {
                0 => width,
                _ => planes / 2 * EXPANSION,
            };
            let stride = if index == 0 { 1 } else { 2 };
            (0..config.layers[index])
                .map(|block| match block {
                    0 => Bottleneck::init(before, planes, stride, device),
                    _ => Bottleneck::init(planes * EXPANSION, planes, 1, device),
                })
                .collect()
        };
        Self {
            conv1: convolution([3, width / 2], 3, 2, device),
            bn1: batch_norm(width / 2, device),
            conv2: convolution([width / 2, width / 2], 3, 1, device),
            bn2: batch_norm(width / 2, device),
            conv3: convolution([width / 2, width], 3, 1, device),
            bn3: batch_norm(width, device),
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            layer4: stage(3),
            attnpool: AttentionPool2d::init(config, embed_dim, device),
        }
    }

    /// `[batch, 3, image_size, image_size]` to `[batch, embed_dim]`, not yet of
    /// unit length.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.bn1.forward(self.conv1.forward(images)));
        let x = relu(self.bn2.forward(self.conv2.forward(x)));
        let x = relu(self.bn3.forward(self.conv3.forward(x)));
        let x = average_pool(x, 2);
        let stages = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        let x = (stages.into_iter().flatten()).fold(x, |x, block| block.forward(x));
        self.attnpool.forward(x)
    }
}

/// 1x1, 3x3 and 1x1 convolutions beside a shortcut. What a ResNet does by
/// stride, an average does here.
#[derive(Module, Debug)]
pub struct Bottleneck {
    pub conv1: Conv2d,
    pub bn1: BatchNorm,
    pub conv2: Conv2d,
    pub bn2: BatchNorm,
    pub conv3: Conv2d,
    pub bn3: BatchNorm,
    pub downsample: Option<Downsample>,
    stride: usize,
}

impl Bottleneck {
    fn init(channels: usize, planes: usize, stride: usize, device: &Device) -> Self {
        let out = planes * EXPANSION;
        let mut bn3 = batch_norm(out, device);
        // Every block starts as its shortcut alone, as in the reference.
        bn3.gamma = Initializer::Zeros.init([out], device);
        Self {
            conv1: convolution([channels, planes], 1, 1, device),
            bn1: batch_norm(planes, device),
            conv2: convolution([planes, planes], 3, 1, device),
            bn2: batch_norm(planes, device),
            conv3: convolution([planes, out], 1, 1, device),
            bn3,
            downsample: (stride > 1 || channels != out).then(|| Downsample {
                conv: convolution([channels, out], 1, 1, device),
                bn: batch_norm(out, device),
            }),
            stride,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some(path) => {
                let x = average_pool(x.clone(), self.stride);
                path.bn.forward(path.conv.forward(x))
            }
            None => x.clone(),
        };
        let x = relu(self.bn1.forward(self.conv1.forward(x)));
        let x = relu(self.bn2.forward(self.conv2.forward(x)));
        let x = self.conv3.forward(average_pool(x, self.stride));
        relu(self.bn3.forward(x) + shortcut)
    }
}

/// A shortcut into another size or number of channels, after the average.
#[derive(Module, Debug)]
pub struct Downsample {
    pub conv: Conv2d,
    pub bn: BatchNorm,
}

/// One layer of attention in which only the mean of all places asks.
#[derive(Module, Debug)]
pub struct AttentionPool2d {
    /// `[places + 1, channels]`, the mean's first.
    pub positional_embedding: Param<Tensor<2>>,
    pub q_proj: Linear,
    pub k_proj: Linear,
    pub v_proj: Linear,
    pub c_proj: Linear,
    heads: usize,
}

impl AttentionPool2d {
    fn init(config: &ResNetConfig, embed_dim: usize, device: &Device) -> Self {
        let channels = config.channels();
        let std = (channels as f64).powf(-0.5);
        let normal = Initializer::Normal { mean: 0.0, std };
        let linear = |out: usize| {
            let mut linear = LinearConfig::new(channels, out)
                .with_initializer(normal.clone())
                .init(device);
            linear.bias = Some(Initializer::Zeros.init([out], device));
            linear
        };
        Self {
            positional_embedding: normal.init([config.grid().pow(2) + 1, channels], device),
            q_proj: linear(channels),
            k_proj: linear(channels),
            v_proj: linear(channels),
            c_proj: linear(embed_dim),
            heads: config.heads,
        }
    }

    /// `[batch, channels, height, width]` to `[batch, embed_dim]`.
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let [batch, channels, height, width] = x.dims();
        let places = (x.reshape([batch, channels, height * width])).swap_dims(1, 2);
        let mean = places.clone().mean_dim(1);
        let tokens =
            Tensor::cat(vec![mean, places], 1) + self.positional_embedding.val().unsqueeze::<3>();
        let head_dim = channels / self.heads;
        let split = |x: Tensor<3>| {
            let [batch, length, _] = x.dims();
            (x.reshape([batch, length, self.heads, head_dim])).swap_dims(1, 2)
        };
        let query = split(self.q_proj.forward(tokens.clone().narrow(1, 0, 1)));
        let key = split(self.k_proj.forward(tokens.clone()));
        let value = split(self.v_proj.forward(tokens));
        let scores = query.matmul(key.swap_dims(2, 3)) * (head_dim as f64).powf(-0.5);
        let mixed = softmax(scores, 3).matmul(value);
        self.c_proj.forward(mixed.reshape([batch, channels]))
    }
}

fn convolution(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv2d {
    let padding = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(
            padding, padding, padding, padding,
        ))
        .with_bias(false)
        .init(device)
}

fn batch_norm(channels: usize, device: &Device) -> BatchNorm {
    BatchNormConfig::new(channels).init(device)
}

/// Means of squares of `side` x `side`.
fn average_pool(x: Tensor<4>, side: usize) -> Tensor<4> {
    match side {
        1 => x,
        _ => avg_pool2d(x, AvgPoolOptions::new([side, side])),
    }
}
