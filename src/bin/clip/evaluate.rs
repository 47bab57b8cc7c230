//! `clip evaluate`: how good a model is on labelled images, with a report.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use clip::data::{DataError, DataFiles, Dataset, LeftOut, Problem, WebDataset, hold_out};
use clip::engine::Engine;
use clip::eval::{
    AttackCounts, Calibration, Evaluation, FewShotMethod, IntervalEstimate, Judged, LimitResult,
    McNemar, Metrics, ModelComparison, Predictions, PromptComparison, Report, limit_tasks,
    write_word,
};
use clip::preprocess::{DecodedImage, decode};
use clip::train::{FewShotData, FewShotSettings, few_shot_curve};
use clip::zero_shot::{
    self, DEFAULT_TEMPLATE, LABEL_ONLY, PLACEHOLDER, TemplateSet, parse_template_sets,
    parse_templates,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::Failure;
use crate::output::write_file;
use crate::session::Session;
use crate::train::{Source, tell_left_out};

#[derive(Args)]
pub struct Evaluate {
    #[command(flatten)]
    session: Session,
    /// Labelled images: a folder with one subfolder per class, a table (CSV, TSV, JSONL) of files and
    /// labels, a zip of either, or a folder of shards in CLIP_benchmark's layout
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
    /// Try known limits too: counting, left and right, digits, written words, negation
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

/// Images that go through the encoder together.
const BATCH: usize = 16;
/// Images of the data set that a limit is tried on.
const LIMIT_IMAGES: usize = 100;
/// Mistakes that are shown with their picture.
const PICTURED: usize = 20;

pub async fn run(arguments: &Evaluate) -> Result<(), Failure> {
    if arguments.draws == 0 {
        return Err("--draws must be 1 or more".into());
    }
    let sets = parse_template_sets(include_bytes!("../../../assets/templates/templates.json"))?;
    let class_names = match &arguments.class_names {
        Some(name) => Some(class_names(name, &sets)?),
        None => None,
    };
    let (files, table) = Data::open(&arguments.data, class_names.as_deref())?;
    let mut dataset = Dataset::open(&files, table.as_deref()).await?;
    if let (Data::Files(_), Some(names)) = (&files, &class_names) {
        rename(&mut dataset, names)?;
    }
    // What a data set trains on says nothing about a model that may have seen it.
    if arguments.shots.is_empty() {
        dataset = dataset.only_held_out();
    }
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
    let prompts = PromptSets::new(arguments, &sets, files.templates())?;
    zero_shot::check(&dataset.classes, &prompts.main)?;
    let engine = arguments.session.open().await?;
    let mut models = vec![Encoder::new(engine)];
    if let Some(other) = &arguments.compare {
        let engine = arguments.session.with_model(other).open().await?;
        models.push(Encoder::new(engine));
    }

    let bar = progress("encoding images", dataset.pictures.len());
    let mut dataset = dataset
        .read(&files, async |_, picture| {
            for model in &mut models {
                model.take(&picture).await?;
            }
            bar.inc(1);
            Ok::<_, Failure>(())
        })
        .await?;
    bar.finish_and_clear();
    for model in &mut models {
        model.flush().await?;
    }
    let images = Images::new(&dataset, arguments);
    if images.test.is_empty() {
        return Err(dataset.no_examples().into());
    }
    let (main, others) = models.split_at_mut(1);
    let main = &mut main[0];
    let classifier = main
        .engine
        .classifier(&dataset.classes, &prompts.main)
        .await?;
    let logits = main.logits(&images, &classifier);
    let truth = images.test_labels();
    let predictions = Predictions {
        classes: &dataset.classes,
        logits: &logits,
        truth: &truth,
    };
    let scoring = main.engine.scoring();
    if scoring.is_independent() {
        dataset.notes.push(
            "the model gives each label a probability of its own; losses and calibration are those of \
             their softmax, since an image of the data has one label"
                .into(),
        );
    }
    let judged: Vec<Judged> = (images.test.iter().zip(&logits))
        .map(|(image, logits)| Judged {
            path: &dataset.pictures[images.pictures[*image]],
            truth: images.labels[*image],
            probabilities: scoring.probabilities(logits),
        })
        .collect();
    let all: Vec<String> = (dataset.classes.iter())
        .flat_map(|class| zero_shot::prompts(class, &prompts.main))
        .collect();
    let truncated = main.engine.truncation_notes(&all);

    let mut report = Report {
        data: match (arguments.data.is_dir(), arguments.data.file_stem()) {
            (false, Some(stem)) => stem.to_string_lossy().into_owned(),
            _ => display_name(&dataset.name),
        },
        model: main.engine.model_info().name.clone(),
        templates: prompts.main.clone(),
        evaluation: Evaluation::new(&dataset.classes, &judged),
        metrics: Metrics::new(&predictions),
        calibration: Calibration::new(&predictions),
        ..Report::default()
    };
    if !prompts.compared.is_empty() {
        let (compared, notes) = compare_prompts(main, &images, &dataset.classes, &prompts).await?;
        report.prompts = Some(compared);
        dataset.notes.extend(notes);
    }
    if !arguments.shots.is_empty() {
        report.shots = Some(learn(arguments, main, &images, &dataset.classes, &classifier).await?);
    }
    if let Some(other) = others.first_mut() {
        let classifier = other
            .engine
            .classifier(&dataset.classes, &prompts.main)
            .await?;
        let logits = other.logits(&images, &classifier);
        let others = Predictions {
            logits: &logits,
            ..predictions
        };
        report.comparison = Some(ModelComparison {
            model: other.engine.model_info().name.clone(),
            metrics: Metrics::new(&others),
            test: McNemar::new(&predictions.right(), &others.right()),
        });
    }
    if arguments.limits {
        report.limits = generated_limits(&mut main.engine).await?;
        let asked = Asked {
            files: &files,
            dataset: &dataset,
            images: &images,
            right: &predictions.right(),
        };
        report
            .limits
            .extend(asked.written_words(main, &classifier).await?);
        report.limits.push(asked.negation(main).await?);
    }
    tell_left_out(&dataset.problems, 5);
    report.notes = std::mem::take(&mut dataset.notes);
    report.notes.extend(truncated);
    for note in &report.notes {
        tell!("note: {note}");
    }
    let left_out = LeftOut::count(&dataset.problems);
    if let Some(path) = &arguments.report {
        let mut shown = report.clone();
        shown
            .notes
            .extend(left_out.iter().map(|reason| format!("Left out: {reason}")));
        let mut pictures = BTreeMap::new();
        for mistake in report.evaluation.mistakes.iter().take(PICTURED) {
            if let Some(address) = picture_address(&files, &mistake.path).await {
                pictures.insert(mistake.path.clone(), address);
            }
        }
        write_file(path, shown.html(&pictures).as_bytes())?;
    }
    if arguments.json {
        let mut value = serde_json::to_value(&report)?;
        if let Value::Object(fields) = &mut value {
            fields.insert("left_out".into(), json!(dataset.problems));
            fields.insert("left_out_by_reason".into(), json!(left_out));
        }
        return say!("{value}");
    }
    show(&report, dataset.problems.len())?;
    match &arguments.report {
        Some(path) => say!("report: {}", path.display()),
        None => Ok(()),
    }
}

/// Files of the data set.
enum Data {
    Files(Source),
    Shards(WebDataset),
}

impl Data {
    /// The files, and the table where `path` is one.
    fn open(path: &Path, classes: Option<&[String]>) -> Result<(Self, Option<String>), Failure> {
        if WebDataset::is_at(path) {
            return Ok((Self::Shards(WebDataset::open(path, classes)?), None));
        }
        let (files, table) = Source::open(path)?;
        Ok((Self::Files(files), table))
    }

    /// The data set's own templates.
    fn templates(&self) -> Vec<String> {
        match self {
            Self::Files(_) => Vec::new(),
            Self::Shards(shards) => parse_templates(&shards.templates().join("\n")),
        }
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
            let lines = text.trim_start_matches('\u{feff}').trim_end().lines();
            Ok(lines.map(|line| line.trim().to_owned()).collect())
        }
    }
}

/// Gives classes that are numbers their names.
fn rename(dataset: &mut Dataset, names: &[String]) -> Result<(), Failure> {
    for class in &mut dataset.classes {
        let name = class
            .parse()
            .ok()
            .and_then(|number: usize| names.get(number));
        let Some(name) = name else {
            return Err(format!(
                "--class-names has {} names, for classes 0 to {}: \"{class}\" is none of these numbers",
                names.len(),
                names.len().saturating_sub(1)
            )
            .into());
        };
        *class = name.clone();
    }
    Ok(())
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
        let mut compared: Vec<(String, Vec<String>)> = vec![
            ("label only".into(), vec![LABEL_ONLY.into()]),
            (DEFAULT_TEMPLATE.into(), vec![DEFAULT_TEMPLATE.into()]),
        ];
        let mut add = |name: String, templates: &[String]| {
            if compared.iter().all(|(_, known)| known != templates) {
                compared.push((name, templates.to_vec()));
            }
        };
        if !own.is_empty() {
            add("the data set's own".into(), &own);
        }
        let mut main = arguments.template.clone();
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
                let count = main.len();
                add(format!("{} ({count})", display_name(name)), &main);
            }
            None if main.is_empty() => main = vec![DEFAULT_TEMPLATE.into()],
            None => {
                let name = match main.as_slice() {
                    [only] => only.clone(),
                    _ => format!("--template ({})", main.len()),
                };
                add(name, &main);
            }
        }
        if let Some(imagenet) = sets.get("imagenet") {
            add(
                format!("imagenet ({})", imagenet.templates.len()),
                &imagenet.templates,
            );
        }
        if arguments.templates.is_none() && arguments.report.is_none() {
            compared.clear();
        }
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

