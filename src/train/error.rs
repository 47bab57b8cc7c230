/// Error of a training run.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("the loss became {loss} at step {step}: try a smaller learning rate")]
    Diverged { step: usize, loss: f32 },
    #[error("nothing is left to train: every part of the model is frozen")]
    NothingToTrain,
    #[error("a batch needs at least two different captions; this one has {0}")]
    NoNegatives(usize),
    #[error("the batch is inconsistent: {0}")]
    Batch(String),
    #[error("the checkpoint cannot be loaded: {0}")]
    State(String),
    #[error("the checkpoint could not be saved: {0}")]
    Keep(String),
    #[error("the adapter cannot be used: {0}")]
    Adapter(String),
    #[error("the file could not be written: {0}")]
    Write(#[from] safetensors::SafeTensorError),
    #[error("the device failed: {0}")]
    Device(String),
}
