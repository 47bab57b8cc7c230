//! CLIP's config as transformers and OpenCLIP read it. What a format has no place for is not
//! written: each config is read again, and must be the same. Other families keep their own file.

use serde_json::{Value, json};

use super::{ClipConfig, TextConfig, VisionConfig};
use crate::model::Activation;

/// Hugging Face's `config.json`.
pub(super) fn hugging_face(config: &ClipConfig) -> Option<Value> {
    let config = &config.clone().checked("it").ok()?;
    let VisionConfig::Vit(vision) = &config.vision else {
        return None;
    };
    let text = &config.text;
    let end = text.eos_token_id.unwrap_or(2);
    let written = json!({
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": config.embed_dim,
        "logit_scale_init_value": 2.6592,
        "text_config": {
            "model_type": "clip_text_model",
            "vocab_size": text.vocab_size,
            "max_position_embeddings": text.context_length,
            "hidden_size": text.width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "intermediate_size": text.mlp_width,
            "projection_dim": config.embed_dim,
            "hidden_act": text.activation.name(),
            "layer_norm_eps": text.layer_norm_eps,
            "bos_token_id": end.saturating_sub(1),
            "eos_token_id": end,
            "pad_token_id": 0,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "hidden_size": vision.width,
            "num_hidden_layers": vision.layers,
            "num_attention_heads": vision.heads,
            "intermediate_size": vision.mlp_width,
            "projection_dim": config.embed_dim,
            "hidden_act": vision.activation.name(),
            "layer_norm_eps": vision.layer_norm_eps,
        },
    });
    let again = ClipConfig::from_hugging_face(written.to_string().as_bytes());
    again.is_ok_and(|again| again == *config).then_some(written)
}

/// OpenCLIP's `model_cfg`.
pub(super) fn open_clip(config: &ClipConfig) -> Option<Value> {
    let config = &config.clone().checked("it").ok()?;
    let text = &config.text;
    let vision = match &config.vision {
        VisionConfig::Vit(vision) => json!({
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "width": vision.width,
            "layers": vision.layers,
            "head_width": vision.width / vision.heads,
            "mlp_ratio": ratio(vision.mlp_width, vision.width),
        }),
        VisionConfig::ResNet(vision) => json!({
            "image_size": vision.image_size,
            "layers": vision.layers,
            "width": vision.width,
            "head_width": vision.channels() / vision.heads,
        }),
        VisionConfig::FastVit(_) => return None,
    };
    let written = json!({
        "embed_dim": config.embed_dim,
        "quick_gelu": text.activation == Activation::QuickGelu,
        "vision_cfg": vision,
        "text_cfg": {
            "context_length": text.context_length,
            "vocab_size": text.vocab_size,
            "width": text.width,
            "heads": text.heads,
            "layers": text.layers,
            "mlp_ratio": ratio(text.mlp_width, text.width),
        },
    });
    let mut config = config.clone();
    config.text.eos_token_id = named_end(text);
    let again = ClipConfig::from_open_clip(written.to_string().as_bytes());
    again.is_ok_and(|again| again == config).then_some(written)
}

/// Token that ends a text, unless it is the highest one, which OpenCLIP looks for unasked.
fn named_end(text: &TextConfig) -> Option<u32> {
    (text.eos_token_id).filter(|end| *end as usize + 1 != text.vocab_size)
}

/// Ratio of which OpenCLIP, which rounds down, makes the inner width again.
fn ratio(inner: usize, width: usize) -> f64 {
    let exact = inner as f64 / width as f64;
    match (width as f64 * exact) as usize == inner {
        true => exact,
        false => (inner as f64 + 0.5) / width as f64,
    }
}
