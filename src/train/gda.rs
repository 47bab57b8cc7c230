//! Gaussian discriminant analysis beside the zero-shot classifier: closed form, nothing is
//! trained (Wang et al. 2024, arXiv 2402.04087).
//!
//! Classes are Gaussians around their means with one covariance, so the classifier is
//! linear: `weight = P mean`, `bias = - mean . P mean / 2`, with the precision `P` as
//! Kubokawa and Srivastava estimate it from few samples,
//! `P = dims (S + trace(S) / (samples - 1) I)^-1` of the scatter `S` within the classes.
//! The logits are the zero-shot ones plus `alpha` times these; `alpha` is chosen by
//! cross-validation.

use std::ops::ControlFlow;

use super::lbfgs::{add, dot};
use super::logistic::{Validation, ValidationScore};
use super::{Cancelled, FeatureMatrix, HeadProgress, MetricSeries, TrainingStage};

/// Fitted Gaussian discriminant analysis.
#[derive(Clone, Debug)]
pub struct Gda {
    /// `[classes, dims]`
    pub weight: Vec<Vec<f32>>,
    /// `[classes]`
    pub bias: Vec<f32>,
    /// Weight beside the zero-shot logits.
    pub alpha: f64,
    /// Validation accuracy by `alpha`; `None` without validation samples.
    pub chosen: Option<MetricSeries>,
}

/// Candidate weights, relative to the one at which the logits spread as far as the
/// zero-shot ones.
const ALPHA: [f64; 9] = [0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];

