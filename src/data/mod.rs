//! Training data: a folder with a sub-folder per class, or pictures with captions in a
//! table; on disk, in a zip, or dropped on the page.
//!
//! [`Dataset::open`] indexes the files, [`Dataset::read`] reads every picture once,
//! [`hold_out`] splits off a held-out part. Unusable files are listed in
//! [`Dataset::problems`] and left out.

#[cfg(feature = "data")]
mod dataset;
#[cfg(feature = "data")]
mod files;
mod problem;
#[cfg(feature = "training")]
mod split;
#[cfg(feature = "data")]
mod table;
#[cfg(feature = "data")]
mod zip;

#[cfg(feature = "data")]
pub use dataset::{Dataset, Example};
#[cfg(all(feature = "data", not(target_arch = "wasm32")))]
pub use files::Directory;
#[cfg(feature = "data")]
pub use files::{DataFiles, InMemory};
pub use problem::Problem;
#[cfg(feature = "training")]
pub use split::{Split, folds, hold_out};
#[cfg(feature = "data")]
pub use zip::ZipFiles;

/// Error of a data set as a whole.
#[cfg(feature = "data")]
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{file} could not be read: {why}")]
    Read { file: String, why: String },
    #[error("{name} is not a readable zip: {why}")]
    Zip { name: String, why: String },
    #[error(
        "{0} contains no usable images: expected one folder of images per class, or a table (CSV, \
         TSV, JSONL) of image files with their classes or captions"
    )]
    Empty(String),
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
    #[error("{0} is not UTF-8 text: save it as CSV UTF-8")]
    Encoding(String),
}
