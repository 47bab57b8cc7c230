//! When to say that none of the labels fits.

use serde::{Deserialize, Serialize};

use crate::zero_shot::{DEFAULT_PROBABILITY, DEFAULT_REJECTION};

/// The visitor's choice, stored as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RejectionSettings {
    /// Whether it is said at all.
    pub on: bool,
    /// Share among everyday words below which the labels do not fit, 0 to 1.
    pub share: f32,
    /// Probability below which a label does not fit, 0 to 1, of models that give each label one of
    /// its own.
    pub probability: f32,
}

impl Default for RejectionSettings {
    /// Off: the bundled model also rejects many photographs that it names right.
    fn default() -> Self {
        Self {
            on: false,
            share: DEFAULT_REJECTION,
            probability: DEFAULT_PROBABILITY,
        }
    }
}

impl RejectionSettings {
    /// Threshold of a kind of model.
    pub fn threshold(&self, independent: bool) -> f32 {
        match independent {
            true => self.probability,
            false => self.share,
        }
    }

    /// The same with another threshold.
    pub fn with_threshold(self, independent: bool, threshold: f32) -> Self {
        match independent {
            true => Self {
                probability: threshold,
                ..self
            },
            false => Self {
                share: threshold,
                ..self
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_model_has_its_threshold_and_what_was_stored_is_read() {
        let settings = RejectionSettings::default().with_threshold(true, 0.75);
        assert_eq!(
            [true, false].map(|kind| settings.threshold(kind)),
            [0.75, 0.3]
        );
        let stored: RejectionSettings = serde_json::from_str(r#"{"on":true}"#).unwrap_or_default();
        assert_eq!((stored.on, stored.share), (true, DEFAULT_REJECTION));
    }
}
