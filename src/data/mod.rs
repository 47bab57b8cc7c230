//! Training data: a folder with a sub-folder per class, or pictures with captions in a
//! table; on disk, in a zip, or dropped on the page.
//!
//! [`Dataset::open`] indexes the files, [`Dataset::read`] reads every picture once,
//! [`hold_out`] splits off a held-out part. Unusable files are listed in
//! [`Dataset::problems`] and left out.

#[cfg(feature = "data")]
mod dataset;
#[cfg(feature = "data")]
mod encoding;
#[cfg(feature = "data")]
mod files;
#[cfg(feature = "data")]
mod frequent;
mod image_name;
mod left_out;
#[cfg(feature = "data")]
mod listing;
#[cfg(feature = "data")]
mod names;
mod problem;
#[cfg(feature = "data")]
mod project;
#[cfg(feature = "training")]
mod split;
#[cfg(feature = "data")]
mod subset;
#[cfg(feature = "data")]
mod table;
#[cfg(feature = "data")]
mod webdataset;
#[cfg(feature = "data")]
mod zip;

#[cfg(feature = "data")]
pub use dataset::{Dataset, Example};
#[cfg(feature = "data")]
pub use encoding::NameEncoding;
#[cfg(all(feature = "data", not(target_arch = "wasm32")))]
pub use files::Directory;
#[cfg(feature = "data")]
pub use files::{DataFiles, InMemory};
pub use image_name::is_image_name;
pub use left_out::LeftOut;
#[cfg(feature = "data")]
pub use names::{file_name, file_safe, numbered};
pub use problem::Problem;
#[cfg(feature = "data")]
pub use project::{PROJECT_FILE, ProjectImage, ProjectImages, ProjectSplit, open_project};
#[cfg(feature = "training")]
pub use split::{Split, folds, hold_out};
#[cfg(feature = "data")]
pub use table::csv_field;
#[cfg(all(feature = "data", not(target_arch = "wasm32")))]
pub use webdataset::ShardDirectory;
#[cfg(feature = "data")]
pub use webdataset::{ShardFolder, WebDataset};
#[cfg(feature = "data")]
pub use zip::ZipFiles;

/// Error of a data set as a whole.
#[cfg(feature = "data")]
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// File that cannot be read.
    #[error("{file} could not be read: {why}")]
    Read {
        /// Path of the file.
        file: String,
        /// The system's reason.
        why: String,
    },
    /// File that is no zip, or a damaged one.
    #[error("{name} is not a readable zip: {why}")]
    Zip {
        /// Path of the zip.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Class without a name in a list of them.
    #[error("{names}: \"{class}\" is none of these numbers")]
    Unnamed {
        /// What the list has, in words.
        names: String,
        /// The class.
        class: String,
    },
    /// Data set without a usable picture.
    #[error(
        "{name} contains no usable images: expected one folder of images per class, or a table (CSV, \
         TSV, JSONL) of image files with their classes or captions{why}"
    )]
    Empty {
        /// Name of the data set.
        name: String,
        /// What was left out, or what there is instead; empty or a sentence.
        why: String,
    },
    /// Data set with several tables: its name, and theirs.
    #[error("{0} contains several tables ({list}): choose one", list = .1.join(", "))]
    Tables(String, Vec<String>),
    /// Table without a column that is needed.
    #[error(
        "{file} has no column for {missing}: name it {expected} (found: {found})",
        found = .found.join(", ")
    )]
    Column {
        /// Path of the table.
        file: String,
        /// What the column would hold.
        missing: &'static str,
        /// Names that are understood.
        expected: String,
        /// Names of the columns that there are.
        found: Vec<String>,
    },
    /// Line of a table that cannot be read.
    #[error("{file}, line {line}: {why}")]
    Line {
        /// Path of the table.
        file: String,
        /// Number of the line, counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Project of the page that cannot be read.
    #[error("the project {file} cannot be opened: {why}")]
    Project {
        /// Path of its `project.json`.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// Table in an encoding other than UTF-8.
    #[error("{file}, line {line}, is not UTF-8 text: save it as CSV UTF-8")]
    Encoding {
        /// Path of the table.
        file: String,
        /// Number of the line, counted from 1.
        line: usize,
    },
}
