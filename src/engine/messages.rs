//! Protocol between page and worker.
//!
//! The page owns the visitor's data (files, labels, templates) and can restart the worker
//! at any time and replay everything; the worker owns the device, the model and the
//! features.
//!
//! A message is a JavaScript object `{ message, bytes, files }`: `message` is the serde
//! form of [`Request`] or [`Event`]. Attachments, where documented, are `bytes` (an
//! `ArrayBuffer`, or with [`TrainingEvent::Exported`] an array of them), which are
//! transferred, not copied, or `files`, an array of `File`s.

use serde::{Deserialize, Serialize};

use super::ModelLocation;
use super::rankings::Rankings;
use crate::train::{Method, MetricSeries, Problem, TrainingReport};

/// Requested device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// The GPU if there is one, else the CPU.
    #[default]
    Auto,
    Gpu,
    Cpu,
}

/// Source of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelSource {
    /// The bundled model.
    #[default]
    Bundled,
    /// On the network.
    Place(ModelLocation),
    /// Files of the visitor, attached to the message.
    Files,
}

/// Activations of published CLIPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationChoice {
    QuickGelu,
    Gelu,
}

/// Model in the browser's cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedModel {
    /// Its name when it was opened.
    pub model: String,
    pub bytes: u64,
    /// `false` for an interrupted download.
    pub complete: bool,
}

/// Message from the page to the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Opens a device and loads a model. The first message to a worker, sent once.
    Open {
        device: DeviceChoice,
        source: ModelSource,
        /// URL of the hub.
        hub: String,
        /// For weights without a config, from which it cannot be inferred.
        activation: Option<ActivationChoice>,
        /// Int8 weights, on the CPU.
        #[serde(default)]
        int8: bool,
        /// Number of threads on the CPU; by default as many as suit the model and the
        /// machine.
        #[serde(default)]
        threads: Option<u32>,
    },
    /// Deletes a model from the cache.
    DeleteKept { model: String },
    /// Encodes a picture, whose file is attached.
    AddImage { image: ImageId, name: String },
    /// Drops pictures, encoded or pending.
    RemoveImages { images: Vec<ImageId> },
    /// Sets the labels and prompt templates. Every encoded picture is ranked again;
    /// cached prompts cost nothing.
    Classify {
        /// Counter of the page, echoed in the answers to detect stale ones.
        question: u32,
        labels: Vec<String>,
        /// Each contains `{label}`. Features of several templates are averaged and
        /// normalised.
        templates: Vec<String>,
    },
    /// Cancels all pending work: pictures and prompts not yet encoded.
    Cancel,
    /// Benchmarks the encoders on synthetic input: batches of `images` and of `texts` (of
    /// full length), `runs` times.
    Measure { images: u32, texts: u32, runs: u32 },
    /// Training request.
    Training(TrainingRequest),
}

/// Message from the worker to the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// Loading progress.
    Loading {
        stage: LoadStage,
        done: u64,
        /// 0 if unknown.
        total: u64,
    },
    /// The model is loaded; pictures and questions are processed from here on.
    Ready {
        model: ModelInfo,
        device: DeviceInfo,
    },
    /// The cached models. Follows every [`Request::Open`] and [`Request::DeleteKept`].
    Kept { models: Vec<CachedModel> },
    /// Notice for the visitor, such as that a model could not be cached.
    Remark { text: String },
    /// The model could not be opened; the worker is unusable.
    OpenFailed {
        error: String,
        /// Whether the GPU caused it, so that the CPU may do better.
        #[serde(default)]
        gpu: bool,
    },
    /// A picture is being encoded. If the worker crashes before the next event about it,
    /// this picture was the cause, and the page will not send it again.
    EncodingImage { image: ImageId },
    /// A picture was encoded.
    ImageEncoded {
        image: ImageId,
        /// Size in pixels, after EXIF orientation.
        width: u32,
        height: u32,
        /// Time of decoding and resizing.
        preprocess_ms: f64,
        /// Time of the image encoder.
        encode_ms: f64,
    },
    /// A picture could not be used; the others continue.
    ImageFailed { image: ImageId, error: String },
    /// Encoding progress of the current prompts.
    EncodingTexts {
        question: u32,
        done: u32,
        total: u32,
    },
    /// All prompts of a question are encoded or cached.
    TextsEncoded {
        question: u32,
        /// Prompts encoded now, not cached.
        encoded: u32,
        encode_ms: f64,
        /// Warnings, such as prompts truncated at `context_length`.
        notes: Vec<String>,
    },
    /// A question is invalid (no labels, a template without `{label}`).
    QuestionFailed { question: u32, error: String },
    /// Rankings of some pictures.
    Answers { question: u32, rankings: Rankings },
    /// Response to [`Request::Cancel`], with the dropped pictures.
    Cancelled { images: Vec<ImageId> },
    /// Response to [`Request::Measure`].
    Measured(Measured),
    /// The benchmark failed.
    MeasureFailed { error: String },
    /// Training event.
    Training(TrainingEvent),
    /// The GPU was lost or the worker's code trapped: the page starts a new worker.
    Died {
        error: String,
        /// Whether the GPU was lost.
        gpu: bool,
    },
}

