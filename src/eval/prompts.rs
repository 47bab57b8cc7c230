//! Prompt engineering (paper, section 3.1.4): the same images and classes in several sets
//! of templates.

use serde::{Deserialize, Serialize};

use super::{ClassMetrics, IntervalEstimate, McNemar, Metrics, Predictions};

/// Sets of templates on the same images, the first as baseline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptComparison {
    /// Results, in the order in which they were tried.
    pub sets: Vec<PromptResult>,
}

/// Result of a set of templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptResult {
    /// Name of the set.
    pub name: String,
    /// Its templates.
    pub templates: Vec<String>,
    /// Share named right.
    pub top_1: IntervalEstimate,
    /// Mean of the classes.
    pub mean_per_class: IntervalEstimate,
    /// Recall of each class, `None` without images of it.
    pub recalls: Vec<Option<f64>>,
    /// Test against the first set; `None` for itself.
    pub against_first: Option<McNemar>,
}

/// Change of a class's recall from one set of templates to another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassChange {
    /// Index of the class.
    pub class: usize,
    /// Recall with the first.
    pub before: f64,
    /// Recall with the other.
    pub after: f64,
}

impl PromptComparison {
    /// Adds a set's predictions. `first` is whether the first set named each image right.
    pub fn add(
        &mut self,
        name: &str,
        templates: &[String],
        predictions: &Predictions,
        first: Option<&[bool]>,
    ) {
        let metrics = Metrics::new(predictions);
        let recall = |class: &ClassMetrics| (class.images > 0).then_some(class.recall.value);
        self.sets.push(PromptResult {
            name: name.into(),
            templates: templates.to_vec(),
            top_1: metrics.top_1,
            mean_per_class: metrics.mean_per_class,
            recalls: metrics.classes.iter().map(recall).collect(),
            against_first: first.map(|first| McNemar::new(first, &predictions.right())),
        });
    }

    /// Classes whose recall differs between the first set and set `index`, the greatest
    /// gain first.
    pub fn changes(&self, index: usize) -> Vec<ClassChange> {
        let (Some(first), Some(other)) = (self.sets.first(), self.sets.get(index)) else {
            return Vec::new();
        };
        let mut changes: Vec<ClassChange> = (first.recalls.iter().zip(&other.recalls).enumerate())
            .filter_map(|(class, (before, after))| {
                let (before, after) = ((*before)?, (*after)?);
                (before != after).then_some(ClassChange {
                    class,
                    before,
                    after,
                })
            })
            .collect();
        changes.sort_by(|a, b| (b.after - b.before).total_cmp(&(a.after - a.before)));
        changes
    }

    /// Index of the best set but the first, by accuracy; `None` if there is no other.
    pub fn best_other(&self) -> Option<usize> {
        let others = self.sets.iter().enumerate().skip(1);
        let best = others.max_by(|a, b| a.1.top_1.value.total_cmp(&b.1.top_1.value));
        best.map(|(index, _)| index)
    }
}
