//! Checkpoint key map: tensor names of a file to parameters of [`crate::model::Clip`].
//! This file has those of CLIP; the others refer to it.

use super::fold::Fold;
use crate::model::{ClipConfig, VisionConfig, VitPooling};

mod bert;
mod fast_vit;
mod siglip;
pub(super) mod timm;

/// Naming scheme of a weights file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMap {
    /// OpenAI's and OpenCLIP's names: `visual.conv1.weight`, `in_proj_weight`.
    OpenClip,
    /// OpenCLIP's names with the text encoder under `text.` (`CustomTextCLIP`).
    OpenClipCustomText,
    /// OpenCLIP's `CustomTextCLIP` with timm's image encoder: `visual.trunk.blocks.…`.
    OpenClipTimm,
    /// transformers' names: `vision_model.…`, `q_proj`, `k_proj`, `v_proj`.
    HuggingFace,
    /// transformers' names of SigLIP.
    HuggingFaceSiglip,
    /// transformers' names of Chinese-CLIP, whose text encoder is a BERT.
    HuggingFaceBert,
    /// OpenCLIP's names with a BERT of transformers under `text.transformer.`.
    OpenClipBert,
}

/// Conversion of a tensor to a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// Unchanged.
    Identity,
    /// `[out, in]` (PyTorch) to `[in, out]` (burn).
    Transpose,
    /// Patch convolution `[out, channels, p, p]` to `[channels * p * p, out]`.
    FlattenTranspose,
    /// Any shape to one axis: a scalar to `[1]`.
    Flatten,
    /// Three axes, the first ones of one: `[1, rows, columns]` to `[rows, columns]`.
    Squeeze,
    /// Biases of queries and of values, `[width]` each, to `[3 * width]`: keys have none.
    WithoutKeyBias,
}

/// Source of a parameter's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// One tensor, several to be concatenated along their first axis, or those of `fold`.
    pub names: Vec<String>,
    pub transform: Transform,
    /// How they become one.
    pub fold: Option<Fold>,
}

impl Source {
    /// One tensor, or several to be concatenated along their first axis.
    fn new(names: Vec<String>, transform: Transform) -> Self {
        Self {
            names,
            transform,
            fold: None,
        }
    }

    fn folded(fold: Fold, transform: Transform) -> Self {
        Self {
            names: fold.names(),
            transform,
            fold: Some(fold),
        }
    }
}

/// Parameter path, OpenCLIP's name, Hugging Face's names, and the conversion. `@` is the
/// block prefix, up to and including the block's number. What a scheme does not have has no
/// name there.
type KeyMapping = (
    &'static str,
    &'static str,
    &'static [&'static str],
    Transform,
);

use Transform::{Flatten, FlattenTranspose, Identity, Transpose};

const TOP: &[KeyMapping] = &[
    ("logit_scale", "logit_scale", &["logit_scale"], Flatten),
    ("logit_bias", "logit_bias", &["logit_bias"], Flatten),
    (
        "visual.Vit.conv1.weight",
        "visual.conv1.weight",
        &["vision_model.embeddings.patch_embedding.weight"],
        FlattenTranspose,
    ),
    (
        "visual.Vit.class_embedding",
        "visual.class_embedding",
        &["vision_model.embeddings.class_embedding"],
        Identity,
    ),
    (
        "visual.Vit.positional_embedding",
        "visual.positional_embedding",
        &["vision_model.embeddings.position_embedding.weight"],
        Identity,
    ),
    // Spelled so in transformers.
    (
        "visual.Vit.ln_pre.gamma",
        "visual.ln_pre.weight",
        &["vision_model.pre_layrnorm.weight"],
        Identity,
    ),
    (
        "visual.Vit.ln_pre.beta",
        "visual.ln_pre.bias",
        &["vision_model.pre_layrnorm.bias"],
        Identity,
    ),
    (
        "visual.Vit.ln_post.gamma",
        "visual.ln_post.weight",
        &["vision_model.post_layernorm.weight"],
        Identity,
    ),
    (
        "visual.Vit.ln_post.beta",
        "visual.ln_post.bias",
        &["vision_model.post_layernorm.bias"],
        Identity,
    ),
    // OpenCLIP multiplies by these directly; transformers has linear layers.
    (
        "visual.Vit.proj.weight",
        "visual.proj",
        &["visual_projection.weight"],
        Identity,
    ),
    (
        "text.text_projection.weight",
        "text_projection",
        &["text_projection.weight"],
        Identity,
    ),
    // With a bias it is a linear layer in OpenCLIP, too.
    (
        "text.text_projection.weight",
        "text_projection.weight",
        &[],
        Transpose,
    ),
    (
        "text.text_projection.bias",
        "text_projection.bias",
        &[],
        Identity,
    ),
    (
        "text.token_embedding.weight",
        "token_embedding.weight",
        &["text_model.embeddings.token_embedding.weight"],
        Identity,
    ),
    (
        "text.positional_embedding",
        "positional_embedding",
        &["text_model.embeddings.position_embedding.weight"],
        Identity,
    ),
    (
        "text.ln_final.gamma",
        "ln_final.weight",
        &["text_model.final_layer_norm.weight"],
        Identity,
    ),
    (
        "text.ln_final.beta",
        "ln_final.bias",
        &["text_model.final_layer_norm.bias"],
        Identity,
    ),
];

