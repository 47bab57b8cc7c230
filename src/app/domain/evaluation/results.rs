//! What was found.

use serde::{Deserialize, Serialize};

use crate::engine::messages::{EvaluatedImage, EvaluationEvent, Problem};
use crate::eval::{Limit, McNemar, ModelComparison, Report};

/// Limits that are tried with templates of their own; the others take those of the
/// classifier.
const TEMPLATES_OF_THEIR_OWN: [Limit; 7] = [
    Limit::Counting,
    Limit::LeftAndRight,
    Limit::Distance,
    Limit::Digits,
    Limit::Handwriting,
    Limit::Negation,
    Limit::Bias,
];
/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub report: Report,
    pub images: Vec<EvaluatedImage>,
    pub problems: Vec<Problem>,
    pub own_templates: Vec<String>,
}

impl Results {
    fn right(&self) -> Vec<bool> {
        (self.images.iter())
            .map(|image| image.truth == image.answer)
            .collect()
    }

    /// Adds the answer to a request.
    pub fn add(&mut self, event: EvaluationEvent) {
        match event {
            EvaluationEvent::Prompts { comparison, notes } => {
                self.report.prompts = Some(comparison);
                let new = notes.into_iter().filter(|n| !self.report.notes.contains(n));
                let new: Vec<String> = new.collect();
                self.report.notes.extend(new);
            }
            EvaluationEvent::Shots(curve) => self.report.shots = Some(curve),
            EvaluationEvent::Limit(result) => {
                let limits = &mut self.report.limits;
                limits.retain(|known| known.name != result.name);
                limits.push(result);
                let place = |name: &str| Limit::ALL.iter().position(|limit| limit.name() == name);
                limits.sort_by_key(|limit| place(&limit.name));
            }
            _ => {}
        }
    }

    /// Keeps what still holds of earlier results on the same images: of the same model with
    /// other templates, or of another model, with which this one is then compared.
    pub fn carry_over(&mut self, before: Results) {
        let same = |(a, b): (&EvaluatedImage, &EvaluatedImage)| a.path == b.path;
        if self.images.len() != before.images.len()
            || !self.images.iter().zip(&before.images).all(same)
        {
            return;
        }
        let right = before.right();
        let report = &mut self.report;
        let names = |report: &Report| -> Vec<String> {
            let classes = report.evaluation.classes.iter();
            classes.map(|class| class.name.clone()).collect()
        };
        let same_classes = names(report) == names(&before.report);
        let same_templates = report.templates == before.report.templates;
        if report.model == before.report.model {
            report.limits = before.report.limits;
            if same_classes {
                report.prompts = before.report.prompts;
            }
            if same_classes && same_templates {
                report.shots = before.report.shots;
                report.comparison = before.report.comparison;
                return;
            }
            let kept = TEMPLATES_OF_THEIR_OWN.map(Limit::name);
            (report.limits).retain(|limit| {
                kept.contains(&limit.name.as_str())
                    && (same_classes || limit.name != Limit::Negation.name())
            });
        } else if same_templates && same_classes {
            self.report.comparison = Some(ModelComparison {
                model: before.report.model,
                metrics: before.report.metrics,
                test: McNemar::new(&self.right(), &right),
            });
        }
    }
}
