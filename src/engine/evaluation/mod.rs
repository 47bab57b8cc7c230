//! Evaluation of a model on labelled images, the same for `clip evaluate` and for the page:
//! images are read and encoded once, and everything else is worked out from their features.
//!
//! | module | contents |
//! | --- | --- |
//! | [`encoder`] | what computes features: the engine, or a job that asks for it |
//! | [`limits`] | known limits of CLIP, tried |
//! | [`thumbnail`] | images for reports |
//! | [`job`] | evaluation in small units of work, for a worker |
//! | [`kept`] | what is kept of it from visit to visit |
//! | [`browser`] | files and storage of a browser |

#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub mod browser;
mod encoder;
#[cfg(feature = "library")]
pub mod job;
#[cfg(feature = "library")]
pub mod kept;
mod limits;
#[cfg(all(test, feature = "command"))]
mod tests;
mod thumbnail;

pub use encoder::{Classifier, Encoder};
pub use limits::Tried;
pub use thumbnail::thumbnail;

use std::ops::ControlFlow;

use super::EngineError;
use super::messages::EvaluationStage;
use crate::data::{DataError, DataFiles, Dataset, hold_out};
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::eval::{
    Calibration, Evaluation, Judged, Metrics, Predictions, PromptComparison, Report, ShotsCurve,
};
use crate::preprocess::{DecodedImage, PreprocessError};
use crate::train::{Cancelled, FewShotData, FewShotSettings, few_shot_curve};
use crate::zero_shot::{self, QuestionError, Scoring};

/// Images that go through the encoder together.
const BATCH: usize = 16;

/// Error of an evaluation.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum EvaluationError {
    /// The data set cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model could not compute.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Class names and templates have no answer.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// A file that comes with the page cannot be read.
    #[error(transparent)]
    Page(#[from] crate::hub::HubError),
    /// An image cannot be decoded or drawn on.
    #[error(transparent)]
    Picture(#[from] PreprocessError),
    /// The fit was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// Data set without classes, by name.
    NoClasses(String),
    /// Data set with a single class: its name, and that of the class.
    OneClass(String, String),
    /// Too few images to learn from some of them.
    TooFew,
    /// No class has as many images to learn from as were asked for.
    TooManyShots(usize),
    /// A limit that cannot be tried on this data set.
    NothingToWrite,
    /// The images of an earlier visit.
    ImagesGone,
    /// What an earlier visit kept is of another model, by name.
    OtherModel(String),
    /// What an earlier visit kept is incomplete or damaged.
    NotRestored,
    /// Nothing is open.
    NothingOpen,
}

impl ToDiagnostic for EvaluationError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Data(error) => error.to_diagnostic(),
            Self::Engine(error) => error.to_diagnostic(),
            Self::Question(error) => error.to_diagnostic(),
            Self::Page(error) => error.to_diagnostic(),
            Self::Picture(error) => error.to_diagnostic(),
            Self::Cancelled(error) => error.to_string().into(),
            Self::NoClasses(name) => diagnostic!(
                "captions-only",
                "{name}: evaluation needs labelled images of at least two classes, but there are captions only",
                name
            ),
            Self::OneClass(name, class) => diagnostic!(
                "one-class",
                "{name}: evaluation needs labelled images of at least two classes, but there is only \"{class}\"",
                name,
                class
            ),
            Self::TooFew => diagnostic!(
                "few-images",
                "learning from few images needs images to learn from and others to test on: at least three of a class"
            ),
            Self::TooManyShots(count) => diagnostic!(
                "too-many-shots",
                "no class has so many images to learn from; there are {count} in all, half of those of each class",
                count
            ),
            Self::NothingToWrite => diagnostic!(
                "nothing-to-write",
                "words cannot be written over these images: a class has a name without Latin letters or digits"
            ),
            Self::ImagesGone => diagnostic!(
                "images-not-kept",
                "the images themselves are not kept from visit to visit: choose them again"
            ),
            Self::OtherModel(model) => diagnostic!(
                "encoded-by",
                "the images were encoded by {model}, which is not the loaded model: choose them again",
                model
            ),
            Self::NotRestored => diagnostic!(
                "not-restored",
                "what was kept of the images is incomplete: choose them again. The figures below still hold"
            ),
            Self::NothingOpen => diagnostic!(
                "nothing-open",
                "no labelled images are open: choose some first"
            ),
        }
    }
}

