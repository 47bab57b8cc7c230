//! Vision Transformer (Dosovitskiy et al. 2020) with CLIP's additional layer norm before
//! the transformer.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::VitConfig;
use super::transformer::{Transformer, TransformerConfig};
use crate::ops::{Initializer, LayerNorm, Linear, add_cls_and_position, into_contiguous};

/// Image encoder: pixels to features.
#[derive(Module, Debug)]
pub struct VisionTransformer {
    /// Patch embedding, a convolution whose stride is its kernel, as a matmul over
    /// flattened patches: `[3 * patch_size², width]`, no bias.
    pub conv1: Linear,
    /// `[width]`
    pub class_embedding: Param<Tensor<1>>,
    /// `[patches + 1, width]`, the class token's first.
    pub positional_embedding: Param<Tensor<2>>,
    /// Layer norm of the embedded tokens.
    pub ln_pre: LayerNorm,
    /// Transformer without a mask.
    pub transformer: Transformer,
    /// Layer norm of the class token.
    pub ln_post: LayerNorm,
    /// `[width, embed_dim]`, no bias.
    pub proj: Linear,
    patch_size: usize,
}

impl VisionTransformer {
    pub(super) fn init(vision: &VitConfig, embed_dim: usize, device: &Device) -> Self {
        let scale = (vision.width as f64).powf(-0.5);
        let normal = Initializer::Normal(scale);
        let layer_norm = || LayerNorm::init(vision.width, vision.layer_norm_eps, device);
        let patches = vision.grid().pow(2);
        let inputs = 3 * vision.patch_size.pow(2);
        Self {
            conv1: Linear::init(
                [inputs, vision.width],
                Initializer::fan_in_uniform(inputs),
                false,
                device,
            ),
            class_embedding: normal.init([vision.width], device),
            positional_embedding: normal.init([patches + 1, vision.width], device),
            ln_pre: layer_norm(),
            transformer: Transformer::init(
                &TransformerConfig {
                    width: vision.width,
                    layers: vision.layers,
                    heads: vision.heads,
                    mlp_width: vision.mlp_width,
                    activation: vision.activation,
                    layer_norm_eps: vision.layer_norm_eps,
                },
                device,
            ),
            ln_post: layer_norm(),
            proj: Linear::init([vision.width, embed_dim], normal, false, device),
            patch_size: vision.patch_size,
        }
    }

    /// `[batch, 3, image_size, image_size]` to `[batch, embed_dim]`, before
    /// normalisation.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let class_token = vec![0; images.dims()[0]];
        let x = self.embed_patches(images);
        let x = self.ln_pre.forward(x);
        let x = self.transformer.forward_pooled(x, false, &class_token);
        let x = self.ln_post.forward(x);
        self.proj.forward(x)
    }

    /// Pixels to embedded tokens with positions, class token first: `[batch, patches + 1,
    /// width]`.
    fn embed_patches(&self, images: Tensor<4>) -> Tensor<3> {
        let [batch, channels, height, width] = images.dims();
        let (p, rows, columns) = (
            self.patch_size,
            height / self.patch_size,
            width / self.patch_size,
        );
        let patches = images
            .narrow(2, 0, rows * p)
            .narrow(3, 0, columns * p)
            .reshape([batch, channels, rows, p, columns, p])
            .permute([0, 2, 4, 1, 3, 5]);
        let patches = into_contiguous(patches).reshape([batch, rows * columns, channels * p * p]);
        let patches = self.conv1.forward(patches);
        let class = Some(self.class_embedding.val());
        add_cls_and_position(class, patches, self.positional_embedding.val())
    }
}
