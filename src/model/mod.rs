//! CLIP in burn and nothing else: device in, tensors out.
//!
//! Names and order of operations are those of OpenAI's reference
//! implementation (Radford et al. 2021, section 2.4), so that this code can be
//! read beside it.

mod clip;
mod config;
mod resnet;
mod text;
mod transformer;
mod vit;

pub use crate::ops::{Packing, normalize};
pub use clip::{Clip, ImageEncoder};
pub use config::{
    Activation, ClipConfig, ConfigError, ResNetConfig, TextConfig, VisionConfig, VitConfig,
};
pub use resnet::ModifiedResNet;
pub use text::{TextTransformer, TokenBatch};
pub use transformer::{Attention, Mlp, ResidualAttentionBlock, Transformer};
pub use vit::VisionTransformer;
