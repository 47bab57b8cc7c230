//! Calibration: how far the probability of an answer is the share of such answers that
//! are right, before and after temperature scaling (Guo et al. 2017, arXiv 1706.04599).

use serde::{Deserialize, Serialize};

use super::predictions::{Predictions, verdict};

/// Calibration of a classifier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What the logits are divided by: above 1 the classifier was too sure of itself,
    /// below 1 not sure enough.
    pub temperature: f64,
    /// Number of images that the temperature was fitted on: every other one of each class.
    pub fitted_on: usize,
    /// On the other images, as the classifier is.
    pub before: Reliability,
    /// On the same images, with the temperature.
    pub after: Reliability,
}

/// Reliability diagram with its summaries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Number of images.
    pub images: usize,
    /// Answers by their probability, in [`Reliability::BINS`] bins of equal width.
    pub bins: Vec<Bin>,
    /// Expected calibration error: mean over the images of the distance between share and
    /// probability in their bin.
    pub ece: f64,
    /// Mean negative log-likelihood of the true class.
    pub nll: f64,
    /// Brier score: mean squared distance of the probabilities from the truth, 0 to 2.
    pub brier: f64,
}

/// Answers whose probability lies in `low..high`; the last bin has its upper end, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Number of answers.
    pub images: usize,
    /// Their mean probability.
    pub confidence: f64,
    /// Share of them that is right.
    pub accuracy: f64,
}

impl Reliability {
    /// Number of bins, as in the paper.
    pub const BINS: usize = 15;

    /// Reliability of logits that are divided by `temperature`.
    pub fn new(logits: &[&[f32]], truth: &[usize], temperature: f64) -> Self {
        let mut bins: Vec<Bin> = (0..Self::BINS)
            .map(|bin| Bin {
                low: bin as f64 / Self::BINS as f64,
                high: (bin + 1) as f64 / Self::BINS as f64,
                ..Bin::default()
            })
            .collect();
        let (mut nll, mut brier) = (0.0, 0.0);
        for (row, truth) in logits.iter().zip(truth) {
            let (probabilities, loss) = probabilities(row, *truth, temperature);
            nll += loss;
            brier += (probabilities.iter().enumerate())
                .map(|(class, p)| (p - f64::from(u8::from(class == *truth))).powi(2))
                .sum::<f64>();
            let (answer, _) = verdict(row, *truth);
            let confidence = probabilities[answer];
            let bin = &mut bins[((confidence * Self::BINS as f64) as usize).min(Self::BINS - 1)];
            bin.images += 1;
            bin.confidence += confidence;
            bin.accuracy += f64::from(u8::from(answer == *truth));
        }
        let mut ece = 0.0;
        for bin in bins.iter_mut().filter(|bin| bin.images > 0) {
            ece += (bin.accuracy - bin.confidence).abs();
            bin.accuracy /= bin.images as f64;
            bin.confidence /= bin.images as f64;
        }
        let count = truth.len().max(1) as f64;
        Self {
            images: truth.len(),
            bins,
            ece: ece / count,
            nll: nll / count,
            brier: brier / count,
        }
    }
}

impl Calibration {
    /// Calibration with a temperature that is fitted on half of the images and tried on
    /// the other half; `None` with fewer than two images of some class.
    pub fn new(predictions: &Predictions) -> Option<Self> {
        let mut seen = vec![0; predictions.classes.len()];
        let (mut fitted, mut tried) = (Part::default(), Part::default());
        for (row, truth) in predictions.logits.iter().zip(predictions.truth) {
            let part = match seen[*truth] % 2 {
                0 => &mut tried,
                _ => &mut fitted,
            };
            seen[*truth] += 1;
            part.0.push(row);
            part.1.push(*truth);
        }
        if fitted.1.is_empty() {
            return None;
        }
        let temperature = fit_temperature(&fitted.0, &fitted.1);
        Some(Self {
            temperature,
            fitted_on: fitted.1.len(),
            before: Reliability::new(&tried.0, &tried.1, 1.0),
            after: Reliability::new(&tried.0, &tried.1, temperature),
        })
    }
}

/// Logits and true classes.
#[derive(Default)]
struct Part<'a>(Vec<&'a [f32]>, Vec<usize>);

/// Temperatures that are considered, as logarithms: 0.01 to 100.
const RANGE: [f64; 2] = [-4.605_170_185_988_091, 4.605_170_185_988_091];
/// Width at which the search ends.
const PRECISION: f64 = 1e-6;

/// Temperature of the least negative log-likelihood, by golden-section search: the loss
/// is convex in 1 / T, so it has one minimum in ln T.
pub fn fit_temperature(logits: &[&[f32]], truth: &[usize]) -> f64 {
    let loss = |log: f64| -> f64 {
        let rows = logits.iter().zip(truth);
        rows.map(|(row, truth)| probabilities(row, *truth, log.exp()).1)
            .sum()
    };
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let [mut low, mut high] = RANGE;
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (loss(left), loss(right));
    while high - low > PRECISION {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = loss(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = loss(right);
        }
    }
    ((low + high) / 2.0).exp()
}

/// Softmax of logits over a temperature, and the cross-entropy with the truth.
fn probabilities(logits: &[f32], truth: usize, temperature: f64) -> (Vec<f64>, f64) {
    let scaled = logits.iter().map(|logit| f64::from(*logit) / temperature);
    let highest = scaled.clone().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = scaled.map(|logit| (logit - highest).exp()).collect();
    let total: f64 = weights.iter().sum();
    let loss = total.ln() + highest - f64::from(logits[truth]) / temperature;
    (
        weights.into_iter().map(|weight| weight / total).collect(),
        loss,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overconfident_classifier_is_cooled() {
        // Right three times of four, and nearly certain each time.
        let row = vec![8.0f32, 0.0];
        let truth: Vec<usize> = (0..64).map(|i| usize::from(i / 2 % 4 == 0)).collect();
        let logits = vec![row; 64];
        let classes = ["a", "b"].map(String::from);
        let found = Calibration::new(&Predictions {
            classes: &classes,
            logits: &logits,
            truth: &truth,
        })
        .unwrap();
        // e^(8/T) = 3
        assert!(
            (found.temperature - 8.0 / 3f64.ln()).abs() < 1e-3,
            "{}",
            found.temperature
        );
        assert!((found.before.ece - 0.25).abs() < 1e-3 && found.after.ece < 1e-3);
        assert!(found.after.nll < found.before.nll && found.after.brier < found.before.brier);
    }

    #[test]
    fn one_image_of_a_class_cannot_be_split() {
        let classes = ["a", "b"].map(String::from);
        let found = Calibration::new(&Predictions {
            classes: &classes,
            logits: &[vec![1.0, 0.0], vec![0.0, 1.0]],
            truth: &[0, 1],
        });
        assert!(found.is_none());
    }

    #[test]
    fn a_certain_answer_is_in_the_last_bin() {
        let found = Reliability::new(&[&[1000.0, 0.0]], &[0], 1.0);
        assert_eq!(found.bins[Reliability::BINS - 1].images, 1);
        assert_eq!((found.ece, found.nll, found.brier), (0.0, 0.0, 0.0));
    }
}
