//! Job of LoRA, fine-tuning or pre-training, one optimiser step at a time, with regular
//! checkpoints.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::artifact::TrainedArtifact;
use super::held_out::{HeldOutSet, data_report};
use super::samples::SampleStore;
use super::{EventAttachments, Host, ProgressThrottle, StepResult, TrainingError};
use crate::diagnostic::{Diagnostic, diagnostic};
use crate::engine::messages::{
    Outcome, SampleId, TrainedPart, TrainingEvent, TrainingPlan, TrainingProgress,
    TrainingSettings, TrainingStage, TrainingStep,
};
use crate::engine::{Engine, scoring};
use crate::eval::Evaluation;
use crate::model::{Clip, ClipConfig, VisionConfig, VitConfig, WeightPrecision, read_back};
use crate::train::{
    AdamWHyperParameters, Batch, FrozenPrefix, Lora, MIXTURES, Method, MetricSeries, Sampler,
    Target, TrainMode, TrainOptions, TrainableParams, Trainer, TrainingReport, Unfreeze,
    WarmupCosine, init_from_seed, interpolate, merge_lora,
};
use crate::zero_shot::{self, Scoring};

/// Names of a checkpoint's metadata and of its state. Two slots alternate, so that one is
/// intact while the other is written.
const CHECKPOINT_RUNS: [&str; 2] = ["run-0", "run-1"];
const CHECKPOINT_STATES: [&str; 2] = ["state-0", "state-1"];
/// Time to the first checkpoint, which is saved early in case of a reload.
const FIRST_CHECKPOINT_MS: f64 = 5e3;
/// Maximum fraction of time for evaluation during training.
const MAX_EVAL_SHARE: f64 = 0.1;
/// Shares of the trained weights that are measured after a run, besides none and all.
const SHARES: [f64; 3] = [0.25, 0.5, 0.75];
/// That takes no longer, or as much of the training's time as [`MAX_EVAL_SHARE`].
const MIXTURES_MS: f64 = 20e3;
/// Most that is kept of what the frozen part of an image encoder makes of the samples.
const MAX_OUTPUT_BYTES: usize = 256 << 20;
/// Pictures per evaluation batch.
const EVAL_BATCH: usize = 16;

/// Stored metadata of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    pub plan: TrainingPlan,
    /// Name of the base model.
    pub model: String,
    pub step: u32,
    pub steps: u32,
    pub kept_ms: f64,
    curves: Curves,
    before: Option<Vec<Vec<f32>>>,
    seconds: f64,
    /// Slot of the state.
    #[serde(rename = "place")]
    slot: usize,
    /// CRC-32 of the state; earlier versions kept none.
    #[serde(default)]
    state_crc: Option<u32>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Curves {
    loss: Vec<[f64; 2]>,
    scale: Vec<[f64; 2]>,
    learning_rate: Vec<[f64; 2]>,
    accuracy: Vec<[f64; 2]>,
}

impl Curves {
    fn named(&self) -> Vec<MetricSeries> {
        [
            ("loss", &self.loss),
            ("scale", &self.scale),
            ("learning_rate", &self.learning_rate),
            ("accuracy", &self.accuracy),
        ]
        .map(|(name, points)| MetricSeries {
            name: name.into(),
            x: "step".into(),
            points: points.clone(),
        })
        .into()
    }
}

/// The stored checkpoints, the latest first.
async fn checkpoints<H: Host>(host: &H) -> Vec<Checkpoint> {
    let mut found: Vec<Checkpoint> = Vec::new();
    for name in CHECKPOINT_RUNS {
        let read = host.get(name).await.unwrap_or_default();
        found.extend(serde_json::from_slice::<Checkpoint>(&read));
    }
    found.sort_by(|a, b| b.kept_ms.total_cmp(&a.kept_ms));
    found
}

/// The latest checkpoint, if any.
pub async fn latest_checkpoint<H: Host>(host: &H) -> Option<Checkpoint> {
    checkpoints(host).await.into_iter().next()
}

/// Deletes all checkpoints.
pub async fn delete_checkpoints<H: Host>(host: &H) {
    for name in CHECKPOINT_RUNS.into_iter().chain(CHECKPOINT_STATES) {
        host.delete(name).await;
    }
}

