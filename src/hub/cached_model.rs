//! Entry of the browser's cache.

use serde::{Deserialize, Serialize};

use crate::model::StoredPrecision;

/// Model in the browser's cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedModel {
    /// Its name when it was opened.
    pub model: String,
    /// Size of what is cached.
    pub bytes: u64,
    /// `false` for an interrupted download.
    pub complete: bool,
    /// Precision of its weights as they are kept.
    #[serde(default)]
    pub precision: StoredPrecision,
    /// Whether only those rows of its token embedding are kept that were used.
    #[serde(default)]
    pub used_words: bool,
}
