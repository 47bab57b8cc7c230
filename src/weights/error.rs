/// Error of a weights file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// File that is not safetensors, and why.
    #[error("the weights are not a safetensors file: {0}")]
    NotSafetensors(&'static str),
    /// Header that cannot be read.
    #[error("the header of the weights is damaged: {0}")]
    Header(String),
    /// Safetensors of another kind of model.
    #[error(
        "these weights are not a CLIP model, nor one of its kin: no `visual.conv1.weight`, no \
         `visual.trunk.…` and no `vision_model.…` in the file"
    )]
    NotClip,
    /// LoRA, as PEFT writes it.
    #[error(
        "this is a LoRA adapter, not a model: use the model that it was merged into (`clip train` \
         writes one beside it), or merge it with PEFT's `merge_and_unload`"
    )]
    Adapter,
    /// Probe or adapter of this library.
    #[error(
        "this is a trained classifier, not a model: use it with `--head`, or import it in the page"
    )]
    Head,
    /// File that ends early.
    #[error("the weights end after {found} of {expected} bytes: download the file again")]
    Truncated {
        /// Bytes there are.
        found: u64,
        /// Bytes that the header names.
        expected: u64,
    },
    /// File with bytes after its last tensor.
    #[error(
        "the weights file has {found} bytes, but its header says {expected}: it is damaged, \
         download it again"
    )]
    Length {
        /// Bytes there are.
        found: u64,
        /// Bytes that the header names.
        expected: u64,
    },
    /// Tensor that the model needs.
    #[error("the weights have no `{0}`, which the model's config requires")]
    Missing(String),
    /// Tensors that the model has no place for.
    #[error(
        "the weights have `{name}`{}, for which the model's config has no place: the config \
         belongs to another model, or the model is of a kind that is not supported",
        match others {
            0 => String::new(),
            1 => " and one more tensor".into(),
            others => format!(" and {others} more tensors"),
        }
    )]
    Unused {
        /// Name of the first.
        name: String,
        /// Number of the others.
        others: usize,
    },
    /// Tensor of another shape.
    #[error("`{name}` has shape {found:?}, but the model's config requires {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape of the parameter.
        expected: Vec<usize>,
    },
    /// Tensor of an unsupported data type.
    #[error("`{name}` is stored as {found}; only f32, f16 and bf16 are supported")]
    Dtype {
        /// Name of the tensor.
        name: String,
        /// Its data type.
        found: String,
    },
    /// Tensor with infinities or NaN.
    #[error("`{0}` contains values that are not finite: the file is damaged")]
    NotFinite(String),
    /// File without the rows of its token embedding, for something that needs all of them.
    #[error(
        "the model was downloaded without the words that were not used, but training and export need \
         the whole model: delete it from the downloaded models and download it again as a whole"
    )]
    OmittedTable,
    /// Parameter that no key map names.
    #[error("no layout is known for the parameter `{0}`")]
    Unknown(String),
    /// Configuration that the shapes do not tell.
    #[error("the architecture cannot be inferred from the weights alone: {0}")]
    NotInferred(String),
    /// Failure of the device.
    #[error("the weights could not be read back from the device: {0}")]
    Device(String),
    /// Safetensors that could not be written.
    #[error("the weights could not be written: {0}")]
    Write(#[from] safetensors::SafeTensorError),
}