pub struct FineTuneJob {
    run: Checkpoint,
    trainer: Trainer,
    sampler: Sampler,
    /// Indices of the training samples.
    train: Vec<usize>,
    /// Part of the image encoder that does not learn, if what it makes of the samples can be kept.
    prefix: Option<FrozenPrefix>,
    /// What it made of them.
    outputs: HashMap<SampleId, Vec<f32>>,
    held_out: HeldOutSet,
    stage: Stage,
    tokens: HashMap<String, (Vec<u32>, usize)>,
    progress: ProgressThrottle,
    /// Start in this session.
    started_at: f64,
    seconds_before: f64,
    checkpoint_due_ms: f64,
    step_ms: f64,
    steps_this_session: u32,
    eval_ms: f64,
    stopping: bool,
    /// Probabilities of the held-out part after training.
    after: Vec<Vec<f32>>,
    /// Weights before training, read once there are mixtures to measure.
    original: Option<Clip>,
    /// Shares of the trained weights that are still to be measured.
    shares: Vec<f64>,
    /// Shares and their accuracies.
    mixtures: Vec<[f64; 2]>,
}

enum Stage {
    /// Evaluates the held-out part before training.
    Baseline,
    Steps,
    /// Evaluates the held-out part: the classifier, and the probabilities so far.
    Measuring {
        model: Box<Clip>,
        scoring: Scoring,
        classifier: Vec<Vec<f32>>,
        probabilities: Vec<Vec<f32>>,
        /// Time so far.
        ms: f64,
        /// Share of the trained weights where they are mixed with the original's.
        share: Option<f64>,
    },
}

/// Small configuration for pre-training, with the vocabulary and the image size of the
/// loaded model. Its texts must be a CLIP's: others are read in another place.
pub fn small_config_like(
    like: &ClipConfig,
    settings: &TrainingSettings,
) -> Result<ClipConfig, TrainingError> {
    let (width, layers) = (settings.width as usize, settings.layers as usize);
    let image_size = like.vision.image_size();
    let heads = (width / 32).max(1);
    let mut text = like.text.clone();
    (text.width, text.layers, text.heads, text.mlp_width) = (width, layers, heads, 4 * width);
    let config = ClipConfig {
        embed_dim: width,
        vision: VisionConfig::Vit(VitConfig {
            image_size,
            patch_size: (image_size / 8).max(1),
            width,
            layers,
            heads,
            mlp_width: 4 * width,
            activation: text.activation,
            ..VitConfig::VIT_B_32
        }),
        text,
        logit_bias: false,
    };
    let config = config.checked("the settings")?;
    match config.to_open_clip() {
        Some(_) => Ok(config),
        None => Err(TrainingError::PretrainLikeOther),
    }
}

fn unfreeze(part: TrainedPart) -> Unfreeze {
    match part {
        TrainedPart::Frozen => Unfreeze::Frozen,
        TrainedPart::Last(blocks) => Unfreeze::LastBlocks(blocks as usize),
        TrainedPart::Whole => Unfreeze::All,
    }
}

/// Trainable parameters of a method.
pub fn train_mode(settings: &TrainingSettings) -> TrainMode {
    match settings.method {
        Method::Lora => TrainMode::Lora(Lora {
            rank: settings.rank as usize,
            alpha: settings.alpha,
            image: settings.image_tower != TrainedPart::Frozen,
            text: settings.text_tower != TrainedPart::Frozen,
            targets: match settings.mlp {
                true => Target::ALL.to_vec(),
                false => Target::ATTENTION.to_vec(),
            },
        }),
        Method::Full => TrainMode::Full(TrainableParams {
            image: unfreeze(settings.image_tower),
            text: unfreeze(settings.text_tower),
            temperature: settings.temperature,
            // Batches are small in a browser.
            batch_statistics: false,
        }),
        _ => TrainMode::Full(TrainableParams {
            temperature: settings.temperature,
            ..TrainableParams::ALL
        }),
    }
}

