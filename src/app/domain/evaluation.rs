//! Evaluation on labelled images, as plain data: the data set, what is going on with it, and
//! what was found.

use std::collections::BTreeMap;

use crate::engine::messages::{
    EvaluatedImage, EvaluationEvent, EvaluationOutcome, EvaluationRequest, EvaluationStage, Problem,
};
use crate::eval::{Limit, McNemar, ModelComparison, Report};
use crate::zero_shot::{
    DEFAULT_TEMPLATE, LABEL_ONLY, PLACEHOLDER, TemplateSet, compared_sets, parse_templates,
    template_sets,
};

/// Mistakes that are shown with their image.
const MISTAKES: usize = 20;
/// Images of a cell of the confusion matrix that are shown at first, and more with each
/// click.
const SHOWN: usize = 24;
/// Limits that are tried with templates of their own; the others take those of the
/// classifier.
const TEMPLATES_OF_THEIR_OWN: [Limit; 7] = [
    Limit::Counting,
    Limit::LeftAndRight,
    Limit::Distance,
    Limit::Digits,
    Limit::Handwriting,
    Limit::Negation,
    Limit::Bias,
];
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

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    pub report: Report,
    pub images: Vec<EvaluatedImage>,
    pub problems: Vec<Problem>,
    pub own_templates: Vec<String>,
}

/// Templates that are chosen to evaluate with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateChoice {
    Default,
    LabelOnly,
    /// Of the data set.
    Own,
    /// Of a published data set, by name.
    Set(String),
    /// The visitor's.
    Written,
}

impl TemplateChoice {
    /// Value of an option.
    pub fn value(&self) -> String {
        match self {
            Self::Default => "default".into(),
            Self::LabelOnly => "label".into(),
            Self::Own => "own".into(),
            Self::Written => "written".into(),
            Self::Set(name) => format!("set {name}"),
        }
    }

    /// The choice of an option's value.
    pub fn of_value(value: &str) -> Self {
        match value {
            "label" => Self::LabelOnly,
            "own" => Self::Own,
            "written" => Self::Written,
            value => match value.strip_prefix("set ") {
                Some(name) => Self::Set(name.into()),
                None => Self::Default,
            },
        }
    }
}

/// State of the evaluation.
#[derive(Clone, Debug)]
pub struct EvaluationSession {
    /// Name of the chosen data set.
    pub data: Option<String>,
    pub task: Option<EvaluationTask>,
    pub progress: Option<StageProgress>,
    pub paused: bool,
    /// What went wrong with the last task.
    pub error: Option<(EvaluationTask, String)>,
    pub results: Option<Results>,
    /// Counts the changes of what the report shows.
    pub revision: u32,
    /// Whether the worker has the images of the results.
    pub held: bool,
    pub templates: TemplateChoice,
    /// Templates that the visitor wrote, one a line.
    pub written: String,
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
}

impl Default for EvaluationSession {
    fn default() -> Self {
        Self {
            data: None,
            task: None,
            progress: None,
            paused: false,
            error: None,
            results: None,
            revision: 0,
            held: false,
            templates: TemplateChoice::Default,
            written: String::new(),
            cell: None,
            shown: SHOWN,
            pictures: BTreeMap::new(),
            // It ships with the page, and a test reads it.
            sets: template_sets().unwrap_or_default(),
            ready: false,
            waiting: false,
        }
    }
}

/// What the controller does.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Sends the data set's files, with these templates.
    SendFiles(Vec<String>),
    Send(EvaluationRequest),
}

impl EvaluationSession {
    /// Takes a data set, in place of another.
    pub fn open(&mut self, name: String) -> Vec<Command> {
        self.data = Some(name);
        self.results = None;
        self.pictures.clear();
        self.cell = None;
        self.held = false;
        self.revision += 1;
        if self.templates == TemplateChoice::Own {
            self.templates = TemplateChoice::Default;
        }
        self.evaluate()
    }

