//! `clip evaluate`: how good a model is on labelled images, with a report.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use clip::data::{DataError, DataFiles, Problem, ShardDirectory, WebDataset};
use clip::engine::Engine;
use clip::engine::evaluation::{
    self, EvaluationSet, Tried, name_classes, own_templates, thumbnail,
};
use clip::engine::messages::EvaluationStage;
use clip::engine::reports;
use clip::eval::{FewShotMethod, IntervalEstimate, Limit, McNemar, ModelComparison, Report};
use clip::hub::{fetch_shards, is_hub_dataset};
use clip::train::FewShotSettings;
use clip::zero_shot::{
    self, DEFAULT_TEMPLATE, PLACEHOLDER, TemplateSet, compared_sets, parse_class_names,
    parse_templates, template_sets,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::Failure;
use crate::output::write_file;
use crate::session::Session;
use crate::train::{Source, tell_left_out};

#[derive(Args)]
pub struct Evaluate {
    #[command(flatten)]
    session: Session,
    /// Labelled images: a folder with one subfolder per class, a table (CSV, TSV, JSONL) of files and
    /// labels, a zip of either, or a folder of shards in CLIP_benchmark's layout; also one on the hub:
    /// hf://datasets/owner/name
    #[arg(long)]
    data: PathBuf,
    /// Prompt template containing {label}; repeat the option to average several
    #[arg(long = "template", conflicts_with = "templates")]
    template: Vec<String>,
    /// Set of templates, which is also compared with others: a data set's name (imagenet has the 80 of
    /// OpenAI's ensemble), or a file with one template per line
    #[arg(long, value_name = "NAME|FILE")]
    templates: Option<String>,
    /// Names for classes that are numbers: a data set's name (imagenet), or a file with one name per line
    #[arg(long, value_name = "NAME|FILE")]
    class_names: Option<String>,
    /// Learn from this many images per class, and compare with zero-shot: such as 1,2,4,8,16,all
    #[arg(long, value_delimiter = ',')]
    shots: Vec<Shots>,
    /// Random draws for each number of shots
    #[arg(long, default_value_t = 5)]
    draws: usize,
    /// Random seed of the shots
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Another model to compare on the same images: as --model, or "bundled"
    #[arg(long, value_name = "MODEL")]
    compare: Option<String>,
    /// Try known limits too: counting, left and right, distance, digits, written words, styles, negation,
    /// bias
    #[arg(long)]
    limits: bool,
    /// Write a report with charts: one HTML file
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Print JSON: everything that was measured
    #[arg(long)]
    json: bool,
}

/// Number of images per class.
#[derive(Clone, Copy)]
struct Shots(Option<usize>);

impl FromStr for Shots {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Self(None)),
            text => match text.parse() {
                Ok(0) | Err(_) => Err(format!(
                    "\"{text}\" is neither a number from 1 on nor \"all\""
                )),
                Ok(shots) => Ok(Self(Some(shots))),
            },
        }
    }
}

/// Mistakes that are shown with their picture.
const PICTURED: usize = 20;