/// Indexes a data set; [`name_classes`] comes next. `with_training`: keep the part that it
/// trains on, if it has parts; that says nothing about a model that may have seen it.
pub async fn open(
    files: &impl DataFiles,
    table: Option<&str>,
    with_training: bool,
) -> Result<Dataset, EvaluationError> {
    let dataset = Dataset::open(files, table).await?;
    match with_training {
        true => Ok(dataset),
        false => Ok(dataset.only_held_out()),
    }
}

/// Names the classes of a data set, of which there must be at least two: by `names` if there
/// are any, or by those that the data set has itself, [`DataFiles::class_names`].
pub fn name_classes(
    dataset: &mut Dataset,
    names: &[String],
    own: Option<&[String]>,
) -> Result<(), EvaluationError> {
    match (names, own) {
        ([], None) => {}
        ([], Some([])) => dataset
            .notes
            .push("there is no classnames.txt: the classes are called by their numbers".into()),
        ([], Some(own)) => dataset.name_classes(own)?,
        (names, _) => dataset.name_classes(names)?,
    }
    match dataset.classes.as_slice() {
        [] => Err(EvaluationError::NoClasses(dataset.name.clone())),
        [only] => Err(EvaluationError::OneClass(
            dataset.name.clone(),
            only.clone(),
        )),
        _ => Ok(()),
    }
}

/// The data set's own templates, with `{label}`.
pub fn own_templates(files: &impl DataFiles) -> Vec<String> {
    zero_shot::parse_templates(&files.templates().join("\n"))
}

/// Labelled images that were read, with their parts.
pub struct EvaluationSet {
    /// Classes, paths and problems.
    pub dataset: Dataset,
    /// Index of the picture of each image: into [`Dataset::pictures`], and into the features.
    pictures: Vec<usize>,
    /// Class of each image.
    labels: Vec<usize>,
    /// Images that are evaluated.
    test: Vec<usize>,
    /// Images that shots are drawn from, and those that they are tested on.
    shots: [Vec<usize>; 2],
}

/// Result of a model on the images that are evaluated.
pub struct Evaluated {
    /// Report with its basic parts.
    pub report: Report,
    /// Classifier that was evaluated, `[classes][embed_dim]`.
    pub classifier: Vec<Vec<f32>>,
    /// Class that was named for each image.
    pub answers: Vec<usize>,
    /// Whether each image is named right.
    pub right: Vec<bool>,
}

impl EvaluationSet {
    /// Reads all images of a data set and encodes them with every encoder. Returns the
    /// features by encoder, `[encoders][pictures][embed_dim]`. `seed` splits images to learn
    /// from off; `on_progress` gets the images so far.
    pub async fn encode<E: Encoder>(
        files: &impl DataFiles,
        dataset: Dataset,
        seed: u64,
        encoders: &mut [E],
        on_progress: &mut impl AsyncFnMut(EvaluationStage, usize, usize),
    ) -> Result<(Self, Vec<Vec<Vec<f32>>>), EvaluationError> {
        let total = dataset.pictures.len();
        let mut batches: Vec<Batch> = encoders.iter().map(|_| Batch::default()).collect();
        let set = Self::read(files, dataset, seed, async |index, picture| {
            for (encoder, batch) in encoders.iter_mut().zip(&mut batches) {
                batch.pixels.push(encoder.pixels(&picture));
                if batch.pixels.len() == BATCH {
                    batch.flush(encoder).await?;
                }
            }
            on_progress(EvaluationStage::Images, index + 1, total).await;
            Ok(())
        })
        .await?;
        for (encoder, batch) in encoders.iter_mut().zip(&mut batches) {
            batch.flush(encoder).await?;
        }
        Ok((set, batches.into_iter().map(|b| b.features).collect()))
    }

