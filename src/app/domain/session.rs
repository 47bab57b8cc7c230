//! The page's side of the conversation, as plain data: what was asked, what was
//! answered, what still waits. No browser in here: each step changes the
//! [`Session`] and returns [`Command`]s for the shell around it to carry out.

use std::ops::Deref;
use std::sync::Arc;

use super::meter::Meter;
use super::notice::Notice;
use super::restart::{CrashHistory, RestartAction};
use crate::engine::messages::{
    ActivationChoice, CachedModel, DeviceChoice, DeviceInfo, Event, ImageId, LoadStage, ModelInfo,
    ModelSource, Ranked, Request,
};

/// Pictures that are with the worker at once: one being encoded and the next.
/// More would only fill the memory with files that wait.
const MAX_IN_FLIGHT: usize = 2;

/// What the shell is to do after a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// End the worker, if there is one, and start a fresh one on this device.
    Start(DeviceChoice),
    /// End the worker.
    Stop,
    /// Send a message; with [`Request::AddImage`] goes the picture's file.
    Send(Request),
    /// Let go of a picture's file and thumbnail.
    Release(ImageId),
    /// Tell the visitor.
    Notify(Notice),
    /// Come back with [`Session::cancel_overdue`] after a while.
    WatchCancel(u32),
}

/// State of the worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Worker {
    /// It starts, or loads the model.
    Loading {
        /// What it is at; `None` before it said anything.
        stage: Option<LoadStage>,
        /// Done so far, in the stage's own unit.
        done: u64,
        /// 0 when unknown.
        total: u64,
    },
    /// The model is loaded.
    Ready,
    /// There is none, and none will start by itself.
    Failed(String),
    /// The visitor stopped the loading.
    Stopped,
}

impl Worker {
    const STARTING: Self = Self::Loading {
        stage: None,
        done: 0,
        total: 0,
    };
}

/// Where a picture stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PictureState {
    /// Waits on the page.
    Waiting,
    /// With the worker.
    Sent,
    /// The worker is at it.
    Encoding,
    /// The worker knows its features.
    Encoded,
    /// The visitor cancelled before its turn came.
    Cancelled,
    /// It cannot be used.
    Failed {
        /// Why, in plain words.
        error: String,
        /// Whether another try makes sense.
        retry: bool,
    },
}

/// A ranking, shared rather than copied. Equal when it is the same one: cards
/// compare it on every step, and a ranking never changes once it is there.
#[derive(Clone, Debug)]
pub struct Ranking(Arc<[Ranked]>);

impl PartialEq for Ranking {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for Ranking {
    type Target = [Ranked];

    fn deref(&self) -> &[Ranked] {
        &self.0
    }
}

/// How long a picture took, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// Decoding and resizing.
    pub preprocess_ms: f64,
    /// The image encoder alone.
    pub encode_ms: f64,
    /// Name of the device.
    pub device: String,
}

/// One picture of the visitor's. Its file is kept by the shell.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Its number in the protocol.
    pub id: ImageId,
    /// File name.
    pub name: String,
    /// Object URL of the file.
    pub thumbnail: String,
    /// Counts the times pictures were added: those added together share it.
    pub batch: u32,
    /// Where it stands.
    pub state: PictureState,
    /// Width and height in pixels, once known.
    pub size: Option<(u32, u32)>,
    /// Known once it is encoded.
    pub timing: Option<Timing>,
    /// The latest answer and the question it belongs to.
    pub answer: Option<(u32, Ranking)>,
}

impl Picture {
    fn pending(&self) -> bool {
        matches!(
            self.state,
            PictureState::Waiting | PictureState::Sent | PictureState::Encoding
        )
    }

    fn with_worker(&self) -> bool {
        matches!(self.state, PictureState::Sent | PictureState::Encoding)
    }
}

/// Labels and templates to classify with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What the visitor wants to tell apart.
    pub labels: Vec<String>,
    /// Each holds `{label}`.
    pub templates: Vec<String>,
}

