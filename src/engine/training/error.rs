//! Errors of trainings and of their hosts.

use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::engine::EngineError;
use crate::engine::messages::SampleId;
use crate::hub::HubError;
use crate::model::ConfigError;
use crate::onnx::OnnxError;
use crate::preprocess::PreprocessError;
use crate::train::{Cancelled, HeadFileError, TrainError};
use crate::weights::WeightsError;
use crate::zero_shot::QuestionError;

/// Error of a training, or of its result.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum TrainingError {
    /// The model could not compute.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The optimiser, a checkpoint or an adapter failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Labels and templates have no answer.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// A probe or an adapter cannot be read, written or used.
    #[error(transparent)]
    Head(#[from] HeadFileError),
    /// The trained model cannot be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The image encoder cannot be written as ONNX.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The settings make no model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A picture cannot be decoded.
    #[error(transparent)]
    Picture(#[from] PreprocessError),
    /// Files or storage failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The fit was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// Metadata could not be written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The device failed while the result was read back.
    Device(String),
    /// The model's output has infinities or NaN.
    NotFinite,

    /// No engine is loaded.
    NoModel,
    /// The engine has 8-bit weights.
    Int8,
    /// A head needs classes, the data set of this name has captions.
    NoClasses(String),
    /// Only this class has pictures.
    OneClass(String),
    /// No class has pictures; the first reason, or the data set's name.
    NoPictures(Diagnostic),
    /// A setting with which nothing can be learnt.
    Setting {
        /// Setting, in words.
        name: &'static str,
        /// Values that it may have, in words.
        expected: &'static str,
        /// Value that it has.
        value: f64,
        /// Reason, after a colon; may be empty.
        why: &'static str,
    },
    /// The plan has so few training images that there is nothing to tell apart.
    TooFewImages(usize),
    /// A picture of the plan was removed while its features were computed.
    ImageRemoved,
    /// A picture of the plan has no file.
    NoImage(SampleId),

    /// There is no checkpoint.
    NoCheckpoint,
    /// The checkpoint belongs to another model.
    CheckpointOfOtherModel {
        /// Base model of the run.
        model: String,
        /// Model of the engine.
        loaded: String,
    },
    /// The state of the checkpoint is gone.
    CheckpointLost,
    /// The state of the checkpoint has another checksum.
    CheckpointDamaged,
    /// The checkpoint has no sampler.
    CheckpointIncomplete,
    /// No checkpoint can be resumed; the reason of the latest.
    NoUsableCheckpoint(Box<Self>),

    /// No imported file holds weights.
    NoWeightsFile,
    /// The imported file is no head, and a LoRA has two files.
    NotHead(HeadFileError),
    /// The result belongs to another model.
    ResultOfOtherModel {
        /// Base model of the result.
        model: String,
        /// Model of the engine.
        loaded: String,
    },
    /// A head was used as a model.
    HeadIsNoModel,
    /// The stored weights are gone.
    WeightsLost,
    /// There is no result.
    NothingToExport,
    /// The result has no such format.
    NoSuchFormat,
    /// The library has no model of this architecture.
    NoSuchModelIn(&'static str),
    /// Pre-training with the tokenizer of a model that is not CLIP.
    PretrainLikeOther,
}

impl ToDiagnostic for TrainingError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Engine(error) => error.to_diagnostic(),
            Self::Train(error) => error.to_diagnostic(),
            Self::Question(error) => error.to_diagnostic(),
            Self::Head(error) => error.to_diagnostic(),
            Self::Weights(error) => error.to_diagnostic(),
            Self::Onnx(error) => error.to_diagnostic(),
            Self::Config(error) => error.to_diagnostic(),
            Self::Picture(error) => error.to_diagnostic(),
            Self::Host(error) => error.to_diagnostic(),
            Self::Cancelled(error) => error.to_string().into(),
            Self::Json(error) => error.to_string().into(),
            Self::Device(reason) => reason.to_diagnostic(),
            Self::NotFinite => diagnostic!(
                "output-not-finite",
                "the model's output is not finite: try a smaller learning rate"
            ),
            Self::NoModel => diagnostic!("no-model", "no model is loaded"),
            Self::Int8 => diagnostic!(
                "int8-training",
                "the model is loaded with 8-bit weights, but training needs the original ones: turn off \"8-bit weights\" at the top of the page and start again"
            ),
            Self::NoClasses(name) => diagnostic!(
                "captions-no-classes",
                "the images of {name} have captions, not classes: a probe or an adapter needs one folder or label per class (for captions, use the methods lora, full or pretrain)",
                name
            ),
            Self::OneClass(class) => diagnostic!(
                "two-classes",
                "there are only images of {class}: training needs at least two classes",
                class
            ),
            Self::NoPictures(reason) => diagnostic!(
                "none-usable",
                "none of the images can be used: {reason}",
                reason
            ),
            Self::Setting {
                name,
                expected,
                value,
                why,
            } => diagnostic!(
                "setting",
                "{name} must be {expected}, not {value}{why}",
                name,
                expected,
                value,
                why
            ),
            Self::TooFewImages(count) => diagnostic!(
                "too-few",
                "there are {count} images to train on, but at least 2 are needed: add images",
                count
            ),
            Self::ImageRemoved => diagnostic!(
                "image-removed",
                "an image was removed during training: start again"
            ),
            Self::NoImage(sample) => {
                diagnostic!("image-gone", "image {sample} no longer exists", sample)
            }
            Self::NoCheckpoint => diagnostic!(
                "no-run",
                "there is no interrupted training run: start it again"
            ),
            Self::CheckpointOfOtherModel { model, loaded } => diagnostic!(
                "run-of-other-model",
                "this training run uses the model {model}, but {loaded} is loaded: load that model and resume again",
                model,
                loaded
            ),
            Self::CheckpointLost => {
                diagnostic!("checkpoint-gone", "the checkpoint no longer exists")
            }
            Self::CheckpointDamaged => {
                diagnostic!("checkpoint-damaged", "the checkpoint is damaged")
            }
            Self::CheckpointIncomplete => {
                diagnostic!("checkpoint-incomplete", "the checkpoint is incomplete")
            }
            Self::NoUsableCheckpoint(reason) => {
                diagnostic!("start-again", "{reason}: start the training again", reason)
            }
            Self::NoWeightsFile => diagnostic!(
                "no-safetensors-file",
                "none of these is a .safetensors file"
            ),
            Self::NotHead(reason) => diagnostic!(
                "not-a-classifier-nor-lora",
                "{reason}; a LoRA also needs its adapter_config.json: choose both files together",
                reason
            ),
            Self::ResultOfOtherModel { model, loaded } => diagnostic!(
                "result-of-other-model",
                "the trained result belongs to the model {model}, but {loaded} is loaded: load that model first",
                model,
                loaded
            ),
            Self::HeadIsNoModel => {
                diagnostic!("classifier-is-no-model", "a classifier is not a model")
            }
            Self::WeightsLost => diagnostic!(
                "trained-weights-gone",
                "the trained weights no longer exist: train again"
            ),
            Self::NothingToExport => {
                diagnostic!("nothing-to-export", "there is no trained result to export")
            }
            Self::NoSuchFormat => {
                diagnostic!("no-such-format", "it cannot be exported in this format")
            }
            Self::NoSuchModelIn(library) => diagnostic!(
                "no-such-model-in",
                "{library} has no model of this architecture",
                library
            ),
            Self::PretrainLikeOther => diagnostic!(
                "pretrain-like-other",
                "training from scratch takes the tokenizer of the loaded model, which must be a CLIP: load another model, or choose LoRA or fine-tuning"
            ),
        }
    }
}

/// Error of a [`Host`](super::Host).
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum HostError {
    /// A picture's file cannot be read.
    Read(String),
    /// There is no storage.
    NoStorage,
    /// The storage is full.
    StorageFull,
    /// Bytes could not be stored for another reason.
    Store(String),
    /// The host knows no model.
    NoModel,
    /// The model could not be loaded again.
    #[error(transparent)]
    Model(#[from] HubError),
}

impl ToDiagnostic for HostError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Read(reason) | Self::Store(reason) => reason.to_diagnostic(),
            Self::NoStorage => diagnostic!("private-window", "private windows cannot store files"),
            Self::StorageFull => diagnostic!("no-space", "not enough storage space"),
            Self::NoModel => diagnostic!("no-model", "no model is loaded"),
            Self::Model(error) => error.to_diagnostic(),
        }
    }
}
