//! LoRA, fine-tuning and pre-training, step by step; its state is kept so often
//! that little is lost, whatever breaks off.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::measure::{Exam, by_words, data_report};
use super::product::Product;
use super::samples::Samples;
use super::{Beside, Host, Piece, Ticker};
use crate::engine::Engine;
use crate::engine::messages::{
    Outcome, SampleId, TrainedPart, TrainingEvent, TrainingPlan, TrainingProgress,
    TrainingSettings, TrainingStage, TrainingStep,
};
use crate::model::{ClipConfig, Packing, TokenBatch, VisionConfig, VitConfig};
use crate::train::{
    AdamWHyperParameters, Batch, Curve, Learning, Lora, Method, Parts, Sampler, Target, Tower,
    TrainOptions, Trainer, TrainingReport, WarmupCosine, fresh,
};
use crate::zero_shot;

/// What is kept of a run, and its weights and moments: each in two places by
/// turns, so that one is whole while the other is written.
const RUNS: [&str; 2] = ["run-0", "run-1"];
const STATES: [&str; 2] = ["state-0", "state-1"];
/// Milliseconds between two states that are kept.
const KEEP_EVERY: f64 = 25e3;
/// Of the time, measuring along the way takes no more than this share.
const MEASURING: f64 = 0.1;
/// Pictures that are measured at once.
const AT_ONCE: usize = 16;

/// A run as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptRun {
    pub plan: TrainingPlan,
    /// Name of the model that it was begun with.
    pub model: String,
    pub step: u32,
    pub steps: u32,
    pub kept_ms: f64,
    curves: Curves,
    before: Option<Vec<Vec<f32>>>,
    seconds: f64,
    /// Which place it is kept in.
    place: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Curves {
    loss: Vec<[f64; 2]>,
    scale: Vec<[f64; 2]>,
    learning_rate: Vec<[f64; 2]>,
    accuracy: Vec<[f64; 2]>,
}

impl Curves {
    fn named(&self) -> Vec<Curve> {
        [
            ("loss", &self.loss),
            ("scale", &self.scale),
            ("learning_rate", &self.learning_rate),
            ("accuracy", &self.accuracy),
        ]
        .map(|(name, points)| Curve {
            name: name.into(),
            x: "step".into(),
            points: points.clone(),
        })
        .into()
    }
}

/// A run that can go on, if one was kept.
pub async fn kept<H: Host>(host: &H) -> Option<KeptRun> {
    let mut latest: Option<KeptRun> = None;
    for name in RUNS {
        let read = host.get(name).await.unwrap_or_default();
        if let Ok(run) = serde_json::from_slice::<KeptRun>(&read)
            && latest
                .as_ref()
                .is_none_or(|other| other.kept_ms < run.kept_ms)
        {
            latest = Some(run);
        }
    }
    latest
}

/// Nothing is left of a run.
pub async fn forget<H: Host>(host: &H) {
    for name in RUNS.into_iter().chain(STATES) {
        host.delete(name).await;
    }
}

pub struct TowerJob {
    run: KeptRun,
    trainer: Trainer,
    sampler: Sampler,
    /// Indices of the samples that are learnt from.
    train: Vec<usize>,
    exam: Exam,
    stage: Stage,
    tokens: HashMap<String, (Vec<u32>, usize)>,
    ticker: Ticker,
    /// When this worker took it up.
    begun: f64,
    seconds_before: f64,
    kept_at: f64,
    step_ms: f64,
    steps_here: u32,
    measure_ms: f64,
    ending: bool,
}

enum Stage {
    /// The held-out part, before anything was learnt.
    Before,
    Steps,
    /// The held-out part with what was learnt so far: the classifier, and the
    /// features of as many samples as there were.
    Measuring {
        model: Box<crate::model::Clip>,
        classifier: Vec<Vec<f32>>,
        probabilities: Vec<Vec<f32>>,
    },
}

/// The small model that pre-training begins with: it reads the same tokens and
/// sees pictures of the same size as the one that is loaded.
pub fn beginner(like: &ClipConfig, settings: &TrainingSettings) -> ClipConfig {
    let (width, layers) = (settings.width as usize, settings.layers as usize);
    let image_size = like.vision.image_size();
    let heads = (width / 32).max(1);
    let mut text = like.text.clone();
    (text.width, text.layers, text.heads, text.mlp_width) = (width, layers, heads, 4 * width);
    ClipConfig {
        embed_dim: width,
        vision: VisionConfig::Vit(VitConfig {
            image_size,
            patch_size: (image_size / 8).max(1),
            width,
            layers,
            heads,
            mlp_width: 4 * width,
            activation: text.activation,
            layer_norm_eps: 1e-5,
        }),
        text,
    }
}

