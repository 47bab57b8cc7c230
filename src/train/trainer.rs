//! Training, a step at a time.

use burn::module::{Flag, Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::contrastive::settle;
use super::heap;
use super::lora::is_lora;
use super::optimizer::{in_graph, map_untracked};
use super::{
    AdamW, AdamWHyperParameters, Batch, Gradients, Lora, Parts, TrainError, WarmupCosine,
    clip_factor, loss_and_gradients, merge_lora, values_of,
};
use crate::model::{Clip, ClipConfig};

/// What learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Learning {
    /// Matrices of low rank beside frozen weights.
    Lora(Lora),
    /// The weights themselves: fine-tuning, or, of a new model, pre-training.
    Full(Parts),
}

/// Everything that decides a run, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions {
    pub method: Learning,
    pub schedule: WarmupCosine,
    pub optimizer: AdamWHyperParameters,
    /// Longest gradient, all parameters' taken as one vector.
    pub clip_norm: Option<f64>,
    /// Pairs computed at once. A larger batch is taken in parts of so many, with
    /// the same result.
    pub micro_batch: usize,
    /// Computes some of the forward pass again on the way back instead of
    /// keeping it: less memory, more time.
    pub gradient_checkpointing: bool,
    /// Of what is drawn at the start.
    pub seed: u64,
}

/// A step's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Counted from 1.
    pub step: usize,
    pub loss: f32,
    /// `exp(logit_scale)`, the inverse temperature, in this loss.
    pub scale: f32,
    pub learning_rate: f64,
    /// Before clipping.
    pub gradient_norm: f32,
    pub milliseconds: f64,
}

/// A model in training, its optimiser and its schedule.
pub struct Trainer {
    pub(super) model: Clip,
    /// In the model's place while the optimiser has that. Described, not made: its
    /// copies cost nothing.
    stand_in: Clip,
    pub(super) config: ClipConfig,
    pub(super) options: TrainOptions,
    pub(super) optimizer: AdamW,
}

impl Trainer {
    /// Makes `model` ready to learn what `options` say. It may lie on any device,
    /// with or without autodiff, but must not be packed.
    pub fn new(model: Clip, config: ClipConfig, options: TrainOptions) -> Result<Self, TrainError> {
        let model = match &options.method {
            Learning::Lora(lora) => lora.attach(model, options.seed)?,
            Learning::Full(_) => merge_lora(model),
        };
        Self::with_adapter(model, config, options)
    }

    /// The same; but where LoRA is to be trained, `model` has it already (see
    /// [`super::load_peft`]).
    pub fn with_adapter(
        model: Clip,
        config: ClipConfig,
        options: TrainOptions,
    ) -> Result<Self, TrainError> {
        heap::keep();
        let device = model.logit_scale.val().device().inner().autodiff();
        let device = match options.gradient_checkpointing {
            true => device.gradient_checkpointing(),
            false => device,
        };
        let mut preparation = Preparation {
            path: Vec::new(),
            config: &config,
            method: &options.method,
            device,
            learning: 0,
        };
        // A copy whose running statistics are its own.
        let model = model.valid().map(&mut preparation);
        if preparation.learning == 0 {
            return Err(TrainError::NothingToTrain);
        }
        let stand_in = Clip::init(&config, &model.logit_scale.val().device());
        Ok(Self {
            model,
            stand_in,
            optimizer: AdamW::new(options.optimizer),
            config,
            options,
        })
    }

    /// Learns from one batch.
    pub async fn step(&mut self, batch: &Batch) -> Result<StepReport, TrainError> {
        let start = now();
        let image_size = self.config.vision.image_size();
        batch.check(image_size, self.config.text.context_length)?;
        let micro_batch = self.options.micro_batch;
        let (loss, gradients) = loss_and_gradients(&self.model, batch, image_size, micro_batch);
        let mut report = self.learn(loss, gradients).await?;
        report.milliseconds = now() - start;
        Ok(report)
    }

    /// Learns from gradients and the loss `[1]` that they came with.
    pub(super) async fn learn(
        &mut self,
        loss: Tensor<1>,
        gradients: Gradients,
    ) -> Result<StepReport, TrainError> {
        settle(&self.model);
        let (step, scale) = (self.optimizer.step, self.model.logit_scale.val().inner());
        let norm = gradients.norm().unwrap_or_else(|| loss.zeros_like());
        // All that is read from the device, at once.
        let read = values_of(Tensor::cat(vec![loss, norm, scale], 0)).await?;
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
        // The optimiser's alone while it works, since what is shared would have to
        // be copied.
        let model = std::mem::replace(&mut self.model, self.stand_in.clone());
        let mut model = self.optimizer.step(model, gradients, learning_rate, factor);
        // "To prevent scaling the logits by more than 100".
        model.logit_scale = map_untracked(model.logit_scale, |scale| {
            scale.clamp(0.0, Clip::MAX_LOGIT_SCALE_EXP.ln())
        });
        self.model = model;
    }

    /// Steps done.
    pub fn steps(&self) -> usize {
        self.optimizer.step
    }

    /// Another schedule from the next step on.
    pub fn set_schedule(&mut self, schedule: WarmupCosine) {
        self.options.schedule = schedule;
    }

    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// The model as it is, without a graph, and with LoRA beside its weights
    /// ([`super::save_peft`] keeps that; [`Clip::pack`] and [`merge_lora`] take
    /// it into them).
    pub fn model(&self) -> Clip {
        self.model.valid()
    }

    /// The model as it is, with a graph.
    pub(super) fn tracked(&self) -> &Clip {
        &self.model
    }
}

/// Puts every parameter where it can be trained, and marks those that are.
struct Preparation<'a> {
    path: Vec<String>,
    config: &'a ClipConfig,
    method: &'a Learning,
    device: Device,
    /// How many are.
    learning: usize,
}

impl Preparation<'_> {
    fn learns(&self) -> bool {
        let path = self.path.join(".");
        match self.method {
            Learning::Lora(_) => is_lora(&path),
            Learning::Full(parts) => parts.learns(&path, self.config),
        }
    }

    fn is_statistic(&self) -> bool {
        self.path
            .last()
            .is_some_and(|name| name.starts_with("running_"))
    }
}

impl ModuleMapper for Preparation<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let learns = self.learns() && !self.is_statistic();
        self.learning += usize::from(learns);
        let values = param.val().inner();
        let values = match learns {
            true => values.cast(DType::F32),
            false => values,
        };
        let values = in_graph(values, self.device.gradient_checkpointing_strategy());
        Param::initialized(param.id, values.set_require_grad(learns))
    }

    /// Batch normalisation's: whether it goes by the batch and notes its
    /// statistics.
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        let on = match self.method {
            Learning::Lora(_) => false,
            Learning::Full(parts) => parts.batch_statistics && self.learns(),
        };
        flag.with_value(on)
    }
}

/// Milliseconds of a clock that no one reads the time from.
fn now() -> f64 {
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
