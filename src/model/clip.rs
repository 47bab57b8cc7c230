//! The image and text encoders, and their shared embedding space.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{
    ClipConfig, FastVit, ModifiedResNet, TextTransformer, TokenBatch, VisionConfig,
    VisionTransformer,
};
use crate::ops::{Initializer, normalize};

/// Contrastive Language-Image Pre-training: an image encoder and a text
/// encoder whose outputs are compared by cosine.
#[derive(Module, Debug)]
pub struct Clip {
    /// Image encoder.
    pub visual: ImageEncoder,
    /// Text encoder.
    pub text: TextTransformer,
    /// Log of the logit scale (inverse temperature), shape `[1]`.
    pub logit_scale: Param<Tensor<1>>,
    /// Bias of the logits, shape `[1]`, of models that were trained with a sigmoid loss.
    pub logit_bias: Option<Param<Tensor<1>>>,
}

impl Clip {
    /// Initial value in the paper, `ln(1 / 0.07)`.
    pub const INITIAL_LOGIT_SCALE: f32 = 2.659_26;
    /// Upper bound of the logit scale (section 2.5).
    pub const MAX_LOGIT_SCALE_EXP: f32 = 100.0;

    /// A model with the paper's initialisation; see [`crate::weights`] to fill
    /// it from a file.
    pub fn init(config: &ClipConfig, device: &Device) -> Self {
        Self {
            visual: ImageEncoder::init(config, device),
            text: TextTransformer::init(config, device),
            logit_scale: Param::from_data([Self::INITIAL_LOGIT_SCALE], device),
            logit_bias: (config.logit_bias).then(|| Initializer::Zeros.init([1], device)),
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

    /// Texts as rows of token ids, each with the index of the pooled token, to unit vectors
    /// `[texts, embed_dim]`; at least one. Rows are as [`TokenBatch::new`] takes them, but of any
    /// length.
    pub fn encode_texts(&self, rows: &[(Vec<u32>, usize)], device: &Device) -> Tensor<2> {
        let groups = self.text.groups(rows);
        let features = (groups.iter()).map(|group| {
            let rows: Vec<_> = group.iter().map(|row| rows[*row].clone()).collect();
            self.text_features(TokenBatch::new(&rows, self.text.is_causal(), device))
        });
        let features = Tensor::cat(features.collect(), 0);
        if groups.len() == 1 {
            return features;
        }
        let mut places = vec![0; rows.len()];
        for (place, row) in groups.into_iter().flatten().enumerate() {
            places[row] = place as i32;
        }
        let places = Tensor::<1, Int>::from_data(TensorData::from(places.as_slice()), device);
        features.select(0, places)
    }

    /// Logits `[images, texts]`: cosine similarities times the logit scale, plus the bias.
    pub fn logits(&self, image_features: Tensor<2>, text_features: Tensor<2>) -> Tensor<2> {
        let scale = self.logit_scale.val().exp().unsqueeze::<2>();
        let logits = image_features.matmul(text_features.transpose()) * scale;
        match &self.logit_bias {
            Some(bias) => logits + bias.val().unsqueeze::<2>(),
            None => logits,
        }
    }
}

/// One of the paper's two kinds of image encoder, or MobileCLIP's.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a model has one of them
pub enum ImageEncoder {
    /// Vision Transformer.
    Vit(VisionTransformer),
    /// Modified ResNet.
    ResNet(ModifiedResNet),
    /// FastViT.
    FastVit(FastVit),
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
            VisionConfig::FastVit(vision) => {
                Self::FastVit(FastVit::init(vision, config.embed_dim, device))
            }
        }
    }

    /// `[batch, 3, image_size, image_size]` to `[batch, embed_dim]`, before
    /// normalisation.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match self {
            Self::Vit(encoder) => encoder.forward(images),
            Self::ResNet(encoder) => encoder.forward(images),
            Self::FastVit(encoder) => encoder.forward(images),
        }
    }
}
