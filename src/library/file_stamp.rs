//! What a file is recognised by.

use serde::{Deserialize, Serialize};

/// Path, size and modification time, by which a file is recognised without reading it without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Path in the indexed folder, with `/` between folders.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
}
