//! Which tensor of a file is which parameter of [`crate::model::Clip`].

/// The naming of a weights file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// OpenAI's and OpenCLIP's names: `visual.conv1.weight`, `in_proj_weight`.
    OpenClip,
    /// The same with the text encoder under `text.` (OpenCLIP's `CustomTextCLIP`).
    OpenClipCustomText,
    /// transformers' names: `vision_model.…`, `q_proj`, `k_proj`, `v_proj`.
    HuggingFace,
}

/// How a file's tensor becomes a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Bit by bit.
    Keep,
    /// `[out, in]` (PyTorch) to `[in, out]` (burn).
    Transpose,
    /// A convolution `[out, channels, p, p]` to `[channels * p * p, out]`.
    FlattenTranspose,
    /// A scalar, or one element, to `[1]`.
    Scalar,
}

/// Where a parameter's values come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// One tensor, or several to be joined along their first axis.
    pub names: Vec<String>,
    pub change: Change,
}

/// Parameter, name in OpenCLIP's layout, names in Hugging Face's, and what to
/// do. `@` stands for a block: the part up to and with the block's number.
type Row = (&'static str, &'static str, &'static [&'static str], Change);

use Change::{FlattenTranspose, Keep, Scalar, Transpose};

const TOP: &[Row] = &[
    ("logit_scale", "logit_scale", &["logit_scale"], Scalar),
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
        Keep,
    ),
    (
        "visual.Vit.positional_embedding",
        "visual.positional_embedding",
        &["vision_model.embeddings.position_embedding.weight"],
        Keep,
    ),
    // transformers spells it so.
    (
        "visual.Vit.ln_pre.gamma",
        "visual.ln_pre.weight",
        &["vision_model.pre_layrnorm.weight"],
        Keep,
    ),
    (
        "visual.Vit.ln_pre.beta",
        "visual.ln_pre.bias",
        &["vision_model.pre_layrnorm.bias"],
        Keep,
    ),
    (
        "visual.Vit.ln_post.gamma",
        "visual.ln_post.weight",
        &["vision_model.post_layernorm.weight"],
        Keep,
    ),
    (
        "visual.Vit.ln_post.beta",
        "visual.ln_post.bias",
        &["vision_model.post_layernorm.bias"],
        Keep,
    ),
    // OpenCLIP multiplies by these as they are; transformers has linear layers.
    (
        "visual.Vit.proj.weight",
        "visual.proj",
        &["visual_projection.weight"],
        Keep,
    ),
    (
        "text.text_projection.weight",
        "text_projection",
        &["text_projection.weight"],
        Keep,
    ),
    (
        "text.token_embedding.weight",
        "token_embedding.weight",
        &["text_model.embeddings.token_embedding.weight"],
        Keep,
    ),
    (
        "text.positional_embedding",
        "positional_embedding",
        &["text_model.embeddings.position_embedding.weight"],
        Keep,
    ),
    (
        "text.ln_final.gamma",
        "ln_final.weight",
        &["text_model.final_layer_norm.weight"],
        Keep,
    ),
    (
        "text.ln_final.beta",
        "ln_final.bias",
        &["text_model.final_layer_norm.bias"],
        Keep,
    ),
];

const BLOCK: &[Row] = &[
    (
        "@.ln_1.gamma",
        "@.ln_1.weight",
        &["@.layer_norm1.weight"],
        Keep,
    ),
    ("@.ln_1.beta", "@.ln_1.bias", &["@.layer_norm1.bias"], Keep),
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
        Keep,
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
        Keep,
    ),
    (
        "@.ln_2.gamma",
        "@.ln_2.weight",
        &["@.layer_norm2.weight"],
        Keep,
    ),
    ("@.ln_2.beta", "@.ln_2.bias", &["@.layer_norm2.bias"], Keep),
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
        Keep,
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
        Keep,
    ),
];

/// A tower's blocks: our path, OpenCLIP's, Hugging Face's.
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

