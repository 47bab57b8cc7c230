//! Training data: a folder with a sub-folder per class, or pictures with captions in a
//! table; on disk, in a zip, or dropped on the page.
//!
//! [`Dataset::open`] indexes the files, [`Dataset::read`] reads every picture once,
//! [`hold_out`] splits off a held-out part. Unusable files are listed in
//! [`Dataset::problems`] and left out.

mod dataset;
mod files;
mod listing;
mod names;
#[cfg(feature = "training")]
mod split;
mod subset;
mod table;
mod zip;

pub use dataset::{Dataset, Example};
#[cfg(not(target_arch = "wasm32"))]
pub use files::Directory;
#[cfg(target_arch = "wasm32")]
pub use files::DroppedFiles;
pub use files::{DataFiles, InMemory};
#[cfg(feature = "training")]
pub use split::{Split, folds, hold_out};
pub use zip::ZipFiles;

/// Error of a data set as a whole.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{file} could not be read: {why}")]
    Read { file: String, why: String },
    #[error("{name} is not a readable zip: {why}")]
    Zip { name: String, why: String },
    #[error(
        "{name} contains no usable images: expected one folder of images per class, or a table (CSV, \
         TSV, JSONL) of image files with their classes or captions{why}"
    )]
    Empty { name: String, why: String },
    #[error("{0} contains several tables ({list}): choose one", list = .1.join(", "))]
    Tables(String, Vec<String>),
    #[error(
        "{file} has no column for {missing}: name it {expected} (found: {found})",
        found = .found.join(", ")
    )]
    Column {
        file: String,
        missing: &'static str,
        expected: String,
        found: Vec<String>,
    },
    #[error("{file}, line {line}: {why}")]
    Line {
        file: String,
        line: usize,
        why: String,
    },
    #[error("{file}, line {line}, is not UTF-8 text: save it as CSV UTF-8")]
    Encoding { file: String, line: usize },
}