const BLOCK: &[KeyMapping] = &[
    (
        "@.ln_1.gamma",
        "@.ln_1.weight",
        &["@.layer_norm1.weight"],
        Identity,
    ),
    (
        "@.ln_1.beta",
        "@.ln_1.bias",
        &["@.layer_norm1.bias"],
        Identity,
    ),
    (
        "@.attn.in_proj.weight",
        "@.attn.in_proj_weight",
        &[
            "@.self_attn.q_proj.weight",
            "@.self_attn.k_proj.weight",
            "@.self_attn.v_proj.weight",
        ],
        Transpose,
    ),
    (
        "@.attn.in_proj.bias",
        "@.attn.in_proj_bias",
        &[
            "@.self_attn.q_proj.bias",
            "@.self_attn.k_proj.bias",
            "@.self_attn.v_proj.bias",
        ],
        Identity,
    ),
    (
        "@.attn.out_proj.weight",
        "@.attn.out_proj.weight",
        &["@.self_attn.out_proj.weight"],
        Transpose,
    ),
    (
        "@.attn.out_proj.bias",
        "@.attn.out_proj.bias",
        &["@.self_attn.out_proj.bias"],
        Identity,
    ),
    ("@.ls_1", "@.ls_1.gamma", &[], Identity),
    ("@.ls_2", "@.ls_2.gamma", &[], Identity),
    (
        "@.ln_2.gamma",
        "@.ln_2.weight",
        &["@.layer_norm2.weight"],
        Identity,
    ),
    (
        "@.ln_2.beta",
        "@.ln_2.bias",
        &["@.layer_norm2.bias"],
        Identity,
    ),
    (
        "@.mlp.c_fc.weight",
        "@.mlp.c_fc.weight",
        &["@.mlp.fc1.weight"],
        Transpose,
    ),
    (
        "@.mlp.c_fc.bias",
        "@.mlp.c_fc.bias",
        &["@.mlp.fc1.bias"],
        Identity,
    ),
    (
        "@.mlp.c_proj.weight",
        "@.mlp.c_proj.weight",
        &["@.mlp.fc2.weight"],
        Transpose,
    ),
    (
        "@.mlp.c_proj.bias",
        "@.mlp.c_proj.bias",
        &["@.mlp.fc2.bias"],
        Identity,
    ),
];

/// Block prefixes of a tower: parameter path, OpenCLIP's, Hugging Face's.
const TOWERS: &[[&str; 3]] = &[
    [
        "visual.Vit.transformer.resblocks.",
        "visual.transformer.resblocks.",
        "vision_model.encoder.layers.",
    ],
    [
        "text.transformer.resblocks.",
        "transformer.resblocks.",
        "text_model.encoder.layers.",
    ],
];

