//! The page's side of the conversation with the worker, as plain data: each step changes
//! the [`Session`] and returns [`Command`]s for the controller around it to carry out.
//! It combines the reducers of the [`Worker`], the [`Pictures`] and the [`Question`].

use super::format;
use super::notice::Notice;
use super::pictures::{HeatState, Picture, PictureState, Pictures, Timing};
use super::question::Question;
use super::ranking::{Ranking, SharedLabels};
use super::rejection::{FitKind, RejectionSettings};
use super::worker::{Recovery, Worker, brief};
use crate::app::i18n::{message, t};
use crate::diagnostic::Diagnostic;
use crate::engine::messages::{
    Activation, DeviceChoice, Event, HeatMapDrawing, ImageId, ModelSource, OpenFailure, Request,
};

/// What the controller is to do after a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// End the worker, if there is one, and start a fresh one on this device.
    Start(DeviceChoice),
    /// End the worker.
    Stop,
    /// Send a message; with [`Request::AddImage`] goes the picture's file.
    Send(Request),
    /// Let go of removed pictures' files, after an offer to bring them back.
    Removed(Vec<Picture>),
    /// Tell the visitor.
    Notify(Notice),
    /// Come back with [`Session::cancel_overdue`] after a while.
    WatchCancel(u32),
}

/// Everything the page knows about classification.
#[derive(Debug)]
pub struct Session {
    pub worker: Worker,
    pub pictures: Pictures,
    pub question: Question,
    /// When to say that no label fits.
    pub rejection: RejectionSettings,
    /// Whether the trained head in use can tell how well its classes fit; `None` without one.
    pub head_tells_fit: Option<bool>,
    /// Set while a cancel is under way.
    pub cancelling: bool,
    cancels: u32,
    labels: SharedLabels,
}

impl Session {
    /// Before the first worker.
    pub fn new(choice: DeviceChoice) -> Self {
        Self {
            worker: Worker::new(choice),
            pictures: Pictures::new(),
            question: Question::new(),
            rejection: RejectionSettings::default(),
            head_tells_fit: None,
            cancelling: false,
            cancels: 0,
            labels: SharedLabels::default(),
        }
    }

    /// Whether a picture's file, read at last, is still to go to the worker.
    pub fn expects(&self, id: ImageId) -> bool {
        let sent = |picture: &Picture| picture.state == PictureState::Sent;
        self.worker.ready() && self.pictures.get(id).is_some_and(sent)
    }

    /// Whether a loaded model has something to do.
    pub fn busy(&self) -> bool {
        self.worker.ready()
            && (self.cancelling || self.pictures.pending() > 0 || self.question.pending())
    }

    /// Whether there is anything that a cancel would stop.
    pub fn can_cancel(&self) -> bool {
        self.worker.loading() || self.busy()
    }

    /// Whether something was cancelled that could be taken up again.
    pub fn can_resume(&self) -> bool {
        self.worker.ready()
            && !self.cancelling
            && (self.question.cancelled() || self.pictures.cancelled() > 0)
    }

    /// Starts a fresh worker, to which everything will be told again.
    pub fn start(&mut self) -> Vec<Command> {
        self.cancelling = false;
        self.pictures.restart();
        self.question.restart();
        vec![Command::Start(self.worker.start())]
    }

    /// The visitor asks for another try after a failure or a stop.
    pub fn start_over(&mut self) -> Vec<Command> {
        self.worker.forgive();
        self.start()
    }

    /// The visitor chose a model. What another one answered is no answer of its.
    pub fn open_model(
        &mut self,
        source: ModelSource,
        activation: Option<Activation>,
    ) -> Vec<Command> {
        self.worker.open_model(source, activation);
        self.question.notes.clear();
        self.pictures.forget_answers();
        self.start_over()
    }

    /// Deletes what this browser keeps of a model.
    pub fn delete_kept(&mut self, model: String) -> Vec<Command> {
        vec![Command::Send(Request::DeleteCachedModel { model })]
    }

    /// The visitor chose a device.
    pub fn choose(&mut self, choice: DeviceChoice) -> Vec<Command> {
        let worker = &mut self.worker;
        if choice == worker.choice && worker.gpu_disabled_reason.is_none() && worker.ready() {
            return Vec::new();
        }
        worker.choice = choice;
        self.start_over()
    }

