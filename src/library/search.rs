//! Search: a query vector compared with every image of an index.

use super::similarities::{Rows, similarities};
use super::{Index, Sign};
use crate::zero_shot::Scoring;

/// Image that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Index of the entry.
    pub entry: usize,
    /// Cosine similarity to the query, -1 to 1.
    pub score: f32,
}

/// Query vector: the sum of the terms' unit vectors by sign, put back on the unit sphere.
/// `None` if they cancel out, or if there are none.
pub fn combine(terms: &[(Sign, Vec<f32>)]) -> Option<Vec<f32>> {
    let mut sum = vec![0.0f32; terms.first()?.1.len()];
    for (sign, features) in terms {
        let weight = match sign {
            Sign::Plus => 1.0,
            Sign::Minus => -1.0,
        };
        (sum.iter_mut().zip(features)).for_each(|(sum, value)| *sum += weight * value);
    }
    unit(sum)
}

/// The vector put on the unit sphere; `None` if it has no direction.
pub(super) fn unit(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    if norm < 1e-6 {
        return None;
    }
    vector.iter_mut().for_each(|v| *v /= norm);
    Some(vector)
}

/// Images whose probabilities are computed together: those of all would take too much
/// memory with many labels.
const BLOCK: usize = 4096;

impl Index {
    /// Cosine similarity of every image to a unit vector, `[entries]`.
    pub fn scores(&self, query: &[f32]) -> Vec<f32> {
        self.similarities(&[query.to_vec()])
    }

    /// The `top` images nearest to a unit vector, nearest first; none below `min_score`, and
    /// only entries that `passes` lets pass.
    pub fn search(
        &self,
        query: &[f32],
        top: usize,
        min_score: f32,
        passes: impl Fn(usize) -> bool,
    ) -> Vec<Hit> {
        let mut hits: Vec<Hit> = (self.scores(query).into_iter().enumerate())
            .map(|(entry, score)| Hit { entry, score })
            .filter(|hit| hit.score >= min_score && passes(hit.entry))
            .collect();
        let by_score = |a: &Hit, b: &Hit| {
            // Equal scores in the order of their paths.
            (b.score.total_cmp(&a.score)).then(a.entry.cmp(&b.entry))
        };
        if top < hits.len() {
            hits.select_nth_unstable_by(top, by_score);
            hits.truncate(top);
        }
        hits.sort_unstable_by(by_score);
        hits
    }

    /// Most probable label of every image and its probability, by a zero-shot classifier
    /// `[labels][embed_dim]`. `None` without labels.
    pub fn best_labels(
        &self,
        classifier: &[Vec<f32>],
        scoring: Scoring,
    ) -> Option<Vec<(usize, f32)>> {
        if classifier.is_empty() {
            return None;
        }
        let mut best = Vec::with_capacity(self.entries().len());
        for block in self
            .features()
            .chunks(BLOCK * self.model().embed_dim().max(1))
        {
            let logits = similarities(Rows::F16(block), classifier);
            best.extend(logits.chunks(classifier.len()).map(|row| {
                let (mut label, mut most) = (0, f32::NEG_INFINITY);
                for (index, similarity) in row.iter().enumerate() {
                    if *similarity > most {
                        (label, most) = (index, *similarity);
                    }
                }
                (label, scoring.of_similarities(row)[label])
            }));
        }
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::tests::{entry, fingerprint};
    use super::*;

    #[test]
    fn terms_add_up_to_a_unit_vector() {
        let query = combine(&[
            (Sign::Plus, vec![1.0, 0.0, 0.0]),
            (Sign::Minus, vec![0.0, 0.0, 1.0]),
        ]);
        let half = 0.5f32.sqrt();
        assert_eq!(query, Some(vec![half, 0.0, -half]));
        let nothing = [(Sign::Plus, vec![0.6, 0.8]), (Sign::Minus, vec![0.6, 0.8])];
        assert_eq!(combine(&nothing), None);
        assert_eq!(combine(&[]), None);
    }

    #[test]
    fn the_nearest_come_first_and_the_far_are_left_out() {
        let mut index = Index::new("photos", fingerprint());
        // Angles of 0 to 99 degrees, in an order that is not theirs; more than one block.
        let images = (0..600).map(|i| {
            let angle = (i * 37 % 600) as f32 / 6.0;
            let (sin, cos) = angle.to_radians().sin_cos();
            (entry(&format!("{i:03}.jpg")), vec![cos, sin])
        });
        index.extend(images.collect(), Vec::new());
        let scores = index.scores(&[1.0, 0.0]);
        for (i, score) in scores.iter().enumerate() {
            let angle = (i * 37 % 600) as f32 / 6.0;
            assert!((score - angle.to_radians().cos()).abs() < 1e-3, "{i}");
        }
        let hits = index.search(&[1.0, 0.0], 5, -1.0, |_| true);
        assert_eq!(hits.len(), 5);
        assert_eq!(hits[0].entry, 0);
        assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
        let near = index.search(&[1.0, 0.0], 600, 0.5, |_| true);
        // Up to 60 degrees: i / 6 <= 60.
        assert!((360..=362).contains(&near.len()), "{}", near.len());
        assert!(index.search(&[1.0, 0.0], 0, -1.0, |_| true).is_empty());
        assert!(
            Index::new("photos", fingerprint())
                .search(&[1.0, 0.0], 5, -1.0, |_| true)
                .is_empty()
        );
    }

    #[test]
    fn only_what_passes_is_found() {
        let mut index = Index::new("photos", fingerprint());
        let images = ["a.jpg", "b.jpg"].map(|path| (entry(path), vec![1.0, 0.0]));
        index.extend(images.into(), Vec::new());
        let hits = index.search(&[1.0, 0.0], 1, -1.0, |entry| {
            index.entries()[entry].file.path != "a.jpg"
        });
        assert_eq!(hits.iter().map(|hit| hit.entry).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn each_image_has_its_most_probable_label() {
        let mut index = Index::new("photos", fingerprint());
        let images = [("a.jpg", vec![0.6, 0.8]), ("b.jpg", vec![1.0, 0.0])];
        index.extend(
            images
                .map(|(path, features)| (entry(path), features))
                .into(),
            Vec::new(),
        );
        let classifier = [vec![1.0, 0.0], vec![0.0, 1.0]];
        let softmax = Scoring::Softmax { scale: 10.0 };
        let best = index.best_labels(&classifier, softmax).unwrap();
        assert_eq!([best[0].0, best[1].0], [1, 0]);
        // The softmax of 10 * [0.6, 0.8] and of 10 * [1, 0].
        assert!((best[0].1 - 1.0 / (1.0 + (-2.0f32).exp())).abs() < 1e-2);
        assert!(best[1].1 > 0.99);
        assert_eq!(index.best_labels(&[], softmax), None);
    }
}
