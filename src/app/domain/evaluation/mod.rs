//! Evaluation on labelled images, as plain data: the data set, what is going on with it, and
//! what was found.
//!
//! | module | contents |
//! | --- | --- |
//! | [`choices`] | templates and class names |
//! | [`results`] | what was found |
//! | [`kept`] | what is kept for a later visit |
//! | [`address`] | addresses of data sets, and their download |

mod address;
mod choices;
mod kept;
mod results;

pub use address::{DatasetAddress, Download};
pub use choices::{NameChoice, TemplateChoice};
pub use kept::{DataSource, KeptState};
pub use results::Results;

use std::collections::BTreeMap;

use crate::app::i18n::{self, message, t};
use crate::diagnostic::Diagnostic;
use crate::engine::messages::{
    EvaluationEvent, EvaluationOutcome, EvaluationRequest, EvaluationStage,
};
use crate::eval::Limit;
use crate::zero_shot::{
    DEFAULT_TEMPLATE, LABEL_ONLY, PLACEHOLDER, TemplateSet, compared_sets, parse_class_names,
    parse_templates, template_sets,
};

/// Mistakes that are shown with their image.
const MISTAKES: usize = 20;
/// Images of a cell of the confusion matrix that are shown at first, and more with each
/// click.
const SHOWN: usize = 24;
/// Numbers of images per class to learn from.
pub const SHOTS: &str = "1, 2, 4, 8, 16, all";

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationTask {
    Evaluate,
    Prompts,
    Shots,
    Limit(Limit),
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageProgress {
    pub stage: EvaluationStage,
    pub done: u32,
    pub total: u32,
}

/// State of the evaluation.
#[derive(Clone, Debug)]
pub struct EvaluationSession {
    /// Name of the chosen data set.
    pub data: Option<String>,
    pub source: DataSource,
    /// Download of the data set, while it lasts.
    pub download: Option<Download>,
    /// Evaluation of an earlier visit that can be continued.
    pub kept: Option<KeptState>,
    /// Whether the images are from an earlier visit, and not at hand.
    pub restored: bool,
    /// Why the evaluation is not kept for a later visit.
    pub not_kept: Option<Diagnostic>,
    pub task: Option<EvaluationTask>,
    pub progress: Option<StageProgress>,
    pub paused: bool,
    /// What went wrong with the last task.
    pub error: Option<(EvaluationTask, Diagnostic)>,
    pub results: Option<Results>,
    /// Counts the changes of what the report shows.
    pub revision: u32,
    /// Whether the worker has the images of the results.
    pub held: bool,
    pub templates: TemplateChoice,
    /// Templates that the visitor wrote, one a line.
    pub written: String,
    pub names: NameChoice,
    /// Class names that the visitor wrote, one a line.
    pub written_names: String,
    /// Cell of the confusion matrix whose images are shown: true class and answer.
    pub cell: Option<(usize, usize)>,
    /// Images of the cell that are shown.
    pub shown: usize,
    /// Small copies of images: path and `data:` address.
    pub pictures: BTreeMap<String, String>,
    sets: BTreeMap<String, TemplateSet>,
    /// Whether the worker has its model.
    ready: bool,
    /// Whether the images wait for it.
    waiting: bool,
    /// Whether an earlier visit was asked about.
    asked: bool,
    /// Whether templates or class names were chosen while something else went on.
    chosen_meanwhile: bool,
}

impl Default for EvaluationSession {
    fn default() -> Self {
        Self {
            data: None,
            source: DataSource::Disk,
            download: None,
            kept: None,
            restored: false,
            not_kept: None,
            task: None,
            progress: None,
            paused: false,
            error: None,
            results: None,
            revision: 0,
            held: false,
            templates: TemplateChoice::Default,
            written: String::new(),
            names: NameChoice::Own,
            written_names: String::new(),
            cell: None,
            shown: SHOWN,
            pictures: BTreeMap::new(),
            // It ships with the page, and a test reads it.
            sets: template_sets().unwrap_or_default(),
            ready: false,
            waiting: false,
            asked: false,
            chosen_meanwhile: false,
        }
    }
}

/// What the controller does.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Sends the data set's files, with these templates and class names.
    SendFiles {
        templates: Vec<String>,
        class_names: Vec<String>,
    },
    Send(EvaluationRequest),
    /// Keeps the state for a later visit.
    Keep,
    /// Opens images once more.
    Reopen(DataSource),
    /// Downloads a data set.
    Download(DatasetAddress, DataSource),
}

