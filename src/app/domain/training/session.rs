//! A training seen from the page, as plain data: what there is to learn from,
//! what was chosen, how far it is, what came of it. As with
//! [`crate::app::domain::session`], each step returns commands for the controller.

use std::collections::HashSet;

use super::project::{Part, Project, Reading, Removed, Role, TrainingSample};
use super::recommendation::{self, DatasetStats};
use crate::app::domain::notice::Notice;
use crate::app::i18n::{message, t};
use crate::diagnostic::Diagnostic;
use crate::engine::messages::{
    Estimate, Export, HeldOutAnswer, Interrupted, ModelInfo, Outcome, SampleId, Trained,
    TrainingEvent, TrainingPlan, TrainingProgress, TrainingRequest, TrainingSettings,
    TrainingStage, TrainingStep,
};
use crate::train::{MIXTURES, Method, MetricSeries, TrainingReport};

/// What the controller is to do after a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Send(TrainingRequest),
    /// Send samples with their files.
    SendSamples(Vec<SampleId>),
    /// Offer to put a part back that was taken away.
    Removed(Removed),
    /// Let go of samples' files and thumbnails.
    Release(Vec<SampleId>),
    /// Samples have other numbers: before and now.
    Renumber(Vec<(SampleId, SampleId)>),
    /// Take these samples' files, which came beside the event.
    Adopt(Vec<SampleId>),
    /// Give the visitor these files, which came beside the event.
    Save(Vec<String>),
    /// Give the visitor a page of its own with these files, which came beside the event.
    SavePage {
        title: String,
        files: Vec<String>,
    },
    /// Give the visitor the project with these files, which came beside the event.
    SaveProject(Vec<String>),
    Notify(Notice),
    /// Release the lock to another tab, and wait for it again.
    ReleaseLock,
}

/// State of the lock that lets one tab at a time train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockState {
    /// Not requested yet, or not answered yet.
    #[default]
    Unknown,
    Held,
    /// Held until everything is saved: another tab requested it.
    Releasing,
    OtherTab,
}

/// Where the training stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Run {
    #[default]
    Idle,
    Running,
    /// A pause was asked for.
    Pausing,
    Paused,
    /// An end was asked for.
    Stopping,
    Failed(Diagnostic),
}

impl Run {
    /// Whether there is a training that has not ended.
    pub fn active(&self) -> bool {
        matches!(
            self,
            Self::Running | Self::Pausing | Self::Paused | Self::Stopping
        )
    }
}

/// How a training went so far: points of step and value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curves {
    pub loss: Vec<[f64; 2]>,
    pub scale: Vec<[f64; 2]>,
    pub learning_rate: Vec<[f64; 2]>,
    pub accuracy: Vec<[f64; 2]>,
}

impl Curves {
    fn step(&mut self, at: TrainingStep) {
        let x = f64::from(at.step);
        // After a resume some steps come a second time.
        for curve in [&mut self.loss, &mut self.scale, &mut self.learning_rate] {
            curve.truncate(curve.partition_point(|point| point[0] < x));
        }
        self.loss.push([x, at.loss]);
        self.scale.push([x, at.scale]);
        self.learning_rate.push([x, at.learning_rate]);
    }

    fn measured(&mut self, step: u32, accuracy: f64) {
        let x = f64::from(step);
        let known = self.accuracy.partition_point(|point| point[0] < x);
        self.accuracy.truncate(known);
        self.accuracy.push([x, accuracy]);
    }

    fn restore(&mut self, curves: Vec<MetricSeries>) {
        for curve in curves {
            match curve.name.as_str() {
                "loss" => self.loss = curve.points,
                "scale" => self.scale = curve.points,
                "learning_rate" => self.learning_rate = curve.points,
                "accuracy" => self.accuracy = curve.points,
                _ => {}
            }
        }
    }
}

/// Share of the trained weights, percent; the rest is the original model's (WiSE-FT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(pub u32);

impl Default for Share {
    fn default() -> Self {
        Self(100)
    }
}

/// What exported files are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExportFor {
    /// The visitor.
    #[default]
    Visitor,
    /// A page of its own with this title.
    Page(String),
    /// The project's file.
    Project,
}

/// Report of a training, with the answers to the held-out images.
pub type ReportWithAnswers = (TrainingReport, Vec<HeldOutAnswer>);

/// A project with what belongs to it, while another one may take its place.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectState {
    pub project: Project,
    pub method: Option<Method>,
    pub settings: Option<TrainingSettings>,
    /// Of what was trained.
    pub report: Option<ReportWithAnswers>,
    pub share: Share,
}