fn options(settings: &TrainingSettings, steps: usize, config: &ClipConfig) -> TrainOptions {
    let vit = matches!(config.vision, VisionConfig::Vit(_));
    TrainOptions {
        method: train_mode(settings),
        schedule: WarmupCosine {
            learning_rate: settings.learning_rate,
            warmup_steps: settings.warmup_steps as usize,
            steps,
        },
        // The paper's, by type of image encoder.
        optimizer: AdamWHyperParameters {
            beta1: 0.9,
            beta2: if vit { 0.98 } else { 0.999 },
            epsilon: if vit { 1e-6 } else { 1e-8 },
            weight_decay: settings.weight_decay as f32,
        },
        clip_norm: Some(1.0),
        micro_batch: settings.micro_batch as usize,
        gradient_checkpointing: settings.gradient_checkpointing,
        seed: settings.seed.into(),
    }
}

/// Rejects settings with which nothing can be learnt.
fn check(settings: &TrainingSettings) -> Result<(), TrainingError> {
    let lora = settings.method == Method::Lora;
    let positive = |value: f64| value.is_finite() && value > 0.0;
    for (name, value, fits, expected, why) in [
        (
            "the number of epochs",
            settings.epochs.into(),
            settings.epochs >= 1,
            "at least 1",
            "",
        ),
        (
            "the batch size",
            settings.batch_size.into(),
            settings.batch_size >= 2,
            "at least 2",
            ": the contrastive loss compares the pairs of a batch with each other",
        ),
        (
            "the micro-batch",
            settings.micro_batch.into(),
            settings.micro_batch >= 1,
            "at least 1",
            "",
        ),
        (
            "the LoRA rank",
            settings.rank.into(),
            !lora || settings.rank >= 1,
            "at least 1",
            "",
        ),
        (
            "the learning rate",
            settings.learning_rate,
            positive(settings.learning_rate),
            "a number above 0",
            "",
        ),
        (
            "the weight decay",
            settings.weight_decay,
            settings.weight_decay == 0.0 || positive(settings.weight_decay),
            "a number from 0 on",
            "",
        ),
        (
            "LoRA's alpha",
            settings.alpha,
            !lora || positive(settings.alpha),
            "a number above 0",
            "",
        ),
    ] {
        if !fits {
            return Err(TrainingError::Setting {
                name,
                expected,
                value,
                why,
            });
        }
    }
    Ok(())
}

impl FineTuneJob {
    pub async fn start<H: Host>(
        plan: TrainingPlan,
        host: &H,
        engine: &Engine,
    ) -> Result<Self, TrainingError> {
        let settings = &plan.settings;
        let train = plan
            .samples
            .iter()
            .filter(|sample| !sample.held_out)
            .count();
        check(settings)?;
        if train < 2 {
            return Err(TrainingError::TooFewImages(train));
        }
        let sampler = Sampler::new(train, settings.batch_size as usize, settings.seed.into());
        let steps = settings.epochs as usize * sampler.batches_per_epoch();
        let (model, config) = match settings.method {
            Method::Pretrain => {
                let config = small_config_like(engine.config(), settings)?;
                (
                    init_from_seed(&config, settings.seed.into(), engine.device()),
                    config,
                )
            }
            _ => (host.model(engine).await?, engine.config().clone()),
        };
        let options = options(settings, steps, &config);
        let trainer = Trainer::new(model, config, options)?;
        let run = Checkpoint {
            model: engine.model_info().name.clone(),
            step: 0,
            steps: steps as u32,
            kept_ms: 0.0,
            curves: Curves::default(),
            before: None,
            seconds: 0.0,
            slot: 0,
            state_crc: None,
            plan,
        };
        Ok(Self::new(run, trainer, sampler, host))
    }

    /// Resumes from the latest checkpoint that is whole. Also returns the curves so far, and
    /// a warning if a later one was damaged.
    pub async fn resume<H: Host>(
        host: &H,
        engine: &Engine,
    ) -> Result<(Self, Vec<MetricSeries>, Option<Diagnostic>), TrainingError> {
        let mut damaged: Option<(u32, TrainingError)> = None;
        for run in checkpoints(host).await {
            let here = &engine.model_info().name;
            if run.model != *here {
                return Err(TrainingError::CheckpointOfOtherModel {
                    model: run.model,
                    loaded: here.clone(),
                });
            }
            let step = run.step;
            match Self::restore(run, host, engine).await {
                Ok(job) => {
                    let curves = job.run.curves.named();
                    let note = damaged.map(|(later, why)| {
                        diagnostic!(
                            "earlier-checkpoint",
                            "The checkpoint of step {later} cannot be used ({reason}). Training was resumed from step {step}.",
                            later,
                            reason = why,
                            step
                        )
                    });
                    return Ok((job, curves, note));
                }
                Err(why) => {
                    damaged.get_or_insert((step, why));
                }
            }
        }
        Err(match damaged {
            Some((_, why)) => TrainingError::NoUsableCheckpoint(why.into()),
            None => TrainingError::NoCheckpoint,
        })
    }

