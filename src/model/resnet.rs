//! CLIP's modified ResNet (He et al. 2016; the paper's section 2.4): a stem of three
//! convolutions, anti-aliased downsampling by average pooling, and attention pooling in
//! place of global average pooling.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::ResNetConfig;
use super::positions::resize_positions;
use crate::ops::{
    ConvNorm, Initializer, Linear, PackedPool, add_cls_and_position, average_pool, map_samples,
    pool_attention,
};

/// Ratio of output to inner channels of a bottleneck.
const EXPANSION: usize = 4;

/// Image encoder. Channels last inside: `[batch, height, width, channels]`.
#[derive(Module, Debug)]
pub struct ModifiedResNet {
    /// Stem: 3x3 with stride 2.
    pub conv1: ConvNorm,
    /// Stem: 3x3.
    pub conv2: ConvNorm,
    /// Stem: 3x3, before average pooling.
    pub conv3: ConvNorm,
    /// First stage, at 1/4 of the image size.
    pub layer1: Vec<Bottleneck>,
    /// Second stage, at 1/8.
    pub layer2: Vec<Bottleneck>,
    /// Third stage, at 1/16.
    pub layer3: Vec<Bottleneck>,
    /// Fourth stage, at 1/32.
    pub layer4: Vec<Bottleneck>,
    /// Attention pooling and projection to `embed_dim`.
    pub attnpool: AttentionPool2d,
}

impl ModifiedResNet {
    pub(super) fn init(config: &ResNetConfig, embed_dim: usize, device: &Device) -> Self {
        let width = config.width;
        let layer = |index: usize| {
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
            conv1: ConvNorm::init([3, width / 2], 3, 2, device),
            conv2: ConvNorm::init([width / 2, width / 2], 3, 1, device),
            conv3: ConvNorm::init([width / 2, width], 3, 1, device),
            layer1: layer(0),
            layer2: layer(1),
            layer3: layer(2),
            layer4: layer(3),
            attnpool: AttentionPool2d::init(config, embed_dim, device),
        }
    }

    /// `[batch, 3, image_size, image_size]` to `[batch, embed_dim]`, before
    /// normalisation.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.attnpool.forward(self.feature_map(images))
    }

    /// Output of the last stage: `[batch, 3, height, width]` to `[batch, height / 32, width / 32,
    /// channels]`.
    pub(crate) fn feature_map(&self, images: Tensor<4>) -> Tensor<4> {
        let x = images.permute([0, 2, 3, 1]);
        let x = map_samples(x, |x| {
            let x = self.stem(x);
            let x = stage(&self.layer1, x);
            stage(&self.layer2, x)
        });
        let x = stage(&self.layer3, x);
        stage(&self.layer4, x)
    }

    fn stem(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.conv1.forward_relu(x);
        let x = self.conv2.forward_relu(x);
        let x = self.conv3.forward_relu(x);
        average_pool(x, 2)
    }
}

fn stage(blocks: &[Bottleneck], x: Tensor<4>) -> Tensor<4> {
    blocks.iter().fold(x, |x, block| block.forward(x))
}

/// Bottleneck: 1x1, 3x3 and 1x1 convolutions and a shortcut, with average pooling in
/// place of strides.
#[derive(Module, Debug)]
pub struct Bottleneck {
    /// 1x1, to the inner channels.
    pub conv1: ConvNorm,
    /// 3x3.
    pub conv2: ConvNorm,
    /// 1x1, to [`EXPANSION`] times the inner channels.
    pub conv3: ConvNorm,
    /// Projection shortcut, after average pooling, if size or channels change.
    pub downsample: Option<ConvNorm>,
    stride: usize,
}

impl Bottleneck {
    fn init(channels: usize, planes: usize, stride: usize, device: &Device) -> Self {
        let out = planes * EXPANSION;
        let mut conv3 = ConvNorm::init([planes, out], 1, 1, device);
        // Zero gamma: every block starts as the identity, as in the reference.
        conv3.norm.gamma = Initializer::Zeros.init([out], device);
        Self {
            conv1: ConvNorm::init([channels, planes], 1, 1, device),
            conv2: ConvNorm::init([planes, planes], 3, 1, device),
            conv3,
            downsample: (stride > 1 || channels != out)
                .then(|| ConvNorm::init([channels, out], 1, 1, device)),
            stride,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(average_pool(x.clone(), self.stride)),
            None => x.clone(),
        };
        let x = self.conv1.forward_relu(x);
        let x = self.conv2.forward_relu(x);
        let x = average_pool(x, self.stride);
        self.conv3.forward_residual_relu(x, shortcut)
    }
}

/// QKV attention pooling: the query is the mean token.
#[derive(Module, Debug)]
pub struct AttentionPool2d {
    /// `[pixels + 1, channels]`, the mean token's first.
    pub positional_embedding: Param<Tensor<2>>,
    /// Query projection, `[channels, channels]`.
    pub q_proj: Linear,
    /// Key projection, `[channels, channels]`.
    pub k_proj: Linear,
    /// Value projection, `[channels, channels]`.
    pub v_proj: Linear,
    /// Output projection, `[channels, embed_dim]`.
    pub c_proj: Linear,
    /// Packed key and value projections, in place of those of the layers.
    pub(super) packed: Option<PackedPool>,
    pub(super) heads: usize,
}

impl AttentionPool2d {
    fn init(config: &ResNetConfig, embed_dim: usize, device: &Device) -> Self {
        let channels = config.channels();
        let std = (channels as f64).powf(-0.5);
        let normal = Initializer::Normal(std);
        let linear = |out| Linear::init([channels, out], normal, true, device);
        Self {
            positional_embedding: normal.init([config.grid().pow(2) + 1, channels], device),
            q_proj: linear(channels),
            k_proj: linear(channels),
            v_proj: linear(channels),
            c_proj: linear(embed_dim),
            packed: None,
            heads: config.heads,
        }
    }

    /// `[batch, height, width, channels]` to `[batch, embed_dim]`.
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let [batch, height, width, channels] = x.dims();
        let pixels = x.reshape([batch, height * width, channels]);
        let tokens = add_cls_and_position(None, pixels, self.positions(height, width));
        let query = tokens.clone().narrow(1, 0, 1);
        let query = self.q_proj.forward(query);
        let projections = [&self.k_proj, &self.v_proj];
        let pooled = pool_attention(tokens, query, projections, &self.packed, self.heads);
        self.c_proj.forward(pooled.reshape([batch, channels]))
    }

    /// Position embedding of the mean token and `rows * columns` places, `[…, channels]`.
    pub(super) fn positions(&self, rows: usize, columns: usize) -> Tensor<2> {
        resize_positions(self.positional_embedding.val(), 1, [rows, columns])
    }
}
