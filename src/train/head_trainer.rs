//! Training of a probe or an adapter on a data set, with its report.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::json;

use super::{
    Cancelled, ClassCount, DataReport, FeatureMatrix, Head, HeadProgress, HeadStage, LeftOut,
    Method, MetricSeries, TrainingReport, fit_adapter, fit_probe,
};
use crate::data::{DataFiles, Dataset, Split, hold_out};
use crate::engine::{Engine, EngineError};
use crate::eval::{Evaluation, Judged, softmax};
use crate::zero_shot::{self, QuestionError};

/// Settings of the user.
#[derive(Clone, Debug)]
pub struct HeadSettings {
    /// [`Method::Probe`] or [`Method::Adapter`].
    pub method: Method,
    /// Prompt templates of the zero-shot classifier.
    pub templates: Vec<String>,
    /// Fraction of each class that is held out for evaluation.
    pub held_out: f64,
    pub seed: u64,
}

impl HeadSettings {
    pub const HELD_OUT: f64 = crate::engine::defaults::HELD_OUT;
}

#[derive(Clone, Debug)]
pub struct TrainedHead {
    pub head: Head,
    pub report: TrainingReport,
}

/// Error of the training of a head.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error(
        "the images of {0} have captions, not classes: a probe or an adapter needs one folder or \
         label per class (for captions, use the methods lora, full or pretrain)"
    )]
    NoClasses(String),
    #[error("there are only images of {0}: training needs at least two classes")]
    OneClass(String),
    #[error("none of the images can be used: {0}")]
    NoPictures(String),
    #[error("the method {0} trains the model's encoders, not a classifier on its features")]
    Method(Method),
}

/// Encoder batch size: large enough to keep a device busy, small enough to cancel in
/// between.
const BATCH: usize = 16;

