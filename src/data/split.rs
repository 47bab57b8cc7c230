//! Splits of a data set.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::Dataset;

/// Indices into [`Dataset::examples`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Training examples.
    pub train: Vec<usize>,
    /// Held out for evaluation.
    pub held_out: Vec<usize>,
}

/// Classes with fewer pictures are not split.
const FEWEST_TO_SPLIT: usize = 3;

/// Holds out a `share` of each class, drawn by `seed`, and at least one picture of each
/// class with three. All examples of a picture stay together. A data set that holds out a
/// part itself is split so, unless `share` is 0.
pub fn hold_out(dataset: &Dataset, share: f64, seed: u64) -> Split {
    if share > 0.0 && !dataset.held_out.is_empty() {
        let (held_out, train) = (0..dataset.examples.len())
            .partition(|index| dataset.held_out[dataset.examples[*index].picture]);
        return Split { train, held_out };
    }
    let mut pictures: BTreeMap<usize, Option<usize>> = BTreeMap::new();
    for example in &dataset.examples {
        pictures.entry(example.picture).or_insert(example.class);
    }
    let mut classes: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (picture, class) in pictures {
        classes.entry(class).or_default().push(picture);
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let mut aside = vec![false; dataset.pictures.len()];
    for mut pictures in classes.into_values() {
        pictures.shuffle(&mut rng);
        let wanted = (share * pictures.len() as f64).round() as usize;
        let count = match pictures.len() {
            ..FEWEST_TO_SPLIT => 0,
            _ if share <= 0.0 => 0,
            all => wanted.clamp(1, all - 1),
        };
        pictures[..count]
            .iter()
            .for_each(|index| aside[*index] = true);
    }
    let (held_out, train) =
        (0..dataset.examples.len()).partition(|index| aside[dataset.examples[*index].picture]);
    Split { train, held_out }
}

/// Stratified split of samples into `count` folds, drawn by `seed`; returns the fold of
/// each sample.
pub fn folds(labels: &[usize], count: usize, seed: u64) -> Vec<usize> {
    let mut classes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (sample, label) in labels.iter().enumerate() {
        classes.entry(*label).or_default().push(sample);
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let mut parts = vec![0; labels.len()];
    // Continues from class to class, so that small classes are not all in the first
    // folds.
    let mut next = 0;
    for mut samples in classes.into_values() {
        samples.shuffle(&mut rng);
        for sample in samples {
            parts[sample] = next % count.max(1);
            next += 1;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Example;

    fn dataset(counts: &[usize]) -> Dataset {
        let mut dataset = Dataset::default();
        for (class, count) in counts.iter().enumerate() {
            for _ in 0..*count {
                dataset.examples.push(Example {
                    picture: dataset.pictures.len(),
                    class: Some(class),
                    caption: None,
                });
                dataset.pictures.push(format!("{class}"));
            }
        }
        dataset
    }

    #[test]
    fn each_class_gives_its_share() {
        let dataset = dataset(&[10, 3, 2, 1, 100]);
        let split = hold_out(&dataset, 0.2, 1);
        let held = |class| {
            (split.held_out.iter())
                .filter(|index| dataset.examples[**index].class == Some(class))
                .count()
        };
        assert_eq!(
            [held(0), held(1), held(2), held(3), held(4)],
            [2, 1, 0, 0, 20]
        );
        assert_eq!(split.train.len() + split.held_out.len(), 116);
        assert_eq!(split, hold_out(&dataset, 0.2, 1));
        assert_ne!(split, hold_out(&dataset, 0.2, 2));
        assert!(hold_out(&dataset, 0.0, 1).held_out.is_empty());
    }

    #[test]
    fn captions_of_a_picture_stay_together() {
        let mut dataset = dataset(&[20]);
        for example in dataset.examples.clone() {
            dataset.examples.push(example);
        }
        let split = hold_out(&dataset, 0.25, 0);
        assert_eq!(split.held_out.len(), 10);
        let pictures = |indices: &[usize]| -> std::collections::HashSet<usize> {
            indices
                .iter()
                .map(|i| dataset.examples[*i].picture)
                .collect()
        };
        assert!(pictures(&split.train).is_disjoint(&pictures(&split.held_out)));
    }

    #[test]
    fn folds_are_even_in_every_class() {
        let labels: Vec<usize> = (0..60).map(|i| i % 3).collect();
        let parts = folds(&labels, 5, 3);
        for class in 0..3 {
            for part in 0..5 {
                let count = (0..60).filter(|i| labels[*i] == class && parts[*i] == part);
                assert_eq!(count.count(), 4);
            }
        }
    }
}
