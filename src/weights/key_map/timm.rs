//! Names of a SigLIP image encoder in timm: `visual.trunk.…`.

use super::Source;
use super::Transform::{self, Flatten, FlattenTranspose, Identity, Squeeze, Transpose};

/// Tensor that such a file has, and no other.
pub(super) const MARK: &str = "visual.trunk.attn_pool.latent";

/// Parameter, names after `visual.trunk.`, and the conversion.
const TRUNK: &[(&str, &[&str], Transform)] = &[
    (
        "conv1.weight",
        &["patch_embed.proj.weight"],
        FlattenTranspose,
    ),
    ("conv1.bias", &["patch_embed.proj.bias"], Identity),
    ("ln_post.gamma", &["norm.weight"], Identity),
    ("ln_post.beta", &["norm.bias"], Identity),
    ("head.probe", &["attn_pool.latent"], Flatten),
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
    // Of one image: a leading axis of one.
    ("positional_embedding", &["pos_embed"], Squeeze),
];

/// Parameter of a block, its name in timm's, and the conversion.
const BLOCK: &[(&str, &str, Transform)] = &[
    ("ln_1.gamma", "norm1.weight", Identity),
    ("ln_1.beta", "norm1.bias", Identity),
    ("attn.in_proj.weight", "attn.qkv.weight", Transpose),
    ("attn.in_proj.bias", "attn.qkv.bias", Identity),
    ("attn.out_proj.weight", "attn.proj.weight", Transpose),
    ("attn.out_proj.bias", "attn.proj.bias", Identity),
    ("ln_2.gamma", "norm2.weight", Identity),
    ("ln_2.beta", "norm2.bias", Identity),
    ("mlp.c_fc.weight", "mlp.fc1.weight", Transpose),
    ("mlp.c_fc.bias", "mlp.fc1.bias", Identity),
    ("mlp.c_proj.weight", "mlp.fc2.weight", Transpose),
    ("mlp.c_proj.bias", "mlp.fc2.bias", Identity),
];

/// Source of a parameter of the image encoder.
pub(super) fn source(path: &str) -> Option<Source> {
    let path = path.strip_prefix("visual.Vit.")?;
    if let Some(block) = path.strip_prefix("transformer.resblocks.") {
        let (number, rest) = block.split_once('.')?;
        let (_, name, transform) = BLOCK.iter().find(|(path, ..)| *path == rest)?;
        return Some(Source {
            names: vec![format!("visual.trunk.blocks.{number}.{name}")],
            transform: *transform,
        });
    }
    let (_, names, transform) = TRUNK.iter().find(|(known, ..)| *known == path)?;
    Some(Source {
        names: names
            .iter()
            .map(|name| format!("visual.trunk.{name}"))
            .collect(),
        transform: *transform,
    })
}
