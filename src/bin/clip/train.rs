//! `clip train`: trains a classifier or a model on a folder of images.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use clip::data::{DataError, DataFiles, Dataset, Directory, ZipFiles};
use clip::eval::Evaluation;
use clip::train::{
    HeadProgress, HeadSettings, HeadStage, LeftOut, Method, Problem, TrainingReport, train_head,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::Failure;
use crate::output::write_file;
use crate::session::Session;

#[path = "kept.rs"]
mod kept;
#[path = "towers.rs"]
mod towers;

#[derive(Args)]
pub struct Train {
    #[command(flatten)]
    session: Session,
    /// Training method
    #[arg(long, value_enum)]
    method: MethodName,
    /// Folder with one subfolder per class, or with a table (CSV, TSV, JSONL)
    /// of images with captions or labels; a zip of either; or the table itself
    #[arg(long)]
    data: PathBuf,
    /// Output folder for the classifier or model and report.json
    #[arg(long)]
    out: PathBuf,
    /// Prompt template containing {label}; repeat the option to average several
    #[arg(long = "template", default_value = "A photo of a {label}.")]
    templates: Vec<String>,
    /// Share of the images of each class held out for testing
    #[arg(long, default_value_t = HeadSettings::HELD_OUT)]
    held_out: f64,
    /// Random seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Resume an interrupted run (lora, full, pretrain)
    #[arg(long)]
    resume: bool,
    /// Discard the interrupted run in --out and start anew (lora, full, pretrain)
    #[arg(long, conflicts_with = "resume")]
    restart: bool,
    #[command(flatten)]
    settings: Settings,
}

/// For lora, full and pretrain; the defaults depend on the amount of data.
#[derive(Args)]
struct Settings {
    /// Passes over the training images
    #[arg(long)]
    epochs: Option<u32>,
    /// Image-text pairs compared with each other in one step
    #[arg(long)]
    batch_size: Option<u32>,
    /// Pairs processed at once: less memory, same gradient
    #[arg(long)]
    micro_batch: Option<u32>,
    /// Peak learning rate
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Weight decay
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Warm-up steps
    #[arg(long)]
    warmup_steps: Option<u32>,
    /// LoRA rank
    #[arg(long)]
    rank: Option<u32>,
    /// LoRA alpha
    #[arg(long)]
    alpha: Option<f64>,
    /// Apply LoRA to the MLPs too
    #[arg(long)]
    mlp: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum MethodName {
    /// Logistic regression on image features
    Probe,
    /// Zero-shot classifier corrected by a few images
    Adapter,
    /// Low-rank updates to the encoders
    Lora,
    /// Contrastive fine-tuning
    Full,
    /// Contrastive training from scratch
    Pretrain,
}

impl From<MethodName> for Method {
    fn from(name: MethodName) -> Self {
        match name {
            MethodName::Probe => Self::Probe,
            MethodName::Adapter => Self::Adapter,
            MethodName::Lora => Self::Lora,
            MethodName::Full => Self::Full,
            MethodName::Pretrain => Self::Pretrain,
        }
    }
}

/// Names of what is written into `--out`.
const HEAD: &str = "head.safetensors";
const REPORT: &str = "report.json";

pub async fn run(arguments: &Train) -> Result<(), Failure> {
    if !(0.0..1.0).contains(&arguments.held_out) {
        return Err(format!(
            "--held-out must be a share from 0 to 1, not {}",
            arguments.held_out
        )
        .into());
    }
    if !matches!(arguments.method, MethodName::Probe | MethodName::Adapter) {
        kept::check_request(arguments)?;
    }
    let (files, table) = Source::open(&arguments.data)?;
    let dataset = Dataset::open(&files, table.as_deref()).await?;
    match arguments.method.into() {
        method @ (Method::Probe | Method::Adapter) => {
            train_classifier(arguments, method, &files, dataset).await
        }
        method => towers::run(arguments, method, files, dataset).await,
    }
}

/// Methods on features: seconds, in one go.
async fn train_classifier(
    arguments: &Train,
    method: Method,
    files: &Source,
    dataset: Dataset,
) -> Result<(), Failure> {
    if arguments.resume {
        return Err(format!(
            "the method {method} cannot be resumed: run it again without --resume"
        )
        .into());
    }
    let settings = HeadSettings {
        method,
        templates: arguments.templates.clone(),
        held_out: arguments.held_out,
        seed: arguments.seed,
    };
    let mut engine = arguments.session.open_exact().await?;
    let start = Instant::now();
    let mut bar = Bar::default();
    let trained = train_head(
        &mut engine,
        files,
        dataset,
        &settings,
        || start.elapsed(),
        &mut async |progress| {
            bar.show(progress);
            ControlFlow::Continue(())
        },
    )
    .await;
    bar.clear();
    let trained = trained?;
    write_file(&arguments.out.join(HEAD), &trained.head.write()?)?;
    finish(&arguments.out, &trained.report)?;
    say!(
        "classify with it: clip classify --head {} --images ...",
        arguments.out.join(HEAD).display()
    )
}

/// Writes the report and says the most important of it.
fn finish(out: &Path, report: &TrainingReport) -> Result<(), Failure> {
    write_file(&out.join(REPORT), &serde_json::to_vec_pretty(report)?)?;
    tell_left_out(&report.data.problems, 10);
    for note in &report.notes {
        tell!("note: {note}");
    }
    let left_out = match report.data.problems.len() {
        0 => String::new(),
        count => format!("; {count} left out"),
    };
    say!(
        "trained on {} images, tested on {}{left_out}; {:.1} s, {:.0} images/s on {}",
        report.data.train,
        report.data.held_out,
        report.seconds,
        report.images_per_second,
        report.device
    )?;
    if let (Some(before), Some(after)) = (&report.before, &report.after) {
        compare(before, after)?;
    }
    say!("results written to {}", out.display())
}

/// Names what was left out, and counts it by reason where `most` are not all.
pub fn tell_left_out(problems: &[Problem], most: usize) {
    for problem in problems.iter().take(most) {
        tell!("left out: {problem}");
    }
    if problems.len() > most {
        let reasons: Vec<String> = (LeftOut::count(problems).iter())
            .map(LeftOut::to_string)
            .collect();
        tell!(
            "left out: {} in all: {}",
            problems.len(),
            reasons.join("; ")
        );
    }
}

fn compare(before: &Evaluation, after: &Evaluation) -> Result<(), Failure> {
    let percent = |share: f64| share * 100.0;
    say!("                 before    after")?;
    for (name, of) in [
        ("top-1", (before.top_1, after.top_1)),
        ("top-5", (before.top_5, after.top_5)),
        (
            "mean per class",
            (before.mean_per_class, after.mean_per_class),
        ),
    ] {
        say!("{name:14} {:6.1} % {:6.1} %", percent(of.0), percent(of.1))?;
    }
    const CLASSES: usize = 20;
    for (before, after) in (before.classes.iter().zip(&after.classes)).take(CLASSES) {
        if after.images > 0 {
            say!(
                "  {:>4} -> {:<4} of {:4}  {}",
                before.right,
                after.right,
                after.images,
                after.name
            )?;
        }
    }
    const MISTAKES: usize = 5;
    if !after.mistakes.is_empty() {
        say!("most confident mistakes:")?;
    }
    for mistake in after.mistakes.iter().take(MISTAKES) {
        say!(
            "  {}: predicted {} ({:.0} %), actual {}",
            mistake.path,
            mistake.answer,
            mistake.probability * 100.0,
            mistake.truth
        )?;
    }
    Ok(())
}

/// One bar on stderr for each stage.
#[derive(Default)]
struct Bar {
    current: Option<(HeadStage, ProgressBar)>,
}

impl Bar {
    fn show(&mut self, progress: HeadProgress) {
        let bar = match &self.current {
            Some((stage, bar)) if *stage == progress.stage => bar,
            _ => {
                self.clear();
                let bar = ProgressBar::new(progress.total as u64);
                let style = "{msg:16} {wide_bar} {pos}/{len} {eta}";
                if let Ok(style) = ProgressStyle::with_template(style) {
                    bar.set_style(style);
                }
                bar.set_message(progress.stage.to_string());
                &self.current.insert((progress.stage, bar)).1
            }
        };
        bar.set_position(progress.done as u64);
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.current.take() {
            bar.finish_and_clear();
        }
    }
}

/// Where `--data` points.
pub enum Source {
    Directory(Directory),
    Zip(ZipFiles<fs::File>),
}

impl Source {
    /// The files, and the table where `path` is one.
    pub fn open(path: &Path) -> Result<(Self, Option<String>), Failure> {
        let failed = |error: std::io::Error| DataError::Read {
            file: path.display().to_string(),
            why: error.to_string(),
        };
        if fs::metadata(path).map_err(failed)?.is_dir() {
            return Ok((Self::Directory(Directory::open(path)?), None));
        }
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("zip") => {
                let file = fs::File::open(path).map_err(failed)?;
                let zip = ZipFiles::open(path.display().to_string(), file)?;
                Ok((Self::Zip(zip), None))
            }
            Some("csv" | "tsv" | "tab" | "jsonl" | "ndjson") => {
                let folder = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    _ => Path::new("."),
                };
                let table = path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned());
                Ok((Self::Directory(Directory::open(folder)?), table))
            }
            _ => Err(format!(
                "{} is neither a folder, nor a zip, nor a table (.csv, .tsv, .jsonl)",
                path.display()
            )
            .into()),
        }
    }
}

impl DataFiles for Source {
    fn name(&self) -> String {
        match self {
            Self::Directory(files) => files.name(),
            Self::Zip(files) => files.name(),
        }
    }

    fn paths(&self) -> Vec<String> {
        match self {
            Self::Directory(files) => files.paths(),
            Self::Zip(files) => files.paths(),
        }
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, DataError> {
        match self {
            Self::Directory(files) => files.read(path).await,
            Self::Zip(files) => files.read(path).await,
        }
    }

    fn unusable(&self) -> Vec<Problem> {
        match self {
            Self::Directory(files) => files.unusable(),
            Self::Zip(files) => files.unusable(),
        }
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Self::Directory(files) => files.notes(),
            Self::Zip(files) => files.notes(),
        }
    }
}
