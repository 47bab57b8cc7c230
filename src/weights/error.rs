use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};

/// Error of a weights file.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum WeightsError {
    /// File that is not safetensors, and why.
    NotSafetensors(&'static str),
    /// Header that cannot be read.
    Header(String),
    /// Safetensors of another kind of model.
    NotClip,
    /// LoRA, as PEFT writes it.
    Adapter,
    /// Probe or adapter of this library.
    Head,
    /// File that ends early.
    Truncated {
        /// Bytes there are.
        found: u64,
        /// Bytes that the header names.
        expected: u64,
    },
    /// File with bytes after its last tensor.
    Length {
        /// Bytes there are.
        found: u64,
        /// Bytes that the header names.
        expected: u64,
    },
    /// Tensor that the model needs.
    Missing(String),
    /// Tensors that the model has no place for.
    Unused {
        /// Name of the first.
        name: String,
        /// Number of the others.
        others: usize,
    },
    /// Tensor of another shape.
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape of the parameter.
        expected: Vec<usize>,
    },
    /// Tensor of an unsupported data type.
    Dtype {
        /// Name of the tensor.
        name: String,
        /// Its data type.
        found: String,
    },
    /// Tensor with infinities or NaN.
    NotFinite(String),
    /// File without the rows of its token embedding, for something that needs all of them.
    OmittedTable,
    /// File of that many bytes, more than can be counted here.
    FileTooLarge(u64),
    /// Parameter that is larger than a tensor of the device may be.
    TooLarge {
        /// Size of the parameter, bytes.
        bytes: u64,
        /// Greatest size, bytes.
        limit: u64,
    },
    /// Parameter that no key map names.
    Unknown(String),
    /// Configuration that the shapes do not tell.
    NotInferred(String),
    /// Failure of the device.
    Device(String),
    /// File of that many bytes, for which there is no memory.
    NoMemory(u64),
}

impl ToDiagnostic for WeightsError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::NotSafetensors(reason) => diagnostic!(
                "not-safetensors",
                "the weights are not a safetensors file: {reason}",
                reason
            ),
            Self::Header(reason) => diagnostic!(
                "weights-header",
                "the header of the weights is damaged: {reason}",
                reason
            ),
            Self::NotClip => diagnostic!(
                "weights-not-clip",
                "these weights are not a CLIP model, nor one of its kin: no `visual.conv1.weight`, no `visual.trunk.…` and no `vision_model.…` in the file"
            ),
            Self::Adapter => diagnostic!(
                "lora-file",
                "this is a LoRA adapter, not a model: use the model that it was merged into (`clip train` writes one beside it), or merge it with PEFT's `merge_and_unload`"
            ),
            Self::Head => diagnostic!(
                "classifier-file",
                "this is a trained classifier, not a model: use it with `--head`, or import it in the page"
            ),
            Self::Truncated { found, expected } => diagnostic!(
                "weights-end",
                "the weights end after {found} of {expected} bytes: download the file again",
                found,
                expected
            ),
            Self::Length { found, expected } => diagnostic!(
                "weights-length",
                "the weights file has {found} bytes, but its header says {expected}: it is damaged, download it again",
                found,
                expected
            ),
            Self::Missing(name) => diagnostic!(
                "tensor-missing",
                "the weights have no `{name}`, which the model's config requires",
                name
            ),
            Self::Unused { name, others: 0 } => diagnostic!(
                "tensor-unused",
                "the weights have `{name}`, for which the model's config has no place: the config belongs to another model, or the model is of a kind that is not supported",
                name
            ),
            Self::Unused { name, others: 1 } => diagnostic!(
                "tensors-unused-two",
                "the weights have `{name}` and one more tensor, for which the model's config has no place: the config belongs to another model, or the model is of a kind that is not supported",
                name
            ),
            Self::Unused { name, others } => diagnostic!(
                "tensors-unused",
                "the weights have `{name}` and {others} more tensors, for which the model's config has no place: the config belongs to another model, or the model is of a kind that is not supported",
                name,
                others
            ),
            Self::Shape {
                name,
                found,
                expected,
            } => diagnostic!(
                "tensor-shape",
                "`{name}` has shape {found}, but the model's config requires {expected}",
                name,
                found = format!("{found:?}"),
                expected = format!("{expected:?}")
            ),
            Self::Dtype { name, found } => diagnostic!(
                "tensor-dtype",
                "`{name}` is stored as {found}; only f32, f16 and bf16 are supported",
                name,
                found
            ),
            Self::NotFinite(name) => diagnostic!(
                "tensor-not-finite",
                "`{name}` contains values that are not finite: the file is damaged",
                name
            ),
            Self::OmittedTable => diagnostic!(
                "words-left-out",
                "the model was downloaded without the words that were not used, but training and export need the whole model: delete it from the downloaded models and download it again as a whole"
            ),
            Self::FileTooLarge(bytes) => diagnostic!(
                "weights-too-large",
                "the weights have {size} MB, and a page can use 4294 MB at most: choose a smaller model, or use the command",
                size = bytes.div_ceil(1_000_000)
            ),
            Self::TooLarge { bytes, limit } => diagnostic!(
                "tensor-too-large",
                "a tensor of the model has {size} MiB, and this GPU allows no more than {limit} MiB; the CPU has no such limit",
                size = bytes.div_ceil(1 << 20),
                limit = limit >> 20
            ),
            Self::Unknown(name) => diagnostic!(
                "tensor-unknown",
                "no layout is known for the parameter `{name}`",
                name
            ),
            Self::NotInferred(reason) => diagnostic!(
                "not-inferred",
                "the architecture cannot be inferred from the weights alone: {reason}",
                reason
            ),
            Self::Device(reason) => diagnostic!(
                "weights-not-read-back",
                "the weights could not be read back from the device: {reason}",
                reason
            ),
            Self::NoMemory(bytes) => diagnostic!(
                "weights-no-memory",
                "there is no memory for a file of {size} MB: close other tabs and programs, or use the command",
                size = bytes.div_ceil(1_000_000)
            ),
        }
    }
}
