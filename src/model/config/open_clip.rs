//! OpenCLIP's `open_clip_config.json`.

use super::fields::Fields;
use super::{
    ClipConfig, ConfigError, ResNetConfig, TextConfig, TextPooling, VisionConfig, VitConfig,
    VitPooling, bert, timm,
};
use crate::model::Activation;

const FILE: &str = "open_clip_config.json";

/// Parts of custom blocks.
const CUSTOM_BLOCKS: &[&str] = &[
    "qk_norm",
    "scaled_cosine_attn",
    "scale_heads",
    "scale_attn_inner",
    "scale_attn",
    "scale_fc",
];

/// Keys of an image encoder that is timm's.
const TIMM: &[&str] = &[
    "timm_model_pretrained",
    "timm_pool",
    "timm_proj",
    "timm_proj_bias",
    "timm_drop",
    "timm_drop_path",
];

pub(super) fn read(json: &[u8]) -> Result<ClipConfig, ConfigError> {
    let mut file = Fields::parse(FILE, json)?;
    let mut root = match file.object("model_cfg")? {
        // What is beside it does not describe the model.
        Some(model) => model,
        None => file,
    };
    root.ignore(&[
        "preprocess_cfg",
        "_name_or_path",
        // How the file names its tensors, which it says itself.
        "custom_text",
        "init_logit_scale",
        "nonscalar_logit_scale",
        "cast_dtype",
        "output_dict",
    ]);
    if root.has("multimodal_cfg") {
        return Err(root.refuse("the model is a CoCa (`multimodal_cfg`)".into()));
    }
    let quick_gelu = root.flag_or("quick_gelu", false)?;
    let embed_dim =
        (root.number("embed_dim")?).ok_or_else(|| root.wrong("embed_dim", "a whole number"))?;
    let logit_bias = root.has("init_logit_bias");
    root.float_or("init_logit_bias", 0.0)?;
    let vision =
        (root.object("vision_cfg")?).ok_or_else(|| root.wrong("vision_cfg", "an object"))?;
    let text = (root.object("text_cfg")?).ok_or_else(|| root.wrong("text_cfg", "an object"))?;
    let config = ClipConfig {
        embed_dim,
        vision: image_encoder(vision, quick_gelu, embed_dim)?,
        text: text_encoder(text, quick_gelu, embed_dim)?,
        logit_bias,
    };
    root.finish()?;
    config.checked(FILE)
}

fn image_encoder(
    mut vision: Fields,
    quick_gelu: bool,
    embed_dim: usize,
) -> Result<VisionConfig, ConfigError> {
    vision.all_off(&["output_tokens"])?;
    // Dropout acts in training only.
    vision.ignore(&["patch_dropout"]);
    if let Some(name) = vision.text("timm_model_name")? {
        return timm::image_encoder(&name, vision, embed_dim);
    }
    vision.ignore(TIMM);
    let image_size = vision.square_or("image_size", 224)?;
    let head_width = vision.number_or("head_width", 64)?.max(1);
    let encoder = match vision.list("layers") {
        Some(stages) => {
            let width = vision.number_or("width", 64)?;
            // Those that a ViT has in their place.
            vision.ignore(&["patch_size", "mlp_ratio", "ls_init_value", "pool_type"]);
            let layers: Vec<usize> = (stages.iter())
                .filter_map(|stage| stage.as_u64().and_then(|n| usize::try_from(n).ok()))
                .collect();
            VisionConfig::ResNet(ResNetConfig {
                image_size,
                layers: (layers.try_into())
                    .map_err(|_| vision.wrong("layers", "a number or a list of four"))?,
                width,
                heads: width.saturating_mul(32) / head_width,
            })
        }
        None => {
            vision.all_off(CUSTOM_BLOCKS)?;
            vision.one_of("block_type", ["default".into()])?;
            vision.all_off(&["attentional_pool", "no_ln_pre"])?;
            // Both are a table in the file.
            vision.one_of("pos_embed_type", ["learnable".into(), "sin_cos_2d".into()])?;
            vision.ignore(&["attn_pooler_queries", "attn_pooler_heads"]);
            let pooling = match vision.text("pool_type")?.as_deref() {
                None | Some("tok") => {
                    // One token is normalised before and after pooling alike.
                    vision.ignore(&["final_ln_after_pool"]);
                    VitPooling::ClassToken
                }
                Some("avg") => {
                    vision.all_off(&["final_ln_after_pool"])?;
                    VitPooling::Mean
                }
                Some(other) => return Err(vision.unsupported("pool_type", &other.into())),
            };
            let width = vision.number_or("width", 768)?;
            VisionConfig::Vit(VitConfig {
                image_size,
                patch_size: vision.square_or("patch_size", 16)?,
                width,
                layers: vision.number_or("layers", 12)?,
                heads: width / head_width,
                mlp_width: vision.scaled("mlp_ratio", width)?,
                activation: activation(&mut vision, quick_gelu)?,
                layer_norm_eps: epsilon(&mut vision)?,
                pooling,
                layer_scale: layer_scale(&mut vision)?,
                ..VitConfig::VIT_B_32
            })
        }
    };
    vision.finish()?;
    Ok(encoder)
}