/// Labelled images with their parts.
struct Images {
    /// Index of the picture of each image.
    pictures: Vec<usize>,
    /// Class of each image.
    labels: Vec<usize>,
    /// Images that are evaluated.
    test: Vec<usize>,
    /// Images that shots are drawn from, and those that they are tested on.
    shots: [Vec<usize>; 2],
}

impl Images {
    fn new(dataset: &Dataset, arguments: &Evaluate) -> Self {
        let mut images = Self {
            pictures: Vec::new(),
            labels: Vec::new(),
            test: Vec::new(),
            shots: [Vec::new(), Vec::new()],
        };
        // Half of each class to learn from, unless the data set has parts of its own.
        let split = hold_out(dataset, 0.5, arguments.seed);
        let mut tested = vec![false; dataset.examples.len()];
        split
            .held_out
            .iter()
            .for_each(|index| tested[*index] = true);
        for (example, tested) in dataset.examples.iter().zip(tested) {
            let Some(class) = example.class else {
                continue;
            };
            let image = images.labels.len();
            images.pictures.push(example.picture);
            images.labels.push(class);
            if dataset.held_out.is_empty() || dataset.held_out[example.picture] {
                images.test.push(image);
            }
            images.shots[usize::from(tested)].push(image);
        }
        images
    }