    /// Reads all images of a data set once and passes them to `take`, with their index into
    /// the features. `seed` splits images to learn from off.
    pub async fn read(
        files: &impl DataFiles,
        dataset: Dataset,
        seed: u64,
        take: impl AsyncFnMut(usize, DecodedImage) -> Result<(), EvaluationError>,
    ) -> Result<Self, EvaluationError> {
        let set = Self::new(dataset.read(files, take).await?, seed);
        match set.test.is_empty() {
            true => Err(set.dataset.no_examples().into()),
            false => Ok(set),
        }
    }

    /// Set of a data set that was read.
    pub fn new(dataset: Dataset, seed: u64) -> Self {
        let mut set = Self {
            pictures: Vec::new(),
            labels: Vec::new(),
            test: Vec::new(),
            shots: [Vec::new(), Vec::new()],
            dataset,
        };
        let dataset = &set.dataset;
        // Half of each class to learn from, unless the data set has parts of its own.
        let split = hold_out(dataset, 0.5, seed);
        let mut tested = vec![false; dataset.examples.len()];
        split
            .held_out
            .iter()
            .for_each(|index| tested[*index] = true);
        for (example, tested) in dataset.examples.iter().zip(tested) {
            let Some(class) = example.class else {
                continue;
            };
            let image = set.labels.len();
            set.pictures.push(example.picture);
            set.labels.push(class);
            if dataset.held_out.is_empty() || dataset.held_out[example.picture] {
                set.test.push(image);
            }
            set.shots[usize::from(tested)].push(image);
        }
        set
    }

    /// Class of each image that is evaluated.
    pub fn truth(&self) -> Vec<usize> {
        self.test.iter().map(|image| self.labels[*image]).collect()
    }

