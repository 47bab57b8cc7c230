//! Vision Transformer (Dosovitskiy et al. 2020): CLIP's, with an additional layer norm before
//! the transformer; SigLIP's, which has no class token; EVA02's and Perception Encoder's, with
//! rotary positions.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::map_head::MapHead;
use super::positions::resize_positions;
use super::rotary::Rotation;
use super::transformer::{Attend, Transformer, TransformerConfig};
use super::{RotaryConfig, VitConfig, VitPooling};
use crate::ops::{Initializer, LayerNorm, Linear, add_cls_and_position, into_contiguous};

/// Image encoder: pixels to features.
#[derive(Module, Debug)]
pub struct VisionTransformer {
    /// Layers of MobileCLIP's stem before `conv1`, each over patches of what the one before
    /// gave, with a GELU after it; none in the others.
    pub stem: Vec<Linear>,
    /// Patch embedding, a convolution whose stride is its kernel, as a matmul over
    /// flattened patches: `[3 * patch_size², width]`; with a bias where `ln_pre` is missing.
    pub conv1: Linear,
    /// `[width]`; none in SigLIP.
    pub class_embedding: Option<Param<Tensor<1>>>,
    /// `[tokens, width]`, the class token's first, which MobileCLIP's has not.
    pub positional_embedding: Param<Tensor<2>>,
    /// Layer norm of the embedded tokens; none in SigLIP and EVA02.
    pub ln_pre: Option<LayerNorm>,
    /// Transformer without a mask.
    pub transformer: Transformer,
    /// Layer norm of the tokens that are pooled.
    pub ln_post: LayerNorm,
    /// Attention pooling of SigLIP and Perception Encoder.
    pub head: Option<MapHead>,
    /// `[width, embed_dim]`, without a bias in CLIP; none in SigLIP.
    pub proj: Option<Linear>,
    pub(super) patch_size: usize,
    #[module(skip)]
    pooling: VitPooling,
    #[module(skip)]
    rotary: Option<RotaryConfig>,
    heads: usize,
}

impl VisionTransformer {
    pub(super) fn init(vision: &VitConfig, embed_dim: usize, device: &Device) -> Self {
        let scale = (vision.width as f64).powf(-0.5);
        let normal = Initializer::Normal(scale);
        let layer_norm = || LayerNorm::init(vision.width, vision.layer_norm_eps, device);
        let siglip = vision.pooling == VitPooling::Map;
        let patch_bias = siglip || vision.patch_bias || vision.conv_stem;
        let transformer = TransformerConfig {
            width: vision.width,
            layers: vision.layers,
            heads: vision.heads,
            mlp_width: vision.mlp_width,
            activation: vision.activation,
            layer_norm_eps: vision.layer_norm_eps,
            layer_scale: vision.layer_scale,
            post_norm: false,
            swiglu: vision.swiglu,
        };
        let pool_heads = match vision.pooling {
            VitPooling::Map => Some(vision.heads),
            VitPooling::MapWithClassToken { heads } => Some(heads),
            VitPooling::ClassToken | VitPooling::Mean => None,
        };
        let projection = || {
            Linear::init(
                [vision.width, embed_dim],
                normal,
                vision.projection_bias,
                device,
            )
        };
        let layer = |inputs, outputs, bias| {
            let uniform = Initializer::fan_in_uniform(inputs);
            Linear::init([inputs, outputs], uniform, bias, device)
        };
        let [first, second, third] = VitConfig::STEM.map(|side| side * side);
        let narrow = vision.width / 4;
        let positions = vision.tokens() - usize::from(vision.conv_stem);
        Self {
            stem: match vision.conv_stem {
                true => vec![
                    layer(3 * first, narrow, true),
                    layer(narrow * second, narrow, true),
                ],
                false => Vec::new(),
            },
            conv1: match vision.conv_stem {
                true => layer(narrow * third, vision.width, true),
                false => layer(3 * vision.patch_size.pow(2), vision.width, patch_bias),
            },
            class_embedding: (!siglip).then(|| normal.init([vision.width], device)),
            positional_embedding: normal.init([positions, vision.width], device),
            ln_pre: (!patch_bias).then(layer_norm),
            transformer: Transformer::init(&transformer, device),
            ln_post: layer_norm(),
            head: pool_heads.map(|heads| MapHead::init(&transformer, heads, device)),
            proj: (!siglip).then(projection),
            patch_size: vision.patch_size,
            pooling: vision.pooling,
            rotary: vision.rotary,
            heads: vision.heads,
        }
    }

