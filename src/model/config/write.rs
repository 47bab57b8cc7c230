//! Configs as transformers and OpenCLIP read them. What a format has no place for is not written:
//! each config is read again, and must be the same.

use serde_json::{Map, Value, json};

use super::{ClipConfig, TextConfig, TextPooling, VisionConfig, VitConfig, VitPooling, bert, timm};
use crate::model::Activation;

/// Hugging Face's `config.json`.
pub(super) fn hugging_face(config: &ClipConfig) -> Option<Value> {
    let config = &config.clone().checked("it").ok()?;
    let VisionConfig::Vit(vision) = &config.vision else {
        return None;
    };
    let text = &config.text;
    // MetaCLIP 2 ends a text with 2, which transformers' CLIP takes for none.
    let (kind, class) = match (&text.bert, vision.pooling, text.eos_token_id) {
        (Some(_), ..) => ("chinese_clip", "ChineseCLIPModel"),
        (_, VitPooling::Map, _) => ("siglip", "SiglipModel"),
        (.., Some(2)) => ("metaclip_2", "MetaClip2Model"),
        _ => ("clip", "CLIPModel"),
    };
    let mut text_config = json!({
        "model_type": format!("{kind}_text_model"),
        "vocab_size": text.vocab_size,
        "max_position_embeddings": text.context_length,
        "hidden_size": text.width,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.heads,
        "intermediate_size": text.mlp_width,
        "hidden_act": text.activation.name(),
        "layer_norm_eps": text.layer_norm_eps,
    });
    let mut vision_config = json!({
        "model_type": format!("{kind}_vision_model"),
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "hidden_size": vision.width,
        "num_hidden_layers": vision.layers,
        "num_attention_heads": vision.heads,
        "intermediate_size": vision.mlp_width,
        "hidden_act": vision.activation.name(),
        "layer_norm_eps": vision.layer_norm_eps,
    });
    let mut written = json!({ "architectures": [class], "model_type": kind });
    if kind == "siglip" {
        text_config["projection_size"] = config.embed_dim.into();
    } else {
        for part in [&mut written, &mut text_config, &mut vision_config] {
            part["projection_dim"] = config.embed_dim.into();
        }
        written["logit_scale_init_value"] = json!(2.6592);
    }
    match &text.bert {
        Some(bert) => {
            text_config["type_vocab_size"] = bert.token_types.into();
            text_config["pad_token_id"] = bert.pad.into();
        }
        None if kind != "siglip" => {
            let end = text.eos_token_id.unwrap_or(2);
            text_config["bos_token_id"] = end.saturating_sub(1).into();
            text_config["eos_token_id"] = end.into();
            text_config["pad_token_id"] = 0.into();
        }
        None => {}
    }
    written["text_config"] = text_config;
    written["vision_config"] = vision_config;
    let again = ClipConfig::from_hugging_face(written.to_string().as_bytes());
    again.is_ok_and(|again| again == *config).then_some(written)
}

/// OpenCLIP's `model_cfg`. What it says of a tokenizer is not in a [`ClipConfig`]: SigLIP's, whose
/// clean-up of texts is named there, is not written.
pub(super) fn open_clip(config: &ClipConfig) -> Option<Value> {
    let config = &config.clone().checked("it").ok()?;
    let text = &config.text;
    let vision = match &config.vision {
        VisionConfig::Vit(vision) if vision.pooling == VitPooling::Map => return None,
        VisionConfig::Vit(vision) => vit(vision),
        VisionConfig::ResNet(vision) => json!({
            "image_size": vision.image_size,
            "layers": vision.layers,
            "width": vision.width,
            "head_width": vision.channels() / vision.heads,
        }),
        VisionConfig::FastVit(_) => return None,
    };
    let mut written = json!({
        "embed_dim": config.embed_dim,
        "quick_gelu": text.activation == Activation::QuickGelu,
        "vision_cfg": vision,
        "text_cfg": text_encoder(text, config.embed_dim)?,
    });
    if config.logit_bias {
        written["init_logit_bias"] = json!(-10.0);
    }
    if vision_is_timm(config) || text.bert.is_some() {
        written["custom_text"] = true.into();
    }
    let mut config = config.clone();
    config.text.eos_token_id = named_end(text);
    let again = ClipConfig::from_open_clip(written.to_string().as_bytes());
    again.is_ok_and(|again| again == config).then_some(written)
}