/// Where the prompts of the question stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptStatus {
    /// Nothing to do.
    Idle,
    /// Waiting or being encoded; `total` is 0 until the worker has begun.
    Pending {
        /// Prompts encoded so far.
        done: u32,
        /// All prompts that have to be encoded.
        total: u32,
    },
    /// The visitor cancelled them.
    Cancelled,
}

/// Everything the page knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// State of the worker.
    pub worker: Worker,
    /// What the visitor chose.
    pub choice: DeviceChoice,
    /// Where the model comes from.
    pub source: ModelSource,
    /// For weights that do not say it themselves.
    pub activation: Option<ActivationChoice>,
    /// Whether the CPU is to have 8-bit weights.
    pub int8: bool,
    /// Models that this browser keeps.
    pub kept: Vec<CachedModel>,
    /// How fast the model comes.
    pub meter: Meter,
    /// Why the GPU is not to be relied on: `Auto` means the CPU until the visitor
    /// chooses anew.
    pub gpu_disabled_reason: Option<String>,
    /// The model, once one was loaded.
    pub model: Option<ModelInfo>,
    /// Where it runs, while it does.
    pub device: Option<DeviceInfo>,
    /// In the order in which they came.
    pub pictures: Vec<Picture>,
    /// The current question; `None` without labels.
    pub asked: Option<Question>,
    /// Number of the current question.
    pub question: u32,
    /// Where its prompts stand.
    pub texts: PromptStatus,
    /// What the worker had to say about the prompts.
    pub notes: Vec<String>,
    /// Why the question cannot be answered.
    pub question_error: Option<String>,
    /// Set while a cancel is under way.
    pub cancelling: bool,
    cancels: u32,
    next_image: ImageId,
    batch: u32,
    crashes: CrashHistory,
}

impl Session {
    /// Before the first worker.
    pub fn new(choice: DeviceChoice) -> Self {
        Self {
            worker: Worker::STARTING,
            choice,
            source: ModelSource::Bundled,
            activation: None,
            int8: false,
            kept: Vec::new(),
            meter: Meter::default(),
            gpu_disabled_reason: None,
            model: None,
            device: None,
            pictures: Vec::new(),
            asked: None,
            question: 0,
            texts: PromptStatus::Idle,
            notes: Vec::new(),
            question_error: None,
            cancelling: false,
            cancels: 0,
            next_image: 1,
            batch: 0,
            crashes: CrashHistory::default(),
        }
    }

    /// The picture with this number.
    pub fn picture(&self, id: ImageId) -> Option<&Picture> {
        self.pictures.iter().find(|picture| picture.id == id)
    }

    /// Whether a picture's file, read at last, is still to go to the worker.
    pub fn expects(&self, id: ImageId) -> bool {
        self.worker == Worker::Ready
            && self
                .picture(id)
                .is_some_and(|picture| picture.state == PictureState::Sent)
    }

    /// Pictures that are waiting or being encoded.
    pub fn pending_pictures(&self) -> usize {
        self.pictures
            .iter()
            .filter(|picture| picture.pending())
            .count()
    }

    /// Pictures with an answer to the current question.
    pub fn answered(&self) -> usize {
        self.pictures
            .iter()
            .filter(|picture| self.answer_of(picture).is_some())
            .count()
    }