    /// The visitor chose how exact the CPU's weights are.
    pub fn choose_int8(&mut self, int8: bool) -> Vec<Command> {
        self.worker.int8 = int8;
        match self.worker.device.as_ref().is_some_and(|device| device.gpu) {
            // To be heard of on the CPU.
            true => Vec::new(),
            false => self.start_over(),
        }
    }

    /// The visitor sets when to say that no label fits.
    pub fn reject_by(&mut self, settings: RejectionSettings) -> Vec<Command> {
        let asked = settings.on != self.rejection.on;
        self.rejection = settings;
        match asked && self.worker.ready() {
            true => vec![Command::Send(Request::Reject(settings.on))],
            false => Vec::new(),
        }
    }

    /// Whether no label fits a picture well, and how well they do, 0 to 1; `None` where that is not
    /// known or not wanted.
    pub fn fit(&self, picture: &Picture) -> Option<(bool, f32)> {
        let ranking = self.pictures.answer_of(picture)?;
        self.fit_of(ranking, self.pictures.fit_of(picture))
    }

    /// The same of a ranking; `share` is what the worker said of it.
    fn fit_of(&self, ranking: &Ranking, share: Option<f32>) -> Option<(bool, f32)> {
        if !self.rejection.on {
            return None;
        }
        let kind = self.fit_kind();
        let fit = match kind {
            FitKind::Probability => ranking.iter().next()?.probability,
            FitKind::Words | FitKind::Head => share?,
            FitKind::Unknown => return None,
        };
        Some((fit < self.rejection.threshold(kind), fit))
    }

    /// What is said of a ranking whose labels do not fit; `share` is what the worker said of it.
    pub fn none_fits(&self, ranking: &Ranking, share: Option<f32>) -> Option<String> {
        let (rejected, fit) = self.fit_of(ranking, share)?;
        let closest = ranking.iter().next()?.label;
        let fit = format::percent(fit);
        rejected.then(|| t!("none-fits", fit = fit, closest = closest))
    }

    /// Whether it was told how well labels fit a picture, and an answer to other labels is awaited.
    pub fn fit_is_pending(&self, picture: &Picture) -> bool {
        let told = self.rejection.on && self.fit_kind() != FitKind::Unknown;
        let given_up = self.question.error.is_some() || self.question.cancelled();
        let stale = picture.answer.is_some() && self.pictures.answer_of(picture).is_none();
        told && stale && !given_up
    }

    /// Whether each label has a probability of its own. The classes of a trained head exclude each
    /// other.
    pub fn independent(&self) -> bool {
        let model = self.worker.model.as_ref();
        self.head_tells_fit.is_none() && model.is_some_and(|model| model.independent)
    }

    /// What tells how well the labels fit.
    pub fn fit_kind(&self) -> FitKind {
        match (self.head_tells_fit, self.independent()) {
            (Some(true), _) => FitKind::Head,
            (Some(false), _) => FitKind::Unknown,
            (None, true) => FitKind::Probability,
            (None, false) => FitKind::Words,
        }
    }

    /// Shows where in a picture a label fits, or takes that away again.
    pub fn toggle_heat(&mut self, id: ImageId, label: String) -> Vec<Command> {
        match self.worker.ready() && self.pictures.toggle_heat(id, &label) {
            true => vec![locate(id, label, HeatMapDrawing::Overlay)],
            false => Vec::new(),
        }
    }

    /// Asks for the picture under its heat map, to be saved.
    pub fn save_heat(&self, id: ImageId) -> Vec<Command> {
        let picture = self.pictures.get(id).filter(|_| self.worker.ready());
        match picture.and_then(|picture| self.pictures.heat_of(picture)) {
            Some(heat) => vec![locate(id, heat.label.clone(), HeatMapDrawing::Picture)],
            None => Vec::new(),
        }
    }

    /// Takes a picture off the page.
    pub fn remove(&mut self, id: ImageId) -> Vec<Command> {
        let Some(picture) = self.pictures.remove(id) else {
            return Vec::new();
        };
        let known_to_worker = picture.known_to_worker();
        let mut commands = vec![Command::Removed(vec![picture])];
        if known_to_worker {
            commands.push(Command::Send(Request::RemoveImages { images: vec![id] }));
        }
        commands.extend(self.send_pending());
        commands
    }

