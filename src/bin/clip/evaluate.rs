//! `clip evaluate`: how well a model names the drawings held out of training,
//! through the same preprocessing and prompts as any picture.

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Args;
use clip::eval::accuracy;
use clip::train::{LabelledImage, PretrainDataError, SharedName};

use crate::Failure;
use crate::session::{Session, image_features};

#[derive(Args)]
pub struct Evaluate {
    #[command(flatten)]
    session: Session,
    /// Folder that scripts/drawings/fetch.py wrote
    #[arg(long)]
    data: PathBuf,
    /// Prompt with {label} in it; several are averaged
    #[arg(long = "template", default_value = "A photo of a {label}.")]
    templates: Vec<String>,
}

pub async fn run(arguments: &Evaluate) -> Result<(), Failure> {
    let names = SharedName::list(&arguments.data)?;
    let held_out = LabelledImage::list(&arguments.data, "held_out.jsonl")?;
    let files: HashMap<&str, &str> = (held_out.iter())
        .map(|drawing| (drawing.concept.as_str(), drawing.image.as_str()))
        .collect();
    let mut engine = arguments.session.open().await?;
    let labels: Vec<String> = names.iter().map(|name| name.name.clone()).collect();
    let classifier = engine.classifier(&labels, &arguments.templates).await?;
    let mut similarities = Vec::with_capacity(names.len() * names.len());
    for name in &names {
        let file = (files.get(name.concept.as_str()))
            .ok_or_else(|| PretrainDataError::Empty(format!("held_out.jsonl: {}", name.name)))?;
        let features = image_features(&engine, &arguments.data.join(file)).await?;
        for class in &classifier {
            similarities.push(class.iter().zip(&features).map(|(a, b)| a * b).sum());
        }
    }
    let truth: Vec<usize> = (0..names.len()).collect();
    let found = accuracy(&similarities, names.len(), &truth);
    println!("{} held-out drawings, {} names", truth.len(), names.len());
    println!("top-1     {:.2} %", found.top_1 * 100.0);
    println!("top-5     {:.2} %", found.top_5 * 100.0);
    println!("among 10  {:.2} %", found.among_10 * 100.0);
    Ok(())
}