    fn test_labels(&self) -> Vec<usize> {
        self.test.iter().map(|image| self.labels[*image]).collect()
    }
}

/// Model with the features of the pictures that it has seen.
struct Encoder {
    engine: Engine,
    batch: Vec<Vec<f32>>,
    features: Vec<Vec<f32>>,
}

impl Encoder {
    fn new(engine: Engine) -> Self {
        Self {
            engine,
            batch: Vec::new(),
            features: Vec::new(),
        }
    }

    async fn take(&mut self, picture: &DecodedImage) -> Result<(), Failure> {
        self.batch.push(self.engine.pixels(picture));
        match self.batch.len() {
            BATCH => self.flush().await,
            _ => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        if !self.batch.is_empty() {
            self.features
                .extend(self.engine.image_features(&self.batch).await?);
            self.batch.clear();
        }
        Ok(())
    }

    fn row(&self, features: &[f32], classifier: &[Vec<f32>]) -> Vec<f32> {
        let similarities = zero_shot::similarities(features, classifier);
        self.engine.scoring().logits(&similarities)
    }

    /// Logits of the tested images.
    fn logits(&self, images: &Images, classifier: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let pictures = images.test.iter().map(|image| images.pictures[*image]);
        pictures
            .map(|picture| self.row(&self.features[picture], classifier))
            .collect()
    }
}

/// Sets of templates on the tested images, and notes about prompts that were cut.
async fn compare_prompts(
    main: &mut Encoder,
    images: &Images,
    classes: &[String],
    prompts: &PromptSets,
) -> Result<(PromptComparison, Vec<String>), Failure> {
    let truth = images.test_labels();
    let mut found = PromptComparison::default();
    let mut notes = Vec::new();
    let mut first: Option<Vec<bool>> = None;
    for (name, templates) in &prompts.compared {
        let classifier = main.engine.classifier(classes, templates).await?;
        let logits = main.logits(images, &classifier);
        let predictions = Predictions {
            classes,
            logits: &logits,
            truth: &truth,
        };
        found.add(name, templates, &predictions, first.as_deref());
        first.get_or_insert_with(|| predictions.right());
        let all: Vec<String> = (classes.iter())
            .flat_map(|class| zero_shot::prompts(class, templates))
            .collect();
        let cut = main.engine.truncation_notes(&all).len();
        if cut > 0 && *templates != prompts.main {
            notes.push(format!(
                "{cut} of the {} prompts of \"{name}\" were longer than the model reads and were truncated",
                all.len()
            ));
        }
    }
    Ok((found, notes))
}

/// Probability of a test, as it is usually written.
fn p_value(p: f64) -> String {
    match p {
        p if p < 0.001 => "p < 0.001".into(),
        p => format!("p = {p:.3}"),
    }
}

/// Zero-shot against few images.
async fn learn(
    arguments: &Evaluate,
    main: &Encoder,
    images: &Images,
    classes: &[String],
    classifier: &[Vec<f32>],
) -> Result<clip::eval::ShotsCurve, Failure> {
    let features: Vec<Vec<f32>> = (images.pictures.iter())
        .map(|picture| main.features[*picture].clone())
        .collect();
    let [pool, test] = &images.shots;
    if test.is_empty() || pool.is_empty() {
        return Err(
            "--shots needs images to learn from and others to test on: at least three of a class"
                .into(),
        );
    }
    let data = FewShotData {
        classes,
        features: &features,
        labels: &images.labels,
        pool,
        test,
        zero_shot: classifier,
        scale: main.engine.scoring().scale(),
    };
    let settings = FewShotSettings {
        shots: arguments.shots.iter().map(|shots| shots.0).collect(),
        draws: arguments.draws,
        seed: arguments.seed,
        methods: FewShotMethod::ALL.to_vec(),
    };
    let bar = progress("learning from few images", 0);
    let curve = few_shot_curve(&data, &settings, &mut async |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        ControlFlow::Continue(())
    })
    .await?;
    bar.finish_and_clear();
    if curve.methods.iter().any(|method| method.points.is_empty()) {
        return Err(format!(
            "--shots: no class has so many images to learn from; there are {} in all, half of those of each class",
            pool.len()
        )
        .into());
    }
    Ok(curve)
}

