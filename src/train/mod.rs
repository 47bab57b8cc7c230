//! Contrastive training: the loss, the optimiser, the schedule, and
//! pre-training on drawings with their names.

mod augment;
mod drawings;
mod loss;
mod optimizer;
mod pretrain;
mod schedule;

pub use augment::{Augment, Sprite};
pub use drawings::{Drawing, Drawings, DrawingsError, SharedName};
pub use loss::contrastive_loss;
pub use optimizer::{AdamWHyperParameters, adamw};
pub use pretrain::{Encode, PretrainError, PretrainOptions, Progress, fresh, pretrain};
pub use schedule::WarmupCosine;
