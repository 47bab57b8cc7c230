//! Problems with single examples of a data set.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};

/// Problem with an example, which is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Problem {
    /// The same bytes with the same label.
    Duplicate {
        /// Path of the duplicate.
        path: String,
        /// Path of the file that is used.
        of: String,
    },
    /// The same bytes in another class.
    Contradiction {
        /// Path of the file that is left out.
        path: String,
        /// Path of the file that is used.
        of: String,
    },
    /// Damaged, or no picture.
    Unreadable {
        /// Path of the file.
        path: String,
        /// What is wrong with it.
        why: Diagnostic,
    },
    /// Listed in a table, but no such file.
    Missing {
        /// Path in the table.
        path: String,
        /// Line of the table, counted from 1.
        line: usize,
        /// Why, if there is more to say than that it does not exist.
        #[serde(default)]
        why: Diagnostic,
    },
    /// Without class or caption.
    Unlabelled {
        /// Path of the picture.
        path: String,
    },
    /// Class without a usable picture.
    EmptyClass {
        /// Name of the class.
        class: String,
    },
    /// Not what an example can be made of, such as an archive.
    Ignored {
        /// Path of the file.
        path: String,
        /// Why it is not used.
        why: Diagnostic,
    },
}

impl Problem {
    /// The same with its reason as a text alone, for files that other programs read.
    pub fn plain(&self) -> Self {
        let mut plain = self.clone();
        if let Self::Unreadable { why, .. }
        | Self::Missing { why, .. }
        | Self::Ignored { why, .. } = &mut plain
        {
            *why = why.plain();
        }
        plain
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_diagnostic().fmt(f)
    }
}

impl ToDiagnostic for Problem {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            // Rows of a table.
            Self::Duplicate { path, of } if path == of => {
                diagnostic!("listed-twice", "{path} is listed twice: used once", path)
            }
            Self::Contradiction { path, of } if path == of => diagnostic!(
                "two-listed",
                "{path} is listed with two classes: only the first is used",
                path
            ),
            Self::Duplicate { path, of } => diagnostic!(
                "duplicate",
                "{path} is a duplicate of {other}: used once",
                path,
                other = of
            ),
            Self::Contradiction { path, of } => diagnostic!(
                "contradiction",
                "{path} is a duplicate of {other} in another class: only the latter is used",
                path,
                other = of
            ),
            Self::Unreadable { path, why } => {
                diagnostic!("file-unusable", "{path}: {reason}", path, reason = why)
            }
            Self::Missing { path, line, why } if why.text().is_empty() => diagnostic!(
                "listed-missing",
                "{path}, listed in line {line} of the table, does not exist",
                path,
                line
            ),
            Self::Missing { path, line, why } => diagnostic!(
                "listed-unusable",
                "{path}, listed in line {line} of the table, {reason}",
                path,
                line,
                reason = why
            ),
            Self::Unlabelled { path } => diagnostic!(
                "unlabelled",
                "{path} has neither a class nor a caption",
                path
            ),
            Self::EmptyClass { class } => diagnostic!(
                "empty-class",
                "the class \"{class}\" has no usable images",
                class
            ),
            Self::Ignored { path, why } => diagnostic!(
                "not-used",
                "{path} is not used: {reason}",
                path,
                reason = why
            ),
        }
    }
}
