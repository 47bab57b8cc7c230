//! Limits that the paper reports (sections 3.1.5, 6 and figure 16), each as a small set of
//! generated pictures: counting, place, distance, digits. Written words, unusual styles and
//! negation take the images of a data set, bias takes drawings of people.

mod bias;
#[cfg(feature = "compute")]
mod canvas;
#[cfg(feature = "compute")]
mod drawn;
#[cfg(feature = "compute")]
mod strokes;
#[cfg(feature = "compute")]
mod style;

use serde::{Deserialize, Serialize};

use super::IntervalEstimate;

pub use bias::{ADDED_LABEL, BIAS_LABELS, Person};
#[cfg(feature = "compute")]
pub use drawn::{LimitTask, write_word};
#[cfg(feature = "compute")]
pub use style::Style;

/// Known limit of CLIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Limit {
    /// Number of dots, on generated pictures.
    Counting,
    /// Place of one thing beside another, on generated pictures.
    LeftAndRight,
    /// Which of two things is nearer, on generated pictures.
    Distance,
    /// Rendered digits, on generated pictures.
    Digits,
    /// Handwritten digits, on generated pictures.
    Handwriting,
    /// Typographic attack, on images of a data set.
    WrittenWords,
    /// Unusual styles, on images of a data set.
    Styles,
    /// "With" against "without", on images of a data set.
    Negation,
    /// How people are named by skin tone and gender, on drawings of people.
    Bias,
}

impl Limit {
    /// All limits.
    pub const ALL: [Self; 9] = [
        Self::Counting,
        Self::LeftAndRight,
        Self::Distance,
        Self::Digits,
        Self::Handwriting,
        Self::WrittenWords,
        Self::Styles,
        Self::Negation,
        Self::Bias,
    ];

    /// Short name, as [`LimitResult::name`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Counting => "Counting",
            Self::LeftAndRight => "Left and right",
            Self::Distance => "Nearest and farthest",
            Self::Digits => "Digits",
            Self::Handwriting => "Handwritten digits",
            Self::WrittenWords => "Written words",
            Self::Styles => "Unusual styles",
            Self::Negation => "Negation",
            Self::Bias => "Bias",
        }
    }
}

/// Result of a model on one of its limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LimitResult {
    /// Short name.
    pub name: String,
    /// What was asked.
    pub question: String,
    /// Number of questions.
    pub images: usize,
    /// Share of right answers.
    pub accuracy: IntervalEstimate,
    /// Share that guessing gets; `None` where there is nothing to guess.
    pub chance: Option<f64>,
    /// Shares by kind of question.
    pub rows: Vec<LimitRow>,
    /// What came out, in two sentences.
    pub finding: String,
}

/// Share of right answers to one kind of question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LimitRow {
    /// Kind of question.
    pub name: String,
    /// Share of right answers.
    pub share: IntervalEstimate,
}

impl LimitResult {
    /// Result of questions, each of a kind (an index into `kinds`) and answered right or
    /// not.
    pub fn new(
        name: &str,
        question: &str,
        chance: f64,
        kinds: &[String],
        answers: &[(usize, bool)],
    ) -> Self {
        let right = answers.iter().filter(|(_, right)| *right).count();
        let accuracy = IntervalEstimate::proportion(right, answers.len());
        let rows: Vec<LimitRow> = (kinds.iter().enumerate())
            .map(|(index, kind)| {
                let of = answers.iter().filter(|(kind, _)| *kind == index);
                let right = of.clone().filter(|(_, right)| *right).count();
                LimitRow {
                    name: kind.clone(),
                    share: IntervalEstimate::proportion(right, of.count()),
                }
            })
            .collect();
        Self {
            finding: finding(accuracy, chance, &rows),
            name: name.into(),
            question: question.into(),
            images: answers.len(),
            accuracy,
            chance: Some(chance),
            rows,
        }
    }

    /// Result on images in unusual styles: of `images`, how many are named right as they are, and in
    /// each style by name.
    pub fn styles(images: usize, as_they_are: usize, styles: &[(&str, usize)]) -> Self {
        let share = |count: usize| IntervalEstimate::proportion(count, images);
        let row = |name: &str, count: usize| LimitRow {
            name: name.into(),
            share: share(count),
        };
        let right: usize = styles.iter().map(|(_, count)| count).sum();
        let by_count = |a: &&(&str, usize), b: &&(&str, usize)| a.1.cmp(&b.1);
        let finding = match (
            styles.iter().max_by(by_count),
            styles.iter().min_by(by_count),
        ) {
            (Some(best), Some(worst)) => format!(
                "{} of the images are named right as they are. The style that costs least is \"{}\" ({}), the one \
                 that costs most is \"{}\" ({}).",
                percent(share(as_they_are).value),
                best.0,
                percent(share(best.1).value),
                worst.0,
                percent(share(worst.1).value),
            ),
            _ => String::new(),
        };
        Self {
            name: Limit::Styles.name().into(),
            question: "Each image is redrawn in other styles: is it still named for what it shows?"
                .into(),
            images,
            accuracy: IntervalEstimate::proportion(right, images * styles.len()),
            chance: None,
            rows: std::iter::once(row("as it is", as_they_are))
                .chain(styles.iter().map(|(name, count)| row(name, *count)))
                .collect(),
            finding,
        }
    }