impl KeyMap {
    /// Detects the naming scheme of a file; `None` if it is not of a kind that is known.
    pub fn detect<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let (mut open_clip, mut custom_text, mut hugging_face) = (false, false, false);
        let (mut timm, mut siglip, mut bert) = (false, false, false);
        for name in names {
            open_clip |= name == "visual.proj" || name == "visual.conv1.weight";
            custom_text |= name == "text.token_embedding.weight";
            hugging_face |= name == "vision_model.embeddings.class_embedding";
            timm |= name.starts_with(timm::MARK);
            siglip |= name == siglip::MARK;
            bert |= name.ends_with(bert::MARK);
        }
        match (open_clip, custom_text) {
            (true, _) if bert => Some(Self::OpenClipBert),
            _ if hugging_face && bert => Some(Self::HuggingFaceBert),
            (true, true) => Some(Self::OpenClipCustomText),
            (true, false) => Some(Self::OpenClip),
            _ if timm => Some(Self::OpenClipTimm),
            _ if siglip => Some(Self::HuggingFaceSiglip),
            _ if hugging_face => Some(Self::HuggingFace),
            _ => None,
        }
    }

    /// Whether the names are transformers'.
    pub fn is_hugging_face(self) -> bool {
        matches!(
            self,
            Self::HuggingFace | Self::HuggingFaceSiglip | Self::HuggingFaceBert
        )
    }

    /// Whether the text encoder is a BERT.
    pub fn is_bert(self) -> bool {
        matches!(self, Self::HuggingFaceBert | Self::OpenClipBert)
    }

    /// transformers' names of a model.
    pub fn hugging_face(config: &ClipConfig) -> Self {
        match (&config.vision, &config.text.bert) {
            (_, Some(_)) => Self::HuggingFaceBert,
            (VisionConfig::Vit(vision), _) if vision.pooling == VitPooling::Map => {
                Self::HuggingFaceSiglip
            }
            _ => Self::HuggingFace,
        }
    }

    /// OpenCLIP's names of a model.
    pub fn open_clip(config: &ClipConfig) -> Self {
        match (&config.vision, &config.text.bert) {
            (_, Some(_)) => Self::OpenClipBert,
            (VisionConfig::FastVit(_), _) => Self::OpenClipTimm,
            (VisionConfig::Vit(vision), _)
                if vision.rotary.is_some() || vision.pooling == VitPooling::Map =>
            {
                Self::OpenClipTimm
            }
            _ => Self::OpenClip,
        }
    }

    /// Where a model of this `config` has the parameter at `path` (burn's path) in its file; `None`
    /// if the table does not have it.
    pub fn source(self, path: &str, config: &ClipConfig) -> Option<Source> {
        let mut sources = self.sources(path);
        let swiglu = matches!(&config.vision, VisionConfig::Vit(vision) if vision.swiglu);
        let text = &config.text;
        let second = match path {
            "text.text_projection.weight" => {
                text.projection_bias || text.projection_width.is_some()
            }
            _ => swiglu && path.starts_with("visual.Vit.transformer."),
        };
        let place = usize::from(second).min(sources.len().checked_sub(1)?);
        Some(sources.swap_remove(place))
    }

    /// All sources that the parameter at `path` may have: a file has one of them.
    pub fn sources(self, path: &str) -> Vec<Source> {
        if let Some(rest) = path.strip_prefix("visual.ResNet.") {
            let found = !self.is_hugging_face() && self != Self::OpenClipTimm;
            return found.then(|| resnet(rest)).into_iter().collect();
        }
        let one = |source: Option<Source>| source.map(|source| vec![source]);
        let family = match self {
            Self::OpenClipTimm => timm::sources(path).or_else(|| fast_vit::sources(path)),
            Self::HuggingFaceSiglip => one(siglip::source(path)),
            Self::HuggingFaceBert => bert::sources(path, "text_model."),
            Self::OpenClipBert => bert::sources(path, "text.transformer."),
            _ => None,
        };
        if let Some(sources) = family {
            return sources;
        }
        for [path_pattern, open_clip, hugging_face] in TOWERS {
            let Some(rest) = path.strip_prefix(path_pattern) else {
                continue;
            };
            let Some((number, rest)) = rest.split_once('.') else {
                return Vec::new();
            };
            let prefix = match self.is_hugging_face() {
                true => hugging_face,
                false => open_clip,
            };
            let block = format!("{prefix}{number}");
            return (BLOCK.iter().filter(|mapping| &mapping.0[2..] == rest))
                .filter_map(|mapping| self.source_of(mapping, &block))
                .collect();
        }
        (TOP.iter().filter(|mapping| mapping.0 == path))
            .filter_map(|mapping| self.source_of(mapping, ""))
            .collect()
    }

    fn source_of(
        self,
        (path_pattern, open_clip, hugging_face, transform): &KeyMapping,
        block: &str,
    ) -> Option<Source> {
        let mut names: Vec<String> = match self.is_hugging_face() {
            true => hugging_face.iter().map(|n| n.replace('@', block)).collect(),
            false => vec![open_clip.replace('@', block)],
        };
        let is_text = path_pattern.starts_with("text.") || block.starts_with("transformer.");
        let custom_text = matches!(self, Self::OpenClipCustomText | Self::OpenClipTimm);
        if custom_text && is_text {
            names
                .iter_mut()
                .for_each(|name| name.insert_str(0, "text."));
        }
        let projection = *path_pattern == "visual.Vit.proj.weight"
            || *path_pattern == "text.text_projection.weight";
        let transform = match self.is_hugging_face() && projection {
            true => Transpose,
            false => *transform,
        };
        (!names.is_empty()).then_some(Source::new(names, transform))
    }
}