pub async fn run(arguments: &Evaluate) -> Result<(), Failure> {
    if arguments.draws == 0 {
        return Err("--draws must be 1 or more".into());
    }
    let sets = template_sets()?;
    let class_names = match &arguments.class_names {
        Some(name) => class_names(name, &sets)?,
        None => Vec::new(),
    };
    let (files, table) = Data::open(&arguments.data).await?;
    let with_training = !arguments.shots.is_empty();
    let mut dataset = evaluation::open(&files, table.as_deref(), with_training).await?;
    name_classes(&mut dataset, &class_names, files.class_names().as_deref()).map_err(|error| {
        match class_names.is_empty() {
            true => error.to_string(),
            false => format!("--class-names: {error}"),
        }
    })?;
    let prompts = PromptSets::new(arguments, &sets, own_templates(&files))?;
    zero_shot::check(&dataset.classes, &prompts.main)?;
    let mut engines = vec![arguments.session.open().await?];
    if let Some(other) = &arguments.compare {
        engines.push(arguments.session.with_model(other).open().await?);
    }

    let name = match (arguments.data.is_dir(), arguments.data.file_stem()) {
        (false, Some(stem)) => stem.to_string_lossy().into_owned(),
        _ => display_name(&dataset.name),
    };
    let bar = progress();
    let mut on_progress = async |stage, done: usize, total: usize| {
        bar.set_message(match stage {
            EvaluationStage::Images => "encoding images",
            EvaluationStage::Prompts => "encoding prompts",
            EvaluationStage::FewImages => "learning from few images",
            EvaluationStage::Limit => "trying limits",
        });
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let (set, features) = EvaluationSet::encode(
        &files,
        dataset,
        arguments.seed,
        &mut engines,
        &mut on_progress,
    )
    .await?;
    let mut models: Vec<(&mut Engine, Vec<Vec<f32>>)> = engines.iter_mut().zip(features).collect();
    let (engine, features) = &mut models[0];
    let found = set
        .evaluate(*engine, features, &name, &prompts.main)
        .await?;
    let mut report = found.report;
    if !prompts.compared.is_empty() {
        let (compared, notes) = set
            .compare_prompts(*engine, features, &prompts.compared, &prompts.main)
            .await?;
        report.prompts = Some(compared);
        report.notes.extend(notes);
    }
    if !arguments.shots.is_empty() {
        let settings = FewShotSettings {
            shots: arguments.shots.iter().map(|shots| shots.0).collect(),
            draws: arguments.draws,
            seed: arguments.seed,
            methods: FewShotMethod::ALL.to_vec(),
        };
        let curve = set
            .learn(
                features,
                &found.classifier,
                engine.scoring().scale(),
                &settings,
                &mut on_progress,
            )
            .await;
        report.shots = Some(curve.map_err(|error| format!("--shots: {error}"))?);
    }
    if arguments.limits {
        let tried = Tried {
            set: &set,
            files: Some(&files),
            features,
            classifier: &found.classifier,
            right: &found.right,
        };
        for limit in Limit::ALL {
            let result = tried.result(limit, *engine, &mut on_progress).await?;
            report.limits.extend(result);
        }
    }
    if let Some((engine, features)) = models.get_mut(1) {
        let other = set
            .evaluate(*engine, features, &name, &prompts.main)
            .await?;
        report.comparison = Some(ModelComparison {
            model: other.report.model,
            metrics: other.report.metrics,
            test: McNemar::new(&found.right, &other.right),
        });
    }
    bar.finish_and_clear();
    let dataset = &set.dataset;
    tell_left_out(&dataset.problems, 5);
    for note in &report.notes {
        tell!("note: {note}");
    }
    if let Some(path) = &arguments.report {
        let mut pictures = BTreeMap::new();
        for mistake in report.evaluation.mistakes.iter().take(PICTURED) {
            let bytes = files.read(&mistake.path).await.ok();
            if let Some(address) = bytes.and_then(|bytes| thumbnail(&bytes)) {
                pictures.insert(mistake.path.clone(), address);
            }
        }
        let page = reports::html(&report, &dataset.problems, &pictures);
        write_file(path, page.as_bytes())?;
    }
    if arguments.json {
        let value = reports::json(&report, &dataset.problems)?;
        return say!("{value}");
    }
    show(&report, dataset.problems.len())?;
    match &arguments.report {
        Some(path) => say!("report: {}", path.display()),
        None => Ok(()),
    }
}

/// Files of the data set.
pub enum Data {
    Files(Source),
    Shards(WebDataset<ShardDirectory>),
}

impl Data {
    /// The files, and the table where `path` is one.
    pub async fn open(path: &Path) -> Result<(Self, Option<String>), Failure> {
        let path = match path.to_str().filter(|path| is_hub_dataset(path)) {
            Some(address) => &fetch_shards(address)?,
            None => path,
        };
        let folder = ShardDirectory::new(path);
        if WebDataset::is_at(&folder) {
            let shards = WebDataset::open(folder).await?;
            return Ok((Self::Shards(shards), None));
        }
        let (files, table) = Source::open(path)?;
        Ok((Self::Files(files), table))
    }
}

impl DataFiles for Data {
    fn name(&self) -> String {
        match self {
            Self::Files(files) => files.name(),
            Self::Shards(files) => files.name(),
        }
    }

    fn paths(&self) -> Vec<String> {
        match self {
            Self::Files(files) => files.paths(),
            Self::Shards(files) => files.paths(),
        }
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, DataError> {
        match self {
            Self::Files(files) => files.read(path).await,
            Self::Shards(files) => files.read(path).await,
        }
    }

    fn unusable(&self) -> Vec<Problem> {
        match self {
            Self::Files(files) => files.unusable(),
            Self::Shards(files) => files.unusable(),
        }
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Self::Files(files) => files.notes(),
            Self::Shards(files) => files.notes(),
        }
    }

    fn templates(&self) -> Vec<String> {
        match self {
            Self::Files(files) => files.templates(),
            Self::Shards(files) => files.templates(),
        }
    }

    fn class_names(&self) -> Option<Vec<String>> {
        match self {
            Self::Files(files) => files.class_names(),
            Self::Shards(files) => files.class_names(),
        }
    }
}

/// Last part of a path, for headings.
fn display_name(name: &str) -> String {
    let last = Path::new(name).file_name();
    last.map_or_else(|| name.into(), |last| last.to_string_lossy().into_owned())
}

/// Text of a file that an option names, or else what there is.
fn option_file(option: &str, name: &str, known: Vec<&str>) -> Result<String, Failure> {
    fs::read_to_string(name).map_err(|error| {
        format!(
            "{option}: \"{name}\" is neither a file that can be read ({error}) nor one of {}",
            known.join(", ")
        )
        .into()
    })
}

/// Class names by their number.
fn class_names(name: &str, sets: &BTreeMap<String, TemplateSet>) -> Result<Vec<String>, Failure> {
    match sets.get(name) {
        Some(set) if !set.classes.is_empty() => Ok(set.classes.clone()),
        _ => {
            let known = sets.iter().filter(|(_, set)| !set.classes.is_empty());
            let text = option_file(
                "--class-names",
                name,
                known.map(|(name, _)| name.as_str()).collect(),
            )?;
            match parse_class_names(&text) {
                names if names.is_empty() => Err(format!("--class-names: {name} is empty").into()),
                names => Ok(names),
            }
        }
    }
}

/// Sets of templates by their name.
struct PromptSets {
    /// What is evaluated.
    main: Vec<String>,
    /// What is compared, the baseline first.
    compared: Vec<(String, Vec<String>)>,
}

impl PromptSets {
    fn new(
        arguments: &Evaluate,
        sets: &BTreeMap<String, TemplateSet>,
        own: Vec<String>,
    ) -> Result<Self, Failure> {
        let mut main = arguments.template.clone();
        let mut more = Vec::new();
        match &arguments.templates {
            Some(name) => {
                main = match sets.get(name) {
                    Some(set) if !set.templates.is_empty() => set.templates.clone(),
                    _ => {
                        let known = sets.iter().filter(|(_, set)| !set.templates.is_empty());
                        let known = known.map(|(name, _)| name.as_str()).collect();
                        parse_templates(&option_file("--templates", name, known)?)
                    }
                };
                more.push((
                    format!("{} ({})", display_name(name), main.len()),
                    main.clone(),
                ));
            }
            None if main.is_empty() => main = vec![DEFAULT_TEMPLATE.into()],
            None => {
                let name = match main.as_slice() {
                    [only] => only.clone(),
                    _ => format!("--template ({})", main.len()),
                };
                more.push((name, main.clone()));
            }
        }
        let compared = match (&arguments.templates, &arguments.report) {
            (None, None) => Vec::new(),
            _ => compared_sets(sets, &own, &more),
        };
        for (_, templates) in &compared {
            if let Some(wrong) = templates
                .iter()
                .find(|template| !template.contains(PLACEHOLDER))
            {
                return Err(format!("the template \"{wrong}\" has no {PLACEHOLDER} in it").into());
            }
        }
        Ok(Self { main, compared })
    }
}

/// Probability of a test, as it is usually written.
fn p_value(p: f64) -> String {
    match p {
        p if p < 0.001 => "p < 0.001".into(),
        p => format!("p = {p:.3}"),
    }
}

/// Progress bar, with a length once there is one.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn percent(share: f64) -> String {
    format!("{:6.2} %", share * 100.0)
}

