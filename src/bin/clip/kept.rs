//! The interrupted run in `--out`: what it belongs to, and whether a command may go on with
//! it.

use std::collections::BTreeMap;
use std::fs::{self, TryLockError};
use std::path::{Path, PathBuf};

use clip::engine::messages::{PlannedSample, TrainingPlan};
use serde::{Deserialize, Serialize};

use super::Train;
use crate::Failure;
use crate::output::write_file;

/// Folder in `--out` for what an interrupted run goes on from.
pub fn folder(arguments: &Train) -> PathBuf {
    arguments.out.join("state")
}

/// The part of a checkpoint's metadata that is compared.
#[derive(Deserialize)]
pub struct Kept {
    plan: TrainingPlan,
    step: u32,
    steps: u32,
    kept_ms: f64,
}

impl Kept {
    /// The latest of the run's two checkpoints.
    fn find(folder: &Path) -> Option<Self> {
        let read = |name| serde_json::from_slice(&fs::read(folder.join(name)).ok()?).ok();
        let found: [Option<Self>; 2] = ["run-0", "run-1"].map(read);
        (found.into_iter().flatten()).max_by(|a, b| a.kept_ms.total_cmp(&b.kept_ms))
    }
}

/// Whether there is a checkpoint to resume from.
pub fn is_kept(arguments: &Train) -> bool {
    Kept::find(&folder(arguments)).is_some()
}

/// Refuses to resume what is not there, and to discard a run without being asked.
pub fn check_request(arguments: &Train) -> Result<(), Failure> {
    let out = arguments.out.display();
    let begun = folder(arguments).exists();
    if begun {
        // While another process trains, its run is none to go on with.
        lock(arguments)?;
    }
    match Kept::find(&folder(arguments)) {
        None if arguments.resume && !begun => Err(format!(
            "{out} holds no interrupted training run: start it again without --resume"
        )
        .into()),
        None if arguments.resume => {
            tell!(
                "note: the run in {out} was interrupted before its first checkpoint; it begins again"
            );
            Ok(())
        }
        Some(kept) if !arguments.resume && !arguments.restart => Err(format!(
            "{out} holds an interrupted run ({}, step {} of {}): add --resume to continue it, or \
             --restart to discard it",
            kept.plan.settings.method, kept.step, kept.steps
        )
        .into()),
        _ => Ok(()),
    }
}

/// Checksums of what a run began with, kept beside its checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// CRC-32 of the model's weights.
    pub weights: u32,
    /// CRC-32 of the images' pixels, in their order.
    pub images: u32,
}

const ORIGIN: &str = "origin";

impl Origin {
    pub fn keep(&self, folder: &Path) -> Result<(), Failure> {
        write_file(&folder.join(ORIGIN), &serde_json::to_vec(self)?)
    }

    /// Earlier versions kept none.
    fn find(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(ORIGIN)).ok()?).ok()
    }
}

/// Refuses to go on with other data, another model or other settings than the run began
/// with.
pub fn check_same(arguments: &Train, plan: &TrainingPlan, origin: Origin) -> Result<(), Failure> {
    let folder = folder(arguments);
    let Some(kept) = Kept::find(&folder) else {
        return Ok(());
    };
    let mut differences = settings(&kept.plan, plan, arguments);
    differences.extend(data(&kept.plan, plan));
    if let Some(kept) = Origin::find(&folder) {
        if kept.weights != origin.weights {
            differences.push("the model's weights differ".into());
        }
        // Where the files differ, their contents need no mention.
        if kept.images != origin.images && differences.is_empty() {
            differences.push("the images' contents differ".into());
        }
    }
    match differences.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "the interrupted run in {} does not fit: {}. Resume with the options and data that it \
             was started with, or discard it with --restart",
            arguments.out.display(),
            differences.join("; ")
        )
        .into()),
    }
}