    async fn restore<H: Host>(
        run: Checkpoint,
        host: &H,
        engine: &Engine,
    ) -> Result<Self, TrainingError> {
        let state = host.get(CHECKPOINT_STATES[run.slot % 2]).await;
        let state = state.ok_or(TrainingError::CheckpointLost)?;
        if run.state_crc.is_some_and(|crc| crc != checksum(&state)) {
            return Err(TrainingError::CheckpointDamaged);
        }
        let settings = &run.plan.settings;
        let (model, config) = match settings.method {
            Method::Pretrain => {
                let config = small_config_like(engine.config(), settings)?;
                (
                    init_from_seed(&config, settings.seed.into(), engine.device()),
                    config,
                )
            }
            _ => (host.model(engine).await?, engine.config().clone()),
        };
        let (trainer, sampler) = Trainer::resume(model, config, &state)?;
        let sampler = sampler.ok_or(TrainingError::CheckpointIncomplete)?;
        let job = Self::new(run, trainer, sampler, host);
        match job.sampler.examples == job.train.len() {
            true => Ok(job),
            false => Err(TrainingError::CheckpointDamaged),
        }
    }

    fn new<H: Host>(run: Checkpoint, trainer: Trainer, sampler: Sampler, host: &H) -> Self {
        let now = host.now();
        let train: Vec<usize> = (run.plan.samples.iter().enumerate())
            .filter(|(_, sample)| !sample.held_out)
            .map(|(index, _)| index)
            .collect();
        Self {
            held_out: HeldOutSet::new(&run.plan),
            stage: if run.step == 0 {
                Stage::Baseline
            } else {
                Stage::Steps
            },
            prefix: FrozenPrefix::of(trainer.config(), &trainer.options().method).filter(
                |prefix| {
                    let bytes = size_of::<f32>() * prefix.output_len(trainer.config());
                    train.len().saturating_mul(bytes) <= MAX_OUTPUT_BYTES
                },
            ),
            outputs: HashMap::new(),
            train,
            trainer,
            sampler,
            tokens: HashMap::new(),
            progress: ProgressThrottle::new(),
            started_at: now,
            seconds_before: run.seconds,
            checkpoint_due_ms: now + FIRST_CHECKPOINT_MS.min(host.checkpoint_interval_ms()),
            step_ms: 0.0,
            steps_this_session: 0,
            eval_ms: 0.0,
            stopping: false,
            after: Vec::new(),
            original: None,
            shares: Vec::new(),
            mixtures: Vec::new(),
            run,
        }
    }

    /// Stops; the model so far is the result.
    pub fn finish_early(&mut self) {
        self.stopping = true;
    }

    /// One unit of work.
    pub async fn advance<H: Host>(
        &mut self,
        host: &H,
        samples: &mut SampleStore<H::File>,
        engine: &mut Engine,
    ) -> Result<StepResult, TrainingError> {
        match &self.stage {
            Stage::Baseline => self.baseline(host, samples, engine).await,
            Stage::Steps if self.stopping || self.run.step >= self.run.steps => {
                self.start_evaluation(engine).await
            }
            Stage::Steps => self.step(host, samples, engine).await,
            Stage::Measuring { .. } => self.evaluate_next(host, samples, engine).await,
        }
    }

    /// Evaluates the model before training on the held-out part: the original one, or for
    /// pre-training the new one.
    async fn baseline<H: Host>(
        &mut self,
        host: &H,
        samples: &mut SampleStore<H::File>,
        engine: &mut Engine,
    ) -> Result<StepResult, TrainingError> {
        if self.held_out.is_empty() {
            self.stage = Stage::Steps;
            return Ok(StepResult::More);
        }
        if self.run.plan.settings.method == Method::Pretrain {
            return self.start_evaluation(engine).await;
        }
        if samples
            .encode_next_batch(host, engine, &self.held_out.samples)
            .await?
            > 0
        {
            let done = samples.encoded(&self.held_out.samples);
            self.report_evaluation(host, done);
            return Ok(StepResult::More);
        }
        let templates = self.eval_templates();
        let classifier = (engine.classifier(&self.held_out.answers, &templates)).await?;
        let scoring = engine.scoring();
        let probabilities: Vec<Vec<f32>> = (self.held_out.samples.iter())
            .filter_map(|sample| samples.features(*sample))
            .map(|features| zero_shot::probabilities(features, &classifier, scoring))
            .collect();
        let accuracy = self.held_out.evaluate(&probabilities).top_1;
        self.record_accuracy(host, accuracy);
        self.run.before = Some(probabilities);
        self.stage = Stage::Steps;
        Ok(StepResult::More)
    }

