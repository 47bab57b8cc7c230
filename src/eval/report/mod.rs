//! Report of an evaluation: everything that was measured, to be stored as JSON and shown
//! as a page that needs nothing else.

mod html;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Calibration, Evaluation, LimitResult, McNemar, Metrics, PromptComparison, ShotsCurve};

/// Everything that was measured of a model on a data set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the data set.
    pub data: String,
    /// Name of the model.
    pub model: String,
    /// Templates of the classifier that is evaluated.
    pub templates: Vec<String>,
    /// Accuracy, confusion matrix and the worst mistakes.
    pub evaluation: Evaluation,
    /// Accuracies with their intervals, and metrics of the classes.
    pub metrics: Metrics,
    /// Calibration, if there are images enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Sets of templates compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompts: Option<PromptComparison>,
    /// Zero-shot against few images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shots: Option<ShotsCurve>,
    /// Another model on the same images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<ModelComparison>,
    /// Known limits, tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitResult>,
    /// What a reader should know: left out, cut, taken otherwise.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Another model on the same images, with the same templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelComparison {
    /// Name of the other model.
    pub model: String,
    /// Its metrics.
    pub metrics: Metrics,
    /// Test of the report's model (first) against the other (second).
    pub test: McNemar,
}

/// Part of a report as HTML, for a page that has a style of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSection {
    /// Short name, for ids.
    pub id: &'static str,
    /// Heading.
    pub heading: &'static str,
    /// What is below the heading.
    pub html: String,
}

impl Report {
    /// The report as an HTML page that needs no other file, no script and no network.
    /// `pictures` has `data:` addresses by path, for the mistakes that are shown with
    /// their picture.
    pub fn html(&self, pictures: &BTreeMap<String, String>) -> String {
        html::page(self, pictures)
    }

    /// The figures at a glance as HTML.
    pub fn summary(&self) -> String {
        html::summary(self)
    }

    /// The parts of the report as HTML; `pictures` as for [`Self::html`].
    pub fn sections(&self, pictures: &BTreeMap<String, String>) -> Vec<ReportSection> {
        html::sections(self, pictures)
    }
}