    /// A picture's answer, when it is one to the current question.
    pub fn answer_of<'a>(&self, picture: &'a Picture) -> Option<&'a Ranking> {
        picture
            .answer
            .as_ref()
            .filter(|(question, _)| *question == self.question)
            .map(|(_, ranking)| ranking)
    }

    /// Whether a loaded model has something to do.
    pub fn busy(&self) -> bool {
        self.worker == Worker::Ready
            && (self.cancelling
                || self.pending_pictures() > 0
                || matches!(self.texts, PromptStatus::Pending { .. }))
    }

    /// Whether there is anything that a cancel would stop.
    pub fn can_cancel(&self) -> bool {
        matches!(self.worker, Worker::Loading { .. }) || self.busy()
    }

    /// Whether something was cancelled that could be taken up again.
    pub fn can_resume(&self) -> bool {
        self.worker == Worker::Ready
            && !self.cancelling
            && (self.texts == PromptStatus::Cancelled
                || self
                    .pictures
                    .iter()
                    .any(|picture| picture.state == PictureState::Cancelled))
    }

    /// Whether it runs on the CPU, or will.
    pub fn on_cpu(&self) -> bool {
        self.gpu_disabled_reason.is_some()
            || self.choice == DeviceChoice::Cpu
            || self.device.as_ref().is_some_and(|device| !device.gpu)
    }

    /// Starts a fresh worker, to which everything will be told again.
    pub fn start(&mut self) -> Vec<Command> {
        self.worker = Worker::STARTING;
        self.device = None;
        self.meter = Meter::default();
        self.cancelling = false;
        for picture in &mut self.pictures {
            if picture.with_worker() || picture.state == PictureState::Encoded {
                picture.state = PictureState::Waiting;
            }
        }
        if self.asked.is_some() && self.texts != PromptStatus::Cancelled {
            self.texts = PromptStatus::Pending { done: 0, total: 0 };
        }
        let device = if self.gpu_disabled_reason.is_some() {
            DeviceChoice::Cpu
        } else {
            self.choice
        };
        vec![Command::Start(device)]
    }

    /// The visitor asks for another try after a failure or a stop.
    pub fn start_over(&mut self) -> Vec<Command> {
        self.crashes.clear();
        self.gpu_disabled_reason = None;
        self.start()
    }

    /// The visitor chose a model. What another one answered is no answer of its.
    pub fn open_model(
        &mut self,
        source: ModelSource,
        activation: Option<ActivationChoice>,
    ) -> Vec<Command> {
        self.source = source;
        self.activation = activation;
        self.model = None;
        self.notes.clear();
        for picture in &mut self.pictures {
            picture.answer = None;
        }
        self.start_over()
    }

    /// Deletes what this browser keeps of a model.
    pub fn delete_kept(&mut self, model: String) -> Vec<Command> {
        vec![Command::Send(Request::DeleteKept { model })]
    }

    /// The visitor chose a device.
    pub fn choose(&mut self, choice: DeviceChoice) -> Vec<Command> {
        if choice == self.choice
            && self.gpu_disabled_reason.is_none()
            && self.worker == Worker::Ready
        {
            return Vec::new();
        }
        self.choice = choice;
        self.start_over()
    }

    /// The visitor chose how exact the CPU's weights are.
    pub fn choose_int8(&mut self, int8: bool) -> Vec<Command> {
        self.int8 = int8;
        match self.device.as_ref().is_some_and(|device| device.gpu) {
            // To be heard of on the CPU.
            true => Vec::new(),
            false => self.start_over(),
        }
    }

    /// What is added from here on was added together.
    pub fn begin_batch(&mut self) {
        self.batch += 1;
    }

    /// The order in which pictures are shown: the latest batch first, so that it
    /// is in sight, and each batch as it came.
    pub fn shown(&self) -> Vec<ImageId> {
        let mut pictures: Vec<&Picture> = self.pictures.iter().collect();
        pictures.sort_by_key(|picture| std::cmp::Reverse(picture.batch));
        pictures.into_iter().map(|picture| picture.id).collect()
    }

    /// A new picture; returns its number.
    pub fn add(&mut self, name: String, thumbnail: String) -> ImageId {
        let id = self.next_image;
        self.next_image += 1;
        self.pictures.push(Picture {
            id,
            name,
            thumbnail,
            batch: self.batch,
            state: PictureState::Waiting,
            size: None,
            timing: None,
            answer: None,
        });
        id
    }

    /// Takes a picture off the page.
    pub fn remove(&mut self, id: ImageId) -> Vec<Command> {
        let Some(place) = self.pictures.iter().position(|picture| picture.id == id) else {
            return Vec::new();
        };
        let picture = self.pictures.remove(place);
        let mut commands = vec![Command::Release(id)];
        if picture.with_worker() || picture.state == PictureState::Encoded {
            commands.push(Command::Send(Request::RemoveImage { image: id }));
        }
        commands.extend(self.send_pending());
        commands
    }

    /// Takes all pictures off the page.
    pub fn remove_all(&mut self) -> Vec<Command> {
        let ids: Vec<ImageId> = self.pictures.iter().map(|picture| picture.id).collect();
        ids.into_iter().flat_map(|id| self.remove(id)).collect()
    }

    /// Another try with a picture that failed or was cancelled.
    pub fn retry(&mut self, id: ImageId) -> Vec<Command> {
        if let Some(picture) = self.pictures.iter_mut().find(|picture| picture.id == id)
            && !picture.pending()
            && picture.state != PictureState::Encoded
        {
            picture.state = PictureState::Waiting;
        }
        self.send_pending()
    }

    /// The page itself found that a picture cannot be used.
    pub fn reject(&mut self, id: ImageId, error: String) -> Vec<Command> {
        self.fail_picture(id, error, false);
        self.send_pending()
    }

    /// The question from now on. Without labels there is none.
    pub fn ask(&mut self, labels: Vec<String>, templates: Vec<String>) -> Vec<Command> {
        let asked = (!labels.is_empty()).then_some(Question { labels, templates });
        if asked == self.asked {
            return Vec::new();
        }
        self.asked = asked;
        self.ask_again()
    }

    /// Something else answers from now on: all is asked anew. With
    /// `encode_again` the pictures' features are another model's, too.
    pub fn reclassify(&mut self, encode_again: bool) -> Vec<Command> {
        for picture in &mut self.pictures {
            picture.answer = None;
            if encode_again && (picture.with_worker() || picture.state == PictureState::Encoded) {
                picture.state = PictureState::Waiting;
            }
        }
        let mut commands = self.ask_again();
        commands.extend(self.send_pending());
        commands
    }

    fn ask_again(&mut self) -> Vec<Command> {
        // Counted up even without labels, so that late answers are known as late.
        self.question += 1;
        self.notes.clear();
        self.question_error = None;
        if self.asked.is_none() {
            self.texts = PromptStatus::Idle;
            for picture in &mut self.pictures {
                picture.answer = None;
            }
            return Vec::new();
        }
        self.texts = PromptStatus::Pending { done: 0, total: 0 };
        self.classify().into_iter().collect()
    }

    fn classify(&self) -> Option<Command> {
        let asked = self.asked.as_ref()?;
        (self.worker == Worker::Ready && self.texts != PromptStatus::Cancelled).then(|| {
            Command::Send(Request::Classify {
                question: self.question,
                labels: asked.labels.clone(),
                templates: asked.templates.clone(),
            })
        })
    }

    /// Sends as many waiting pictures as the window allows. Those without an
    /// answer come first: after a restart the others are only encoded again.
    pub fn send_pending(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        if self.worker != Worker::Ready || self.cancelling {
            return commands;
        }
        let mut free = MAX_IN_FLIGHT.saturating_sub(
            self.pictures
                .iter()
                .filter(|picture| picture.with_worker())
                .count(),
        );
        for unanswered in [true, false] {
            for picture in &mut self.pictures {
                if free == 0 {
                    return commands;
                }
                if picture.state == PictureState::Waiting && picture.answer.is_none() == unanswered
                {
                    picture.state = PictureState::Sent;
                    free -= 1;
                    commands.push(Command::Send(Request::AddImage {
                        image: picture.id,
                        name: picture.name.clone(),
                    }));
                }
            }
        }
        commands
    }

    /// The visitor's cancel: a request at first, an end to the worker when asked twice.
    pub fn cancel(&mut self) -> Vec<Command> {
        if matches!(self.worker, Worker::Loading { .. }) {
            self.worker = Worker::Stopped;
            return vec![Command::Stop];
        }
        if !self.busy() {
            return Vec::new();
        }
        if self.cancelling {
            return self.cancel_hard();
        }
        for picture in &mut self.pictures {
            if picture.state == PictureState::Waiting {
                picture.state = PictureState::Cancelled;
            }
        }
        if matches!(self.texts, PromptStatus::Pending { .. }) {
            self.texts = PromptStatus::Cancelled;
        }
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
        for picture in &mut self.pictures {
            if picture.pending() {
                picture.state = PictureState::Cancelled;
            }
        }
        self.start()
    }

    /// Takes up again what was cancelled.
    pub fn resume(&mut self) -> Vec<Command> {
        for picture in &mut self.pictures {
            if picture.state == PictureState::Cancelled {
                picture.state = PictureState::Waiting;
            }
        }
        let mut commands = Vec::new();
        if self.texts == PromptStatus::Cancelled {
            commands = self.ask_again();
        }
        commands.extend(self.send_pending());
        commands
    }

    /// The worker said something.
    pub fn on_event(&mut self, event: Event, now_ms: f64) -> Vec<Command> {
        match event {
            Event::Loading { stage, done, total } => {
                if stage == LoadStage::Download {
                    self.meter.note(done, now_ms);
                }
                self.worker = Worker::Loading {
                    stage: Some(stage),
                    done,
                    total,
                };
            }
            Event::Ready { model, device } => {
                self.worker = Worker::Ready;
                let mut commands: Vec<Command> = (model.notes.iter())
                    .map(|note| Command::Notify(Notice::info(note.clone())))
                    .collect();
                self.model = Some(model);
                self.device = Some(device);
                commands.extend(self.classify());
                commands.extend(self.send_pending());
                return commands;
            }
            Event::Kept { models } => self.kept = models,
            Event::Remark { text } => return vec![Command::Notify(Notice::info(text))],
            Event::OpenFailed { error, gpu: true } if self.choice == DeviceChoice::Auto => {
                let error = brief(&error);
                self.gpu_disabled_reason = Some(match error.starts_with("the GPU") {
                    true => error,
                    false => format!("the GPU did not work: {error}"),
                });
                return self.start();
            }
            Event::OpenFailed { error, .. } => {
                self.worker = Worker::Failed(error);
                self.device = None;
                return vec![Command::Stop];
            }
            Event::EncodingImage { image } => self.with(image, |picture| {
                if picture.with_worker() {
                    picture.state = PictureState::Encoding;
                }
            }),
            Event::ImageEncoded {
                image,
                width,
                height,
                preprocess_ms,
                encode_ms,
            } => {
                let device = self
                    .device
                    .as_ref()
                    .map(|d| d.name.clone())
                    .unwrap_or_default();
                self.with(image, |picture| {
                    picture.state = PictureState::Encoded;
                    picture.size = Some((width, height));
                    picture.timing = Some(Timing {
                        preprocess_ms,
                        encode_ms,
                        device,
                    });
                });
                return self.send_pending();
            }
            Event::ImageFailed { image, error } => {
                self.fail_picture(image, error, false);
                return self.send_pending();
            }
            Event::EncodingTexts {
                question,
                done,
                total,
            } => {
                if question == self.question && matches!(self.texts, PromptStatus::Pending { .. }) {
                    self.texts = PromptStatus::Pending { done, total };
                }
            }
            Event::TextsEncoded {
                question, notes, ..
            } => {
                if question == self.question {
                    self.texts = PromptStatus::Idle;
                    self.notes = notes;
                }
            }
            Event::QuestionFailed { question, error } => {
                if question == self.question {
                    self.texts = PromptStatus::Idle;
                    self.question_error = Some(error);
                }
            }
            Event::Answer {
                question,
                image,
                ranking,
            } => {
                if question == self.question {
                    let ranking = Ranking(ranking.into());
                    self.with(image, |picture| picture.answer = Some((question, ranking)));
                }
            }
            Event::Cancelled { images } => {
                self.cancelling = false;
                for image in images {
                    self.with(image, |picture| {
                        if picture.pending() {
                            picture.state = PictureState::Cancelled;
                        }
                    });
                }
                return self.send_pending();
            }
            // For benchmarks, which speak to the worker themselves.
            Event::Measured(_) | Event::MeasureFailed { .. } => {}
            // Heard by sessions of their own.
            Event::Training(_) | Event::Library(_) => {}
            Event::Died { error, .. } => return self.died(&error, now_ms),
        }
        Vec::new()
    }

    /// The worker is gone: it said so, or the browser did.
    pub fn died(&mut self, error: &str, now_ms: f64) -> Vec<Command> {
        let error = brief(error);
        let mut commands = Vec::new();
        if let Some(id) = self.at_work() {
            self.fail_picture(
                id,
                format!(
                    "The worker crashed on this image ({error}). Other images are not affected."
                ),
                true,
            );
        }
        // A worker that never said a word did not even get to choose a device.
        let silent = matches!(self.worker, Worker::Loading { stage: None, .. });
        let on_cpu = silent || self.on_cpu();
        match self.crashes.record(now_ms, self.choice, on_cpu) {
            RestartAction::Restart => {
                commands.push(Command::Notify(Notice::info(format!(
                    "The worker crashed ({error}) and was restarted automatically. You do not need to do anything."
                ))));
                commands.extend(self.start());
            }
            RestartAction::RestartOnCpu => {
                self.gpu_disabled_reason = Some("the GPU failed twice".into());
                commands.push(Command::Notify(Notice::error(format!(
                    "The GPU failed twice ({error}), so the page now uses the CPU, which is slower but reliable. Choose “GPU” to try again."
                ))));
                commands.extend(self.start());
            }
            RestartAction::GiveUp => {
                let advice = if silent {
                    "Check your connection and try again. If that does not help, reload the page."
                } else if on_cpu {
                    "Close other tabs that use a lot of memory, remove very large images and try again."
                } else {
                    "Choose “CPU” under “Device”, or close other tabs that use the GPU and try again."
                };
                let what = if silent {
                    "could not be started"
                } else {
                    "crashed twice within a minute"
                };
                self.worker = Worker::Failed(format!("The worker {what} ({error}). {advice}"));
                self.device = None;
                self.cancelling = false;
                for picture in &mut self.pictures {
                    if picture.with_worker() || picture.state == PictureState::Encoded {
                        picture.state = PictureState::Waiting;
                    }
                }
                commands.push(Command::Stop);
            }
        }
        commands
    }

    /// The picture that the worker was at. It says when it begins with one;
    /// should it have died before that, it is the first it holds, unless there
    /// were prompts to encode: those come before pictures.
    fn at_work(&self) -> Option<ImageId> {
        let find = |state| self.pictures.iter().find(|p| p.state == state);
        let texts_first = matches!(self.texts, PromptStatus::Pending { .. });
        find(PictureState::Encoding)
            .or_else(|| find(PictureState::Sent).filter(|_| !texts_first))
            .map(|picture| picture.id)
    }

    fn with(&mut self, id: ImageId, change: impl FnOnce(&mut Picture)) {
        if let Some(picture) = self.pictures.iter_mut().find(|picture| picture.id == id) {
            change(picture);
        }
    }

    fn fail_picture(&mut self, id: ImageId, error: String, retry: bool) {
        self.with(id, |picture| {
            picture.state = PictureState::Failed { error, retry };
            picture.answer = None;
        });
    }
}

