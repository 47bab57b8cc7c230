//! `clip wise-ft`: weights between those before and after fine-tuning.

use std::path::PathBuf;

use clap::Args;
use clip::data::Dataset;
use clip::engine::{Engine, ModelSlot};
use clip::eval::{IntervalEstimate, Metrics, Predictions};
use clip::hub::ModelFiles;
use clip::model::Clip;
use clip::train::interpolate;
use clip::weights::{KeyMap, Precision, save};
use clip::zero_shot::{self, DEFAULT_TEMPLATE};
use serde_json::{Value, json};

use crate::Failure;
use crate::classify::share;
use crate::output::write_file;
use crate::session::Session;
use crate::train::{Source, tell_left_out};

#[derive(Args)]
pub struct WiseFt {
    #[command(flatten)]
    session: Session,
    /// The model before fine-tuning, as --model (which is the one after it)
    #[arg(long, value_name = "MODEL", default_value = "bundled")]
    base: String,
    /// Labelled images to measure on, as `clip evaluate` reads them; repeat the option to see what the
    /// model keeps of other data
    #[arg(long, required = true)]
    data: Vec<PathBuf>,
    /// Prompt template containing {label}; repeat the option to average several
    #[arg(long = "template", default_value = DEFAULT_TEMPLATE)]
    template: Vec<String>,
    /// Shares of the fine-tuned weights, from 0 to 1
    #[arg(long, value_delimiter = ',', value_parser = share,
        default_values_t = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])]
    alphas: Vec<f64>,
    /// Write the mixture with the best top-1 accuracy, averaged over the data, to this folder
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &WiseFt) -> Result<(), Failure> {
    let mut data = Vec::new();
    for path in &arguments.data {
        let (files, table) = Source::open(path)?;
        let dataset = Dataset::open(&files, table.as_deref())
            .await?
            .only_held_out();
        if dataset.classes.len() < 2 {
            return Err(format!(
                "{}: labelled images of at least two classes are needed",
                dataset.name
            )
            .into());
        }
        zero_shot::check(&dataset.classes, &arguments.template)?;
        data.push((files, dataset));
    }
    let mut engine = arguments.session.open_exact().await?;
    let tuned = arguments.session.plain(&engine).await?;
    let base = arguments
        .session
        .with_model(&arguments.base)
        .plain(&engine)
        .await?;
    // Tells at once that the two do not fit.
    interpolate(&base, tuned.clone(), 0.5)?;

    let mut measured: Vec<(f64, Vec<IntervalEstimate>)> = Vec::new();
    for alpha in &arguments.alphas {
        let mixed = interpolate(&base, tuned.clone(), *alpha)?.pack(engine.precision());
        let config = engine.config().clone();
        engine
            .swap(ModelSlot {
                model: mixed,
                config,
            })
            .await?;
        let mut found = Vec::new();
        for (files, dataset) in &data {
            found.push(top_1(&mut engine, files, dataset.clone(), &arguments.template).await?);
        }
        if !arguments.json {
            let shares: Vec<String> = (found.iter().zip(&data))
                .map(|(top_1, (_, dataset))| {
                    format!(
                        "{} {:.1} % ({:.1} to {:.1})",
                        dataset.name,
                        100.0 * top_1.value,
                        100.0 * top_1.low,
                        100.0 * top_1.high
                    )
                })
                .collect();
            say!("alpha {alpha:.2}  {}", shares.join("  "))?;
        }
        measured.push((*alpha, found));
    }
    let mean = |found: &[IntervalEstimate]| {
        found.iter().map(|top_1| top_1.value).sum::<f64>() / found.len().max(1) as f64
    };
    let best = (measured
        .iter()
        .max_by(|a, b| mean(&a.1).total_cmp(&mean(&b.1))))
    .map_or(1.0, |(alpha, _)| *alpha);
    if let Some(out) = &arguments.out {
        let mixed = interpolate(&base, tuned, best)?;
        write(out, &mixed, &engine, &arguments.session).await?;
    }
    if arguments.json {
        let names: Vec<&str> = data
            .iter()
            .map(|(_, dataset)| dataset.name.as_str())
            .collect();
        let rows: Vec<Value> = (measured.iter())
            .map(|(alpha, top_1)| json!({ "alpha": alpha, "top_1": top_1 }))
            .collect();
        return say!(
            "{}",
            json!({ "data": names, "mixtures": rows, "best": best })
        );
    }
    say!("best: alpha {best:.2}")?;
    match &arguments.out {
        Some(out) => say!("written to {}", out.display()),
        None => Ok(()),
    }
}

/// Zero-shot top-1 accuracy on the labelled images.
async fn top_1(
    engine: &mut Engine,
    files: &Source,
    dataset: Dataset,
    templates: &[String],
) -> Result<IntervalEstimate, Failure> {
    let mut features = Vec::new();
    let dataset = dataset
        .read(files, async |_, picture| {
            let pixels = engine.pixels(&picture);
            features.extend(engine.image_features(&[pixels]).await?);
            Ok::<_, Failure>(())
        })
        .await?;
    tell_left_out(&dataset.problems, 5);
    let classifier = engine.classifier(&dataset.classes, templates).await?;
    let (mut logits, mut truth) = (Vec::new(), Vec::new());
    for example in &dataset.examples {
        if let Some(class) = example.class {
            truth.push(class);
            logits.push(zero_shot::similarities(
                &features[example.picture],
                &classifier,
            ));
        }
    }
    if truth.is_empty() {
        return Err(dataset.no_examples().into());
    }
    let predictions = Predictions {
        classes: &dataset.classes,
        logits: &logits,
        truth: &truth,
    };
    Ok(Metrics::new(&predictions).top_1)
}

/// Writes a model as OpenCLIP opens it, with the tokenizer of the fine-tuned one.
async fn write(
    out: &std::path::Path,
    model: &Clip,
    engine: &Engine,
    session: &Session,
) -> Result<(), Failure> {
    let config = engine.config();
    let described = json!({
        "model_cfg": config.to_open_clip(),
        "preprocess_cfg": engine.preprocess().to_open_clip(),
    });
    write_file(
        &out.join("open_clip_config.json"),
        &serde_json::to_vec_pretty(&described)?,
    )?;
    if let Some(tokenizer) = session.files()?.read("tokenizer.json").await? {
        write_file(&out.join("tokenizer.json"), &tokenizer)?;
    }
    let weights = save(model, config, KeyMap::OpenClip, Precision::F32).await?;
    write_file(&out.join("open_clip_model.safetensors"), &weights)
}