/// Everything the page knows about training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingSession {
    pub lock: LockState,
    pub project: Project,
    /// Counts the changes of the project, so that what follows from it is
    /// worked out once for each.
    pub revision: u32,
    /// What the visitor chose; `None`: what is recommended.
    pub method: Option<Method>,
    /// What the visitor changed; `None`: the method's defaults.
    pub settings: Option<TrainingSettings>,
    pub run: Run,
    pub progress: Option<TrainingProgress>,
    pub curves: Curves,
    pub estimate: Option<Estimate>,
    /// Step of the state that was kept last.
    pub kept: Option<u32>,
    pub interrupted: Option<Interrupted>,
    pub outcome: Option<Outcome>,
    pub trained: Option<Trained>,
    pub in_use: Option<Trained>,
    /// Whether the visitor wants it in use; a fresh worker is told so.
    pub use_trained: bool,
    /// Share of the trained weights in the model that is used and exported, percent.
    pub share: Share,
    /// While files are being made.
    pub exporting: bool,
    /// What they are for.
    pub(in crate::app) export_for: ExportFor,
    /// Report and share of the result that is being put in the place of another.
    pub(in crate::app) exchanged: Option<(Option<ReportWithAnswers>, Share)>,
    /// Whether it is known what earlier visits left.
    pub(in crate::app) known: bool,
    /// Whether a worker listens that has said what it found.
    pub connected: bool,
    /// What the running training was started with.
    pub(in crate::app) plan: Option<TrainingPlan>,
    /// Sample that a worker was reading when it died.
    pub(in crate::app) suspect: Option<SampleId>,
}

impl TrainingSession {
    /// The method that is chosen or recommended.
    pub fn method(&self, amount: DatasetStats) -> Method {
        self.method
            .unwrap_or_else(|| recommendation::recommend(amount).0)
    }

    /// The settings in force.
    pub fn settings(&self, amount: DatasetStats, model: Option<&ModelInfo>) -> TrainingSettings {
        let method = self.method(amount);
        let mut settings = (self.settings.clone())
            .filter(|settings| settings.method == method)
            .unwrap_or_else(|| recommendation::defaults(method, amount, model));
        // Of the data, not of the method: shown on them, and kept with them.
        settings.held_out = self.project.held_out;
        settings.seed = self.project.seed;
        settings
    }

    pub fn amount(&self, roles: &[(SampleId, Role)]) -> DatasetStats {
        let counts = self.project.counts(roles);
        let classes: Vec<_> = counts.iter().filter(|(class, _)| class.is_some()).collect();
        DatasetStats {
            classes: classes.len(),
            train: counts.values().map(|count| count.train).sum(),
            held_out: counts.values().map(|count| count.held_out).sum(),
            fewest: (classes.iter().map(|(_, count)| count.all()).min())
                .unwrap_or(counts.get(&None).map_or(0, |count| count.all())),
        }
    }

    /// Changes the project, and sends what is new in it.
    pub fn edit<T>(&mut self, change: impl FnOnce(&mut Project) -> T) -> T {
        self.revision += 1;
        change(&mut self.project)
    }

    /// Sends samples that were added, if anybody listens.
    pub fn send(&self, samples: Vec<SampleId>) -> Vec<Command> {
        match self.connected && !samples.is_empty() {
            true => vec![Command::SendSamples(samples)],
            false => Vec::new(),
        }
    }

    /// Takes a part of the data away. It can be put back until its samples are forgotten.
    pub fn take(&mut self, part: Part) -> Vec<Command> {
        vec![Command::Removed(self.edit(|project| project.take(part)))]
    }

    /// Puts a part back.
    pub fn put_back(&mut self, removed: Removed) -> Vec<Command> {
        if self.locked_elsewhere() {
            let text = message!("not-brought-back");
            return vec![Command::Notify(Notice::error(text))];
        }
        // Another worker than that of then may not have them.
        let samples = removed.samples();
        self.edit(|project| project.put_back(removed));
        self.send(samples)
    }

    /// Forgets samples that are not part of the project any more.
    pub fn forget(&mut self, mut samples: Vec<SampleId>) -> Vec<Command> {
        samples.retain(|id| self.project.sample(*id).is_none());
        let mut commands = vec![Command::Release(samples.clone())];
        if self.connected && !samples.is_empty() {
            let forget = TrainingRequest::RemoveSamples { samples };
            commands.push(Command::Send(forget));
        }
        commands
    }

    /// The visitor chose a method.
    pub fn choose(&mut self, method: Method) {
        self.method = Some(method);
        self.settings = None;
    }

    /// Begins. Why it cannot is told before, by [`recommendation::blocking_reason`].
    pub fn start(&mut self, model: Option<&ModelInfo>, templates: Vec<String>) -> Vec<Command> {
        if self.run.active() || !self.connected {
            return Vec::new();
        }
        let roles = self.project.roles();
        let amount = self.amount(&roles);
        let settings = self.settings(amount, model);
        if recommendation::blocking_reason(settings.method, amount).is_some()
            || !recommendation::validate(&settings).is_empty()
        {
            return Vec::new();
        }
        // A class's name says something by itself, except to a probe.
        let with_empty = settings.method == Method::Adapter;
        let (classes, samples) = self.project.planned(&roles, with_empty);
        let plan = TrainingPlan {
            name: self.project.name.clone(),
            settings,
            classes,
            templates,
            samples,
            problems: self.project.problems(&roles),
            notes: self.project.notes.clone(),
        };
        self.begin();
        self.interrupted = None;
        self.plan = Some(plan.clone());
        vec![Command::Send(TrainingRequest::Start { plan })]
    }

    fn begin(&mut self) {
        self.run = Run::Running;
        self.progress = None;
        self.curves = Curves::default();
        self.kept = None;
        self.outcome = None;
    }

    pub fn pause(&mut self) -> Vec<Command> {
        if self.run != Run::Running {
            return Vec::new();
        }
        self.run = Run::Pausing;
        vec![Command::Send(TrainingRequest::Pause)]
    }