    /// Takes all pictures off the page.
    pub fn remove_all(&mut self) -> Vec<Command> {
        let all = self.pictures.clear();
        let known = all.iter().filter(|picture| picture.known_to_worker());
        let images: Vec<ImageId> = known.map(|picture| picture.id).collect();
        let mut commands = vec![Command::Removed(all)];
        if !images.is_empty() {
            commands.push(Command::Send(Request::RemoveImages { images }));
        }
        commands
    }

    /// Brings removed pictures back.
    pub fn restore(&mut self, pictures: Vec<Picture>) -> Vec<Command> {
        self.pictures.restore(pictures);
        self.send_pending()
    }

    /// Another try with a picture that failed or was cancelled.
    pub fn retry(&mut self, id: ImageId) -> Vec<Command> {
        self.pictures.retry(id);
        self.send_pending()
    }

    /// The page itself found that a picture cannot be used.
    pub fn reject(&mut self, id: ImageId, error: Diagnostic) -> Vec<Command> {
        self.pictures.fail(id, error, false);
        self.send_pending()
    }

    /// The question from now on. Without labels there is none.
    pub fn ask(&mut self, labels: Vec<String>, templates: Vec<String>) -> Vec<Command> {
        match self.question.set(labels, templates) {
            true => self.ask_again(),
            false => Vec::new(),
        }
    }

    /// Asks a question anew that could not be answered, as when the network was out of reach.
    pub fn ask_once_more(&mut self) -> Vec<Command> {
        match self.question.error {
            Some(_) => self.ask_again(),
            None => Vec::new(),
        }
    }

    /// Something else answers from now on: all is asked anew. With
    /// `encode_again` the pictures' features are another model's, too.
    pub fn reclassify(&mut self, encode_again: bool) -> Vec<Command> {
        self.pictures.forget_answers();
        if encode_again {
            self.pictures.restart();
        }
        let mut commands = self.ask_again();
        commands.extend(self.send_pending());
        commands
    }

    fn ask_again(&mut self) -> Vec<Command> {
        self.question.renew();
        self.pictures.ask(self.question.number);
        if self.question.asked.is_none() {
            self.pictures.forget_answers();
        }
        self.classify().into_iter().collect()
    }

    fn classify(&self) -> Option<Command> {
        let request = self.question.request()?;
        self.worker.ready().then_some(Command::Send(request))
    }

    /// Sends as many waiting pictures as the window allows.
    pub fn send_pending(&mut self) -> Vec<Command> {
        if !self.worker.ready() || self.cancelling {
            return Vec::new();
        }
        (self.pictures.send().into_iter())
            .map(|(image, name)| Command::Send(Request::AddImage { image, name }))
            .collect()
    }

    /// The visitor's cancel: a request at first, an end to the worker when asked twice.
    pub fn cancel(&mut self) -> Vec<Command> {
        if self.worker.loading() {
            self.worker.stop();
            return vec![Command::Stop];
        }
        if !self.busy() {
            return Vec::new();
        }
        if self.cancelling {
            return self.cancel_hard();
        }
        self.pictures.cancel_waiting();
        self.question.cancel();
        self.cancelling = true;
        self.cancels += 1;
        vec![
            Command::Send(Request::Cancel),
            Command::WatchCancel(self.cancels),
        ]
    }

    /// The time a cancel may take is over; `which` is the one that was watched.
    pub fn cancel_overdue(&mut self, which: u32) -> Vec<Command> {
        if self.cancelling && self.cancels == which {
            self.cancel_hard()
        } else {
            Vec::new()
        }
    }

    fn cancel_hard(&mut self) -> Vec<Command> {
        self.pictures.cancel_pending();
        self.start()
    }

    /// Takes up again what was cancelled.
    pub fn resume(&mut self) -> Vec<Command> {
        self.pictures.resume();
        let mut commands = Vec::new();
        if self.question.cancelled() {
            commands = self.ask_again();
        }
        commands.extend(self.send_pending());
        commands
    }

