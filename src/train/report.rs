//! Report of a training run, the same for every method: stored as JSON with the result,
//! and shown by the page.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LeftOut;
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingReport {
    pub method: Method,
    /// Name of the base model.
    pub model: String,
    /// Device name, for display.
    pub device: String,
    /// Settings chosen by the user or by the method.
    pub settings: BTreeMap<String, Value>,
    pub data: DataReport,
    /// Such as the loss by step, or the accuracy by penalty.
    pub curves: Vec<MetricSeries>,
    /// Zero-shot evaluation on the held-out part; `None` if nothing was held out.
    pub before: Option<Evaluation>,
    /// Evaluation of the result on the same part.
    pub after: Option<Evaluation>,
    pub seconds: f64,
    /// Throughput of the image encoder.
    pub images_per_second: f64,
    /// Warnings to show.
    pub notes: Vec<String>,
}

/// Named series of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSeries {
    pub name: String,
    pub x: String,
    pub points: Vec<[f64; 2]>,
}

/// Summary of the training data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataReport {
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassCount {
    pub name: String,
    pub train: usize,
    pub held_out: usize,
}

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
        /// Why, if there is more to say.
        #[serde(default)]
        why: String,
    },
    /// Without class or caption.
    Unlabelled {
        path: String,
    },
    EmptyClass {
        class: String,
    },
    /// Not what an example can be made of, such as an archive.
    Ignored {
        path: String,
        why: String,
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

/// Progress of the training of a head; the last stage takes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadProgress {
    pub stage: HeadStage,
    pub done: usize,
    pub total: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeadStage {
    /// Encoding images.
    Pictures,
    /// Encoding the classes' prompts.
    Labels,
    /// Cross-validating hyper-parameters.
    Choosing,
    /// Fitting the classifier.
    Fitting,
}

impl fmt::Display for HeadStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pictures => "encoding images",
            Self::Labels => "encoding prompts",
            Self::Choosing => "cross-validating",
            Self::Fitting => "fitting",
        })
    }
}
