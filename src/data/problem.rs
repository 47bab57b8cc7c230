//! Problems with single examples of a data set.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Problem with an example, which is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Problem {
    /// The same bytes with the same label.
    Duplicate {
        path: String,
        of: String,
    },
    /// The same bytes in another class.
    Contradiction {
        path: String,
        of: String,
    },
    Unreadable {
        path: String,
        why: String,
    },
    /// Listed in a table, but no such file.
    Missing {
        path: String,
        line: usize,
    },
    /// Without class or caption.
    Unlabelled {
        path: String,
    },
    EmptyClass {
        class: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { path, of } => {
                write!(f, "{path} is a duplicate of {of}: used once")
            }
            Self::Contradiction { path, of } => write!(
                f,
                "{path} is a duplicate of {of} in another class: only the latter is used"
            ),
            Self::Unreadable { path, why } => write!(f, "{path}: {why}"),
            Self::Missing { path, line } => {
                write!(
                    f,
                    "{path}, listed in line {line} of the table, does not exist"
                )
            }
            Self::Unlabelled { path } => write!(f, "{path} has neither a class nor a caption"),
            Self::EmptyClass { class } => {
                write!(f, "the class \"{class}\" has no usable images")
            }
        }
    }
}
