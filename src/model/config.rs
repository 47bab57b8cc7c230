//! Model configuration, read from and written to the formats of Hugging Face and
//! OpenCLIP.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Activation;

/// Configuration of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipConfig {
    /// Length of `image_features` and `text_features`.
    pub embed_dim: usize,
    /// Configuration of the image encoder.
    pub vision: VisionConfig,
    /// Configuration of the text encoder.
    pub text: TextConfig,
}

/// Configuration of the image encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum VisionConfig {
    /// Vision Transformer.
    Vit(VitConfig),
    /// Modified ResNet.
    ResNet(ResNetConfig),
}

impl VisionConfig {
    /// Side of the square input, pixels.
    pub fn image_size(&self) -> usize {
        match self {
            Self::Vit(vision) => vision.image_size,
            Self::ResNet(vision) => vision.image_size,
        }
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
}

impl VitConfig {
    /// Patches along one side.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }
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
        32 * self.width
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
}

impl TextConfig {
    /// Index of the pooled token: the first end-of-text token, or the highest id if the
    /// config names none that occurs (OpenAI's rule).
    pub fn end_of_text(&self, ids: &[u32]) -> usize {
        let named = self.eos_token_id;
        let highest = ids.iter().max();
        (ids.iter().position(|id| Some(*id) == named))
            .or_else(|| ids.iter().position(|id| Some(id) == highest))
            .unwrap_or(0)
    }
}

/// Error in a config file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// File that is not JSON.
    #[error("{file} is not valid JSON: {source}")]
    Json {
        /// File name.
        file: &'static str,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// Field that is missing or of another type.
    #[error("{file}: `{field}` is missing or not {expected}")]
    Field {
        /// File name.
        file: &'static str,
        /// Path of the field.
        field: String,
        /// What the field must be.
        expected: &'static str,
    },
    /// Model of another kind.
    #[error("{file}: {what}, which is not supported")]
    Unsupported {
        /// File name.
        file: &'static str,
        /// What is not supported.
        what: String,
    },
    /// Fields that contradict each other.
    #[error("{file}: {what}")]
    Inconsistent {
        /// File name.
        file: &'static str,
        /// What does not fit.
        what: String,
    },
}

const HUGGING_FACE: &str = "config.json";
const OPEN_CLIP: &str = "open_clip_config.json";

impl ClipConfig {
    /// Reads Hugging Face's `config.json` of a `CLIPModel`. Missing fields have
    /// transformers' defaults (ViT-B/32).
    pub fn from_hugging_face(json: &[u8]) -> Result<Self, ConfigError> {
        let root = Fields::parse(HUGGING_FACE, json)?;
        if let Some(kind) = root.value.get("model_type").and_then(Value::as_str)
            && kind != "clip"
        {
            return Err(root.unsupported(format!("the model is of type `{kind}`, not `clip`")));
        }
        let vision = root.child("vision_config")?;
        let text = root.child("text_config")?;
        let config = Self {
            embed_dim: root.number_or("projection_dim", 512)?,
            vision: VisionConfig::Vit(VitConfig {
                image_size: vision.number_or("image_size", 224)?,
                patch_size: vision.number_or("patch_size", 32)?,
                width: vision.number_or("hidden_size", 768)?,
                layers: vision.number_or("num_hidden_layers", 12)?,
                heads: vision.number_or("num_attention_heads", 12)?,
                mlp_width: vision.number_or("intermediate_size", 3072)?,
                activation: vision.activation("hidden_act", Activation::QuickGelu)?,
                layer_norm_eps: vision.float_or("layer_norm_eps", 1e-5)?,
            }),
            text: TextConfig {
                vocab_size: text.number_or("vocab_size", 49408)?,
                context_length: text.number_or("max_position_embeddings", 77)?,
                width: text.number_or("hidden_size", 512)?,
                layers: text.number_or("num_hidden_layers", 12)?,
                heads: text.number_or("num_attention_heads", 8)?,
                mlp_width: text.number_or("intermediate_size", 2048)?,
                activation: text.activation("hidden_act", Activation::QuickGelu)?,
                layer_norm_eps: text.float_or("layer_norm_eps", 1e-5)?,
                // Old configs say 2, which is no CLIP's end-of-text token; transformers
                // then takes the highest id, too.
                eos_token_id: match text.number_or("eos_token_id", 49407)? {
                    2 => None,
                    id => Some(id as u32),
                },
            },
        };
        config.checked(HUGGING_FACE)
    }

