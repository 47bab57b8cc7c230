//! Training loop body: one optimiser step at a time.

use burn::module::{Flag, Module, Param};
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::contrastive::{is_running_stat, sync_running_stats};
use super::lora::is_lora;
use super::malloc;
use super::optimizer::{in_graph, map_untracked};
use super::{
    AdamW, AdamWHyperParameters, Batch, FrozenPrefix, Gradients, Lora, TrainError, TrainableParams,
    WarmupCosine, clip_factor, loss_and_gradients, merge_lora,
};
use crate::model::{Clip, ClipConfig, ParamMapper, VisionConfig, map_params, read_back};

/// Which parameters are trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrainMode {
    /// LoRA: low-rank matrices beside frozen weights.
    Lora(Lora),
    /// The weights themselves: fine-tuning, or pre-training of a new model.
    Full(TrainableParams),
}

/// Options of a run, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions {
    /// Trainable parameters.
    pub method: TrainMode,
    /// Learning rate by step.
    pub schedule: WarmupCosine,
    /// Hyper-parameters of AdamW.
    pub optimizer: AdamWHyperParameters,
    /// Maximum global gradient norm.
    pub clip_norm: Option<f64>,
    /// Pairs per forward pass. A larger batch is split, with the same gradient.
    pub micro_batch: usize,
    /// Recomputes part of the forward pass in the backward pass: less memory, more time.
    pub gradient_checkpointing: bool,
    /// Seed of random initialisation.
    pub seed: u64,
}

/// Metrics of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Counted from 1.
    pub step: usize,
    /// Contrastive loss of the batch.
    pub loss: f32,
    /// `exp(logit_scale)` of this step.
    pub scale: f32,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Before clipping.
    pub gradient_norm: f32,
    /// Duration of the step.
    pub milliseconds: f64,
}

/// Model, optimiser and schedule of a run.
pub struct Trainer {
    pub(super) model: Clip,
    /// Placeholder for `model` during an optimiser step. Its parameters are lazy, so
    /// copies are free.
    placeholder: Clip,
    pub(super) config: ClipConfig,
    pub(super) options: TrainOptions,
    pub(super) optimizer: AdamW,
}

impl Trainer {
    /// Prepares `model` for training. It may be on any device, with or without autodiff,
    /// but must not be packed.
    pub fn new(model: Clip, config: ClipConfig, options: TrainOptions) -> Result<Self, TrainError> {
        if !config.is_unfolded() {
            return Err(TrainError::Folded);
        }
        let model = match &options.method {
            TrainMode::Lora(lora) => lora.attach(model, options.seed)?,
            TrainMode::Full(_) => merge_lora(model),
        };
        Self::with_adapter(model, config, options)
    }

    /// [`Self::new`] for a model that already has its LoRA, if that is to be trained (see
    /// [`super::load_peft`]).
    pub fn with_adapter(
        model: Clip,
        config: ClipConfig,
        options: TrainOptions,
    ) -> Result<Self, TrainError> {
        if !config.is_unfolded() {
            return Err(TrainError::Folded);
        }
        malloc::retain_freed_memory();
        let device = model.logit_scale.val().device().inner().autodiff();
        let device = match options.gradient_checkpointing {
            true => device.gradient_checkpointing(),
            false => device,
        };
        let mut mapper = RequiresGradMapper {
            config: &config,
            method: &options.method,
            device,
            trainable: 0,
        };
        // A copy with running statistics of its own.
        let model = map_params(model.valid(), &mut mapper);
        if mapper.trainable == 0 {
            return Err(TrainError::NothingToTrain);
        }
        let placeholder = Clip::init(&config, &model.logit_scale.val().device());
        Ok(Self {
            model,
            placeholder,
            optimizer: AdamW::new(options.optimizer),
            config,
            options,
        })
    }

    /// One training step on a batch.
    pub async fn step(&mut self, batch: &Batch) -> Result<StepReport, TrainError> {
        let start = monotonic_ms();
        let image_size = self.config.vision.image_size();
        batch.check(&self.config)?;
        let micro_batch = self.options.micro_batch;
        let (loss, gradients) = loss_and_gradients(&self.model, batch, image_size, micro_batch);
        let mut report = self.learn(loss, gradients).await?;
        report.milliseconds = monotonic_ms() - start;
        Ok(report)
    }

    /// What the frozen part of the image encoder makes of preprocessed pixels, `[3, image_size,
    /// image_size]` each. It is the same throughout the run: a [`Batch`] with these takes steps
    /// without that part.
    pub async fn encode_prefix(
        &self,
        prefix: FrozenPrefix,
        pixels: &[Vec<f32>],
    ) -> Result<Vec<Vec<f32>>, TrainError> {
        let device = self.model.logit_scale.val().device();
        let image_size = self.config.vision.image_size();
        prefix
            .encode(&self.model, pixels, image_size, &device)
            .await
    }