fn progress(what: &'static str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}");
    let bar = ProgressBar::new(length as u64).with_message(what);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Index of the highest score; the last of equal ones.
fn highest(scores: &[f32]) -> Option<usize> {
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map(|(index, _)| index)
}

async fn generated_limits(engine: &mut Engine) -> Result<Vec<LimitResult>, Failure> {
    let mut found = Vec::new();
    for task in limit_tasks()? {
        let texts = engine.text_features(&task.prompts).await?;
        let texts: Vec<Vec<f32>> = texts.into_iter().map(|text| text.features).collect();
        let mut answers = Vec::with_capacity(task.pictures.len());
        for batch in task.pictures.chunks(BATCH) {
            let pixels: Vec<Vec<f32>> = batch
                .iter()
                .map(|(picture, _)| engine.pixels(picture))
                .collect();
            for (features, (_, truth)) in engine.image_features(&pixels).await?.iter().zip(batch) {
                let answer = highest(&zero_shot::similarities(features, &texts));
                answers.push((*truth, answer == Some(*truth)));
            }
        }
        let chance = 1.0 / task.kinds.len() as f64;
        found.push(LimitResult::new(
            task.name,
            task.question,
            chance,
            &task.kinds,
            &answers,
        ));
    }
    Ok(found)
}

/// Limits that are tried on images of the data set.
struct Asked<'a> {
    files: &'a Data,
    dataset: &'a Dataset,
    images: &'a Images,
    /// Whether each tested image is named right.
    right: &'a [bool],
}

