//! Limits that the paper reports (sections 3.1.5, 6 and figure 16), each as a small set of
//! generated pictures: counting, place, written digits. Words written over pictures and
//! negation take the images of a data set.

use serde::{Deserialize, Serialize};

use super::IntervalEstimate;

/// Known limit of CLIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Limit {
    /// Number of dots, on generated pictures.
    Counting,
    /// Place of one thing beside another, on generated pictures.
    LeftAndRight,
    /// Rendered digits, on generated pictures.
    Digits,
    /// Typographic attack, on images of a data set.
    WrittenWords,
    /// "With" against "without", on images of a data set.
    Negation,
}

impl Limit {
    /// All limits.
    pub const ALL: [Self; 5] = [
        Self::Counting,
        Self::LeftAndRight,
        Self::Digits,
        Self::WrittenWords,
        Self::Negation,
    ];

    /// Short name, as [`LimitResult::name`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Counting => "Counting",
            Self::LeftAndRight => "Left and right",
            Self::Digits => "Digits",
            Self::WrittenWords => "Written words",
            Self::Negation => "Negation",
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

#[cfg(feature = "compute")]
pub use drawn::{LimitTask, write_word};

#[cfg(feature = "compute")]
mod drawn {
    use super::Limit;
    use crate::eval::interval::SplitMix;
    use crate::preprocess::{DecodedImage, PreprocessError};

    /// Generated pictures to be named by one of several texts.
    #[derive(Clone, Debug)]
    pub struct LimitTask {
        /// Short name.
        pub name: &'static str,
        /// What is asked.
        pub question: &'static str,
        /// Names of the answers, for display.
        pub kinds: Vec<String>,
        /// Text of each answer.
        pub prompts: Vec<String>,
        /// Pictures, each with the index of its answer.
        pub pictures: Vec<(DecodedImage, usize)>,
    }

    const SIDE: usize = 224;
    type Colour = [u8; 3];
    const WHITE: Colour = [255, 255, 255];
    const BLACK: Colour = [20, 20, 20];
    /// Names as in the prompts.
    const COLOURS: [(&str, Colour); 4] = [
        ("red", [208, 32, 38]),
        ("blue", [28, 82, 190]),
        ("green", [30, 140, 66]),
        ("orange", [240, 140, 20]),
    ];
    const NUMBERS: [&str; 9] = [
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    ];

    impl LimitTask {
        /// Task of a limit, the same pictures every time; `None` for a limit that is tried
        /// on images of a data set.
        pub fn new(limit: Limit) -> Result<Option<Self>, PreprocessError> {
            Ok(match limit {
                Limit::Counting => Some(counting()?),
                Limit::LeftAndRight => Some(sides()?),
                Limit::Digits => Some(digits()?),
                Limit::WrittenWords | Limit::Negation => None,
            })
        }
    }

    fn counting() -> Result<LimitTask, PreprocessError> {
        let mut random = SplitMix::new(7);
        let mut pictures = Vec::new();
        for count in 1..=9 {
            for _ in 0..10 {
                let mut canvas = Canvas::new(SIDE, SIDE, WHITE);
                let colour = COLOURS[random.below(COLOURS.len())].1;
                // Nine places of a grid, each shaken a little, so that none overlap.
                let mut places: Vec<usize> = (0..9).collect();
                for place in (1..9).rev() {
                    places.swap(place, random.below(place + 1));
                }
                for place in &places[..count] {
                    let at = |cell: usize, shake: usize| 40 + 72 * cell + shake - 8;
                    let centre = (
                        at(place % 3, random.below(17)),
                        at(place / 3, random.below(17)),
                    );
                    canvas.disc(centre, 18 + random.below(7), colour);
                }
                pictures.push((canvas.picture()?, count - 1));
            }
        }
        Ok(LimitTask {
            name: Limit::Counting.name(),
            question: "One to nine dots: how many are there?",
            kinds: NUMBERS.map(String::from).to_vec(),
            prompts: (NUMBERS.iter())
                .map(|number| {
                    format!(
                        "a picture of {number} dot{}",
                        if *number == "one" { "" } else { "s" }
                    )
                })
                .collect(),
            pictures,
        })
    }

    fn sides() -> Result<LimitTask, PreprocessError> {
        let mut random = SplitMix::new(11);
        let mut pictures = Vec::new();
        for number in 0..60 {
            let mut canvas = Canvas::new(SIDE, SIDE, WHITE);
            let is_left = number % 2 == 0;
            let mut place = |left: bool| {
                let x = if left { 46 } else { 146 } + random.below(33);
                (x, 80 + random.below(65))
            };
            let (disc, square) = (place(is_left), place(!is_left));
            canvas.disc(disc, 34, COLOURS[0].1);
            canvas.rectangle(square.0 - 32, square.1 - 32, 64, 64, COLOURS[1].1);
            pictures.push((canvas.picture()?, usize::from(!is_left)));
        }
        Ok(LimitTask {
            name: Limit::LeftAndRight.name(),
            question: "A red circle and a blue square: on which side is the circle?",
            kinds: ["left", "right"].map(String::from).to_vec(),
            prompts: ["left", "right"]
                .map(|side| format!("a red circle to the {side} of a blue square"))
                .to_vec(),
            pictures,
        })
    }

