//! Ranking of a picture: its labels with their scores, most likely first.

use std::sync::Arc;

use serde::Serialize;

use crate::engine::rankings::{Rankings, Score};

/// Label of a ranking with its score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RankedLabel<'a> {
    pub label: &'a str,
    pub probability: f32,
    /// Cosine similarity, -1 to 1.
    pub similarity: f32,
}

/// Ranking that is shared rather than copied, and whose labels are shared between
/// pictures. Equal when it is the same one: a ranking never changes once it is there.
#[derive(Clone, Debug)]
pub struct Ranking {
    labels: Arc<[String]>,
    scores: Arc<[Score]>,
}

impl PartialEq for Ranking {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.scores, &other.scores)
    }
}

impl Ranking {
    /// Number of labels.
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// The labels, most likely first.
    pub fn iter(&self) -> impl Iterator<Item = RankedLabel<'_>> {
        self.scores.iter().map(|score| RankedLabel {
            label: (self.labels.get(score.label as usize)).map_or("", String::as_str),
            probability: score.probability,
            similarity: score.similarity,
        })
    }
}

/// Labels of the latest rankings, to be shared with those that follow.
#[derive(Debug, Default)]
pub struct SharedLabels(Arc<[String]>);

impl SharedLabels {
    /// The rankings of a message.
    pub fn read(&mut self, rankings: &Rankings) -> impl Iterator<Item = (u32, Ranking)> {
        if *self.0 != rankings.labels[..] {
            self.0 = rankings.labels.clone().into();
        }
        let labels = &self.0;
        rankings.iter().map(move |(image, scores)| {
            let labels = labels.clone();
            let scores = scores.into();
            (image, Ranking { labels, scores })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_share_their_labels() {
        let mut shared = SharedLabels::default();
        let mut message = |image| {
            let mut rankings = Rankings::default();
            rankings.push(image, [("cat".to_string(), 1.0, 0.5)]);
            shared.read(&rankings).next().unwrap().1
        };
        let (first, second) = (message(1), message(2));
        assert!(Arc::ptr_eq(&first.labels, &second.labels));
        assert_ne!(first, second);
        let top = first.iter().next().unwrap();
        assert_eq!(
            (top.label, top.probability, top.similarity),
            ("cat", 1.0, 0.5)
        );
    }
}
