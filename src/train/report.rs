//! Report of a training run, the same for every method: stored as JSON with the result,
//! and shown by the page.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{LeftOut, Problem};
use crate::eval::Evaluation;

/// Training methods, from quick to thorough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Linear probe: logistic regression on image features.
    Probe,
    /// Few-shot adapter on the zero-shot classifier.
    Adapter,
    /// Low-rank adaptation of the towers' projections.
    Lora,
    /// Contrastive fine-tuning.
    Full,
    /// Contrastive training from scratch.
    Pretrain,
}

impl Method {
    /// Name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Adapter => "adapter",
            Self::Lora => "lora",
            Self::Full => "full",
            Self::Pretrain => "pretrain",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Report of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingReport {
    /// Training method.
    pub method: Method,
    /// Name of the base model.
    pub model: String,
    /// Device name, for display.
    pub device: String,
    /// Settings chosen by the user or by the method.
    pub settings: BTreeMap<String, Value>,
    /// Summary of the training data.
    pub data: DataReport,
    /// Such as the loss by step, or the accuracy by penalty.
    pub curves: Vec<MetricSeries>,
    /// Zero-shot evaluation on the held-out part; `None` if nothing was held out.
    pub before: Option<Evaluation>,
    /// Evaluation of the result on the same part.
    pub after: Option<Evaluation>,
    /// Duration of the training.
    pub seconds: f64,
    /// Throughput of the image encoder.
    pub images_per_second: f64,
    /// Warnings to show.
    pub notes: Vec<String>,
}

/// Name of the series with the accuracy by share of the trained weights (WiSE-FT).
pub const MIXTURES: &str = "wise_ft";

/// Named series of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSeries {
    /// Name of the metric.
    pub name: String,
    /// Name of the horizontal axis.
    pub x: String,
    /// Points, `[x, y]`.
    pub points: Vec<[f64; 2]>,
}

/// Summary of the training data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataReport {
    /// Display name of the data set.
    pub name: String,
    /// Training examples.
    pub train: usize,
    /// Held-out examples.
    pub held_out: usize,
    /// Empty for captions.
    pub classes: Vec<ClassCount>,
    /// Examples left out, with reasons.
    pub problems: Vec<Problem>,
    /// Their number by reason.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
}

impl TrainingReport {
    /// The same as a file has it, in which reasons are texts alone.
    pub fn for_file(&self) -> Self {
        let mut report = self.clone();
        let data = &mut report.data;
        data.problems = data.problems.iter().map(Problem::plain).collect();
        data.left_out = data.left_out.iter().map(LeftOut::plain).collect();
        report
    }
}

/// Number of examples of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassCount {
    /// Name of the class.
    pub name: String,
    /// Training examples.
    pub train: usize,
    /// Held-out examples.
    pub held_out: usize,
}

/// Progress of the fit of a head, which takes about a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadProgress {
    /// Current stage.
    pub stage: TrainingStage,
    /// Units of the stage so far.
    pub done: usize,
    /// Units of the stage.
    pub total: usize,
}

/// Stage of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrainingStage {
    /// Encoding pictures.
    Pictures,
    /// Encoding prompts.
    Prompts,
    /// Cross-validating hyper-parameters.
    CrossValidating,
    /// Fitting the classifier.
    Fitting,
    /// Optimiser steps.
    Steps,
    /// Evaluating the held-out part.
    Evaluating,
}
