//! Training, from quick to thorough: a linear probe or an adapter on features; LoRA,
//! fine-tuning and pre-training by gradient descent, with CLIP's contrastive loss.
//!
//! [`fit_head`] fits a probe or an adapter to features; [`Trainer`] takes one step at a time, on any device, in a browser as natively; [`pretrain`] drives it over labelled
//! images.

#[cfg(feature = "training")]
mod adapter;
#[cfg(feature = "training")]
mod class_fit;
#[cfg(feature = "training")]
mod contrastive;
#[cfg(feature = "training")]
mod error;
#[cfg(feature = "training")]
mod few_shot;
#[cfg(feature = "training")]
mod fit_head;
#[cfg(feature = "training")]
mod freeze;
#[cfg(feature = "training")]
mod frozen_prefix;
#[cfg(feature = "training")]
mod gda;
#[cfg(feature = "training")]
mod gradients;
#[cfg(feature = "training")]
mod head;
#[cfg(feature = "training")]
mod init;
#[cfg(feature = "training")]
mod lbfgs;
#[cfg(feature = "training")]
mod logistic;
#[cfg(feature = "training")]
mod lora;
#[cfg(feature = "training")]
mod loss;
#[cfg(feature = "training")]
mod malloc;
#[cfg(feature = "training")]
mod memory;
#[cfg(feature = "training")]
mod optimizer;
#[cfg(feature = "training")]
mod peft;
#[cfg(all(feature = "training", not(target_arch = "wasm32")))]
mod pretrain;
#[cfg(feature = "training")]
mod probe;
#[cfg(feature = "training")]
mod recipe;
mod report;
#[cfg(feature = "training")]
mod sampler;
#[cfg(feature = "training")]
mod schedule;
#[cfg(feature = "training")]
mod state;
#[cfg(all(test, feature = "training"))]
mod testing;
#[cfg(feature = "training")]
mod trainer;
#[cfg(feature = "training")]
mod wise_ft;

pub use report::{
    ClassCount, DataReport, HeadProgress, MIXTURES, Method, MetricSeries, TrainingReport,
    TrainingStage,
};

#[cfg(feature = "training")]
pub use self::{
    adapter::{Adapter, AdapterParams, fit_adapter},
    class_fit::ClassFit,
    contrastive::{Batch, loss_and_gradients},
    error::TrainError,
    few_shot::{FewShotData, FewShotSettings, few_shot_curve, fit_few_shot},
    fit_head::{HeadData, HeadSettings, TrainedHead, fit_head},
    freeze::{TrainableParams, Unfreeze},
    frozen_prefix::FrozenPrefix,
    gda::{Gda, fit_gda},
    gradients::Gradients,
    head::{Head, HeadFileError},
    init::init_from_seed,
    logistic::{Cancelled, FeatureMatrix},
    lora::{Lora, Target, merge_lora},
    loss::{contrastive_loss, sigmoid_loss},
    memory::{MemoryEstimate, estimate_memory, largest_micro_batch},
    optimizer::{AdamW, AdamWHyperParameters, clip_factor},
    peft::{PeftFiles, load_peft, save_peft},
    probe::{Probe, fit_probe},
    recipe::{RECIPES, Recipe},
    sampler::{BatchIndices, Sampler},
    schedule::WarmupCosine,
    trainer::{StepReport, TrainMode, TrainOptions, Trainer},
    wise_ft::interpolate,
};

#[cfg(all(feature = "training", not(target_arch = "wasm32")))]
pub use pretrain::{
    Augment, ConceptGroup, Encode, EncodeError, ImageKind, LabelledImage, PretrainData,
    PretrainDataError, PretrainError, PretrainOptions, PretrainOrigin, SharedName, Sprite,
    pretrain, resize_positional_embedding,
};