    /// The worker said something.
    pub fn on_event(&mut self, event: Event, now_ms: f64) -> Vec<Command> {
        match event {
            Event::Loading { stage, done, total } => {
                self.worker.progress(stage, done, total, now_ms);
            }
            Event::Ready { model, device } => {
                let mut commands: Vec<Command> = (model.notes.iter())
                    .map(|note| Command::Notify(Notice::info(note)))
                    .collect();
                self.worker.opened(model, device);
                if self.rejection.on {
                    commands.push(Command::Send(Request::Reject(true)));
                }
                commands.extend(self.classify());
                commands.extend(self.send_pending());
                return commands;
            }
            Event::CachedModels { models } => self.worker.kept = models,
            Event::Remark { text } => {
                return vec![Command::Notify(Notice::info(text))];
            }
            Event::OpenFailed(OpenFailure { error, gpu, .. }) => {
                return match self.worker.open_failed(error, gpu) {
                    Recovery::Restart(notice) => self.restart(notice),
                    Recovery::GiveUp => vec![Command::Stop],
                };
            }
            Event::EncodingImage { image } => self.pictures.begin(image),
            Event::ImageEncoded {
                image,
                width,
                height,
                preprocess_ms,
                encode_ms,
            } => {
                let device = self.worker.device.as_ref();
                let timing = Timing {
                    preprocess_ms,
                    encode_ms,
                    device: device.map(|d| d.name.clone()).unwrap_or_default(),
                };
                self.pictures.encoded(image, (width, height), timing);
                return self.send_pending();
            }
            Event::ImageFailed { image, error } => return self.reject(image, error),
            Event::EncodingTexts {
                question,
                done,
                total,
            } => self.question.progress(question, done, total),
            Event::TextsEncoded {
                question, notes, ..
            } => self.question.encoded(question, notes),
            Event::QuestionFailed { question, error } => self.question.failed(question, error),
            Event::Answers { question, rankings } => {
                if question == self.question.number {
                    for (image, ranking) in self.labels.read(&rankings) {
                        self.pictures.answer(image, ranking);
                    }
                }
            }
            Event::Fits { question, fits } => {
                if question == self.question.number {
                    for (image, fit) in fits {
                        self.pictures.fits(image, fit);
                    }
                }
            }
            Event::Located {
                image, label, peak, ..
            } => self.pictures.heat(image, &label, HeatState::Shown(peak)),
            Event::LocateFailed {
                image,
                label,
                error,
                ..
            } => self.pictures.heat(image, &label, HeatState::Failed(error)),
            Event::Cancelled { images } => {
                self.cancelling = false;
                self.pictures.dropped(images);
                return self.send_pending();
            }
            // For benchmarks, which speak to the worker themselves.
            Event::Measured(_) | Event::MeasureFailed { .. } => {}
            // The page asks for no features.
            Event::Embedded { .. } | Event::EmbedFailed { .. } => {}
            // Heard by sessions of their own.
            Event::Training(_) | Event::Library(_) | Event::Evaluation(_) => {}
            Event::FrameClassified { .. } | Event::FrameFailed { .. } => {}
            Event::Died { error, .. } => return self.died(&error, now_ms),
        }
        Vec::new()
    }

    /// The worker is gone: it said so, or the browser did.
    pub fn died(&mut self, error: &Diagnostic, now_ms: f64) -> Vec<Command> {
        let error = brief(error);
        if let Some(id) = self.pictures.at_work(self.question.pending()) {
            let error = message!("worker-crashed-on-image", error = error);
            self.pictures.fail(id, error, true);
        }
        match self.worker.died(&error, now_ms) {
            Recovery::Restart(notice) => self.restart(notice),
            Recovery::GiveUp => {
                self.cancelling = false;
                self.pictures.restart();
                vec![Command::Stop]
            }
        }
    }

    fn restart(&mut self, notice: Option<Notice>) -> Vec<Command> {
        let notice = notice.map(Command::Notify);
        notice.into_iter().chain(self.start()).collect()
    }
}

fn locate(image: ImageId, label: String, drawing: HeatMapDrawing) -> Command {
    Command::Send(Request::Locate {
        image,
        label,
        drawing,
    })
}

#[cfg(test)]
mod tests {
    use super::super::pictures::work;
    use super::super::worker::WorkerState;
    use super::*;
    use crate::engine::messages::{DeviceInfo, LoadStage, ModelInfo, Peak};
    use crate::engine::rankings::Rankings;