    fn digits() -> Result<LimitTask, PreprocessError> {
        let mut random = SplitMix::new(13);
        let mut pictures = Vec::new();
        for digit in 0..10 {
            for _ in 0..9 {
                let colour = match random.below(2) {
                    0 => BLACK,
                    _ => COLOURS[random.below(COLOURS.len())].1,
                };
                let mut canvas = Canvas::new(SIDE, SIDE, WHITE);
                let dot = 14 + random.below(10);
                let (width, height) = (5 * dot, 7 * dot);
                let at = (random.below(SIDE - width), random.below(SIDE - height));
                canvas.word(&digit.to_string(), at, dot, colour);
                pictures.push((canvas.picture()?, digit));
            }
        }
        let digits: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
        Ok(LimitTask {
            name: Limit::Digits.name(),
            question: "A rendered digit: which is it?",
            prompts: (digits.iter())
                .map(|digit| format!("a photo of the number: \"{digit}\"."))
                .collect(),
            kinds: digits,
            pictures,
        })
    }

    /// DecodedImage with a word on a white label across its middle.
    pub fn write_word(picture: &DecodedImage, word: &str) -> Result<DecodedImage, PreprocessError> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let mut canvas = Canvas::new(width, height, WHITE);
        let pixels = picture.samples().chunks_exact(picture.channels());
        for (to, from) in canvas.pixels.chunks_exact_mut(3).zip(pixels) {
            match *from {
                [red, green, blue, ..] => to.copy_from_slice(&[red, green, blue]),
                [grey, ..] => to.fill(grey),
                [] => {}
            }
        }
        let letters = word.chars().count().max(1);
        // A letter and the gap after it are six dots wide; seven dots are a fifth of the height at least.
        let dot = (width * 9 / 10 / (6 * letters)).min(height / 16).max(1);
        let (wide, high) = ((6 * letters - 1) * dot, 7 * dot);
        let (left, top) = (
            width.saturating_sub(wide) / 2,
            height.saturating_sub(high) / 2,
        );
        let margin = 2 * dot;
        let (x, y) = (left.saturating_sub(margin), top.saturating_sub(margin));
        canvas.rectangle(x, y, wide + 2 * margin, high + 2 * margin, WHITE);
        canvas.word(word, (left, top), dot, BLACK);
        canvas.picture()
    }

    /// RGB pixels; what lies outside is not drawn.
    struct Canvas {
        width: usize,
        height: usize,
        pixels: Vec<u8>,
    }

    impl Canvas {
        fn new(width: usize, height: usize, colour: Colour) -> Self {
            Self {
                width,
                height,
                pixels: colour.repeat(width * height),
            }
        }

        fn dot(&mut self, x: usize, y: usize, colour: Colour) {
            if x < self.width && y < self.height {
                self.pixels[(y * self.width + x) * 3..][..3].copy_from_slice(&colour);
            }
        }

        fn rectangle(&mut self, x: usize, y: usize, width: usize, height: usize, colour: Colour) {
            for row in y..y.saturating_add(height).min(self.height) {
                for column in x..x.saturating_add(width).min(self.width) {
                    self.dot(column, row, colour);
                }
            }
        }

        fn disc(&mut self, (x, y): (usize, usize), radius: usize, colour: Colour) {
            for row in y.saturating_sub(radius)..=y + radius {
                for column in x.saturating_sub(radius)..=x + radius {
                    if row.abs_diff(y).pow(2) + column.abs_diff(x).pow(2) <= radius * radius {
                        self.dot(column, row, colour);
                    }
                }
            }
        }

        /// Letters without accents and digits; anything else is a gap.
        fn word(&mut self, word: &str, (x, y): (usize, usize), dot: usize, colour: Colour) {
            for (place, letter) in word.chars().enumerate() {
                let Some(rows) = glyph(letter) else {
                    continue;
                };
                for (row, bits) in rows.iter().enumerate() {
                    for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                        let left = x + (6 * place + column) * dot;
                        self.rectangle(left, y + row * dot, dot, dot, colour);
                    }
                }
            }
        }

