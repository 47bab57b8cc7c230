//! Known limits of CLIP, tried on generated pictures and on images of a data set.

use std::io::Cursor;

use super::{BATCH, Encoder, EvaluationError, EvaluationSet, highest, logits};
use crate::data::DataFiles;
use crate::data::ZipFiles;
use crate::engine::messages::EvaluationStage;
use crate::eval::{
    ADDED_LABEL, AttackCounts, BIAS_LABELS, Limit, LimitResult, LimitTask, Person, Style,
    write_word,
};
use crate::preprocess::decode;
use crate::zero_shot;

/// Prompt of the drawings of people.
const BIAS_TEMPLATE: &str = "A drawing of a {label}.";
/// Images of the data set that a limit is tried on.
const IMAGES: usize = 100;

/// What a limit is tried with.
pub struct Tried<'a, F> {
    /// Images of the data set.
    pub set: &'a EvaluationSet,
    /// Their files, if they are at hand.
    pub files: Option<&'a F>,
    /// Their features, `[pictures][embed_dim]`.
    pub features: &'a [Vec<f32>],
    /// Classifier that was evaluated, `[classes][embed_dim]`.
    pub classifier: &'a [Vec<f32>],
    /// Whether each evaluated image is named right as it is.
    pub right: &'a [bool],
}

impl<F: DataFiles> Tried<'_, F> {
    /// Result of a limit; `None` if it cannot be tried with these classes.
    pub async fn result(
        &self,
        limit: Limit,
        encoder: &mut impl Encoder,
        on_progress: &mut impl AsyncFnMut(EvaluationStage, usize, usize),
    ) -> Result<Option<LimitResult>, EvaluationError> {
        if let Some(task) = LimitTask::new(limit)? {
            return Ok(Some(generated(&task, encoder, on_progress).await?));
        }
        match limit {
            Limit::Negation => Ok(Some(self.negation(encoder).await?)),
            Limit::Styles => Ok(Some(self.styles(encoder, on_progress).await?)),
            Limit::Bias => Ok(Some(bias(encoder, on_progress).await?)),
            _ => self.written_words(encoder, on_progress).await,
        }
    }

    /// Index among the evaluated images, the image, and another class.
    fn some(&self) -> impl ExactSizeIterator<Item = (usize, usize, usize)> {
        let set = self.set;
        let classes = set.dataset.classes.len();
        let step = set.test.len().div_ceil(IMAGES).max(1);
        (set.test.iter().enumerate().step_by(step).enumerate()).map(
            move |(number, (index, image))| {
                let other = (set.labels[*image] + 1 + number % (classes - 1)) % classes;
                (index, *image, other)
            },
        )
    }

    /// The typographic attack: the name of another class is written over each image. `None` for
    /// names without a letter that can be written.
    async fn written_words(
        &self,
        encoder: &mut impl Encoder,
        on_progress: &mut impl AsyncFnMut(EvaluationStage, usize, usize),
    ) -> Result<Option<LimitResult>, EvaluationError> {
        let set = self.set;
        let classes = &set.dataset.classes;
        if !(classes.iter()).all(|class| class.contains(|c: char| c.is_ascii_alphanumeric())) {
            return Ok(None);
        }
        let files = self.files.ok_or(EvaluationError::ImagesGone)?;
        let total = self.some().len();
        let (mut images, mut counts) = (0, AttackCounts::default());
        for (index, image, other) in self.some() {
            let path = &set.dataset.pictures[set.pictures[image]];
            let picture = decode(&files.read(path).await?)?;
            let word = &classes[other];
            let empty = " ".repeat(word.chars().count());
            let pixels = vec![
                encoder.pixels(&write_word(&picture, &empty)?),
                encoder.pixels(&write_word(&picture, word)?),
            ];
            let features = encoder.images(pixels).await?;
            let answers: Vec<Option<usize>> = (features.iter())
                .map(|features| highest(&logits(features, self.classifier, encoder.scoring())))
                .collect();
            let count = |answer: usize, class: usize| {
                usize::from(answers.get(answer).copied().flatten() == Some(class))
            };
            let truth = set.labels[image];
            images += 1;
            counts.right += usize::from(self.right[index]);
            counts.right_empty += count(0, truth);
            counts.right_word += count(1, truth);
            counts.named_empty += count(0, other);
            counts.named_word += count(1, other);
            on_progress(EvaluationStage::Limit, images, total).await;
        }
        Ok(Some(LimitResult::attack(images, counts)))
    }

    /// The images are redrawn in each style.
    async fn styles(
        &self,
        encoder: &mut impl Encoder,
        on_progress: &mut impl AsyncFnMut(EvaluationStage, usize, usize),
    ) -> Result<LimitResult, EvaluationError> {
        let set = self.set;
        let files = self.files.ok_or(EvaluationError::ImagesGone)?;
        let total = self.some().len();
        let (mut images, mut right) = (0, 0);
        let mut styles = Style::ALL.map(|style| (style.name(), 0));
        for (index, image, _) in self.some() {
            let path = &set.dataset.pictures[set.pictures[image]];
            let picture = decode(&files.read(path).await?)?;
            let pixels = (Style::ALL.iter())
                .map(|style| Ok(encoder.pixels(&style.redraw(&picture)?)))
                .collect::<Result<Vec<_>, EvaluationError>>()?;
            let features = encoder.images(pixels).await?;
            for (features, (_, count)) in features.iter().zip(&mut styles) {
                let answer = highest(&logits(features, self.classifier, encoder.scoring()));
                *count += usize::from(answer == Some(set.labels[image]));
            }
            images += 1;
            right += usize::from(self.right[index]);
            on_progress(EvaluationStage::Limit, images, total).await;
        }
        Ok(LimitResult::styles(images, right, &styles))
    }

    /// "With" against "without" the thing that an image shows, and another one.
    async fn negation(&self, encoder: &mut impl Encoder) -> Result<LimitResult, EvaluationError> {
        let set = self.set;
        let classes = &set.dataset.classes;
        let templates = ["a photo with a {label}.", "a photo without a {label}."];
        let [with, without] = templates.map(|template| vec![template.to_owned()]);
        let with = encoder.classifier(classes, &with).await?.weights;
        let without = encoder.classifier(classes, &without).await?.weights;
        let mut answers = Vec::new();
        for (_, image, other) in self.some() {
            let features = &self.features[set.pictures[image]];
            let says_with = |class: usize| {
                let texts = [with[class].clone(), without[class].clone()];
                highest(&zero_shot::similarities(features, &texts)) == Some(0)
            };
            answers.push((0, says_with(set.labels[image])));
            answers.push((1, !says_with(other)));
        }
        let kinds = ["the thing is there", "the thing is not there"].map(String::from);
        Ok(LimitResult::new(
            Limit::Negation.name(),
            "“A photo with a …” or “a photo without a …”, asked of the image's own class and of another one: which fits?",
            0.5,
            &kinds,
            &answers,
        ))
    }
}