    fn ready(gpu: bool) -> Event {
        Event::Ready {
            model: ModelInfo {
                name: "test".into(),
                parameters: 1,
                bytes: 1,
                image_size: 64,
                context_length: 32,
                embed_dim: 8,
                precision: "f32".into(),
                independent: false,
                notes: Vec::new(),
            },
            device: DeviceInfo {
                gpu,
                name: "test".into(),
                reason: Diagnostic::default(),
            },
        }
    }

    fn encoded(image: ImageId) -> Event {
        Event::ImageEncoded {
            image,
            width: 4,
            height: 3,
            preprocess_ms: 1.0,
            encode_ms: 2.0,
        }
    }

    fn answer(question: u32, image: ImageId) -> Event {
        let mut rankings = Rankings::default();
        rankings.push(image, [("cat".into(), 1.0, 0.3)]);
        Event::Answers { question, rankings }
    }

    fn sent(commands: &[Command]) -> Vec<ImageId> {
        commands
            .iter()
            .filter_map(|command| match command {
                Command::Send(Request::AddImage { image, .. }) => Some(*image),
                _ => None,
            })
            .collect()
    }

    fn asks(commands: &[Command]) -> bool {
        commands
            .iter()
            .any(|c| matches!(c, Command::Send(Request::Classify { .. })))
    }

    fn session(pictures: usize) -> Session {
        let mut session = Session::new(DeviceChoice::Auto);
        let names = (0..pictures).map(|n| format!("{n}.png"));
        session.pictures.add_batch(names);
        assert!(
            session
                .ask(vec!["cat".into()], vec!["{label}".into()])
                .is_empty()
        );
        session
    }

    #[test]
    fn a_heat_map_is_asked_for_shown_and_taken_away() {
        let mut session = session(1);
        session.on_event(ready(false), 0.0);
        assert!(
            session.toggle_heat(1, "cat".into()).is_empty(),
            "not encoded yet"
        );
        session.on_event(encoded(1), 0.0);
        session.on_event(answer(session.question.number, 1), 0.0);
        let asked = |drawing| locate(1, "cat".into(), drawing);
        let overlay = session.toggle_heat(1, "cat".into());
        assert_eq!(overlay, [asked(HeatMapDrawing::Overlay)]);
        let peak = Peak {
            x: 0.25,
            y: 0.5,
            similarity: 0.3,
        };
        let located = |label: &str| Event::Located {
            image: 1,
            label: label.into(),
            drawing: HeatMapDrawing::Overlay,
            peak,
        };
        let state = |session: &Session| {
            let picture = session.pictures.get(1).expect("it is there");
            let heat = session.pictures.heat_of(picture);
            heat.map(|heat| heat.state.clone())
        };
        session.on_event(located("dog"), 0.0);
        assert_eq!(
            state(&session),
            Some(HeatState::Asked),
            "that was another label"
        );
        session.on_event(located("cat"), 0.0);
        assert_eq!(state(&session), Some(HeatState::Shown(peak)));
        assert_eq!(session.save_heat(1), [asked(HeatMapDrawing::Picture)]);
        // The same label once more, and other labels.
        assert!(session.toggle_heat(1, "cat".into()).is_empty());
        assert_eq!(state(&session), None);
        session.toggle_heat(1, "cat".into());
        session.ask(vec!["dog".into()], vec!["{label}".into()]);
        assert_eq!(state(&session), None);
        assert!(session.save_heat(1).is_empty());
        // A fresh worker will not answer.
        session.toggle_heat(1, "dog".into());
        session.start();
        assert_eq!(state(&session), None);
    }