    /// A caption is used as a prompt without template.
    fn eval_templates(&self) -> Vec<String> {
        match self.held_out.are_classes {
            true => self.run.plan.templates.clone(),
            false => vec![zero_shot::LABEL_ONLY.into()],
        }
    }

    async fn step<H: Host>(
        &mut self,
        host: &H,
        samples: &mut SampleStore<H::File>,
        engine: &Engine,
    ) -> Result<StepResult, TrainingError> {
        let start = host.now();
        let batch_indices = self.sampler.draw();
        let mut batch = Batch::default();
        let mut ids: Vec<SampleId> = Vec::new();
        for (position, index) in batch_indices.indices.iter().enumerate() {
            let sample: &_ = &self.run.plan.samples[self.train[*index]];
            let (text, caption_id) = sample_caption(
                &self.run.plan,
                sample,
                batch_indices.seed.wrapping_add(position as u64),
            );
            ids.push(sample.sample);
            batch.captions.push(caption_id);
            batch.texts.push(self.tokens(engine, text)?);
        }
        // All samples happen to be of one class: no negatives, no step.
        let same = batch.captions.windows(2).all(|pair| pair[0] == pair[1]);
        if same {
            self.run.step += 1;
            return Ok(StepResult::More);
        }
        (batch.pixels, batch.prefix) =
            (self.images(host, samples, engine, &ids).await?, self.prefix);
        let pictures = batch.len() as f64;
        let report = self.trainer.step(&batch).await?;
        self.run.step += 1;
        self.steps_this_session += 1;
        self.step_ms += host.now() - start;
        let (step, x) = (self.run.step, f64::from(self.run.step));
        let curves = &mut self.run.curves;
        curves.loss.push([x, report.loss.into()]);
        curves.scale.push([x, report.scale.into()]);
        curves.learning_rate.push([x, report.learning_rate]);
        let event = TrainingEvent::Step(TrainingStep {
            step,
            loss: report.loss.into(),
            scale: report.scale.into(),
            learning_rate: report.learning_rate,
        });
        host.emit(event, EventAttachments::Nothing);
        let each = self.step_ms / f64::from(self.steps_this_session) / 1e3;
        let at = TrainingProgress {
            stage: TrainingStage::Steps,
            done: step,
            total: self.run.steps,
            images_per_second: (each > 0.0).then(|| pictures / each),
            seconds_left: Some(each * f64::from(self.run.steps - step)),
        };
        self.progress.report(host, at);
        if host.now() > self.checkpoint_due_ms {
            self.save_checkpoint(host).await;
        }
        let epoch = self.sampler.position >= self.sampler.batches_per_epoch();
        let spent = self.eval_ms / (self.eval_ms + self.step_ms).max(1.0);
        if epoch && spent < MAX_EVAL_SHARE && !self.held_out.is_empty() && step < self.run.steps {
            return self.start_evaluation(engine).await;
        }
        Ok(StepResult::More)
    }

    /// Pixels of samples, or what the frozen part of the image encoder makes of them.
    async fn images<H: Host>(
        &mut self,
        host: &H,
        samples: &mut SampleStore<H::File>,
        engine: &Engine,
        ids: &[SampleId],
    ) -> Result<Vec<Vec<f32>>, TrainingError> {
        let missing = ids.iter().filter(|id| !self.outputs.contains_key(*id));
        let missing: Vec<SampleId> = missing.copied().collect();
        let mut pixels = Vec::with_capacity(missing.len());
        for id in &missing {
            pixels.push(samples.pixels(host, engine, *id).await?);
        }
        let Some(prefix) = self.prefix else {
            return Ok(pixels);
        };
        let outputs = self.trainer.encode_prefix(prefix, &pixels).await?;
        self.outputs.extend(missing.into_iter().zip(outputs));
        let known = ids.iter().filter_map(|id| self.outputs.get(id).cloned());
        Ok(known.collect())
    }