    /// Goes on after a pause, or with what an earlier visit left.
    pub fn resume(&mut self) -> Vec<Command> {
        match self.run {
            Run::Pausing | Run::Paused => self.run = Run::Running,
            Run::Idle | Run::Failed(_) => match self.interrupted.take() {
                Some(interrupted) => {
                    self.choose(interrupted.method);
                    self.begin();
                    self.plan = None;
                }
                None => return Vec::new(),
            },
            _ => return Vec::new(),
        }
        vec![Command::Send(TrainingRequest::Resume)]
    }

    /// Ends it: with what was learnt so far, or without.
    pub fn stop(&mut self, discard: bool) -> Vec<Command> {
        if !self.run.active() {
            return Vec::new();
        }
        self.run = Run::Stopping;
        vec![Command::Send(TrainingRequest::Stop { discard })]
    }

    /// Forgets what an earlier visit left.
    pub fn discard(&mut self) -> Vec<Command> {
        self.interrupted = None;
        vec![Command::Send(TrainingRequest::Discard)]
    }

    pub fn export(&mut self, what: Export) -> Vec<Command> {
        self.exporting = true;
        vec![Command::Send(TrainingRequest::Export { what })]
    }

    /// Exports a page of its own with what was trained, while `model` is open; `model_stays` says
    /// why that cannot be in a page, if so. Or says why there can be none.
    pub fn export_page(
        &mut self,
        title: String,
        model: Option<&ModelInfo>,
        model_stays: Option<Diagnostic>,
    ) -> Result<Vec<Command>, Diagnostic> {
        let Some(trained) = &self.trained else {
            return Ok(Vec::new());
        };
        let open = model.ok_or_else(|| message!("page-needs-model"))?;
        if open.name != trained.model {
            return Err(message!(
                "page-other-model",
                trained = trained.model,
                open = open.name
            ));
        }
        let is_head = trained.exports.contains(&Export::Head);
        match model_stays {
            // Of others all weights are exported.
            Some(why) if is_head => Err(why),
            _ => {
                self.export_for = ExportFor::Page(title);
                let whole = [Export::OpenClip, Export::HuggingFace];
                let whole = whole
                    .into_iter()
                    .find(|what| trained.exports.contains(what));
                Ok(self.export(match is_head {
                    true => Export::Head,
                    false => whole.unwrap_or(Export::OpenClip),
                }))
            }
        }
    }

    /// Saves the project, with what was trained if that goes along while the model `open` is open.
    pub fn save_project(&mut self, open: Option<&str>) -> Vec<Command> {
        if self.exporting {
            return Vec::new();
        }
        let without = match &self.trained {
            None => None,
            Some(trained) if !self.connected || open != Some(trained.model.as_str()) => {
                Some(message!("project-without-other", model = trained.model))
            }
            Some(trained) if trained.compact_export().is_none() => {
                Some(message!("project-without-weights"))
            }
            Some(_) => {
                self.exporting = true;
                self.export_for = ExportFor::Project;
                return vec![Command::Send(TrainingRequest::ExportForProject)];
            }
        };
        (without
            .map(|why| Command::Notify(Notice::info(why)))
            .into_iter())
        .chain([Command::SaveProject(Vec::new())])
        .collect()
    }

    /// Puts a project in the place of the one that is there, which is returned. What was trained
    /// follows by [`TrainingEvent::Exchanged`].
    pub fn exchange(&mut self, mut next: ProjectState) -> ProjectState {
        next.project.skip_numbers_of(&self.project);
        self.exchanged = Some((next.report, next.share));
        ProjectState {
            project: self.edit(|project| std::mem::replace(project, next.project)),
            method: std::mem::replace(&mut self.method, next.method),
            settings: std::mem::replace(&mut self.settings, next.settings),
            report: (self.outcome.take()).map(|outcome| (outcome.report, outcome.answers)),
            share: self.share,
        }
    }

    /// Another result has taken the place of the one before.
    fn result_exchanged(&mut self, trained: Option<Trained>) -> Vec<Command> {
        let (report, share) = self.exchanged.take().unwrap_or_default();
        self.outcome = match (&trained, report) {
            (Some(trained), Some((report, answers))) => Some(Outcome {
                report,
                answers,
                trained: trained.clone(),
            }),
            _ => None,
        };
        self.trained = trained;
        self.share = Share::default();
        match self.trained {
            Some(_) => self.mix(share),
            None => Vec::new(),
        }
    }

    /// Mixes the trained weights with the original ones.
    pub fn mix(&mut self, share: Share) -> Vec<Command> {
        let Share(percent) = share;
        if self.share == share || percent > 100 {
            return Vec::new();
        }
        self.share = share;
        let share = f64::from(percent) / 100.0;
        vec![Command::Send(TrainingRequest::Mix { share })]
    }

    /// Held-out accuracy by share of the trained weights, percent; empty where it was not measured.
    pub fn mixtures(&self) -> Vec<[f64; 2]> {
        let curves = self
            .outcome
            .iter()
            .flat_map(|outcome| &outcome.report.curves);
        (curves.filter(|curve| curve.name == MIXTURES))
            .flat_map(|curve| &curve.points)
            .map(|[share, accuracy]| [100.0 * share, *accuracy])
            .collect()
    }

    /// Classifies with what was trained, or as before.
    pub fn put_to_use(&mut self, trained: bool) -> Vec<Command> {
        self.use_trained = trained;
        vec![Command::Send(TrainingRequest::Use { trained })]
    }

