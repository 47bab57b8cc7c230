use crate::model::ReadBackError;

/// Error of a training run.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Loss that is not finite.
    #[error("the loss became {loss} at step {step}: try a smaller learning rate")]
    Diverged {
        /// Step, counted from 1.
        step: usize,
        /// Value of the loss.
        loss: f32,
    },
    /// Model of another architecture.
    #[error(
        "LoRA and fine-tuning are for CLIP models; on the features of this one (a SigLIP, or another \
         variant) train a probe or an adapter"
    )]
    NotClip,
    /// Model without trainable parameters.
    #[error("nothing is left to train: every part of the model is frozen")]
    NothingToTrain,
    /// Batch with this many different captions.
    #[error("a batch needs at least two different captions; this one has {0}")]
    NoNegatives(usize),
    /// Batch whose parts do not fit each other.
    #[error("the batch is inconsistent: {0}")]
    Batch(String),
    /// Checkpoint that cannot be loaded.
    #[error("the checkpoint cannot be loaded: {0}")]
    State(String),
    /// Checkpoint that could not be serialised.
    #[error("the checkpoint could not be saved: {0}")]
    Keep(String),
    /// LoRA that cannot be used.
    #[error("the adapter cannot be used: {0}")]
    Adapter(String),
    /// Models between which there are no others.
    #[error("the weights of these models cannot be mixed: {0}")]
    Mixture(String),
    /// Safetensors that could not be written.
    #[error("the file could not be written: {0}")]
    Write(#[from] safetensors::SafeTensorError),
    /// Failure of the device.
    #[error("the device failed: {0}")]
    Device(String),
}

impl From<ReadBackError> for TrainError {
    fn from(error: ReadBackError) -> Self {
        Self::Device(error.to_string())
    }
}
