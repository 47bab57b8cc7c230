//! CLIP in burn, with no other dependency: device in, tensors out.
//!
//! Names and order of operations follow OpenAI's reference implementation (Radford et al.
//! 2021, section 2.4), so that the two can be read side by side.

mod clip;
mod config;
mod resnet;
mod text;
mod transformer;
mod vit;

pub use crate::ops::{WeightPrecision, normalize};
pub use clip::{Clip, ImageEncoder};
pub use config::{
    Activation, ClipConfig, ConfigError, ResNetConfig, TextConfig, VisionConfig, VitConfig,
};
pub use resnet::ModifiedResNet;
pub use text::{TextTransformer, TokenBatch};
pub use transformer::{Attention, Mlp, ResidualAttentionBlock, Transformer};
pub use vit::VisionTransformer;