fn text_encoder(
    mut text: Fields,
    quick_gelu: bool,
    embed_dim: usize,
) -> Result<TextConfig, ConfigError> {
    if let Some(name) = text.text("hf_model_name")? {
        return bert::by_name(&name, text, embed_dim);
    }
    text.ignore(&["hf_model_pretrained", "hf_proj_type", "hf_pooler_type"]);
    // Of the tokenizer, which reads them itself.
    text.ignore(&["hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs"]);
    // OpenCLIP reads these with a class token only, or not at all.
    text.ignore(&["pad_id", "final_ln_after_pool"]);
    text.all_off(CUSTOM_BLOCKS)?;
    text.one_of("block_type", ["default".into()])?;
    text.all_off(&["embed_cls", "output_tokens"])?;
    text.one_of("proj_type", ["linear".into()])?;
    let eos_id = text.token_id("eos_id")?.unwrap_or(2);
    let (pooling, eos_token_id) = match text.text("pool_type")?.as_deref() {
        None | Some("argmax") => (TextPooling::EndOfText, None),
        Some("eos") => (TextPooling::EndOfText, Some(eos_id)),
        Some("first") => (TextPooling::First, None),
        Some("last") => (TextPooling::Last, None),
        Some(other) => return Err(text.unsupported("pool_type", &other.into())),
    };
    let width = text.number_or("width", 512)?;
    let config = TextConfig {
        vocab_size: text.number_or("vocab_size", 49408)?,
        context_length: text.number_or("context_length", 77)?,
        width,
        layers: text.number_or("layers", 12)?,
        heads: text.number_or("heads", 8)?,
        mlp_width: text.scaled("mlp_ratio", width)?,
        activation: activation(&mut text, quick_gelu)?,
        layer_norm_eps: epsilon(&mut text)?,
        eos_token_id,
        causal: !text.flag_or("no_causal_mask", false)?,
        pooling,
        projection_bias: text.flag_or("proj_bias", false)?,
        layer_scale: layer_scale(&mut text)?,
        bert: None,
        projection_width: None,
    };
    text.finish()?;
    Ok(config)
}

fn activation(tower: &mut Fields, quick_gelu: bool) -> Result<Activation, ConfigError> {
    let plain = match quick_gelu {
        true => Activation::QuickGelu,
        false => Activation::Gelu,
    };
    let Some(mut arguments) = tower.object("act_kwargs")? else {
        return Ok(plain);
    };
    let activation = match arguments.text("approximate")?.as_deref() {
        None => plain,
        // QuickGELU takes no argument.
        Some("none") if !quick_gelu => plain,
        Some("tanh") if !quick_gelu => Activation::GeluTanh,
        Some(other) => return Err(arguments.unsupported("approximate", &other.into())),
    };
    arguments.finish()?;
    Ok(activation)
}

fn epsilon(tower: &mut Fields) -> Result<f64, ConfigError> {
    const DEFAULT: f64 = 1e-5;
    let Some(mut arguments) = tower.object("norm_kwargs")? else {
        return Ok(DEFAULT);
    };
    let epsilon = arguments.float_or("eps", DEFAULT)?;
    arguments.finish()?;
    Ok(epsilon)
}

/// The value is where training began.
fn layer_scale(tower: &mut Fields) -> Result<bool, ConfigError> {
    let scaled = tower.has("ls_init_value");
    tower.float_or("ls_init_value", 0.0)?;
    Ok(scaled)
}
