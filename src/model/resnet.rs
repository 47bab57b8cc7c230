//! The ResNet of CLIP (He et al. 2016, changed as the paper's section 2.4
//! says): a stem of three convolutions, pooling instead of strides against
//! aliasing, and attention in the place of the last average.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::ResNetConfig;
use crate::ops::{
    ConvNorm, Linear, PackedPool, Packing, Start, Then, average_pool, one_by_one, pool_attention,
    tokens,
};

/// Each stage's bottlenecks put out this many times the channels they work in.
const EXPANSION: usize = 4;

/// CLIP's image encoder: pixels to a point of the shared space. Inside, channels
/// come last: `[batch, height, width, channels]`.
#[derive(Module, Debug)]
pub struct ModifiedResNet {
    pub conv1: ConvNorm,
    pub conv2: ConvNorm,
    pub conv3: ConvNorm,
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
            conv1: ConvNorm::init([3, width / 2], 3, 2, device),
            conv2: ConvNorm::init([width / 2, width / 2], 3, 1, device),
            conv3: ConvNorm::init([width / 2, width], 3, 1, device),
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
        let stages = |x, stages: [&Vec<Bottleneck>; 2]| {
            (stages.into_iter().flatten()).fold(x, |x, block| block.forward(x))
        };
        let x = one_by_one(images.permute([0, 2, 3, 1]), |x| {
            let x = self.conv1.forward(x, Then::Relu);
            let x = self.conv2.forward(x, Then::Relu);
            let x = self.conv3.forward(x, Then::Relu);
            stages(average_pool(x, 2), [&self.layer1, &self.layer2])
        });
        let x = stages(x, [&self.layer3, &self.layer4]);
        self.attnpool.forward(x)
    }

    pub(super) fn pack(&mut self, packing: Packing) {
        let stem = [&mut self.conv1, &mut self.conv2, &mut self.conv3];
        stem.into_iter().for_each(|layer| layer.pack(packing));
        let stages = [
            &mut self.layer1,
            &mut self.layer2,
            &mut self.layer3,
            &mut self.layer4,
        ];
        for block in stages.into_iter().flatten() {
            let path = [&mut block.conv1, &mut block.conv2, &mut block.conv3];
            let path = path.into_iter().chain(&mut block.downsample);
            path.for_each(|layer| layer.pack(packing));
        }
        self.attnpool.pack(packing);
    }
}

/// 1x1, 3x3 and 1x1 convolutions beside a shortcut. What a ResNet does by
/// stride, an average does here.
#[derive(Module, Debug)]
pub struct Bottleneck {
    pub conv1: ConvNorm,
    pub conv2: ConvNorm,
    pub conv3: ConvNorm,
    /// The shortcut into another size or number of channels, after the average.
    pub downsample: Option<ConvNorm>,
    stride: usize,
}

impl Bottleneck {
    fn init(channels: usize, planes: usize, stride: usize, device: &Device) -> Self {
        let out = planes * EXPANSION;
        let mut conv3 = ConvNorm::init([planes, out], 1, 1, device);
        // Every block starts as its shortcut alone, as in the reference.
        conv3.norm.gamma = Start::Zeros.init([out], device);
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
            Some(path) => path.forward(average_pool(x.clone(), self.stride), Then::Nothing),
            None => x.clone(),
        };
        let x = self.conv1.forward(x, Then::Relu);
        let x = self.conv2.forward(x, Then::Relu);
        let x = average_pool(x, self.stride);
        self.conv3.forward(x, Then::AddRelu(shortcut))
    }
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
    /// Instead of the weights of keys and values, once packed so.
    packed: Option<PackedPool>,
    heads: usize,
}

impl AttentionPool2d {
    fn init(config: &ResNetConfig, embed_dim: usize, device: &Device) -> Self {
        let channels = config.channels();
        let std = (channels as f64).powf(-0.5);
        let normal = Start::Normal(std);
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
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let [batch, height, width, channels] = x.dims();
        let places = x.reshape([batch, height * width, channels]);
        let tokens = tokens(None, places, self.positional_embedding.val());
        let query = tokens.clone().narrow(1, 0, 1);
        let query = self.q_proj.forward(query, Then::Nothing);
        let projections = [&self.k_proj, &self.v_proj];
        let mixed = pool_attention(tokens, query, projections, &self.packed, self.heads);
        let mixed = mixed.reshape([batch, channels]);
        self.c_proj.forward(mixed, Then::Nothing)
    }

    fn pack(&mut self, packing: Packing) {
        self.q_proj.pack(packing);
        self.c_proj.pack(packing);
        if packing == Packing::Exact {
            self.packed = PackedPool::new([&mut self.k_proj, &mut self.v_proj], self.heads);
        }
        if self.packed.is_none() {
            self.k_proj.pack(packing);
            self.v_proj.pack(packing);
        }
    }
}