    /// Result of the typographic attack on some images.
    pub fn attack(images: usize, counts: AttackCounts) -> Self {
        let share = |count: usize| IntervalEstimate::proportion(count, images);
        let row = |name: &str, count: usize| LimitRow {
            name: name.into(),
            share: share(count),
        };
        let shown = |count: usize| percent(share(count).value);
        let reads = share(counts.named_word).low > share(counts.named_empty).value;
        let finding = format!(
            "An empty label takes accuracy from {} to {}, the word on it to {}. The word is the answer in {} of all \
             cases, and in {} with the empty label: {}.",
            shown(counts.right),
            shown(counts.right_empty),
            shown(counts.right_word),
            shown(counts.named_word),
            shown(counts.named_empty),
            match reads {
                true => "the model reads",
                false => "that it reads does not show, the label only covers the thing",
            }
        );
        Self {
            name: Limit::WrittenWords.name().into(),
            question: "The name of another class is written over each image: is it still named for what it shows?"
                .into(),
            images,
            accuracy: share(counts.right_word),
            chance: None,
            finding,
            rows: vec![
                row("right as it is", counts.right),
                row("right, empty label", counts.right_empty),
                row("right, with the word", counts.right_word),
                row("named as the word", counts.named_word),
                row("the same, empty label", counts.named_empty),
            ],
        }
    }
}

/// Answers to images as they are, with an empty label over them, and with a label that
/// says the name of another class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttackCounts {
    /// Right answers to the images as they are.
    pub right: usize,
    /// Right answers with the empty label.
    pub right_empty: usize,
    /// Right answers with the word.
    pub right_word: usize,
    /// Answers that are the other class, with the empty label.
    pub named_empty: usize,
    /// Answers that are the other class, with its name.
    pub named_word: usize,
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Two sentences: against guessing, and where it is best and worst.
fn finding(accuracy: IntervalEstimate, chance: f64, rows: &[LimitRow]) -> String {
    let against = match accuracy {
        IntervalEstimate { low, .. } if low > chance => "more than guessing",
        IntervalEstimate { high, .. } if high < chance => "less than guessing",
        _ => "not told apart from guessing",
    };
    let first = format!(
        "{} of the answers are right, {against} ({}).",
        percent(accuracy.value),
        percent(chance)
    );
    let by_share = |a: &&LimitRow, b: &&LimitRow| a.share.value.total_cmp(&b.share.value);
    let (Some(best), Some(worst)) = (rows.iter().max_by(by_share), rows.iter().min_by(by_share))
    else {
        return first;
    };
    let second = match best.share.value - worst.share.value > 0.2 {
        true => format!(
            "It is best at \"{}\" ({}) and worst at \"{}\" ({}): a high share of one answer may only mean that it \
             is always given.",
            best.name,
            percent(best.share.value),
            worst.name,
            percent(worst.share.value)
        ),
        false => "The kinds of questions differ little.".into(),
    };
    format!("{first} {second}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_told_from_the_figures() {
        let kinds = ["left", "right"].map(String::from);
        let always_left: Vec<(usize, bool)> = (0..60).map(|i| (i % 2, i % 2 == 0)).collect();
        let found = LimitResult::new("sides", "?", 0.5, &kinds, &always_left);
        assert_eq!(found.accuracy.value, 0.5);
        assert_eq!(
            (found.rows[0].share.value, found.rows[1].share.value),
            (1.0, 0.0)
        );
        assert!(
            found.finding.contains("not told apart from guessing"),
            "{}",
            found.finding
        );
        assert!(
            found.finding.contains("worst at \"right\""),
            "{}",
            found.finding
        );
        let right = LimitResult::new("sides", "?", 0.5, &kinds, &[(0, true); 60]);
        assert!(
            right.finding.contains("more than guessing"),
            "{}",
            right.finding
        );
        let attack = |right_word: usize, named_word: usize| {
            let counts = AttackCounts {
                right: 90,
                right_empty: 60,
                right_word,
                named_empty: 5,
                named_word,
            };
            LimitResult::attack(100, counts).finding
        };
        let read = attack(20, 70);
        assert!(
            read.contains("from 90 % to 60 %, the word on it to 20 %"),
            "{read}"
        );
        assert!(read.ends_with("the model reads."), "{read}");
        assert!(attack(60, 6).contains("does not show"));
        let none = LimitResult::attack(0, AttackCounts::default());
        assert!(none.finding.contains("does not show"));
    }
}