impl Layout {
    /// The layout that a file's tensor names show, if it is a CLIP at all.
    pub fn detect<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let (mut open_clip, mut custom_text, mut hugging_face) = (false, false, false);
        for name in names {
            open_clip |= name == "visual.proj" || name == "visual.conv1.weight";
            custom_text |= name == "text.token_embedding.weight";
            hugging_face |= name == "vision_model.embeddings.class_embedding";
        }
        match (open_clip, custom_text, hugging_face) {
            (true, true, _) => Some(Self::OpenClipCustomText),
            (true, false, _) => Some(Self::OpenClip),
            (_, _, true) => Some(Self::HuggingFace),
            _ => None,
        }
    }

    /// Where the parameter at `path` (as burn names it) stands in a file of
    /// this layout; `None` if this table does not know the parameter.
    pub fn source(self, path: &str) -> Option<Source> {
        if let Some(rest) = path.strip_prefix("visual.ResNet.") {
            return (self != Self::HuggingFace).then(|| resnet(rest));
        }
        for [ours, open_clip, hugging_face] in TOWERS {
            let Some(rest) = path.strip_prefix(ours) else {
                continue;
            };
            let (number, rest) = rest.split_once('.')?;
            let row = BLOCK.iter().find(|row| &row.0[2..] == rest)?;
            let prefix = match self {
                Self::HuggingFace => hugging_face,
                _ => open_clip,
            };
            let block = format!("{prefix}{number}");
            return Some(self.read(row, &block));
        }
        (TOP.iter().find(|row| row.0 == path)).map(|row| self.read(row, ""))
    }

    fn read(self, (ours, open_clip, hugging_face, change): &Row, block: &str) -> Source {
        let names: Vec<String> = match self {
            Self::HuggingFace => hugging_face.iter().map(|n| n.replace('@', block)).collect(),
            _ => vec![open_clip.replace('@', block)],
        };
        let is_text = !names[0].starts_with("visual") && names[0] != "logit_scale";
        let names = match self {
            Self::OpenClipCustomText if is_text => vec![format!("text.{}", names[0])],
            _ => names,
        };
        let projection =
            *ours == "visual.Vit.proj.weight" || *ours == "text.text_projection.weight";
        let change = match self {
            Self::HuggingFace if projection => Transpose,
            _ => *change,
        };
        Source { names, change }
    }
}

/// Where a parameter of the ResNet stands in OpenCLIP's layout, which our
/// names follow but for burn's own.
fn resnet(path: &str) -> Source {
    let name = (path.replace(".gamma", ".weight"))
        .replace(".beta", ".bias")
        .replace("downsample.conv", "downsample.0")
        .replace("downsample.norm", "downsample.1")
        .replace(".conv.", ".");
    let name = match name.split_once(".norm.") {
        // `layer1.0.conv2.norm.weight`: the file's `layer1.0.bn2.weight`
        Some((conv, rest)) => {
            let (place, number) = conv.rsplit_once("conv").unwrap_or((conv, ""));
            format!("{place}bn{number}.{rest}")
        }
        None => name,
    };
    Source {
        change: match name.ends_with("_proj.weight") {
            true => Transpose,
            false => Keep,
        },
        names: vec![format!("visual.{name}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_parameter_in_every_layout() {
        let path = "text.transformer.resblocks.3.attn.in_proj.weight";
        let names = |layout: Layout| layout.source(path).unwrap().names;
        assert_eq!(
            names(Layout::OpenClip),
            ["transformer.resblocks.3.attn.in_proj_weight"]
        );
        assert_eq!(
            names(Layout::OpenClipCustomText),
            ["text.transformer.resblocks.3.attn.in_proj_weight"]
        );
        assert_eq!(
            names(Layout::HuggingFace),
            ["q", "k", "v"]
                .map(|p| format!("text_model.encoder.layers.3.self_attn.{p}_proj.weight"))
        );
    }

    #[test]
    fn only_transformers_projections_are_transposed() {
        let change = |layout: Layout| layout.source("visual.Vit.proj.weight").unwrap().change;
        assert_eq!(change(Layout::OpenClip), Keep);
        assert_eq!(change(Layout::HuggingFace), Transpose);
    }

    #[test]
    fn a_resnet_has_names_in_open_clip_only() {
        let path = "visual.ResNet.layer2.0.downsample.norm.running_mean";
        let names = Layout::OpenClip.source(path).unwrap().names;
        assert_eq!(names, ["visual.layer2.0.downsample.1.running_mean"]);
        assert_eq!(Layout::HuggingFace.source(path), None);
        let names = |path| Layout::OpenClip.source(path).unwrap().names;
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
            Layout::detect(["bert.embeddings.word_embeddings.weight"]),
            None
        );
        assert_eq!(Layout::HuggingFace.source("visual.no_such"), None);
    }
}