/// Token that ends a text, unless it is the highest one, which OpenCLIP looks for unasked.
fn named_end(text: &TextConfig) -> Option<u32> {
    (text.eos_token_id).filter(|end| *end as usize + 1 != text.vocab_size)
}

/// Whether OpenCLIP has the image encoder from timm.
fn vision_is_timm(config: &ClipConfig) -> bool {
    matches!(&config.vision, VisionConfig::Vit(vision) if timm::name(vision).is_some())
}

fn vit(vision: &VitConfig) -> Value {
    if let Some(name) = timm::name(vision) {
        return json!({
            "timm_model_name": name,
            "timm_model_pretrained": false,
            "timm_pool": timm::pool(vision.pooling),
            "timm_proj": null,
            "image_size": vision.image_size,
        });
    }
    let mut written = json!({
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "width": vision.width,
        "layers": vision.layers,
        "head_width": vision.width / vision.heads,
        "mlp_ratio": ratio(vision.mlp_width, vision.width),
    });
    if vision.pooling == VitPooling::Mean {
        written["pool_type"] = "avg".into();
    }
    let of_blocks = blocks(vision.activation, vision.layer_norm_eps, vision.layer_scale);
    extended(written, of_blocks)
}

fn text_encoder(text: &TextConfig, embed_dim: usize) -> Option<Value> {
    if text.bert.is_some() {
        return bert::named(text, embed_dim);
    }
    let mut written = json!({
        "context_length": text.context_length,
        "vocab_size": text.vocab_size,
        "width": text.width,
        "heads": text.heads,
        "layers": text.layers,
        "mlp_ratio": ratio(text.mlp_width, text.width),
    });
    if !text.causal {
        written["no_causal_mask"] = true.into();
    }
    if text.projection_bias {
        written["proj_bias"] = true.into();
    }
    match (text.pooling, named_end(text)) {
        (TextPooling::First, _) => written["pool_type"] = "first".into(),
        (TextPooling::Last, _) => written["pool_type"] = "last".into(),
        (_, Some(end)) => {
            written["pool_type"] = "eos".into();
            written["eos_id"] = end.into();
        }
        _ => {}
    }
    let of_blocks = blocks(text.activation, text.layer_norm_eps, text.layer_scale);
    Some(extended(written, of_blocks))
}

/// Keys of both encoders, where they are not the default.
fn blocks(activation: Activation, layer_norm_eps: f64, layer_scale: bool) -> Map<String, Value> {
    const EPSILON: f64 = 1e-5;
    let mut keys = Map::new();
    if activation == Activation::GeluTanh {
        keys.insert("act_kwargs".into(), json!({ "approximate": "tanh" }));
    }
    if layer_norm_eps != EPSILON {
        keys.insert("norm_kwargs".into(), json!({ "eps": layer_norm_eps }));
    }
    if layer_scale {
        // Where a training would begin; the weights have the values.
        keys.insert("ls_init_value".into(), json!(1.0));
    }
    keys
}

fn extended(mut value: Value, keys: Map<String, Value>) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.extend(keys);
    }
    value
}

/// Ratio of which OpenCLIP, which rounds down, makes the inner width again.
fn ratio(inner: usize, width: usize) -> f64 {
    let exact = inner as f64 / width as f64;
    match (width as f64 * exact) as usize == inner {
        true => exact,
        false => (inner as f64 + 0.5) / width as f64,
    }
}
