//! `clip classify`: zero-shot classification of images.

use std::path::{Path, PathBuf};

use clap::Args;
use clip::train::Head;
use clip::zero_shot::{self, DEFAULT_CLASS_FIT, DEFAULT_PROBABILITY, DEFAULT_REJECTION, Rejection};
use serde_json::json;

use crate::Failure;
use crate::session::{Session, all_image_features, json_path, number};

#[derive(Args)]
pub struct Classify {
    #[command(flatten)]
    session: Session,
    /// Images: PNG, JPEG, WebP, GIF, BMP, TIFF, camera raw
    #[arg(long, required = true, num_args = 1..)]
    images: Vec<PathBuf>,
    /// Labels, separated by commas
    #[arg(long, required_unless_present = "head", conflicts_with = "head")]
    labels: Option<String>,
    /// Classifier written by `clip train` or the page, instead of labels
    #[arg(long)]
    head: Option<PathBuf>,
    /// Prompt template containing {label}; repeat the option to average several
    #[arg(long = "template", default_value = clip::zero_shot::DEFAULT_TEMPLATE)]
    templates: Vec<String>,
    /// Say where none of the labels fits: where their share among everyday words is below this, 0.3
    /// unless told; of a sigmoid model, where every probability is below this, 0.5 unless told; of
    /// --head, where fewer of its training images than this share are no nearer to a class, 0.05
    /// unless told
    #[arg(long, value_name = "SHARE", value_parser = share)]
    reject: Option<Option<f64>>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Classify) -> Result<(), Failure> {
    // What can be wrong with the question comes out before the model is opened.
    let head = match &arguments.head {
        Some(path) => Some(read_head(path)?),
        None => None,
    };
    let class_fit = head.as_ref().and_then(|head| head.class_fit.as_ref());
    if head.is_some() && class_fit.is_none() && arguments.reject.is_some() {
        return Err(
            "--reject: this classifier cannot tell when none of its classes fits: it was written by \
             an older version, or trained with fewer than ten images or with a class without any. \
             Train it again"
                .into(),
        );
    }
    let labels = labels(arguments.labels.as_deref().unwrap_or_default());
    if head.is_none() {
        zero_shot::check(&labels, &arguments.templates)?;
    }
    let mut engine = arguments.session.open().await?;
    let classifier = match &head {
        Some(head) => {
            if let Some(note) = head.fits(engine.model_info())? {
                tell!("note: {note}");
            }
            Vec::new()
        }
        None => {
            let classifier = engine.classifier(&labels, &arguments.templates).await?;
            let prompts: Vec<String> = (labels.iter())
                .flat_map(|label| zero_shot::prompts(label, &arguments.templates))
                .collect();
            for note in engine.truncation_notes(&prompts) {
                tell!("note: {note}");
            }
            classifier
        }
    };
    // Of a head the classes exclude each other.
    let independent = head.is_none() && engine.scoring().is_independent();
    let default = match (&head, independent) {
        (Some(_), _) => DEFAULT_CLASS_FIT,
        (None, true) => DEFAULT_PROBABILITY,
        (None, false) => DEFAULT_REJECTION,
    };
    let least = (arguments.reject).map(|least| least.unwrap_or(default.into()));
    let rejection = match least {
        Some(_) if head.is_none() && !independent => {
            let words = zero_shot::neutral_words(&labels, usize::MAX);
            // One template: all of an ensemble's would take a while, and change little.
            let templates = &arguments.templates[..arguments.templates.len().min(1)];
            let words = engine.classifier(&words, templates).await?;
            Some(Rejection::new(&words, &classifier))
        }
        // What has a probability of its own needs nothing to compare with, and a head has its means.
        _ => None,
    };
    let scale = engine.scoring().scale();
    let mut answers = Vec::new();
    let mut classified = 0;
    let done = all_image_features(&engine, &arguments.images, |path, features| {
        let ranking = features.map(|features| {
            let ranking = match &head {
                Some(head) => head.rank(&features),
                None => engine.rank(&features, &labels, &classifier),
            };
            let fit = match (&rejection, class_fit) {
                (Some(rejection), _) => {
                    Some(rejection.share_of_labels(&features, &classifier, scale))
                }
                (None, Some(fit)) => least.map(|_| fit.share(&features)),
                (None, None) => {
                    (ranking.first().filter(|_| least.is_some())).map(|top| top.probability)
                }
            };
            (ranking, fit)
        });
        let rejected = |fit: f32| least.is_some_and(|least| f64::from(fit) < least);
        classified += usize::from(ranking.is_ok());
        match (arguments.json, ranking) {
            (true, Ok((ranking, fit))) => {
                let ranking: Vec<_> = (ranking.iter())
                    .map(|ranked| {
                        json!({
                            "label": ranked.label,
                            "probability": number(ranked.probability),
                            "similarity": number(ranked.similarity),
                        })
                    })
                    .collect();
                let mut answer = json!({ "path": json_path(path), "labels": ranking });
                if let Some(fit) = fit {
                    answer["fit"] = number(fit);
                    answer["rejected"] = rejected(fit).into();
                }
                answers.push(answer);
            }
            (true, Err(error)) => {
                answers.push(json!({ "path": json_path(path), "error": error }));
            }
            (false, Ok((ranking, fit))) => {
                say!("{}", path.display())?;
                let likely = ranking
                    .first()
                    .is_some_and(|ranked| ranked.probability >= 0.5);
                if independent && !likely && least.is_none() {
                    say!("  none of these: no label reaches 50 %")?;
                }
                if let (Some(fit), Some(closest)) =
                    (fit.filter(|fit| rejected(*fit)), ranking.first())
                {
                    say!(
                        "  none of these fits well ({:.0} %); closest: {}",
                        100.0 * fit,
                        closest.label
                    )?;
                }
                for ranked in ranking {
                    let percent = ranked.probability * 100.0;
                    say!(
                        "  {percent:6.2} %  {:+.4}  {}",
                        ranked.similarity,
                        ranked.label
                    )?;
                }
            }
            // Told on standard error.
            (false, Err(_)) => {}
        }
        Ok(())
    })
    .await;
    match arguments.json {
        true => say!(
            "{}",
            json!({ "images": answers, "independent": independent })
        )?,
        false if classified > 0 => say!(
            "computed on {}, {} weights",
            engine.device_info().name,
            engine.model_info().precision
        )?,
        false => {}
    }
    done
}

/// A share from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    match text.trim().parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("\"{text}\" is no number from 0 to 1")),
    }
}

/// The labels of a list, each once.
pub fn labels(list: &str) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for label in list.split([',', '\n']).map(str::trim) {
        if !label.is_empty() && !labels.iter().any(|known| known == label) {
            labels.push(label.into());
        }
    }
    labels
}

/// A probe or an adapter from its file.
pub fn read_head(path: &Path) -> Result<Head, Failure> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = std::fs::read(path).map_err(|error| named(&error))?;
    Ok(Head::read(&file).map_err(|error| named(&error))?)
}
