//! Names of SigLIP in transformers, where they differ from CLIP's.

use super::Source;
use super::Transform::{self, Identity, Squeeze, Transpose};

/// Tensor that such a file has, and no other.
pub(super) const MARK: &str = "vision_model.head.probe";

/// Parameter, name, and the conversion.
const NAMES: &[(&str, &str, Transform)] = &[
    (
        "visual.Vit.conv1.bias",
        "vision_model.embeddings.patch_embedding.bias",
        Identity,
    ),
    ("visual.Vit.head.probe", MARK, Squeeze),
    (
        "visual.Vit.head.in_proj.weight",
        "vision_model.head.attention.in_proj_weight",
        Transpose,
    ),
    (
        "visual.Vit.head.in_proj.bias",
        "vision_model.head.attention.in_proj_bias",
        Identity,
    ),
    (
        "visual.Vit.head.out_proj.weight",
        "vision_model.head.attention.out_proj.weight",
        Transpose,
    ),
    (
        "visual.Vit.head.out_proj.bias",
        "vision_model.head.attention.out_proj.bias",
        Identity,
    ),
    (
        "visual.Vit.head.ln.gamma",
        "vision_model.head.layernorm.weight",
        Identity,
    ),
    (
        "visual.Vit.head.ln.beta",
        "vision_model.head.layernorm.bias",
        Identity,
    ),
    (
        "visual.Vit.head.mlp.c_fc.weight",
        "vision_model.head.mlp.fc1.weight",
        Transpose,
    ),
    (
        "visual.Vit.head.mlp.c_fc.bias",
        "vision_model.head.mlp.fc1.bias",
        Identity,
    ),
    (
        "visual.Vit.head.mlp.c_proj.weight",
        "vision_model.head.mlp.fc2.weight",
        Transpose,
    ),
    (
        "visual.Vit.head.mlp.c_proj.bias",
        "vision_model.head.mlp.fc2.bias",
        Identity,
    ),
    (
        "text.text_projection.weight",
        "text_model.head.weight",
        Transpose,
    ),
    (
        "text.text_projection.bias",
        "text_model.head.bias",
        Identity,
    ),
];

/// Source of a parameter that CLIP has not, or under another name.
pub(super) fn source(path: &str) -> Option<Source> {
    let (_, name, transform) = NAMES.iter().find(|(known, ..)| *known == path)?;
    Some(Source::new(vec![(*name).into()], *transform))
}
