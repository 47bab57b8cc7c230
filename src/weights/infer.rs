//! Model configuration inferred from tensor names and shapes, like OpenAI's
//! `build_model`.

use super::key_map::{Transform, timm};
use super::{Header, KeyMap, WeightsError};
use crate::diagnostic::{Diagnostic, diagnostic};
use crate::model::{
    Activation, ClipConfig, ResNetConfig, TextConfig, TextPooling, VisionConfig, VitConfig,
    VitPooling,
};

/// Head width of the published models of this kind; SigLIP's larger ones have 16 heads.
const HEAD_WIDTH: usize = 64;
const FILE: &str = "the weights";

/// Inferred configuration.
#[derive(Clone, Debug)]
pub struct Inferred {
    /// Configuration of the model.
    pub config: ClipConfig,
    /// Assumptions made, for display.
    pub note: Diagnostic,
}

/// Infers the configuration from `header`. The activation cannot be inferred: it is
/// `activation`, or else the likely one for the file's naming.
pub fn infer(header: &Header, activation: Option<Activation>) -> Result<Inferred, WeightsError> {
    let siglip = is_siglip(header);
    let described_elsewhere = match header.key_map() {
        KeyMap::OpenClipTimm if !siglip => Some("image encoder"),
        key_map if key_map.is_bert() => Some("text encoder"),
        _ => None,
    };
    if let Some(encoder) = described_elsewhere {
        return Err(WeightsError::NotInferred(format!(
            "the file that describes its {encoder} is missing: add the model's config"
        )));
    }
    let shapes = Shapes(header);
    if shapes.dimension("text.token_embedding.weight", 0)? == 0 {
        return Err(WeightsError::NotInferred(
            "most of its words were not downloaded: add the model's config, or download the model \
             as a whole"
                .into(),
        ));
    }
    let text_width = shapes.dimension("text.ln_final.gamma", 0)?;
    let text_blocks = "text.transformer.resblocks.";
    let activation_used = activation.unwrap_or_else(|| likely_activation(header));
    let text = TextConfig {
        vocab_size: shapes.dimension("text.token_embedding.weight", 0)?,
        context_length: shapes.dimension("text.positional_embedding", 0)?,
        width: text_width,
        layers: shapes.blocks(text_blocks, ".ln_1.gamma"),
        heads: heads(text_width),
        mlp_width: shapes.dimension(&format!("{text_blocks}0.mlp.c_fc.bias"), 0)?,
        activation: activation_used,
        layer_norm_eps: epsilon(siglip),
        eos_token_id: None,
        causal: !siglip,
        pooling: match siglip {
            true => TextPooling::Last,
            false => TextPooling::EndOfText,
        },
        projection_bias: shapes.get("text.text_projection.bias").is_some(),
        layer_scale: shapes.get(&format!("{text_blocks}0.ls_1")).is_some(),
        bert: None,
        projection_width: None,
    };
    let projection = match header.source("text.text_projection.weight") {
        Some(source) if source.transform == Transform::Transpose => 0, // [out, in]
        _ => 1,
    };
    let config = ClipConfig {
        embed_dim: shapes.dimension("text.text_projection.weight", projection)?,
        vision: match shapes.get("visual.Vit.class_embedding") {
            Some(_) => VisionConfig::Vit(shapes.vit(activation_used, siglip)?),
            None if siglip => VisionConfig::Vit(shapes.vit(activation_used, siglip)?),
            None => VisionConfig::ResNet(shapes.resnet()?),
        },
        text,
        logit_bias: shapes.get("logit_bias").is_some(),
    };
    let config = (config.checked(FILE)).map_err(|e| WeightsError::NotInferred(e.to_string()))?;
    let name = match activation_used {
        Activation::QuickGelu => "QuickGELU",
        Activation::Gelu => "GELU",
        Activation::GeluTanh => "GELU (tanh)",
    };
    let heads = match &config.vision {
        VisionConfig::Vit(vision) => vision.heads,
        VisionConfig::ResNet(vision) => vision.heads,
        // None is inferred.
        VisionConfig::FastVit(_) => 0,
    };
    let text_heads = config.text.heads;
    let note = match activation {
        Some(_) => diagnostic!(
            "inferred-as-requested",
            "no config with the weights: architecture inferred from their shapes, assuming {heads} heads for images and {text_heads} for texts, with {name} as requested",
            heads,
            text_heads,
            name
        ),
        None => diagnostic!(
            "inferred",
            "no config with the weights: architecture inferred from their shapes, assuming {heads} heads for images and {text_heads} for texts, {name} and the usual preprocessing; choose the other activation if results look wrong",
            heads,
            text_heads,
            name
        ),
    };
    Ok(Inferred { config, note })
}

