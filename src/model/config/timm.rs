//! Image encoders of timm in OpenCLIP's configs: SigLIP's, by their names.

use super::fields::Fields;
use super::{ConfigError, VitConfig, VitPooling};
use crate::model::Activation;

/// Size in the name, width, layers, heads, width of the MLPs.
const SIZES: &[(&str, [usize; 4])] = &[
    ("base", [768, 12, 12, 3072]),
    ("large", [1024, 24, 16, 4096]),
    ("so400m", [1152, 27, 16, 4304]),
    ("giantopt", [1536, 40, 16, 6144]),
];

/// Those that have the tanh approximation of GELU in timm; the others have the exact one.
const TANH: &[&str] = &[
    "vit_base_patch32_siglip_256",
    "vit_large_patch16_siglip_512",
    "vit_so400m_patch16_siglip_256",
    "vit_so400m_patch16_siglip_384",
    "vit_so400m_patch16_siglip_512",
    "vit_giantopt_patch16_siglip_256",
    "vit_giantopt_patch16_siglip_384",
];

pub(super) fn image_encoder(
    name: &str,
    mut vision: Fields,
    embed_dim: usize,
) -> Result<VitConfig, ConfigError> {
    let unknown = || vision.refuse(format!("the image encoder is timm's `{name}`"));
    let ([width, layers, heads, mlp_width], patch_size, image_size) =
        parse(name).ok_or_else(unknown)?;
    if width != embed_dim {
        return Err(vision.refuse(format!(
            "`embed_dim` is {embed_dim}, but `{name}` gives {width} features"
        )));
    }
    vision.ignore(&["timm_model_pretrained", "timm_drop", "timm_drop_path"]);
    // Without a projection, the bias of one means nothing.
    vision.ignore(&["timm_proj_bias"]);
    for (key, needed) in [("timm_pool", "map"), ("timm_proj", "none")] {
        match vision.text(key)?.as_deref() {
            Some(found) if found == needed => {}
            Some(found) => return Err(vision.unsupported(key, &found.into())),
            None => return Err(vision.wrong(key, "`map` and `none`, as SigLIP's are")),
        }
    }
    // A name overrides what else describes an image encoder, but for the size of the image.
    let given = vision.square_or("image_size", image_size)?;
    if given != image_size {
        return Err(vision.refuse(format!("`image_size` is {given} with `{name}`")));
    }
    vision.ignore(&["layers", "width", "head_width", "mlp_ratio", "patch_size"]);
    vision.finish()?;
    Ok(VitConfig {
        image_size,
        patch_size,
        width,
        layers,
        heads,
        mlp_width,
        activation: match TANH.contains(&name) {
            true => Activation::GeluTanh,
            false => Activation::Gelu,
        },
        layer_norm_eps: 1e-6,
        pooling: VitPooling::Map,
        layer_scale: false,
    })
}

/// `vit_base_patch16_siglip_224`: sizes, patch and image.
fn parse(name: &str) -> Option<([usize; 4], usize, usize)> {
    let mut words = name.split('_');
    let (Some("vit"), Some(size), Some(patch), Some("siglip"), Some(image), None) = (
        words.next(),
        words.next(),
        words.next(),
        words.next(),
        words.next(),
        words.next(),
    ) else {
        return None;
    };
    let (_, sizes) = SIZES.iter().find(|(known, _)| *known == size)?;
    let patch = patch.strip_prefix("patch")?.parse().ok()?;
    Some((*sizes, patch, image.parse().ok()?))
}
