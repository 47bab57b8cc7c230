//! What page and worker say to each other: one file, so that they cannot drift.
//!
//! The page owns what the visitor brought (files, labels, templates) and can
//! start a fresh worker at any time and tell it everything again; the worker
//! owns the device, the model and the features it computed.
//!
//! A message crosses as a JavaScript object `{ message, bytes }`: `message` is
//! the serde form of [`Request`] or [`Event`], `bytes` (an `ArrayBuffer`, only
//! with [`Request::AddImage`]) is transferred, not copied. With
//! [`ModelSource::Files`] go `files`, an array of `File`s.

use serde::{Deserialize, Serialize};

use super::Place;

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
pub struct KeptModel {
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
    Kept { models: Vec<KeptModel> },
    /// Something the visitor should know, such as that a model could not be kept.
    Remark { text: String },
    /// The model could not be opened on any device; this worker is of no more use.
    OpenFailed { error: String },
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
    /// The GPU went away or the worker's code trapped: the page starts a fresh worker.
    Died { error: String },
}

/// A picture, numbered by the page.
pub type ImageId = u32;

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