    #[test]
    fn a_picture_is_rejected_below_the_threshold_of_its_kind_of_model() {
        let mut session = session(1);
        session.on_event(ready(false), 0.0);
        session.on_event(encoded(1), 0.0);
        let question = session.question.number;
        session.on_event(answer(question, 1), 0.0);
        let fit = |session: &Session| session.fit(session.pictures.get(1).expect("it is there"));
        let fits = |question| Event::Fits {
            question,
            fits: vec![(1, 0.25)],
        };
        session.on_event(fits(question), 0.0);
        assert_eq!(fit(&session), None, "off");
        let on = RejectionSettings {
            on: true,
            ..RejectionSettings::default()
        };
        assert_eq!(
            session.reject_by(on),
            [Command::Send(Request::Reject(true))]
        );
        assert_eq!(fit(&session), Some((true, 0.25)));
        let moved = on.with_threshold(FitKind::Words, 0.2);
        assert!(session.reject_by(moved).is_empty());
        assert_eq!(fit(&session), Some((false, 0.25)));
        // Of a trained head.
        session.head_tells_fit = Some(true);
        assert_eq!(fit(&session), Some((false, 0.25)));
        session.reject_by(moved.with_threshold(FitKind::Head, 0.3));
        assert_eq!(fit(&session), Some((true, 0.25)));
        session.head_tells_fit = Some(false);
        assert_eq!(fit(&session), None);
        session.head_tells_fit = None;
        // Of an older question.
        let pending = |session: &Session| {
            session.fit_is_pending(session.pictures.get(1).expect("it is there"))
        };
        assert!(!pending(&session));
        session.ask(vec!["dog".into()], vec!["{label}".into()]);
        assert!(pending(&session));
        session.head_tells_fit = Some(false);
        assert!(!pending(&session), "it is never told");
        session.head_tells_fit = None;
        session.on_event(fits(question), 0.0);
        assert!(pending(&session));
        session.on_event(answer(question + 1, 1), 0.0);
        assert!(!pending(&session));
        assert_eq!(fit(&session), None);
        // A sigmoid model: the highest probability, which is 1.
        if let Some(model) = &mut session.worker.model {
            model.independent = true;
        }
        assert_eq!(fit(&session), Some((false, 1.0)));
        // A worker that is ready is told.
        session.start();
        let commands = session.on_event(ready(false), 0.0);
        assert_eq!(commands[0], Command::Send(Request::Reject(true)));
    }

    #[test]
    fn what_comes_before_the_model_is_sent_when_it_is_ready() {
        let mut session = session(3);
        assert!(session.send_pending().is_empty());
        let commands = session.on_event(ready(true), 0.0);
        assert!(asks(&commands));
        assert_eq!(sent(&commands), [1, 2]);
        assert_eq!(sent(&session.on_event(encoded(1), 0.0)), [3]);
        assert!(session.busy());
    }

    #[test]
    fn late_answers_to_an_older_question_are_dropped() {
        let mut session = session(1);
        session.on_event(ready(true), 0.0);
        session.on_event(encoded(1), 0.0);
        let old = session.question.number;
        session.ask(vec!["dog".into()], vec!["{label}".into()]);
        session.on_event(answer(old, 1), 0.0);
        assert_eq!(session.pictures.answered(), 0);
        session.on_event(answer(session.question.number, 1), 0.0);
        assert_eq!(session.pictures.answered(), 1);
    }

    #[test]
    fn the_same_question_is_not_asked_twice() {
        let mut session = session(0);
        session.on_event(ready(true), 0.0);
        assert!(
            session
                .ask(vec!["cat".into()], vec!["{label}".into()])
                .is_empty()
        );
        assert!(asks(
            &session.ask(vec!["cow".into()], vec!["{label}".into()])
        ));
    }

    #[test]
    fn a_question_that_failed_is_asked_once_more() {
        let mut session = session(0);
        session.on_event(ready(true), 0.0);
        assert!(session.ask_once_more().is_empty());
        let failed = Event::QuestionFailed {
            question: session.question.number,
            error: "no network".into(),
        };
        session.on_event(failed, 0.0);
        assert!(asks(&session.ask_once_more()));
        assert_eq!(session.question.error, None);
        assert!(session.ask_once_more().is_empty());
    }

    #[test]
    fn no_labels_is_no_question_and_clears_the_answers() {
        let mut session = session(1);
        session.on_event(ready(true), 0.0);
        session.on_event(encoded(1), 0.0);
        session.on_event(answer(1, 1), 0.0);
        assert!(session.ask(Vec::new(), vec!["{label}".into()]).is_empty());
        session.on_event(answer(1, 1), 0.0);
        assert!(session.pictures.get(1).is_some_and(|p| p.answer.is_none()));
        assert!(!session.busy());
    }

