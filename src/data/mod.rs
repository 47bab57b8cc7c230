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

#[cfg(feature = "data")]
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};

/// Error of a data set as a whole.
#[cfg(feature = "data")]
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum DataError {
    /// File that cannot be read.
    Read {
        /// Path of the file.
        file: String,
        /// The system's reason.
        why: String,
    },
    /// File that is no zip, or a damaged one.
    Zip {
        /// Path of the zip.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Class without a name in a list of them.
    Unnamed {
        /// What the list has, in words.
        names: String,
        /// The class.
        class: String,
    },
    /// Data set without a usable picture.
    Empty {
        /// Name of the data set.
        name: String,
        /// What was left out, or what there is instead; empty or a sentence.
        why: Diagnostic,
    },
    /// Data set with several tables: its name, and theirs.
    Tables(String, Vec<String>),
    /// Table without a column that is needed.
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
    Line {
        /// Path of the table.
        file: String,
        /// Number of the line, counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Project of the page that cannot be read.
    Project {
        /// Path of its `project.json`.
        file: String,
        /// What is wrong with it.
        why: Diagnostic,
    },
    /// Table in an encoding other than UTF-8.
    Encoding {
        /// Path of the table.
        file: String,
        /// Number of the line, counted from 1.
        line: usize,
    },
}

#[cfg(feature = "data")]
impl ToDiagnostic for DataError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Read { file, why } => diagnostic!(
                "unreadable",
                "{file} could not be read: {reason}",
                file,
                reason = why
            ),
            Self::Zip { name, why } => diagnostic!(
                "no-zip",
                "{name} is not a readable zip: {reason}",
                name,
                reason = why
            ),
            Self::Unnamed { names, class } => diagnostic!(
                "class-unnamed",
                "{names}: \"{class}\" is none of these numbers",
                names,
                class
            ),
            Self::Empty { name, why } => diagnostic!(
                "no-usable-images",
                "{name} contains no usable images: expected one folder of images per class, or a table (CSV, TSV, JSONL) of image files with their classes or captions{why}",
                name,
                why
            ),
            Self::Tables(name, tables) => diagnostic!(
                "several-tables",
                "{name} contains several tables ({list}): choose one",
                name,
                list = tables.join(", ")
            ),
            Self::Column {
                file,
                missing,
                expected,
                found,
            } => diagnostic!(
                "no-column",
                "{file} has no column for {missing}: name it {expected} (found: {found})",
                file,
                missing,
                expected,
                found = found.join(", ")
            ),
            Self::Line { file, line, why } => diagnostic!(
                "table-line",
                "{file}, line {line}: {reason}",
                file,
                line,
                reason = why
            ),
            Self::Project { file, why } => diagnostic!(
                "project",
                "the project {file} cannot be opened: {reason}",
                file,
                reason = why
            ),
            Self::Encoding { file, line } => diagnostic!(
                "not-utf-8",
                "{file}, line {line}, is not UTF-8 text: save it as CSV UTF-8",
                file,
                line
            ),
        }
    }
}
