//! SigLIP (Zhai et al. 2023) and SigLIP 2 of fixed resolution in transformers
//! (`SiglipConfig`): attention pooling instead of a class token, a text encoder without a
//! mask that is read at its last position, and a sigmoid for each pair.

use super::fields::Fields;
use super::hugging_face::{text, tower, vit};
use super::{
    ClipConfig, ConfigError, TextConfig, TextPooling, VisionConfig, VitConfig, VitPooling,
};
use crate::model::Activation;

pub(super) fn read(root: &mut Fields) -> Result<ClipConfig, ConfigError> {
    let mut vision = tower(root, "vision_config")?;
    vision.one_of("model_type", ["siglip_vision_model".into()])?;
    vision.one_of("vision_use_head", [true.into()])?;
    let vision = vit(vision, VIT_B_16)?;
    let mut text_fields = tower(root, "text_config")?;
    text_fields.one_of("model_type", ["siglip_text_model".into()])?;
    let projection = text_fields.number("projection_size")?;
    let text = text(text_fields, TEXT)?;
    let projection = projection.unwrap_or(text.width);
    if projection != vision.width {
        return Err(root.refuse(format!(
            "texts have {projection} features, but images {}",
            vision.width
        )));
    }
    Ok(ClipConfig {
        embed_dim: vision.width,
        vision: VisionConfig::Vit(vision),
        text,
        logit_bias: true,
    })
}

/// transformers' defaults.
const VIT_B_16: VitConfig = VitConfig {
    patch_size: 16,
    activation: Activation::GeluTanh,
    layer_norm_eps: 1e-6,
    pooling: VitPooling::Map,
    ..VitConfig::VIT_B_32
};

/// transformers' defaults.
const TEXT: TextConfig = TextConfig {
    vocab_size: 32_000,
    context_length: 64,
    width: 768,
    layers: 12,
    heads: 12,
    mlp_width: 3072,
    activation: Activation::GeluTanh,
    layer_norm_eps: 1e-6,
    eos_token_id: None,
    causal: false,
    pooling: TextPooling::Last,
    projection_bias: true,
    layer_scale: false,
    bert: None,
    projection_width: None,
};
