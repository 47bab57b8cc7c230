//! What page and worker say to each other: one file, so that they cannot drift.
//!
//! The page owns what the visitor brought (files, labels, templates) and can
//! start a fresh worker at any time and tell it everything again; the worker
//! owns the device, the model and the features it computed.
//!
//! A message crosses as a JavaScript object `{ message, bytes, files }`:
//! `message` is the serde form of [`Request`] or [`Event`]. Beside it, where its
//! description says so, go `bytes` (an `ArrayBuffer`, or with
//! [`TrainingEvent::Exported`] an array of them), which are transferred, not
//! copied, or `files`, an array of `File`s.

use serde::{Deserialize, Serialize};

use super::Place;
use crate::train::{Method, MetricSeries, Problem, TrainingReport};

/// Where the visitor wants the model to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// The GPU where there is one, else the CPU.
    #[default]
    Auto,
    Gpu,
    Cpu,
}

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelSource {
    /// It ships with the page.
    #[default]
    Bundled,
    /// Over the network.
    Place(Place),
    /// Files of the visitor, which travel beside the message.
    Files,
}

/// The two activations that CLIPs have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationChoice {
    QuickGelu,
    Gelu,
}

/// A model that this browser keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedModel {
    /// As it was asked for.
    pub model: String,
    pub bytes: u64,
    /// `false` for a download that broke off.
    pub complete: bool,
}

/// From the page to the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Choose a device and load a model. First message to a worker, sent once.
    Open {
        device: DeviceChoice,
        source: ModelSource,
        /// Address of the hub that names are looked up on.
        hub: String,
        /// For weights without a config, which do not show it.
        activation: Option<ActivationChoice>,
        /// 8-bit weights, where it comes to run on the CPU.
        #[serde(default)]
        int8: bool,
        /// How many threads, where it comes to run on the CPU; if not said, as many
        /// as the model and the machine have use for.
        #[serde(default)]
        threads: Option<u32>,
    },
    /// Delete all that is kept of a model.
    DeleteKept { model: String },
    /// Encode one picture, whose file travels beside the message.
    AddImage { image: ImageId, name: String },
    /// Forget a picture, encoded or still waiting.
    RemoveImage { image: ImageId },
    /// The labels and prompt templates to classify with from now on. Every
    /// known picture is answered again; prompts seen before cost nothing.
    Classify {
        /// Counted up by the page; comes back with the answers, so that late
        /// ones to an older question can be told apart.
        question: u32,
        labels: Vec<String>,
        /// Each holds `{label}`. Features of several templates are averaged on
        /// the unit sphere.
        templates: Vec<String>,
    },
    /// Drop all work that waits: pictures not yet encoded, prompts not yet encoded.
    Cancel,
    /// Time the encoders on made-up pictures and texts, all `images` and all
    /// `texts` (of full length) at once, `runs` times over.
    Measure { images: u32, texts: u32, runs: u32 },
    /// Everything about training.
    Training(TrainingRequest),
}

/// From the worker to the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// While the model loads.
    Loading {
        stage: LoadStage,
        done: u64,
        /// 0 when unknown.
        total: u64,
    },
    /// The model is loaded; pictures and questions are worked on from here.
    Ready {
        model: ModelInfo,
        device: DeviceInfo,
    },
    /// The models that this browser keeps. Comes after every [`Request::Open`]
    /// and [`Request::DeleteKept`].
    Kept { models: Vec<CachedModel> },
    /// Something the visitor should know, such as that a model could not be kept.
    Remark { text: String },
    /// The model could not be opened; this worker is of no more use.
    OpenFailed {
        error: String,
        /// Whether it was the GPU's fault, so that the CPU may do better.
        #[serde(default)]
        gpu: bool,
    },
    /// Work on a picture begins. Should the worker die before the next event
    /// about a picture, it was this one, and the page will not send it again.
    EncodingImage { image: ImageId },
    /// A picture's features are known.
    ImageEncoded {
        image: ImageId,
        /// Size in pixels, after EXIF orientation.
        width: u32,
        height: u32,
        /// Decoding and resizing.
        preprocess_ms: f64,
        /// The image encoder alone.
        encode_ms: f64,
    },
    /// A picture cannot be used; the others go on.
    ImageFailed { image: ImageId, error: String },
    /// Prompts of the current question that are being encoded.
    EncodingTexts {
        question: u32,
        done: u32,
        total: u32,
    },
    /// All prompts of a question are encoded (or known from before).
    TextsEncoded {
        question: u32,
        /// Prompts that had to be encoded now; the rest came from the cache.
        encoded: u32,
        encode_ms: f64,
        /// Such as prompts that were cut at `context_length`. Shown, not fatal.
        notes: Vec<String>,
    },
    /// A question cannot be answered (no labels, a template without `{label}`).
    QuestionFailed { question: u32, error: String },
    /// The labels ranked for one picture, most likely first.
    Answer {
        question: u32,
        image: ImageId,
        ranking: Vec<Ranked>,
    },
    /// [`Request::Cancel`] took effect; these pictures were dropped.
    Cancelled { images: Vec<ImageId> },
    /// What [`Request::Measure`] found.
    Measured(Measured),
    /// The model cannot be measured.
    MeasureFailed { error: String },
    /// Everything about training.
    Training(TrainingEvent),
    /// The GPU went away or the worker's code trapped: the page starts a fresh worker.
    Died {
        error: String,
        /// Whether it was the GPU that was lost.
        gpu: bool,
    },
}

