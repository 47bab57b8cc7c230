//! `clip train`: trains a classifier or a model on a folder of images.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use clip::data::{
    DataError, DataFiles, Dataset, Directory, LeftOut, NameEncoding, Problem, ZipFiles,
};
use clip::engine::defaults::HELD_OUT;
use clip::eval::Evaluation;
use clip::train::{Method, TrainingReport};

use crate::Failure;
use crate::output::{seconds, write_file};
use crate::session::Session;

#[path = "kept.rs"]
mod kept;
#[path = "training.rs"]
mod training;

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
    /// Encoding of the names in a zip that does not say it (gbk, shift_jis,
    /// cp850, windows-1252, …); by default the one that makes the most sense
    #[arg(long, value_name = "LABEL", value_parser = name_encoding)]
    zip_encoding: Option<NameEncoding>,
    /// Output folder for the classifier or model and report.json
    #[arg(long)]
    out: PathBuf,
    /// Prompt template containing {label}; repeat the option to average several
    #[arg(long = "template", default_value = clip::zero_shot::DEFAULT_TEMPLATE)]
    templates: Vec<String>,
    /// Share of the images of each class held out for testing
    #[arg(long, default_value_t = HELD_OUT)]
    held_out: f64,
    /// Random seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Resume an interrupted run (lora, full, pretrain)
    #[arg(long)]
    resume: bool,
    /// Discard the interrupted run in --out and start over (lora, full, pretrain)
    #[arg(long, conflicts_with = "resume")]
    restart: bool,
    /// Seconds between two checkpoints (lora, full, pretrain)
    #[arg(long, value_name = "SECONDS", default_value = "25", value_parser = seconds)]
    save_every: Duration,
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

fn name_encoding(label: &str) -> Result<NameEncoding, String> {
    NameEncoding::by_label(label).ok_or_else(|| {
        "name an encoding of the web (gbk, big5, shift_jis, euc-kr, windows-1251, …) or a code page \
         of DOS (cp437, cp850, …)"
            .into()
    })
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
    let (files, table) = Source::open_with(&arguments.data, arguments.zip_encoding.as_ref())?;
    let dataset = Dataset::open(&files, table.as_deref()).await?;
    training::run(arguments, files, dataset).await
}

/// Writes the report and says the most important of it.
fn finish(out: &Path, report: &TrainingReport) -> Result<(), Failure> {
    write_file(
        &out.join(REPORT),
        &serde_json::to_vec_pretty(&report.for_file())?,
    )?;
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
        let reasons = LeftOut::list(&LeftOut::count(problems));
        tell!("left out: {} in all: {reasons}", problems.len());
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

/// Where `--data` points.
pub enum Source {
    Directory(Directory),
    Zip(ZipFiles<fs::File>),
}

impl Source {
    /// The files, and the table where `path` is one.
    pub fn open(path: &Path) -> Result<(Self, Option<String>), Failure> {
        Self::open_with(path, None)
    }

    /// Like [`open`](Self::open), with the encoding of names of which a zip does not say it.
    fn open_with(
        path: &Path,
        encoding: Option<&NameEncoding>,
    ) -> Result<(Self, Option<String>), Failure> {
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
                let zip = ZipFiles::open_with(path.display().to_string(), file, encoding)?;
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
