//! Image encoders of timm in OpenCLIP's configs by their names: SigLIP's, EVA02's, Perception
//! Encoder's and MobileCLIP's.

use super::fields::Fields;
use super::{ConfigError, FastVitConfig, RotaryConfig, VisionConfig, VitConfig, VitPooling};
use crate::model::Activation;

/// Width, layers, heads, width of the MLPs.
type Sizes = [usize; 4];

const TINY: Sizes = [192, 12, 3, 768];
const SMALL: Sizes = [384, 12, 6, 1536];
const BASE: Sizes = [768, 12, 12, 3072];
const LARGE: Sizes = [1024, 24, 16, 4096];
const SO400M: Sizes = [1152, 27, 16, 4304];
const GIANT_OPT: Sizes = [1536, 40, 16, 6144];

const SIGLIP: &[(&str, Sizes)] = &[
    ("base", BASE),
    ("large", LARGE),
    ("so400m", SO400M),
    ("giantopt", GIANT_OPT),
];

/// SigLIPs that have the tanh approximation of GELU in timm; the others have the exact one.
const TANH: &[&str] = &[
    "vit_base_patch32_siglip_256",
    "vit_large_patch16_siglip_512",
    "vit_so400m_patch16_siglip_256",
    "vit_so400m_patch16_siglip_384",
    "vit_so400m_patch16_siglip_512",
    "vit_giantopt_patch16_siglip_256",
    "vit_giantopt_patch16_siglip_384",
];

/// Name, sizes, patch and image; an MLP's gated half is two thirds of the usual width.
const EVA02: &[(&str, Sizes, usize, usize)] = &[
    ("eva02_base_patch16_clip_224", [768, 12, 12, 2048], 16, 224),
    (
        "eva02_large_patch14_clip_224",
        [1024, 24, 16, 2730],
        14,
        224,
    ),
    (
        "eva02_large_patch14_clip_336",
        [1024, 24, 16, 2730],
        14,
        336,
    ),
];

/// Name, sizes, patch and image.
const PE_CORE: &[(&str, Sizes, usize, usize)] = &[
    ("vit_pe_core_tiny_patch16_384", TINY, 16, 384),
    ("vit_pe_core_small_patch16_384", SMALL, 16, 384),
    ("vit_pe_core_base_patch16_224", BASE, 16, 224),
    ("vit_pe_core_large_patch14_336", LARGE, 14, 336),
];

/// Name, channels of the first stage and blocks per stage.
const FAST_VIT: &[(&str, usize, [usize; FastVitConfig::STAGES])] = &[
    ("fastvit_mci0", 64, [2, 6, 10, 2]),
    ("fastvit_mci1", 64, [4, 12, 20, 4]),
    ("fastvit_mci2", 80, [4, 12, 24, 4]),
];