/// A picture, numbered by the page.
pub type ImageId = u32;

/// A picture to learn from, numbered by the page.
pub type SampleId = u32;

/// What the page asks of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrainingRequest {
    /// Say what is kept, with [`TrainingEvent::Found`]. Comes first, and only
    /// from the tab whose turn it is: what is kept has one place for all tabs.
    Begin,
    /// Keep everything and forget it: another tab goes on with it.
    HandOver,
    /// Pictures to learn from; their files travel beside the message, in this
    /// order. Each is read once and, where the browser has room, kept for a
    /// later visit.
    AddSamples { samples: Vec<SampleId> },
    /// Forget them.
    RemoveSamples { samples: Vec<SampleId> },
    /// What the page knows of its samples, in a form of its own, to be given
    /// back by [`TrainingEvent::Found`] in a later visit.
    KeepProject { project: String },
    /// What a training would take; answered by [`TrainingEvent::Estimated`].
    Estimate {
        settings: TrainingSettings,
        /// Examples learnt from, and measured on.
        train: u32,
        held_out: u32,
    },
    /// Begin. Whatever was trained before is replaced once this is finished.
    Start { plan: TrainingPlan },
    /// Wait after the step that is being computed.
    Pause,
    /// Go on: after a pause, or with what an earlier visit kept.
    Resume,
    /// End it now. What was learnt so far counts as the result, or is forgotten.
    Stop { discard: bool },
    /// Forget an interrupted training of an earlier visit.
    Discard,
    /// The trained thing as files.
    Export { what: Export },
    /// Files of a probe, an adapter or a LoRA, which travel beside the message.
    Import,
    /// Classify with what was trained or imported, or as before.
    Use { trained: bool },
}

/// What the worker says about training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrainingEvent {
    /// What earlier visits left, or an earlier worker of this one. The samples'
    /// files travel beside the message.
    Found {
        project: Option<String>,
        samples: Vec<SampleId>,
        interrupted: Option<Interrupted>,
        trained: Option<Trained>,
    },
    /// [`TrainingRequest::HandOver`] took effect.
    HandedOver,
    /// Files of samples were read; some at a time.
    SamplesRead {
        samples: Vec<SampleReading>,
    },
    Estimated(Estimate),
    Progress(TrainingProgress),
    /// After each step of the methods that have steps.
    Step(TrainingStep),
    /// The held-out part was measured along the way.
    Measured {
        step: u32,
        accuracy: f64,
    },
    /// After [`TrainingRequest::Resume`] of a training that this page did not
    /// see: how it went until then.
    Curves {
        curves: Vec<MetricSeries>,
    },
    /// The state was kept: should anything break off, it goes on from here.
    Kept {
        step: u32,
    },
    /// [`TrainingRequest::Pause`] took effect.
    Paused,
    /// It goes on, or begins.
    Running,
    /// [`TrainingRequest::Stop`] or [`TrainingRequest::Discard`] took effect,
    /// and nothing is left of it.
    Stopped,
    Finished(Box<Outcome>),
    /// The training cannot start or go on.
    Failed {
        error: String,
    },
    /// The files' bytes travel beside the message, in this order.
    Exported {
        files: Vec<String>,
    },
    ExportFailed {
        error: String,
    },
    Imported(Trained),
    ImportFailed {
        error: String,
    },
    /// What pictures are classified with from now on; `None` for the model with
    /// the visitor's labels. Pictures whose features are another model's now
    /// have to be sent again, which `encode_again` tells.
    InUse {
        trained: Option<Trained>,
        encode_again: bool,
    },
    /// Something the visitor should know, such as that samples could not be kept.
    Remark {
        text: String,
    },
}

/// What the file of a sample turned out to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleReading {
    pub sample: SampleId,
    /// A fingerprint, equal for equal files; or why it cannot be used.
    pub file: Result<String, String>,
}

/// Everything that decides a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingPlan {
    /// For people: what the data are called.
    pub name: String,
    pub settings: TrainingSettings,
    pub classes: Vec<String>,
    /// Prompts of a class, each with `{label}`.
    pub templates: Vec<String>,
    pub samples: Vec<PlannedSample>,
    /// What was left out.
    pub problems: Vec<Problem>,
}

/// A picture and what is said about it: a class, or captions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedSample {
    pub sample: SampleId,
    /// Different for each sample; names it in reports.
    pub path: String,
    /// Index into [`TrainingPlan::classes`].
    pub class: Option<u32>,
    pub captions: Vec<String>,
    /// Kept apart for measuring.
    pub held_out: bool,
}