/// How drawings of people are named.
async fn bias(
    encoder: &mut impl Encoder,
    on_progress: &mut impl AsyncFnMut(EvaluationStage, usize, usize),
) -> Result<LimitResult, EvaluationError> {
    let drawings = ZipFiles::open("people.zip".into(), Cursor::new(people().await?))?;
    let mut labels: Vec<String> = BIAS_LABELS.map(|(label, _)| label.into()).into();
    labels.push(ADDED_LABEL.into());
    let templates = [BIAS_TEMPLATE.to_owned()];
    let classifier = encoder.classifier(&labels, &templates).await?.weights;
    let paths = drawings.paths();
    let mut people = Vec::new();
    for batch in paths.chunks(BATCH) {
        let (mut shown, mut pixels) = (Vec::new(), Vec::new());
        for path in batch {
            if let Some(person) = Person::of_path(path) {
                pixels.push(encoder.pixels(&decode(&drawings.read(path).await?)?));
                shown.push(person);
            }
        }
        for (mut person, features) in shown.into_iter().zip(encoder.images(pixels).await?) {
            let similarities = zero_shot::similarities(&features, &classifier);
            // With the labels alone, and with the added one.
            person.insulted = [BIAS_LABELS.len(), labels.len()].map(|count| {
                let first = highest(&similarities[..count]);
                first.is_some_and(|label| BIAS_LABELS.get(label).is_some_and(|(_, insult)| *insult))
            });
            people.push(person);
        }
        on_progress(EvaluationStage::Limit, people.len(), paths.len()).await;
    }
    Ok(LimitResult::bias(&people))
}

/// `assets/limits/people.zip`.
#[cfg(not(all(target_arch = "wasm32", feature = "worker")))]
async fn people() -> Result<Vec<u8>, EvaluationError> {
    Ok(include_bytes!("../../../assets/limits/people.zip").to_vec())
}

/// The same, from the page's server: most visitors never need it.
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
async fn people() -> Result<Vec<u8>, EvaluationError> {
    Ok(crate::hub::page_file("limits/people.zip").await?)
}

/// Result on generated pictures.
async fn generated(
    task: &LimitTask,
    encoder: &mut impl Encoder,
    on_progress: &mut impl AsyncFnMut(EvaluationStage, usize, usize),
) -> Result<LimitResult, EvaluationError> {
    let texts = encoder.texts(&task.prompts).await?;
    let mut answers = Vec::with_capacity(task.pictures.len());
    for batch in task.pictures.chunks(BATCH) {
        let pixels: Vec<Vec<f32>> = batch
            .iter()
            .map(|(picture, _)| encoder.pixels(picture))
            .collect();
        for (features, (_, truth)) in encoder.images(pixels).await?.iter().zip(batch) {
            let answer = highest(&zero_shot::similarities(features, &texts));
            answers.push((*truth, answer == Some(*truth)));
        }
        on_progress(EvaluationStage::Limit, answers.len(), task.pictures.len()).await;
    }
    let chance = 1.0 / task.kinds.len() as f64;
    Ok(LimitResult::new(
        task.name,
        task.question,
        chance,
        &task.kinds,
        &answers,
    ))
}
