//! Errors of trainings.

use crate::zero_shot::QuestionError;

/// Error of a training.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error(
        "the images of {0} have captions, not classes: a probe or an adapter needs one folder or \
         label per class (for captions, use the methods lora, full or pretrain)"
    )]
    NoClasses(String),
    #[error("there are only images of {0}: training needs at least two classes")]
    OneClass(String),
    #[error("none of the images can be used: {0}")]
    NoPictures(String),
}
