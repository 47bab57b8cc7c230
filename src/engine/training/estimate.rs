//! Estimate of a training's time and memory.

use crate::engine::messages::{Estimate, TrainingSettings};
use crate::engine::{Engine, EngineError};
use crate::kernels::pool;
use crate::model::ClipConfig;
use crate::train::{FrozenPrefix, Method, TrainMode, estimate_memory, largest_micro_batch};

/// Memory beside the training: the program, cached pictures.
const BASELINE_BYTES: u64 = 64_000_000;
/// Cost of a training step in forward passes: of trainable weights, and of frozen weights with
/// LoRA.
const TRAIN_STEP_FACTOR: f64 = 3.0;
const LORA_STEP_FACTOR: f64 = 2.2;
/// Slowdown of unpacked weights, which training uses.
const UNPACKED_SLOWDOWN: f64 = 1.3;
/// Typical length of a text relative to the maximum, at which texts are benchmarked.
const CAPTION_LENGTH_RATIO: f64 = 1.0 / 3.0;
/// Training does not use a browser's worker pool; efficiency of each of its threads.
const EFFICIENCY_PER_THREAD: f64 = 0.7;
/// Gradient caching and checkpointing each add a forward pass.
const RECOMPUTE_FACTOR: f64 = 4.0 / 3.0;

/// Encoding speed of the device, measured once per model.
#[derive(Default)]
pub struct EncodingSpeed {
    /// Model, seconds per picture, seconds per text.
    measured: Option<(String, f64, f64)>,
}

impl EncodingSpeed {
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
        let model = 4 * engine.model_info().parameters + BASELINE_BYTES;
        let training_target = training_target(engine, &settings);
        let batch_size = settings.batch_size as usize;
        let memory = |micro_batch: u32| {
            let training_bytes = training_target.as_ref().map_or(0, |(config, mode)| {
                let checkpointing = settings.gradient_checkpointing;
                estimate_memory(
                    config,
                    mode,
                    batch_size,
                    micro_batch as usize,
                    checkpointing,
                    engine.device(),
                )
                .total()
            });
            model + training_bytes
        };
        let too_large = available.is_some_and(|bytes| memory(settings.micro_batch) > bytes);
        let smaller = match (&training_target, available) {
            (Some((config, mode)), Some(bytes)) if too_large => {
                let left = bytes.saturating_sub(model);
                let checkpointing = settings.gradient_checkpointing;
                let device = engine.device();
                largest_micro_batch(config, mode, batch_size, checkpointing, device, left)
            }
            _ => None,
        };
        let smaller = smaller.and_then(|largest| u32::try_from(largest).ok());
        let seconds = match settings.method {
            Method::Probe | Method::Adapter => (train + held_out) * image + 1.0,
            _ => {
                let epochs = f64::from(settings.epochs);
                let prefix = (training_target.as_ref())
                    .and_then(|(config, mode)| FrozenPrefix::of(config, mode));
                let factor = match settings.method {
                    Method::Lora => LORA_STEP_FACTOR,
                    _ => TRAIN_STEP_FACTOR,
                };
                // What a frozen part makes of an image is computed once.
                let images = match prefix {
                    Some(_) => 1.0,
                    None => factor * epochs,
                };
                let config = &engine.config().text;
                // Without a mask a text reads its padding, too.
                let length = match !config.causal && config.bert.is_none() {
                    true => 1.0,
                    false => CAPTION_LENGTH_RATIO,
                };
                let texts = factor * epochs * length;
                let mut seconds_per_sample = (image * images + text * texts) * UNPACKED_SLOWDOWN;
                let extra_threads = pool::threads() - 1;
                seconds_per_sample *= 1.0 + EFFICIENCY_PER_THREAD * extra_threads as f64;
                if settings.micro_batch < settings.batch_size {
                    seconds_per_sample *= RECOMPUTE_FACTOR;
                }
                if settings.gradient_checkpointing {
                    seconds_per_sample *= RECOMPUTE_FACTOR;
                }
                train * seconds_per_sample + 2.0 * held_out * image
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
        const BATCH: usize = 4;
        let model = &engine.model_info().name;
        if let Some((known, image, text)) = &self.measured
            && known == model
        {
            return Ok((*image, *text));
        }
        let measured = engine.measure(BATCH, BATCH, 2, now).await?;
        let seconds = |runs: &[f64]| {
            let best = runs.iter().copied().fold(f64::MAX, f64::min);
            best / 1e3 / BATCH as f64
        };
        let (image, text) = (seconds(&measured.image_ms), seconds(&measured.text_ms));
        self.measured = Some((model.clone(), image, text));
        Ok((image, text))
    }
}

/// Configuration and trainable parameters; `None` for methods that fit features, and for a training
/// that will be refused.
fn training_target(
    engine: &Engine,
    settings: &TrainingSettings,
) -> Option<(ClipConfig, TrainMode)> {
    let config = match settings.method {
        Method::Probe | Method::Adapter => return None,
        Method::Pretrain => super::fine_tune::small_config_like(engine.config(), settings).ok()?,
        _ => engine.config().clone(),
    };
    if !config.is_unfolded() {
        return None;
    }
    Some((config, super::fine_tune::train_mode(settings)))
}
