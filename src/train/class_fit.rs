//! None of these, for a trained head: softmax always answers, so an image is also compared with the mean
//! of each class.
//!
//! The score is the cosine of the image's features and the nearest class mean. On held-out classes it is
//! as good as Mahalanobis distances and nearest neighbours, and far better than the head's logits
//! (`benches/rejection_heads.py`). To tell what is a low cosine, each training image is scored by the means
//! without itself: an image fits as well as the share of training images that are no nearer.

use super::FeatureMatrix;
use super::lbfgs::{add, dot};

/// Class means, and how near to them the training images are.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassFit {
    /// Means of the classes' features, `[classes, embed_dim]`, of unit length.
    pub means: Vec<Vec<f32>>,
    /// Cosines of training images and their nearest mean, in ascending order and evenly spread:
    /// the lowest, the percentiles, the highest.
    pub quantiles: Vec<f32>,
}

/// Steps between the quantiles.
const PERCENTS: usize = 100;

/// With fewer images than this the lowest cosines say nothing.
const FEWEST: usize = 10;

/// Images whose cosines are looked at; more would say the same.
const MOST: usize = 2000;

impl ClassFit {
    /// Means of the samples' classes. `None` if a class has no sample, or if there are too few to tell
    /// how near samples are.
    pub fn new(samples: &FeatureMatrix) -> Option<Self> {
        let mut sums = vec![vec![0.0; samples.dims()]; samples.classes()];
        let mut counts = vec![0usize; samples.classes()];
        for (sample, label) in samples.labels().iter().enumerate() {
            add(&mut sums[*label], 1.0, samples.row(sample));
            counts[*label] += 1;
        }
        if counts.contains(&0) {
            return None;
        }
        let means: Vec<Vec<f64>> = sums.iter().map(|sum| unit(sum)).collect();
        // An image alone in its class has no mean without itself.
        let several: Vec<usize> = (0..samples.len())
            .filter(|sample| counts[samples.labels()[*sample]] > 1)
            .collect();
        if several.len() < FEWEST {
            return None;
        }
        let step = several.len().div_ceil(MOST);
        let mut cosines: Vec<f64> = (several.iter().step_by(step))
            .map(|sample| {
                let (row, label) = (samples.row(*sample), samples.labels()[*sample]);
                let mut without = sums[label].clone();
                add(&mut without, -1.0, row);
                let others = (means.iter().enumerate()).filter(|(class, _)| *class != label);
                let nearest = others.map(|(_, mean)| dot(mean, row));
                nearest.fold(dot(&unit(&without), row), f64::max) / dot(row, row).sqrt().max(1e-12)
            })
            .collect();
        cosines.sort_by(f64::total_cmp);
        let quantile = |percent: usize| {
            let place = percent as f64 / PERCENTS as f64 * (cosines.len() - 1) as f64;
            let (below, above) = (cosines[place as usize], cosines[place.ceil() as usize]);
            (below + (above - below) * place.fract()) as f32
        };
        Some(Self {
            means: (means.iter())
                .map(|mean| mean.iter().map(|v| *v as f32).collect())
                .collect(),
            quantiles: (0..=PERCENTS).map(quantile).collect(),
        })
    }

    /// Share of the training images that are no nearer to a class than this image, 0 to 1: about even for
    /// images of the classes, near 0 where none of the classes fits.
    pub fn share(&self, features: &[f32]) -> f32 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let nearest = (self.means.iter()).map(|mean| dot(mean, features));
        let cosine = nearest.fold(-1.0, f32::max) / dot(features, features).sqrt().max(1e-12);
        let (below, steps) = (
            self.quantiles
                .partition_point(|quantile| *quantile <= cosine),
            self.quantiles.len().saturating_sub(1).max(1),
        );
        let share = match (below.checked_sub(1), self.quantiles.get(below)) {
            (None, _) => 0.0,
            (Some(last), None) => last as f32,
            (Some(last), Some(next)) => {
                let before = self.quantiles[last];
                last as f32 + (cosine - before) / (next - before)
            }
        };
        share / steps as f32
    }
}

fn unit(vector: &[f64]) -> Vec<f64> {
    let norm = dot(vector, vector).sqrt();
    match norm > 0.0 {
        true => vector.iter().map(|v| v / norm).collect(),
        false => vector.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::samples;
    use super::*;

    /// Two classes, around the first two axes, `count` samples each.
    fn two_classes(count: usize) -> FeatureMatrix {
        let rows: Vec<Vec<f64>> = (0..2 * count)
            .map(|sample| {
                let away = 0.01 * (1 + sample / 2) as f64;
                let mut row = vec![0.0, 0.0, away];
                row[sample % 2] = (1.0 - away * away).sqrt();
                row
            })
            .collect();
        let labels: Vec<usize> = (0..2 * count).map(|sample| sample % 2).collect();
        samples(&rows, &labels, 2)
    }

    #[test]
    fn images_of_the_classes_fit_and_others_do_not() {
        let fit = ClassFit::new(&two_classes(20)).unwrap();
        assert!((fit.means[0][0] - 1.0).abs() < 0.02 && fit.means[0][1] == 0.0);
        assert!(fit.quantiles.is_sorted());
        assert!(fit.share(&fit.means[0]) > 0.99);
        assert_eq!(fit.share(&[0.0, 0.0, 1.0]), 0.0);
        // Between the classes, and scaled.
        assert_eq!(fit.share(&[3.0, 3.0, 0.0]), 0.0);
        let samples = two_classes(20);
        let shares: Vec<f32> = (0..samples.len())
            .map(|sample| {
                let row: Vec<f32> = samples.row(sample).iter().map(|v| *v as f32).collect();
                fit.share(&row)
            })
            .collect();
        let rejected = shares.iter().filter(|share| **share < 0.05).count();
        assert!(rejected <= 3, "{shares:?}");
        let middle = shares.iter().sum::<f32>() / shares.len() as f32;
        assert!((0.4..0.65).contains(&middle), "{middle}");
    }

    #[test]
    fn it_is_not_known_with_few_images_or_a_class_without_any() {
        assert!(ClassFit::new(&two_classes(5)).is_some());
        assert!(ClassFit::new(&two_classes(4)).is_none());
        let rows = vec![vec![1.0, 0.0]; 30];
        assert!(ClassFit::new(&samples(&rows, &[0; 30], 2)).is_none());
        // All in one place: what lies there fits, whatever the rounding.
        let labels: Vec<usize> = (0..30).map(|sample| sample % 2).collect();
        let one = ClassFit::new(&samples(&rows, &labels, 2)).unwrap();
        assert_eq!(one.share(&[1.0, 0.0]), 1.0);
        assert_eq!(one.share(&[0.0, 1.0]), 0.0);
    }
}