    fn tokens(
        &mut self,
        engine: &Engine,
        text: String,
    ) -> Result<(Vec<u32>, usize), TrainingError> {
        if let Some(known) = self.tokens.get(&text) {
            return Ok(known.clone());
        }
        let config = &engine.config().text;
        let ids = engine.tokens(&text)?.ids;
        let ids = config.unmasked(&ids).to_vec();
        let end = config.pool_index(&ids);
        self.tokens.insert(text, (ids.clone(), end));
        Ok((ids, end))
    }

    /// Saves a checkpoint.
    pub async fn save_checkpoint<H: Host>(&mut self, host: &H) {
        if self.run.step == 0 {
            return;
        }
        self.run.kept_ms = host.now();
        self.checkpoint_due_ms = self.run.kept_ms + host.checkpoint_interval_ms();
        let slot = 1 - self.run.slot % 2;
        self.run.slot = slot;
        self.run.seconds = self.seconds(host);
        let kept = async {
            let bytes = self.trainer.state(Some(&self.sampler)).await?;
            self.run.state_crc = Some(checksum(&bytes));
            let run = serde_json::to_vec(&self.run)?;
            host.put(CHECKPOINT_STATES[slot], &bytes).await?;
            host.put(CHECKPOINT_RUNS[slot], &run).await?;
            Ok::<(), TrainingError>(())
        };
        let event = match kept.await {
            Ok(()) => TrainingEvent::CheckpointSaved {
                step: self.run.step,
            },
            // Tried again after the usual interval.
            Err(why) => TrainingEvent::Remark {
                text: diagnostic!(
                    "checkpoint-not-kept",
                    "The checkpoint could not be saved ({reason}): until one is, an interruption loses what was learnt since the last.",
                    reason = why
                ),
            },
        };
        host.emit(event, EventAttachments::Nothing);
    }

    fn seconds<H: Host>(&self, host: &H) -> f64 {
        self.seconds_before + (host.now() - self.started_at) / 1e3
    }

    /// Starts an evaluation of the current model.
    async fn start_evaluation(&mut self, engine: &Engine) -> Result<StepResult, TrainingError> {
        self.evaluate(self.trainer.model(), None, engine).await
    }

    /// Starts an evaluation of `model`; `share` as in [`Stage::Measuring`].
    async fn evaluate(
        &mut self,
        model: Clip,
        share: Option<f64>,
        engine: &Engine,
    ) -> Result<StepResult, TrainingError> {
        let model = model.pack(WeightPrecision::AsStored);
        let mut classifier = Vec::new();
        let templates = self.eval_templates();
        if !self.held_out.is_empty() {
            for answer in self.held_out.answers.clone() {
                let mut ids = Vec::new();
                for prompt in zero_shot::prompts(&answer, &templates) {
                    ids.push(self.tokens(engine, prompt)?);
                }
                let rows = rows(model.encode_texts(&ids, engine.device())).await?;
                let features: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
                classifier.push(zero_shot::ensemble(&features));
            }
        }
        let scoring = scoring(&model).await?;
        self.stage = Stage::Measuring {
            model: Box::new(model),
            scoring,
            classifier,
            probabilities: Vec::new(),
            ms: 0.0,
            share,
        };
        Ok(StepResult::More)
    }