/// Encodes the images of a data set, each once, and fits a probe or an adapter to them.
/// `clock` is a monotonic time; `on_progress` may cancel.
pub async fn train_head(
    engine: &mut Engine,
    files: &impl DataFiles,
    dataset: Dataset,
    settings: &HeadSettings,
    clock: impl Fn() -> Duration,
    on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<TrainedHead, HeadError> {
    if !matches!(settings.method, Method::Probe | Method::Adapter) {
        return Err(HeadError::Method(settings.method));
    }
    if dataset.classes.is_empty() {
        return Err(HeadError::NoClasses(dataset.name));
    }
    let start = clock();
    let (dataset, features) = encode(engine, files, dataset, on_progress).await?;
    let encoded = clock() - start;
    let mut dataset = match settings.method {
        // A class without images cannot be learnt; an adapter still knows its name.
        Method::Probe => with_pictures(dataset),
        _ => dataset,
    };
    let counted = count(&dataset, &hold_out(&dataset, 0.0, 0));
    let mut shown = (counted.iter()).filter(|class| class.train > 0);
    match (shown.next(), shown.next()) {
        (Some(_), Some(_)) => {}
        (Some(only), None) => return Err(HeadError::OneClass(only.name.clone())),
        (None, _) => {
            let why = dataset.problems.first().map(ToString::to_string);
            return Err(HeadError::NoPictures(why.unwrap_or(dataset.name)));
        }
    }

    let zero_shot =
        label_features(engine, &dataset.classes, &settings.templates, on_progress).await?;
    let prompts: Vec<String> = (dataset.classes.iter())
        .flat_map(|class| zero_shot::prompts(class, &settings.templates))
        .collect();
    dataset.notes.extend(engine.truncation_notes(&prompts));
    let data = HeadData {
        split: hold_out(&dataset, settings.held_out, settings.seed),
        zero_shot,
        scale: engine.logit_scale().exp(),
        model: engine.model_info().name.clone(),
        device: engine.device_info().name.clone(),
        dataset,
        features,
    };
    let mut trained = fit_head(&data, settings, on_progress).await?;
    let encoded = encoded.as_secs_f64().max(1e-9);
    trained.report.images_per_second = data.features.len() as f64 / encoded;
    trained.report.seconds = (clock() - start).as_secs_f64();
    Ok(trained)
}

/// Features of a data set, with its metadata.
#[derive(Clone, Debug)]
pub struct HeadData {
    pub dataset: Dataset,
    /// For each image of the data set.
    pub features: Vec<Vec<f32>>,
    pub split: Split,
    /// Zero-shot classifier, a row for each class.
    pub zero_shot: Vec<Vec<f32>>,
    /// The model's `exp(logit_scale)`.
    pub scale: f32,
    /// Names of the model and of the device.
    pub model: String,
    pub device: String,
}

/// Fits a probe or an adapter. The caller fills in the report's times.
pub async fn fit_head(
    data: &HeadData,
    settings: &HeadSettings,
    on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<TrainedHead, HeadError> {
    let HeadData {
        dataset,
        features,
        split,
        zero_shot,
        scale,
        ..
    } = data;
    let scale = *scale;
    let part = |part: &[usize]| -> (Vec<&[f32]>, Vec<usize>) {
        (part.iter())
            .filter_map(|index| {
                let example = &dataset.examples[*index];
                Some((features[example.picture].as_slice(), example.class?))
            })
            .unzip()
    };
    let (train, labels) = part(&split.train);
    let samples = FeatureMatrix::new(&train, &labels, dataset.classes.len());
    let mut chosen = BTreeMap::new();
    let mut notes = dataset.notes.clone();
    let fitted = Fitted::new(settings, samples, zero_shot, scale, on_progress).await?;
    if fitted.curve.is_none() {
        notes.push(
            "with one image per class there is nothing to validate on, so conservative settings were \
             used; with a second image per class they are tuned"
                .into(),
        );
    }
    if fitted.head.alpha == 0.0 {
        notes.push(
            "the images gave no clear gain over the zero-shot classifier, so it was kept unchanged; \
             more images may help"
                .into(),
        );
    }
    if split.held_out.is_empty() {
        notes.push(
            "no class has enough images to hold some out, so the result was not evaluated".into(),
        );
    }
    let head = Head {
        method: settings.method,
        model: data.model.clone(),
        classes: dataset.classes.clone(),
        scale,
        ..fitted.head
    };

    let evaluate = |probabilities: &dyn Fn(&[f32]) -> Vec<f32>| -> Option<Evaluation> {
        let (held_out, truth) = part(&split.held_out);
        let paths = (split.held_out.iter())
            .filter(|index| dataset.examples[**index].class.is_some())
            .map(|index| dataset.pictures[dataset.examples[*index].picture].as_str());
        let judged: Vec<Judged> = (held_out.into_iter().zip(truth).zip(paths))
            .map(|((features, truth), path)| Judged {
                path,
                truth,
                probabilities: probabilities(features),
            })
            .collect();
        (!judged.is_empty()).then(|| Evaluation::new(&dataset.classes, &judged))
    };
    let words = |features: &[f32]| {
        let dot = |row: &[f32]| row.iter().zip(features).map(|(a, b)| a * b).sum::<f32>();
        let logits: Vec<f32> = zero_shot.iter().map(|row| scale * dot(row)).collect();
        softmax(&logits)
    };
    let (before, after) = (
        evaluate(&words),
        evaluate(&|features| head.probabilities(features)),
    );
    chosen.insert("held_out".into(), json!(settings.held_out));
    chosen.insert("seed".into(), json!(settings.seed));
    chosen.insert("templates".into(), json!(settings.templates));
    chosen.insert("l2".into(), json!(fitted.l2));
    if settings.method == Method::Adapter {
        chosen.insert("alpha".into(), json!(head.alpha));
        chosen.insert("beta".into(), json!(head.beta));
    }
    let report = TrainingReport {
        method: settings.method,
        model: head.model.clone(),
        device: data.device.clone(),
        settings: chosen,
        data: DataReport {
            name: dataset.name.clone(),
            train: split.train.len(),
            held_out: split.held_out.len(),
            classes: count(dataset, split),
            problems: dataset.problems.clone(),
            left_out: LeftOut::count(&dataset.problems),
        },
        curves: fitted.curve.into_iter().collect(),
        before,
        after,
        seconds: 0.0,
        images_per_second: 0.0,
        notes,
    };
    Ok(TrainedHead { head, report })
}

/// Head without its metadata, and how it was fitted.
struct Fitted {
    head: Head,
    l2: f64,
    curve: Option<MetricSeries>,
}

impl Fitted {
    async fn new(
        settings: &HeadSettings,
        samples: FeatureMatrix,
        zero_shot: &[Vec<f32>],
        scale: f32,
        on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
    ) -> Result<Self, Cancelled> {
        let classes = samples.classes();
        let blank = Head {
            method: settings.method,
            model: String::new(),
            classes: Vec::new(),
            templates: Vec::new(),
            zero_shot: Vec::new(),
            scale,
            weight: Vec::new(),
            bias: vec![0.0; classes],
            alpha: 1.0,
            beta: 1.0,
        };
        Ok(match settings.method {
            Method::Probe => {
                let probe = fit_probe(&samples, settings.seed, on_progress).await?;
                Self {
                    head: Head {
                        weight: probe.weight,
                        bias: probe.bias,
                        ..blank
                    },
                    l2: probe.l2,
                    curve: probe.chosen,
                }
            }
            _ => {
                let samples = samples.with_offsets(zero_shot, scale);
                let adapter = fit_adapter(&samples, settings.seed, on_progress).await?;
                Self {
                    head: Head {
                        templates: settings.templates.clone(),
                        zero_shot: zero_shot.to_vec(),
                        weight: adapter.weight,
                        alpha: adapter.params.alpha as f32,
                        beta: adapter.params.beta as f32,
                        ..blank
                    },
                    l2: adapter.params.l2,
                    curve: adapter.chosen,
                }
            }
        })
    }
}

/// Features of every readable image, in the order of the result's `pictures`.
async fn encode(
    engine: &Engine,
    files: &impl DataFiles,
    dataset: Dataset,
    on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<(Dataset, Vec<Vec<f32>>), HeadError> {
    let total = dataset.pictures.len();
    let mut features = Vec::with_capacity(total);
    let mut waiting = Vec::with_capacity(BATCH);
    let dataset = dataset
        .read(files, async |done, picture| {
            waiting.push(engine.pixels(&picture));
            if waiting.len() == BATCH {
                features.extend(engine.image_features(&waiting).await?);
                waiting.clear();
            }
            let progress = HeadProgress {
                stage: HeadStage::Pictures,
                done,
                total,
            };
            match on_progress(progress).await {
                ControlFlow::Continue(()) => Ok::<_, HeadError>(()),
                ControlFlow::Break(()) => Err(Cancelled.into()),
            }
        })
        .await?;
    features.extend(engine.image_features(&waiting).await?);
    Ok((dataset, features))
}

/// Zero-shot classifier, with a pause after each batch of prompts.
async fn label_features(
    engine: &mut Engine,
    classes: &[String],
    templates: &[String],
    on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<Vec<Vec<f32>>, HeadError> {
    zero_shot::check(classes, templates)?;
    let prompts: Vec<String> = (classes.iter())
        .flat_map(|class| zero_shot::prompts(class, templates))
        .collect();
    let mut pending = engine.pending_prompts(&prompts)?;
    while engine.encode_next_batch(&mut pending).await? > 0 {
        let progress = HeadProgress {
            stage: HeadStage::Labels,
            done: prompts.len() - pending.len(),
            total: prompts.len(),
        };
        if on_progress(progress).await.is_break() {
            return Err(Cancelled.into());
        }
    }
    Ok(engine.classifier(classes, templates).await?)
}

/// The data set without its empty classes.
fn with_pictures(mut dataset: Dataset) -> Dataset {
    let counted = count(&dataset, &hold_out(&dataset, 0.0, 0));
    let mut places = Vec::with_capacity(counted.len());
    let mut classes = Vec::with_capacity(counted.len());
    for class in counted {
        places.push(classes.len());
        if class.train > 0 {
            classes.push(class.name);
        }
    }
    for example in &mut dataset.examples {
        example.class = example.class.map(|class| places[class]);
    }
    dataset.classes = classes;
    dataset
}

fn count(dataset: &Dataset, split: &Split) -> Vec<ClassCount> {
    let mut counts: Vec<ClassCount> = (dataset.classes.iter())
        .map(|name| ClassCount {
            name: name.clone(),
            train: 0,
            held_out: 0,
        })
        .collect();
    let class = |index: &usize| dataset.examples[*index].class;
    for class in split.train.iter().filter_map(class) {
        counts[class].train += 1;
    }
    for class in split.held_out.iter().filter_map(class) {
        counts[class].held_out += 1;
    }
    counts
}
