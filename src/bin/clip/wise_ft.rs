//! `clip wise-ft`: weights between those before and after fine-tuning.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;

use clap::Args;
use clip::data::{DataFiles, Dataset};
use clip::engine::evaluation::{self, EvaluationSet};
use clip::engine::messages::Export;
use clip::engine::training::{model_files, own_format};
use clip::engine::{Engine, ModelSlot};
use clip::eval::IntervalEstimate;
use clip::hub::ModelFiles;
use clip::train::interpolate;
use clip::zero_shot::{self, DEFAULT_TEMPLATE};
use serde_json::{Value, json};

use crate::Failure;
use crate::classify::share;
use crate::evaluate::Data;
use crate::output::write_file;
use crate::session::Session;
use crate::train::tell_left_out;

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

/// Labelled images, decoded: their pixels wait in a file for each of the mixtures.
struct Images {
    set: EvaluationSet,
    name: String,
    pixels: File,
    /// Values of an image, `3 * image_size * image_size`.
    length: usize,
}

/// Images that go through the encoder together.
const BATCH: usize = 16;

pub async fn run(arguments: &WiseFt) -> Result<(), Failure> {
    let mut data = Vec::new();
    for path in &arguments.data {
        let (files, table) = Data::open(path).await?;
        let mut dataset = evaluation::open(&files, table.as_deref(), false).await?;
        evaluation::name_classes(&mut dataset, &[], files.class_names().as_deref())?;
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
    let mut sets = Vec::new();
    for (files, dataset) in data {
        sets.push(Images::read(&files, dataset, &engine).await?);
    }

    let mut measured: Vec<(f64, Vec<IntervalEstimate>)> = Vec::new();
    for alpha in &arguments.alphas {
        let mixed = interpolate(&base, tuned.clone(), *alpha)?.pack(engine.precision());
        let config = engine.config().clone();
        engine
            .swap(ModelSlot {
                model: mixed,
                config,
                token_table: None,
            })
            .await?;
        let mut found = Vec::new();
        for images in &mut sets {
            found.push(images.top_1(&mut engine, &arguments.template).await?);
        }
        if !arguments.json {
            let shares: Vec<String> = (found.iter().zip(&sets))
                .map(|(top_1, images)| {
                    format!(
                        "{} {:.1} % ({:.1} to {:.1})",
                        images.name,
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
        let own = arguments.session.files()?;
        let read = async |name: &str| own.read(name).await.ok().flatten();
        let config = engine.config();
        let own_format = own_format(&engine);
        let what = match (own_format, config.to_open_clip()) {
            (Some(own), None) => own,
            _ => Export::OpenClip,
        };
        let is_own = own_format == Some(what);
        for (name, bytes) in model_files(what, is_own, &mixed, config, &engine, read).await? {
            write_file(&out.join(name), &bytes)?;
        }
    }
    if arguments.json {
        let names: Vec<&str> = sets.iter().map(|images| images.name.as_str()).collect();
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

impl Images {
    async fn read(files: &Data, dataset: Dataset, engine: &Engine) -> Result<Self, Failure> {
        let name = dataset.name.clone();
        let unwritable = |error: io::Error| Failure::from(format!("a temporary file: {error}"));
        let file = tempfile::tempfile().map_err(unwritable)?;
        let mut writer = BufWriter::new(&file);
        let mut written = Ok(());
        let mut length = 0;
        let set = EvaluationSet::read(files, dataset, 0, async |_, picture| {
            let pixels = engine.pixels(&picture);
            length = pixels.len();
            for value in pixels {
                if written.is_ok() {
                    written = writer.write_all(&value.to_le_bytes());
                }
            }
            Ok(())
        })
        .await?;
        written.and_then(|()| writer.flush()).map_err(unwritable)?;
        drop(writer);
        tell_left_out(&set.dataset.problems, 5);
        Ok(Self {
            set,
            name,
            pixels: file,
            length,
        })
    }

    /// Zero-shot top-1 accuracy of the engine's present model.
    async fn top_1(
        &mut self,
        engine: &mut Engine,
        templates: &[String],
    ) -> Result<IntervalEstimate, Failure> {
        self.pixels.rewind()?;
        let mut reader = BufReader::new(&self.pixels);
        let mut features = Vec::new();
        let mut bytes = vec![0; 4 * self.length];
        let mut left = self.set.dataset.pictures.len();
        while left > 0 {
            let mut batch = Vec::new();
            for _ in 0..left.min(BATCH) {
                reader.read_exact(&mut bytes)?;
                let values = bytes.as_chunks::<4>().0;
                batch.push(values.iter().map(|v| f32::from_le_bytes(*v)).collect());
            }
            left -= batch.len();
            features.extend(engine.image_features(&batch).await?);
        }
        let found = (self.set)
            .evaluate(engine, &features, &self.name, templates)
            .await?;
        Ok(found.report.metrics.top_1)
    }
}