/// Options that contradict the run's. One that is left out is the run's.
fn settings(kept: &TrainingPlan, plan: &TrainingPlan, arguments: &Train) -> Vec<String> {
    let (was, is, chosen) = (&kept.settings, &plan.settings, &arguments.settings);
    let mut differences = Vec::new();
    if was.method != is.method {
        differences.push(format!("it is {}, not {}", was.method, is.method));
        return differences;
    }
    let micro_batch = chosen.micro_batch.map(|size| size.min(was.batch_size));
    let number = |value: Option<u32>| value.map(f64::from);
    for (option, given, was) in [
        ("--epochs", number(chosen.epochs), was.epochs.into()),
        (
            "--batch-size",
            number(chosen.batch_size),
            was.batch_size.into(),
        ),
        ("--micro-batch", number(micro_batch), was.micro_batch.into()),
        ("--learning-rate", chosen.learning_rate, was.learning_rate),
        ("--weight-decay", chosen.weight_decay, was.weight_decay),
        (
            "--warmup-steps",
            number(chosen.warmup_steps),
            was.warmup_steps.into(),
        ),
        ("--rank", number(chosen.rank), was.rank.into()),
        ("--alpha", chosen.alpha, was.alpha),
        (
            "--mlp",
            chosen.mlp.then_some(1.0),
            f64::from(u8::from(was.mlp)),
        ),
        ("--held-out", Some(is.held_out), was.held_out),
        ("--seed", Some(is.seed.into()), was.seed.into()),
    ] {
        if let Some(given) = given.filter(|given| *given != was) {
            differences.push(format!("{option} was {was}, not {given}"));
        }
    }
    if kept.templates != plan.templates {
        differences.push(format!(
            "its templates are \"{}\"",
            kept.templates.join("\", \"")
        ));
    }
    differences
}

/// Images and classes that were added, are gone, or have changed.
fn data(kept: &TrainingPlan, plan: &TrainingPlan) -> Vec<String> {
    type Facts<'a> = (Option<&'a String>, &'a [String], bool);
    fn by_path(plan: &TrainingPlan) -> BTreeMap<&str, Facts<'_>> {
        let facts = |sample: &PlannedSample| sample.class.map(|class| class as usize);
        (plan.samples.iter())
            .map(|sample| {
                let class = facts(sample).and_then(|class| plan.classes.get(class));
                let facts = (class, sample.captions.as_slice(), sample.held_out);
                (sample.path.as_str(), facts)
            })
            .collect()
    }
    let (was, is) = (by_path(kept), by_path(plan));
    let only_in = |these: &BTreeMap<&str, _>, those: &BTreeMap<&str, _>| -> Vec<String> {
        let only = these.keys().filter(|path| !those.contains_key(*path));
        only.map(|path| path.to_string()).collect()
    };
    let changed: Vec<String> = (was.iter())
        .filter(|(path, facts)| is.get(*path).is_some_and(|now| now != *facts))
        .map(|(path, _)| path.to_string())
        .collect();
    let mut differences = Vec::new();
    for (paths, what) in [
        (only_in(&is, &was), "were added"),
        (only_in(&was, &is), "are gone"),
        (changed, "have a different class, caption or split"),
    ] {
        if let Some(first) = paths.first() {
            differences.push(format!("{} images {what} (first: {first})", paths.len()));
        }
    }
    if differences.is_empty() && kept.classes != plan.classes {
        differences.push(format!("its classes are {}", kept.classes.join(", ")));
    }
    // The order numbers the images.
    let order = |plan: &TrainingPlan| -> Vec<(u32, String)> {
        let samples = plan.samples.iter();
        samples.map(|s| (s.sample, s.path.clone())).collect()
    };
    if differences.is_empty() && order(kept) != order(plan) {
        differences.push("its images are in a different order".into());
    }
    differences
}

/// Error of writing the result, with what can be done about it.
pub fn still(arguments: &Train, error: Failure) -> Failure {
    match Kept::find(&folder(arguments)) {
        Some(_) => format!("{error}; what was learnt is kept: make room and add --resume").into(),
        None => error,
    }
}

/// Removes the checkpoints of an earlier run.
pub fn discard(arguments: &Train) {
    for name in ["run-0", "run-1", "state-0", "state-1"] {
        // What is not there need not be removed.
        let _ = fs::remove_file(folder(arguments).join(name));
    }
}

/// Removes the folder if there is nothing in it to go on from.
pub fn tidy(arguments: &Train) {
    let folder = folder(arguments);
    if Kept::find(&folder).is_none() {
        // It can stay if it cannot be removed.
        let _ = fs::remove_dir_all(folder);
    }
}

/// Keeps a second process from writing into the same folder. Held until it is dropped;
/// where the file system has no locks, there is none.
pub fn lock(arguments: &Train) -> Result<Option<fs::File>, Failure> {
    let folder = folder(arguments);
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    let file = fs::File::create(folder.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::Error(_)) => Ok(None),
        Err(TryLockError::WouldBlock) => Err(format!(
            "another process is training into {}: wait for it, or choose another --out",
            arguments.out.display()
        )
        .into()),
    }
}