fn range(estimate: IntervalEstimate) -> String {
    format!(
        "({:.1} to {:.1})",
        100.0 * estimate.low,
        100.0 * estimate.high
    )
}

fn show(report: &Report, left_out: usize) -> Result<(), Failure> {
    let (found, metrics) = (&report.evaluation, &report.metrics);
    let left_out = match left_out {
        0 => String::new(),
        count => format!(", {count} left out"),
    };
    say!(
        "{} images, {} classes{left_out}",
        found.images,
        found.classes.len()
    )?;
    for (name, estimate) in [
        ("top-1", metrics.top_1),
        ("top-5", metrics.top_5),
        ("mean per class", metrics.mean_per_class),
        ("macro F1", metrics.macro_f1),
    ] {
        say!("{name:16} {} {}", percent(estimate.value), range(estimate))?;
    }
    say!("{:16} {}", "among 10", percent(found.among_10))?;
    if let Some(calibration) = &report.calibration {
        say!(
            "{:16} {} ({:.2} % with temperature {:.2})",
            "ECE",
            percent(calibration.before.ece),
            100.0 * calibration.after.ece,
            calibration.temperature
        )?;
    }
    if let Some(prompts) = &report.prompts {
        say!("by templates, top-1:")?;
        for set in &prompts.sets {
            let test = set.against_first.map_or(String::new(), |test| {
                format!(
                    "  {:+.1}, {}",
                    100.0 * test.difference.value,
                    p_value(test.p_value)
                )
            });
            say!(
                "  {:28} {} {}{test}",
                set.name,
                percent(set.top_1.value),
                range(set.top_1)
            )?;
        }
    }
    if let Some(shots) = &report.shots {
        say!(
            "by images per class, mean of classes on {} images (zero-shot {}):",
            shots.tested,
            percent(shots.zero_shot).trim()
        )?;
        for curve in &shots.methods {
            let points: Vec<String> = (curve.points.iter())
                .map(|point| {
                    let (mean, spread) = point.mean_and_spread();
                    let shots = point.shots.map_or("all".into(), |shots| shots.to_string());
                    format!("{shots}: {:.1} ± {:.1}", 100.0 * mean, 100.0 * spread)
                })
                .collect();
            say!("  {:13} {}", curve.method.name(), points.join("  "))?;
        }
    }
    if let Some(other) = &report.comparison {
        say!(
            "{}: top-1 {}, {:+.1} points {}, McNemar's test {}",
            other.model,
            percent(other.metrics.top_1.value).trim(),
            100.0 * other.test.difference.value,
            range(other.test.difference),
            p_value(other.test.p_value)
        )?;
    }
    for limit in &report.limits {
        say!("{}: {}", limit.name, limit.finding)?;
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
