//! Names of BERT and RoBERTa in transformers, as text encoders.

use super::Source;
use super::Transform::{self, Identity, Transpose};

/// Last part of the name of a tensor that such a file has, and no other.
pub(super) const MARK: &str = "embeddings.word_embeddings.weight";

/// Parameter of the text encoder, its name in transformers, and the conversion.
const NAMES: &[(&str, &str, Transform)] = &[
    ("token_embedding.weight", MARK, Identity),
    (
        "positional_embedding",
        "embeddings.position_embeddings.weight",
        Identity,
    ),
    (
        "token_type_embedding",
        "embeddings.token_type_embeddings.weight",
        Identity,
    ),
    ("ln_pre.gamma", "embeddings.LayerNorm.weight", Identity),
    ("ln_pre.beta", "embeddings.LayerNorm.bias", Identity),
];

/// Parameter of a block, its names in transformers, and the conversion.
const BLOCK: &[(&str, &[&str], Transform)] = &[
    (
        "attn.in_proj.weight",
        &[
            "attention.self.query.weight",
            "attention.self.key.weight",
            "attention.self.value.weight",
        ],
        Transpose,
    ),
    (
        "attn.in_proj.bias",
        &[
            "attention.self.query.bias",
            "attention.self.key.bias",
            "attention.self.value.bias",
        ],
        Identity,
    ),
    (
        "attn.out_proj.weight",
        &["attention.output.dense.weight"],
        Transpose,
    ),
    (
        "attn.out_proj.bias",
        &["attention.output.dense.bias"],
        Identity,
    ),
    (
        "ln_1.gamma",
        &["attention.output.LayerNorm.weight"],
        Identity,
    ),
    ("ln_1.beta", &["attention.output.LayerNorm.bias"], Identity),
    ("mlp.c_fc.weight", &["intermediate.dense.weight"], Transpose),
    ("mlp.c_fc.bias", &["intermediate.dense.bias"], Identity),
    ("mlp.c_proj.weight", &["output.dense.weight"], Transpose),
    ("mlp.c_proj.bias", &["output.dense.bias"], Identity),
    ("ln_2.gamma", &["output.LayerNorm.weight"], Identity),
    ("ln_2.beta", &["output.LayerNorm.bias"], Identity),
];

/// Projection in OpenCLIP: of one layer or of two.
const PROJECTION: &[(&str, &str)] = &[
    ("text_projection.weight", "text.proj.weight"),
    ("projection_hidden.weight", "text.proj.0.weight"),
    ("text_projection.weight", "text.proj.2.weight"),
];

/// Sources of a parameter of the text encoder; `None` if it has another one's names.
/// `encoder`: what precedes the encoder's names in the file.
pub(super) fn sources(path: &str, encoder: &str) -> Option<Vec<Source>> {
    let path = path.strip_prefix("text.")?;
    if let Some(block) = path.strip_prefix("transformer.resblocks.") {
        let (number, rest) = block.split_once('.')?;
        let (_, names, transform) = BLOCK.iter().find(|(path, ..)| *path == rest)?;
        let names = (names.iter())
            .map(|name| format!("{encoder}encoder.layer.{number}.{name}"))
            .collect();
        return Some(vec![Source::new(names, *transform)]);
    }
    if let Some((_, name, transform)) = NAMES.iter().find(|(known, ..)| *known == path) {
        return Some(vec![Source::new(
            vec![format!("{encoder}{name}")],
            *transform,
        )]);
    }
    let projection = (PROJECTION.iter())
        .filter(|(known, _)| *known == path && encoder.starts_with("text."))
        .map(|(_, name)| Source::new(vec![(*name).into()], Transpose))
        .collect::<Vec<_>>();
    (!projection.is_empty()).then_some(projection)
}