/// The end of a report on a crash: what comes before names source files, which
/// is of no use to a visitor.
fn brief(error: &str) -> String {
    const LONGEST: usize = 160;
    let last = error
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("no reason given");
    let last = last.trim_end_matches('.');
    match last.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &last[..end]),
        None => last.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                notes: Vec::new(),
            },
            device: DeviceInfo {
                gpu,
                name: "test".into(),
                reason: String::new(),
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
        let ranking = vec![Ranked {
            label: "cat".into(),
            probability: 1.0,
            similarity: 0.3,
        }];
        Event::Answer {
            question,
            image,
            ranking,
        }
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
        for n in 0..pictures {
            session.add(format!("{n}.png"), String::new());
        }
        assert!(
            session
                .ask(vec!["cat".into()], vec!["{label}".into()])
                .is_empty()
        );
        session
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
        let old = session.question;
        session.ask(vec!["dog".into()], vec!["{label}".into()]);
        session.on_event(answer(old, 1), 0.0);
        assert_eq!(session.answered(), 0);
        session.on_event(answer(session.question, 1), 0.0);
        assert_eq!(session.answered(), 1);
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
    fn no_labels_is_no_question_and_clears_the_answers() {
        let mut session = session(1);
        session.on_event(ready(true), 0.0);
        session.on_event(encoded(1), 0.0);
        session.on_event(answer(1, 1), 0.0);
        assert!(session.ask(Vec::new(), vec!["{label}".into()]).is_empty());
        session.on_event(answer(1, 1), 0.0);
        assert!(session.pictures[0].answer.is_none());
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
            session.pictures[1].state,
            PictureState::Failed { retry: true, .. }
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
        assert!(matches!(session.worker, Worker::Failed(_)));
        assert_eq!(session.start_over(), [Command::Start(DeviceChoice::Auto)]);
    }

    #[test]
    fn a_gpu_that_opens_no_model_is_left_for_the_cpu() {
        let failed = |gpu| Event::OpenFailed {
            error: "the GPU cannot be used".into(),
            gpu,
        };
        let mut session = session(0);
        assert_eq!(
            session.on_event(failed(true), 0.0),
            [Command::Start(DeviceChoice::Cpu)]
        );
        session.on_event(ready(false), 0.0);
        let reason = session.gpu_disabled_reason.as_deref();
        assert_eq!(reason, Some("the GPU cannot be used"));
        // The files are no better on the CPU, and a chosen GPU is a GPU.
        assert_eq!(session.on_event(failed(false), 0.0), [Command::Stop]);
        session.choose(DeviceChoice::Gpu);
        assert_eq!(session.on_event(failed(true), 0.0), [Command::Stop]);
    }

    #[test]
    fn a_worker_that_never_speaks_is_not_the_gpus_fault() {
        let mut session = session(0);
        session.died("not found", 0.0);
        assert_eq!(session.died("not found", 1.0), [Command::Stop]);
        assert_eq!(session.gpu_disabled_reason, None);
    }

    #[test]
    fn after_a_restart_pictures_without_an_answer_come_first() {
        let mut session = session(3);
        session.on_event(ready(true), 0.0);
        for id in [1, 2] {
            session.on_event(encoded(id), 0.0);
            session.on_event(answer(session.question, id), 0.0);
        }
        session.choose(DeviceChoice::Cpu);
        assert_eq!(sent(&session.on_event(ready(false), 0.0)), [3, 1]);
        // Answers stay in sight meanwhile.
        assert_eq!(session.answered(), 2);
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
        assert_eq!(session.worker, Worker::Stopped);
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
        assert!(commands.contains(&Command::Send(Request::RemoveImage { image: 2 })));
    }

    #[test]
    fn crash_reports_are_cut_to_what_a_visitor_can_read() {
        assert_eq!(
            brief("panicked at src/a.rs:1:2:\nout of memory.\n"),
            "out of memory"
        );
        assert_eq!(brief(""), "no reason given");
        assert_eq!(brief(&"ä".repeat(500)).chars().count(), 161);
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
        assert_eq!(session.pictures[0].state, PictureState::Waiting);
    }

    #[test]
    fn the_latest_batch_is_shown_first() {
        let mut session = session(2);
        session.begin_batch();
        session.add("c.png".into(), String::new());
        session.add("d.png".into(), String::new());
        assert_eq!(session.shown(), [3, 4, 1, 2]);
    }
}
