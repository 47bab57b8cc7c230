//! Precision of weights in storage.

use serde::{Deserialize, Serialize};

/// Precision of the matrices in a stored copy of a file of weights. Vectors (gains, biases, variances)
/// stay as they are: they are few, and the model is the more exact for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredPrecision {
    /// That of the file.
    #[default]
    AsDownloaded,
    /// f16 for f32.
    F16,
    /// int8 with a scale per row, but for rows of less than 16 values and depthwise convolutions.
    Int8,
}
