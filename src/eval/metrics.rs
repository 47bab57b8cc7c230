//! Accuracies with their confidence intervals, and precision, recall and F1 by class, as
//! scikit-learn defines them.

use serde::{Deserialize, Serialize};

use super::interval::{IntervalEstimate, RESAMPLES, SplitMix};
use super::predictions::{Predictions, verdict};

/// Metrics of a classifier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of images.
    pub images: usize,
    /// Share whose class is named first; Wilson's interval.
    pub top_1: IntervalEstimate,
    /// Share whose class is among the first five; Wilson's interval.
    pub top_5: IntervalEstimate,
    /// Mean of the classes' recalls (scikit-learn's `balanced_accuracy_score`); percentile
    /// bootstrap of the images of each class.
    pub mean_per_class: IntervalEstimate,
    /// Mean of the classes' precisions; over classes that have images or were named, 0
    /// where a class was not named.
    pub macro_precision: f64,
    /// Mean of the recalls over the same classes.
    pub macro_recall: f64,
    /// Mean of the F1 scores over the same classes; the same bootstrap.
    pub macro_f1: IntervalEstimate,
    /// By class, in the order of the classes.
    pub classes: Vec<ClassMetrics>,
}

/// Metrics of one class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Name of the class.
    pub name: String,
    /// Number of its images.
    pub images: usize,
    /// Number of images that were given its name.
    pub named: usize,
    /// Number of images that were given its name rightly.
    pub right: usize,
    /// Share of `named` that is right; Wilson's interval.
    pub precision: IntervalEstimate,
    /// Share of `images` that is right; Wilson's interval.
    pub recall: IntervalEstimate,
    /// Harmonic mean of precision and recall; 0 if both are.
    pub f1: f64,
}

/// Counts of a class.
#[derive(Clone, Copy, Default)]
struct Counts {
    images: usize,
    named: usize,
    right: usize,
}

impl Counts {
    fn share(count: usize, of: usize) -> f64 {
        count as f64 / of.max(1) as f64
    }

    fn precision(self) -> f64 {
        Self::share(self.right, self.named)
    }

    fn recall(self) -> f64 {
        Self::share(self.right, self.images)
    }

    fn f1(self) -> f64 {
        Self::share(2 * self.right, self.images + self.named)
    }

    fn is_used(self) -> bool {
        self.images + self.named > 0
    }
}

fn count(classes: usize, pairs: impl Iterator<Item = (usize, usize)>) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); classes];
    for (truth, answer) in pairs {
        counts[truth].images += 1;
        counts[answer].named += 1;
        counts[truth].right += usize::from(truth == answer);
    }
    counts
}

/// Mean over the classes that `keep` names.
fn mean(counts: &[Counts], keep: fn(&Counts) -> bool, value: fn(Counts) -> f64) -> f64 {
    let kept = counts.iter().filter(|counts| keep(counts));
    let (number, sum) = kept.fold((0, 0.0), |(n, sum), counts| (n + 1, sum + value(*counts)));
    sum / f64::from(number.max(1))
}

impl Metrics {
    /// Seed of the bootstraps.
    const SEED: u64 = 1;

    /// Value of [`Self::mean_per_class`], without its interval.
    pub fn balanced_accuracy(predictions: &Predictions) -> f64 {
        let answers = predictions.answers();
        let pairs = predictions.truth.iter().copied().zip(answers);
        let counts = count(predictions.classes.len(), pairs);
        mean(&counts, |counts| counts.images > 0, Counts::recall)
    }

    /// Metrics of predictions.
    pub fn new(predictions: &Predictions) -> Self {
        let verdicts: Vec<(usize, usize)> = (predictions.logits.iter().zip(predictions.truth))
            .map(|(row, truth)| verdict(row, *truth))
            .collect();
        let answers: Vec<usize> = verdicts.iter().map(|(answer, _)| *answer).collect();
        let five = verdicts.iter().filter(|(_, better)| *better < 5).count();
        let first = verdicts.iter().filter(|(_, better)| *better == 0).count();
        let images = predictions.len();
        let truth = predictions.truth;
        let classes = predictions.classes.len();
        let counts = count(classes, truth.iter().copied().zip(answers.iter().copied()));
        let has_images: fn(&Counts) -> bool = |counts| counts.images > 0;
        let is_used: fn(&Counts) -> bool = |counts| counts.is_used();
        let balanced = |counts: &[Counts]| mean(counts, has_images, Counts::recall);
        let f1 = |counts: &[Counts]| mean(counts, is_used, Counts::f1);

        let mut members: Vec<Vec<usize>> = vec![Vec::new(); classes];
        truth
            .iter()
            .zip(&answers)
            .for_each(|(truth, answer)| members[*truth].push(*answer));
        let mut random = SplitMix::new(Self::SEED);
        let (mut means, mut f1s) = (Vec::new(), Vec::new());
        for _ in 0..RESAMPLES {
            let random = &mut random;
            let drawn = members.iter().enumerate().flat_map(|(truth, answers)| {
                let draws: Vec<(usize, usize)> = (answers.iter())
                    .map(|_| (truth, answers[random.below(answers.len())]))
                    .collect();
                draws
            });
            let counts = count(classes, drawn);
            means.push(balanced(&counts));
            f1s.push(f1(&counts));
        }
        Self {
            images,
            top_1: IntervalEstimate::proportion(first, images),
            top_5: IntervalEstimate::proportion(five, images),
            mean_per_class: IntervalEstimate::percentiles(balanced(&counts), means),
            macro_precision: mean(&counts, is_used, Counts::precision),
            macro_recall: mean(&counts, is_used, Counts::recall),
            macro_f1: IntervalEstimate::percentiles(f1(&counts), f1s),
            classes: (predictions.classes.iter().zip(&counts))
                .map(|(name, counts)| ClassMetrics {
                    name: name.clone(),
                    images: counts.images,
                    named: counts.named,
                    right: counts.right,
                    precision: IntervalEstimate::proportion(counts.right, counts.named),
                    recall: IntervalEstimate::proportion(counts.right, counts.images),
                    f1: counts.f1(),
                })
                .collect(),
        }
    }
}
