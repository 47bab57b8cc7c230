//! Model configuration, read from and written to the formats of Hugging Face and
//! OpenCLIP. A key that is unknown, or a value that is not implemented, is refused by name.

mod bert;
mod clip;
mod fields;
mod hugging_face;
mod open_clip;
mod siglip;
mod timm;
mod write;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Activation;
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};

/// Configuration of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipConfig {
    /// Length of `image_features` and `text_features`.
    pub embed_dim: usize,
    /// Configuration of the image encoder.
    pub vision: VisionConfig,
    /// Configuration of the text encoder.
    pub text: TextConfig,
    /// Whether the logits have a learnt bias, as after training with a sigmoid loss: each
    /// text is then answered by itself.
    #[serde(default)]
    pub logit_bias: bool,
}

/// Configuration of the image encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum VisionConfig {
    /// Vision Transformer.
    Vit(VitConfig),
    /// Modified ResNet.
    ResNet(ResNetConfig),
    /// FastViT.
    FastVit(FastVitConfig),
}

impl VisionConfig {
    /// Side of the square input, pixels.
    pub fn image_size(&self) -> usize {
        match self {
            Self::Vit(vision) => vision.image_size,
            Self::ResNet(vision) => vision.image_size,
            Self::FastVit(vision) => vision.image_size,
        }
    }

    /// Elements of an image's largest activation.
    pub fn largest_activation(&self) -> usize {
        let pixels = 3 * self.image_size().pow(2);
        pixels.max(match self {
            Self::Vit(vision) => vision.tokens() * vision.mlp_width.max(3 * vision.width),
            // Of the stem; the first stage has four times the channels at half the side.
            Self::ResNet(vision) => (vision.image_size / 2).pow(2) * vision.width,
            // Of the stem; the MLPs of the first stage have as many.
            Self::FastVit(vision) => (vision.image_size / 2).pow(2) * vision.width,
        })
    }
}

/// Configuration of a Vision Transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VitConfig {
    /// Side of the square input, pixels.
    pub image_size: usize,
    /// Side of a patch, pixels. A remainder at the right and bottom, where it does not
    /// divide `image_size`, is ignored.
    pub patch_size: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads of a block.
    pub heads: usize,
    /// Inner width of the MLPs.
    pub mlp_width: usize,
    /// Activation of the MLPs.
    pub activation: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// Pooling of the tokens.
    #[serde(default)]
    pub pooling: VitPooling,
    /// Whether the blocks scale their outputs (LayerScale).
    #[serde(default)]
    pub layer_scale: bool,
    /// Whether the patch embedding has a bias, in place of the layer norm before the blocks.
    #[serde(default)]
    pub patch_bias: bool,
    /// Whether the projection has a bias.
    #[serde(default)]
    pub projection_bias: bool,
    /// Rotary positions, beside the learnt ones.
    #[serde(default)]
    pub rotary: Option<RotaryConfig>,
    /// Whether the blocks are EVA02's: a gated MLP (SwiGLU), a layer norm before the output
    /// layer of attention and MLP, no bias of the keys.
    #[serde(default)]
    pub swiglu: bool,
    /// Whether the patch embedding is MobileCLIP's: three convolutions without overlap, the
    /// first one's patches four times smaller, and no learnt position of the class token.
    #[serde(default)]
    pub conv_stem: bool,
}

impl VitConfig {
    /// ViT-B/32 of the paper.
    pub const VIT_B_32: Self = Self {
        image_size: 224,
        patch_size: 32,
        width: 768,
        layers: 12,
        heads: 12,
        mlp_width: 3072,
        activation: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
        pooling: VitPooling::ClassToken,
        layer_scale: false,
        patch_bias: false,
        projection_bias: false,
        rotary: None,
        swiglu: false,
        conv_stem: false,
    };

    /// Sides of the patches of a stem's convolutions.
    pub const STEM: [usize; 3] = [4, 2, 2];

    /// Patches along one side.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Tokens of an image.
    pub fn tokens(&self) -> usize {
        self.grid().pow(2) + usize::from(self.pooling != VitPooling::Map)
    }
}

