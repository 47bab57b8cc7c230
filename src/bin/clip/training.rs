//! The training of `clip train`: the same [`Training`] as in the page, with a folder in
//! the place of the browser.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clip::data::{DataFiles, Dataset, hold_out};
use clip::engine::Engine;
use clip::engine::defaults::{self, DatasetStats};
use clip::engine::messages::{
    Export, Outcome, PlannedSample, TrainingEvent, TrainingPlan, TrainingRequest, TrainingStage,
};
use clip::engine::training::{EventAttachments, Host, HostError, Training};
use clip::hub::ModelFiles;
use clip::model::Clip;
use clip::train::Method;
use clip::zero_shot;
use indicatif::{ProgressBar, ProgressStyle};

use super::kept::{self, Origin};
use super::{HEAD, Source, Train, finish, tell_left_out};
use crate::Failure;
use crate::output::write_file;
use crate::session::Session;

pub async fn run(arguments: &Train, files: Source, dataset: Dataset) -> Result<(), Failure> {
    let method = Method::from(arguments.method);
    if matches!(method, Method::Probe | Method::Adapter) {
        if arguments.resume {
            return Err(format!(
                "the method {method} cannot be resumed: run it again without --resume"
            )
            .into());
        }
        train(arguments, method, files, dataset, None).await?;
        return say!(
            "classify with it: clip classify --head {} --images ...",
            arguments.out.join(HEAD).display()
        );
    }
    let _lock = kept::lock(arguments)?;
    let state = kept::folder(arguments);
    let done = train(arguments, method, files, dataset, Some(state)).await;
    if done.is_err() {
        kept::tidy(arguments);
    }
    done
}

/// Trains. `state` is the folder for what an interrupted run goes on from; a head takes
/// seconds and has none.
async fn train(
    arguments: &Train,
    method: Method,
    files: Source,
    dataset: Dataset,
    state: Option<PathBuf>,
) -> Result<(), Failure> {
    // A run that was killed before its first checkpoint begins again.
    let resumed = arguments.resume && kept::is_kept(arguments);
    let mut engine = arguments.session.open_exact().await?;
    let host = CommandHost::new(arguments, &files, state.clone());
    let mut training = Training::new(host);
    // Every picture once: what cannot be used is left out before it is planned with.
    let total = dataset.pictures.len();
    let mut crc = flate2::Crc::new();
    let dataset = dataset
        .read(&files, async |index, picture| {
            crc.update(picture.samples());
            training.prepare(index as u32, &picture, &engine);
            training.host().show("reading images", index + 1, total);
            Ok::<(), Failure>(())
        })
        .await?;
    if dataset.examples.is_empty() {
        return Err(dataset.no_examples().into());
    }
    let dataset = match method {
        // A class without images cannot be learnt; an adapter still knows its name.
        Method::Probe => without_empty_classes(dataset),
        _ => dataset,
    };
    let problems = dataset.problems.clone();
    // What was left out is often why there is too little.
    let explained = |error: Failure| {
        tell_left_out(&problems, 10);
        error
    };
    let mut plan = plan(arguments, method, &dataset, &engine).map_err(explained)?;
    plan.notes.extend(truncated(&plan, &engine)?);
    let notes = plan.notes.clone();
    if let Some(state) = &state {
        let origin = Origin {
            weights: arguments.session.weights_checksum().await?,
            images: crc.sum(),
        };
        match resumed {
            true => kept::check_same(arguments, &plan, origin)?,
            false => {
                kept::discard(arguments);
                origin.keep(state)?;
            }
        }
    }
    training.host().pictures.replace(dataset.pictures);
    // Finds the pictures, and what an earlier run left.
    training.begin(&engine).await;
    let request = match resumed {
        true => TrainingRequest::Resume,
        false => TrainingRequest::Start { plan },
    };
    training
        .handle(request, Vec::new(), Some(&mut engine))
        .await;
    while training.work(&mut engine).await {}
    let host = training.host();
    host.bar.finish_and_clear();
    if let Some(error) = host.failure.take() {
        return Err(explained(error.into()));
    }
    let Some(mut outcome) = host.outcome.take() else {
        return Err("the training ended without a result".into());
    };
    // A run that an earlier version began has none of them in its plan.
    for note in notes {
        if !outcome.report.notes.contains(&note) {
            outcome.report.notes.push(note);
        }
    }
    let exports = outcome.trained.exports.into_iter();
    // `clip export` makes it, where it is wanted.
    for export in exports.filter(|export| *export != Export::Onnx) {
        let what = TrainingRequest::Export { what: export };
        training.handle(what, Vec::new(), Some(&mut engine)).await;
        let host = training.host();
        if let Some(error) = host.failure.take() {
            return Err(error.into());
        }
        let folder = arguments.out.join(folder_of(export));
        for (name, bytes) in host.given.take() {
            let name = if export == Export::Head { HEAD } else { &name };
            write_file(&folder.join(name), &bytes)
                .map_err(|error| kept::still(arguments, error))?;
        }
    }
    if let Some(state) = state {
        // There is nothing more to go on from.
        let _ = fs::remove_dir_all(state);
    }
    finish(&arguments.out, &outcome.report)
}

