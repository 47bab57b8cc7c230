//! Fit of a probe or an adapter to the features of a data set, with its report.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde_json::json;

use super::{
    Cancelled, ClassCount, ClassFit, DataReport, FeatureMatrix, Head, HeadProgress, Method,
    MetricSeries, TrainingReport, fit_adapter, fit_probe,
};
use crate::data::{Dataset, LeftOut, Split};
use crate::eval::{Evaluation, Judged};
use crate::zero_shot::{self, Scoring};

/// Settings of the user.
#[derive(Clone, Debug)]
pub struct HeadSettings {
    /// [`Method::Probe`] or [`Method::Adapter`].
    pub method: Method,
    /// Prompt templates of the zero-shot classifier.
    pub templates: Vec<String>,
    /// Fraction of each class that is held out for evaluation.
    pub held_out: f64,
    /// Seed of the cross-validation's folds.
    pub seed: u64,
}

/// Fitted head with its report.
#[derive(Clone, Debug)]
pub struct TrainedHead {
    /// Fitted head.
    pub head: Head,
    /// Report of the fit.
    pub report: TrainingReport,
}

/// Features of a data set, with its metadata.
#[derive(Clone, Debug)]
pub struct HeadData {
    /// Classes and examples.
    pub dataset: Dataset,
    /// For each image of the data set.
    pub features: Vec<Vec<f32>>,
    /// Training and held-out examples.
    pub split: Split,
    /// Zero-shot classifier, a row for each class.
    pub zero_shot: Vec<Vec<f32>>,
    /// The model's `exp(logit_scale)`.
    pub scale: f32,
    /// Names of the model and of the device.
    pub model: String,
    /// Name of the device, for the report.
    pub device: String,
}

/// Fits a probe or an adapter. The caller fills in the report's times.
pub async fn fit_head(
    data: &HeadData,
    settings: &HeadSettings,
    on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<TrainedHead, Cancelled> {
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
    let class_fit = ClassFit::new(&samples);
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
        class_fit,
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
    // Classes exclude each other, as they do for the head.
    let scoring = Scoring::Softmax { scale };
    let words = |features: &[f32]| zero_shot::probabilities(features, zero_shot, scoring);
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
        let head = Head {
            method: settings.method,
            model: String::new(),
            classes: Vec::new(),
            templates: settings.templates.clone(),
            zero_shot: zero_shot.to_vec(),
            scale,
            weight: Vec::new(),
            bias: vec![0.0; classes],
            alpha: 1.0,
            beta: 1.0,
            class_fit: None,
        };
        Ok(match settings.method {
            Method::Probe => {
                let probe = fit_probe(&samples, settings.seed, on_progress).await?;
                Self {
                    head: head.with_probe(probe.weight, probe.bias),
                    l2: probe.l2,
                    curve: probe.chosen,
                }
            }
            _ => {
                let samples = samples.with_offsets(zero_shot, scale);
                let adapter = fit_adapter(&samples, settings.seed, on_progress).await?;
                let l2 = adapter.params.l2;
                Self {
                    head: head.with_adapter(adapter.weight, adapter.params),
                    l2,
                    curve: adapter.chosen,
                }
            }
        })
    }
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
