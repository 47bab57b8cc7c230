//! Messages to the visitor that belong to no single picture.

use crate::diagnostic::{Diagnostic, ToDiagnostic};

/// Message to the visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// In plain words: what happened and what to do.
    pub text: Diagnostic,
    /// Whether something went wrong, rather than merely changed.
    pub error: bool,
}

impl Notice {
    /// Something went wrong.
    pub fn error(text: impl ToDiagnostic) -> Self {
        Self {
            text: text.to_diagnostic(),
            error: true,
        }
    }

    /// Something changed.
    pub fn info(text: impl ToDiagnostic) -> Self {
        Self {
            text: text.to_diagnostic(),
            error: false,
        }
    }
}
