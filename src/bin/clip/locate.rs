//! `clip locate`: where in images labels fit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use clip::data::file_safe;
use clip::engine::Engine;
use clip::engine::heat_map::heat_map_png;
use clip::zero_shot::{self, HeatMap};
use serde_json::{Value, json};

use crate::classify::labels;
use crate::output::write_file;
use crate::session::{Session, json_path, number, numbers, read_image};
use crate::sort::free_name;
use crate::{AlreadyReported, Failure};

#[derive(Args)]
pub struct Locate {
    #[command(flatten)]
    session: Session,
    /// Images: PNG, JPEG, WebP, GIF, BMP, TIFF, camera raw
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Labels, separated by commas
    #[arg(long)]
    labels: String,
    /// Prompt template containing {label}; repeat the option to average several
    #[arg(long = "template", default_value = clip::zero_shot::DEFAULT_TEMPLATE)]
    templates: Vec<String>,
    /// Folder for a PNG file of each image and label, with the heat map over the image
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print JSON, with the similarity of every place
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Locate) -> Result<(), Failure> {
    let labels = labels(&arguments.labels);
    zero_shot::check(&labels, &arguments.templates)?;
    let mut engine = arguments.session.open().await?;
    let classifier = engine.classifier(&labels, &arguments.templates).await?;
    let prompts: Vec<String> = (labels.iter())
        .flat_map(|label| zero_shot::prompts(label, &arguments.templates))
        .collect();
    for note in engine.truncation_notes(&prompts) {
        tell!("note: {note}");
    }
    let mut taken = BTreeMap::new();
    let mut answers = Vec::new();
    let mut failed = false;
    for path in &arguments.images {
        let answer = match locate(&engine, path, &classifier).await {
            Ok((picture, maps)) => {
                let mut found = Vec::new();
                for (label, map) in labels.iter().zip(maps) {
                    let file = match &arguments.out {
                        Some(out) => {
                            let name = file_name(path, label);
                            let file = out.join(free_name(out, "", &name, &mut taken));
                            write_file(&file, &heat_map_png(&map, &picture)?)?;
                            Some(file)
                        }
                        None => None,
                    };
                    found.push((label, map, file));
                }
                if !arguments.json {
                    say!("{}", path.display())?;
                    for (label, map, file) in &found {
                        say!("{}", line(label, map, file.as_deref()))?;
                    }
                }
                let size = [picture.width(), picture.height()];
                let found: Vec<Value> = (found.iter())
                    .map(|(label, map, file)| described(label, map, file.as_deref()))
                    .collect();
                json!({
                    "path": json_path(path),
                    "width": size[0],
                    "height": size[1],
                    "labels": found,
                })
            }
            Err(error) => {
                failed = true;
                tell!("{error}");
                json!({ "path": json_path(path), "error": error.to_string() })
            }
        };
        answers.push(answer);
    }
    if arguments.json {
        say!("{}", json!({ "images": answers }))?;
    }
    match failed {
        true => Err(AlreadyReported.into()),
        false => Ok(()),
    }
}

/// An image and the heat map of each label.
async fn locate(
    engine: &Engine,
    path: &Path,
    classifier: &[Vec<f32>],
) -> Result<(clip::preprocess::DecodedImage, Vec<HeatMap>), Failure> {
    let picture = read_image(path)?;
    let features = engine.dense_features(&picture).await?;
    let maps = classifier.iter().map(|text| features.heat_map(text));
    Ok((picture, maps.collect()))
}

/// Name of the PNG file of an image and a label.
fn file_name(path: &Path, label: &str) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    format!("{}.png", file_safe(&format!("{stem} - {label}")))
}

fn line(label: &str, map: &HeatMap, file: Option<&Path>) -> String {
    let peak = map.peak();
    let file = file.map_or(String::new(), |file| format!("  {}", file.display()));
    format!(
        "  {:3.0} % from the left, {:3.0} % from the top  {:+.4}  {label}{file}",
        100.0 * peak.x,
        100.0 * peak.y,
        peak.similarity,
    )
}

fn described(label: &str, map: &HeatMap, file: Option<&Path>) -> Value {
    let peak = map.peak();
    let rows: Vec<Value> = (map.similarities.chunks(map.columns))
        .map(numbers)
        .collect();
    let mut described = json!({
        "label": label,
        "x": peak.x,
        "y": peak.y,
        "similarity": number(peak.similarity),
        "map": rows,
    });
    if let Some(file) = file {
        described["file"] = json_path(file);
    }
    described
}
