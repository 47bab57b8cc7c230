//! Multinomial logistic regression: the linear probe, and the adapter with the zero-shot
//! logits as offset.

use std::ops::ControlFlow;

use super::lbfgs::{Lbfgs, add, dot};

/// Cancelled by the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Cancelled;

/// Design matrix: features with their class labels.
#[derive(Clone, Debug)]
pub struct FeatureMatrix {
    /// `[samples, dims]`
    features: Vec<f64>,
    dims: usize,
    labels: Vec<usize>,
    classes: usize,
    /// `[samples, classes]`, added to the logits; empty without offsets.
    offsets: Vec<f64>,
}

impl FeatureMatrix {
    /// One label below `classes` for each feature.
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

    /// Sets the offsets of the logits: `scale` times the dot products with `classifier`.
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

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Class of each sample.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Dimension of the features.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Features of a sample.
    pub(super) fn row(&self, sample: usize) -> &[f64] {
        &self.features[sample * self.dims..][..self.dims]
    }

    /// Offsets of a sample's logits.
    pub fn offset(&self, sample: usize) -> &[f64] {
        match self.offsets.is_empty() {
            true => &[],
            false => &self.offsets[sample * self.classes..][..self.classes],
        }
    }
}

/// Hyper-parameters of a regression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regression {
    /// L2 penalty, 1 / C in scikit-learn's terms: minimises the sum of the losses plus
    /// half of this times the squared weights.
    pub l2: f64,
    /// Weight of the samples' offsets.
    pub offset: f64,
    /// Whether each class has a bias, which is not penalised.
    pub intercept: bool,
    /// Maximum number of iterations.
    pub iterations: usize,
    /// Convergence threshold: maximum norm of the gradient of the mean loss.
    pub tolerance: f64,
}

/// The paper's maximum number of iterations.
pub const MAX_ITERATIONS: usize = 1000;

/// Weights `[classes, dims]`, then biases `[classes]`.
pub type Parameters = Vec<f64>;

impl Regression {
    pub fn zeros(samples: &FeatureMatrix) -> Parameters {
        vec![0.0; samples.classes * (samples.dims + 1)]
    }

    /// Fits the `rows` of `samples`, from `start`. `pause` is called between iterations.
    pub async fn fit(
        self,
        samples: &FeatureMatrix,
        rows: &[usize],
        start: Parameters,
        pause: &mut impl AsyncFnMut() -> ControlFlow<()>,
    ) -> Result<Parameters, Cancelled> {
        let objective =
            |point: &[f64], gradient: &mut [f64]| self.loss(samples, rows, point, gradient);
        let mut solver = Lbfgs::new(start, objective);
        for _ in 0..self.iterations {
            if pause().await.is_break() {
                return Err(Cancelled);
            }
            if solver.slope() <= self.tolerance || !solver.step(objective) {
                break;
            }
        }
        Ok(solver.point)
    }

    /// Penalised mean loss, and its gradient.
    fn loss(
        self,
        samples: &FeatureMatrix,
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

/// Logits of a sample: `beta` times its offset plus `alpha` times the linear model.
pub fn logits(
    samples: &FeatureMatrix,
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

/// Cross-entropy of logits with a label; turns them into probabilities.
pub fn cross_entropy(logits: &mut [f64], label: usize) -> f64 {
    let highest = logits.iter().copied().fold(f64::MIN, f64::max);
    let own = logits[label] - highest;
    logits.iter_mut().for_each(|l| *l = (*l - highest).exp());
    let total: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|l| *l /= total);
    total.ln() - own
}

/// Validation score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ValidationScore {
    pub right: usize,
    /// Sum of cross-entropies.
    pub loss: f64,
}

impl ValidationScore {
    /// Adds one sample; turns its logits into probabilities.
    pub fn add(&mut self, logits: &mut [f64], label: usize) {
        let own = logits[label];
        // A tie counts as wrong.
        let beaten = (logits.iter().enumerate()).any(|(class, l)| class != label && *l >= own);
        self.right += usize::from(!beaten);
        self.loss += cross_entropy(logits, label);
    }

    /// By accuracy, then by loss.
    pub fn better_than(&self, other: &Self) -> bool {
        (self.right, -self.loss) > (other.right, -other.loss)
    }
}

/// Cross-validation splits: five folds, or as many as the largest class has samples.
pub struct Validation {
    /// Training and validation indices.
    pub rounds: Vec<(Vec<usize>, Vec<usize>)>,
}

/// Above this number of samples one fold suffices (as in the paper).
const ENOUGH: usize = 4000;

impl Validation {
    /// `None` if no class has two samples.
    pub fn new(samples: &FeatureMatrix, seed: u64) -> Option<Self> {
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

    /// Validation samples over all rounds.
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
        let samples = FeatureMatrix::new(&features, &[0, 1, 1], 2).with_offsets(&classifier, 3.0);
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
        let validation = Validation::new(&FeatureMatrix::new(&features, &labels, 4), 1).unwrap();
        let mut tried: Vec<usize> = validation
            .rounds
            .iter()
            .flat_map(|(_, tried)| tried.clone())
            .collect();
        tried.sort();
        assert_eq!(tried, (0..23).collect::<Vec<_>>());
        assert!(Validation::new(&FeatureMatrix::new(&features[..4], &labels[..4], 4), 1).is_none());
    }
}