    async fn evaluate_next<H: Host>(
        &mut self,
        host: &H,
        samples: &mut SampleStore<H::File>,
        engine: &Engine,
    ) -> Result<StepResult, TrainingError> {
        let Stage::Measuring {
            model,
            scoring,
            classifier,
            probabilities,
            ms,
            share,
        } = &mut self.stage
        else {
            return Ok(StepResult::More);
        };
        let start = host.now();
        let done = probabilities.len();
        let batch: Vec<SampleId> = match classifier.is_empty() {
            true => Vec::new(),
            false => (self.held_out.samples.iter().skip(done).take(EVAL_BATCH))
                .copied()
                .collect(),
        };
        if !batch.is_empty() {
            let mut pixels = Vec::with_capacity(batch.len());
            for sample in batch {
                pixels.push(samples.pixels(host, engine, sample).await?);
            }
            let size = engine.config().vision.image_size();
            let shape = [pixels.len(), 3, size, size];
            let data = burn::tensor::TensorData::new(pixels.concat(), shape);
            let images = burn::tensor::Tensor::<4>::from_data(data, engine.device());
            let features = rows(model.image_features(images)).await?;
            let found = features
                .iter()
                .map(|features| zero_shot::probabilities(features, classifier, *scoring));
            probabilities.extend(found);
            let done = probabilities.len();
            *ms += host.now() - start;
            self.eval_ms += host.now() - start;
            self.report_evaluation(host, done);
            return Ok(StepResult::More);
        }
        let probabilities = std::mem::take(probabilities);
        let (ms, share) = (*ms, *share);
        self.stage = Stage::Steps;
        if let Some(share) = share {
            let accuracy = self.held_out.evaluate(&probabilities).top_1;
            self.mixtures.push([share, accuracy]);
            return self.next_mixture(host, engine).await;
        }
        if !self.held_out.is_empty() {
            let accuracy = self.held_out.evaluate(&probabilities).top_1;
            self.record_accuracy(host, accuracy);
        }
        if self.run.step == 0 && self.run.before.is_none() {
            self.run.before = Some(probabilities);
            return Ok(StepResult::More);
        }
        match self.stopping || self.run.step >= self.run.steps {
            false => Ok(StepResult::More),
            true => {
                self.after = probabilities;
                if self.has_mixtures(host, engine, ms) {
                    self.shares = SHARES.into();
                }
                self.next_mixture(host, engine).await
            }
        }
    }

    /// Whether mixtures of the weights before and after training are to be measured, if the last
    /// evaluation took `ms`, and there is memory for them.
    fn has_mixtures<H: Host>(&self, host: &H, engine: &Engine, ms: f64) -> bool {
        let seconds = self.seconds(host);
        let kept = self.run.plan.settings.method != Method::Pretrain;
        let learnt = self.trainer.steps() > 0;
        let known = !self.held_out.is_empty() && self.run.before.is_some();
        let quick = SHARES.len() as f64 * ms <= MIXTURES_MS.max(MAX_EVAL_SHARE * 1e3 * seconds);
        // The engine's model, the trained one, the original and the mixture.
        let bytes = 4 * size_of::<f32>() as u64 * engine.model_info().parameters;
        let fits = (host.memory(engine.device_info().gpu)).is_none_or(|memory| bytes <= memory);
        kept && learnt && known && quick && fits
    }

    /// Measures the next mixture, or finishes.
    async fn next_mixture<H: Host>(
        &mut self,
        host: &H,
        engine: &Engine,
    ) -> Result<StepResult, TrainingError> {
        let Some(share) = self.shares.pop() else {
            self.original = None;
            return self.finish(host, engine).await;
        };
        let original = match self.original.take() {
            Some(original) => original,
            None => host.model(engine).await?,
        };
        let mixed = interpolate(&original, merge_lora(self.trainer.model()), share)?;
        self.original = Some(original);
        self.evaluate(mixed, Some(share), engine).await
    }

    /// Accuracy by share of the trained weights, from none to all.
    fn mixture_curve(&self, before: &Evaluation, after: &Evaluation) -> MetricSeries {
        let mut points = self.mixtures.clone();
        points.extend([[0.0, before.top_1], [1.0, after.top_1]]);
        points.sort_by(|a, b| a[0].total_cmp(&b[0]));
        MetricSeries {
            name: MIXTURES.into(),
            x: "share".into(),
            points,
        }
    }

    fn report_evaluation<H: Host>(&mut self, host: &H, done: usize) {
        let at = TrainingProgress {
            stage: TrainingStage::Evaluating,
            done: done as u32,
            total: self.held_out.samples.len() as u32,
            images_per_second: None,
            seconds_left: None,
        };
        self.progress.report(host, at);
    }

    fn record_accuracy<H: Host>(&mut self, host: &H, accuracy: f64) {
        let step = self.run.step;
        self.run.curves.accuracy.push([f64::from(step), accuracy]);
        let event = TrainingEvent::Measured { step, accuracy };
        host.emit(event, EventAttachments::Nothing);
    }

