//! Hugging Face's `config.json`: what the families have in common.

use super::fields::Fields;
use super::{ClipConfig, ConfigError, TextConfig, VitConfig, bert, clip, siglip};

const FILE: &str = "config.json";

pub(super) fn read(json: &[u8]) -> Result<ClipConfig, ConfigError> {
    let mut root = Fields::parse(FILE, json)?;
    let kind = root.text("model_type")?;
    let kind = kind.as_deref().unwrap_or("clip");
    let config = match kind {
        "clip" | "metaclip_2" => clip::read(&mut root, kind)?,
        "siglip" => siglip::read(&mut root)?,
        "chinese_clip" => bert::read_chinese_clip(&mut root)?,
        other => {
            return Err(root.refuse(format!(
                "the model is of type `{other}`, not `clip`, `chinese_clip`, `metaclip_2` or `siglip`"
            )));
        }
    };
    common(&mut root)?;
    root.ignore(&["logit_scale_init_value", "vision_projection_dim"]);
    root.finish()?;
    config.checked(FILE)
}

/// Config of a tower. transformers lets an old key, where it is there, override the other.
pub(super) fn tower(root: &mut Fields, key: &str) -> Result<Fields, ConfigError> {
    let newer = root.object(key)?;
    let older = root.object(&format!("{key}_dict"))?;
    Ok(older.or(newer).unwrap_or_else(|| root.empty(key)))
}

/// Image encoder, with the family's defaults for what is missing.
pub(super) fn vit(mut fields: Fields, default: VitConfig) -> Result<VitConfig, ConfigError> {
    common(&mut fields)?;
    fields.one_of("num_channels", [3.into()])?;
    let config = VitConfig {
        image_size: fields.square_or("image_size", default.image_size)?,
        patch_size: fields.square_or("patch_size", default.patch_size)?,
        width: fields.number_or("hidden_size", default.width)?,
        layers: fields.number_or("num_hidden_layers", default.layers)?,
        heads: fields.number_or("num_attention_heads", default.heads)?,
        mlp_width: fields.number_or("intermediate_size", default.mlp_width)?,
        activation: fields.activation_or("hidden_act", default.activation)?,
        layer_norm_eps: fields.float_or("layer_norm_eps", default.layer_norm_eps)?,
        ..default
    };
    fields.finish()?;
    Ok(config)
}

/// Text encoder, with the family's defaults for what is missing.
pub(super) fn text(mut fields: Fields, default: TextConfig) -> Result<TextConfig, ConfigError> {
    common(&mut fields)?;
    let config = TextConfig {
        vocab_size: fields.number_or("vocab_size", default.vocab_size)?,
        context_length: fields.number_or("max_position_embeddings", default.context_length)?,
        width: fields.number_or("hidden_size", default.width)?,
        layers: fields.number_or("num_hidden_layers", default.layers)?,
        heads: fields.number_or("num_attention_heads", default.heads)?,
        mlp_width: fields.number_or("intermediate_size", default.mlp_width)?,
        activation: fields.activation_or("hidden_act", default.activation)?,
        layer_norm_eps: fields.float_or("layer_norm_eps", default.layer_norm_eps)?,
        ..default
    };
    fields.finish()?;
    Ok(config)
}

/// Keys that transformers writes into every config.
fn common(fields: &mut Fields) -> Result<(), ConfigError> {
    fields.one_of("pruned_heads", [serde_json::json!({})])?;
    fields.all_off(&["add_cross_attention", "is_decoder", "is_encoder_decoder"])?;
    fields.ignore(NO_EFFECT);
    Ok(())
}

/// Keys that cannot change the features: of training, of generating text, of bookkeeping.
const NO_EFFECT: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_attn_implementation_internal",
    "_commit_hash",
    "_name_or_path",
    "architectures",
    "attention_dropout",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dropout",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "initializer_factor",
    "initializer_range",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "problem_type",
    "projection_dim",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_word_embeddings",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "use_bfloat16",
    "use_cache",
];
