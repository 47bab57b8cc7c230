//! `clip export`: the image encoder with a classifier, as an ONNX file.

use std::path::PathBuf;

use clap::Args;
use clip::engine::onnx::{export_onnx, head_layer, zero_shot_layer};
use clip::zero_shot;

use crate::Failure;
use crate::classify::{labels, read_head};
use crate::output::write_file;
use crate::session::Session;

#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    session: Session,
    /// Labels, separated by commas: the file then ranks them
    #[arg(long, conflicts_with = "head")]
    labels: Option<String>,
    /// Prompt template containing {label}; repeat the option to average several
    #[arg(long = "template", default_value = clip::zero_shot::DEFAULT_TEMPLATE, conflicts_with = "head")]
    templates: Vec<String>,
    /// Trained probe or adapter (head.safetensors), in place of labels
    #[arg(long)]
    head: Option<PathBuf>,
    /// ONNX file to write
    #[arg(long, value_name = "FILE.onnx")]
    onnx: PathBuf,
}

pub async fn run(arguments: &Export) -> Result<(), Failure> {
    let head = arguments.head.as_deref().map(read_head).transpose()?;
    let labels = arguments.labels.as_deref().map(labels);
    if let Some(labels) = &labels {
        zero_shot::check(labels, &arguments.templates)?;
    }
    let mut engine = arguments.session.open().await?;
    let classifier = match (head, labels) {
        (Some(head), _) => {
            if let Some(note) = head.fits(engine.model_info())? {
                tell!("note: {note}");
            }
            Some(head_layer(&head))
        }
        (None, Some(labels)) => {
            let features = engine.classifier(&labels, &arguments.templates).await?;
            Some(zero_shot_layer(&engine, &labels, &features))
        }
        (None, None) => None,
    };
    let model = arguments.session.plain(&engine).await?;
    let file = export_onnx(&engine, &model, classifier.as_ref()).await?;
    write_file(&arguments.onnx, &file)?;
    let (size, dims) = (
        engine.config().vision.image_size(),
        engine.config().embed_dim,
    );
    let answers = match &classifier {
        Some(classifier) => {
            let classes = classifier.labels.len();
            format!(", logits and probabilities [batch, {classes}]")
        }
        None => String::new(),
    };
    say!(
        "{}: pixels [batch, 3, {size}, {size}] to image_features [batch, {dims}]{answers}",
        arguments.onnx.display()
    )
}