    /// Whether another tab holds the lock, or is about to.
    pub fn locked_elsewhere(&self) -> bool {
        match self.lock {
            LockState::Unknown | LockState::Held => false,
            LockState::Releasing => self.connected,
            LockState::OtherTab => true,
        }
    }

    /// This tab holds the lock; `ready` says whether a model is loaded.
    pub fn lock_acquired(&mut self, ready: bool) -> Vec<Command> {
        self.lock = LockState::Held;
        if ready { self.opened() } else { Vec::new() }
    }

    /// A model was loaded.
    pub fn opened(&self) -> Vec<Command> {
        match self.lock {
            LockState::Held | LockState::Releasing => vec![Command::Send(TrainingRequest::Begin)],
            LockState::Unknown | LockState::OtherTab => Vec::new(),
        }
    }

    /// Another tab requests the lock. It gets it when nothing would be lost.
    pub fn release_lock(&mut self) -> Vec<Command> {
        if self.lock != LockState::Held {
            return Vec::new();
        }
        self.lock = LockState::Releasing;
        match self.connected {
            true => self.hand_over(),
            false if self.project.is_empty() => self.handed_over(),
            // Nobody is there yet to keep what was brought.
            false => Vec::new(),
        }
    }

    fn hand_over(&self) -> Vec<Command> {
        let project = serde_json::to_string(&self.project).ok();
        let keep = project.map(|project| TrainingRequest::KeepProject { project });
        (keep.into_iter())
            .chain([TrainingRequest::HandOver])
            .map(Command::Send)
            .collect()
    }

    fn handed_over(&mut self) -> Vec<Command> {
        let samples = self.project.samples.iter().map(|s| s.id).collect();
        *self = Self {
            lock: LockState::OtherTab,
            revision: self.revision + 1,
            ..Self::default()
        };
        vec![Command::Release(samples), Command::ReleaseLock]
    }

