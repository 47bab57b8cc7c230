//! The held-out part: what is said of it before and after.

use crate::engine::messages::{HeldOutAnswer, SampleId, TrainingPlan};
use crate::eval::{Evaluation, Judged, softmax};
use crate::train::{ClassCount, DataReport};

/// What the held-out part is asked about: classes, or with captions which of
/// the part's captions is whose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exam {
    /// Names of the answers.
    pub answers: Vec<String>,
    /// Whether they are classes, to be put into prompts.
    pub are_classes: bool,
    pub samples: Vec<SampleId>,
    pub paths: Vec<String>,
    /// Of each sample its index into `answers`.
    pub truth: Vec<usize>,
}

impl Exam {
    pub fn new(plan: &TrainingPlan) -> Self {
        let are_classes = !plan.classes.is_empty();
        let mut exam = Self {
            answers: if are_classes {
                plan.classes.clone()
            } else {
                Vec::new()
            },
            are_classes,
            ..Self::default()
        };
        for sample in plan.samples.iter().filter(|sample| sample.held_out) {
            let truth = match (sample.class, sample.captions.first()) {
                (Some(class), _) if are_classes => class as usize,
                (None, Some(caption)) if !are_classes => {
                    let known = exam.answers.iter().position(|answer| answer == caption);
                    known.unwrap_or_else(|| {
                        exam.answers.push(caption.clone());
                        exam.answers.len() - 1
                    })
                }
                _ => continue,
            };
            exam.samples.push(sample.sample);
            exam.paths.push(sample.path.clone());
            exam.truth.push(truth);
        }
        exam
    }

    /// Whether there is anything to ask, and a choice.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() || self.answers.len() < 2
    }

    /// Marks what was thought of each sample's answers.
    pub fn mark(&self, probabilities: &[Vec<f32>]) -> Evaluation {
        let judged: Vec<Judged> = (self.paths.iter().zip(&self.truth).zip(probabilities))
            .map(|((path, truth), probabilities)| Judged {
                path,
                truth: *truth,
                probabilities: probabilities.clone(),
            })
            .collect();
        Evaluation::new(&self.answers, &judged)
    }

    /// What was said of each sample before and after.
    pub fn compare(&self, before: &[Vec<f32>], after: &[Vec<f32>]) -> Vec<HeldOutAnswer> {
        (self
            .samples
            .iter()
            .zip(&self.truth)
            .zip(before.iter().zip(after)))
        .map(|((sample, truth), (before, after))| {
            let (said, probability) = best(after);
            HeldOutAnswer {
                sample: *sample,
                truth: *truth as u32,
                before: best(before).0,
                after: said,
                probability,
            }
        })
        .collect()
    }
}

fn best(probabilities: &[f32]) -> (u32, f32) {
    let best = probabilities
        .iter()
        .zip(0..)
        .max_by(|a, b| a.0.total_cmp(b.0));
    best.map_or((0, 0.0), |(probability, answer)| (answer, *probability))
}

/// Probabilities of a classifier's rows for a picture.
pub fn by_words(features: &[f32], classifier: &[Vec<f32>], scale: f32) -> Vec<f32> {
    let dot = |row: &Vec<f32>| row.iter().zip(features).map(|(a, b)| a * b).sum::<f32>();
    softmax(
        &classifier
            .iter()
            .map(|row| scale * dot(row))
            .collect::<Vec<f32>>(),
    )
}

/// What was learnt from, for the report.
pub fn data_report(plan: &TrainingPlan) -> DataReport {
    let count = |class: Option<usize>, held_out: bool| {
        (plan.samples.iter())
            .filter(|sample| sample.held_out == held_out)
            .filter(|sample| class.is_none_or(|class| sample.class == Some(class as u32)))
            .count()
    };
    DataReport {
        name: plan.name.clone(),
        train: count(None, false),
        held_out: count(None, true),
        classes: (plan.classes.iter().enumerate())
            .map(|(class, name)| ClassCount {
                name: name.clone(),
                train: count(Some(class), false),
                held_out: count(Some(class), true),
            })
            .collect(),
        problems: plan.problems.clone(),
    }
}
