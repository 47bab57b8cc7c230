/// Error of a weights file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("the weights are not a safetensors file: {0}")]
    NotSafetensors(&'static str),
    #[error("the header of the weights is damaged: {0}")]
    Header(String),
    #[error(
        "these weights are not a CLIP model: no `visual.conv1.weight` and no `vision_model.…` in the file"
    )]
    NotClip,
    #[error(
        "this is a LoRA adapter, not a model: use the model that it was merged into (`clip train` \
         writes one beside it), or merge it with PEFT's `merge_and_unload`"
    )]
    Adapter,
    #[error(
        "this is a trained classifier, not a model: use it with `--head`, or import it in the page"
    )]
    Head,
    #[error("the weights end after {found} of {expected} bytes: download the file again")]
    Truncated { found: u64, expected: u64 },
    #[error(
        "the weights file has {found} bytes, but its header says {expected}: it is damaged, \
         download it again"
    )]
    Length { found: u64, expected: u64 },
    #[error("the weights have no `{0}`, which the model's config requires")]
    Missing(String),
    #[error("`{name}` has shape {found:?}, but the model's config requires {expected:?}")]
    Shape {
        name: String,
        found: Vec<usize>,
        expected: Vec<usize>,
    },
    #[error("`{name}` is stored as {found}; only f32, f16 and bf16 are supported")]
    Dtype { name: String, found: String },
    #[error("`{0}` contains values that are not finite: the file is damaged")]
    NotFinite(String),
    #[error("no layout is known for the parameter `{0}`")]
    Unknown(String),
    #[error("the architecture cannot be inferred from the weights alone: {0}")]
    NotInferred(String),
    #[error("the weights could not be read back from the device: {0}")]
    Device(String),
    #[error("the weights could not be written: {0}")]
    Write(#[from] safetensors::SafeTensorError),
}
