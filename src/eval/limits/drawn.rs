//! Generated pictures.

use super::Limit;
use super::canvas::{BLACK, Canvas, Colour, WHITE};
use super::strokes::STROKES;
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
    /// Task of a limit, the same pictures every time; `None` for a limit that is tried on
    /// other images.
    pub fn new(limit: Limit) -> Result<Option<Self>, PreprocessError> {
        Ok(match limit {
            Limit::Counting => Some(counting()?),
            Limit::LeftAndRight => Some(sides()?),
            Limit::Distance => Some(distance()?),
            Limit::Digits => Some(digits()?),
            Limit::Handwriting => Some(handwritten()?),
            Limit::WrittenWords | Limit::Styles | Limit::Negation | Limit::Bias => None,
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
    Ok(digit_answers(pictures))
}

fn distance() -> Result<LimitTask, PreprocessError> {
    const SKY: Colour = [176, 212, 240];
    const GROUND: Colour = [150, 176, 120];
    const HORIZON: usize = 90;
    let mut random = SplitMix::new(17);
    let mut pictures = Vec::new();
    for number in 0..60 {
        let mut canvas = Canvas::new(SIDE, SIDE, SKY);
        canvas.rectangle(0, HORIZON, SIDE, SIDE, GROUND);
        let red_is_near = number % 2 == 0;
        let near_is_left = random.below(2) == 0;
        // Balls of one size stand on the ground: the further one is smaller and higher.
        let mut ball = |near: bool| {
            let radius = match near {
                true => 34 + random.below(9),
                false => 9 + random.below(5),
            };
            let left = near == near_is_left;
            let x = if left { 48 } else { 148 } + random.below(29);
            (radius, (x, HORIZON + 2 * radius))
        };
        let (near, far) = (ball(true), ball(false));
        let [red, blue] = [COLOURS[0].1, COLOURS[1].1];
        let colours = if red_is_near {
            [blue, red]
        } else {
            [red, blue]
        };
        for ((radius, at), colour) in [far, near].into_iter().zip(colours) {
            canvas.disc(at, radius, colour);
        }
        pictures.push((canvas.picture()?, usize::from(!red_is_near)));
    }
    Ok(LimitTask {
        name: Limit::Distance.name(),
        question: "A red and a blue ball on a plain: which of them is nearer?",
        kinds: ["red", "blue"].map(String::from).to_vec(),
        prompts: [("red", "blue"), ("blue", "red")]
            .map(|(near, far)| format!("a {near} ball near and a {far} ball far away"))
            .to_vec(),
        pictures,
    })
}

fn handwritten() -> Result<LimitTask, PreprocessError> {
    let mut random = SplitMix::new(19);
    let mut pictures = Vec::new();
    for (digit, strokes) in STROKES.iter().enumerate() {
        for _ in 0..9 {
            let mut canvas = Canvas::new(SIDE, SIDE, WHITE);
            let colour = [BLACK, COLOURS[1].1][random.below(2)];
            let mut shaken = |far: f64| far * (random.below(2001) as f64 / 1000.0 - 1.0);
            let (slant, width, height) = (shaken(0.25), 110.0 + shaken(20.0), 150.0 + shaken(25.0));
            let (left, top) = (
                (SIDE as f64 - width) / 2.0 + shaken(14.0),
                (SIDE as f64 - height) / 2.0 + shaken(12.0),
            );
            let radius = (5.0 + shaken(2.5)).round() as usize;
            for stroke in *strokes {
                let points: Vec<(f64, f64)> = (stroke.iter())
                    .map(|(x, y)| {
                        let (x, y) = (x + shaken(0.03), y + shaken(0.03));
                        let x = x + slant * (0.5 - y);
                        (left + x * width, top + y * height)
                    })
                    .collect();
                canvas.stroke(&points, radius, colour);
            }
            pictures.push((canvas.picture()?, digit));
        }
    }
    Ok(LimitTask {
        name: Limit::Handwriting.name(),
        question: "A digit written by hand: which is it?",
        ..digit_answers(pictures)
    })
}

/// The ten digits as answers.
fn digit_answers(pictures: Vec<(DecodedImage, usize)>) -> LimitTask {
    let digits: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    LimitTask {
        name: Limit::Digits.name(),
        question: "A rendered digit: which is it?",
        prompts: (digits.iter())
            .map(|digit| format!("a photo of the number: \"{digit}\"."))
            .collect(),
        kinds: digits,
        pictures,
    }
}

/// DecodedImage with a word on a white label across its middle.
pub fn write_word(picture: &DecodedImage, word: &str) -> Result<DecodedImage, PreprocessError> {
    let mut canvas = Canvas::of(picture);
    let (width, height) = canvas.size();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn dark(picture: &DecodedImage) -> usize {
        let pixels = picture.samples().chunks_exact(3);
        pixels.filter(|pixel| pixel != &[255, 255, 255]).count()
    }

    #[test]
    fn the_pictures_show_what_they_are_said_to() {
        let tasks: Vec<LimitTask> = (Limit::ALL.into_iter())
            .filter_map(|limit| LimitTask::new(limit).unwrap())
            .collect();
        let [counting, sides, distance, digits, handwritten] = tasks.as_slice() else {
            panic!("{}", tasks.len());
        };
        assert_eq!(
            [counting, sides, distance, digits, handwritten].map(|task| task.pictures.len()),
            [90, 60, 60, 90, 90]
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
        // The nearer ball covers more.
        for (picture, kind) in &distance.pictures {
            let covered = [0, 1].map(|ball: usize| {
                let pixels = picture.samples().chunks_exact(3);
                pixels.filter(|pixel| *pixel == COLOURS[ball].1).count()
            });
            assert_eq!(usize::from(covered[1] > covered[0]), *kind);
        }
        // Ink well inside the picture, and each time another hand.
        for (picture, _) in &handwritten.pictures {
            let border = (picture.samples().chunks_exact(3).enumerate())
                .filter(|(at, _)| at % SIDE < 3 || at % SIDE > SIDE - 4);
            assert!(border.map(|(_, pixel)| pixel).all(|pixel| pixel == WHITE));
            assert!((1000..12_000).contains(&dark(picture)), "{}", dark(picture));
        }
        assert_ne!(handwritten.pictures[0].0, handwritten.pictures[1].0);
        let again = LimitTask::new(Limit::Digits).unwrap().unwrap();
        assert_eq!(again.pictures, digits.pictures);
    }

    #[test]
    fn a_word_is_written_within_any_picture() {
        for (width, height, channels) in [(64, 64, 3), (3, 200, 1), (200, 3, 4), (1, 1, 2)] {
            let samples = vec![100; width * height * channels];
            let picture = DecodedImage::new(width as u32, height as u32, channels as u8, samples);
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
