//! None of these: whether any label fits an image at all. Softmax always answers; here the labels also
//! compete with everyday words (NegLabel, [arXiv 2403.20078](https://arxiv.org/abs/2403.20078)).

use super::similarities;

/// Words of everyday things, one per line, in alphabetical order.
const NEUTRAL_WORDS: &str = include_str!("../../assets/neutral_words.txt");

/// Words whose text features are closer than this (cosine) to a label's mean the same.
const SYNONYM: f32 = 0.8;

/// Share below which none of the labels fits, as measured by `benches/rejection.py`.
pub const DEFAULT_REJECTION: f32 = 0.3;

/// Probability below which a label does not fit, of a model that gives each label one of its own.
pub const DEFAULT_PROBABILITY: f32 = 0.5;

/// Share of its training images below which no class of a trained head fits: about as many images of the
/// classes are rejected with the others.
pub const DEFAULT_CLASS_FIT: f32 = 0.05;

/// At most `count` neutral words, spread over the alphabet, without those that are labels.
pub fn neutral_words(labels: &[String], count: usize) -> Vec<String> {
    let labels: Vec<String> = labels.iter().map(|label| label.to_lowercase()).collect();
    let words: Vec<&str> = (NEUTRAL_WORDS.lines())
        .filter(|word| !labels.iter().any(|label| label == word))
        .collect();
    let step = words.len().div_ceil(count.max(1)).max(1);
    words.into_iter().step_by(step).map(String::from).collect()
}

/// Neutral words that compete with some labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rejection {
    /// Features of the words, `[words][embed_dim]`.
    words: Vec<Vec<f32>>,
}

impl Rejection {
    /// Competitors of the labels in `classifier`, `[labels][embed_dim]`: all of `words` but those that
    /// mean the same as a label. All features are of unit length.
    pub fn new(words: &[Vec<f32>], classifier: &[Vec<f32>]) -> Self {
        let far = |word: &&Vec<f32>| similarities(word, classifier).iter().all(|s| *s < SYNONYM);
        Self {
            words: words.iter().filter(far).cloned().collect(),
        }
    }

    /// Share of the labels in the softmax over labels and neutral words, 0 to 1: near 0 where none of
    /// the labels fits. `scale` is `exp(logit_scale)`.
    pub fn share_of_labels(
        &self,
        image_features: &[f32],
        classifier: &[Vec<f32>],
        scale: f32,
    ) -> f32 {
        let [labels, words] =
            [classifier, &self.words].map(|texts| similarities(image_features, texts));
        let highest = labels.iter().chain(&words).copied().fold(-1.0, f32::max);
        let mass = |similarities: &[f32]| -> f32 {
            similarities
                .iter()
                .map(|s| (scale * (s - highest)).exp())
                .sum()
        };
        let (labels, words) = (mass(&labels), mass(&words));
        labels / (labels + words).max(f32::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_leave_out_the_labels_and_are_spread() {
        let all = neutral_words(&[], usize::MAX);
        assert!(all.len() > 1000);
        assert!(all.contains(&"butterfly".into()));
        let some = neutral_words(&["Butterfly".into()], usize::MAX);
        assert_eq!(some.len(), all.len() - 1);
        assert!(!some.contains(&"butterfly".into()));
        let few = neutral_words(&[], 50);
        assert!((25..=50).contains(&few.len()), "{}", few.len());
        assert!(few.first().unwrap() < &"b".to_string() && few.last().unwrap() > &"w".to_string());
    }

    #[test]
    fn an_image_is_rejected_where_words_fit_better() {
        let (cat, dog, car, kitten) = (
            vec![1.0, 0.0, 0.0],
            vec![0.0, 1.0, 0.0],
            vec![0.0, 0.0, 1.0],
            vec![0.98, 0.2, 0.0], // 0.98 from the cat
        );
        let classifier = [cat.clone(), dog];
        // A synonym does not compete.
        let rejection = Rejection::new(&[car.clone(), kitten], &classifier);
        assert_eq!(rejection.words, std::slice::from_ref(&car));
        let share = |image: &[f32]| rejection.share_of_labels(image, &classifier, 100.0);
        assert!(share(&cat) > 0.99);
        assert!(share(&car) < 0.01);
        let between = share(&[0.5f32.sqrt(), 0.0, 0.5f32.sqrt()]);
        assert!((between - 0.5).abs() < 1e-3, "{between}");
        assert_eq!(
            Rejection::default().share_of_labels(&car, &classifier, 100.0),
            1.0
        );
    }
}