    /// Reads OpenCLIP's `open_clip_config.json` (or the bare `model_cfg`).
    pub fn from_open_clip(json: &[u8]) -> Result<Self, ConfigError> {
        let root = Fields::parse(OPEN_CLIP, json)?;
        let root = match root.value.get("model_cfg") {
            Some(_) => root.child("model_cfg")?,
            None => root,
        };
        let vision = root.child("vision_cfg")?;
        let text = root.child("text_cfg")?;
        if vision
            .value
            .get("timm_model_name")
            .is_some_and(|v| !v.is_null())
        {
            return Err(root.unsupported("the image encoder is from timm".into()));
        }
        if text
            .value
            .get("hf_model_name")
            .is_some_and(|v| !v.is_null())
        {
            return Err(root.unsupported("the text encoder is from transformers".into()));
        }
        let activation = match root.value.get("quick_gelu").and_then(Value::as_bool) {
            Some(true) => Activation::QuickGelu,
            _ => Activation::Gelu,
        };
        let text_width = text.number_or("width", 512)?;
        let config = Self {
            embed_dim: root.number("embed_dim")?,
            vision: vision.open_clip_vision(activation)?,
            text: TextConfig {
                vocab_size: text.number_or("vocab_size", 49408)?,
                context_length: text.number_or("context_length", 77)?,
                width: text_width,
                layers: text.number_or("layers", 12)?,
                heads: text.number_or("heads", 8)?,
                mlp_width: text.scaled("mlp_ratio", text_width)?,
                activation,
                layer_norm_eps: 1e-5,
                eos_token_id: None,
            },
        };
        config.checked(OPEN_CLIP)
    }

    /// Hugging Face's `config.json` of this model; `None` for a ResNet, which
    /// transformers does not support.
    pub fn to_hugging_face(&self) -> Option<Value> {
        let VisionConfig::Vit(vision) = &self.vision else {
            return None;
        };
        let end = self.text.eos_token_id.unwrap_or(2);
        Some(serde_json::json!({
            "architectures": ["CLIPModel"],
            "model_type": "clip",
            "projection_dim": self.embed_dim,
            "logit_scale_init_value": 2.6592,
            "text_config": {
                "model_type": "clip_text_model",
                "vocab_size": self.text.vocab_size,
                "max_position_embeddings": self.text.context_length,
                "hidden_size": self.text.width,
                "num_hidden_layers": self.text.layers,
                "num_attention_heads": self.text.heads,
                "intermediate_size": self.text.mlp_width,
                "projection_dim": self.embed_dim,
                "hidden_act": self.text.activation.name(),
                "layer_norm_eps": self.text.layer_norm_eps,
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
                "projection_dim": self.embed_dim,
                "hidden_act": vision.activation.name(),
                "layer_norm_eps": vision.layer_norm_eps,
            },
        }))
    }