/// The data set without its empty classes.
fn without_empty_classes(mut dataset: Dataset) -> Dataset {
    let shown: BTreeSet<usize> = dataset.examples.iter().filter_map(|e| e.class).collect();
    let shown: Vec<usize> = shown.into_iter().collect();
    for example in &mut dataset.examples {
        example.class = example
            .class
            .and_then(|class| shown.binary_search(&class).ok());
    }
    let names = shown.iter().map(|class| dataset.classes[*class].clone());
    dataset.classes = names.collect();
    dataset
}

/// Label of the progress bar.
fn stage_name(stage: TrainingStage) -> &'static str {
    match stage {
        TrainingStage::Pictures => "encoding images",
        TrainingStage::Prompts => "encoding prompts",
        TrainingStage::CrossValidating => "cross-validating",
        TrainingStage::Fitting => "fitting",
        TrainingStage::Steps => "training",
        TrainingStage::Evaluating => "evaluating",
    }
}

/// Output folder of an export format.
fn folder_of(export: Export) -> &'static str {
    match export {
        Export::Head | Export::Onnx => "",
        Export::Lora => "lora",
        Export::HuggingFace => "transformers",
        Export::OpenClip => "open_clip",
    }
}

/// Note on texts that the model does not see whole.
fn truncated(plan: &TrainingPlan, engine: &Engine) -> Result<Option<String>, Failure> {
    let prompts =
        (plan.classes.iter()).flat_map(|class| zero_shot::prompts(class, &plan.templates));
    // A head learns from classes only.
    let head = matches!(plan.settings.method, Method::Probe | Method::Adapter);
    let captions = (plan.samples.iter())
        .filter(|_| !head)
        .flat_map(|sample| sample.captions.clone());
    let mut cut: Vec<String> = Vec::new();
    for text in prompts.chain(captions) {
        if engine.tokens(&text)?.truncated {
            cut.push(text);
        }
    }
    let length = engine.model_info().context_length;
    Ok(cut.first().map(|first| {
        let start: String = first.chars().take(40).collect();
        format!(
            "{} texts are longer than the model's {length} tokens and were truncated, the first \
             \"{start}…\"",
            cut.len()
        )
    }))
}

fn plan(
    arguments: &Train,
    method: Method,
    dataset: &Dataset,
    engine: &Engine,
) -> Result<TrainingPlan, Failure> {
    let split = hold_out(dataset, arguments.held_out, arguments.seed);
    let mut samples: BTreeMap<usize, PlannedSample> = BTreeMap::new();
    for (examples, held_out) in [(&split.train, false), (&split.held_out, true)] {
        for example in examples.iter().map(|index| &dataset.examples[*index]) {
            let planned = samples.entry(example.picture).or_insert(PlannedSample {
                sample: example.picture as u32,
                path: dataset.pictures[example.picture].clone(),
                class: example.class.map(|class| class as u32),
                captions: Vec::new(),
                held_out,
            });
            planned.captions.extend(example.caption.clone());
        }
    }
    let mut counts = vec![0; dataset.classes.len()];
    let learnt = || samples.values().filter(|sample| !sample.held_out);
    learnt()
        .filter_map(|sample| sample.class)
        .for_each(|class| counts[class as usize] += 1);
    let stats = DatasetStats {
        classes: dataset.classes.len(),
        train: learnt().count(),
        held_out: samples.values().filter(|sample| sample.held_out).count(),
        fewest: counts.iter().copied().min().unwrap_or_default(),
    };
    // A head needs classes, too, as its job says.
    let head = matches!(method, Method::Probe | Method::Adapter);
    let shown = counts.iter().filter(|count| **count > 0).count();
    if !head && (stats.train < 2 || (stats.classes > 0 && shown < 2)) {
        return Err(format!(
            "{} has {} training images in {} classes: at least two of each are needed",
            arguments.data.display(),
            stats.train,
            shown
        )
        .into());
    }
    let mut settings = defaults::training_settings(method, stats, Some(engine.model_info()));
    let chosen = &arguments.settings;
    settings.held_out = arguments.held_out;
    settings.seed = u32::try_from(arguments.seed).map_err(|_| "--seed is at most 4294967295")?;
    settings.epochs = chosen.epochs.unwrap_or(settings.epochs);
    settings.batch_size = chosen.batch_size.unwrap_or(settings.batch_size);
    settings.micro_batch =
        (chosen.micro_batch.unwrap_or(settings.micro_batch)).min(settings.batch_size);
    settings.learning_rate = chosen.learning_rate.unwrap_or(settings.learning_rate);
    settings.weight_decay = chosen.weight_decay.unwrap_or(settings.weight_decay);
    settings.warmup_steps =
        (chosen.warmup_steps).unwrap_or_else(|| defaults::steps(&settings, stats.train) / 10);
    settings.rank = chosen.rank.unwrap_or(settings.rank);
    settings.alpha = chosen.alpha.unwrap_or(settings.alpha);
    settings.mlp = chosen.mlp;
    Ok(TrainingPlan {
        name: dataset.name.clone(),
        settings,
        classes: dataset.classes.clone(),
        templates: arguments.templates.clone(),
        samples: samples.into_values().collect(),
        problems: dataset.problems.clone(),
        notes: dataset.notes.clone(),
    })
}