    async fn finish<H: Host>(
        &mut self,
        host: &H,
        engine: &Engine,
    ) -> Result<StepResult, TrainingError> {
        let after = std::mem::take(&mut self.after);
        let plan = &self.run.plan;
        let artifact = TrainedArtifact::from_trainer(&self.trainer, plan, engine).await?;
        let has_held_out = !self.held_out.is_empty();
        let before = self
            .run
            .before
            .take()
            .filter(|before| before.len() == after.len());
        let mut notes = plan.notes.clone();
        if !has_held_out {
            let why = "no usable images were held out, so the result was not evaluated";
            notes.push(why.into());
        }
        if self.run.step < self.run.steps {
            notes.push(format!(
                "stopped after {} of {} steps",
                self.run.step, self.run.steps
            ));
        }
        let taken = self.trainer.steps() as u32;
        match self.run.step - taken.min(self.run.step) {
            0 if taken == 0 => {
                notes.push("stopped before the first step: nothing was learnt".into());
            }
            skipped if taken == 0 => notes.push(format!(
                "nothing was learnt: in each of the {skipped} batches all images had the same \
                 caption or class, so that there was nothing to tell apart"
            )),
            0 => {}
            skipped => notes.push(format!(
                "{skipped} of {} batches were skipped: all of their images had the same caption or class",
                self.run.step
            )),
        }
        let evaluated = before.as_ref().map(|before| self.held_out.evaluate(before));
        let evaluated_after = has_held_out.then(|| self.held_out.evaluate(&after));
        let mut curves = self.run.curves.named();
        if let (Some(before), Some(after)) = (&evaluated, &evaluated_after)
            && !self.mixtures.is_empty()
        {
            curves.push(self.mixture_curve(before, after));
        }
        let images = f64::from(self.steps_this_session) * self.sampler.batch_size as f64;
        let report = TrainingReport {
            method: plan.settings.method,
            model: self.run.model.clone(),
            device: engine.device_info().name.clone(),
            settings: settings_map(&plan.settings, &plan.templates),
            data: data_report(plan),
            curves,
            before: evaluated,
            after: evaluated_after,
            seconds: self.seconds(host),
            images_per_second: match self.step_ms > 0.0 {
                true => images / (self.step_ms / 1e3),
                false => 0.0,
            },
            notes,
        };
        let answers = match &before {
            Some(before) => self.held_out.compare(before, &after),
            None => self.held_out.compare(&after, &after),
        };
        let outcome = Outcome {
            report,
            answers: if has_held_out { answers } else { Vec::new() },
            trained: artifact.describe(),
        };
        Ok(StepResult::Done(Box::new(outcome), Box::new(artifact)))
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Settings as a map, for the report.
fn settings_map(
    settings: &TrainingSettings,
    templates: &[String],
) -> std::collections::BTreeMap<String, Value> {
    let mut settings_map = match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields.into_iter().collect(),
        _ => std::collections::BTreeMap::new(),
    };
    settings_map.insert("templates".into(), json!(templates));
    settings_map
}

/// Samples a caption for this epoch, and an id shared by equal captions.
fn sample_caption(
    plan: &TrainingPlan,
    sample: &crate::engine::messages::PlannedSample,
    seed: u64,
) -> (String, u64) {
    let choose = |count: usize| (hash(seed) % count.max(1) as u64) as usize;
    if let Some(caption) = sample.captions.get(choose(sample.captions.len())) {
        let mut hasher = DefaultHasher::new();
        caption.hash(&mut hasher);
        return (caption.clone(), hasher.finish());
    }
    let class = sample.class.unwrap_or_default();
    let name = plan
        .classes
        .get(class as usize)
        .cloned()
        .unwrap_or_default();
    let prompts = zero_shot::prompts(&name, &plan.templates);
    let prompt = prompts.get(choose(prompts.len())).cloned().unwrap_or(name);
    (prompt, class.into())
}

fn hash(number: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    number.hash(&mut hasher);
    hasher.finish()
}

async fn rows(features: burn::tensor::Tensor<2>) -> Result<Vec<Vec<f32>>, TrainingError> {
    let [_, columns] = features.dims();
    let values =
        (read_back(features).await).map_err(|error| TrainingError::Device(error.to_string()))?;
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(values.chunks(columns.max(1)).map(<[f32]>::to_vec).collect()),
        false => Err(TrainingError::NotFinite),
    }
}
