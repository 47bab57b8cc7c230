use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::model::ReadBackError;

/// Error of a training run.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum TrainError {
    /// Loss that is not finite.
    Diverged {
        /// Step, counted from 1.
        step: usize,
        /// Value of the loss.
        loss: f32,
    },
    /// Model that is not [`ClipConfig::is_unfolded`](crate::model::ClipConfig::is_unfolded).
    Folded,
    /// Model without trainable parameters.
    NothingToTrain,
    /// Batch with this many different captions.
    NoNegatives(usize),
    /// Batch whose parts do not fit each other.
    Batch(String),
    /// Checkpoint that cannot be loaded.
    State(String),
    /// Checkpoint that could not be serialised.
    Keep(String),
    /// LoRA that cannot be used.
    Adapter(String),
    /// Models between which there are no others.
    Mixture(String),
    /// Safetensors that could not be written.
    Write(#[from] safetensors::SafeTensorError),
    /// Failure of the device.
    Device(String),
}

impl ToDiagnostic for TrainError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Diverged { step, loss } => diagnostic!(
                "loss-became",
                "the loss became {loss} at step {step}: try a smaller learning rate",
                loss = loss.to_string(),
                step
            ),
            Self::Folded => diagnostic!(
                "folded-training",
                "the weights of a MobileCLIP are folded when it is loaded, so that LoRA and fine-tuning have no place in its file: train a probe or an adapter on its features"
            ),
            Self::NothingToTrain => diagnostic!(
                "nothing-to-train",
                "nothing is left to train: every part of the model is frozen"
            ),
            Self::NoNegatives(count) => diagnostic!(
                "two-captions",
                "a batch needs at least two different captions; this one has {count}",
                count
            ),
            Self::Batch(reason) => diagnostic!(
                "batch-inconsistent",
                "the batch is inconsistent: {reason}",
                reason
            ),
            Self::State(reason) => diagnostic!(
                "checkpoint-not-loaded",
                "the checkpoint cannot be loaded: {reason}",
                reason
            ),
            Self::Keep(reason) => diagnostic!(
                "checkpoint-not-saved",
                "the checkpoint could not be saved: {reason}",
                reason
            ),
            Self::Adapter(reason) => diagnostic!(
                "adapter-unusable",
                "the adapter cannot be used: {reason}",
                reason
            ),
            Self::Mixture(reason) => diagnostic!(
                "not-mixed",
                "the weights of these models cannot be mixed: {reason}",
                reason
            ),
            Self::Write(error) => diagnostic!(
                "file-not-written",
                "the file could not be written: {reason}",
                reason = error.to_string()
            ),
            Self::Device(reason) => diagnostic!(
                "training-device-failed",
                "the device failed: {reason}",
                reason
            ),
        }
    }
}

impl From<ReadBackError> for TrainError {
    fn from(error: ReadBackError) -> Self {
        Self::Device(error.to_string())
    }
}
