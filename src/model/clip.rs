//! The two encoders side by side, and the space they share.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::{
    ClipConfig, ModifiedResNet, TextTransformer, TokenBatch, VisionConfig, VisionTransformer,
};
use crate::ops::{Linear, Packing, compile_ahead, normalize};

/// Contrastive Language-Image Pre-training: an image encoder and a text
/// encoder whose outputs are compared by cosine.
#[derive(Module, Debug)]
pub struct Clip {
    pub visual: ImageEncoder,
    pub text: TextTransformer,
    /// Logarithm of the inverse temperature, shape `[1]`.
    pub logit_scale: Param<Tensor<1>>,
}

impl Clip {
    /// `ln(1 / 0.07)`, where the paper starts.
    pub const INITIAL_LOGIT_SCALE: f32 = 2.659_26;
    /// The inverse temperature is never let past this (section 2.5).
    pub const MAX_LOGIT_SCALE_EXP: f32 = 100.0;

    /// A model with the paper's initialisation; see [`crate::weights`] to fill
    /// it from a file.
    pub fn init(config: &ClipConfig, device: &Device) -> Self {
        Self {
            visual: ImageEncoder::init(config, device),
            text: TextTransformer::init(config, device),
            logit_scale: Param::from_data([Self::INITIAL_LOGIT_SCALE], device),
        }
    }

    /// Has a GPU compile what a model of this kind will run, before its weights are
    /// there; see [`compile_ahead`].
    pub fn compile_ahead(config: &ClipConfig, device: &Device) {
        let text = config.text.width / config.text.heads;
        let (image, convolutions) = match &config.vision {
            VisionConfig::Vit(vision) => (vision.width / vision.heads, false),
            VisionConfig::ResNet(vision) => (vision.channels() / vision.heads, true),
        };
        compile_ahead(&[image, text], convolutions, device);
    }

    /// Lays the weights out as the device's fastest kernels read them. Such a
    /// model answers; it can be neither trained nor saved.
    pub fn pack(mut self, packing: Packing) -> Self {
        match &mut self.visual {
            ImageEncoder::Vit(encoder) => encoder.pack(packing),
            ImageEncoder::ResNet(encoder) => encoder.pack(packing),
        }
        self.text.pack(packing);
        self
    }

    /// A transformer's layer by its path, such as `text.transformer.resblocks.0.mlp.c_fc`:
    /// most of a model is in these.
    pub fn linear(&mut self, path: &str) -> Option<&mut Linear> {
        match (path.strip_prefix("text.transformer."), &mut self.visual) {
            (Some(path), _) => self.text.transformer.linear(path),
            (None, ImageEncoder::Vit(encoder)) => {
                let path = path.strip_prefix("visual.Vit.transformer.")?;
                encoder.transformer.linear(path)
            }
            (None, ImageEncoder::ResNet(_)) => None,
        }
    }

    /// `[batch, 3, image_size, image_size]`, normalised pixels, to unit vectors
    /// `[batch, embed_dim]`.
    pub fn image_features(&self, images: Tensor<4>) -> Tensor<2> {
        normalize(self.visual.forward(images))
    }

    /// Token ids `[batch, length]` to unit vectors `[batch, embed_dim]`.
    pub fn text_features(&self, tokens: TokenBatch) -> Tensor<2> {
        normalize(self.text.forward(tokens))
    }

    /// Cosines scaled by the inverse temperature: `[images, texts]`.
    pub fn logits(&self, image_features: Tensor<2>, text_features: Tensor<2>) -> Tensor<2> {
        let scale = self.logit_scale.val().exp().unsqueeze::<2>();
        image_features.matmul(text_features.transpose()) * scale
    }
}

/// One of the paper's two kinds of image encoder.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a model has one of them
pub enum ImageEncoder {
    Vit(VisionTransformer),
    ResNet(ModifiedResNet),
}

impl ImageEncoder {
    fn init(config: &ClipConfig, device: &Device) -> Self {
        match &config.vision {
            VisionConfig::Vit(vision) => {
                Self::Vit(VisionTransformer::init(vision, config.embed_dim, device))
            }
            VisionConfig::ResNet(vision) => {
                Self::ResNet(ModifiedResNet::init(vision, config.embed_dim, device))
            }
        }
    }

    /// `[batch, 3, image_size, image_size]` to `[batch, embed_dim]`, not yet of
    /// unit length.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match self {
            Self::Vit(encoder) => encoder.forward(images),
            Self::ResNet(encoder) => encoder.forward(images),
        }
    }
}
