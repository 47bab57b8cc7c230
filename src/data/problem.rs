//! Problems with single examples of a data set.

use std::fmt;

use serde::{Deserialize, Serialize};

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
        why: String,
    },
    /// Listed in a table, but no such file.
    Missing {
        /// Path in the table.
        path: String,
        /// Line of the table, counted from 1.
        line: usize,
        /// Why, if there is more to say than that it does not exist.
        #[serde(default)]
        why: String,
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
        why: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Rows of a table.
            Self::Duplicate { path, of } if path == of => {
                write!(f, "{path} is listed twice: used once")
            }
            Self::Contradiction { path, of } if path == of => {
                write!(
                    f,
                    "{path} is listed with two classes: only the first is used"
                )
            }
            Self::Duplicate { path, of } => {
                write!(f, "{path} is a duplicate of {of}: used once")
            }
            Self::Contradiction { path, of } => write!(
                f,
                "{path} is a duplicate of {of} in another class: only the latter is used"
            ),
            Self::Unreadable { path, why } => write!(f, "{path}: {why}"),
            Self::Missing { path, line, why } => {
                write!(f, "{path}, listed in line {line} of the table, ")?;
                match why.as_str() {
                    "" => f.write_str("does not exist"),
                    why => f.write_str(why),
                }
            }
            Self::Unlabelled { path } => write!(f, "{path} has neither a class nor a caption"),
            Self::EmptyClass { class } => {
                write!(f, "the class \"{class}\" has no usable images")
            }
            Self::Ignored { path, why } => write!(f, "{path} is not used: {why}"),
        }
    }
}