impl Asked<'_> {
    /// Index among the tested images, the image, and another class.
    fn some(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let test = &self.images.test;
        let classes = self.dataset.classes.len();
        let step = test.len().div_ceil(LIMIT_IMAGES).max(1);
        (test.iter().enumerate().step_by(step).enumerate()).map(move |(number, (index, image))| {
            let other = (self.images.labels[*image] + 1 + number % (classes - 1)) % classes;
            (index, *image, other)
        })
    }

    /// The name of another class is written over each image; `None` for names without a
    /// letter that can be written.
    async fn written_words(
        &self,
        main: &Encoder,
        classifier: &[Vec<f32>],
    ) -> Result<Option<LimitResult>, Failure> {
        let classes = &self.dataset.classes;
        if !(classes.iter()).all(|class| class.contains(|c: char| c.is_ascii_alphanumeric())) {
            return Ok(None);
        }
        let (mut images, mut counts) = (0, AttackCounts::default());
        for (index, image, other) in self.some() {
            let path = &self.dataset.pictures[self.images.pictures[image]];
            let picture = decode(&self.files.read(path).await?)?;
            let word = &classes[other];
            let empty = " ".repeat(word.chars().count());
            let pixels = [
                main.engine.pixels(&write_word(&picture, &empty)?),
                main.engine.pixels(&write_word(&picture, word)?),
            ];
            let features = main.engine.image_features(&pixels).await?;
            let answers: Vec<Option<usize>> = (features.iter())
                .map(|features| highest(&main.row(features, classifier)))
                .collect();
            let count = |answer: usize, class: usize| {
                usize::from(answers.get(answer).copied().flatten() == Some(class))
            };
            let truth = self.images.labels[image];
            images += 1;
            counts.right += usize::from(self.right[index]);
            counts.right_empty += count(0, truth);
            counts.right_word += count(1, truth);
            counts.named_empty += count(0, other);
            counts.named_word += count(1, other);
        }
        Ok(Some(LimitResult::attack(images, counts)))
    }

    async fn negation(&self, main: &mut Encoder) -> Result<LimitResult, Failure> {
        let classes = &self.dataset.classes;
        let templates = ["a photo with a {label}.", "a photo without a {label}."];
        let [with, without] = templates.map(|template| vec![template.to_owned()]);
        let with = main.engine.classifier(classes, &with).await?;
        let without = main.engine.classifier(classes, &without).await?;
        let mut answers = Vec::new();
        for (_, image, other) in self.some() {
            let features = &main.features[self.images.pictures[image]];
            let says_with = |class: usize| {
                let texts = [with[class].clone(), without[class].clone()];
                highest(&zero_shot::similarities(features, &texts)) == Some(0)
            };
            answers.push((0, says_with(self.images.labels[image])));
            answers.push((1, !says_with(other)));
        }
        let kinds = ["the thing is there", "the thing is not there"].map(String::from);
        Ok(LimitResult::new(
            "Negation",
            "“A photo with a …” or “a photo without a …”, asked of the image's own class and of another one: which fits?",
            0.5,
            &kinds,
            &answers,
        ))
    }
}

/// `data:` address of an image file, made smaller if it is large; `None` if it cannot be
/// read any more.
async fn picture_address(files: &Data, path: &str) -> Option<String> {
    const MAX_BYTES: usize = 16_000;
    const SIDE: u32 = 256;
    let bytes = files.read(path).await.ok()?;
    let kind = match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [0xff, 0xd8, ..] => Some("jpeg"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("webp"),
        _ => None,
    };
    if let Some(kind) = kind.filter(|_| bytes.len() <= MAX_BYTES) {
        return Some(format!("data:image/{kind};base64,{}", BASE64.encode(bytes)));
    }
    let picture = decode(&bytes).ok()?;
    let pixels = picture.samples().chunks_exact(picture.channels());
    let samples = pixels.flat_map(|pixel| match *pixel {
        [red, green, blue, ..] => [red, green, blue],
        [grey, ..] => [grey; 3],
        [] => [0; 3],
    });
    let whole = image::RgbImage::from_raw(picture.width(), picture.height(), samples.collect())?;
    let share = f64::from(SIDE) / f64::from(whole.width().max(whole.height()).max(SIDE));
    let side = |length: u32| ((f64::from(length) * share) as u32).max(1);
    let small = image::imageops::thumbnail(&whole, side(whole.width()), side(whole.height()));
    let mut jpeg = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 80);
    encoder.encode_image(&small).ok()?;
    Some(format!("data:image/jpeg;base64,{}", BASE64.encode(jpeg)))
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
