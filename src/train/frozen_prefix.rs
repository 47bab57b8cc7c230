//! The part of the image encoder before the first layer that learns. What it makes of an image
//! is the same in every epoch, and is computed once.

use burn::tensor::{Device, Tensor, TensorData};

use super::{TrainError, TrainMode, Unfreeze};
use crate::model::{Clip, ClipConfig, ImageEncoder, VisionConfig, read_back};
use crate::ops::{is_cpu, normalize};

/// Frozen part of an image encoder, from its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrozenPrefix {
    /// A ResNet before its attention pool.
    Trunk,
    /// All of it.
    Tower,
}

impl FrozenPrefix {
    /// What does not learn in a training; `None` if the first layers do, or there is no place to
    /// go on from.
    pub fn of(config: &ClipConfig, method: &TrainMode) -> Option<Self> {
        let resnet = matches!(config.vision, VisionConfig::ResNet(_));
        let image = match method {
            // In a ResNet LoRA adapts the attention pool only.
            TrainMode::Lora(lora) if lora.image => match resnet {
                true => Unfreeze::LastBlocks(0),
                false => Unfreeze::All,
            },
            TrainMode::Lora(_) => Unfreeze::Frozen,
            TrainMode::Full(params) => params.image,
        };
        match image {
            Unfreeze::Frozen => Some(Self::Tower),
            Unfreeze::LastBlocks(0) if resnet => Some(Self::Trunk),
            Unfreeze::LastBlocks(_) | Unfreeze::All => None,
        }
    }

    /// Numbers that it makes of an image.
    pub fn output_len(self, config: &ClipConfig) -> usize {
        match (self, &config.vision) {
            (Self::Trunk, VisionConfig::ResNet(vision)) => vision.grid().pow(2) * vision.channels(),
            _ => config.embed_dim,
        }
    }

    /// Preprocessed pixels, `[3, image_size, image_size]` each, to [`Self::output_len`] numbers
    /// each.
    pub(super) async fn encode(
        self,
        model: &Clip,
        pixels: &[Vec<f32>],
        image_size: usize,
        device: &Device,
    ) -> Result<Vec<Vec<f32>>, TrainError> {
        // On a CPU one by one: rounding may differ with the size of a batch, and a run that is
        // resumed makes other batches of the images that are left.
        let together = match is_cpu(&device.clone().inner()) {
            true => 1,
            false => pixels.len().max(1),
        };
        let mut outputs = Vec::with_capacity(pixels.len());
        for pixels in pixels.chunks(together) {
            let shape = [pixels.len(), 3, image_size, image_size];
            let images = Tensor::from_data(TensorData::new(pixels.concat(), shape), device);
            let output: Tensor<1> = match (self, &model.visual) {
                (Self::Trunk, ImageEncoder::ResNet(resnet)) => {
                    resnet.feature_map(images).reshape([-1])
                }
                _ => model.visual.forward(images).reshape([-1]),
            };
            let values = read_back(output.inner()).await?;
            let each = values.len() / pixels.len();
            outputs.extend(values.chunks(each.max(1)).map(<[f32]>::to_vec));
        }
        Ok(outputs)
    }

    /// Image features `[batch, embed_dim]` of what it made of the images, `[batch, output_len]`.
    pub(super) fn image_features(self, model: &Clip, outputs: Tensor<2>) -> Tensor<2> {
        match (self, &model.visual) {
            (Self::Trunk, ImageEncoder::ResNet(resnet)) => {
                let pool = &resnet.attnpool;
                let ([batch, _], [places, channels]) =
                    (outputs.dims(), pool.positional_embedding.dims());
                let side = (places - 1).isqrt();
                normalize(pool.forward(outputs.reshape([batch, side, side, channels])))
            }
            _ => normalize(outputs),
        }
    }
}
