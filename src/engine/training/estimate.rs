//! What a training will take.

use crate::engine::messages::{Estimate, TrainingSettings};
use crate::engine::{Engine, EngineError};
use crate::kernels::pool;
use crate::model::{ClipConfig, VisionConfig};
use crate::train::{Method, TrainMode, estimate_memory, largest_micro_batch};

/// What there is beside the training: the program, pictures that are held.
const BESIDE: u64 = 64_000_000;
/// Forward and backward pass together, in forward passes: of weights that learn;
/// of weights that LoRA stands beside; of a ResNet, where it stands at the end.
const LEARNING: f64 = 3.0;
const BESIDE_LORA: f64 = 2.2;
const BEFORE_LORA: f64 = 1.1;
/// A model that can be trained is laid out otherwise than one that answers
/// only, and that much slower.
const UNPACKED: f64 = 1.3;
/// Texts are measured at full length; those of a batch are cut at the longest one,
/// and captions are short.
const OF_A_TEXT: f64 = 1.0 / 3.0;
/// Training has none of a browser's further threads, each of which does so much of
/// what one alone does.
const FURTHER_THREAD: f64 = 0.7;
/// Gradient caching and checkpointing each compute the forward pass once more.
const AGAIN: f64 = 4.0 / 3.0;

/// How fast the device encodes, measured once for each model.
#[derive(Default)]
pub struct Speed {
    /// Model, seconds for a picture, seconds for a text.
    measured: Option<(String, f64, f64)>,
}

impl Speed {
    pub async fn estimate(
        &mut self,
        engine: &Engine,
        settings: TrainingSettings,
        train: u32,
        held_out: u32,
        available: Option<u64>,
        now: impl Fn() -> f64,
    ) -> Result<Estimate, EngineError> {
        let (image, text) = self.measure(engine, now).await?;
        let (train, held_out) = (f64::from(train), f64::from(held_out));
        let model = 4 * engine.model_info().parameters + BESIDE;
        let training = training(engine, &settings);
        let batch_size = settings.batch_size as usize;
        let memory = |micro_batch: u32| {
            let taken = training.as_ref().map_or(0, |(config, learning)| {
                let checkpointing = settings.gradient_checkpointing;
                estimate_memory(
                    config,
                    learning,
                    batch_size,
                    micro_batch as usize,
                    checkpointing,
                    engine.device(),
                )
                .total()
            });
            model + taken
        };
        let too_large = available.is_some_and(|there| memory(settings.micro_batch) > there);
        let smaller = match (&training, available) {
            (Some((config, learning)), Some(there)) if too_large => {
                let left = there.saturating_sub(model);
                let checkpointing = settings.gradient_checkpointing;
                let device = engine.device();
                largest_micro_batch(config, learning, batch_size, checkpointing, device, left)
            }
            _ => None,
        };
        let smaller = smaller.and_then(|largest| u32::try_from(largest).ok());
        let seconds = match settings.method {
            Method::Probe | Method::Adapter => (train + held_out) * image + 1.0,
            _ => {
                let resnet = matches!(engine.config().vision, VisionConfig::ResNet(_));
                let (images, texts) = match settings.method {
                    Method::Lora if resnet => (BEFORE_LORA, BESIDE_LORA),
                    Method::Lora => (BESIDE_LORA, BESIDE_LORA),
                    _ => (LEARNING, LEARNING),
                };
                let mut each = (image * images + text * OF_A_TEXT * texts) * UNPACKED;
                let further = pool::threads() - 1;
                each *= 1.0 + FURTHER_THREAD * further as f64;
                if settings.micro_batch < settings.batch_size {
                    each *= AGAIN;
                }
                if settings.gradient_checkpointing {
                    each *= AGAIN;
                }
                f64::from(settings.epochs) * train * each + 2.0 * held_out * image
            }
        };
        Ok(Estimate {
            memory_bytes: memory(settings.micro_batch),
            available_bytes: available,
            seconds: Some(seconds),
            smaller,
            too_large,
            settings,
        })
    }

    async fn measure(
        &mut self,
        engine: &Engine,
        now: impl Fn() -> f64,
    ) -> Result<(f64, f64), EngineError> {
        const AT_ONCE: usize = 4;
        let model = &engine.model_info().name;
        if let Some((known, image, text)) = &self.measured
            && known == model
        {
            return Ok((*image, *text));
        }
        let measured = engine.measure(AT_ONCE, AT_ONCE, 2, now).await?;
        let seconds = |runs: &[f64]| {
            let best = runs.iter().copied().fold(f64::MAX, f64::min);
            best / 1e3 / AT_ONCE as f64
        };
        let (image, text) = (seconds(&measured.image_ms), seconds(&measured.text_ms));
        self.measured = Some((model.clone(), image, text));
        Ok((image, text))
    }
}

/// The model that is trained and what of it learns; `None` for what is fitted
/// to features.
fn training(engine: &Engine, settings: &TrainingSettings) -> Option<(ClipConfig, TrainMode)> {
    let config = match settings.method {
        Method::Probe | Method::Adapter => return None,
        Method::Pretrain => super::towers::beginner(engine.config(), settings),
        _ => engine.config().clone(),
    };
    Some((config, super::towers::learning(settings)))
}
