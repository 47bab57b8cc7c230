//! Errors of trainings and of their hosts.

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
    #[error("{0}")]
    Device(String),
    /// The model's output has infinities or NaN.
    #[error("the model's output is not finite: try a smaller learning rate")]
    NotFinite,

    /// No engine is loaded.
    #[error("no model is loaded")]
    NoModel,
    /// The engine has 8-bit weights.
    #[error(
        "the model is loaded with 8-bit weights, but training needs the original ones: turn off \
         \"8-bit weights\" at the top of the page and start again"
    )]
    Int8,
    /// A head needs classes, the data set of this name has captions.
    #[error(
        "the images of {0} have captions, not classes: a probe or an adapter needs one folder or \
         label per class (for captions, use the methods lora, full or pretrain)"
    )]
    NoClasses(String),
    /// Only this class has pictures.
    #[error("there are only images of {0}: training needs at least two classes")]
    OneClass(String),
    /// No class has pictures; the first reason, or the data set's name.
    #[error("none of the images can be used: {0}")]
    NoPictures(String),
    /// A setting with which nothing can be learnt.
    #[error("{name} must be {expected}, not {value}{why}")]
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
    #[error("there are {0} images to train on, but at least 2 are needed: add images")]
    TooFewImages(usize),
    /// A picture of the plan was removed while its features were computed.
    #[error("an image was removed during training: start again")]
    ImageRemoved,
    /// A picture of the plan has no file.
    #[error("image {0} no longer exists")]
    NoImage(SampleId),

    /// There is no checkpoint.
    #[error("there is no interrupted training run: start it again")]
    NoCheckpoint,
    /// The checkpoint belongs to another model.
    #[error(
        "this training run uses the model {model}, but {loaded} is loaded: load that model and \
         resume again"
    )]
    CheckpointOfOtherModel {
        /// Base model of the run.
        model: String,
        /// Model of the engine.
        loaded: String,
    },
    /// The state of the checkpoint is gone.
    #[error("the checkpoint no longer exists")]
    CheckpointLost,
    /// The state of the checkpoint has another checksum.
    #[error("the checkpoint is damaged")]
    CheckpointDamaged,
    /// The checkpoint has no sampler.
    #[error("the checkpoint is incomplete")]
    CheckpointIncomplete,
    /// No checkpoint can be resumed; the reason of the latest.
    #[error("{0}: start the training again")]
    NoUsableCheckpoint(Box<Self>),

    /// No imported file holds weights.
    #[error("none of these is a .safetensors file")]
    NoWeightsFile,
    /// The imported file is no head, and a LoRA has two files.
    #[error("{0}; a LoRA also needs its adapter_config.json: choose both files together")]
    NotHead(HeadFileError),
    /// The result belongs to another model.
    #[error(
        "the trained result belongs to the model {model}, but {loaded} is loaded: load that model \
         first"
    )]
    ResultOfOtherModel {
        /// Base model of the result.
        model: String,
        /// Model of the engine.
        loaded: String,
    },
    /// A head was used as a model.
    #[error("a classifier is not a model")]
    HeadIsNoModel,
    /// The stored weights are gone.
    #[error("the trained weights no longer exist: train again")]
    WeightsLost,
    /// There is no result.
    #[error("there is no trained result to export")]
    NothingToExport,
    /// The result has no such format.
    #[error("it cannot be exported in this format")]
    NoSuchFormat,
    /// `transformers` knows no ResNet.
    #[error("transformers does not support CLIP with a ResNet")]
    ResNetInTransformers,
}

/// Error of a [`Host`](super::Host).
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A picture's file cannot be read.
    #[error("{0}")]
    Read(String),
    /// There is no storage.
    #[error("private windows cannot store files")]
    NoStorage,
    /// The storage is full.
    #[error("not enough storage space")]
    StorageFull,
    /// Bytes could not be stored for another reason.
    #[error("{0}")]
    Store(String),
    /// The host knows no model.
    #[error("no model is loaded")]
    NoModel,
    /// The model could not be loaded again.
    #[error(transparent)]
    Model(#[from] HubError),
}