/// What differs, if these are the weights of another model than `config` describes. Compares
/// what shapes tell; heads, activations and the like they do not.
pub fn misfit(header: &Header, config: &ClipConfig) -> Option<String> {
    let Inferred { config: found, .. } = infer(header, None).ok()?;
    let vision = |config: &ClipConfig| match &config.vision {
        VisionConfig::Vit(vit) => vec![
            ("patch_size", vit.patch_size),
            ("vision width", vit.width),
            ("vision MLP width", vit.mlp_width),
            ("vision layers", vit.layers),
            ("grid of patches", vit.image_size / vit.patch_size.max(1)),
        ],
        VisionConfig::ResNet(resnet) => vec![
            ("vision width", resnet.width),
            ("vision layers", resnet.layers.iter().sum()),
            ("image_size", resnet.image_size),
        ],
        VisionConfig::FastVit(_) => Vec::new(),
    };
    let text = |config: &ClipConfig| {
        [
            ("embed_dim", config.embed_dim),
            ("vocab_size", config.text.vocab_size),
            ("context_length", config.text.context_length),
            ("text width", config.text.width),
            ("text MLP width", config.text.mlp_width),
            ("text layers", config.text.layers),
        ]
    };
    let (here, there) = (vision(&found), vision(config));
    if here.len() != there.len() {
        return Some("its image encoder is of another kind".into());
    }
    let (text_here, text_there) = (text(&found), text(config));
    let pairs = (here.iter().zip(&there)).chain(text_here.iter().zip(&text_there));
    pairs
        .map(|((name, here), (_, there))| (*name, *here, *there))
        .find(|(_, here, there)| here != there)
        .map(|(name, here, there)| format!("{name} is {there}, but {here} in the weights"))
}

/// OpenAI's own files and transformers' default use QuickGELU, and OpenAI's are in half
/// precision or carry their input size; most of OpenCLIP's use GELU.
fn likely_activation(header: &Header) -> Activation {
    match header.key_map() {
        KeyMap::HuggingFace => Activation::QuickGelu,
        KeyMap::HuggingFaceSiglip => Activation::GeluTanh,
        _ if header.shape("input_resolution").is_some() => Activation::QuickGelu,
        _ => Activation::Gelu,
    }
}

fn is_siglip(header: &Header) -> bool {
    match header.key_map() {
        KeyMap::HuggingFaceSiglip => true,
        KeyMap::OpenClipTimm => timm::is_siglip(|name| header.shape(name).is_some()),
        _ => false,
    }
}

/// Number of attention heads that is usual for a width.
fn heads(width: usize) -> usize {
    match width {
        1152 | 1536 => 16, // SigLIP's So400m and giant
        _ => (width / HEAD_WIDTH).max(1),
    }
}

/// Epsilon of the layer norms.
fn epsilon(siglip: bool) -> f64 {
    if siglip { 1e-6 } else { 1e-5 }
}

/// Shapes by parameter path.
struct Shapes<'a>(&'a Header);

impl Shapes<'_> {
    fn get(&self, path: &str) -> Option<&[usize]> {
        let source = self.0.source(path)?;
        self.0.shape(source.names.first()?)
    }

    fn dimension(&self, path: &str, axis: usize) -> Result<usize, WeightsError> {
        (self.get(path).and_then(|shape| shape.get(axis)).copied())
            .ok_or_else(|| WeightsError::NotInferred(format!("it has no `{path}`")))
    }

    /// Number of blocks.
    fn blocks(&self, prefix: &str, parameter: &str) -> usize {
        (0..)
            .take_while(|block| self.get(&format!("{prefix}{block}{parameter}")).is_some())
            .count()
    }

    /// Side of a square grid of positions and of so many other `tokens`, the class or mean
    /// token.
    fn grid(&self, path: &str, tokens: usize) -> Result<usize, WeightsError> {
        // timm has a leading axis of one.
        let axis = self
            .get(path)
            .map_or(0, |shape| shape.len().saturating_sub(2));
        let positions = self.dimension(path, axis)?;
        let side = positions.saturating_sub(tokens).isqrt();
        match side * side + tokens == positions && side > 0 {
            true => Ok(side),
            false => Err(WeightsError::NotInferred(format!(
                "{positions} positions are not a square grid{}",
                if tokens == 0 {
                    ""
                } else {
                    " and a class token"
                }
            ))),
        }
    }

    fn vit(&self, activation: Activation, siglip: bool) -> Result<VitConfig, WeightsError> {
        let blocks = "visual.Vit.transformer.resblocks.";
        let width = self.dimension("visual.Vit.ln_post.gamma", 0)?;
        let patch_size = self.dimension("visual.Vit.conv1.weight", 3)?;
        Ok(VitConfig {
            image_size: patch_size
                * self.grid("visual.Vit.positional_embedding", usize::from(!siglip))?,
            patch_size,
            width,
            layers: self.blocks(blocks, ".ln_1.gamma"),
            heads: heads(width),
            mlp_width: self.dimension(&format!("{blocks}0.mlp.c_fc.bias"), 0)?,
            activation,
            layer_norm_eps: epsilon(siglip),
            pooling: match siglip {
                true => VitPooling::Map,
                false => VitPooling::ClassToken,
            },
            layer_scale: self.get(&format!("{blocks}0.ls_1")).is_some(),
            ..VitConfig::VIT_B_32
        })
    }

    fn resnet(&self) -> Result<ResNetConfig, WeightsError> {
        let stage = |number| {
            self.blocks(
                &format!("visual.ResNet.layer{number}."),
                ".conv1.norm.gamma",
            )
        };
        let width = self.dimension("visual.ResNet.layer1.0.conv1.norm.gamma", 0)?;
        let grid = self.grid("visual.ResNet.attnpool.positional_embedding", 1)?;
        Ok(ResNetConfig {
            image_size: ResNetConfig::REDUCTION * grid,
            layers: [stage(1), stage(2), stage(3), stage(4)],
            width,
            heads: (width * 32 / HEAD_WIDTH).max(1),
        })
    }
}