    /// Applies gradients, given the loss `[1]` they belong to.
    pub(super) async fn learn(
        &mut self,
        loss: Tensor<1>,
        mut gradients: Gradients,
    ) -> Result<StepReport, TrainError> {
        sync_running_stats(&self.model);
        if let VisionConfig::Vit(vision) = &self.config.vision
            && vision.swiglu
        {
            // EVA02 has none, and no place for them in its file.
            gradients.zero_key_biases();
        }
        let (step, scale) = (self.optimizer.step, self.model.logit_scale.val().inner());
        let norm = gradients.norm().unwrap_or_else(|| loss.zeros_like());
        // A single read-back from the device.
        let read = read_back(Tensor::cat(vec![loss, norm, scale], 0)).await?;
        let &[loss, gradient_norm, scale] = read.as_slice() else {
            return Err(TrainError::Device("numbers of a step are missing".into()));
        };
        if !loss.is_finite() || !gradient_norm.is_finite() {
            let step = step + 1;
            return Err(TrainError::Diverged { step, loss });
        }
        let learning_rate = self.options.schedule.at(step);
        let factor = clip_factor(gradient_norm, self.options.clip_norm);
        self.update(gradients, learning_rate, factor);
        Ok(StepReport {
            step: step + 1,
            loss,
            scale: scale.exp(),
            learning_rate,
            gradient_norm,
            milliseconds: 0.0,
        })
    }

    fn update(&mut self, gradients: Gradients, learning_rate: f64, factor: f64) {
        // Unique ownership lets the optimiser update in place.
        let model = std::mem::replace(&mut self.model, self.placeholder.clone());
        let mut model = self.optimizer.step(model, gradients, learning_rate, factor);
        // "To prevent scaling the logits by more than 100": SigLIPs scale them by more.
        if model.logit_bias.is_none() {
            model.logit_scale = map_untracked(model.logit_scale, |scale| {
                scale.clamp(0.0, Clip::MAX_LOGIT_SCALE_EXP.ln())
            });
        }
        self.model = model;
    }

    /// Completed steps.
    pub fn steps(&self) -> usize {
        self.optimizer.step
    }

    /// Another schedule from the next step on.
    pub fn set_schedule(&mut self, schedule: WarmupCosine) {
        self.options.schedule = schedule;
    }

    /// Options of the run.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// Configuration of the model.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// The current model without a graph, with LoRA unmerged ([`super::save_peft`]
    /// exports that; [`Clip::pack`] and [`merge_lora`] merge it).
    pub fn model(&self) -> Clip {
        self.model.valid()
    }

    /// The current model with its graph.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn tracked(&self) -> &Clip {
        &self.model
    }
}

/// Moves every parameter to the training device, and marks the trainable ones.
struct RequiresGradMapper<'a> {
    config: &'a ClipConfig,
    method: &'a TrainMode,
    device: Device,
    /// Number of trainable parameters.
    trainable: usize,
}

impl RequiresGradMapper<'_> {
    fn is_trainable(&self, path: &str) -> bool {
        match self.method {
            TrainMode::Lora(_) => is_lora(path),
            TrainMode::Full(params) => params.is_trainable(path, self.config),
        }
    }
}

impl ParamMapper for RequiresGradMapper<'_> {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let is_trainable = self.is_trainable(path) && !is_running_stat(path);
        self.trainable += usize::from(is_trainable);
        let values = param.val().inner();
        let values = match is_trainable {
            true => values.cast(DType::F32),
            false => values,
        };
        let values = in_graph(values, self.device.gradient_checkpointing_strategy());
        Param::initialized(param.id, values.set_require_grad(is_trainable))
    }

    /// Batch normalisation's flag: use and update batch statistics.
    fn map_flag(&mut self, path: &str, flag: Param<Flag>) -> Param<Flag> {
        let on = match self.method {
            TrainMode::Lora(_) => false,
            TrainMode::Full(params) => params.batch_statistics && self.is_trainable(path),
        };
        flag.with_value(on)
    }
}

/// Monotonic milliseconds; only differences are meaningful.
fn monotonic_ms() -> f64 {
    #[cfg(all(target_arch = "wasm32", feature = "browser"))]
    return js_sys::Date::now();
    #[cfg(not(target_arch = "wasm32"))]
    {
        use std::sync::LazyLock;
        use std::time::Instant;
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed().as_secs_f64() * 1e3
    }
    #[cfg(all(target_arch = "wasm32", not(feature = "browser")))]
    0.0
}
