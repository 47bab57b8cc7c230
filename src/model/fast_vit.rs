//! FastViT (Vasu et al. 2023) as MobileCLIP has it: three stages whose blocks mix places by
//! small convolutions, and one with attention. A convolution here is several ones of the
//! training, folded when a file is loaded.

use burn::module::{Module, Param};
use burn::tensor::activation::{gelu, relu, sigmoid};
use burn::tensor::{Device, Tensor};

use super::FastVitConfig;
use super::transformer::linear;
use crate::ops::{Conv, Initializer, Linear, attention, map_samples};

/// Image encoder. Channels last inside: `[batch, height, width, channels]`.
#[derive(Module, Debug)]
pub struct FastVit {
    /// Convolutions to 1/4 of the image size.
    pub stem: FastVitStem,
    /// Stages, at 1/4, 1/8, 1/16 and 1/32 of the image size.
    pub stages: Vec<FastVitStage>,
    /// 3x3, each channel by itself, to twice the channels.
    pub final_conv: Conv,
    /// Gate of the channels before pooling.
    pub se: SqueezeExcite,
    /// Projection of the mean, `[channels, embed_dim]`.
    pub head: Linear,
}

impl FastVit {
    pub(super) fn init(config: &FastVitConfig, embed_dim: usize, device: &Device) -> Self {
        let [before, channels] =
            [FastVitConfig::STAGES - 1, FastVitConfig::STAGES].map(|stage| config.channels(stage));
        let stage = |stage| FastVitStage::init(config, stage, device);
        Self {
            stem: FastVitStem::init(config.width, device),
            stages: (0..FastVitConfig::STAGES).map(stage).collect(),
            final_conv: Conv::init([before, channels], 3, 1, before, device),
            se: SqueezeExcite::init(channels, channels / 16, device),
            head: projection([channels, embed_dim], device),
        }
    }

    /// `[batch, 3, image_size, image_size]` to `[batch, embed_dim]`, before
    /// normalisation.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.feature_map(images);
        let [batch, _, _, channels] = x.dims();
        self.head
            .forward(mean_of_places(x).reshape([batch, channels]))
    }

    /// `[batch, 3, height, width]` to `[batch, height / 32, width / 32, embed_dim]`: the mean
    /// of the places' features is the image's.
    pub(super) fn forward_dense(&self, images: Tensor<4>) -> Tensor<4> {
        self.head.forward(self.feature_map(images))
    }

    fn feature_map(&self, images: Tensor<4>) -> Tensor<4> {
        map_samples(images.permute([0, 2, 3, 1]), |x| {
            let x = self.stem.forward(x);
            let x = (self.stages.iter()).fold(x, |x, stage| stage.forward(x));
            gelu(self.se.forward(self.final_conv.forward(x)))
        })
    }
}

/// `[batch, height, width, channels]` to `[batch, 1, 1, channels]`.
fn mean_of_places(x: Tensor<4>) -> Tensor<4> {
    x.mean_dim(1).mean_dim(2)
}

fn projection([d_input, d_output]: [usize; 2], device: &Device) -> Linear {
    linear(d_input, d_output, (d_input as f64).powf(-0.5), device)
}

/// Stem: a convolution, one of each channel by itself, and one of each place by itself.
#[derive(Module, Debug)]
pub struct FastVitStem {
    /// 3x3 with stride 2.
    pub conv1: Conv,
    /// 3x3 with stride 2, each channel by itself.
    pub conv2: Conv,
    /// 1x1, `[width, width]`.
    pub conv3: Linear,
}