    /// OpenCLIP's `model_cfg` of this model. It has one activation for both towers and
    /// the default epsilon.
    pub fn to_open_clip(&self) -> Value {
        let vision = match &self.vision {
            VisionConfig::Vit(vision) => serde_json::json!({
                "image_size": vision.image_size,
                "patch_size": vision.patch_size,
                "width": vision.width,
                "layers": vision.layers,
                "head_width": vision.width / vision.heads,
                "mlp_ratio": vision.mlp_width as f64 / vision.width as f64,
            }),
            VisionConfig::ResNet(vision) => serde_json::json!({
                "image_size": vision.image_size,
                "layers": vision.layers,
                "width": vision.width,
                "head_width": vision.channels() / vision.heads,
            }),
        };
        serde_json::json!({
            "embed_dim": self.embed_dim,
            "quick_gelu": self.text.activation == Activation::QuickGelu,
            "vision_cfg": vision,
            "text_cfg": {
                "context_length": self.text.context_length,
                "vocab_size": self.text.vocab_size,
                "width": self.text.width,
                "heads": self.text.heads,
                "layers": self.text.layers,
                "mlp_ratio": self.text.mlp_width as f64 / self.text.width as f64,
            },
        })
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
        }
        for (name, value, most) in numbers {
            if value == 0 || value > most {
                return inconsistent(format!("{name} is {value}; expected 1 to {most}"));
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

/// JSON object with its file name, for error messages.
struct Fields {
    file: &'static str,
    value: Value,
}

impl Fields {
    fn parse(file: &'static str, json: &[u8]) -> Result<Self, ConfigError> {
        let value =
            serde_json::from_slice(json).map_err(|source| ConfigError::Json { file, source })?;
        Ok(Self { file, value })
    }

    fn child(&self, field: &str) -> Result<Self, ConfigError> {
        match self.value.get(field) {
            Some(value @ Value::Object(_)) => Ok(Self {
                file: self.file,
                value: value.clone(),
            }),
            _ => Err(self.wrong(field, "an object")),
        }
    }

    fn number(&self, field: &str) -> Result<usize, ConfigError> {
        (self.value.get(field).and_then(Value::as_u64))
            .map(|n| n as usize)
            .ok_or_else(|| self.wrong(field, "a whole number"))
    }

    fn number_or(&self, field: &str, default: usize) -> Result<usize, ConfigError> {
        match self.value.get(field) {
            None | Some(Value::Null) => Ok(default),
            Some(_) => self.number(field),
        }
    }

    fn float_or(&self, field: &str, default: f64) -> Result<f64, ConfigError> {
        match self.value.get(field) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => (value.as_f64()).ok_or_else(|| self.wrong(field, "a number")),
        }
    }

    /// Image encoder of OpenCLIP's `vision_cfg`: a ResNet if `layers` is a list.
    fn open_clip_vision(&self, activation: Activation) -> Result<VisionConfig, ConfigError> {
        let image_size = self.number_or("image_size", 224)?;
        let head_width = self.number_or("head_width", 64)?.max(1);
        let Some(Value::Array(stages)) = self.value.get("layers") else {
            let width = self.number_or("width", 768)?;
            return Ok(VisionConfig::Vit(VitConfig {
                image_size,
                patch_size: self.number_or("patch_size", 16)?,
                width,
                layers: self.number_or("layers", 12)?,
                heads: width / head_width,
                mlp_width: self.scaled("mlp_ratio", width)?,
                activation,
                layer_norm_eps: 1e-5,
            }));
        };
        let width = self.number_or("width", 64)?;
        let layers: Vec<usize> = (stages.iter())
            .filter_map(|stage| stage.as_u64().map(|n| n as usize))
            .collect();
        Ok(VisionConfig::ResNet(ResNetConfig {
            image_size,
            layers: (layers.try_into())
                .map_err(|_| self.wrong("layers", "a number or a list of four"))?,
            width,
            heads: width * 32 / head_width,
        }))
    }

    /// `width` times the ratio in `field` (4 when absent).
    fn scaled(&self, field: &str, width: usize) -> Result<usize, ConfigError> {
        Ok((self.float_or(field, 4.0)? * width as f64) as usize)
    }

    fn activation(&self, field: &str, default: Activation) -> Result<Activation, ConfigError> {
        match self.value.get(field).and_then(Value::as_str) {
            None => Ok(default),
            Some("quick_gelu") => Ok(Activation::QuickGelu),
            Some("gelu") => Ok(Activation::Gelu),
            Some(other) => Err(self.unsupported(format!("`{field}` is `{other}`"))),
        }
    }

    fn wrong(&self, field: &str, expected: &'static str) -> ConfigError {
        ConfigError::Field {
            file: self.file,
            field: field.into(),
            expected,
        }
    }

    fn unsupported(&self, what: String) -> ConfigError {
        ConfigError::Unsupported {
            file: self.file,
            what,
        }
    }
}