    #[test]
    fn the_picture_at_work_is_not_sent_to_the_next_worker() {
        let mut session = session(3);
        session.on_event(ready(true), 0.0);
        session.on_event(encoded(1), 0.0);
        session.on_event(Event::EncodingImage { image: 2 }, 0.0);
        let commands = session.on_event(
            Event::Died {
                error: "lost".into(),
                gpu: true,
            },
            0.0,
        );
        assert!(commands.contains(&Command::Start(DeviceChoice::Auto)));
        assert!(matches!(
            session.pictures.get(2).map(|p| &p.state),
            Some(PictureState::Failed { retry: true, .. })
        ));
        assert_eq!(sent(&session.on_event(ready(true), 0.0)), [1, 3]);
        assert_eq!(sent(&session.on_event(encoded(1), 0.0)), [] as [ImageId; 0]);
    }

    #[test]
    fn two_deaths_move_auto_to_the_cpu_and_four_end_it() {
        let mut session = session(0);
        let begun = || Event::Loading {
            stage: LoadStage::Device,
            done: 0,
            total: 0,
        };
        let died = || Event::Died {
            error: "lost".into(),
            gpu: true,
        };
        let mut die = |now| {
            session.on_event(begun(), now);
            session.on_event(died(), now)
        };
        die(0.0);
        assert!(die(1.0).contains(&Command::Start(DeviceChoice::Cpu)));
        die(2.0);
        assert_eq!(die(3.0), [Command::Stop]);
        assert!(matches!(session.worker.state, WorkerState::Failed(_)));
        assert_eq!(session.start_over(), [Command::Start(DeviceChoice::Auto)]);
    }

    #[test]
    fn a_gpu_that_opens_no_model_is_left_for_the_cpu() {
        let failed = |gpu| {
            Event::OpenFailed(OpenFailure {
                gpu,
                ..OpenFailure::new("the GPU cannot be used")
            })
        };
        let mut session = session(0);
        assert_eq!(
            session.on_event(failed(true), 0.0),
            [Command::Start(DeviceChoice::Cpu)]
        );
        session.on_event(ready(false), 0.0);
        let reason = session.worker.gpu_disabled_reason.clone();
        assert_eq!(reason, Some("the GPU cannot be used".into()));
        // The files are no better on the CPU, and a chosen GPU is a GPU.
        assert_eq!(session.on_event(failed(false), 0.0), [Command::Stop]);
        session.choose(DeviceChoice::Gpu);
        assert_eq!(session.on_event(failed(true), 0.0), [Command::Stop]);
    }

    #[test]
    fn a_worker_that_never_speaks_is_not_the_gpus_fault() {
        let mut session = session(0);
        session.died(&"not found".into(), 0.0);
        assert_eq!(session.died(&"not found".into(), 1.0), [Command::Stop]);
        assert_eq!(session.worker.gpu_disabled_reason, None);
    }

    #[test]
    fn after_a_restart_pictures_without_an_answer_come_first() {
        let mut session = session(3);
        session.on_event(ready(true), 0.0);
        for id in [1, 2] {
            session.on_event(encoded(id), 0.0);
            session.on_event(answer(session.question.number, id), 0.0);
        }
        session.choose(DeviceChoice::Cpu);
        assert_eq!(sent(&session.on_event(ready(false), 0.0)), [3, 1]);
        // Answers stay in sight meanwhile.
        assert_eq!(session.pictures.answered(), 2);
    }

    #[test]
    fn cancel_is_a_request_first_and_the_end_of_the_worker_second() {
        let mut session = session(4);
        session.on_event(ready(true), 0.0);
        let commands = session.cancel();
        assert_eq!(
            commands,
            [Command::Send(Request::Cancel), Command::WatchCancel(1)]
        );
        session.on_event(Event::Cancelled { images: vec![1, 2] }, 0.0);
        assert!(!session.busy());
        assert!(session.can_resume());
        let commands = session.resume();
        assert!(asks(&commands));
        assert_eq!(sent(&commands), [1, 2]);

        session.cancel();
        assert_eq!(session.cancel(), [Command::Start(DeviceChoice::Auto)]);
        // The prompts were cancelled too: they do not come back by themselves.
        assert!(session.on_event(ready(true), 0.0).is_empty());
    }

    #[test]
    fn an_overdue_cancel_ends_the_worker_once() {
        let mut session = session(1);
        session.on_event(ready(true), 0.0);
        session.cancel();
        assert!(session.cancel_overdue(0).is_empty());
        assert_eq!(
            session.cancel_overdue(1),
            [Command::Start(DeviceChoice::Auto)]
        );
        assert!(session.cancel_overdue(1).is_empty());
    }