    /// Path of each image that is evaluated.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        let pictures = self.test.iter().map(|image| self.pictures[*image]);
        pictures.map(|picture| &self.dataset.pictures[picture])
    }

    /// Logits of the images that are evaluated, `[images][classes]`.
    pub fn logits(
        &self,
        features: &[Vec<f32>],
        classifier: &[Vec<f32>],
        scoring: Scoring,
    ) -> Vec<Vec<f32>> {
        let pictures = self.test.iter().map(|image| self.pictures[*image]);
        pictures
            .map(|picture| logits(&features[picture], classifier, scoring))
            .collect()
    }

    /// Evaluates the zero-shot classifier of some templates. `data` is the name of the data
    /// set for display.
    pub async fn evaluate(
        &self,
        encoder: &mut impl Encoder,
        features: &[Vec<f32>],
        data: &str,
        templates: &[String],
    ) -> Result<Evaluated, EvaluationError> {
        let classes = &self.dataset.classes;
        let Classifier { weights, truncated } = encoder.classifier(classes, templates).await?;
        let logits = self.logits(features, &weights, encoder.scoring());
        let truth = self.truth();
        let predictions = Predictions {
            classes,
            logits: &logits,
            truth: &truth,
        };
        let scoring = encoder.scoring();
        let mut notes = self.dataset.notes.clone();
        if scoring.is_independent() {
            notes.push(
                "the model gives each label a probability of its own; losses and calibration are those of \
                 their softmax, since an image of the data has one label"
                    .into(),
            );
        }
        notes.extend(truncated);
        let judged: Vec<Judged> = (self.paths().zip(&truth).zip(&logits))
            .map(|((path, truth), logits)| Judged {
                path,
                truth: *truth,
                probabilities: scoring.probabilities(logits),
            })
            .collect();
        let report = Report {
            data: data.into(),
            model: encoder.name(),
            templates: templates.to_vec(),
            evaluation: Evaluation::new(classes, &judged),
            metrics: Metrics::new(&predictions),
            calibration: Calibration::new(&predictions),
            notes,
            ..Report::default()
        };
        Ok(Evaluated {
            report,
            answers: predictions.answers(),
            right: predictions.right(),
            classifier: weights,
        })
    }

    /// Sets of templates on the images that are evaluated, and notes about prompts that were
    /// truncated. `main` are the templates that were evaluated, about which that is known.
    pub async fn compare_prompts(
        &self,
        encoder: &mut impl Encoder,
        features: &[Vec<f32>],
        sets: &[(String, Vec<String>)],
        main: &[String],
    ) -> Result<(PromptComparison, Vec<String>), EvaluationError> {
        let classes = &self.dataset.classes;
        let truth = self.truth();
        let mut found = PromptComparison::default();
        let mut notes = Vec::new();
        let mut first: Option<Vec<bool>> = None;
        for (name, templates) in sets {
            let Classifier { weights, truncated } = encoder.classifier(classes, templates).await?;
            let logits = self.logits(features, &weights, encoder.scoring());
            let predictions = Predictions {
                classes,
                logits: &logits,
                truth: &truth,
            };
            found.add(name, templates, &predictions, first.as_deref());
            first.get_or_insert_with(|| predictions.right());
            if !truncated.is_empty() && templates != main {
                notes.push(format!(
                    "{} of the {} prompts of \"{name}\" were longer than the model reads and were truncated",
                    truncated.len(),
                    classes.len() * templates.len()
                ));
            }
        }
        Ok((found, notes))
    }

    /// Methods that learn from few images against the zero-shot classifier, on the same
    /// features.
    pub async fn learn(
        &self,
        features: &[Vec<f32>],
        classifier: &[Vec<f32>],
        scale: f32,
        settings: &FewShotSettings,
        on_progress: &mut impl AsyncFnMut(EvaluationStage, usize, usize),
    ) -> Result<ShotsCurve, EvaluationError> {
        let features: Vec<Vec<f32>> = (self.pictures.iter())
            .map(|picture| features[*picture].clone())
            .collect();
        let [pool, test] = &self.shots;
        if test.is_empty() || pool.is_empty() {
            return Err(EvaluationError::TooFew);
        }
        let data = FewShotData {
            classes: &self.dataset.classes,
            features: &features,
            labels: &self.labels,
            pool,
            test,
            zero_shot: classifier,
            scale,
        };
        let curve = few_shot_curve(&data, settings, &mut async |done, total| {
            on_progress(EvaluationStage::FewImages, done, total).await;
            ControlFlow::Continue(())
        })
        .await?;
        match curve.methods.iter().any(|method| method.points.is_empty()) {
            true => Err(EvaluationError::TooManyShots(pool.len())),
            false => Ok(curve),
        }
    }
}

/// Images that wait to be encoded, and features of those before.
#[derive(Default)]
struct Batch {
    pixels: Vec<Vec<f32>>,
    features: Vec<Vec<f32>>,
}

impl Batch {
    async fn flush(&mut self, encoder: &mut impl Encoder) -> Result<(), EngineError> {
        if !self.pixels.is_empty() {
            let pixels = std::mem::take(&mut self.pixels);
            self.features.extend(encoder.images(pixels).await?);
        }
        Ok(())
    }
}

/// Logits of an image, `[classes]`.
fn logits(features: &[f32], classifier: &[Vec<f32>], scoring: Scoring) -> Vec<f32> {
    scoring.logits(&zero_shot::similarities(features, classifier))
}

/// Index of the highest score; the last of equal ones.
fn highest(scores: &[f32]) -> Option<usize> {
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map(|(index, _)| index)
}
