//! CLIP in burn, with no other dependency: device in, tensors out.
//!
//! Names and order of operations follow OpenAI's reference implementation (Radford et al.
//! 2021, section 2.4), so that the two can be read side by side.

mod activation;
#[cfg(feature = "compute")]
mod clip;
#[cfg(feature = "compute")]
mod config;
#[cfg(feature = "compute")]
mod dense;
#[cfg(feature = "compute")]
mod fast_vit;
mod info;
#[cfg(feature = "compute")]
mod map_head;
#[cfg(feature = "compute")]
mod pack;
#[cfg(feature = "compute")]
mod params;
#[cfg(feature = "compute")]
mod pooled;
#[cfg(feature = "compute")]
mod positions;
#[cfg(feature = "compute")]
mod resnet;
#[cfg(feature = "compute")]
mod rotary;
mod stored_precision;
#[cfg(feature = "compute")]
mod text;
#[cfg(feature = "compute")]
mod transformer;
#[cfg(feature = "compute")]
mod vit;

#[cfg(feature = "compute")]
pub use self::{
    clip::{Clip, ImageEncoder},
    config::{
        BertConfig, ClipConfig, ConfigError, FastVitConfig, ResNetConfig, RotaryConfig, TextConfig,
        TextPooling, VisionConfig, VitConfig, VitPooling,
    },
    fast_vit::{
        ChannelScale, ConvMlp, Downsample, FastVit, FastVitBlock, FastVitStage, FastVitStem,
        PlaceAttention, SqueezeExcite, TokenMixer,
    },
    map_head::MapHead,
    params::{ParamMapper, ParamVisitor, map_params, visit_params},
    resnet::{AttentionPool2d, Bottleneck, ModifiedResNet},
    text::{TextTransformer, TokenBatch},
    transformer::{Attention, Mlp, ResidualAttentionBlock, Transformer},
    vit::VisionTransformer,
};
#[cfg(feature = "compute")]
pub use crate::ops::{ReadBackError, WeightPrecision, normalize, read_back};
pub use activation::Activation;
pub use info::{BUNDLED_NAME, ModelInfo};
pub use stored_precision::StoredPrecision;