impl FastVitStem {
    fn init(width: usize, device: &Device) -> Self {
        Self {
            conv1: Conv::init([3, width], 3, 2, 1, device),
            conv2: Conv::init([width, width], 3, 2, width, device),
            conv3: projection([width, width], device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = gelu(self.conv1.forward(x));
        let x = gelu(self.conv2.forward(x));
        self.conv3.forward_gelu(x)
    }
}

/// Stage: downsampling, but for the first one, and blocks.
#[derive(Module, Debug)]
pub struct FastVitStage {
    /// To half the size and twice the channels.
    pub downsample: Option<Downsample>,
    /// 7x7, each channel by itself: positions, before attention.
    pub positions: Option<Conv>,
    /// Blocks.
    pub blocks: Vec<FastVitBlock>,
}

impl FastVitStage {
    fn init(config: &FastVitConfig, stage: usize, device: &Device) -> Self {
        let channels = config.channels(stage);
        let attends = stage == FastVitConfig::STAGES - 1;
        let gated = stage >= FastVitConfig::FIRST_GATED_STAGE;
        Self {
            downsample: (stage > 0).then(|| Downsample::init(channels, gated, device)),
            positions: attends.then(|| Conv::init([channels, channels], 7, 1, channels, device)),
            blocks: (0..config.layers[stage])
                .map(|_| FastVitBlock::init(channels, attends, device))
                .collect(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = match &self.downsample {
            Some(downsample) => downsample.forward(x),
            None => x,
        };
        let x = match &self.positions {
            Some(positions) => positions.forward(x),
            None => x,
        };
        (self.blocks.iter()).fold(x, |x, block| block.forward(x))
    }
}

/// Convolution with stride 2, and one of each place by itself.
#[derive(Module, Debug)]
pub struct Downsample {
    /// 7x7 with stride 2, two outputs of each channel by itself.
    pub conv: Conv,
    /// Gate of the channels, in the last two stages.
    pub se: Option<SqueezeExcite>,
    /// 1x1, `[channels, channels]`.
    pub proj: Linear,
}

impl Downsample {
    fn init(channels: usize, gated: bool, device: &Device) -> Self {
        let before = channels / 2;
        Self {
            conv: Conv::init([before, channels], 7, 2, before, device),
            se: gated.then(|| SqueezeExcite::init(channels, channels / 4, device)),
            proj: projection([channels, channels], device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.conv.forward(x);
        let x = match &self.se {
            Some(se) => se.forward(x),
            None => x,
        };
        self.proj.forward_gelu(gelu(x))
    }
}

/// Gate of the channels by their means (Hu et al. 2018): two layers and a sigmoid.
#[derive(Module, Debug)]
pub struct SqueezeExcite {
    /// `[channels, inner]`
    pub fc1: Linear,
    /// `[inner, channels]`
    pub fc2: Linear,
}

impl SqueezeExcite {
    fn init(channels: usize, inner: usize, device: &Device) -> Self {
        Self {
            fc1: projection([channels, inner], device),
            fc2: projection([inner, channels], device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let gate = relu(self.fc1.forward(mean_of_places(x.clone())));
        x * sigmoid(self.fc2.forward(gate))
    }
}

/// Mixing of places, and then `x + mlp(x)`.
#[derive(Module, Debug)]
pub struct FastVitBlock {
    /// Mixing of places.
    pub token_mixer: TokenMixer,
    /// MLP.
    pub mlp: ConvMlp,
}

impl FastVitBlock {
    fn init(channels: usize, attends: bool, device: &Device) -> Self {
        Self {
            token_mixer: match attends {
                true => TokenMixer::Attention(PlaceAttention::init(channels, device)),
                false => TokenMixer::Conv(Conv::init([channels, channels], 3, 1, channels, device)),
            },
            mlp: ConvMlp::init(channels, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = match &self.token_mixer {
            TokenMixer::Conv(conv) => conv.forward(x),
            TokenMixer::Attention(attention) => attention.forward(x),
        };
        self.mlp.forward_residual(x)
    }
}

/// One of the two ways in which places are mixed.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a few in a model
pub enum TokenMixer {
    /// 3x3, each channel by itself; the residual is in it.
    Conv(Conv),
    /// Self-attention.
    Attention(PlaceAttention),
}

/// `x + attention(norm(x))` of all places.
#[derive(Module, Debug)]
pub struct PlaceAttention {
    /// Batch normalisation.
    pub norm: ChannelScale,
    /// `[channels, 3 * channels]`: query, key and value concatenated, without a bias.
    pub in_proj: Linear,
    /// `[channels, channels]`
    pub out_proj: Linear,
    heads: usize,
}

impl PlaceAttention {
    fn init(channels: usize, device: &Device) -> Self {
        let std = Initializer::Normal((channels as f64).powf(-0.5));
        Self {
            norm: ChannelScale {
                gamma: Initializer::Ones.init([channels], device),
                beta: Initializer::Zeros.init([channels], device),
            },
            in_proj: Linear::init([channels, 3 * channels], std, false, device),
            out_proj: projection([channels, channels], device),
            heads: channels / FastVitConfig::HEAD_WIDTH,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, channels] = x.dims();
        let x = x.reshape([batch, height * width, channels]);
        let qkv = self.in_proj.forward(self.norm.forward(x.clone()));
        let mixed = attention(qkv, self.heads, false);
        (self.out_proj.forward_residual(mixed, x)).reshape([batch, height, width, channels])
    }
}

/// Batch normalisation, folded: `gamma x + beta` of each channel.
#[derive(Module, Debug)]
pub struct ChannelScale {
    /// `[channels]`
    pub gamma: Param<Tensor<1>>,
    /// `[channels]`
    pub beta: Param<Tensor<1>>,
}

impl ChannelScale {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        x * self.gamma.val().unsqueeze() + self.beta.val().unsqueeze()
    }
}

/// MLP of each place after a convolution of each channel.
#[derive(Module, Debug)]
pub struct ConvMlp {
    /// 7x7, each channel by itself.
    pub conv: Conv,
    /// `[channels, 3 * channels]`
    pub c_fc: Linear,
    /// `[3 * channels, channels]`
    pub c_proj: Linear,
}

impl ConvMlp {
    fn init(channels: usize, device: &Device) -> Self {
        let inner = FastVitConfig::MLP_RATIO * channels;
        Self {
            conv: Conv::init([channels, channels], 7, 1, channels, device),
            c_fc: projection([channels, inner], device),
            c_proj: projection([inner, channels], device),
        }
    }

    fn forward_residual(&self, x: Tensor<4>) -> Tensor<4> {
        let hidden = self.c_fc.forward_gelu(self.conv.forward(x.clone()));
        self.c_proj.forward_residual(hidden, x)
    }
}
