//! Multinomial logistic regression: what the linear probe is, and the adapter
//! with the zero-shot logits underneath.

use std::ops::ControlFlow;

use super::lbfgs::{Lbfgs, add, dot};

/// The user stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// Features and the class of each.
#[derive(Clone, Debug)]
pub struct Samples {
    /// `[samples, dims]`
    features: Vec<f64>,
    dims: usize,
    labels: Vec<usize>,
    classes: usize,
    /// `[samples, classes]`, added to the logits; empty for none.
    offsets: Vec<f64>,
}

impl Samples {
    /// `labels` are below `classes`, one for each feature.
    pub fn new(features: &[&[f32]], labels: &[usize], classes: usize) -> Self {
        Self {
            features: features
                .iter()
                .copied()
                .flatten()
                .map(|v| f64::from(*v))
                .collect(),
            dims: features.first().map_or(0, |row| row.len()),
            labels: labels.to_vec(),
            classes,
            offsets: Vec::new(),
        }
    }

    /// Logits to begin with: `scale` times the dot products with `classifier`.
    pub fn with_offsets(mut self, classifier: &[Vec<f32>], scale: f32) -> Self {
        let classifier: Vec<Vec<f64>> = (classifier.iter())
            .map(|row| row.iter().map(|v| f64::from(*v)).collect())
            .collect();
        self.offsets = (0..self.len())
            .flat_map(|sample| {
                let row = self.row(sample);
                (classifier.iter()).map(move |class| f64::from(scale) * dot(row, class))
            })
            .collect();
        self
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    pub fn dims(&self) -> usize {
        self.dims
    }

    pub fn classes(&self) -> usize {
        self.classes
    }

    fn row(&self, sample: usize) -> &[f64] {
        &self.features[sample * self.dims..][..self.dims]
    }

    /// What a sample's logits begin with.
    pub fn offset(&self, sample: usize) -> &[f64] {
        match self.offsets.is_empty() {
            true => &[],
            false => &self.offsets[sample * self.classes..][..self.classes],
        }
    }
}

/// A regression's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regression {
    /// Strength of the L2 penalty, 1 / C in scikit-learn's terms: the sum of
    /// the losses plus half of this times the squared weights is minimised.
    pub l2: f64,
    /// How much of the samples' offsets counts.
    pub offset: f64,
    /// Whether each class has a bias, which is never penalised.
    pub intercept: bool,
    /// Steps at most.
    pub iterations: usize,
    /// Done when no slope of the mean loss is steeper.
    pub tolerance: f64,
}

/// The paper's limit.
pub const MAX_ITERATIONS: usize = 1000;

/// Weights `[classes, dims]` and then biases `[classes]`.
pub type Parameters = Vec<f64>;

impl Regression {
    pub fn zeros(samples: &Samples) -> Parameters {
        vec![0.0; samples.classes * (samples.dims + 1)]
    }

    /// Fits the `rows` of `samples`, from `start`. `pause` is called between
    /// steps.
    pub async fn fit(
        self,
        samples: &Samples,
        rows: &[usize],
        start: Parameters,
        pause: &mut impl AsyncFnMut() -> ControlFlow<()>,
    ) -> Result<Parameters, Stopped> {
        let objective =
            |point: &[f64], gradient: &mut [f64]| self.loss(samples, rows, point, gradient);
        let mut solver = Lbfgs::new(start, objective);
        for _ in 0..self.iterations {
            if pause().await.is_break() {
                return Err(Stopped);
            }
            if solver.slope() <= self.tolerance || !solver.step(objective) {
                break;
            }
        }
        Ok(solver.point)
    }

    /// Mean loss with its penalty, and its gradient.
    fn loss(
        self,
        samples: &Samples,
        rows: &[usize],
        parameters: &[f64],
        gradient: &mut [f64],
    ) -> f64 {
        let (classes, dims) = (samples.classes, samples.dims);
        let share = 1.0 / rows.len().max(1) as f64;
        let (weights, _) = parameters.split_at(classes * dims);
        let (weight_gradient, bias_gradient) = gradient.split_at_mut(classes * dims);
        for (gradient, weight) in weight_gradient.iter_mut().zip(weights) {
            *gradient = share * self.l2 * weight;
        }
        bias_gradient.fill(0.0);
        let mut loss = share * self.l2 / 2.0 * dot(weights, weights);
        let mut errors = vec![0.0; classes];
        for &sample in rows {
            logits(samples, sample, parameters, [self.offset, 1.0], &mut errors);
            let label = samples.labels[sample];
            loss += share * cross_entropy(&mut errors, label);
            errors[label] -= 1.0;
            for (class, error) in errors.iter().enumerate() {
                let gradient = &mut weight_gradient[class * dims..][..dims];
                add(gradient, share * error, samples.row(sample));
            }
            if self.intercept {
                add(bias_gradient, share, &errors);
            }
        }
        loss
    }
}