/// Fits GDA to samples whose offsets are the zero-shot logits.
pub async fn fit_gda(
    samples: &FeatureMatrix,
    seed: u64,
    on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<Gda, Cancelled> {
    let all: Vec<usize> = (0..samples.len()).collect();
    let validation = Validation::new(samples, seed);
    let total = validation
        .as_ref()
        .map_or(0, |validation| validation.rounds.len());
    let mut scores = ALPHA.map(|_| ValidationScore::default());
    for (done, (learnt, tried)) in validation.iter().flat_map(|v| &v.rounds).enumerate() {
        let stage = TrainingStage::CrossValidating;
        if on_progress(HeadProgress { stage, done, total })
            .await
            .is_break()
        {
            return Err(Cancelled);
        }
        let linear = Linear::fit(samples, learnt);
        let unit = linear.unit(samples, learnt);
        for &sample in tried {
            let learnt = linear.logits(samples.row(sample));
            for (score, alpha) in scores.iter_mut().zip(ALPHA) {
                let mut logits = blended(samples.offset(sample), &learnt, alpha * unit);
                score.add(&mut logits, samples.labels()[sample]);
            }
        }
    }
    let (stage, done, total) = (TrainingStage::Fitting, 0, 1);
    if on_progress(HeadProgress { stage, done, total })
        .await
        .is_break()
    {
        return Err(Cancelled);
    }
    let linear = Linear::fit(samples, &all);
    let unit = linear.unit(samples, &all);
    let alpha = match &validation {
        None => untried(samples),
        Some(_) => {
            let mut best = 0;
            for (index, score) in scores.iter().enumerate() {
                if score.better_than(&scores[best]) {
                    best = index;
                }
            }
            ALPHA[best]
        }
    };
    let narrow = |values: &[f64]| values.iter().map(|v| *v as f32).collect();
    Ok(Gda {
        weight: linear.weight.iter().map(|row| narrow(row)).collect(),
        bias: narrow(&linear.bias),
        alpha: alpha * unit,
        chosen: validation.map(|validation| MetricSeries {
            name: "accuracy in validation".into(),
            x: "alpha".into(),
            points: (ALPHA.iter().zip(&scores))
                .map(|(alpha, score)| {
                    [alpha * unit, score.right as f64 / validation.tried() as f64]
                })
                .collect(),
        }),
    })
}

/// Relative weight without validation: the square of the error rate of the zero-shot
/// classifier, as for the adapter, so that one image per class counts only if the words
/// are mostly wrong.
fn untried(samples: &FeatureMatrix) -> f64 {
    let mut score = ValidationScore::default();
    for (sample, label) in samples.labels().iter().enumerate() {
        let mut words = blended(samples.offset(sample), &vec![0.0; samples.classes()], 0.0);
        score.add(&mut words, *label);
    }
    let errors = 1.0 - score.right as f64 / samples.len().max(1) as f64;
    errors * errors
}

fn blended(offset: &[f64], learnt: &[f64], alpha: f64) -> Vec<f64> {
    let base = offset.iter().copied().chain(std::iter::repeat(0.0));
    learnt
        .iter()
        .zip(base)
        .map(|(learnt, base)| base + alpha * learnt)
        .collect()
}

/// Linear classifier.
struct Linear {
    weight: Vec<Vec<f64>>,
    bias: Vec<f64>,
}

impl Linear {
    fn fit(samples: &FeatureMatrix, rows: &[usize]) -> Self {
        let (classes, dims) = (samples.classes(), samples.dims());
        let mut means = vec![vec![0.0; dims]; classes];
        let mut counts = vec![0.0; classes];
        let mut centre = vec![0.0; dims];
        for &sample in rows {
            let label = samples.labels()[sample];
            add(&mut means[label], 1.0, samples.row(sample));
            add(&mut centre, 1.0 / rows.len() as f64, samples.row(sample));
            counts[label] += 1.0;
        }
        for (mean, count) in means.iter_mut().zip(&counts) {
            match *count {
                // A class without samples is as likely as any: the mean of all.
                0.0 => mean.copy_from_slice(&centre),
                count => mean.iter_mut().for_each(|v| *v /= count),
            }
        }
        let mut scatter = vec![0.0; dims * dims];
        let mut around = 0.0;
        for &sample in rows {
            let row = samples.row(sample);
            let from =
                |mean: &[f64]| -> Vec<f64> { row.iter().zip(mean).map(|(x, m)| x - m).collect() };
            let centred = from(&means[samples.labels()[sample]]);
            for (line, value) in scatter.chunks_exact_mut(dims.max(1)).zip(&centred) {
                add(line, *value, &centred);
            }
            let centred = from(&centre);
            around += dot(&centred, &centred);
        }
        let freedom = rows.len().saturating_sub(1).max(1) as f64;
        let trace: f64 = scatter.iter().step_by(dims + 1).sum();
        // With one sample of each class none spreads: a sphere as wide as all of them.
        let trace = if trace > 1e-9 * around { trace } else { around };
        let ridge = if trace > 0.0 { trace / freedom } else { 1.0 };
        scatter
            .iter_mut()
            .step_by(dims + 1)
            .for_each(|value| *value += ridge);
        cholesky(&mut scatter, dims);
        let weight: Vec<Vec<f64>> = (means.iter())
            .map(|mean| {
                let mut row = mean.clone();
                solve(&scatter, dims, &mut row);
                row.iter_mut().for_each(|v| *v *= dims as f64);
                row
            })
            .collect();
        let bias = (weight.iter().zip(&means)).map(|(row, mean)| -dot(row, mean) / 2.0);
        Self {
            bias: bias.collect(),
            weight,
        }
    }

    fn logits(&self, features: &[f64]) -> Vec<f64> {
        let rows = self.weight.iter().zip(&self.bias);
        rows.map(|(row, bias)| dot(row, features) + bias).collect()
    }

    /// Factor by which the logits spread as far as the samples' offsets.
    fn unit(&self, samples: &FeatureMatrix, rows: &[usize]) -> f64 {
        let (mut own, mut words) = (0.0, 0.0);
        for &sample in rows {
            own += spread(&self.logits(samples.row(sample)));
            words += spread(samples.offset(sample));
        }
        if own > 0.0 && words > 0.0 {
            words / own
        } else {
            1.0
        }
    }
}

fn spread(logits: &[f64]) -> f64 {
    let mean = logits.iter().sum::<f64>() / logits.len().max(1) as f64;
    logits
        .iter()
        .fold(0.0, |most, logit| f64::max(most, logit - mean))
}

/// Replaces the lower half of a symmetric positive matrix by its Cholesky factor.
fn cholesky(matrix: &mut [f64], dims: usize) {
    for i in 0..dims {
        let (above, rest) = matrix.split_at_mut(i * dims);
        let row = &mut rest[..=i];
        for j in 0..i {
            let other = &above[j * dims..][..=j];
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        // The ridge keeps it above 0, up to rounding.
        row[i] = (row[i] - dot(&row[..i], &row[..i]))
            .max(f64::MIN_POSITIVE)
            .sqrt();
    }
}

/// Solves `L L^T x = b` in place.
fn solve(factor: &[f64], dims: usize, vector: &mut [f64]) {
    for i in 0..dims {
        let row = &factor[i * dims..][..=i];
        vector[i] = (vector[i] - dot(&row[..i], &vector[..i])) / row[i];
    }
    for i in (0..dims).rev() {
        let row = &factor[i * dims..][..=i];
        vector[i] /= row[i];
        let value = vector[i];
        add(&mut vector[..i], -value, &row[..i]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{golden, indices, numbers, rows, samples, unwatched};
    use super::*;

    /// `tests/golden/make_eval.py`
    #[test]
    fn numpy_finds_the_same_classifier() {
        let golden = golden(include_str!("../../tests/golden/eval.json"));
        let golden = &golden["gda"];
        let labels = indices(&golden["labels"]);
        let samples = samples(&rows(&golden["features"]), &labels, 3);
        let all: Vec<usize> = (0..samples.len()).collect();
        let found = Linear::fit(&samples, &all);
        let close = |value: f64, expected: f64| {
            assert!(
                (value - expected).abs() < 1e-6 * expected.abs().max(1.0),
                "{value} {expected}"
            );
        };
        for (row, expected) in found.weight.iter().zip(rows(&golden["weight"])) {
            (row.iter().zip(expected)).for_each(|(value, expected)| close(*value, expected));
        }
        for (value, expected) in found.bias.iter().zip(numbers(&golden["bias"])) {
            close(*value, expected);
        }
    }

    #[test]
    fn alpha_follows_the_words() {
        let golden = golden(include_str!("../../tests/golden/eval.json"));
        let golden = &golden["gda"];
        let labels = indices(&golden["labels"]);
        let features = rows(&golden["features"]);
        let dims = features[0].len();
        // Words that say nothing: what was learnt counts. Words that know: it may not harm.
        let silent = samples(&features, &labels, 3).with_offsets(&vec![vec![0.0; dims]; 3], 1.0);
        let gda = pollster::block_on(fit_gda(&silent, 1, &mut unwatched)).unwrap();
        assert!(gda.alpha > 0.0);
        let chosen = gda.chosen.unwrap();
        assert!(
            chosen.points.iter().any(|point| point[1] > 0.8),
            "{:?}",
            chosen.points
        );
        let stopped =
            pollster::block_on(fit_gda(&silent, 1, &mut async |_| ControlFlow::Break(())));
        assert!(stopped.is_err());
    }

    #[test]
    fn one_sample_of_each_class_gives_the_nearest_mean() {
        let train = samples(&[vec![1.0, 0.0], vec![0.0, 1.0]], &[0, 1], 3);
        let found = Linear::fit(&train, &[0, 1]);
        let logits = found.logits(&[0.9, 0.1]);
        assert!(logits[0] > logits[1] && logits.iter().all(|logit| logit.is_finite()));
        // The third class has no sample: between the others.
        assert!(logits[2] < logits[0] && logits[2] > logits[1], "{logits:?}");
        let gda = pollster::block_on(fit_gda(&train, 1, &mut unwatched)).unwrap();
        assert!(gda.chosen.is_none() && gda.alpha.is_finite());
    }
}
