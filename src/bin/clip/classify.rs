//! `clip classify`: zero-shot classification of images.

use std::path::{Path, PathBuf};

use clap::Args;
use clip::train::Head;
use clip::zero_shot;
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
    let mut answers = Vec::new();
    let mut classified = 0;
    let done = all_image_features(&engine, &arguments.images, |path, features| {
        let ranking = features.map(|features| match &head {
            Some(head) => head.rank(&features),
            None => engine.rank(&features, &labels, &classifier),
        });
        classified += usize::from(ranking.is_ok());
        match (arguments.json, ranking) {
            (true, Ok(ranking)) => {
                let ranking: Vec<_> = (ranking.iter())
                    .map(|ranked| {
                        json!({
                            "label": ranked.label,
                            "probability": number(ranked.probability),
                            "similarity": number(ranked.similarity),
                        })
                    })
                    .collect();
                answers.push(json!({ "path": json_path(path), "labels": ranking }));
            }
            (true, Err(error)) => {
                answers.push(json!({ "path": json_path(path), "error": error }));
            }
            (false, Ok(ranking)) => {
                say!("{}", path.display())?;
                let likely = ranking
                    .first()
                    .is_some_and(|ranked| ranked.probability >= 0.5);
                if independent && !likely {
                    say!("  none of these: no label reaches 50 %")?;
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

fn read_head(path: &Path) -> Result<Head, Failure> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = std::fs::read(path).map_err(|error| named(&error))?;
    Ok(Head::read(&file).map_err(|error| named(&error))?)
}