    /// `[batch, 3, image_size, image_size]` to `[batch, embed_dim]`, before
    /// normalisation.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let class_token = vec![0; images.dims()[0]];
        let (x, rotation) = self.embed(images);
        let attend = Attend {
            causal: false,
            rotation: rotation.as_ref(),
        };
        let x = match (self.pooling, &self.head) {
            (VitPooling::ClassToken, _) => {
                let x = (self.transformer).forward_pooled(x, attend, &class_token);
                self.ln_post.forward(x)
            }
            (_, head) => {
                let x = self.ln_post.forward(self.transformer.forward(x, attend));
                match head {
                    Some(head) => head.forward(x),
                    None => mean_of_patches(x),
                }
            }
        };
        match &self.proj {
            Some(proj) => proj.forward(x),
            None => x,
        }
    }

    /// Pixels to the input of the transformer, `[batch, tokens, width]`, and its rotary
    /// positions.
    pub(super) fn embed(&self, images: Tensor<4>) -> (Tensor<3>, Option<Rotation>) {
        let [_, _, height, width] = images.dims();
        let grid = [height, width].map(|side| side / self.patch_size);
        let x = self.embed_patches(images, grid);
        let [_, tokens, width] = x.dims();
        let x = match &self.ln_pre {
            Some(ln_pre) => ln_pre.forward(x),
            None => x,
        };
        let rotation = self.rotary.as_ref().map(|rotary| {
            let first = tokens - grid[0] * grid[1];
            Rotation::new(rotary, first, grid, width / self.heads, &x.device())
        });
        (x, rotation)
    }

    /// Pixels to embedded tokens with positions, a class token first: `[batch, tokens, width]`.
    fn embed_patches(&self, images: Tensor<4>, grid: [usize; 2]) -> Tensor<3> {
        let patches = match self.stem.is_empty() {
            true => self.conv1.forward(patches(images, self.patch_size, grid)),
            false => self.convolve(images, grid),
        };
        let positions = self.positional_embedding.val();
        match &self.class_embedding {
            Some(class) if self.stem.is_empty() => {
                let positions = resize_positions(positions, 1, grid);
                add_cls_and_position(Some(class.val()), patches, positions)
            }
            class => {
                let patches = patches + resize_positions(positions, 0, grid).unsqueeze::<3>();
                match class {
                    Some(class) => {
                        let class = class.val().unsqueeze::<3>();
                        let batch = patches.dims()[0];
                        Tensor::cat(vec![class.repeat_dim(0, batch), patches], 1)
                    }
                    None => patches,
                }
            }
        }
    }

    /// Patch embedding by convolutions without overlap, from finer patches to those of `grid`.
    fn convolve(&self, images: Tensor<4>, grid: [usize; 2]) -> Tensor<3> {
        let [first, coarser @ ..] = VitConfig::STEM;
        let mut grid = grid.map(|side| side * self.patch_size / first);
        let mut x = patches(images, first, grid);
        for (layer, side) in self.stem.iter().zip(coarser) {
            let y = layer.forward_gelu(x);
            let [batch, _, channels] = y.dims();
            let y = y.reshape([batch, grid[0], grid[1], channels]);
            grid = grid.map(|places| places / side);
            x = patches(y.permute([0, 3, 1, 2]), side, grid);
        }
        self.conv1.forward(x)
    }
}

/// Patches of side `p`: `[batch, channels, height, width]` to `[batch, rows * columns, channels *
/// p²]`. A remainder at the right and bottom is left out.
fn patches(x: Tensor<4>, p: usize, [rows, columns]: [usize; 2]) -> Tensor<3> {
    let [batch, channels, _, _] = x.dims();
    let patches = x
        .narrow(2, 0, rows * p)
        .narrow(3, 0, columns * p)
        .reshape([batch, channels, rows, p, columns, p])
        .permute([0, 2, 4, 1, 3, 5]);
    into_contiguous(patches).reshape([batch, rows * columns, channels * p * p])
}

/// Mean of the tokens after the class token: `[batch, tokens, width]` to `[batch, width]`.
fn mean_of_patches(x: Tensor<3>) -> Tensor<2> {
    let [batch, tokens, width] = x.dims();
    (x.narrow(1, 1, tokens - 1).mean_dim(1)).reshape([batch, width])
}
