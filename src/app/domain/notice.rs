//! Messages to the visitor that belong to no single picture.

/// Message to the visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// In plain words: what happened and what to do.
    pub text: String,
    /// Whether something went wrong, rather than merely changed.
    pub error: bool,
}

impl Notice {
    /// Something went wrong.
    pub fn error(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            error: true,
        }
    }

    /// Something changed.
    pub fn info(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            error: false,
        }
    }
}
