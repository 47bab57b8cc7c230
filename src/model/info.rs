//! Description of a loaded model.

use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;

/// Name of the bundled model, as its config has it.
pub const BUNDLED_NAME: &str = "clip-everyday";

/// Description of a loaded model, for display.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Display name, such as `clip-everyday`.
    pub name: String,
    /// Parameters of both encoders.
    pub parameters: u64,
    /// Size of its files.
    pub bytes: u64,
    /// Input size of the image encoder, in pixels.
    pub image_size: u32,
    /// Maximum length of a text, in tokens.
    pub context_length: u32,
    /// Dimension of `image_features` and `text_features`.
    pub embed_dim: u32,
    /// Precision of the matrices: `f16`, `f32` or `8-bit`.
    pub precision: String,
    /// Whether each label has a probability of its own, so that none may apply.
    pub independent: bool,
    /// Assumptions made to open the model, for display.
    pub notes: Vec<Diagnostic>,
}
