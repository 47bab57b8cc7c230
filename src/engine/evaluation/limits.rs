//! Known limits of CLIP, tried on generated pictures and on images of a data set.

use super::{BATCH, Encoder, EvaluationError, EvaluationSet, highest, logits};
use crate::data::DataFiles;
use crate::engine::messages::EvaluationStage;
use crate::eval::{AttackCounts, Limit, LimitResult, LimitTask, write_word};
use crate::preprocess::decode;
use crate::zero_shot;

/// Images of the data set that a limit is tried on.
const IMAGES: usize = 100;

/// What a limit is tried with.
pub struct Tried<'a, F> {
    /// Images of the data set.
    pub set: &'a EvaluationSet,
    /// Their files.
    pub files: &'a F,
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
        let total = self.some().len();
        let (mut images, mut counts) = (0, AttackCounts::default());
        for (index, image, other) in self.some() {
            let path = &set.dataset.pictures[set.pictures[image]];
            let picture = decode(&self.files.read(path).await?)?;
            let word = &classes[other];
            let empty = " ".repeat(word.chars().count());
            let pixels = vec![
                encoder.pixels(&write_word(&picture, &empty)?),
                encoder.pixels(&write_word(&picture, word)?),
            ];
            let features = encoder.images(pixels).await?;
            let answers: Vec<Option<usize>> = (features.iter())
                .map(|features| highest(&logits(features, self.classifier, encoder.scale())))
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
