//! `clip classify`: labels ranked for pictures.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::Failure;
use crate::session::{Session, image_features, number};

#[derive(Args)]
pub struct Classify {
    #[command(flatten)]
    session: Session,
    /// Pictures: PNG, JPEG, WebP, GIF, BMP
    #[arg(long, required = true, num_args = 1..)]
    images: Vec<PathBuf>,
    /// Labels, with commas between them
    #[arg(long, required = true)]
    labels: String,
    /// Prompt with {label} in it; several are averaged
    #[arg(long = "template", default_value = "A photo of a {label}.")]
    templates: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Classify) -> Result<(), Failure> {
    let mut labels: Vec<String> = Vec::new();
    for label in arguments.labels.split([',', '\n']).map(str::trim) {
        if !label.is_empty() && !labels.iter().any(|known| known == label) {
            labels.push(label.into());
        }
    }
    clip::zero_shot::check(&labels, &arguments.templates)?;
    let mut engine = arguments.session.open().await?;
    let classifier = engine.classifier(&labels, &arguments.templates).await?;
    let mut answers = Vec::new();
    for path in &arguments.images {
        let features = image_features(&engine, path).await?;
        let ranking = engine.rank(&features, &labels, &classifier);
        if arguments.json {
            let ranking: Vec<_> = (ranking.iter())
                .map(|ranked| {
                    json!({
                        "label": ranked.label,
                        "probability": number(ranked.probability),
                        "similarity": number(ranked.similarity),
                    })
                })
                .collect();
            answers.push(json!({ "path": path, "labels": ranking }));
            continue;
        }
        println!("{}", path.display());
        for ranked in ranking {
            let percent = ranked.probability * 100.0;
            println!(
                "  {percent:6.2} %  {:+.4}  {}",
                ranked.similarity, ranked.label
            );
        }
    }
    match arguments.json {
        true => println!("{}", json!({ "images": answers })),
        false => println!(
            "computed on {}, in {}",
            engine.device_info().name,
            engine.model_info().precision
        ),
    }
    Ok(())
}