/// Configuration of rotary positions (Su et al. 2021) of two axes: half of a head's pairs are
/// turned by the row, half by the column. The class token is not turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotaryConfig {
    /// Patches along one side for which the angles are meant: those of another grid are
    /// stretched to it.
    pub grid: usize,
    /// Coordinate of the first row and column.
    pub first: usize,
    /// Whether the first half is turned by the column.
    pub column_first: bool,
}

/// Pooling of a Vision Transformer's tokens, and what comes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VitPooling {
    /// The class token, projected: CLIP's.
    #[default]
    ClassToken,
    /// The mean of the patches, without the class token, projected.
    Mean,
    /// Multi-head attention pooling: SigLIP's, without a class token, a layer norm before
    /// the transformer and a projection, but with a bias of the patch embedding.
    Map,
    /// Multi-head attention pooling of class token and patches, projected: Perception
    /// Encoder's.
    MapWithClassToken {
        /// Heads of the attention pool.
        heads: usize,
    },
}

/// Position of a text's features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextPooling {
    /// The end-of-text token.
    #[default]
    EndOfText,
    /// The first position.
    First,
    /// The last position, padding or not.
    Last,
    /// The mean of all positions, without padding.
    Mean,
}

/// Configuration of a modified ResNet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResNetConfig {
    /// Side of the square input, pixels; a multiple of [`Self::REDUCTION`].
    pub image_size: usize,
    /// Bottlenecks per stage.
    pub layers: [usize; 4],
    /// Output channels of the stem.
    pub width: usize,
    /// Heads of the attention pool.
    pub heads: usize,
}

impl ResNetConfig {
    /// Downsampling factor before the attention pool.
    pub const REDUCTION: usize = 32;

    /// Side of the feature map before the attention pool.
    pub fn grid(&self) -> usize {
        self.image_size / Self::REDUCTION
    }

    /// Channels before the attention pool.
    pub fn channels(&self) -> usize {
        self.width.saturating_mul(32)
    }
}

/// Configuration of a FastViT, as MobileCLIP's S0 to S2 have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FastVitConfig {
    /// Side of the square input, pixels.
    pub image_size: usize,
    /// Channels of the first stage; each stage has twice as many as the one before.
    pub width: usize,
    /// Blocks per stage.
    pub layers: [usize; Self::STAGES],
}

impl FastVitConfig {
    /// Number of stages, the last one with attention.
    pub const STAGES: usize = 4;
    /// First stage whose channels are gated.
    pub const FIRST_GATED_STAGE: usize = 2;
    /// Downsampling factor before pooling.
    pub const REDUCTION: usize = 32;
    /// Inner width of an MLP by its width.
    pub const MLP_RATIO: usize = 3;
    /// Width of a head of the attention.
    pub const HEAD_WIDTH: usize = 32;

    /// Channels of a stage; of the stage after the last, those that are pooled.
    pub fn channels(&self, stage: usize) -> usize {
        self.width.saturating_mul(1 << stage)
    }

    /// Side of the feature map before pooling.
    pub fn grid(&self) -> usize {
        self.image_size / Self::REDUCTION
    }
}

/// Configuration of the text encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Maximum length of a text, in tokens.
    pub context_length: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads of a block.
    pub heads: usize,
    /// Inner width of the MLPs.
    pub mlp_width: usize,
    /// Activation of the MLPs.
    pub activation: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// Token id whose position is pooled; `None`: the highest id.
    pub eos_token_id: Option<u32>,
    /// Whether a token attends to those before it only.
    #[serde(default = "causal")]
    pub causal: bool,
    /// Position that is pooled.
    #[serde(default)]
    pub pooling: TextPooling,
    /// Whether the projection has a bias.
    #[serde(default)]
    pub projection_bias: bool,
    /// Whether the blocks scale their outputs (LayerScale).
    #[serde(default)]
    pub layer_scale: bool,
    /// What makes the encoder a BERT, if it is one.
    #[serde(default)]
    pub bert: Option<BertConfig>,
    /// Inner width of a projection of two layers with a GELU between them.
    #[serde(default)]
    pub projection_width: Option<usize>,
}

/// Configuration of BERT (Devlin et al. 2018) and RoBERTa as text encoders. Embeddings have a
/// type and are normalised, layer norms follow what CLIP's precede, and padding is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Rows of the table of positions.
    pub positions: usize,
    /// Row of the first token's position.
    pub first_position: usize,
    /// Rows of the table of token types; all tokens have the first one.
    pub token_types: usize,
    /// Id of the padding.
    pub pad: u32,
}