    /// Reads the images and evaluates the model on them.
    pub fn evaluate(&mut self) -> Vec<Command> {
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
        vec![Command::SendFiles(self.chosen())]
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

    /// What is wrong with the visitor's templates.
    pub fn problem(&self) -> Option<String> {
        if self.templates != TemplateChoice::Written {
            return None;
        }
        let written = parse_templates(&self.written);
        if written.is_empty() {
            return Some("Write one template a line, with {label} where the class goes.".into());
        }
        (written.iter())
            .find(|template| !template.contains(PLACEHOLDER))
            .map(|template| format!("“{template}” has no {{label}} in it."))
    }

    /// Names of the sets of templates to choose from, with their numbers of templates.
    pub fn set_names(&self) -> Vec<(String, usize)> {
        (self.sets.iter())
            .filter(|(_, set)| !set.templates.is_empty())
            .map(|(name, set)| (name.clone(), set.templates.len()))
            .collect()
    }

    /// Evaluates with the chosen templates, if there is something to evaluate.
    pub fn use_templates(&mut self) -> Vec<Command> {
        if self.problem().is_some() || !self.can_start() {
            return Vec::new();
        }
        self.start(EvaluationTask::Evaluate);
        let templates = self.chosen();
        vec![Command::Send(EvaluationRequest::Evaluate { templates })]
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
                _ => format!("your own ({})", chosen.len()),
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

    pub fn pause(&mut self, paused: bool) -> Vec<Command> {
        if self.task.is_none() || self.waiting {
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
        match self.waiting {
            true => self.send_files(),
            false => Vec::new(),
        }
    }

    /// A fresh worker starts: it knows nothing yet.
    pub fn disconnected(&mut self) {
        self.ready = false;
        self.held = false;
        if let Some(task) = self.task.filter(|_| !self.waiting) {
            self.end();
            self.error = Some((
                task,
                "The model was loaded anew, which ended this. Start it again.".into(),
            ));
        }
    }

    pub fn on_event(&mut self, event: EvaluationEvent) -> Vec<Command> {
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
                if self.results.as_ref().is_some_and(mistaken) {
                    self.revision += 1;
                }
                self.pictures.extend(found);
                return Vec::new();
            }
            EvaluationEvent::Failed { error } => {
                let task = self.task.unwrap_or(EvaluationTask::Evaluate);
                self.error = Some((task, sentence(&error)));
            }
            EvaluationEvent::Closed => self.held = false,
            EvaluationEvent::Cancelled => {}
            EvaluationEvent::Evaluated(outcome) => {
                self.end();
                return self.evaluated(*outcome);
            }
            event => {
                if let Some(results) = &mut self.results {
                    results.add(event);
                    self.revision += 1;
                }
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
        match paths.is_empty() {
            true => Vec::new(),
            false => vec![Command::Send(EvaluationRequest::Pictures { paths })],
        }
    }
}

impl Results {
    fn right(&self) -> Vec<bool> {
        (self.images.iter())
            .map(|image| image.truth == image.answer)
            .collect()
    }

    fn add(&mut self, event: EvaluationEvent) {
        match event {
            EvaluationEvent::Prompts { comparison, notes } => {
                self.report.prompts = Some(comparison);
                let new = notes.into_iter().filter(|n| !self.report.notes.contains(n));
                let new: Vec<String> = new.collect();
                self.report.notes.extend(new);
            }
            EvaluationEvent::Shots(curve) => self.report.shots = Some(curve),
            EvaluationEvent::Limit(result) => {
                let limits = &mut self.report.limits;
                limits.retain(|known| known.name != result.name);
                limits.push(result);
                let place = |name: &str| Limit::ALL.iter().position(|limit| limit.name() == name);
                limits.sort_by_key(|limit| place(&limit.name));
            }
            _ => {}
        }
    }

    /// Keeps what still holds of earlier results on the same images: of the same model with
    /// other templates, or of another model, with which this one is then compared.
    fn carry_over(&mut self, before: Results) {
        let same = |(a, b): (&EvaluatedImage, &EvaluatedImage)| a.path == b.path;
        if self.images.len() != before.images.len()
            || !self.images.iter().zip(&before.images).all(same)
        {
            return;
        }
        let right = before.right();
        let report = &mut self.report;
        if report.model == before.report.model {
            report.prompts = before.report.prompts;
            report.limits = before.report.limits;
            let kept = TEMPLATES_OF_THEIR_OWN.map(Limit::name);
            (report.limits).retain(|limit| kept.contains(&limit.name.as_str()));
        } else if report.templates == before.report.templates {
            self.report.comparison = Some(ModelComparison {
                model: before.report.model,
                metrics: before.report.metrics,
                test: McNemar::new(&self.right(), &right),
            });
        }
    }
}

/// An error message as a sentence.
fn sentence(error: &str) -> String {
    let mut letters = error.chars();
    let first = letters.next().map(|letter| letter.to_uppercase());
    let text: String = first.into_iter().flatten().chain(letters).collect();
    match text.ends_with(['.', '!', '?']) {
        true => text,
        false => format!("{text}."),
    }
}

/// Numbers of images per class: "1, 2, 4, all".
pub fn parse_shots(text: &str) -> Result<Vec<Option<u32>>, String> {
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    let shots: Vec<Option<u32>> = parts
        .map(|part| match part.parse() {
            Ok(0) | Err(_) if part != "all" => {
                Err(format!("“{part}” is neither a number from 1 on nor “all”."))
            }
            number => Ok(number.ok()),
        })
        .collect::<Result<_, _>>()?;
    match shots.is_empty() {
        true => Err("Write numbers of images, such as 1, 2, 4, all.".into()),
        false => Ok(shots),
    }
}

/// A stage in words.
pub fn stage_text(progress: &StageProgress) -> String {
    let StageProgress { stage, done, total } = progress;
    match stage {
        EvaluationStage::Images => format!("Encoding images: {done} of {total}"),
        EvaluationStage::Prompts => format!("Encoding prompts: {done} of {total}"),
        EvaluationStage::FewImages => format!("Learning from few images: {done} of {total} fits"),
        EvaluationStage::Limit => format!("Trying it: {done} of {total} images"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{LimitResult, PromptComparison};

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
        session.open("pets".into());
        session.on_event(outcome(model, answers));
        session
    }

    #[test]
    fn images_wait_for_the_model_and_mistakes_are_shown() {
        let mut session = EvaluationSession::default();
        assert!(session.open("pets".into()).is_empty());
        assert_eq!(session.task, Some(EvaluationTask::Evaluate));
        assert!(session.waits() && session.pause(true).is_empty());
        let sent = session.opened();
        assert_eq!(sent, [Command::SendFiles(vec![DEFAULT_TEMPLATE.into()])]);
        assert!(session.opened().is_empty(), "once");
        let asked = session.on_event(outcome("a", &[1, 0]));
        let paths = vec!["0.png".to_owned()];
        assert_eq!(
            asked,
            [Command::Send(EvaluationRequest::Pictures { paths })]
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
        let sent = session.use_templates();
        let templates = vec!["{label}".to_owned()];
        assert_eq!(
            sent,
            [Command::Send(EvaluationRequest::Evaluate { templates })]
        );
        session.on_event(outcome("a", &[0, 0]));
        let limits = &session.results.as_ref().unwrap().report.limits;
        let names: Vec<&str> = limits.iter().map(|limit| limit.name.as_str()).collect();
        assert_eq!(names, ["Counting", "Negation"]);
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
        assert_eq!(
            session.error,
            Some((EvaluationTask::Shots, "No luck.".into()))
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