/// Source of a ResNet parameter in OpenCLIP's naming, from which the paths differ only in
/// burn's own names.
fn resnet(path: &str) -> Source {
    let name = (path.replace(".gamma", ".weight"))
        .replace(".beta", ".bias")
        .replace("downsample.conv", "downsample.0")
        .replace("downsample.norm", "downsample.1")
        .replace(".conv.", ".");
    let name = match name.split_once(".norm.") {
        // `layer1.0.conv2.norm.weight` is `layer1.0.bn2.weight` in the file.
        Some((conv, rest)) => {
            let (place, number) = conv.rsplit_once("conv").unwrap_or((conv, ""));
            format!("{place}bn{number}.{rest}")
        }
        None => name,
    };
    let transform = match name.ends_with("_proj.weight") {
        true => Transpose,
        false => Identity,
    };
    Source::new(vec![format!("visual.{name}")], transform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_parameter_in_every_layout() {
        let path = "text.transformer.resblocks.3.attn.in_proj.weight";
        let names = |key_map: KeyMap| key_map.sources(path).remove(0).names;
        assert_eq!(
            names(KeyMap::OpenClip),
            ["transformer.resblocks.3.attn.in_proj_weight"]
        );
        assert_eq!(
            names(KeyMap::OpenClipCustomText),
            ["text.transformer.resblocks.3.attn.in_proj_weight"]
        );
        assert_eq!(
            names(KeyMap::HuggingFace),
            ["q", "k", "v"]
                .map(|p| format!("text_model.encoder.layers.3.self_attn.{p}_proj.weight"))
        );
    }

    #[test]
    fn only_transformers_projections_are_transposed() {
        let transform = |key_map: KeyMap| {
            key_map
                .sources("visual.Vit.proj.weight")
                .remove(0)
                .transform
        };
        assert_eq!(transform(KeyMap::OpenClip), Identity);
        assert_eq!(transform(KeyMap::HuggingFace), Transpose);
    }

    #[test]
    fn a_resnet_has_names_in_open_clip_only() {
        let path = "visual.ResNet.layer2.0.downsample.norm.running_mean";
        let names = KeyMap::OpenClip.sources(path).remove(0).names;
        assert_eq!(names, ["visual.layer2.0.downsample.1.running_mean"]);
        assert_eq!(KeyMap::HuggingFace.sources(path), []);
        let names = |path| KeyMap::OpenClip.sources(path).remove(0).names;
        let path = "visual.ResNet.layer1.0.conv2.norm.gamma";
        assert_eq!(names(path), ["visual.layer1.0.bn2.weight"]);
        assert_eq!(
            names("visual.ResNet.conv1.conv.weight"),
            ["visual.conv1.weight"]
        );
    }

    #[test]
    fn other_models_are_not_taken_for_clip() {
        assert_eq!(
            KeyMap::detect(["bert.embeddings.word_embeddings.weight"]),
            None
        );
        assert_eq!(KeyMap::HuggingFace.sources("visual.no_such"), []);
    }
}
