//! Training, from quick to thorough: a linear probe or an adapter on features,
//! and contrastive training: the loss, the optimiser, the schedule, and
//! pre-training on drawings with their names.

#[cfg(feature = "training")]
mod adapter;
#[cfg(feature = "training")]
mod augment;
#[cfg(feature = "training")]
mod drawings;
#[cfg(feature = "training")]
mod head;
#[cfg(feature = "training")]
mod head_trainer;
#[cfg(feature = "training")]
mod lbfgs;
#[cfg(feature = "training")]
mod logistic;
#[cfg(feature = "training")]
mod loss;
#[cfg(feature = "training")]
mod optimizer;
#[cfg(feature = "training")]
mod pretrain;
#[cfg(feature = "training")]
mod probe;
mod report;
#[cfg(feature = "training")]
mod schedule;

pub use report::{
    ClassCount, Curve, DataReport, HeadProgress, HeadStage, Method, Problem, TrainingReport,
};

#[cfg(feature = "training")]
pub use self::{
    adapter::{Adapter, fit_adapter},
    augment::{Augment, Sprite},
    drawings::{Drawing, Drawings, DrawingsError, Group, SharedName},
    head::{Head, HeadFileError},
    head_trainer::{HeadError, HeadSettings, TrainedHead, train_head},
    logistic::{Samples, Stopped},
    loss::contrastive_loss,
    optimizer::{AdamWHyperParameters, adamw},
    pretrain::{Encode, PretrainError, PretrainOptions, Progress, fresh, pretrain},
    probe::{Probe, fit_probe},
    schedule::WarmupCosine,
};
