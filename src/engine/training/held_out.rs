//! Evaluation of the held-out part, before and after training.

use crate::data::LeftOut;
use crate::engine::messages::{HeldOutAnswer, SampleId, TrainingPlan};
use crate::eval::{Evaluation, Judged};
use crate::train::{ClassCount, DataReport};

/// Held-out set: classification among classes, or for captions retrieval among the set's
/// captions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeldOutSet {
    /// Candidate answers.
    pub answers: Vec<String>,
    /// Whether they are classes, for prompt templates.
    pub are_classes: bool,
    pub samples: Vec<SampleId>,
    pub paths: Vec<String>,
    /// Index into `answers` for each sample.
    pub truth: Vec<usize>,
}

impl HeldOutSet {
    pub fn new(plan: &TrainingPlan) -> Self {
        let are_classes = !plan.classes.is_empty();
        let mut set = Self {
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
                    let known = set.answers.iter().position(|answer| answer == caption);
                    known.unwrap_or_else(|| {
                        set.answers.push(caption.clone());
                        set.answers.len() - 1
                    })
                }
                _ => continue,
            };
            set.samples.push(sample.sample);
            set.paths.push(sample.path.clone());
            set.truth.push(truth);
        }
        set
    }

    /// Whether there are too few samples or answers to evaluate.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() || self.answers.len() < 2
    }

    /// Evaluates the probabilities of each sample's answers.
    pub fn evaluate(&self, probabilities: &[Vec<f32>]) -> Evaluation {
        let judged: Vec<Judged> = (self.paths.iter().zip(&self.truth).zip(probabilities))
            .map(|((path, truth), probabilities)| Judged {
                path,
                truth: *truth,
                probabilities: probabilities.clone(),
            })
            .collect();
        Evaluation::new(&self.answers, &judged)
    }

    /// Answers for each sample before and after.
    pub fn compare(&self, before: &[Vec<f32>], after: &[Vec<f32>]) -> Vec<HeldOutAnswer> {
        (self
            .samples
            .iter()
            .zip(&self.truth)
            .zip(before.iter().zip(after)))
        .map(|((sample, truth), (before, after))| {
            let (answer, probability) = argmax(after);
            HeldOutAnswer {
                sample: *sample,
                truth: *truth as u32,
                before: argmax(before).0,
                after: answer,
                probability,
            }
        })
        .collect()
    }
}

fn argmax(probabilities: &[f32]) -> (u32, f32) {
    let best = probabilities
        .iter()
        .zip(0..)
        .max_by(|a, b| a.0.total_cmp(b.0));
    best.map_or((0, 0.0), |(probability, answer)| (answer, *probability))
}

/// Summary of the training data, for the report.
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
        left_out: LeftOut::count(&plan.problems),
    }
}
