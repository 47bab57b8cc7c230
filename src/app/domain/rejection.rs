//! When to say that none of the labels fits.

use serde::{Deserialize, Serialize};

use crate::zero_shot::{DEFAULT_CLASS_FIT, DEFAULT_PROBABILITY, DEFAULT_REJECTION};

/// What tells how well labels fit an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitKind {
    /// Share of the labels among everyday words.
    Words,
    /// Probability of the likeliest label, of a model that gives each label one of its own.
    Probability,
    /// Share of a trained head's images that are no nearer to a class.
    Head,
    /// Nothing: a trained head that cannot tell is in use.
    Unknown,
}

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
    /// Share of its training images below which no class of a trained head fits, 0 to 1.
    pub class_fit: f32,
}

impl Default for RejectionSettings {
    /// Off: the bundled model also rejects many photographs that it names right.
    fn default() -> Self {
        Self {
            on: false,
            share: DEFAULT_REJECTION,
            probability: DEFAULT_PROBABILITY,
            class_fit: DEFAULT_CLASS_FIT,
        }
    }
}

impl RejectionSettings {
    /// Threshold of a kind.
    pub fn threshold(&self, kind: FitKind) -> f32 {
        match kind {
            FitKind::Words => self.share,
            FitKind::Probability => self.probability,
            FitKind::Head => self.class_fit,
            FitKind::Unknown => 0.0,
        }
    }

    /// The same with another threshold.
    pub fn with_threshold(mut self, kind: FitKind, threshold: f32) -> Self {
        match kind {
            FitKind::Words => self.share = threshold,
            FitKind::Probability => self.probability = threshold,
            FitKind::Head => self.class_fit = threshold,
            FitKind::Unknown => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_threshold_and_what_was_stored_is_read() {
        let settings = RejectionSettings::default().with_threshold(FitKind::Probability, 0.75);
        let kinds = [FitKind::Probability, FitKind::Words, FitKind::Head];
        assert_eq!(
            kinds.map(|kind| settings.threshold(kind)),
            [0.75, 0.3, DEFAULT_CLASS_FIT]
        );
        let stored: RejectionSettings = serde_json::from_str(r#"{"on":true}"#).unwrap_or_default();
        assert_eq!((stored.on, stored.share), (true, DEFAULT_REJECTION));
    }
}