    #[test]
    fn cancel_while_loading_stops_and_keeps_what_waits() {
        let mut session = session(1);
        assert_eq!(session.cancel(), [Command::Stop]);
        assert_eq!(session.worker.state, WorkerState::Stopped);
        session.start_over();
        assert_eq!(sent(&session.on_event(ready(true), 0.0)), [1]);
    }

    #[test]
    fn a_bad_picture_does_not_hold_up_the_others() {
        let mut session = session(3);
        session.on_event(ready(true), 0.0);
        let failed = Event::ImageFailed {
            image: 1,
            error: "no picture".into(),
        };
        assert_eq!(sent(&session.on_event(failed, 0.0)), [3]);
        let commands = session.remove(2);
        assert!(commands.contains(&Command::Send(Request::RemoveImages { images: vec![2] })));
        let [Command::Removed(removed), ..] = &commands[..] else {
            panic!("{commands:?}");
        };
        assert_eq!(
            sent(&session.restore(removed.clone())),
            [2],
            "it comes back"
        );
    }

    #[test]
    fn a_death_over_prompts_blames_no_picture() {
        let mut session = session(1);
        session.on_event(ready(true), 0.0);
        session.on_event(
            Event::Died {
                error: "lost".into(),
                gpu: true,
            },
            0.0,
        );
        assert_eq!(
            session.pictures.get(1).map(|p| &p.state),
            Some(&PictureState::Waiting)
        );
    }

    const MANY: ImageId = 10_000;

    fn visits_of(step: impl FnOnce()) -> usize {
        let before = work::visits();
        step();
        work::visits() - before
    }

    /// Every picture encoded and answered, the worker's events one by one.
    fn all_answered(count: ImageId) -> Session {
        let mut session = session(count as usize);
        session.on_event(ready(true), 0.0);
        for id in 1..=count {
            session.on_event(Event::EncodingImage { image: id }, 0.0);
            session.on_event(encoded(id), 0.0);
            session.on_event(answer(session.question.number, id), 0.0);
        }
        session
    }

    #[test]
    fn an_event_looks_at_the_picture_it_is_about_and_at_no_other() {
        // Sent, begun, encoded, answered.
        let visits = visits_of(|| {
            let session = all_answered(MANY);
            assert_eq!(session.pictures.answered(), MANY as usize);
            assert_eq!(session.pictures.pending(), 0);
        });
        assert!(visits <= 4 * MANY as usize, "{visits} visits");
    }

    #[test]
    fn one_more_label_costs_one_visit_for_each_answer() {
        let mut session = all_answered(MANY);
        let visits = visits_of(|| {
            session.ask(vec!["cat".into(), "dog".into()], vec!["{label}".into()]);
            assert_eq!(session.pictures.answered(), 0);
            let mut rankings = Rankings::default();
            for id in 1..=MANY {
                rankings.push(id, [("cat".into(), 1.0, 0.3)]);
            }
            let question = session.question.number;
            session.on_event(Event::Answers { question, rankings }, 0.0);
        });
        assert_eq!(session.pictures.answered(), MANY as usize);
        assert!(visits <= MANY as usize, "{visits} visits");
    }

    #[test]
    fn what_acts_on_all_pictures_looks_at_each_a_few_times() {
        type Step = fn(&mut Session);
        let steps: [(&str, Step); 5] = [
            ("choose", |s| drop(s.choose(DeviceChoice::Cpu))),
            ("ready", |s| drop(s.on_event(ready(false), 0.0))),
            ("cancel", |s| drop(s.cancel())),
            ("overdue", |s| drop(s.cancel_overdue(1))),
            ("remove", |s| drop(s.remove_all())),
        ];
        let mut session = all_answered(MANY);
        for (name, step) in steps {
            let visits = visits_of(|| step(&mut session));
            assert!(visits <= 3 * MANY as usize, "{name}: {visits} visits");
        }
        assert!(session.pictures.is_empty());
    }

    #[test]
    fn a_change_is_told_of_the_picture_that_changed() {
        let mut session = all_answered(100);
        session.pictures.take_changed();
        session.on_event(answer(session.question.number, 7), 0.0);
        assert_eq!(session.pictures.take_changed(), [7]);
        session.ask(vec!["dog".into()], vec!["{label}".into()]);
        assert!(session.pictures.take_changed().is_empty());
    }
}