/// Id of a picture, assigned by the page.
pub type ImageId = u32;

/// Id of a training picture, assigned by the page.
pub type SampleId = u32;

/// Training message from the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrainingRequest {
    /// Reports stored data with [`TrainingEvent::Found`]. The first message, sent only by
    /// the tab that holds the lock: all tabs share the storage.
    Begin,
    /// Saves and releases everything: another tab takes over.
    HandOver,
    /// Adds training pictures, whose files are attached in this order. Each is read once
    /// and, quota permitting, stored for later visits.
    AddSamples { samples: Vec<SampleId> },
    /// Deletes samples.
    RemoveSamples { samples: Vec<SampleId> },
    /// Stores the page's own description of its samples, returned by
    /// [`TrainingEvent::Found`] in a later visit.
    KeepProject { project: String },
    /// Requests an estimate; answered by [`TrainingEvent::Estimated`].
    Estimate {
        settings: TrainingSettings,
        /// Number of training and of held-out examples.
        train: u32,
        held_out: u32,
    },
    /// Starts training. A previous result is replaced when it finishes.
    Start { plan: TrainingPlan },
    /// Pauses after the current step.
    Pause,
    /// Resumes after a pause, or from a stored checkpoint.
    Resume,
    /// Stops. The model so far is the result, or is discarded.
    Stop { discard: bool },
    /// Discards an interrupted training of an earlier visit.
    Discard,
    /// Exports the result as files.
    Export { what: Export },
    /// Imports the attached files of a probe, an adapter or a LoRA.
    Import,
    /// Switches between the trained or imported classifier and the original model.
    Use { trained: bool },
}

/// Training message from the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrainingEvent {
    /// Data stored by earlier visits or by an earlier worker. The samples' files are
    /// attached.
    Found {
        project: Option<String>,
        samples: Vec<SampleId>,
        interrupted: Option<Interrupted>,
        trained: Option<Trained>,
    },
    /// Response to [`TrainingRequest::HandOver`].
    HandedOver,
    /// Files of samples were read, in batches.
    SamplesRead {
        samples: Vec<SampleReading>,
    },
    Estimated(Estimate),
    Progress(TrainingProgress),
    /// After each optimiser step.
    Step(TrainingStep),
    /// The held-out part was evaluated during training.
    Measured {
        step: u32,
        accuracy: f64,
    },
    /// Metrics so far, after [`TrainingRequest::Resume`] of a training that this page has
    /// not seen.
    Curves {
        curves: Vec<MetricSeries>,
    },
    /// A checkpoint was saved.
    Kept {
        step: u32,
    },
    /// Response to [`TrainingRequest::Pause`].
    Paused,
    /// Training starts or resumes.
    Running,
    /// Response to [`TrainingRequest::Stop`] or [`TrainingRequest::Discard`]: nothing is
    /// left.
    Stopped,
    Finished(Box<Outcome>),
    /// Training cannot start or continue.
    Failed {
        error: String,
    },
    /// The files' bytes are attached, in this order.
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
    /// The classifier in use; `None` for the original model with the visitor's labels.
    /// With `encode_again`, features are stale and pictures have to be sent again.
    InUse {
        trained: Option<Trained>,
        encode_again: bool,
    },
    /// Notice for the visitor, such as that samples could not be stored.
    Remark {
        text: String,
    },
}

/// Result of reading a sample's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleReading {
    pub sample: SampleId,
    /// Content hash, or why the file is unusable.
    pub file: Result<String, String>,
}

/// Complete description of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingPlan {
    /// Display name of the data set.
    pub name: String,
    pub settings: TrainingSettings,
    pub classes: Vec<String>,
    /// Prompt templates of a class, each with `{label}`.
    pub templates: Vec<String>,
    pub samples: Vec<PlannedSample>,
    /// Files left out.
    pub problems: Vec<Problem>,
}

/// Picture with its class or captions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedSample {
    pub sample: SampleId,
    /// Unique path, used in reports.
    pub path: String,
    /// Index into [`TrainingPlan::classes`].
    pub class: Option<u32>,
    pub captions: Vec<String>,
    /// Held out for evaluation.
    pub held_out: bool,
}

