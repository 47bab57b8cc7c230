//! CLIP in transformers (`CLIPConfig`), and MetaCLIP 2, which differs in the token that
//! ends a text.

use super::fields::Fields;
use super::hugging_face::{text, tower, vit};
use super::{ClipConfig, ConfigError, TextConfig, TextPooling, VisionConfig, VitConfig};
use crate::model::Activation;

pub(super) fn read(root: &mut Fields, kind: &str) -> Result<ClipConfig, ConfigError> {
    let embed_dim = root.number_or("projection_dim", 512)?;
    let mut vision = tower(root, "vision_config")?;
    vision.one_of("model_type", [format!("{kind}_vision_model").into()])?;
    let mut text_fields = tower(root, "text_config")?;
    text_fields.one_of("model_type", [format!("{kind}_text_model").into()])?;
    let eos_token_id = match text_fields.token_id("eos_token_id")?.unwrap_or(49407) {
        // Old configs say 2, which is no CLIP's end-of-text token; transformers then takes
        // the highest id.
        2 if kind == "clip" => None,
        id => Some(id),
    };
    Ok(ClipConfig {
        embed_dim,
        vision: VisionConfig::Vit(vit(vision, VitConfig::VIT_B_32)?),
        text: TextConfig {
            eos_token_id,
            ..text(text_fields, TEXT)?
        },
        logit_bias: false,
    })
}

/// transformers' defaults.
const TEXT: TextConfig = TextConfig {
    vocab_size: 49408,
    context_length: 77,
    width: 512,
    layers: 12,
    heads: 8,
    mlp_width: 2048,
    activation: Activation::QuickGelu,
    layer_norm_eps: 1e-5,
    eos_token_id: None,
    causal: true,
    pooling: TextPooling::EndOfText,
    projection_bias: false,
    layer_scale: false,
    bert: None,
    projection_width: None,
};
