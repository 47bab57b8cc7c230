//! Activation of the transformers.

use serde::{Deserialize, Serialize};

/// Activation of the transformers' MLPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`: OpenAI's weights.
    QuickGelu,
    /// Exact GELU: most of LAION's weights.
    Gelu,
    /// GELU by its tanh approximation: SigLIP's weights.
    GeluTanh,
}

impl Activation {
    /// Name in Hugging Face's configs.
    #[cfg(feature = "compute")]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::QuickGelu => "quick_gelu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_pytorch_tanh",
        }
    }
}
