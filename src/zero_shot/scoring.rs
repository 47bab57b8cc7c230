//! Scores of texts for an image, as the model was trained to give them.

use serde::{Deserialize, Serialize};

use crate::eval::softmax;

/// How cosine similarities become probabilities. `scale` is `exp(logit_scale)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Scoring {
    /// CLIP's: the labels compete, and their probabilities sum to one.
    Softmax {
        /// Factor of the similarities.
        scale: f32,
    },
    /// SigLIP's: each label is true or not by itself, so that none may be.
    Sigmoid {
        /// Factor of the similarities.
        scale: f32,
        /// Bias of the logits.
        logit_bias: f32,
    },
}

impl Scoring {
    /// Factor of the similarities.
    pub fn scale(self) -> f32 {
        match self {
            Self::Softmax { scale } | Self::Sigmoid { scale, .. } => scale,
        }
    }

    /// Whether each label has a probability of its own.
    pub fn is_independent(self) -> bool {
        matches!(self, Self::Sigmoid { .. })
    }

    /// Logits of cosine similarities, `[labels]`.
    pub fn logits(self, similarities: &[f32]) -> Vec<f32> {
        let bias = match self {
            Self::Softmax { .. } => 0.0,
            Self::Sigmoid { logit_bias, .. } => logit_bias,
        };
        let scale = self.scale();
        similarities.iter().map(|s| scale * s + bias).collect()
    }

    /// Probabilities of logits, `[labels]`.
    pub fn probabilities(self, logits: &[f32]) -> Vec<f32> {
        match self {
            Self::Softmax { .. } => softmax(logits),
            Self::Sigmoid { .. } => logits.iter().map(|l| 1.0 / (1.0 + (-l).exp())).collect(),
        }
    }

    /// Probabilities of cosine similarities, `[labels]`.
    pub fn of_similarities(self, similarities: &[f32]) -> Vec<f32> {
        self.probabilities(&self.logits(similarities))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_competes_and_sigmoid_does_not() {
        let similarities = [0.1, 0.2];
        let softmax = Scoring::Softmax { scale: 10.0 }.of_similarities(&similarities);
        assert!((softmax.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let sigmoid = Scoring::Sigmoid {
            scale: 100.0,
            logit_bias: -15.0,
        };
        let found = sigmoid.of_similarities(&similarities);
        let expected = [-5.0f32, 5.0].map(|logit| 1.0 / (1.0 + (-logit).exp()));
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5);
        }
        // One more label changes no other.
        assert_eq!(sigmoid.of_similarities(&[0.1, 0.2, 0.9])[..2], found);
    }
}
