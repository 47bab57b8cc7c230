//! How good a model is: accuracies with their intervals, what is taken for what,
//! calibration, prompts and shots compared, two models compared; charts of it, and a report.
//!
//! Plain data in, plain data out: logits with their true classes become results that can
//! be serialised, and [`Report::html`] makes a page of them.

mod calibration;
mod chart;
mod evaluation;
#[cfg(test)]
mod golden;
mod interval;
mod limits;
mod mcnemar;
mod metrics;
mod predictions;
mod prompts;
mod report;
mod shots;

pub use calibration::{Bin, Calibration, Reliability, fit_temperature};
pub use chart::{Chart, Line, Point};
pub use evaluation::{ClassResult, Confusion, Evaluation, Judged, Mistake, softmax};
pub use interval::IntervalEstimate;
pub use limits::{ADDED_LABEL, AttackCounts, BIAS_LABELS, Limit, LimitResult, LimitRow, Person};
#[cfg(feature = "compute")]
pub use limits::{LimitTask, Style, write_word};
pub use mcnemar::McNemar;
pub use metrics::{ClassMetrics, Metrics};
pub use predictions::Predictions;
pub use prompts::{ClassChange, PromptComparison, PromptResult};
pub use report::{ModelComparison, Report, ReportSection};
pub use shots::{FewShotMethod, MethodCurve, ShotPoint, ShotsCurve, Worth, mean_and_spread};

/// Share of questions whose answer is first, among the first five, and first
/// among ten classes taken at random (the true one with them).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Share whose class is first.
    pub top_1: f64,
    /// Share whose class is among the first five.
    pub top_5: f64,
    /// Share whose class is first among ten classes.
    pub among_10: f64,
}

/// Zero-shot accuracy. `similarities` is `[images, classes]`, row by row;
/// `truth` holds each image's class. Chance among ten random classes is worked
/// out, not drawn: the mean over every choice of nine others.
pub fn accuracy(similarities: &[f32], classes: usize, truth: &[usize]) -> Accuracy {
    let rows = similarities.chunks(classes).zip(truth);
    let (mut top_1, mut top_5, mut among_10) = (0.0, 0.0, 0.0);
    for (row, &class) in rows {
        let better = row.iter().filter(|s| **s > row[class]).count();
        // A tie is no win: of equal classes each is as likely to be named.
        let equal = row.iter().filter(|s| **s == row[class]).count() - 1;
        let rank = better + equal.div_ceil(2);
        top_1 += f64::from(rank == 0);
        top_5 += f64::from(rank < 5);
        among_10 += none_drawn(rank, classes - 1, 9);
    }
    let share = |sum: f64| sum / truth.len().max(1) as f64;
    Accuracy {
        top_1: share(top_1),
        top_5: share(top_5),
        among_10: share(among_10),
    }
}

/// Probability that `drawn` of `all` others, taken without putting back, hold
/// none of the `better` ones.
fn none_drawn(better: usize, all: usize, drawn: usize) -> f64 {
    (0..drawn.min(all))
        .map(|i| (all - i).saturating_sub(better) as f64 / (all - i) as f64)
        .product()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_counted() {
        let similarities = [0.9, 0.1, 0.2, 0.3, 0.1, 0.8];
        let found = accuracy(&similarities, 3, &[0, 1]);
        assert_eq!((found.top_1, found.top_5), (0.5, 1.0));
        // All classes are drawn, so the second image is always beaten.
        assert_eq!(found.among_10, 0.5);
    }

    #[test]
    fn a_constant_model_does_not_win_by_ties() {
        let found = accuracy(&[0.5; 100], 100, &[7]);
        assert_eq!((found.top_1, found.top_5), (0.0, 0.0));
    }

    #[test]
    fn drawing_ten_is_hypergeometric() {
        // One better class of 99: it is missed with probability 90/99.
        assert!((none_drawn(1, 99, 9) - 90.0 / 99.0).abs() < 1e-12);
        assert_eq!(none_drawn(95, 99, 9), 0.0);
    }
}
