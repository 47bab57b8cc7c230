//! What a classifier gets right and wrong, class by class.

use serde::{Deserialize, Serialize};

use super::none_drawn;
use super::predictions::verdict;

/// A classifier measured on pictures whose classes are known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number of pictures.
    pub images: usize,
    /// Share whose class is named first.
    pub top_1: f64,
    /// Share whose class is among the first five.
    pub top_5: f64,
    /// First among ten classes: the true one and nine others, the mean over every choice of them.
    #[serde(default)]
    pub among_10: f64,
    /// Mean over the classes of their share of `top_1`: a large class counts
    /// no more than a small one.
    pub mean_per_class: f64,
    /// Results by class.
    pub classes: Vec<ClassResult>,
    /// What was named how often, only where it was at all: at most an entry
    /// for each picture, also with a thousand classes.
    pub confusion: Vec<Confusion>,
    /// Wrong answers, the most confident first; at most [`Self::MISTAKES`].
    pub mistakes: Vec<Mistake>,
}

/// Result of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassResult {
    /// Name of the class.
    pub name: String,
    /// Number of its pictures.
    pub images: usize,
    /// Number of them that were named right.
    pub right: usize,
}

/// Pictures of class `truth` that were named `answer`; indices of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// True class.
    pub truth: usize,
    /// Class that was named.
    pub answer: usize,
    /// Number of such pictures.
    pub images: usize,
}

/// A wrong answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Path of the picture.
    pub path: String,
    /// Name of the true class.
    pub truth: String,
    /// Name of the class that was named.
    pub answer: String,
    /// Of the answer.
    pub probability: f32,
    /// Of the truth.
    pub truth_probability: f32,
}

/// A picture, its class, and what a classifier thought of each class.
pub struct Judged<'a> {
    /// Path of the picture.
    pub path: &'a str,
    /// True class.
    pub truth: usize,
    /// Sum to 1.
    pub probabilities: Vec<f32>,
}

impl Evaluation {
    /// Maximum number of [`Self::mistakes`].
    pub const MISTAKES: usize = 50;

    /// Evaluation of judged pictures.
    pub fn new(classes: &[String], judged: &[Judged]) -> Self {
        let mut found = Self {
            images: judged.len(),
            classes: (classes.iter())
                .map(|name| ClassResult {
                    name: name.clone(),
                    images: 0,
                    right: 0,
                })
                .collect(),
            ..Self::default()
        };
        let mut counts = vec![0; classes.len() * classes.len()];
        let (mut first, mut five, mut among_10) = (0, 0, 0.0);
        for Judged {
            path,
            truth,
            probabilities,
        } in judged
        {
            let (answer, better) = verdict(probabilities, *truth);
            first += usize::from(better == 0);
            five += usize::from(better < 5);
            among_10 += none_drawn(better, classes.len() - 1, 9);
            counts[truth * classes.len() + answer] += 1;
            found.classes[*truth].images += 1;
            found.classes[*truth].right += usize::from(answer == *truth);
            if answer != *truth {
                found.mistakes.push(Mistake {
                    path: (*path).into(),
                    truth: classes[*truth].clone(),
                    answer: classes[answer].clone(),
                    probability: probabilities[answer],
                    truth_probability: probabilities[*truth],
                });
            }
        }
        let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
        found.top_1 = share(first, judged.len());
        found.top_5 = share(five, judged.len());
        found.among_10 = among_10 / judged.len().max(1) as f64;
        let seen = found.classes.iter().filter(|class| class.images > 0);
        let shares: Vec<f64> = seen.map(|class| share(class.right, class.images)).collect();
        found.mean_per_class = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        found.confusion = (counts.into_iter().enumerate())
            .filter(|(_, images)| *images > 0)
            .map(|(at, images)| Confusion {
                truth: at / classes.len(),
                answer: at % classes.len(),
                images,
            })
            .collect();
        (found.mistakes).sort_by(|a, b| b.probability.total_cmp(&a.probability));
        found.mistakes.truncate(Self::MISTAKES);
        found
    }

    /// Answers other than `class` that its images got, the commonest first, with their number.
    pub fn commonest_mistakes(&self, class: usize) -> Vec<(usize, usize)> {
        let wrong = |entry: &&Confusion| entry.truth == class && entry.answer != class;
        let mut found: Vec<(usize, usize)> = (self.confusion.iter().filter(wrong))
            .map(|entry| (entry.answer, entry.images))
            .collect();
        found.sort_by_key(|(answer, images)| (std::cmp::Reverse(*images), *answer));
        found
    }

    /// `[truth][answer]`, for showing.
    pub fn confusion_matrix(&self) -> Vec<Vec<usize>> {
        let mut matrix = vec![vec![0; self.classes.len()]; self.classes.len()];
        for entry in &self.confusion {
            matrix[entry.truth][entry.answer] = entry.images;
        }
        matrix
    }
}

/// Probabilities of logits.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::MIN, f32::max);
    let weights: Vec<f32> = logits.iter().map(|l| (l - highest).exp()).collect();
    let total: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(path: &str, truth: usize, probabilities: [f32; 3]) -> Judged<'_> {
        Judged {
            path,
            truth,
            probabilities: probabilities.to_vec(),
        }
    }

    #[test]
    fn classes_confusions_and_mistakes_are_counted() {
        let classes = ["cat", "dog", "fox"].map(String::from);
        let found = Evaluation::new(
            &classes,
            &[
                judged("1", 0, [0.8, 0.1, 0.1]),
                judged("2", 0, [0.3, 0.6, 0.1]),
                judged("3", 0, [0.0, 0.9, 0.1]),
                judged("4", 1, [0.2, 0.7, 0.1]),
                judged("5", 1, [0.2, 0.7, 0.1]),
            ],
        );
        assert_eq!((found.images, found.top_1, found.top_5), (5, 0.6, 1.0));
        assert!((found.mean_per_class - (1.0 / 3.0 + 1.0) / 2.0).abs() < 1e-12);
        assert_eq!(
            found.confusion_matrix(),
            [[1, 2, 0], [0, 2, 0], [0, 0, 0]].map(|row| row.to_vec())
        );
        assert_eq!(found.commonest_mistakes(0), [(1, 2)]);
        assert_eq!(found.commonest_mistakes(1), []);
        // Of fewer than ten classes all are drawn.
        assert!((found.among_10 - found.top_1).abs() < 1e-12);
        let worst = &found.mistakes[0];
        assert_eq!((worst.path.as_str(), worst.answer.as_str()), ("3", "dog"));
        assert_eq!(worst.truth_probability, 0.0);
        assert_eq!(found.mistakes.len(), 2);
    }

    #[test]
    fn a_tie_is_no_win_and_nothing_is_no_crash() {
        let classes = ["cat", "dog", "fox"].map(String::from);
        let found = Evaluation::new(&classes, &[judged("1", 0, [1.0 / 3.0; 3])]);
        assert_eq!(found.top_1, 0.0);
        assert_eq!(found.mistakes.len(), 1);
        assert_eq!(Evaluation::new(&classes, &[]).top_1, 0.0);
        assert_eq!(Evaluation::new(&[], &[]).mean_per_class, 0.0);
    }

    #[test]
    fn softmax_bears_large_logits() {
        let found = softmax(&[1000.0, 1000.0, 0.0]);
        assert_eq!(found, [0.5, 0.5, 0.0]);
        assert_eq!(softmax(&[]), [] as [f32; 0]);
    }
}
