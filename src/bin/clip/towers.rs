//! `clip train` for the methods that train the model itself: the same
//! [`Training`] as in the page, with a folder in the place of the browser.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use clip::data::{DataFiles, Dataset, hold_out};
use clip::engine::Engine;
use clip::engine::defaults::{self, DatasetStats};
use clip::engine::messages::{
    Export, Outcome, PlannedSample, TrainingEvent, TrainingPlan, TrainingRequest, TrainingStage,
};
use clip::engine::training::{Attachments, Host, Training};
use clip::hub::ModelFiles;
use clip::model::Clip;
use clip::train::Method;
use clip::zero_shot;
use indicatif::{ProgressBar, ProgressStyle};

use super::kept::{self, Origin};
use super::{Source, Train, finish};
use crate::Failure;
use crate::output::write_file;
use crate::session::Session;

pub async fn run(
    arguments: &Train,
    method: Method,
    files: Source,
    dataset: Dataset,
) -> Result<(), Failure> {
    let _lock = kept::lock(arguments)?;
    let done = train(arguments, method, files, dataset).await;
    if done.is_err() {
        kept::tidy(arguments);
    }
    done
}

async fn train(
    arguments: &Train,
    method: Method,
    files: Source,
    dataset: Dataset,
) -> Result<(), Failure> {
    // Every picture once: what cannot be used is left out before it is planned with.
    let mut crc = flate2::Crc::new();
    let dataset = dataset
        .read(&files, async |_, picture| {
            crc.update(picture.samples());
            Ok::<(), Failure>(())
        })
        .await?;
    let mut engine = arguments.session.open_exact().await?;
    let plan = plan(arguments, method, &dataset, &engine)?;
    let mut notes = dataset.notes.clone();
    notes.extend(truncated(&plan, &engine)?);
    let origin = Origin {
        weights: arguments.session.weights_checksum().await?,
        images: crc.sum(),
    };
    let state = kept::folder(arguments);
    match arguments.resume {
        true => kept::check_same(arguments, &plan, origin)?,
        false => origin.keep(&state)?,
    }
    let desk = Desk::new(&arguments.session, files, dataset.pictures, state.clone());
    let mut training = Training::new(desk);
    // Finds the pictures, and what an earlier run left.
    training.begin(&engine).await;
    let request = match arguments.resume {
        true => TrainingRequest::Resume,
        false => TrainingRequest::Start { plan },
    };
    training
        .handle(request, Vec::new(), Some(&mut engine))
        .await;
    while training.work(&mut engine).await {}
    let desk = training.host();
    desk.bar.finish_and_clear();
    if let Some(error) = desk.failure.take() {
        return Err(error.into());
    }
    let Some(mut outcome) = desk.outcome.take() else {
        return Err("the training ended without a result".into());
    };
    outcome.report.notes.extend(notes);
    for export in outcome.trained.exports {
        let what = TrainingRequest::Export { what: export };
        training.handle(what, Vec::new(), Some(&mut engine)).await;
        let desk = training.host();
        if let Some(error) = desk.failure.take() {
            return Err(error.into());
        }
        let folder = arguments.out.join(folder_of(export));
        for (name, bytes) in desk.given.take() {
            write_file(&folder.join(name), &bytes)?;
        }
    }
    // There is nothing more to go on from.
    let _ = fs::remove_dir_all(state);
    finish(&arguments.out, &outcome.report)
}

/// Label of the progress bar.
fn stage_name(stage: TrainingStage) -> &'static str {
    match stage {
        TrainingStage::Pictures => "encoding images",
        TrainingStage::Labels => "encoding prompts",
        TrainingStage::Choosing => "cross-validating",
        TrainingStage::Fitting => "fitting",
        TrainingStage::Steps => "training",
        TrainingStage::Measuring => "evaluating",
    }
}

/// Output folder of an export format.
fn folder_of(export: Export) -> &'static str {
    match export {
        Export::Head => "",
        Export::Lora => "lora",
        Export::HuggingFace => "transformers",
        Export::OpenClip => "open_clip",
    }
}

/// Note on texts that the model does not see whole.
fn truncated(plan: &TrainingPlan, engine: &Engine) -> Result<Option<String>, Failure> {
    let prompts =
        (plan.classes.iter()).flat_map(|class| zero_shot::prompts(class, &plan.templates));
    let captions = plan
        .samples
        .iter()
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
    if stats.train < 2 || stats.classes == 1 {
        return Err(format!(
            "{} has {} training images in {} classes: at least two of each are needed",
            arguments.data.display(),
            stats.train,
            stats.classes
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
    })
}

/// The command as the place where a training runs.
struct Desk<'a> {
    session: &'a Session,
    files: Source,
    /// By the number of the sample.
    pictures: Vec<String>,
    state: PathBuf,
    bar: ProgressBar,
    steps: Cell<bool>,
    outcome: RefCell<Option<Outcome>>,
    failure: RefCell<Option<String>>,
    /// Files of an export.
    given: RefCell<Vec<(String, Vec<u8>)>>,
}

impl<'a> Desk<'a> {
    fn new(session: &'a Session, files: Source, pictures: Vec<String>, state: PathBuf) -> Self {
        let bar = ProgressBar::new(0);
        let style = "{msg:32} {wide_bar} {pos}/{len} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self {
            session,
            files,
            pictures,
            state,
            bar,
            steps: Cell::new(false),
            outcome: RefCell::default(),
            failure: RefCell::default(),
            given: RefCell::default(),
        }
    }

    /// The pictures stay where they are; only the rest is kept in a folder.
    fn picture(&self, name: &str) -> Option<Rc<str>> {
        let number: usize = name.strip_prefix("sample-")?.parse().ok()?;
        self.pictures.get(number).map(|path| path.as_str().into())
    }
}

impl Host for Desk<'_> {
    type File = Rc<str>;

    async fn read(&self, file: &Rc<str>) -> Result<Vec<u8>, String> {
        self.files.read(file).await.map_err(|e| e.to_string())
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        write_file(&self.state.join(name), bytes).map_err(|error| error.to_string())
    }

    async fn get(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.state.join(name)).ok()
    }

    async fn file(&self, name: &str) -> Option<Rc<str>> {
        self.picture(name)
    }

    async fn delete(&self, name: &str) {
        // What is not there need not be deleted.
        let _ = fs::remove_file(self.state.join(name));
    }

    async fn names(&self) -> Vec<String> {
        let kept = fs::read_dir(&self.state).into_iter().flatten().flatten();
        let kept = kept.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let pictures = (0..self.pictures.len()).map(|number| format!("sample-{number}"));
        kept.chain(pictures).collect()
    }

    async fn model(&self, engine: &Engine) -> Result<Clip, String> {
        self.session.plain(engine).await.map_err(|e| e.to_string())
    }

    async fn model_file(&self, name: &str) -> Option<Vec<u8>> {
        self.session.files().ok()?.read(name).await.ok()?
    }

    fn now(&self) -> f64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0.0, |since| since.as_secs_f64() * 1e3)
    }

    fn memory(&self, _gpu: bool) -> Option<u64> {
        None
    }

    fn emit(&self, event: TrainingEvent, attachments: Attachments<Rc<str>>) {
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
                *self.failure.borrow_mut() = Some(error);
            }
            TrainingEvent::Exported { files } => {
                if let Attachments::Bytes(bytes) = attachments {
                    *self.given.borrow_mut() = files.into_iter().zip(bytes).collect();
                }
            }
            _ => {}
        }
    }
}