    /// A fresh worker starts: nobody listens until it has said what it found.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.in_use = None;
        self.exporting = false;
        self.export_for = ExportFor::Visitor;
        if self.run == Run::Stopping {
            self.run = Run::Idle;
        }
    }

    /// The worker died. If it was reading samples, it was at the first of them: not its fault where the
    /// GPU was lost, and by chance if that happens once. What is left out is not stored.
    pub fn died(&mut self, gpu: bool) {
        let reading = self.connected && !self.run.active() && !gpu;
        let first = (self.project.samples.iter())
            .find(|sample| sample.reading == Reading::Waiting)
            .map(|sample| sample.id);
        if let Some(id) = first.filter(|_| reading)
            && self.suspect.replace(id) == Some(id)
        {
            let why = message!("worker-crashed-on-file");
            self.edit(|project| project.note(id, Reading::Bad(why)));
        }
        self.disconnected();
    }

    /// The worker said something.
    pub fn on_event(&mut self, event: TrainingEvent) -> Vec<Command> {
        match event {
            TrainingEvent::Found {
                project,
                samples,
                interrupted,
                trained,
            } => return self.found(project, samples, interrupted, trained),
            TrainingEvent::HandedOver => return self.handed_over(),
            TrainingEvent::SamplesRead { samples } => self.edit(|project| {
                for read in samples {
                    let reading = match read.file {
                        Ok(fingerprint) => Reading::Good { fingerprint },
                        Err(why) => Reading::Bad(why),
                    };
                    project.note(read.sample, reading);
                }
            }),
            TrainingEvent::Estimated(estimate) => self.estimate = Some(estimate),
            TrainingEvent::Progress(progress) => self.progress = Some(progress),
            TrainingEvent::Step(step) => self.curves.step(step),
            TrainingEvent::Measured { step, accuracy } => self.curves.measured(step, accuracy),
            TrainingEvent::Curves { curves } => self.curves.restore(curves),
            TrainingEvent::CheckpointSaved { step } => self.kept = Some(step),
            TrainingEvent::Paused => {
                if self.run == Run::Pausing {
                    self.run = Run::Paused;
                }
            }
            TrainingEvent::Running => {
                if !self.run.active() {
                    self.run = Run::Running;
                }
            }
            TrainingEvent::Stopped => {
                self.run = Run::Idle;
                self.progress = None;
                self.plan = None;
                self.interrupted = None;
            }
            TrainingEvent::Finished(outcome) => {
                self.run = Run::Idle;
                self.progress = None;
                self.plan = None;
                self.trained = Some(outcome.trained.clone());
                self.outcome = Some(*outcome);
                self.share = Share::default();
            }
            TrainingEvent::Failed { error } => {
                self.run = Run::Failed(error);
                self.progress = None;
                self.plan = None;
            }
            TrainingEvent::Exported { files } => {
                self.exporting = false;
                return vec![match std::mem::take(&mut self.export_for) {
                    ExportFor::Visitor => Command::Save(files),
                    ExportFor::Page(title) => Command::SavePage { title, files },
                    ExportFor::Project => Command::SaveProject(files),
                }];
            }
            TrainingEvent::ExportFailed { error } => {
                self.exporting = false;
                self.export_for = ExportFor::Visitor;
                return vec![Command::Notify(Notice::error(error))];
            }
            TrainingEvent::Imported(trained) => {
                let what = recommendation::title(trained.method);
                let text = message!("imported", what = what);
                self.trained = Some(trained);
                self.outcome = None;
                self.share = Share::default();
                return vec![Command::Notify(Notice::info(text))];
            }
            TrainingEvent::Exchanged(trained) => return self.result_exchanged(trained),
            TrainingEvent::ImportFailed { error } => {
                return vec![Command::Notify(Notice::error(error))];
            }
            TrainingEvent::InUse { trained, .. } => {
                self.use_trained = trained.is_some();
                self.in_use = trained;
            }
            TrainingEvent::Remark { text } => {
                return vec![Command::Notify(Notice::info(text))];
            }
        }
        Vec::new()
    }

    fn found(
        &mut self,
        project: Option<String>,
        samples: Vec<SampleId>,
        interrupted: Option<Interrupted>,
        trained: Option<Trained>,
    ) -> Vec<Command> {
        self.connected = true;
        self.trained = trained.or(self.trained.take());
        self.use_trained &= self.trained.is_some();
        let kept = project.and_then(|text| serde_json::from_str::<Project>(&text).ok());
        let mut commands = Vec::new();
        if std::mem::replace(&mut self.known, true) {
            // A fresh worker under a page that knows more than it.
            let all = (self.project.samples.iter())
                .filter(|sample| !matches!(sample.reading, Reading::Bad(_)))
                .map(|sample| sample.id)
                .collect();
            commands.extend(self.send(all));
        } else {
            let lost = kept.is_none() && !samples.is_empty();
            let mut kept = kept.unwrap_or_default();
            let stored: HashSet<SampleId> = samples.iter().copied().collect();
            let (mut found, missing): (Vec<_>, Vec<_>) = (std::mem::take(&mut kept.samples))
                .into_iter()
                .partition(|sample| stored.contains(&sample.id));
            kept.samples.append(&mut found);
            // The page was closed before they were stored, or there was no space.
            let missing: Vec<&TrainingSample> = (missing.iter())
                .filter(|sample| !matches!(sample.reading, Reading::Bad(_)))
                .collect();
            if let Some(first) = missing.first() {
                let (count, name) = (missing.len(), first.name.clone());
                let text = message!("images-not-kept", count = count, name = name);
                commands.push(Command::Notify(Notice::error(text)));
            }
            if lost {
                kept.recover(&samples);
                let count = samples.len();
                let text = message!("images-recovered", count = count);
                commands.push(Command::Notify(Notice::error(text)));
            }
            // What was removed just before the page was closed.
            let strays: Vec<SampleId> = (samples.iter().copied())
                .filter(|id| kept.sample(*id).is_none())
                .collect();
            // Pictures may have been brought before anybody looked.
            let numbers = self.edit(|project| {
                let brought = std::mem::replace(project, kept);
                project.join(brought, samples.iter().max().copied().unwrap_or_default())
            });
            if !numbers.is_empty() {
                commands.push(Command::Renumber(numbers));
            }
            if !samples.is_empty() {
                commands.push(Command::Adopt(samples));
            }
            if !strays.is_empty() {
                commands.extend(self.forget(strays));
            }
            let unread = (self.project.samples.iter())
                .filter(|sample| sample.reading == Reading::Waiting)
                .map(|sample| sample.id)
                .collect();
            commands.extend(self.send(unread));
        }
        if self.use_trained {
            commands.extend(self.put_to_use(true));
        }
        match (self.run.active(), interrupted) {
            (true, Some(_)) => {
                let paused = self.run == Run::Paused || self.run == Run::Pausing;
                self.run = Run::Running;
                commands.push(Command::Send(TrainingRequest::Resume));
                if paused {
                    commands.extend(self.pause());
                }
            }
            // Nothing had been kept yet: from the start.
            (true, None) => match self.plan.clone() {
                Some(plan) => {
                    self.begin();
                    commands.push(Command::Send(TrainingRequest::Start { plan }));
                }
                None => {
                    let lost = t!("interrupted-too-early");
                    self.run = Run::Failed(lost.into());
                }
            },
            (false, interrupted) => self.interrupted = interrupted,
        }
        if self.lock == LockState::Releasing {
            commands.extend(self.hand_over());
        }
        commands
    }
}