/// [`TextConfig::causal`] in configs that were stored before it was a choice.
fn causal() -> bool {
    true
}

impl TextConfig {
    /// Ids that the encoder reads: a row without its padding, if that is masked.
    pub fn unmasked<'a>(&self, ids: &'a [u32]) -> &'a [u32] {
        let Some(BertConfig { pad, .. }) = self.bert else {
            return ids;
        };
        let length = ids.iter().rposition(|id| *id != pad).map_or(1, |i| i + 1);
        &ids[..length.min(ids.len())]
    }

    /// Index of the pooled token of a row of ids, padded to the context length.
    pub fn pool_index(&self, ids: &[u32]) -> usize {
        match self.pooling {
            TextPooling::EndOfText => self.end_of_text(ids),
            TextPooling::First | TextPooling::Mean => 0,
            TextPooling::Last => ids.len().saturating_sub(1),
        }
    }

    /// Index of the first end-of-text token, or of the highest id if the config names none
    /// (OpenAI's rule); 0 if there is none, as in the references.
    fn end_of_text(&self, ids: &[u32]) -> usize {
        let end = self.eos_token_id.or_else(|| ids.iter().max().copied());
        ids.iter().position(|id| Some(*id) == end).unwrap_or(0)
    }
}

/// Error in a config file.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum ConfigError {
    /// File that is not JSON.
    Json {
        /// File name.
        file: &'static str,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// Field that is missing or of another type.
    Field {
        /// File name.
        file: &'static str,
        /// Path of the field.
        field: String,
        /// What the field must be.
        expected: &'static str,
    },
    /// Key that is not known.
    UnknownKey {
        /// File name.
        file: &'static str,
        /// Path of the key.
        key: String,
    },
    /// Model of another kind.
    Unsupported {
        /// File name.
        file: &'static str,
        /// What is not supported.
        what: String,
    },
    /// Fields that contradict each other.
    Inconsistent {
        /// File name.
        file: &'static str,
        /// What does not fit.
        what: String,
    },
}

impl ToDiagnostic for ConfigError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Json { file, source } => diagnostic!(
                "config-not-json",
                "{file} is not valid JSON: {reason}",
                file,
                reason = source.to_string()
            ),
            Self::Field {
                file,
                field,
                expected,
            } => diagnostic!(
                "config-field",
                "{file}: `{field}` is missing or not {expected}",
                file,
                field,
                expected
            ),
            Self::UnknownKey { file, key } => diagnostic!(
                "config-key",
                "{file}: the key `{key}` is not known, so that the model might be computed in another way than it was made for",
                file,
                key
            ),
            Self::Unsupported { file, what } => diagnostic!(
                "config-unsupported",
                "{file}: {what}, which is not supported",
                file,
                what
            ),
            Self::Inconsistent { file, what } => {
                diagnostic!("config-inconsistent", "{file}: {what}", file, what)
            }
        }
    }
}

impl ClipConfig {
    /// Reads Hugging Face's `config.json` of a `CLIPModel`, `ChineseCLIPModel`,
    /// `MetaClip2Model` or `SiglipModel`. Missing fields have transformers' defaults.
    pub fn from_hugging_face(json: &[u8]) -> Result<Self, ConfigError> {
        hugging_face::read(json)
    }

    /// Reads OpenCLIP's `open_clip_config.json` (or the bare `model_cfg`).
    pub fn from_open_clip(json: &[u8]) -> Result<Self, ConfigError> {
        open_clip::read(json)
    }

    /// Whether the model is as in its file. MobileCLIP's convolutions are folded as they are
    /// loaded: what is learnt on top of that has no place in such a file.
    pub fn is_unfolded(&self) -> bool {
        match &self.vision {
            VisionConfig::Vit(vision) => !vision.conv_stem,
            VisionConfig::ResNet(_) => true,
            VisionConfig::FastVit(_) => false,
        }
    }

    /// Hugging Face's `config.json` of a CLIP; `None` of any other model, and of a ResNet, which
    /// transformers does not have.
    pub fn to_hugging_face(&self) -> Option<Value> {
        write::hugging_face(self)
    }