pub(super) fn image_encoder(
    name: &str,
    mut vision: Fields,
    embed_dim: usize,
) -> Result<VisionConfig, ConfigError> {
    let vit = siglip(name)
        .or_else(|| eva02(name))
        .or_else(|| pe_core(name))
        .or_else(|| mobile_clip_b(name));
    let known = vit.map(VisionConfig::Vit).or_else(|| fast_vit(name));
    let config =
        known.ok_or_else(|| vision.refuse(format!("the image encoder is timm's `{name}`")))?;
    let pooling = match &config {
        VisionConfig::Vit(vit) => vit.pooling,
        _ => VitPooling::Mean,
    };
    if let VisionConfig::Vit(vit) = &config
        && pooling == VitPooling::Map
        && vit.width != embed_dim
    {
        return Err(vision.refuse(format!(
            "`embed_dim` is {embed_dim}, but `{name}` gives {} features",
            vit.width
        )));
    }
    vision.ignore(&["timm_model_pretrained", "timm_drop", "timm_drop_path"]);
    // The bias of a projection that is not there: timm's own always has one.
    vision.ignore(&["timm_proj_bias"]);
    let pool = match pooling {
        VitPooling::Map | VitPooling::MapWithClassToken { .. } => "map",
        VitPooling::ClassToken => "token",
        VitPooling::Mean => "avg",
    };
    match vision.text("timm_pool")?.as_deref() {
        Some(found) if found == pool => {}
        Some(found) => return Err(vision.unsupported("timm_pool", &found.into())),
        None => return Err(vision.refuse(format!("`timm_pool` is not `{pool}`"))),
    }
    // `null` is a projection within timm's encoder, and the default one after it.
    let within = vision.is_null("timm_proj");
    match (vision.text("timm_proj")?.as_deref(), pooling) {
        (Some("none"), VitPooling::Map) => {}
        (None, pooling) if within && pooling != VitPooling::Map => {}
        (found, _) => {
            let found = found.unwrap_or(if within { "null" } else { "linear" });
            return Err(vision.refuse(format!("`timm_proj` of `{name}` is {found}")));
        }
    }
    // A name overrides what else describes an image encoder, but for the size of the image.
    let given = vision.square_or("image_size", config.image_size())?;
    if given != config.image_size() {
        return Err(vision.refuse(format!("`image_size` is {given} with `{name}`")));
    }
    vision.ignore(&["layers", "width", "head_width", "mlp_ratio", "patch_size"]);
    vision.finish()?;
    Ok(config)
}

fn sized(
    [width, layers, heads, mlp_width]: Sizes,
    patch_size: usize,
    image_size: usize,
) -> VitConfig {
    VitConfig {
        image_size,
        patch_size,
        width,
        layers,
        heads,
        mlp_width,
        activation: Activation::Gelu,
        layer_norm_eps: 1e-6,
        ..VitConfig::VIT_B_32
    }
}

/// `vit_base_patch16_siglip_224`.
fn siglip(name: &str) -> Option<VitConfig> {
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
    let (_, sizes) = SIGLIP.iter().find(|(known, _)| *known == size)?;
    let patch = patch.strip_prefix("patch")?.parse().ok()?;
    Some(VitConfig {
        activation: match TANH.contains(&name) {
            true => Activation::GeluTanh,
            false => Activation::Gelu,
        },
        pooling: VitPooling::Map,
        ..sized(*sizes, patch, image.parse().ok()?)
    })
}

/// EVA02-CLIP (Sun et al. 2023).
fn eva02(name: &str) -> Option<VitConfig> {
    let (_, sizes, patch, image) = EVA02.iter().find(|(known, ..)| *known == name)?;
    Some(VitConfig {
        patch_bias: true,
        projection_bias: true,
        rotary: Some(RotaryConfig {
            grid: 16,
            first: 0,
            column_first: false,
        }),
        swiglu: true,
        ..sized(*sizes, *patch, *image)
    })
}

/// Perception Encoder (Bolya et al. 2025).
fn pe_core(name: &str) -> Option<VitConfig> {
    let (_, sizes, patch, image) = PE_CORE.iter().find(|(known, ..)| *known == name)?;
    let config = sized(*sizes, *patch, *image);
    Some(VitConfig {
        layer_norm_eps: 1e-5,
        pooling: VitPooling::MapWithClassToken { heads: 8 },
        projection_bias: true,
        rotary: Some(RotaryConfig {
            grid: config.grid(),
            first: 1,
            column_first: true,
        }),
        ..config
    })
}

/// MobileCLIP B and MobileCLIP 2 B (Faghri et al. 2025).
fn mobile_clip_b(name: &str) -> Option<VitConfig> {
    (name == "vit_base_mci_224").then(|| VitConfig {
        patch_bias: true,
        projection_bias: true,
        conv_stem: true,
        ..sized(BASE, 16, 224)
    })
}

/// MobileCLIP S1 and S2, MobileCLIP 2 S0 and S2.
fn fast_vit(name: &str) -> Option<VisionConfig> {
    let (_, width, layers) = FAST_VIT.iter().find(|(known, ..)| *known == name)?;
    Some(VisionConfig::FastVit(FastVitConfig {
        image_size: 256,
        width: *width,
        layers: *layers,
    }))
}
