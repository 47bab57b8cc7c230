//! Names of an image encoder of timm: `visual.trunk.…`.

use super::Source;
use super::Transform::{self, FlattenTranspose, Identity, Squeeze, Transpose, WithoutKeyBias};
use super::fast_vit::conv_norm;
use crate::weights::fold::Fold;

/// What the names of such a file begin with, and of no other.
pub(super) const MARK: &str = "visual.trunk.";

/// Tensor of SigLIP's and Perception Encoder's pooling.
const MAP: &str = "visual.trunk.attn_pool.latent";
/// Tensor of a projection, which SigLIP does not have.
const PROJECTION: &str = "visual.trunk.head.weight";

/// Whether a file with these names is a SigLIP.
pub fn is_siglip(has: impl Fn(&str) -> bool) -> bool {
    has(MAP) && !has(PROJECTION)
}

/// Parameter, names after `visual.trunk.`, and the conversion.
const TRUNK: &[(&str, &[&str], Transform)] = &[
    (
        "conv1.weight",
        &["patch_embed.proj.weight"],
        FlattenTranspose,
    ),
    ("conv1.bias", &["patch_embed.proj.bias"], Identity),
    // The last layer of a stem of convolutions.
    (
        "conv1.weight",
        &["patch_embed.backbone.2.conv.weight"],
        FlattenTranspose,
    ),
    (
        "conv1.bias",
        &["patch_embed.backbone.2.conv.bias"],
        Identity,
    ),
    ("class_embedding", &["cls_token"], Squeeze),
    ("ln_pre.gamma", &["norm_pre.weight"], Identity),
    ("ln_pre.beta", &["norm_pre.bias"], Identity),
    ("ln_post.gamma", &["norm.weight"], Identity),
    ("ln_post.beta", &["norm.bias"], Identity),
    ("proj.weight", &["head.weight"], Transpose),
    ("proj.bias", &["head.bias"], Identity),
    ("head.probe", &["attn_pool.latent"], Squeeze),
    (
        "head.in_proj.weight",
        &["attn_pool.q.weight", "attn_pool.kv.weight"],
        Transpose,
    ),
    (
        "head.in_proj.bias",
        &["attn_pool.q.bias", "attn_pool.kv.bias"],
        Identity,
    ),
    (
        "head.out_proj.weight",
        &["attn_pool.proj.weight"],
        Transpose,
    ),
    ("head.out_proj.bias", &["attn_pool.proj.bias"], Identity),
    ("head.ln.gamma", &["attn_pool.norm.weight"], Identity),
    ("head.ln.beta", &["attn_pool.norm.bias"], Identity),
    (
        "head.mlp.c_fc.weight",
        &["attn_pool.mlp.fc1.weight"],
        Transpose,
    ),
    ("head.mlp.c_fc.bias", &["attn_pool.mlp.fc1.bias"], Identity),
    (
        "head.mlp.c_proj.weight",
        &["attn_pool.mlp.fc2.weight"],
        Transpose,
    ),
    (
        "head.mlp.c_proj.bias",
        &["attn_pool.mlp.fc2.bias"],
        Identity,
    ),
    ("positional_embedding", &["pos_embed"], Squeeze),
];

/// Parameter of a block, its names in timm's, and the conversion. Of those with several lines a
/// file has one: EVA02 has query, key and value apart, and a gate in its MLPs.
const BLOCK: &[(&str, &[&str], Transform)] = &[
    ("ln_1.gamma", &["norm1.weight"], Identity),
    ("ln_1.beta", &["norm1.bias"], Identity),
    ("attn.in_proj.weight", &["attn.qkv.weight"], Transpose),
    (
        "attn.in_proj.weight",
        &[
            "attn.q_proj.weight",
            "attn.k_proj.weight",
            "attn.v_proj.weight",
        ],
        Transpose,
    ),
    ("attn.in_proj.bias", &["attn.qkv.bias"], Identity),
    (
        "attn.in_proj.bias",
        &["attn.q_proj.bias", "attn.v_proj.bias"],
        WithoutKeyBias,
    ),
    ("attn.ln.gamma", &["attn.norm.weight"], Identity),
    ("attn.ln.beta", &["attn.norm.bias"], Identity),
    ("attn.out_proj.weight", &["attn.proj.weight"], Transpose),
    ("attn.out_proj.bias", &["attn.proj.bias"], Identity),
    ("ln_2.gamma", &["norm2.weight"], Identity),
    ("ln_2.beta", &["norm2.bias"], Identity),
    ("mlp.c_fc.weight", &["mlp.fc1.weight"], Transpose),
    (
        "mlp.c_fc.weight",
        &["mlp.fc1_g.weight", "mlp.fc1_x.weight"],
        Transpose,
    ),
    ("mlp.c_fc.bias", &["mlp.fc1.bias"], Identity),
    (
        "mlp.c_fc.bias",
        &["mlp.fc1_g.bias", "mlp.fc1_x.bias"],
        Identity,
    ),
    ("mlp.ln.gamma", &["mlp.norm.weight"], Identity),
    ("mlp.ln.beta", &["mlp.norm.bias"], Identity),
    ("mlp.c_proj.weight", &["mlp.fc2.weight"], Transpose),
    ("mlp.c_proj.bias", &["mlp.fc2.bias"], Identity),
];

/// Sources of a layer of a stem of convolutions, whose batch normalisation is folded.
fn stem(layer: &str) -> Option<Vec<Source>> {
    let (number, parameter) = layer.split_once('.')?;
    let (bias, transform) = match parameter {
        "bias" => (true, Identity),
        _ => (false, FlattenTranspose),
    };
    let fold = Fold {
        bias,
        branches: vec![conv_norm(&format!("{MARK}patch_embed.backbone.{number}"))],
        ..Fold::default()
    };
    Some(vec![Source::folded(fold, transform)])
}

/// Sources of a parameter of the image encoder; `None` for one of another.
pub(super) fn sources(path: &str) -> Option<Vec<Source>> {
    let path = path.strip_prefix("visual.Vit.")?;
    if let Some(layer) = path.strip_prefix("stem.") {
        return stem(layer);
    }
    let (prefix, path, table) = match path.strip_prefix("transformer.resblocks.") {
        Some(block) => {
            let (number, path) = block.split_once('.')?;
            (format!("{MARK}blocks.{number}."), path, BLOCK)
        }
        None => (MARK.to_owned(), path, TRUNK),
    };
    let found = table.iter().filter(|(known, ..)| *known == path);
    let sources = found.map(|(_, names, transform)| {
        let names = names.iter().map(|name| format!("{prefix}{name}"));
        Source::new(names.collect(), *transform)
    });
    Some(sources.collect())
}