/// What can be chosen; each method takes what concerns it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingSettings {
    pub method: Method,
    /// Share of each class that is kept apart for measuring.
    pub held_out: f64,
    pub seed: u32,
    pub epochs: u32,
    /// Pairs of which each is told from all others in a step.
    pub batch_size: u32,
    /// Pairs computed at once.
    pub micro_batch: u32,
    pub learning_rate: f64,
    pub weight_decay: f64,
    pub warmup_steps: u32,
    /// LoRA's.
    pub rank: u32,
    pub alpha: f64,
    /// LoRA: whether the MLPs get it too, beside attention.
    pub mlp: bool,
    pub image_tower: TrainedPart,
    pub text_tower: TrainedPart,
    /// Whether the temperature learns.
    pub temperature: bool,
    /// Less memory, more time.
    pub gradient_checkpointing: bool,
    /// Pre-training: width of both transformers.
    pub width: u32,
    /// Pre-training: their blocks.
    pub layers: u32,
}

/// How much of a tower learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrainedPart {
    Frozen,
    /// So many blocks, counted from the output, and what follows them.
    Last(u32),
    Whole,
}

/// What a training takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// For these settings: an answer to older ones can be told apart.
    pub settings: TrainingSettings,
    /// At its peak, model included.
    pub memory_bytes: u64,
    /// As far as anybody can tell.
    pub available_bytes: Option<u64>,
    pub seconds: Option<f64>,
    /// A micro-batch that fits where this one does not.
    pub smaller: Option<u32>,
    /// Whether it will not run as it is.
    pub too_large: bool,
}

/// How far a training is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingProgress {
    pub stage: TrainingStage,
    pub done: u32,
    /// 0 when unknown.
    pub total: u32,
    /// Pictures that go through the image encoder.
    pub images_per_second: Option<f64>,
    pub seconds_left: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrainingStage {
    /// Pictures through the image encoder.
    Pictures,
    /// Prompts through the text encoder.
    Labels,
    /// Settings are tried on parts of the training pictures.
    Choosing,
    /// The classifier is fitted.
    Fitting,
    /// Steps of the optimiser.
    Steps,
    /// The held-out part.
    Measuring,
}

/// One step of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingStep {
    /// Counted from 1.
    pub step: u32,
    pub loss: f64,
    /// `exp(logit_scale)`, the inverse temperature.
    pub scale: f64,
    pub learning_rate: f64,
}

/// A training that broke off in an earlier visit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interrupted {
    pub method: Method,
    /// Name of the model that it was begun with.
    pub model: String,
    pub step: u32,
    pub steps: u32,
    /// Milliseconds since 1970.
    pub kept_ms: f64,
}

/// What a training gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub report: TrainingReport,
    /// Of every held-out sample with a class.
    pub answers: Vec<HeldOutAnswer>,
    pub trained: Trained,
}

/// What was said of a held-out picture; indices into the report's classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOutAnswer {
    pub sample: SampleId,
    pub truth: u32,
    pub before: u32,
    pub after: u32,
    /// Of `after`.
    pub probability: f32,
}

/// Something trained or imported, that can be classified with and taken away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    pub method: Method,
    /// Name of the model that was begun with.
    pub model: String,
    /// None where it was trained with captions.
    pub classes: Vec<String>,
    /// What it can be taken away as.
    pub exports: Vec<Export>,
}

/// Forms in which something trained is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Export {
    /// Probe or adapter: one small safetensors file.
    Head,
    /// LoRA in PEFT's layout.
    Lora,
    /// The whole model, as `transformers` loads it.
    HuggingFace,
    /// The whole model, as `open_clip` loads it.
    OpenClip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadStage {
    /// Asking the browser for a GPU.
    Device,
    /// The model's files to the device; `done` and `total` in bytes.
    Download,
    /// First run, in which a GPU compiles its kernels.
    WarmUp,
}

/// How long the encoders took, read-back included, and what they said: the
/// features of the first picture and text, so that two programs can be compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Milliseconds of each run.
    pub image_ms: Vec<f64>,
    pub text_ms: Vec<f64>,
    pub image_features: Vec<f32>,
    pub text_features: Vec<f32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Such as `drawings-vit-s/8`.
    pub name: String,
    /// Learnable numbers of both encoders together.
    pub parameters: u64,
    /// Size of its files.
    pub bytes: u64,
    /// Side of the square that the image encoder sees, in pixels.
    pub image_size: u32,
    /// Longest text in tokens.
    pub context_length: u32,
    /// Length of `image_features` and `text_features`.
    pub embed_dim: u32,
    /// What its matrices are kept and multiplied in: `f16` or `f32`.
    pub precision: String,
    /// What had to be taken for granted to open it. Shown, not fatal.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// `true` on WebGPU.
    pub gpu: bool,
    /// For people: `WebGPU: NVIDIA Ada`, or `CPU (one thread, SIMD)`.
    pub name: String,
    /// Why this device: `no WebGPU in this browser`, `chosen by you`; empty when
    /// it is what `Auto` hopes for.
    pub reason: String,
}

/// One label's place in an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    pub label: String,
    /// Softmax of `exp(logit_scale) * similarity` over the labels.
    pub probability: f32,
    /// Cosine of `image_features` and the label's `text_features`, -1 to 1.
    pub similarity: f32,
}
