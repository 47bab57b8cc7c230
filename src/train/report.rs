//! What a training did, in one form for every method. Written as JSON beside
//! the result, and shown by the page.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::eval::Evaluation;

/// The ways of training, from quick to thorough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Linear probe: logistic regression on image features.
    Probe,
    /// Few-shot adapter: the zero-shot classifier, corrected.
    Adapter,
    /// Low-rank changes to the towers' projections.
    Lora,
    /// Contrastive fine-tuning of the towers.
    Full,
    /// Contrastive training from nothing.
    Pretrain,
}

impl Method {
    /// As it is written in files and on the command line.
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
    /// Name of the model that was begun with.
    pub model: String,
    /// For people: where it was computed.
    pub device: String,
    /// Everything that was chosen, by the user or by the method.
    pub settings: BTreeMap<String, Value>,
    pub data: DataReport,
    /// Such as the loss by step, or the accuracy by strength of regularisation.
    pub curves: Vec<Curve>,
    /// On the held-out part, before training: zero-shot. `None` where nothing
    /// was held out.
    pub before: Option<Evaluation>,
    /// The same part with what was learnt.
    pub after: Option<Evaluation>,
    pub seconds: f64,
    /// Pictures that went through the image encoder.
    pub images_per_second: f64,
    /// Shown, not fatal.
    pub notes: Vec<String>,
}

/// A line of a chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    pub name: String,
    pub x: String,
    pub points: Vec<[f64; 2]>,
}

/// What was learnt from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataReport {
    pub name: String,
    /// Examples learnt from.
    pub train: usize,
    /// Examples kept apart for measuring.
    pub held_out: usize,
    /// None for captions.
    pub classes: Vec<ClassCount>,
    /// What was left out, and why.
    pub problems: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassCount {
    pub name: String,
    pub train: usize,
    pub held_out: usize,
}

/// Something in a data set that could not be used; the rest goes on.
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
    /// A table names a file that is not there.
    Missing {
        path: String,
        line: usize,
    },
    /// Neither in a class's folder nor with a caption.
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

/// How far a training on features is; the last part takes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadProgress {
    pub stage: HeadStage,
    pub done: usize,
    pub total: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeadStage {
    /// Pictures through the image encoder.
    Pictures,
    /// Prompts of the classes through the text encoder.
    Labels,
    /// Settings are tried on parts of the training pictures.
    Choosing,
    /// The classifier itself.
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