impl EvaluationSession {
    /// Takes a data set, in place of another. The same images as those of an earlier visit go
    /// on with its figures.
    pub fn open(&mut self, name: String, source: DataSource) -> Vec<Command> {
        let same = std::mem::take(&mut self.restored) && self.data.as_ref() == Some(&name);
        self.download = None;
        if let Some(kept) = self.kept.take().filter(|kept| kept.name == name) {
            self.choose_as(&kept);
        }
        self.data = Some(name);
        self.source = source;
        self.not_kept = None;
        self.cell = None;
        self.held = false;
        self.revision += 1;
        if !same {
            self.results = None;
            self.pictures.clear();
            if self.templates == TemplateChoice::Own {
                self.templates = TemplateChoice::Default;
            }
        }
        let mut commands = self.evaluate();
        commands.push(Command::Keep);
        commands
    }

    /// Downloads a data set, to be opened then; an error if that is no address. `hub` is the
    /// URL of the hub.
    pub fn open_address(&mut self, text: &str, hub: &str) -> Result<Vec<Command>, Diagnostic> {
        let address = DatasetAddress::parse(text, hub)?;
        if self.task.is_some() {
            return Ok(Vec::new());
        }
        self.start(EvaluationTask::Evaluate);
        self.download = Some(Download::default());
        let source = DataSource::Address(text.trim().into());
        Ok(vec![Command::Download(address, source)])
    }

    /// A download has come further.
    pub fn downloading(&mut self, at: Download) {
        if let Some(download) = &mut self.download {
            *download = at;
        }
    }

    /// A download has failed.
    pub fn download_failed(&mut self, error: Diagnostic) {
        if self.download.take().is_some() {
            self.end();
            self.error = Some((EvaluationTask::Evaluate, error));
        }
    }

    /// Goes on with the evaluation of an earlier visit.
    pub fn restore(&mut self) -> Vec<Command> {
        let Some(kept) = self.kept.take() else {
            return Vec::new();
        };
        self.error = None;
        if kept.results.is_none() {
            // It was interrupted: the images are needed, but not encoded twice.
            let source = kept.source.clone();
            self.kept = Some(kept);
            return vec![Command::Reopen(source)];
        }
        self.choose_as(&kept);
        self.data = Some(kept.name);
        self.source = kept.source;
        // What was evaluated, whatever was chosen since.
        let templates =
            (kept.results.as_ref()).map_or_else(Vec::new, |found| found.report.templates.clone());
        self.results = kept.results;
        self.pictures = kept.pictures;
        self.restored = true;
        self.revision += 1;
        self.start(EvaluationTask::Evaluate);
        vec![Command::Send(EvaluationRequest::Restore {
            templates,
            class_names: self.chosen_names(),
        })]
    }

    fn choose_as(&mut self, kept: &KeptState) {
        self.templates = TemplateChoice::of_value(&kept.templates);
        self.written = kept.written.clone();
        self.names = NameChoice::of_value(&kept.names);
        self.written_names = kept.written_names.clone();
    }

    /// Deletes the evaluation of an earlier visit.
    pub fn forget(&mut self) -> Vec<Command> {
        self.kept = None;
        self.error = None;
        vec![Command::Send(EvaluationRequest::Close)]
    }

    /// What a later visit needs; `None` without a data set.
    pub fn to_keep(&self) -> Option<KeptState> {
        let mut kept = KeptState::new(self.data.clone()?, self.source.clone());
        kept.templates = self.templates.value();
        kept.written = self.written.clone();
        kept.names = self.names.value();
        kept.written_names = self.written_names.clone();
        kept.results = self.results.clone();
        let shown = kept
            .results
            .iter()
            .flat_map(|found| &found.report.evaluation.mistakes);
        kept.pictures = shown
            .take(MISTAKES)
            .filter_map(|mistake| self.pictures.get_key_value(&mistake.path))
            .map(|(path, address)| (path.clone(), address.clone()))
            .collect();
        Some(kept)
    }

    /// Reads the images and evaluates the model on them.
    pub fn evaluate(&mut self) -> Vec<Command> {
        if self.restored {
            return match &self.source {
                DataSource::Disk => {
                    let name = self.data.as_deref().unwrap_or_default();
                    let error = message!("choose-again", name = name);
                    self.error = Some((EvaluationTask::Evaluate, error));
                    Vec::new()
                }
                source => vec![Command::Reopen(source.clone())],
            };
        }
        self.start(EvaluationTask::Evaluate);
        match self.ready {
            true => self.send_files(),
            false => {
                self.waiting = true;
                Vec::new()
            }
        }
    }

    fn send_files(&mut self) -> Vec<Command> {
        self.waiting = false;
        vec![Command::SendFiles {
            templates: self.chosen(),
            class_names: self.chosen_names(),
        }]
    }

    fn start(&mut self, task: EvaluationTask) {
        self.task = Some(task);
        self.progress = None;
        self.paused = false;
        self.error = None;
    }