fn tower(part: TrainedPart) -> Tower {
    match part {
        TrainedPart::Frozen => Tower::Frozen,
        TrainedPart::Last(blocks) => Tower::Last(blocks as usize),
        TrainedPart::Whole => Tower::Whole,
    }
}

/// What of the model learns.
pub fn learning(settings: &TrainingSettings) -> Learning {
    match settings.method {
        Method::Lora => Learning::Lora(Lora {
            rank: settings.rank as usize,
            alpha: settings.alpha,
            image: settings.image_tower != TrainedPart::Frozen,
            text: settings.text_tower != TrainedPart::Frozen,
            targets: match settings.mlp {
                true => Target::ALL.to_vec(),
                false => Target::ATTENTION.to_vec(),
            },
        }),
        Method::Full => Learning::Full(Parts {
            image: tower(settings.image_tower),
            text: tower(settings.text_tower),
            temperature: settings.temperature,
            // Batches here are small.
            batch_statistics: false,
        }),
        _ => Learning::Full(Parts {
            temperature: settings.temperature,
            ..Parts::ALL
        }),
    }
}

fn options(settings: &TrainingSettings, steps: usize, config: &ClipConfig) -> TrainOptions {
    let vit = matches!(config.vision, VisionConfig::Vit(_));
    TrainOptions {
        method: learning(settings),
        schedule: WarmupCosine {
            learning_rate: settings.learning_rate,
            warmup_steps: settings.warmup_steps as usize,
            steps,
        },
        // The paper's, by kind of image encoder.
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

impl TowerJob {
    pub async fn start<H: Host>(
        plan: TrainingPlan,
        host: &H,
        engine: &Engine,
    ) -> Result<Self, String> {
        let settings = &plan.settings;
        let train = plan
            .samples
            .iter()
            .filter(|sample| !sample.held_out)
            .count();
        let sampler = Sampler::new(train, settings.batch_size as usize, settings.seed.into());
        let steps = settings.epochs as usize * sampler.batches_per_epoch();
        if steps == 0 {
            return Err("there is nothing to train on: add images".into());
        }
        let (model, config) = match settings.method {
            Method::Pretrain => {
                let config = beginner(engine.config(), settings);
                let config = config.checked("the settings").map_err(|e| e.to_string())?;
                (
                    fresh(&config, settings.seed.into(), engine.device()),
                    config,
                )
            }
            _ => (host.model(engine).await?, engine.config().clone()),
        };
        let options = options(settings, steps, &config);
        let trainer = Trainer::new(model, config, options).map_err(|e| e.to_string())?;
        let run = KeptRun {
            model: engine.model_info().name.clone(),
            step: 0,
            steps: steps as u32,
            kept_ms: 0.0,
            curves: Curves::default(),
            before: None,
            seconds: 0.0,
            place: 0,
            plan,
        };
        Ok(Self::new(run, trainer, sampler, host.now()))
    }

    /// Takes up what was kept.
    pub async fn resume<H: Host>(host: &H, engine: &Engine) -> Result<(Self, Vec<Curve>), String> {
        let run = kept(host)
            .await
            .ok_or("there is no interrupted training run: start it again")?;
        let here = &engine.model_info().name;
        if run.model != *here {
            return Err(format!(
                "this training run uses the model {}, but {here} is loaded: load that model and resume again",
                run.model
            ));
        }
        let state = host.get(STATES[run.place % 2]).await;
        let state = state.ok_or("the checkpoint no longer exists: start the training again")?;
        let settings = &run.plan.settings;
        let model = match settings.method {
            Method::Pretrain => {
                let config = beginner(engine.config(), settings);
                fresh(&config, settings.seed.into(), engine.device())
            }
            _ => host.model(engine).await?,
        };
        let (trainer, sampler) = Trainer::resume(model, &state).map_err(|e| e.to_string())?;
        let sampler = sampler.ok_or("the checkpoint is incomplete: start the training again")?;
        let curves = run.curves.named();
        Ok((Self::new(run, trainer, sampler, host.now()), curves))
    }

    fn new(run: KeptRun, trainer: Trainer, sampler: Sampler, now: f64) -> Self {
        let train = (run.plan.samples.iter().enumerate())
            .filter(|(_, sample)| !sample.held_out)
            .map(|(index, _)| index)
            .collect();
        Self {
            exam: Exam::new(&run.plan),
            stage: if run.step == 0 {
                Stage::Before
            } else {
                Stage::Steps
            },
            train,
            trainer,
            sampler,
            tokens: HashMap::new(),
            ticker: Ticker::new(),
            begun: now,
            seconds_before: run.seconds,
            // The first state soon: a reload should not find nothing.
            kept_at: now - KEEP_EVERY + 5e3,
            step_ms: 0.0,
            steps_here: 0,
            measure_ms: 0.0,
            ending: false,
            run,
        }
    }

    /// What was learnt so far is the result.
    pub fn finish_early(&mut self) {
        self.ending = true;
    }

    /// One piece of it.
    pub async fn advance<H: Host>(
        &mut self,
        host: &H,
        samples: &mut Samples<H::File>,
        engine: &mut Engine,
    ) -> Result<Piece, String> {
        match &self.stage {
            Stage::Before => self.before(host, samples, engine).await,
            Stage::Steps if self.ending || self.run.step >= self.run.steps => {
                self.measure_next(engine).await
            }
            Stage::Steps => self.step(host, samples, engine).await,
            Stage::Measuring { .. } => self.measure(host, samples, engine).await,
        }
    }

    /// What the model said of the held-out part before.
    async fn before<H: Host>(
        &mut self,
        host: &H,
        samples: &mut Samples<H::File>,
        engine: &mut Engine,
    ) -> Result<Piece, String> {
        if self.exam.is_empty() {
            self.stage = Stage::Steps;
            return Ok(Piece::More);
        }
        if samples
            .encode_some(host, engine, &self.exam.samples)
            .await?
            > 0
        {
            let done = samples.encoded(&self.exam.samples);
            self.tell_measuring(host, done);
            return Ok(Piece::More);
        }
        let templates = self.exam_templates();
        let classifier = (engine.classifier(&self.exam.answers, &templates).await)
            .map_err(|error| error.to_string())?;
        let scale = engine.logit_scale().exp();
        let probabilities: Vec<Vec<f32>> = (self.exam.samples.iter())
            .filter_map(|sample| samples.features(*sample))
            .map(|features| by_words(features, &classifier, scale))
            .collect();
        let accuracy = self.exam.mark(&probabilities).top_1;
        // A beginner is not that model.
        if self.run.plan.settings.method != Method::Pretrain {
            self.note_accuracy(host, accuracy);
        }
        self.run.before = Some(probabilities);
        self.stage = Stage::Steps;
        Ok(Piece::More)
    }

    /// A caption is a prompt as it is.
    fn exam_templates(&self) -> Vec<String> {
        match self.exam.are_classes {
            true => self.run.plan.templates.clone(),
            false => vec!["{label}".into()],
        }
    }

    async fn step<H: Host>(
        &mut self,
        host: &H,
        samples: &mut Samples<H::File>,
        engine: &Engine,
    ) -> Result<Piece, String> {
        let start = host.now();
        let draw = self.sampler.draw();
        let mut batch = Batch::default();
        for (place, index) in draw.indices.iter().enumerate() {
            let sample: &_ = &self.run.plan.samples[self.train[*index]];
            let (text, meaning) =
                said(&self.run.plan, sample, draw.seed.wrapping_add(place as u64));
            let id: SampleId = sample.sample;
            batch.captions.push(meaning);
            batch.texts.push(self.tokens(engine, text)?);
            batch.pixels.push(samples.pixels(host, engine, id).await?);
        }
        // By chance all of one class: nothing to tell apart, and nothing learnt.
        let same = batch.captions.windows(2).all(|pair| pair[0] == pair[1]);
        if same {
            self.run.step += 1;
            return Ok(Piece::More);
        }
        let pictures = batch.len() as f64;
        let report = self
            .trainer
            .step(&batch)
            .await
            .map_err(|error| error.to_string())?;
        self.run.step += 1;
        self.steps_here += 1;
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
        host.say(event, Beside::Nothing);
        let each = self.step_ms / f64::from(self.steps_here) / 1e3;
        let at = TrainingProgress {
            stage: TrainingStage::Steps,
            done: step,
            total: self.run.steps,
            images_per_second: (each > 0.0).then(|| pictures / each),
            seconds_left: Some(each * f64::from(self.run.steps - step)),
        };
        self.ticker.tell(host, at);
        if host.now() - self.kept_at > KEEP_EVERY {
            self.keep(host).await;
        }
        let epoch = self.sampler.position >= self.sampler.batches_per_epoch();
        let spent = self.measure_ms / (self.measure_ms + self.step_ms).max(1.0);
        if epoch && spent < MEASURING && !self.exam.is_empty() && step < self.run.steps {
            return self.measure_next(engine).await;
        }
        Ok(Piece::More)
    }

    fn tokens(&mut self, engine: &Engine, text: String) -> Result<(Vec<u32>, usize), String> {
        if let Some(known) = self.tokens.get(&text) {
            return Ok(known.clone());
        }
        let ids = engine.tokens(&text).map_err(|error| error.to_string())?.ids;
        let end = engine.config().text.end_of_text(&ids);
        self.tokens.insert(text, (ids.clone(), end));
        Ok((ids, end))
    }

    /// Keeps the state: from here it goes on, should anything break off.
    pub async fn keep<H: Host>(&mut self, host: &H) {
        if self.run.step == 0 {
            return;
        }
        self.kept_at = host.now();
        let place = 1 - self.run.place % 2;
        self.run.place = place;
        self.run.kept_ms = self.kept_at;
        self.run.seconds = self.seconds(host);
        let kept = async {
            let bytes = self.trainer.state(Some(&self.sampler)).await;
            let bytes = bytes.map_err(|error| error.to_string())?;
            let run = serde_json::to_vec(&self.run).map_err(|error| error.to_string())?;
            host.put(STATES[place], &bytes).await?;
            host.put(RUNS[place], &run).await
        };
        let event = match kept.await {
            Ok(()) => TrainingEvent::Kept {
                step: self.run.step,
            },
            // Tried again, but not all the time.
            Err(why) => TrainingEvent::Remark {
                text: format!(
                    "The checkpoint could not be saved ({why}). Keep this page open until training has finished."
                ),
            },
        };
        host.say(event, Beside::Nothing);
    }

    fn seconds<H: Host>(&self, host: &H) -> f64 {
        self.seconds_before + (host.now() - self.begun) / 1e3
    }

    /// Begins to measure what was learnt so far.
    async fn measure_next(&mut self, engine: &Engine) -> Result<Piece, String> {
        let model = self.trainer.model().pack(Packing::Exact);
        let mut classifier = Vec::new();
        let templates = self.exam_templates();
        if !self.exam.is_empty() {
            for answer in self.exam.answers.clone() {
                let mut ids = Vec::new();
                for prompt in zero_shot::prompts(&answer, &templates) {
                    ids.push(self.tokens(engine, prompt)?);
                }
                let tokens = TokenBatch::new(&ids, engine.device());
                let rows = rows(model.text_features(tokens)).await?;
                let features: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
                classifier.push(zero_shot::ensemble(&features));
            }
        }
        self.stage = Stage::Measuring {
            model: Box::new(model),
            classifier,
            probabilities: Vec::new(),
        };
        Ok(Piece::More)
    }

    async fn measure<H: Host>(
        &mut self,
        host: &H,
        samples: &mut Samples<H::File>,
        engine: &Engine,
    ) -> Result<Piece, String> {
        let Stage::Measuring {
            model,
            classifier,
            probabilities,
        } = &mut self.stage
        else {
            return Ok(Piece::More);
        };
        let start = host.now();
        let done = probabilities.len();
        let batch: Vec<SampleId> = match classifier.is_empty() {
            true => Vec::new(),
            false => (self.exam.samples.iter().skip(done).take(AT_ONCE))
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
            let scale = f32::exp(
                self.run
                    .curves
                    .scale
                    .last()
                    .map_or(0.0, |s| s[1] as f32)
                    .ln(),
            );
            let found = features
                .iter()
                .map(|features| by_words(features, classifier, scale));
            probabilities.extend(found);
            let done = probabilities.len();
            self.measure_ms += host.now() - start;
            self.tell_measuring(host, done);
            return Ok(Piece::More);
        }
        let probabilities = std::mem::take(probabilities);
        self.stage = Stage::Steps;
        if !self.exam.is_empty() {
            let accuracy = self.exam.mark(&probabilities).top_1;
            self.note_accuracy(host, accuracy);
        }
        match self.ending || self.run.step >= self.run.steps {
            false => Ok(Piece::More),
            true => self.finish(host, engine, probabilities).await,
        }
    }

    fn tell_measuring<H: Host>(&mut self, host: &H, done: usize) {
        let at = TrainingProgress {
            stage: TrainingStage::Measuring,
            done: done as u32,
            total: self.exam.samples.len() as u32,
            images_per_second: None,
            seconds_left: None,
        };
        self.ticker.tell(host, at);
    }

    fn note_accuracy<H: Host>(&mut self, host: &H, accuracy: f64) {
        let step = self.run.step;
        self.run.curves.accuracy.push([f64::from(step), accuracy]);
        let event = TrainingEvent::Measured { step, accuracy };
        host.say(event, Beside::Nothing);
    }

    async fn finish<H: Host>(
        &mut self,
        host: &H,
        engine: &Engine,
        after: Vec<Vec<f32>>,
    ) -> Result<Piece, String> {
        let plan = &self.run.plan;
        let product = Product::of_trainer(&self.trainer, plan, engine).await?;
        let examined = !self.exam.is_empty();
        let before = self
            .run
            .before
            .take()
            .filter(|before| before.len() == after.len());
        let mut notes = Vec::new();
        if !examined {
            let why = "no usable images were held out, so the result was not evaluated";
            notes.push(why.into());
        }
        if self.run.step < self.run.steps {
            notes.push(format!(
                "stopped after {} of {} steps",
                self.run.step, self.run.steps
            ));
        }
        let each = self.step_ms / f64::from(self.steps_here.max(1)) / 1e3;
        let report = TrainingReport {
            method: plan.settings.method,
            model: self.run.model.clone(),
            device: engine.device_info().name.clone(),
            settings: listed(&plan.settings, &plan.templates),
            data: data_report(plan),
            curves: self.run.curves.named(),
            before: (before.as_ref()).map(|before| self.exam.mark(before)),
            after: examined.then(|| self.exam.mark(&after)),
            seconds: self.seconds(host),
            images_per_second: self.sampler.batch_size as f64 / each.max(1e-6),
            notes,
        };
        let answers = match &before {
            Some(before) => self.exam.compare(before, &after),
            None => self.exam.compare(&after, &after),
        };
        let outcome = Outcome {
            report,
            answers: if examined { answers } else { Vec::new() },
            trained: product.describe(),
        };
        Ok(Piece::Done(Box::new(outcome), Box::new(product)))
    }
}

/// Settings as the report lists them.
fn listed(
    settings: &TrainingSettings,
    templates: &[String],
) -> std::collections::BTreeMap<String, Value> {
    let mut listed = match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields.into_iter().collect(),
        _ => std::collections::BTreeMap::new(),
    };
    listed.insert("templates".into(), json!(templates));
    listed
}

/// What is said of a picture this time, and a number that is the same for all
/// that means the same.
fn said(
    plan: &TrainingPlan,
    sample: &crate::engine::messages::PlannedSample,
    chance: u64,
) -> (String, u64) {
    let pick = |count: usize| (scattered(chance) % count.max(1) as u64) as usize;
    if let Some(caption) = sample.captions.get(pick(sample.captions.len())) {
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
    let prompt = prompts.get(pick(prompts.len())).cloned().unwrap_or(name);
    (prompt, class.into())
}

fn scattered(number: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    number.hash(&mut hasher);
    hasher.finish()
}

async fn rows(features: burn::tensor::Tensor<2>) -> Result<Vec<Vec<f32>>, String> {
    let [_, columns] = features.dims();
    let data = features
        .into_data_async()
        .await
        .map_err(|error| format!("{error:?}"))?;
    let values = data
        .try_into_vec::<f32>()
        .map_err(|error| format!("{error:?}"))?;
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(values.chunks(columns.max(1)).map(<[f32]>::to_vec).collect()),
        false => Err("the model's output is not finite: try a smaller learning rate".into()),
    }
}