/// A sample's logits: `beta` times its offset and `alpha` times what the
/// parameters say.
pub fn logits(
    samples: &Samples,
    sample: usize,
    parameters: &[f64],
    [beta, alpha]: [f64; 2],
    logits: &mut [f64],
) {
    let row = samples.row(sample);
    let (weights, biases) = parameters.split_at(samples.classes * samples.dims);
    let offset = samples.offset(sample);
    for (class, logit) in logits.iter_mut().enumerate() {
        let weights = &weights[class * samples.dims..][..samples.dims];
        let base = offset.get(class).copied().unwrap_or_default();
        *logit = beta * base + alpha * (dot(weights, row) + biases[class]);
    }
}

/// The loss of logits that should name `label`; they become probabilities.
pub fn cross_entropy(logits: &mut [f64], label: usize) -> f64 {
    let highest = logits.iter().copied().fold(f64::MIN, f64::max);
    let own = logits[label] - highest;
    logits.iter_mut().for_each(|l| *l = (*l - highest).exp());
    let total: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|l| *l /= total);
    total.ln() - own
}

/// How well logits name the labels of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    pub right: usize,
    /// Sum of the losses.
    pub loss: f64,
}

impl Score {
    /// Counts one sample; its logits become probabilities.
    pub fn add(&mut self, logits: &mut [f64], label: usize) {
        let own = logits[label];
        // A tie is no win.
        let beaten = (logits.iter().enumerate()).any(|(class, l)| class != label && *l >= own);
        self.right += usize::from(!beaten);
        self.loss += cross_entropy(logits, label);
    }

    /// More right answers; among as many, less loss.
    pub fn better_than(&self, other: &Self) -> bool {
        (self.right, -self.loss) > (other.right, -other.loss)
    }
}

/// Parts of a training set: where each is tried on in turn, with the rest
/// learnt from. As many as five, for a class of few samples as few as it has.
pub struct Validation {
    /// Learnt from, tried on.
    pub rounds: Vec<(Vec<usize>, Vec<usize>)>,
}

/// With so many samples, one part says enough (as in the paper).
const ENOUGH: usize = 4000;

impl Validation {
    /// `None` where no class has two samples: then nothing can be set apart.
    pub fn new(samples: &Samples, seed: u64) -> Option<Self> {
        let mut counts = vec![0; samples.classes];
        samples.labels.iter().for_each(|label| counts[*label] += 1);
        let parts = counts.into_iter().max().unwrap_or(0).min(5);
        if parts < 2 {
            return None;
        }
        let part = crate::data::folds(&samples.labels, parts, seed);
        let all = 0..samples.len();
        let rounds = (0..if samples.len() > ENOUGH { 1 } else { parts })
            .map(|round| all.clone().partition(|sample| part[*sample] != round));
        Some(Self {
            rounds: rounds.collect(),
        })
    }

    /// Samples that are tried on, over all rounds.
    pub fn tried(&self) -> usize {
        self.rounds.iter().map(|(_, tried)| tried.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let features = [[0.3f32, -0.9, 0.2], [0.7, 0.1, -0.4], [-0.5, 0.6, 0.8]];
        let features: Vec<&[f32]> = features.iter().map(|f| f.as_slice()).collect();
        let classifier = vec![vec![0.1, 0.2, 0.3], vec![-0.3, 0.2, 0.1]];
        let samples = Samples::new(&features, &[0, 1, 1], 2).with_offsets(&classifier, 3.0);
        let regression = Regression {
            l2: 0.7,
            offset: 0.6,
            intercept: true,
            iterations: 1,
            tolerance: 0.0,
        };
        let at: Vec<f64> = (0..8).map(|i| (i as f64).sin()).collect();
        let mut gradient = vec![0.0; 8];
        let mut unused = vec![0.0; 8];
        regression.loss(&samples, &[0, 1, 2], &at, &mut gradient);
        for axis in 0..8 {
            let mut value = |by: f64| {
                let mut moved = at.clone();
                moved[axis] += by;
                regression.loss(&samples, &[0, 1, 2], &moved, &mut unused)
            };
            let slope = (value(1e-5) - value(-1e-5)) / 2e-5;
            assert!((slope - gradient[axis]).abs() < 1e-8, "axis {axis}");
        }
    }

    #[test]
    fn every_sample_is_tried_once() {
        let features = vec![[0.0f32].as_slice(); 23];
        let labels: Vec<usize> = (0..23).map(|i| i % 4).collect();
        let validation = Validation::new(&Samples::new(&features, &labels, 4), 1).unwrap();
        let mut tried: Vec<usize> = validation
            .rounds
            .iter()
            .flat_map(|(_, tried)| tried.clone())
            .collect();
        tried.sort();
        assert_eq!(tried, (0..23).collect::<Vec<_>>());
        assert!(Validation::new(&Samples::new(&features[..4], &labels[..4], 4), 1).is_none());
    }
}