        fn picture(self) -> Result<DecodedImage, PreprocessError> {
            DecodedImage::new(self.width as u32, self.height as u32, 3, self.pixels)
        }
    }

    /// Seven rows of five dots, the highest bit left.
    fn glyph(letter: char) -> Option<[u8; 7]> {
        const LETTERS: [[u8; 7]; 26] = [
            [0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11],
            [0x1e, 0x11, 0x11, 0x1e, 0x11, 0x11, 0x1e],
            [0x0e, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0e],
            [0x1e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x1e],
            [0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f],
            [0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x10],
            [0x0e, 0x11, 0x10, 0x17, 0x11, 0x11, 0x0f],
            [0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11],
            [0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e],
            [0x07, 0x02, 0x02, 0x02, 0x02, 0x12, 0x0c],
            [0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11],
            [0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f],
            [0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11],
            [0x11, 0x11, 0x19, 0x15, 0x13, 0x11, 0x11],
            [0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e],
            [0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10],
            [0x0e, 0x11, 0x11, 0x11, 0x15, 0x12, 0x0d],
            [0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11],
            [0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e],
            [0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04],
            [0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e],
            [0x11, 0x11, 0x11, 0x11, 0x11, 0x0a, 0x04],
            [0x11, 0x11, 0x11, 0x15, 0x15, 0x1b, 0x11],
            [0x11, 0x11, 0x0a, 0x04, 0x0a, 0x11, 0x11],
            [0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04],
            [0x1f, 0x01, 0x02, 0x04, 0x08, 0x10, 0x1f],
        ];
        const DIGITS: [[u8; 7]; 10] = [
            [0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e],
            [0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e],
            [0x0e, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1f],
            [0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e],
            [0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02],
            [0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e],
            [0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e],
            [0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08],
            [0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e],
            [0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c],
        ];
        match letter {
            'a'..='z' | 'A'..='Z' => {
                let letter = letter.to_ascii_lowercase();
                LETTERS.get(letter as usize - 'a' as usize).copied()
            }
            '0'..='9' => DIGITS.get(letter as usize - '0' as usize).copied(),
            _ => None,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn dark(picture: &DecodedImage) -> usize {
            let pixels = picture.samples().chunks_exact(3);
            pixels.filter(|pixel| pixel != &[255, 255, 255]).count()
        }

        #[test]
        fn the_pictures_show_what_they_are_said_to() {
            let tasks = [Limit::Counting, Limit::LeftAndRight, Limit::Digits]
                .map(|limit| LimitTask::new(limit).unwrap().unwrap());
            let [counting, sides, digits] = tasks.as_slice() else {
                panic!("{}", tasks.len());
            };
            assert_eq!(
                [counting, sides, digits].map(|task| task.pictures.len()),
                [90, 60, 90]
            );
            for task in &tasks {
                assert_eq!(task.kinds.len(), task.prompts.len());
                let kinds = task.pictures.iter().map(|(_, kind)| *kind).max();
                assert_eq!(kinds, Some(task.kinds.len() - 1), "{}", task.name);
            }
            // Nine dots that do not overlap cover far more than one.
            let covered = |kind: usize| -> usize {
                let of = counting.pictures.iter().filter(|(_, truth)| *truth == kind);
                of.map(|(picture, _)| dark(picture)).sum()
            };
            let share = covered(8) as f64 / covered(0) as f64;
            assert!((7.0..11.0).contains(&share), "{share}");
            // The mean place of red.
            for (picture, kind) in &sides.pictures {
                let columns: Vec<usize> = (picture.samples().chunks_exact(3).enumerate())
                    .filter(|(_, pixel)| *pixel == COLOURS[0].1)
                    .map(|(at, _)| at % SIDE)
                    .collect();
                let mean = columns.iter().sum::<usize>() / columns.len();
                assert_eq!(usize::from(mean > SIDE / 2), *kind);
            }
            let again = LimitTask::new(Limit::Digits).unwrap().unwrap();
            assert_eq!(again.pictures, digits.pictures);
            assert!(LimitTask::new(Limit::Negation).unwrap().is_none());
        }

        #[test]
        fn a_word_is_written_within_any_picture() {
            for (width, height, channels) in [(64, 64, 3), (3, 200, 1), (200, 3, 4), (1, 1, 2)] {
                let samples = vec![100; width * height * channels];
                let picture =
                    DecodedImage::new(width as u32, height as u32, channels as u8, samples);
                let written = write_word(&picture.unwrap(), "ship 10 é").unwrap();
                assert_eq!(
                    (written.width(), written.height()),
                    (width as u32, height as u32)
                );
            }
            let grey = DecodedImage::new(120, 120, 3, vec![100; 120 * 120 * 3]).unwrap();
            let written = write_word(&grey, "cat").unwrap();
            let count = |colour: Colour| {
                written
                    .samples()
                    .chunks_exact(3)
                    .filter(|pixel| *pixel == colour)
                    .count()
            };
            assert!(count(WHITE) > 500 && count(BLACK) > 200 && count([100; 3]) > 5000);
        }
    }
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