    /// OpenCLIP's `model_cfg` of a CLIP; `None` of any other model.
    pub fn to_open_clip(&self) -> Option<Value> {
        write::open_clip(self)
    }

    /// Validates shapes before anything is allocated.
    pub fn checked(self, file: &'static str) -> Result<Self, ConfigError> {
        let inconsistent = |what: String| Err(ConfigError::Inconsistent { file, what });
        let mut numbers = vec![
            ("embed_dim", self.embed_dim, 1 << 14),
            ("image_size", self.vision.image_size(), 1 << 12),
            ("vocab_size", self.text.vocab_size, 1 << 22),
            ("context_length", self.text.context_length, 1 << 14),
            ("text width", self.text.width, 1 << 14),
            ("text layers", self.text.layers, 1 << 8),
            ("text heads", self.text.heads, 1 << 10),
            ("text mlp width", self.text.mlp_width, 1 << 16),
        ];
        if let Some(width) = self.text.projection_width {
            numbers.push(("text projection width", width, 1 << 14));
        }
        if let Some(bert) = &self.text.bert {
            numbers.extend([
                ("token types", bert.token_types, 1 << 10),
                ("positions", bert.positions, 1 << 14),
            ]);
            let positions = bert.positions.saturating_sub(bert.first_position);
            if self.text.context_length > positions {
                return inconsistent(format!(
                    "context_length is {}, but there are {positions} positions",
                    self.text.context_length
                ));
            }
        }
        // Name, size, and divisor.
        let mut divides = vec![("text width", self.text.width, "heads", self.text.heads)];
        match &self.vision {
            VisionConfig::Vit(vision) => {
                numbers.extend([
                    ("patch_size", vision.patch_size, vision.image_size),
                    ("image width", vision.width, 1 << 14),
                    ("image layers", vision.layers, 1 << 8),
                    ("image heads", vision.heads, 1 << 10),
                    ("image mlp width", vision.mlp_width, 1 << 16),
                ]);
                divides.push(("image width", vision.width, "heads", vision.heads));
                if vision.conv_stem {
                    let side: usize = VitConfig::STEM.iter().product();
                    if vision.patch_size != side {
                        return inconsistent(format!(
                            "patch_size is {}, but {side} with convolutions before it",
                            vision.patch_size
                        ));
                    }
                    divides.push(("image width", vision.width, "quarters", 4));
                }
                if let VitPooling::MapWithClassToken { heads } = vision.pooling {
                    numbers.push(("heads of the pool", heads, 1 << 10));
                    divides.push(("image width", vision.width, "heads of the pool", heads));
                }
                if let Some(rotary) = vision.rotary {
                    numbers.push(("rotary grid", rotary.grid, 1 << 12));
                    // Two axes, and pairs of numbers.
                    divides.push((
                        "image width",
                        vision.width,
                        "quarters of heads",
                        vision.heads.saturating_mul(4),
                    ));
                }
            }
            VisionConfig::ResNet(vision) => {
                numbers.extend([
                    ("image width", vision.width, 1 << 10),
                    ("image heads", vision.heads, 1 << 10),
                ]);
                numbers.extend(vision.layers.map(|blocks| ("image layers", blocks, 1 << 8)));
                divides.extend([
                    ("image width", vision.width, "halves", 2),
                    ("image channels", vision.channels(), "heads", vision.heads),
                    (
                        "image_size",
                        vision.image_size,
                        "places",
                        ResNetConfig::REDUCTION,
                    ),
                ]);
            }
            VisionConfig::FastVit(vision) => {
                numbers.push(("image width", vision.width, 1 << 10));
                numbers.extend(vision.layers.map(|blocks| ("image layers", blocks, 1 << 8)));
                divides.extend([
                    ("image width", vision.width, "eighths", 8),
                    (
                        "image_size",
                        vision.image_size,
                        "places",
                        FastVitConfig::REDUCTION,
                    ),
                ]);
            }
        }
        for (name, value, most) in numbers {
            if value == 0 || value > most {
                return inconsistent(format!("{name} is {value}; expected 1 to {most}"));
            }
        }
        let text_eps = ("text", self.text.layer_norm_eps);
        let image_eps = match &self.vision {
            VisionConfig::Vit(vision) => Some(("image", vision.layer_norm_eps)),
            VisionConfig::ResNet(_) | VisionConfig::FastVit(_) => None,
        };
        for (tower, eps) in [text_eps].into_iter().chain(image_eps) {
            if !(0.0..1.0).contains(&eps) {
                return inconsistent(format!(
                    "the epsilon of the {tower} layer norms is {eps}; expected 0 to 1"
                ));
            }
        }
        for (name, value, by, divisor) in divides {
            if value % divisor != 0 {
                return inconsistent(format!(
                    "{name} ({value}) cannot be divided into {divisor} {by}"
                ));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hugging_face(json: &str) -> Result<ClipConfig, String> {
        ClipConfig::from_hugging_face(json.as_bytes()).map_err(|error| error.to_string())
    }

    fn open_clip(json: &str) -> Result<ClipConfig, String> {
        ClipConfig::from_open_clip(json.as_bytes()).map_err(|error| error.to_string())
    }

    fn vit(config: ClipConfig) -> VitConfig {
        match config.vision {
            VisionConfig::Vit(vision) => vision,
            _ => panic!("no ViT"),
        }
    }

    #[test]
    fn what_a_config_lacks_has_the_defaults_of_its_family() {
        let clip = hugging_face(r#"{"model_type":"clip"}"#).unwrap();
        assert_eq!((clip.embed_dim, clip.text.vocab_size), (512, 49_408));
        // google/siglip2-base-patch16-512.
        let json = r#"{"architectures":["SiglipModel"],"initializer_factor":1.0,"model_type":"siglip",
            "text_config":{"model_type":"siglip_text_model","vocab_size":256000},"torch_dtype":"float32",
            "transformers_version":"4.49.0.dev0",
            "vision_config":{"image_size":512,"model_type":"siglip_vision_model"}}"#;
        let siglip = hugging_face(json).unwrap();
        assert!(siglip.logit_bias && !siglip.text.causal);
        assert_eq!((siglip.embed_dim, siglip.text.context_length), (768, 64));
        let vision = vit(siglip);
        assert_eq!(
            (vision.image_size, vision.patch_size, vision.tokens()),
            (512, 16, 1024)
        );
        assert_eq!(vision.layer_norm_eps, 1e-6);
        assert_eq!(vision.activation, Activation::GeluTanh);
    }

    #[test]
    fn an_old_key_overrides_the_new_one() {
        let json = r#"{"model_type":"clip","text_config":{"hidden_size":64},
            "text_config_dict":{"num_hidden_layers":3},"vision_config_dict":null}"#;
        let config = hugging_face(json).unwrap();
        assert_eq!((config.text.width, config.text.layers), (512, 3));
    }

    #[test]
    fn only_clip_takes_an_end_of_2_for_none() {
        let read = |kind: &str| {
            let json = format!(r#"{{"model_type":"{kind}","text_config":{{"eos_token_id":2}}}}"#);
            hugging_face(&json).unwrap().text.eos_token_id
        };
        assert_eq!((read("clip"), read("metaclip_2")), (None, Some(2)));
    }

    /// open_clip's EVA02-B-16 and PE-Core-B-16, with keys of `vision_cfg` in other words.
    fn named(name: &str, size: usize, pool: &str, more: &str) -> Result<ClipConfig, String> {
        open_clip(&format!(
            r#"{{"embed_dim":1024,"vision_cfg":{{"image_size":{size},"timm_model_name":"{name}",
            "timm_model_pretrained":false,"timm_pool":"{pool}"{more}}},"text_cfg":{{
            "context_length":32,"vocab_size":49408,"width":1024,"heads":16,"layers":24}},
            "custom_text":true}}"#
        ))
    }

    #[test]
    fn encoders_of_timm_by_their_names() {
        let null = r#","timm_proj":null"#;
        let eva = named("eva02_large_patch14_clip_336", 336, "token", null).unwrap();
        assert!(eva.is_unfolded() && eva.text.causal && !eva.logit_bias);
        let vision = vit(eva);
        assert_eq!((vision.tokens(), vision.mlp_width), (577, 2730));
        assert!(vision.swiglu && vision.patch_bias && vision.projection_bias);
        // A picture of 24 x 24 patches is stretched to the 16 x 16 of the training.
        assert_eq!(vision.rotary.map(|rotary| rotary.grid), Some(16));
        let pe = vit(named("vit_pe_core_small_patch16_384", 384, "map", null).unwrap());
        assert_eq!(pe.pooling, VitPooling::MapWithClassToken { heads: 8 });
        assert_eq!((pe.tokens(), pe.width), (577, 384));
        assert_eq!(pe.rotary.map(|rotary| rotary.grid), Some(24));
        let mobile = vit(named("vit_base_mci_224", 224, "token", null).unwrap());
        assert!(mobile.conv_stem && mobile.rotary.is_none());
        let mobile = named("fastvit_mci2", 256, "avg", null).unwrap();
        assert!(!mobile.is_unfolded());
        let VisionConfig::FastVit(mobile) = mobile.vision else {
            panic!("no FastViT")
        };
        assert_eq!((mobile.channels(3), mobile.layers), (640, [4, 12, 24, 4]));
        for (name, size, pool, more, words) in [
            ("fastvit_mci4", 256, "avg", null, "fastvit_mci4"),
            ("fastvit_mci0", 224, "avg", null, "image_size"),
            ("fastvit_mci0", 256, "map", null, "timm_pool"),
            (
                "vit_pe_core_gigantic_patch14_448",
                448,
                "map",
                null,
                "gigantic",
            ),
            (
                "eva02_enormous_patch14_clip_224",
                224,
                "token",
                null,
                "enormous",
            ),
            (
                "vit_pe_core_base_patch16_224",
                224,
                "token",
                null,
                "timm_pool",
            ),
            ("eva02_base_patch16_clip_224", 224, "avg", null, "timm_pool"),
            (
                "eva02_base_patch16_clip_224",
                336,
                "token",
                null,
                "image_size",
            ),
            // Left out it is another projection than with null.
            ("eva02_base_patch16_clip_224", 224, "token", "", "linear"),
            (
                "eva02_base_patch16_clip_224",
                224,
                "token",
                r#","timm_proj":"mlp""#,
                "mlp",
            ),
            (
                "eva02_base_patch16_clip_224",
                224,
                "token",
                r#","timm_proj":null,"patch_dropout_x":1"#,
                "patch_dropout_x",
            ),
        ] {
            let error = named(name, size, pool, more).unwrap_err();
            assert!(error.contains(words), "{name}: {error}");
        }
    }

    #[test]
    fn no_key_beside_the_name_of_an_encoder_changes_it_unnoticed() {
        let published = r#"{"embed_dim":512,"vision_cfg":{"timm_model_name":
            "eva02_base_patch16_clip_224","timm_model_pretrained":false,"timm_pool":"token",
            "timm_proj":null,"timm_drop":0.0,"timm_drop_path":0.0,"image_size":224},
            "text_cfg":{},"custom_text":true}"#;
        let expected = open_clip(published).unwrap();
        let published: Value = serde_json::from_str(published).unwrap();
        let known = published["vision_cfg"].as_object().unwrap();
        let others = [
            "timm_proj_bias",
            "width",
            "pool_type",
            "no_ln_pre",
            "act_kwargs",
        ];
        let mut refused = 0;
        let keys = known.keys().map(String::as_str).chain(others);
        for key in keys.filter(|key| *key != "timm_model_name") {
            for value in [
                "null",
                "0",
                "7",
                "-1",
                "true",
                "\"other\"",
                "[1,2]",
                "{\"a\":1}",
            ] {
                let mut changed = published.clone();
                changed["vision_cfg"][key] = serde_json::from_str(value).unwrap();
                match open_clip(&changed.to_string()) {
                    Ok(config) => assert_eq!(config, expected, "{key} {value}"),
                    Err(_) => refused += 1,
                }
            }
            let mut without = published.clone();
            without["vision_cfg"].as_object_mut().unwrap().remove(key);
            if let Ok(config) = open_clip(&without.to_string()) {
                assert_eq!(config, expected, "without {key}");
            }
        }
        assert!(refused > 40, "{refused}");
    }

    #[test]
    fn siglip_by_the_name_of_its_image_encoder() {
        // open_clip's ViT-B-32-SigLIP2-256 and ViT-SO400M-14-SigLIP-384.
        let config = |name: &str, size: usize, dim: usize, text: &str| {
            open_clip(&format!(
                r#"{{"embed_dim":{dim},"init_logit_bias":-10,"custom_text":true,"vision_cfg":{{
                "image_size":{size},"timm_model_name":"{name}","timm_model_pretrained":false,
                "timm_pool":"map","timm_proj":"none"}},"text_cfg":{{"context_length":64,
                "vocab_size":256000,"hf_tokenizer_name":"timm/ViT-B-32-SigLIP2-256",
                "tokenizer_kwargs":{{"clean":"canonicalize"}},{text}"no_causal_mask":true,
                "proj_bias":true,"pool_type":"last","norm_kwargs":{{"eps":1e-6}}}}}}"#
            ))
        };
        let base = r#""width":768,"heads":12,"layers":12,"act_kwargs":{"approximate":"tanh"},"#;
        let found = config("vit_base_patch32_siglip_256", 256, 768, base).unwrap();
        let json = r#"{"model_type":"siglip","text_config":{"vocab_size":256000},
            "vision_config":{"image_size":256,"patch_size":32}}"#;
        assert_eq!(found, hugging_face(json).unwrap());
        let large = r#""width":1152,"heads":16,"layers":27,"mlp_ratio":3.7362,"#;
        let found = config("vit_so400m_patch14_siglip_384", 384, 1152, large).unwrap();
        assert_eq!(
            (found.text.mlp_width, found.text.activation),
            (4304, Activation::Gelu)
        );
        let vision = vit(found);
        assert_eq!(
            (vision.mlp_width, vision.activation),
            (4304, Activation::Gelu)
        );
        assert_eq!(vision.tokens(), 27 * 27);
        for (name, size, dim, words) in [
            ("vit_base_patch16_siglip_gap_224", 224, 768, "siglip_gap"),
            ("fastvit_mci3", 256, 768, "fastvit_mci3"),
            ("vit_base_patch16_siglip_224", 256, 768, "image_size"),
            ("vit_base_patch16_siglip_224", 224, 512, "embed_dim"),
        ] {
            let error = config(name, size, dim, base).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        for (key, value) in [
            ("qk_norm", "true"),
            ("scale_fc", "true"),
            ("block_type", r#""custom""#),
            ("attentional_pool", r#""parallel""#),
            ("no_ln_pre", "true"),
            ("pool_type", r#""none""#),
            ("patch_size", "[16,14]"),
            ("a_new_key", "1"),
        ] {
            let json =
                format!(r#"{{"embed_dim":8,"vision_cfg":{{"{key}":{value}}},"text_cfg":{{}}}}"#);
            let error = open_clip(&json).unwrap_err();
            assert!(error.contains(&format!("`vision_cfg.{key}`")), "{error}");
        }
        for (key, value) in [
            ("embed_cls", "true"),
            ("proj_type", r#""none""#),
            ("pool_type", r#""none""#),
            ("hf_model_name", r#""google/mt5-base""#),
        ] {
            let json =
                format!(r#"{{"embed_dim":8,"vision_cfg":{{}},"text_cfg":{{"{key}":{value}}}}}"#);
            let error = open_clip(&json).unwrap_err();
            assert!(error.contains(value.trim_matches('"')), "{error}");
        }
        for (json, words) in [
            (r#"{"model_type":"siglip2"}"#, "siglip2"),
            (r#"{"auto_map":{}}"#, "auto_map"),
            (
                r#"{"quantization_config":{"bits":4}}"#,
                "quantization_config",
            ),
            (
                r#"{"vision_config":{"num_channels":1}}"#,
                "vision_config.num_channels",
            ),
            (
                r#"{"vision_config":{"hidden_act":"relu"}}"#,
                "vision_config.hidden_act",
            ),
            (
                r#"{"text_config":{"rope_theta":1e4}}"#,
                "text_config.rope_theta",
            ),
            (r#"{"text_config":{"layer_norm_eps":-1}}"#, "epsilon"),
        ] {
            let error = hugging_face(json).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let coca = r#"{"embed_dim":8,"vision_cfg":{},"text_cfg":{},"multimodal_cfg":{}}"#;
        assert!(open_clip(coca).unwrap_err().contains("CoCa"));
    }
}
