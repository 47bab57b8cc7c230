//! What a classifier says of images whose classes are known.

/// Logits of images, with their true classes.
#[derive(Clone, Copy, Debug)]
pub struct Predictions<'a> {
    /// Names of the classes.
    pub classes: &'a [String],
    /// `[images][classes]`
    pub logits: &'a [Vec<f32>],
    /// True class of each image.
    pub truth: &'a [usize],
}

impl Predictions<'_> {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.truth.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.truth.is_empty()
    }

    /// Class that is named for each image.
    pub fn answers(&self) -> Vec<usize> {
        let images = self.logits.iter().zip(self.truth);
        images.map(|(row, truth)| verdict(row, *truth).0).collect()
    }

    /// Whether each image is named right.
    pub fn right(&self) -> Vec<bool> {
        let answers = self.answers();
        (answers.iter().zip(self.truth))
            .map(|(answer, truth)| answer == truth)
            .collect()
    }
}

/// Class that `scores` name, and the number of others that are not below the truth. A tie
/// is no win: a classifier that says nothing is not right.
pub(super) fn verdict(scores: &[f32], truth: usize) -> (usize, usize) {
    let own = scores[truth];
    let others = (scores.iter().enumerate()).filter(|(class, _)| *class != truth);
    let best = (others.clone()).max_by(|a, b| a.1.total_cmp(b.1));
    let answer = best.filter(|(_, score)| **score >= own);
    let answer = answer.map_or(truth, |(class, _)| class);
    (answer, others.filter(|(_, score)| **score >= own).count())
}