    /// Templates to evaluate with.
    pub fn chosen(&self) -> Vec<String> {
        let found = match &self.templates {
            TemplateChoice::Default => Vec::new(),
            TemplateChoice::LabelOnly => vec![LABEL_ONLY.into()],
            TemplateChoice::Own => {
                (self.results.as_ref()).map_or_else(Vec::new, |found| found.own_templates.clone())
            }
            TemplateChoice::Set(name) => {
                (self.sets.get(name)).map_or_else(Vec::new, |set| set.templates.clone())
            }
            TemplateChoice::Written => parse_templates(&self.written),
        };
        match found.is_empty() {
            true => vec![DEFAULT_TEMPLATE.into()],
            false => found,
        }
    }

    /// Names for classes that are numbers; none for the data set's own.
    pub fn chosen_names(&self) -> Vec<String> {
        match &self.names {
            NameChoice::Own => Vec::new(),
            NameChoice::Set(name) => {
                (self.sets.get(name)).map_or_else(Vec::new, |set| set.classes.clone())
            }
            NameChoice::Written => parse_class_names(&self.written_names),
        }
    }

    /// What is wrong with the visitor's class names.
    pub fn names_problem(&self) -> Option<&'static str> {
        let empty = self.names == NameChoice::Written && self.chosen_names().is_empty();
        empty.then_some(t!("names-missing"))
    }

    /// Names of the sets of class names to choose from, with their numbers of classes.
    pub fn names_sets(&self) -> Vec<(String, usize)> {
        (self.sets.iter())
            .filter(|(_, set)| !set.classes.is_empty())
            .map(|(name, set)| (name.clone(), set.classes.len()))
            .collect()
    }

    /// What is wrong with the visitor's templates.
    pub fn problem(&self) -> Option<String> {
        if self.templates != TemplateChoice::Written {
            return None;
        }
        let written = parse_templates(&self.written);
        if written.is_empty() {
            return Some(t!("templates-missing").into());
        }
        (written.iter())
            .find(|template| !template.contains(PLACEHOLDER))
            .map(|template| t!("template-lacks-label", template = template))
    }

    /// Names of the sets of templates to choose from, with their numbers of templates.
    pub fn set_names(&self) -> Vec<(String, usize)> {
        (self.sets.iter())
            .filter(|(_, set)| !set.templates.is_empty())
            .map(|(name, set)| (name.clone(), set.templates.len()))
            .collect()
    }

    /// Evaluates with the chosen templates and class names, if there is something to evaluate;
    /// after what is going on.
    pub fn use_choices(&mut self) -> Vec<Command> {
        self.chosen_meanwhile = self.task.is_some();
        if self.problem().is_some() || self.names_problem().is_some() || !self.can_start() {
            return Vec::new();
        }
        self.start(EvaluationTask::Evaluate);
        vec![Command::Send(EvaluationRequest::Evaluate {
            templates: self.chosen(),
            class_names: self.chosen_names(),
        })]
    }

    /// Whether a task on the images can be started.
    pub fn can_start(&self) -> bool {
        self.held && self.task.is_none()
    }

    /// Compares sets of templates.
    pub fn compare_prompts(&mut self) -> Vec<Command> {
        if !self.can_start() || self.problem().is_some() {
            return Vec::new();
        }
        self.start(EvaluationTask::Prompts);
        let own = (self.results.as_ref()).map_or_else(Vec::new, |r| r.own_templates.clone());
        let chosen = self.chosen();
        let name = match &self.templates {
            TemplateChoice::Set(name) => format!("{name} ({})", chosen.len()),
            _ => match chosen.as_slice() {
                [only] => only.clone(),
                _ => t!("your-own", count = chosen.len()),
            },
        };
        let sets = compared_sets(&self.sets, &own, &[(name, chosen)]);
        vec![Command::Send(EvaluationRequest::Prompts { sets })]
    }

    /// Compares zero-shot with learning from few images. `shots`: as [`parse_shots`].
    pub fn learn(&mut self, shots: Vec<Option<u32>>, draws: u32) -> Vec<Command> {
        if !self.can_start() {
            return Vec::new();
        }
        self.start(EvaluationTask::Shots);
        vec![Command::Send(EvaluationRequest::Shots { shots, draws })]
    }

    /// Tries a limit.
    pub fn try_limit(&mut self, limit: Limit) -> Vec<Command> {
        if !self.can_start() {
            return Vec::new();
        }
        self.start(EvaluationTask::Limit(limit));
        vec![Command::Send(EvaluationRequest::Limit(limit))]
    }

    /// Whether what is going on can be paused.
    pub fn can_pause(&self) -> bool {
        self.task.is_some() && !self.waiting && self.download.is_none()
    }

    pub fn pause(&mut self, paused: bool) -> Vec<Command> {
        if !self.can_pause() {
            return Vec::new();
        }
        self.paused = paused;
        vec![Command::Send(EvaluationRequest::Pause(paused))]
    }

    /// Whether the images wait for a model.
    pub fn waits(&self) -> bool {
        self.waiting
    }

    /// Ends what is going on.
    pub fn cancel(&mut self) -> Vec<Command> {
        if self.download.take().is_some() {
            self.end();
            return Vec::new();
        }
        if std::mem::take(&mut self.waiting) {
            self.end();
            return Vec::new();
        }
        vec![Command::Send(EvaluationRequest::Cancel)]
    }

    fn end(&mut self) {
        self.task = None;
        self.progress = None;
        self.paused = false;
    }

    /// Forgets the data set.
    pub fn close(&mut self) -> Vec<Command> {
        self.end();
        self.waiting = false;
        self.download = None;
        self.kept = None;
        self.restored = false;
        self.not_kept = None;
        self.data = None;
        self.error = None;
        self.results = None;
        self.pictures.clear();
        self.cell = None;
        self.held = false;
        self.revision += 1;
        vec![Command::Send(EvaluationRequest::Close)]
    }

    /// Shows the images of a cell of the confusion matrix.
    pub fn show_cell(&mut self, truth: usize, answer: usize) -> Vec<Command> {
        self.cell = Some((truth, answer));
        self.shown = SHOWN;
        self.ask_pictures()
    }

    /// Shows more images of the cell.
    pub fn show_more(&mut self) -> Vec<Command> {
        self.shown += SHOWN;
        self.ask_pictures()
    }

    /// Paths of the cell's images.
    pub fn cell_paths(&self) -> Vec<String> {
        let (Some((truth, answer)), Some(results)) = (self.cell, &self.results) else {
            return Vec::new();
        };
        (results.images.iter())
            .filter(|image| image.truth as usize == truth && image.answer as usize == answer)
            .map(|image| image.path.clone())
            .collect()
    }

    fn ask_pictures(&self) -> Vec<Command> {
        let paths: Vec<String> = (self.cell_paths().into_iter().take(self.shown))
            .filter(|path| !self.pictures.contains_key(path))
            .collect();
        match paths.is_empty() || !self.held {
            true => Vec::new(),
            false => vec![Command::Send(EvaluationRequest::Pictures { paths })],
        }
    }

    /// A model was loaded by a fresh worker.
    pub fn opened(&mut self) -> Vec<Command> {
        self.ready = true;
        let mut commands = match self.waiting {
            true => self.send_files(),
            false => Vec::new(),
        };
        if !std::mem::replace(&mut self.asked, true) && self.data.is_none() {
            commands.push(Command::Send(EvaluationRequest::Kept));
        }
        commands
    }

    /// A fresh worker starts: it knows nothing yet.
    pub fn disconnected(&mut self) {
        self.ready = false;
        self.held = false;
        if let Some(task) = self
            .task
            .filter(|_| !self.waiting && self.download.is_none())
        {
            self.end();
            self.error = Some((task, message!("model-loaded-anew")));
        }
    }

    pub fn on_event(&mut self, event: EvaluationEvent) -> Vec<Command> {
        if event == EvaluationEvent::Cancelled {
            self.chosen_meanwhile = false;
        }
        let mut commands = self.take_event(event);
        if self.chosen_meanwhile && self.can_start() {
            commands.extend(self.use_choices());
        }
        commands
    }

    fn take_event(&mut self, event: EvaluationEvent) -> Vec<Command> {
        match event {
            EvaluationEvent::Progress { stage, done, total } => {
                // One that was on its way may come after the end.
                if self.task.is_some() {
                    self.progress = Some(StageProgress { stage, done, total });
                }
                return Vec::new();
            }
            EvaluationEvent::Pictures(found) => {
                let mistaken = |results: &Results| {
                    (results.report.evaluation.mistakes.iter())
                        .any(|mistake| found.iter().any(|(path, _)| *path == mistake.path))
                };
                let mistaken = self.results.as_ref().is_some_and(mistaken);
                self.pictures.extend(found);
                if mistaken {
                    self.revision += 1;
                    return vec![Command::Keep];
                }
                return Vec::new();
            }
            EvaluationEvent::Kept(state) => {
                if let Some(state) = state.filter(|_| self.data.is_none()) {
                    self.kept = KeptState::parse(&state);
                    if self.kept.is_none() {
                        let error = message!("kept-unreadable");
                        self.error = Some((EvaluationTask::Evaluate, error));
                    }
                }
                return Vec::new();
            }
            EvaluationEvent::NotKept { error } => {
                self.not_kept = Some(error);
                return Vec::new();
            }
            EvaluationEvent::Restored => self.held = true,
            EvaluationEvent::Failed { error } => {
                let task = self.task.unwrap_or(EvaluationTask::Evaluate);
                self.error = Some((task, error));
            }
            EvaluationEvent::Closed => self.held = false,
            EvaluationEvent::Cancelled => {}
            EvaluationEvent::Evaluated(outcome) => {
                self.end();
                return self.evaluated(*outcome);
            }
            event => {
                self.end();
                let Some(results) = &mut self.results else {
                    return Vec::new();
                };
                results.add(event);
                self.revision += 1;
                return vec![Command::Keep];
            }
        }
        self.end();
        Vec::new()
    }

    fn evaluated(&mut self, outcome: EvaluationOutcome) -> Vec<Command> {
        self.held = true;
        self.revision += 1;
        self.cell = None;
        let before = self.results.take();
        let mut results = Results {
            report: outcome.report,
            images: outcome.images,
            problems: outcome.problems,
            own_templates: outcome.own_templates,
        };
        if let Some(before) = before {
            results.carry_over(before);
        }
        let mistakes = results.report.evaluation.mistakes.iter().take(MISTAKES);
        let paths: Vec<String> = mistakes
            .map(|mistake| mistake.path.clone())
            .filter(|path| !self.pictures.contains_key(path))
            .collect();
        self.results = Some(results);
        let mut commands = vec![Command::Keep];
        if !paths.is_empty() {
            commands.push(Command::Send(EvaluationRequest::Pictures { paths }));
        }
        commands
    }
}

