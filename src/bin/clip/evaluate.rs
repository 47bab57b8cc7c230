//! `clip evaluate`: zero-shot accuracy on labelled images.

use std::path::PathBuf;

use clap::Args;
use clip::data::{Dataset, LeftOut};
use clip::eval::{Evaluation, Judged};
use clip::zero_shot;
use serde_json::json;

use crate::Failure;
use crate::session::Session;
use crate::train::{Source, tell_left_out};

#[derive(Args)]
pub struct Evaluate {
    #[command(flatten)]
    session: Session,
    /// Labelled images: a folder with one subfolder per class, a table (CSV, TSV, JSONL) of files and
    /// labels, or a zip of either
    #[arg(long)]
    data: PathBuf,
    /// Prompt template containing {label}; repeat the option to average several
    #[arg(long = "template", default_value = clip::zero_shot::DEFAULT_TEMPLATE)]
    templates: Vec<String>,
    /// Print JSON: every class, the confusion matrix and the worst mistakes
    #[arg(long)]
    json: bool,
}

/// Images that go through the encoder together.
const BATCH: usize = 16;

pub async fn run(arguments: &Evaluate) -> Result<(), Failure> {
    let (files, table) = Source::open(&arguments.data)?;
    let dataset = Dataset::open(&files, table.as_deref()).await?;
    // What a data set trains on says nothing about a model that may have seen it.
    let dataset = dataset.only_held_out();
    if dataset.classes.len() < 2 {
        return Err(format!(
            "{}: evaluation needs labelled images of at least two classes, but there {}",
            dataset.name,
            match dataset.classes.as_slice() {
                [] => "are captions only".into(),
                [only, ..] => format!("is only \"{only}\""),
            }
        )
        .into());
    }
    zero_shot::check(&dataset.classes, &arguments.templates)?;
    let mut engine = arguments.session.open().await?;
    let classifier = engine
        .classifier(&dataset.classes, &arguments.templates)
        .await?;
    let prompts: Vec<String> = (dataset.classes.iter())
        .flat_map(|class| zero_shot::prompts(class, &arguments.templates))
        .collect();
    let truncated = engine.truncation_notes(&prompts);

    let mut features: Vec<Vec<f32>> = Vec::new();
    let mut batch = Vec::with_capacity(BATCH);
    let dataset = dataset
        .read(&files, async |_, picture| {
            batch.push(engine.pixels(&picture));
            if batch.len() == BATCH {
                features.extend(engine.image_features(&batch).await?);
                batch.clear();
            }
            Ok::<_, Failure>(())
        })
        .await?;
    if !batch.is_empty() {
        features.extend(engine.image_features(&batch).await?);
    }
    let judged: Vec<Judged> = (dataset.examples.iter())
        .filter_map(|example| {
            Some(Judged {
                path: &dataset.pictures[example.picture],
                truth: example.class?,
                probabilities: zero_shot::probabilities(
                    &features[example.picture],
                    &classifier,
                    engine.logit_scale().exp(),
                ),
            })
        })
        .collect();
    if judged.is_empty() {
        return Err(dataset.no_examples().into());
    }
    let found = Evaluation::new(&dataset.classes, &judged);
    tell_left_out(&dataset.problems, 5);
    let notes: Vec<&String> = dataset.notes.iter().chain(&truncated).collect();
    for note in &notes {
        tell!("note: {note}");
    }
    match arguments.json {
        true => say!(
            "{}",
            json!({
                "data": dataset.name,
                "model": engine.model_info().name,
                "templates": arguments.templates,
                "left_out": dataset.problems,
                "left_out_by_reason": LeftOut::count(&dataset.problems),
                "notes": notes,
                "evaluation": found,
            })
        ),
        false => show(&found, dataset.problems.len()),
    }
}

fn show(found: &Evaluation, left_out: usize) -> Result<(), Failure> {
    let left_out = match left_out {
        0 => String::new(),
        count => format!(", {count} left out"),
    };
    say!(
        "{} images, {} classes{left_out}",
        found.images,
        found.classes.len()
    )?;
    for (name, share) in [
        ("top-1", found.top_1),
        ("top-5", found.top_5),
        ("mean per class", found.mean_per_class),
        ("among 10", found.among_10),
    ] {
        say!("{name:16} {:6.2} %", share * 100.0)?;
    }
    say!("by class, worst first, with the most common mistakes:")?;
    let share = |class: usize| {
        let class = &found.classes[class];
        class.right as f64 / class.images as f64
    };
    let mut order: Vec<usize> = (0..found.classes.len())
        .filter(|class| found.classes[*class].images > 0)
        .collect();
    order.sort_by(|a, b| share(*a).total_cmp(&share(*b)));
    for index in order {
        let class = &found.classes[index];
        let mistakes: Vec<String> = (found.commonest_mistakes(index).iter().take(3))
            .map(|(answer, images)| format!("{} {images}", found.classes[*answer].name))
            .collect();
        say!(
            "  {:5.1} %  {:4} of {:<4}  {:24}  {}",
            share(index) * 100.0,
            class.right,
            class.images,
            class.name,
            mistakes.join(", ")
        )?;
    }
    Ok(())
}