/// What goes on, for people.
pub fn stage_text(progress: &TrainingProgress) -> String {
    let of = match progress.total {
        0 => String::new(),
        total => t!("of-total", done = progress.done, total = total),
    };
    match progress.stage {
        TrainingStage::Pictures => t!("stage-pictures", of = of),
        TrainingStage::Prompts => t!("stage-prompts", of = of),
        TrainingStage::CrossValidating => t!("stage-cross-validating", of = of),
        TrainingStage::Fitting => t!("stage-fitting").into(),
        TrainingStage::Steps => t!("stage-step", of = of),
        TrainingStage::Evaluating => t!("stage-evaluating", of = of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::messages::SampleReading;

    /// Two classes of four pictures each, read; with a worker.
    fn ready() -> TrainingSession {
        let mut session = TrainingSession::default();
        let found = found(None, None);
        assert_eq!(session.on_event(found), []);
        let samples: Vec<SampleId> = session.edit(|project| {
            let classes = [project.class_named("cat"), project.class_named("dog")];
            (0..8)
                .map(|i| project.add(format!("{i}.png"), String::new(), Some(classes[i % 2])))
                .collect()
        });
        assert_eq!(
            session.send(samples.clone()),
            [Command::SendSamples(samples.clone())]
        );
        let samples = (samples.into_iter())
            .map(|sample| SampleReading {
                sample,
                file: Ok(sample.to_string()),
            })
            .collect();
        session.on_event(TrainingEvent::SamplesRead { samples });
        session
    }

    fn found(project: Option<String>, interrupted: Option<Interrupted>) -> TrainingEvent {
        TrainingEvent::Found {
            samples: project.iter().flat_map(|_| [1, 2]).collect(),
            project,
            interrupted,
            trained: None,
        }
    }

    fn broken_off() -> Interrupted {
        Interrupted {
            method: Method::Lora,
            model: "toy".into(),
            step: 30,
            steps: 100,
            kept_ms: 0.0,
        }
    }

    fn step(step: u32) -> TrainingEvent {
        TrainingEvent::Step(TrainingStep {
            step,
            loss: 1.0,
            scale: 14.0,
            learning_rate: 0.1,
        })
    }

    fn plan(commands: &[Command]) -> &TrainingPlan {
        match commands {
            [Command::Send(TrainingRequest::Start { plan })] => plan,
            other => panic!("no start: {other:?}"),
        }
    }

    #[test]
    fn a_start_sends_what_can_be_used() {
        let mut session = ready();
        session.on_event(TrainingEvent::SamplesRead {
            samples: vec![SampleReading {
                sample: 1,
                file: Err("broken".into()),
            }],
        });
        let commands = session.start(None, vec!["{label}".into()]);
        let plan = plan(&commands);
        assert_eq!(plan.classes, ["cat", "dog"]);
        assert_eq!(plan.samples.len(), 7);
        assert_eq!(plan.samples.iter().filter(|s| s.held_out).count(), 2);
        assert_eq!(plan.problems.len(), 1);
        assert_eq!(plan.settings.method, Method::Adapter);
        assert_eq!(session.run, Run::Running);
        assert_eq!(session.start(None, vec![]), [], "not twice");
    }

    /// The description of a project is stored ahead of its files.
    #[test]
    fn images_that_were_not_stored_are_named() {
        let mut session = ready();
        session.on_event(TrainingEvent::SamplesRead {
            samples: vec![SampleReading {
                sample: 3,
                file: Err("broken".into()),
            }],
        });
        let kept = serde_json::to_string(&session.project).unwrap();
        let told = |stored: Vec<SampleId>| {
            let commands = TrainingSession::default().on_event(TrainingEvent::Found {
                project: Some(kept.clone()),
                samples: stored,
                interrupted: None,
                trained: None,
            });
            let told = commands.into_iter().find_map(|command| match command {
                Command::Notify(notice) => Some(notice.text.text().to_owned()),
                _ => None,
            });
            told.unwrap_or_default()
        };
        let all: Vec<SampleId> = session.project.samples.iter().map(|s| s.id).collect();
        let without = |missing: &[SampleId]| {
            let stored = all.iter().filter(|id| !missing.contains(id));
            told(stored.copied().collect())
        };
        assert_eq!(without(&[3]), "", "what is no image is not stored");
        let name = &session.project.samples[1].name;
        assert!(without(&[2]).starts_with(&format!("The image {name} was not stored")));
        assert!(without(&[2, 3, 5]).starts_with(&format!("2 images, {name} among them, were")));
    }

    #[test]
    fn pause_resume_and_stop() {
        let mut session = ready();
        session.start(None, vec![]);
        assert_eq!(session.pause(), [Command::Send(TrainingRequest::Pause)]);
        assert_eq!(session.pause(), []);
        session.on_event(TrainingEvent::Paused);
        assert_eq!(session.run, Run::Paused);
        assert_eq!(session.resume(), [Command::Send(TrainingRequest::Resume)]);
        assert_eq!(session.run, Run::Running);
        session.stop(true);
        session.on_event(step(3));
        session.on_event(TrainingEvent::Stopped);
        assert_eq!(session.run, Run::Idle);
        assert_eq!(session.stop(true), []);
    }

    #[test]
    fn a_page_is_exported_with_the_model_it_was_trained_with() {
        let mut session = ready();
        let model = |name: &str| ModelInfo {
            name: name.into(),
            parameters: 1,
            bytes: 1,
            image_size: 1,
            context_length: 1,
            embed_dim: 1,
            precision: "f32".into(),
            independent: false,
            notes: Vec::new(),
        };
        let trained = |method, exports: &[Export]| Trained {
            tells_fit: false,
            method,
            model: "toy".into(),
            classes: vec!["cat".into()],
            exports: exports.into(),
        };
        let export = |what| Ok(vec![Command::Send(TrainingRequest::Export { what })]);
        let (toy, title) = (model("toy"), || "Cats".to_owned());
        assert_eq!(session.export_page(title(), Some(&toy), None), Ok(vec![]));

        session.trained = Some(trained(Method::Probe, &[Export::Head]));
        assert!(session.export_page(title(), None, None).is_err());
        let other = session.export_page(title(), Some(&model("other")), None);
        assert!(other.is_err_and(|why| why.text().contains("model toy, but other is open")));
        let stays = session.export_page(title(), Some(&toy), Some("from files".into()));
        assert_eq!(stays, Err("from files".into()));
        assert!(!session.exporting);
        let asked = session.export_page(title(), Some(&toy), None);
        assert_eq!(asked, export(Export::Head));
        let files = vec!["probe.safetensors".to_owned()];
        let exported = TrainingEvent::Exported {
            files: files.clone(),
        };
        let page = Command::SavePage {
            title: title(),
            files: files.clone(),
        };
        assert_eq!(session.on_event(exported.clone()), [page]);
        assert_eq!(
            session.on_event(exported.clone()),
            [Command::Save(files.clone())]
        );

        // All weights of a LoRA go along, and a failed export is over.
        session.trained = Some(trained(Method::Lora, &[Export::Lora, Export::OpenClip]));
        let asked = session.export_page(title(), Some(&toy), Some("from files".into()));
        assert_eq!(asked, export(Export::OpenClip));
        let error = "full".into();
        session.on_event(TrainingEvent::ExportFailed { error });
        assert_eq!(session.on_event(exported), [Command::Save(files)]);
    }

    #[test]
    fn a_project_is_saved_with_what_was_trained_where_that_goes_along() {
        let mut session = ready();
        assert_eq!(session.save_project(None), [Command::SaveProject(vec![])]);
        let trained = |method, exports: &[Export]| {
            Some(Trained {
                tells_fit: true,
                method,
                model: "toy".into(),
                classes: vec!["cat".into()],
                exports: exports.into(),
            })
        };
        session.trained = trained(Method::Probe, &[Export::Head]);
        let asked = session.save_project(Some("toy"));
        assert_eq!(asked, [Command::Send(TrainingRequest::ExportForProject)]);
        assert_eq!(session.save_project(Some("toy")), [], "not twice");
        let files = vec!["probe.safetensors".to_owned()];
        let exported = TrainingEvent::Exported {
            files: files.clone(),
        };
        assert_eq!(session.on_event(exported), [Command::SaveProject(files)]);
        // Of another model, or as large as the model.
        let without = |commands: &[Command], words: &str| match commands {
            [Command::Notify(notice), Command::SaveProject(files)] => {
                assert!(
                    notice.text.text().contains(words) && files.is_empty(),
                    "{commands:?}"
                );
            }
            other => panic!("{other:?}"),
        };
        without(&session.save_project(Some("other")), "model toy");
        session.trained = trained(Method::Full, &[Export::HuggingFace, Export::OpenClip]);
        without(&session.save_project(Some("toy")), "fine-tuned weights");
    }

    #[test]
    fn what_is_taken_away_is_forgotten_later_or_put_back() {
        let mut session = ready();
        let [Command::Removed(cats)] = &session.take(Part::Class(1))[..] else {
            panic!("no offer");
        };
        let (cats, ids) = (cats.clone(), cats.samples());
        assert_eq!((session.project.samples.len(), ids.len()), (4, 4));
        let sent = session.put_back(cats.clone());
        assert_eq!(sent, [Command::SendSamples(ids.clone())]);
        assert_eq!(session.project, ready().project);
        // An image that is there is not forgotten.
        assert_eq!(session.forget(ids.clone()), [Command::Release(vec![])]);

        session.take(Part::Class(1));
        let samples = ids.clone();
        let forgotten = [
            Command::Release(ids),
            Command::Send(TrainingRequest::RemoveSamples {
                samples: samples.clone(),
            }),
        ];
        assert_eq!(session.forget(samples), forgotten);
        session.lock = LockState::OtherTab;
        assert!(matches!(&session.put_back(cats)[..], [Command::Notify(_)]));
        assert_eq!(session.project.samples.len(), 4);
    }

    #[test]
    fn a_late_pause_is_none() {
        let mut session = ready();
        session.start(None, vec![]);
        session.pause();
        session.resume();
        session.on_event(TrainingEvent::Paused);
        assert_eq!(session.run, Run::Running);
    }

    #[test]
    fn after_a_reload_all_is_there_again() {
        let mut session = ready();
        let kept = serde_json::to_string(&session.project).unwrap();
        let mut fresh = TrainingSession::default();
        let commands = fresh.on_event(found(Some(kept), Some(broken_off())));
        assert!(matches!(commands[0], Command::Notify(_)), "others are lost");
        assert_eq!(commands[1..], [Command::Adopt(vec![1, 2])]);
        assert_eq!(
            fresh.project.samples.len(),
            2,
            "those whose files were kept"
        );
        assert_eq!(fresh.interrupted, Some(broken_off()));
        assert_eq!(fresh.resume(), [Command::Send(TrainingRequest::Resume)]);
        assert_eq!(fresh.run, Run::Running);
        assert_eq!(fresh.interrupted, None);

        // What is on the page is not replaced.
        session.edit(|project| project.name = "mine".into());
        session.disconnected();
        session.on_event(found(Some("{}".into()), None));
        assert_eq!(session.project.name, "mine");
    }

    #[test]
    fn what_was_brought_too_early_joins_what_was_kept() {
        let kept = serde_json::to_string(&ready().project).unwrap();
        let mut fresh = TrainingSession::default();
        fresh.edit(|project| {
            let dog = project.class_named("Dog");
            project.add("new.png".into(), String::new(), Some(dog));
        });
        let mut event = found(Some(kept), None);
        if let TrainingEvent::Found { samples, .. } = &mut event {
            samples.push(30); // of a page that was closed too early
        }
        let commands = fresh.on_event(event);
        assert_eq!(
            commands[1..],
            [
                Command::Renumber(vec![(1, 31)]),
                Command::Adopt(vec![1, 2, 30]),
                Command::Release(vec![30]),
                Command::Send(TrainingRequest::RemoveSamples { samples: vec![30] }),
                Command::SendSamples(vec![31]),
            ]
        );
        assert_eq!(fresh.project.classes.len(), 2);
        assert_eq!(fresh.project.samples[2].class, Some(2));
    }

    #[test]
    fn images_whose_description_is_lost_are_kept() {
        for unreadable in [None, Some("{".to_owned())] {
            let mut session = TrainingSession::default();
            let mut event = found(unreadable, None);
            if let TrainingEvent::Found { samples, .. } = &mut event {
                *samples = vec![3, 9];
            }
            let commands = session.on_event(event);
            assert!(matches!(commands[0], Command::Notify(_)));
            assert_eq!(
                commands[1..],
                [Command::Adopt(vec![3, 9]), Command::SendSamples(vec![3, 9])]
            );
            let samples = &session.project.samples;
            assert_eq!(samples.iter().map(|s| s.id).collect::<Vec<_>>(), [3, 9]);
            assert!(samples.iter().all(|s| s.class.is_some()));
            let next = session.edit(|project| project.add("a".into(), String::new(), None));
            assert!(next > 9);
        }
    }

    #[test]
    fn a_training_outlives_its_worker() {
        let mut session = ready();
        session.start(None, vec![]);
        session.on_event(step(1));
        session.on_event(step(2));
        session.died(false);
        assert!(session.project.waiting() == 0 && session.run.active());
        let commands = session.on_event(found(None, Some(broken_off())));
        assert!(matches!(commands[0], Command::SendSamples(_)));
        assert_eq!(commands[1], Command::Send(TrainingRequest::Resume));
        // Steps since the last state come again, and count once.
        session.on_event(step(2));
        assert_eq!(session.curves.loss.len(), 2);

        // A paused one stays paused; one without a state begins anew.
        session.pause();
        session.on_event(TrainingEvent::Paused);
        session.died(false);
        let commands = session.on_event(found(None, Some(broken_off())));
        assert_eq!(
            commands.last(),
            Some(&Command::Send(TrainingRequest::Pause))
        );
        session.died(false);
        let commands = session.on_event(found(None, None));
        let begun = matches!(
            commands.last(),
            Some(Command::Send(TrainingRequest::Start { .. }))
        );
        assert!(begun && session.curves.loss.is_empty());
    }

    #[test]
    fn another_tab_gets_the_turn_when_all_is_kept() {
        let mut session = ready();
        assert_eq!(session.release_lock(), [], "not ours to give");
        let begin = Command::Send(TrainingRequest::Begin);
        assert_eq!(session.lock_acquired(true), [begin.clone()]);
        let commands = session.release_lock();
        assert!(session.locked_elsewhere());
        assert!(matches!(
            &commands[..],
            [
                Command::Send(TrainingRequest::KeepProject { .. }),
                Command::Send(TrainingRequest::HandOver)
            ]
        ));
        let commands = session.on_event(TrainingEvent::HandedOver);
        assert_eq!(
            commands,
            [Command::Release((1..=8).collect()), Command::ReleaseLock]
        );
        assert!(session.project.is_empty() && session.locked_elsewhere() && !session.connected);
        assert_eq!(session.opened(), []);
        assert_eq!(session.lock_acquired(true), [begin]);

        // Pictures that nobody could keep yet do not get lost on the way.
        session.edit(|project| project.add("a.png".into(), String::new(), None));
        assert_eq!(session.release_lock(), []);
        assert!(!session.locked_elsewhere());
        let commands = session.on_event(found(None, None));
        assert_eq!(
            commands.last(),
            Some(&Command::Send(TrainingRequest::HandOver))
        );
    }

    #[test]
    fn a_file_that_kills_the_worker_twice_is_left_out() {
        let mut session = ready();
        session.edit(|project| project.add("bad.png".into(), String::new(), None));
        session.died(true);
        assert_eq!(
            session.project.waiting(),
            1,
            "a lost GPU is no file's fault"
        );
        session.on_event(found(None, None));
        session.died(false);
        assert_eq!(session.project.waiting(), 1, "once may be chance");
        session.on_event(found(None, None));
        session.died(false);
        let bad = &session.project.samples[8];
        assert!(matches!(bad.reading, Reading::Bad(_)));
        let commands = session.on_event(found(None, None));
        assert_eq!(commands, [Command::SendSamples((1..=8).collect())]);
    }

    #[test]
    fn what_the_visitor_changed_holds_for_the_method_it_was_changed_for() {
        let mut session = ready();
        session.choose(Method::Lora);
        let amount = session.amount(&session.project.roles());
        assert_eq!(
            (amount.classes, amount.train, amount.held_out, amount.fewest),
            (2, 6, 2, 4)
        );
        let mut settings = session.settings(amount, None);
        settings.rank = 2;
        session.settings = Some(settings);
        assert_eq!(session.settings(amount, None).rank, 2);
        session.choose(Method::Full);
        session.choose(Method::Lora);
        assert_eq!(session.settings(amount, None).rank, 8);
    }
}