/// The command as the place where a training runs.
struct CommandHost<'a> {
    session: &'a Session,
    files: &'a Source,
    /// By the number of the sample.
    pictures: RefCell<Vec<String>>,
    state: Option<PathBuf>,
    save_every: Duration,
    bar: ProgressBar,
    steps: Cell<bool>,
    outcome: RefCell<Option<Outcome>>,
    failure: RefCell<Option<String>>,
    /// Files of an export.
    given: RefCell<Vec<(String, Vec<u8>)>>,
}

impl<'a> CommandHost<'a> {
    fn new(arguments: &'a Train, files: &'a Source, state: Option<PathBuf>) -> Self {
        let bar = ProgressBar::new(0);
        let style = "{msg:32} {wide_bar} {pos}/{len} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self {
            session: &arguments.session,
            files,
            pictures: RefCell::default(),
            state,
            save_every: arguments.save_every,
            bar,
            steps: Cell::new(false),
            outcome: RefCell::default(),
            failure: RefCell::default(),
            given: RefCell::default(),
        }
    }

    /// Progress of a stage.
    fn show(&self, stage: &'static str, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.bar.set_message(stage);
    }

    /// The pictures stay where they are; only the rest is kept in a folder.
    fn picture(&self, name: &str) -> Option<Rc<str>> {
        let number: usize = name.strip_prefix("sample-")?.parse().ok()?;
        let pictures = self.pictures.borrow();
        pictures.get(number).map(|path| path.as_str().into())
    }
}

impl Host for CommandHost<'_> {
    type File = Rc<str>;

    async fn read(&self, file: &Rc<str>) -> Result<Vec<u8>, HostError> {
        let read = self.files.read(file).await;
        read.map_err(|error| HostError::Read(error.to_string()))
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        match &self.state {
            Some(state) => write_file(&state.join(name), bytes)
                .map_err(|error| HostError::Store(error.to_string())),
            None => Ok(()),
        }
    }

    async fn get(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.state.as_ref()?.join(name)).ok()
    }

    async fn file(&self, name: &str) -> Option<Rc<str>> {
        self.picture(name)
    }

    async fn delete(&self, name: &str) {
        // The checkpoints go with their folder, once the result is written: where the disk
        // is full, nothing is lost.
        if name.starts_with("run-") || name.starts_with("state-") {
            return;
        }
        if let Some(state) = &self.state {
            // What is not there need not be deleted.
            let _ = fs::remove_file(state.join(name));
        }
    }

    async fn names(&self) -> Vec<String> {
        let folder = self
            .state
            .as_ref()
            .and_then(|state| fs::read_dir(state).ok());
        let kept = folder.into_iter().flatten().flatten();
        let kept = kept.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let pictures = (0..self.pictures.borrow().len()).map(|number| format!("sample-{number}"));
        kept.chain(pictures).collect()
    }

    async fn model(&self, engine: &Engine) -> Result<Clip, HostError> {
        Ok(self.session.plain(engine).await?)
    }

    async fn model_file(&self, name: &str) -> Option<Vec<u8>> {
        self.session.files().ok()?.read(name).await.ok()?
    }

    fn now(&self) -> f64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0.0, |since| since.as_secs_f64() * 1e3)
    }

    fn checkpoint_interval_ms(&self) -> f64 {
        self.save_every.as_secs_f64() * 1e3
    }

    fn memory(&self, _gpu: bool) -> Option<u64> {
        None
    }

    fn emit(&self, event: TrainingEvent, attachments: EventAttachments<Rc<str>>) {
        match event {
            TrainingEvent::Progress(progress) => {
                self.bar.set_length(progress.total.into());
                self.bar.set_position(progress.done.into());
                if !self.steps.get() {
                    self.bar.set_message(stage_name(progress.stage));
                }
            }
            TrainingEvent::Step(step) => {
                self.steps.set(true);
                self.bar
                    .set_message(format!("step {}, loss {:.4}", step.step, step.loss));
            }
            TrainingEvent::Measured { step, accuracy } => self.bar.suspend(|| {
                tell!("step {step}: held-out accuracy {:.1} %", 100.0 * accuracy);
            }),
            TrainingEvent::Remark { text } => {
                self.bar.suspend(|| tell!("note: {text}"));
            }
            TrainingEvent::Finished(outcome) => *self.outcome.borrow_mut() = Some(*outcome),
            TrainingEvent::Failed { error } | TrainingEvent::ExportFailed { error } => {
                *self.failure.borrow_mut() = Some(error.to_string());
            }
            TrainingEvent::Exported { files } => {
                if let EventAttachments::Bytes(bytes) = attachments {
                    *self.given.borrow_mut() = files.into_iter().zip(bytes).collect();
                }
            }
            _ => {}
        }
    }
}