/// An error as a sentence, with a capital.
pub fn sentence(error: &Diagnostic) -> String {
    let text = i18n::sentence(error);
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase());
    first.into_iter().flatten().chain(letters).collect()
}

/// Numbers of images per class: "1, 2, 4, all".
pub fn parse_shots(text: &str) -> Result<Vec<Option<u32>>, String> {
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    let shots: Vec<Option<u32>> = parts
        .map(|part| match part.parse() {
            Ok(0) | Err(_) if part != "all" => Err(t!("not-a-number", part = part)),
            number => Ok(number.ok()),
        })
        .collect::<Result<_, _>>()?;
    match shots.is_empty() {
        true => Err(t!("write-numbers").into()),
        false => Ok(shots),
    }
}

/// A stage in words.
pub fn stage_text(progress: &StageProgress) -> String {
    let StageProgress { stage, done, total } = progress;
    match stage {
        EvaluationStage::Images => t!("encoding-images-of", done = done, total = total),
        EvaluationStage::Prompts => t!("encoding-prompts-of", done = done, total = total),
        EvaluationStage::FewImages => t!("learning-of", done = done, total = total),
        EvaluationStage::Limit => t!("trying-of", done = done, total = total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::messages::EvaluatedImage;
    use crate::eval::{LimitResult, PromptComparison, Report};

    fn outcome(model: &str, answers: &[u32]) -> EvaluationEvent {
        let mut report = Report {
            model: model.into(),
            templates: vec![DEFAULT_TEMPLATE.into()],
            ..Report::default()
        };
        report.evaluation.mistakes.push(crate::eval::Mistake {
            path: "0.png".into(),
            truth: "cat".into(),
            answer: "dog".into(),
            probability: 0.9,
            truth_probability: 0.1,
        });
        let images = (answers.iter().enumerate())
            .map(|(index, answer)| EvaluatedImage {
                path: format!("{index}.png"),
                truth: 0,
                answer: *answer,
            })
            .collect();
        EvaluationEvent::Evaluated(Box::new(EvaluationOutcome {
            report,
            images,
            ..EvaluationOutcome::default()
        }))
    }

    fn evaluated(model: &str, answers: &[u32]) -> EvaluationSession {
        let mut session = EvaluationSession::default();
        session.opened();
        session.open("pets".into(), DataSource::Disk);
        session.on_event(outcome(model, answers));
        session
    }

    #[test]
    fn images_wait_for_the_model_and_mistakes_are_shown() {
        let mut session = EvaluationSession::default();
        assert_eq!(
            session.open("pets".into(), DataSource::Disk),
            [Command::Keep]
        );
        assert_eq!(session.task, Some(EvaluationTask::Evaluate));
        assert!(session.waits() && session.pause(true).is_empty());
        let sent = session.opened();
        let templates = vec![DEFAULT_TEMPLATE.into()];
        let class_names = Vec::new();
        assert_eq!(
            sent,
            [Command::SendFiles {
                templates,
                class_names
            }]
        );
        assert!(session.opened().is_empty(), "once");
        let asked = session.on_event(outcome("a", &[1, 0]));
        let paths = vec!["0.png".to_owned()];
        assert_eq!(
            asked,
            [
                Command::Keep,
                Command::Send(EvaluationRequest::Pictures { paths })
            ]
        );
        assert!(session.can_start());
        let before = session.revision;
        session.on_event(EvaluationEvent::Pictures(vec![(
            "1.png".into(),
            String::new(),
        )]));
        assert_eq!(session.revision, before);
        session.on_event(EvaluationEvent::Pictures(vec![(
            "0.png".into(),
            String::new(),
        )]));
        assert_eq!(session.revision, before + 1);
    }

    #[test]
    fn a_second_model_is_compared_on_the_same_images() {
        let mut session = evaluated("a", &[0, 1, 0]);
        session.on_event(EvaluationEvent::Prompts {
            comparison: PromptComparison::default(),
            notes: Vec::new(),
        });
        session.disconnected();
        assert!(!session.can_start() && session.error.is_none());
        session.opened();
        session.evaluate();
        session.on_event(outcome("b", &[0, 0, 1]));
        let report = &session.results.as_ref().unwrap().report;
        let comparison = report.comparison.as_ref().unwrap();
        assert_eq!(
            (report.model.as_str(), comparison.model.as_str()),
            ("b", "a")
        );
        assert_eq!(
            (comparison.test.only_first, comparison.test.only_second),
            (1, 1)
        );
        assert_eq!(report.prompts, None, "of the other model");
        // Other images are another matter.
        session.on_event(outcome("c", &[0]));
        assert_eq!(session.results.unwrap().report.comparison, None);
    }

    #[test]
    fn other_templates_keep_what_does_not_depend_on_them() {
        let mut session = evaluated("a", &[0, 1]);
        for limit in [Limit::Negation, Limit::WrittenWords, Limit::Counting] {
            session.try_limit(limit);
            assert!(!session.can_start());
            let result = LimitResult {
                name: limit.name().into(),
                ..LimitResult::default()
            };
            session.on_event(EvaluationEvent::Limit(result));
        }
        session.templates = TemplateChoice::LabelOnly;
        let sent = session.use_choices();
        let templates = vec!["{label}".to_owned()];
        assert_eq!(
            sent,
            [Command::Send(EvaluationRequest::Evaluate {
                templates,
                class_names: Vec::new()
            })]
        );
        let EvaluationEvent::Evaluated(mut other) = outcome("a", &[0, 0]) else {
            panic!("no outcome");
        };
        other.report.templates = vec![LABEL_ONLY.into()];
        session.on_event(EvaluationEvent::Evaluated(other));
        let limits = &session.results.as_ref().unwrap().report.limits;
        let names: Vec<&str> = limits.iter().map(|limit| limit.name.as_str()).collect();
        assert_eq!(names, ["Counting", "Negation"]);
    }

    #[test]
    fn what_is_chosen_meanwhile_is_used_afterwards() {
        let mut session = evaluated("a", &[0]);
        session.try_limit(Limit::Counting);
        session.templates = TemplateChoice::LabelOnly;
        assert!(session.use_choices().is_empty());
        let sent = session.on_event(EvaluationEvent::Limit(LimitResult::default()));
        let templates = vec![LABEL_ONLY.to_owned()];
        let class_names = Vec::new();
        assert_eq!(
            sent,
            [
                Command::Keep,
                Command::Send(EvaluationRequest::Evaluate {
                    templates,
                    class_names
                })
            ]
        );
        session.templates = TemplateChoice::Default;
        session.use_choices();
        assert!(session.on_event(EvaluationEvent::Cancelled).is_empty());
        assert!(session.can_start());
    }

    #[test]
    fn templates_are_checked_and_compared() {
        let mut session = evaluated("a", &[0]);
        session.templates = TemplateChoice::Written;
        assert!(session.problem().is_some());
        session.written = "a sketch".into();
        assert!(session.problem().unwrap().contains("a sketch"));
        assert!(session.compare_prompts().is_empty());
        session.written = "a sketch of {}".into();
        assert_eq!(session.problem(), None);
        let sent = session.compare_prompts();
        let [Command::Send(EvaluationRequest::Prompts { sets })] = &sent[..] else {
            panic!("{sent:?}");
        };
        let names: Vec<&str> = sets.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "label only",
                DEFAULT_TEMPLATE,
                "a sketch of {label}",
                "imagenet (80)"
            ]
        );
        for choice in [
            TemplateChoice::Default,
            TemplateChoice::LabelOnly,
            TemplateChoice::Own,
            TemplateChoice::Written,
            TemplateChoice::Set("cifar10".into()),
        ] {
            assert_eq!(TemplateChoice::of_value(&choice.value()), choice);
        }
        session.templates = TemplateChoice::Set("cifar10".into());
        assert_eq!(session.chosen().len(), 18);
    }

    #[test]
    fn what_is_going_on_can_be_ended() {
        let mut session = evaluated("a", &[0]);
        session.learn(vec![Some(1)], 2);
        session.on_event(EvaluationEvent::Progress {
            stage: EvaluationStage::FewImages,
            done: 1,
            total: 4,
        });
        assert_eq!(
            stage_text(&session.progress.unwrap()),
            "Learning from few images: 1 of 4 fits"
        );
        let sent = session.pause(true);
        assert_eq!(sent, [Command::Send(EvaluationRequest::Pause(true))]);
        assert_eq!(session.cancel(), [Command::Send(EvaluationRequest::Cancel)]);
        session.on_event(EvaluationEvent::Cancelled);
        assert!(session.can_start() && !session.paused);
        session.learn(vec![None], 1);
        session.on_event(EvaluationEvent::Failed {
            error: "no luck".into(),
        });
        let (task, error) = session.error.as_ref().unwrap();
        assert_eq!(
            (*task, sentence(error).as_str()),
            (EvaluationTask::Shots, "No luck.")
        );
        session.learn(vec![None], 1);
        session.disconnected();
        assert!(session.error.is_some() && session.task.is_none());
        session.close();
        assert!(session.data.is_none() && session.results.is_none());
    }

    #[test]
    fn a_cell_shows_its_images() {
        let mut session = evaluated("a", &[1; 30]);
        let sent = session.show_cell(0, 1);
        let [Command::Send(EvaluationRequest::Pictures { paths })] = &sent[..] else {
            panic!("{sent:?}");
        };
        assert_eq!(paths.len(), SHOWN);
        assert_eq!(session.cell_paths().len(), 30);
        session.on_event(EvaluationEvent::Pictures(
            paths
                .iter()
                .map(|path| (path.clone(), String::new()))
                .collect(),
        ));
        let more = session.show_more();
        let [Command::Send(EvaluationRequest::Pictures { paths })] = &more[..] else {
            panic!("{more:?}");
        };
        assert_eq!(paths.len(), 6);
        assert!(session.show_cell(1, 0).is_empty());
    }

    /// What a session keeps, as a later visit reads it.
    fn later(session: &EvaluationSession) -> EvaluationSession {
        let state = serde_json::to_string(&session.to_keep().unwrap()).unwrap();
        let mut later = EvaluationSession::default();
        let asked = later.opened();
        assert_eq!(asked, [Command::Send(EvaluationRequest::Kept)]);
        assert!(
            later
                .on_event(EvaluationEvent::Kept(Some(state)))
                .is_empty()
        );
        later
    }

    #[test]
    fn a_later_visit_shows_what_an_earlier_one_found() {
        let mut session = evaluated("a", &[0, 1]);
        session.templates = TemplateChoice::LabelOnly;
        session.names = NameChoice::Written;
        session.written_names = "cat\n dog ".into();
        session.use_choices();
        session.on_event(outcome("a", &[0, 0]));
        let pictures = vec![
            ("0.png".into(), "data:0".into()),
            ("1.png".into(), "data:1".into()),
        ];
        session.on_event(EvaluationEvent::Pictures(pictures));
        session.on_event(EvaluationEvent::Prompts {
            comparison: PromptComparison::default(),
            notes: Vec::new(),
        });
        let mut later = later(&session);
        let sent = later.restore();
        assert_eq!(
            sent,
            [Command::Send(EvaluationRequest::Restore {
                templates: vec![DEFAULT_TEMPLATE.into()],
                class_names: vec!["cat".into(), "dog".into()],
            })]
        );
        assert_eq!(later.results, session.results);
        assert_eq!(later.pictures.len(), 1, "that of the mistake");
        assert!(!later.can_start());
        later.on_event(EvaluationEvent::Restored);
        assert!(later.can_start() && later.kept.is_none());
        // The images are wanted for another model.
        assert!(later.evaluate().is_empty());
        assert!(
            later
                .error
                .as_ref()
                .unwrap()
                .1
                .text()
                .contains("“pets” again")
        );
        // The same images go on with the figures, others do not.
        later.open("pets".into(), DataSource::Disk);
        later.on_event(outcome("a", &[0, 0]));
        let mut prompts = session.results.clone().unwrap();
        prompts.report.templates = vec![DEFAULT_TEMPLATE.into()];
        assert_eq!(later.results, Some(prompts));
        later.open("others".into(), DataSource::Disk);
        assert_eq!(later.results, None);
    }

    #[test]
    fn an_interrupted_evaluation_is_offered_again() {
        let mut session = EvaluationSession::default();
        session.opened();
        session.templates = TemplateChoice::Set("cifar10".into());
        session.open("samples".into(), DataSource::Samples);
        let mut again = later(&session);
        assert_eq!(again.restore(), [Command::Reopen(DataSource::Samples)]);
        again.open("samples".into(), DataSource::Samples);
        assert_eq!(again.templates, TemplateChoice::Set("cifar10".into()));
        let mut other = later(&session);
        other.open("others".into(), DataSource::Disk);
        assert_eq!(other.templates, TemplateChoice::Default);
        let mut gone = later(&session);
        assert_eq!(gone.forget(), [Command::Send(EvaluationRequest::Close)]);
        assert!(gone.kept.is_none());

        let mut broken = EvaluationSession::default();
        broken.on_event(EvaluationEvent::Kept(Some("{".into())));
        assert!(broken.error.unwrap().1.text().contains("cannot be read"));
        let mut none = EvaluationSession::default();
        none.on_event(EvaluationEvent::Kept(None));
        assert!(none.error.is_none() && none.kept.is_none());
    }

    #[test]
    fn a_data_set_is_downloaded() {
        let mut session = EvaluationSession::default();
        session.opened();
        assert!(session.open_address("nowhere", "https://hub").is_err());
        assert!(session.task.is_none());
        let sent = session
            .open_address("https://x.org/pets", "https://hub")
            .unwrap();
        let Some(Command::Download(address, source)) = sent.last() else {
            panic!("{sent:?}");
        };
        assert_eq!(address.base, "https://x.org/pets/");
        session.downloading(Download {
            bytes: 5,
            ..Download::default()
        });
        assert_eq!(session.download.unwrap().bytes, 5);
        assert!(session.pause(true).is_empty());
        assert!(session.cancel().is_empty());
        assert!(session.task.is_none() && session.download.is_none());
        session.download_failed("late".into());
        assert!(session.error.is_none(), "it was cancelled");
        session.open_address("https://x.org/pets", "").unwrap();
        session.download_failed("no such file".into());
        let (_, error) = session.error.as_ref().unwrap();
        assert_eq!(sentence(error), "No such file.");
        session.open_address("https://x.org/pets", "").unwrap();
        assert!(
            session
                .open_address("https://x.org/b", "")
                .unwrap()
                .is_empty()
        );
        session.open("pets".into(), source.clone());
        assert!(session.download.is_none() && session.error.is_none());
        // What was open stays until then.
        session.on_event(outcome("a", &[0]));
        session.open_address("https://x.org/b", "").unwrap();
        session.download_failed("no such file".into());
        assert!(session.results.is_some() && session.can_start());
    }

    #[test]
    fn other_class_names_drop_what_depends_on_them() {
        let named = |name: &str| {
            let EvaluationEvent::Evaluated(mut outcome) = outcome("a", &[0]) else {
                panic!("no outcome");
            };
            outcome
                .report
                .evaluation
                .classes
                .push(crate::eval::ClassResult {
                    name: name.into(),
                    images: 1,
                    right: 0,
                });
            EvaluationEvent::Evaluated(outcome)
        };
        let mut session = evaluated("a", &[0]);
        session.on_event(named("0"));
        session.on_event(EvaluationEvent::Prompts {
            comparison: PromptComparison::default(),
            notes: Vec::new(),
        });
        for limit in [Limit::Negation, Limit::Counting] {
            let name = limit.name().into();
            let result = LimitResult {
                name,
                ..LimitResult::default()
            };
            session.on_event(EvaluationEvent::Limit(result));
        }
        assert_eq!(session.names_problem(), None);
        session.names = NameChoice::Written;
        assert!(session.names_problem().is_some() && session.use_choices().is_empty());
        session.names = NameChoice::Set("mnist".into());
        let sent = session.use_choices();
        assert!(
            matches!(&sent[..], [Command::Send(EvaluationRequest::Evaluate { class_names, .. })]
                if class_names.len() == 10)
        );
        session.on_event(named("airplane"));
        let report = &session.results.as_ref().unwrap().report;
        assert_eq!((report.prompts.as_ref(), report.limits.len()), (None, 1));
        for choice in [
            NameChoice::Own,
            NameChoice::Written,
            NameChoice::Set("x".into()),
        ] {
            assert_eq!(NameChoice::of_value(&choice.value()), choice);
        }
    }

    #[test]
    fn numbers_of_shots_are_read() {
        assert_eq!(
            parse_shots(SHOTS).unwrap(),
            [Some(1), Some(2), Some(4), Some(8), Some(16), None]
        );
        assert!(parse_shots("1, none").unwrap_err().contains("none"));
        assert!(parse_shots("0").is_err() && parse_shots(" , ").is_err());
    }
}
