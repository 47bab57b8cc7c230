//! Training by gradients: CLIP's contrastive loss, batches of any size, the
//! optimiser and its schedule; LoRA, fine-tuning and pre-training.
//!
//! [`Trainer`] takes a step at a time, on any device, in a browser as natively;
//! [`pretrain`] drives one over named drawings.

mod augment;
mod contrastive;
mod drawings;
mod error;
mod gradients;
mod lora;
mod loss;
mod memory;
mod optimizer;
mod parts;
mod peft;
mod pretrain;
mod recipe;
mod sampler;
mod schedule;
mod state;
mod trainer;

pub use augment::{Augment, Sprite};
pub use contrastive::{Batch, loss_and_gradients};
pub use drawings::{Drawing, Drawings, DrawingsError, SharedName};
pub use error::TrainError;
pub use gradients::Gradients;
pub use lora::{Lora, Target, merge_lora};
pub use loss::contrastive_loss;
pub use memory::{MemoryEstimate, estimate_memory, largest_micro_batch};
pub use optimizer::{AdamW, AdamWHyperParameters, clip_factor};
pub use parts::{Parts, Tower};
pub use peft::{PeftFiles, load_peft, save_peft};
pub use pretrain::{Encode, PretrainError, PretrainOptions, fresh, pretrain};
pub use recipe::{RECIPES, Recipe};
pub use sampler::{Draw, Sampler};
pub use schedule::WarmupCosine;
pub use trainer::{Method, StepReport, TrainOptions, Trainer};

use burn::tensor::Tensor;

/// A tensor's numbers, row by row.
async fn values_of<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, TrainError> {
    let failed = |error: String| TrainError::Device(error);
    let data = (tensor.into_data_async().await).map_err(|error| failed(format!("{error:?}")))?;
    (data.try_into_vec::<f32>()).map_err(|error| failed(format!("{error:?}")))
}
