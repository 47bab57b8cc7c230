//! BERT and RoBERTa as text encoders: Chinese-CLIP in transformers (`ChineseCLIPConfig`), and
//! transformers' encoders by their names in OpenCLIP's configs.

use super::fields::Fields;
use super::hugging_face::{text, tower, vit};
use super::{
    BertConfig, ClipConfig, ConfigError, TextConfig, TextPooling, VisionConfig, VitConfig,
};
use crate::model::Activation;

pub(super) fn read_chinese_clip(root: &mut Fields) -> Result<ClipConfig, ConfigError> {
    let embed_dim = root.number_or("projection_dim", 512)?;
    let mut vision = tower(root, "vision_config")?;
    vision.one_of("model_type", ["chinese_clip_vision_model".into()])?;
    let mut text_fields = tower(root, "text_config")?;
    text_fields.one_of("model_type", ["chinese_clip_text_model".into()])?;
    text_fields.one_of("position_embedding_type", ["absolute".into()])?;
    text_fields.ignore(&[
        "directionality",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
    ]);
    // Of an output that is not read.
    text_fields.ignore(&[
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
    ]);
    let token_types = text_fields.number_or("type_vocab_size", 2)?;
    let pad = text_fields.token_id("pad_token_id")?.unwrap_or(0);
    let text = text(text_fields, TEXT)?;
    Ok(ClipConfig {
        embed_dim,
        vision: VisionConfig::Vit(vit(vision, VitConfig::VIT_B_32)?),
        text: TextConfig {
            bert: Some(BertConfig {
                positions: text.context_length,
                first_position: 0,
                token_types,
                pad,
            }),
            ..text
        },
        logit_bias: false,
    })
}

/// transformers' defaults.
const TEXT: TextConfig = TextConfig {
    vocab_size: 30_522,
    context_length: 512,
    width: 768,
    layers: 12,
    heads: 12,
    mlp_width: 3072,
    activation: Activation::Gelu,
    layer_norm_eps: 1e-12,
    eos_token_id: None,
    causal: false,
    pooling: TextPooling::First,
    projection_bias: false,
    layer_scale: false,
    bert: None,
    projection_width: None,
};

/// Encoder of transformers, of which OpenCLIP's configs have only the name.
struct Named {
    name: &'static str,
    vocab_size: usize,
    width: usize,
    layers: usize,
    layer_norm_eps: f64,
    bert: BertConfig,
}

/// Positions of RoBERTa begin after the padding's id.
const ROBERTA: BertConfig = BertConfig {
    positions: 514,
    first_position: 2,
    token_types: 1,
    pad: 1,
};

const NAMED: [Named; 3] = [
    Named {
        name: "roberta-base",
        vocab_size: 50_265,
        width: 768,
        layers: 12,
        layer_norm_eps: 1e-5,
        bert: ROBERTA,
    },
    Named {
        name: "xlm-roberta-base",
        vocab_size: 250_002,
        width: 768,
        layers: 12,
        layer_norm_eps: 1e-5,
        bert: ROBERTA,
    },
    Named {
        name: "xlm-roberta-large",
        vocab_size: 250_002,
        width: 1024,
        layers: 24,
        layer_norm_eps: 1e-5,
        bert: ROBERTA,
    },
];

/// Text encoder of an OpenCLIP config by the name of transformers' encoder.
pub(super) fn by_name(
    name: &str,
    mut text: Fields,
    embed_dim: usize,
) -> Result<TextConfig, ConfigError> {
    let named = NAMED.iter().find(|known| known.name == without_owner(name));
    let named = named
        .ok_or_else(|| text.refuse(format!("the text encoder is from transformers (`{name}`)")))?;
    text.ignore(&[
        "hf_model_pretrained",
        "hf_tokenizer_name",
        "tokenizer_kwargs",
    ]);
    // A name overrides what else describes a text encoder.
    text.ignore(&["vocab_size", "width", "heads", "layers", "mlp_ratio"]);
    let pooling = match text.text("hf_pooler_type")?.as_deref() {
        None | Some("mean_pooler") => TextPooling::Mean,
        Some("cls_last_hidden_state_pooler") => TextPooling::First,
        Some(other) => return Err(text.unsupported("hf_pooler_type", &other.into())),
    };
    let projection_width = match text.text("hf_proj_type")?.as_deref() {
        None | Some("mlp") => Some((named.width + embed_dim) / 2),
        Some("linear") => None,
        Some(other) => return Err(text.unsupported("hf_proj_type", &other.into())),
    };
    let context_length = text.number_or("context_length", 77)?;
    text.finish()?;
    Ok(TextConfig {
        vocab_size: named.vocab_size,
        context_length,
        width: named.width,
        layers: named.layers,
        heads: named.width / 64,
        mlp_width: 4 * named.width,
        layer_norm_eps: named.layer_norm_eps,
        pooling,
        projection_width,
        bert: Some(named.bert),
        ..TEXT
    })
}

/// `FacebookAI/xlm-roberta-base` is another name of `xlm-roberta-base`.
fn without_owner(name: &str) -> &str {
    name.strip_prefix("FacebookAI/").unwrap_or(name)
}