/// Hyper-parameters; each method uses its own subset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingSettings {
    pub method: Method,
    /// Fraction of each class that is held out for evaluation.
    pub held_out: f64,
    pub seed: u32,
    pub epochs: u32,
    /// Pairs per optimiser step.
    pub batch_size: u32,
    /// Pairs per forward pass.
    pub micro_batch: u32,
    pub learning_rate: f64,
    pub weight_decay: f64,
    pub warmup_steps: u32,
    /// LoRA only.
    pub rank: u32,
    pub alpha: f64,
    /// LoRA: adapt the MLPs, too.
    pub mlp: bool,
    pub image_tower: TrainedPart,
    pub text_tower: TrainedPart,
    /// Whether the logit scale is trainable.
    pub temperature: bool,
    /// Less memory, more time.
    pub gradient_checkpointing: bool,
    /// Pre-training: width of both transformers.
    pub width: u32,
    /// Pre-training: number of blocks.
    pub layers: u32,
}

/// How much of a tower is trainable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrainedPart {
    Frozen,
    /// This many blocks, from the output, and the layers after them.
    Last(u32),
    Whole,
}

/// Resource estimate of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The settings estimated, to detect stale answers.
    pub settings: TrainingSettings,
    /// Peak memory, model included.
    pub memory_bytes: u64,
    /// Available memory, if known.
    pub available_bytes: Option<u64>,
    pub seconds: Option<f64>,
    /// Largest micro-batch that fits, if this one does not.
    pub smaller: Option<u32>,
    /// Whether it exceeds the available memory.
    pub too_large: bool,
}

/// Training progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingProgress {
    pub stage: TrainingStage,
    pub done: u32,
    /// 0 if unknown.
    pub total: u32,
    /// Throughput of the image encoder.
    pub images_per_second: Option<f64>,
    pub seconds_left: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrainingStage {
    /// Encoding pictures.
    Pictures,
    /// Encoding prompts.
    Labels,
    /// Cross-validating hyper-parameters.
    Choosing,
    /// Fitting the classifier.
    Fitting,
    /// Optimiser steps.
    Steps,
    /// Evaluating the held-out part.
    Measuring,
}

/// Metrics of an optimiser step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingStep {
    /// Counted from 1.
    pub step: u32,
    pub loss: f64,
    /// `exp(logit_scale)`.
    pub scale: f64,
    pub learning_rate: f64,
}

/// Interrupted training of an earlier visit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interrupted {
    pub method: Method,
    /// Name of the base model.
    pub model: String,
    pub step: u32,
    pub steps: u32,
    /// Milliseconds since 1970.
    pub kept_ms: f64,
}

/// Result of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub report: TrainingReport,
    /// For every held-out sample with a class.
    pub answers: Vec<HeldOutAnswer>,
    pub trained: Trained,
}

/// Answers for a held-out picture; indices into the report's classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOutAnswer {
    pub sample: SampleId,
    pub truth: u32,
    pub before: u32,
    pub after: u32,
    /// Probability of `after`.
    pub probability: f32,
}

/// Trained or imported classifier or model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    pub method: Method,
    /// Name of the base model.
    pub model: String,
    /// Empty if trained with captions.
    pub classes: Vec<String>,
    /// Available export formats.
    pub exports: Vec<Export>,
}

/// Export format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Export {
    /// Probe or adapter: one small safetensors file.
    Head,
    /// LoRA in PEFT's format.
    Lora,
    /// Full model for `transformers`.
    HuggingFace,
    /// Full model for `open_clip`.
    OpenClip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadStage {
    /// Requesting a GPU.
    Device,
    /// Loading the model's files; `done` and `total` in bytes.
    Download,
    /// Warm-up, in which a GPU compiles its kernels.
    WarmUp,
}

/// Benchmark results: encoder times with read-back, and the features of the first picture
/// and text, to compare programs.
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
    /// Parameters of both encoders.
    pub parameters: u64,
    /// Size of its files.
    pub bytes: u64,
    /// Input size of the image encoder, in pixels.
    pub image_size: u32,
    /// Maximum length of a text, in tokens.
    pub context_length: u32,
    /// Dimension of `image_features` and `text_features`.
    pub embed_dim: u32,
    /// Precision of the matrices: `f16`, `f32` or `8 bits`.
    pub precision: String,
    /// Assumptions made to open the model, for display.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// `true` on WebGPU.
    pub gpu: bool,
    /// Display name, such as `WebGPU: NVIDIA Ada`, or `CPU (one thread, SIMD)`.
    pub name: String,
    /// Reason for the device, such as `no WebGPU in this browser` or `chosen by you`;
    /// empty for the device that `Auto` prefers.
    pub reason: String,
}

/// Score of one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    pub label: String,
    /// Softmax of `exp(logit_scale) * similarity` over the labels.
    pub probability: f32,
    /// Cosine of `image_features` and the label's `text_features`, -1 to 1.
    pub similarity: f32,
}
