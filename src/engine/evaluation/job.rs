//! Evaluation as a worker runs it: requests in, events out, one small unit of work at a
//! time.
//!
//! An evaluation is one long asynchronous function. It runs in a future of its own, which
//! the engine is not borrowed for: a [`RemoteEncoder`] leaves what it wants encoded with its
//! [`Exchange`] and waits, and [`Evaluations::work`] has the engine do it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::encoder::prompts;
use super::{
    Classifier, Encoder, Evaluated, EvaluationError, EvaluationSet, Tried, open, thumbnail,
};
use crate::data::{DataError, DataFiles};
use crate::engine::messages::{
    EvaluatedImage, EvaluationEvent, EvaluationOutcome, EvaluationRequest, EvaluationStage,
};
use crate::engine::{Engine, EngineError, PendingPrompts};
use crate::eval::FewShotMethod;
use crate::preprocess::{DecodedImage, PreprocessConfig, preprocess};
use crate::train::FewShotSettings;
use crate::zero_shot::{self, Scoring};

/// Time slice between checks for requests.
const SLICE_MS: f64 = 30.0;
/// Least time between two reports of progress.
const REPORT_EVERY_MS: f64 = 100.0;
/// Images encoded in one unit of work.
const BATCH: usize = 4;
/// Features of images that are kept, also of other data sets: at 512 dimensions 100 MB.
const MAX_KNOWN: usize = 50_000;
/// Seed of everything random, as the command's default.
const SEED: u64 = 0;

/// Files of a data set, as they reach the worker.
#[allow(async_fn_in_trait)] // one thread
pub trait DataFolder: DataFiles + Sized {
    /// Handle of a file.
    type File;

    /// Opens files by their paths; those that end in `/` are folders, without a file.
    async fn open(
        name: String,
        paths: Vec<String>,
        files: Vec<Self::File>,
    ) -> Result<Self, DataError>;

    /// The data set's own templates.
    fn templates(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Sink of events.
type EventSink = Rc<dyn Fn(EvaluationEvent)>;

/// Evaluations of a worker: the open data set, and what is done with it.
pub struct Evaluations<F> {
    emit: EventSink,
    now: fn() -> f64,
    /// Features by a hash of the pixels, of the engine's present model.
    known: HashMap<[u64; 2], Vec<f32>>,
    open: Option<Rc<Opened<F>>>,
    job: Option<Job<F>>,
    paused: bool,
    /// Whether the engine's model was trained here.
    tuned: bool,
}

/// Open data set with its latest result.
struct Opened<F> {
    name: String,
    files: Rc<F>,
    set: Rc<EvaluationSet>,
    /// `[pictures][embed_dim]`
    features: Rc<Vec<Vec<f32>>>,
    evaluated: Evaluated,
}

/// How a job ends.
enum Done<F> {
    Opened(Rc<Opened<F>>),
    Found(EvaluationEvent),
}

struct Job<F> {
    future: Pin<Box<dyn Future<Output = Result<Done<F>, EvaluationError>>>>,
    exchange: Rc<Exchange>,
    serving: Option<Serving>,
}

/// What a job and the engine leave for each other.
#[derive(Default)]
struct Exchange {
    wanted: RefCell<Option<Wanted>>,
    made: RefCell<Option<Result<Made, EngineError>>>,
    /// Set when the job lets other work go first.
    yielded: Cell<bool>,
}

/// What a job wants of the engine.
enum Wanted {
    Images(Vec<Vec<f32>>),
    Texts(Vec<String>),
    Classifier(Vec<String>, Vec<String>),
}

/// What the engine has made of it.
enum Made {
    Features(Vec<Vec<f32>>),
    Classifier(Classifier),
}

/// Work of the engine for a job.
enum Serving {
    Images {
        waiting: VecDeque<Vec<f32>>,
        features: Vec<Vec<f32>>,
    },
    Prompts {
        wanted: Wanted,
        pending: PendingPrompts,
        total: usize,
    },
}

/// Engine as a job sees it.
struct RemoteEncoder {
    exchange: Rc<Exchange>,
    preprocess: PreprocessConfig,
    scoring: Scoring,
    name: String,
}

impl RemoteEncoder {
    async fn make(&self, wanted: Wanted) -> Result<Made, EngineError> {
        self.exchange.wanted.replace(Some(wanted));
        poll_fn(|_| match self.exchange.made.take() {
            Some(made) => Poll::Ready(made),
            None => Poll::Pending,
        })
        .await
    }

    async fn features(&self, wanted: Wanted) -> Result<Vec<Vec<f32>>, EngineError> {
        match self.make(wanted).await? {
            Made::Features(features) => Ok(features),
            Made::Classifier(classifier) => Ok(classifier.weights),
        }
    }
}

impl Encoder for RemoteEncoder {
    fn pixels(&self, picture: &DecodedImage) -> Vec<f32> {
        preprocess(picture, &self.preprocess)
    }

    async fn images(&mut self, pixels: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, EngineError> {
        self.features(Wanted::Images(pixels)).await
    }

    async fn texts(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, EngineError> {
        self.features(Wanted::Texts(texts.to_vec())).await
    }

    async fn classifier(
        &mut self,
        classes: &[String],
        templates: &[String],
    ) -> Result<Classifier, EngineError> {
        let wanted = Wanted::Classifier(classes.to_vec(), templates.to_vec());
        match self.make(wanted).await? {
            Made::Classifier(classifier) => Ok(classifier),
            Made::Features(weights) => Ok(Classifier {
                weights,
                truncated: Vec::new(),
            }),
        }
    }

    fn scoring(&self) -> Scoring {
        self.scoring
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Exchange {
    /// Lets other work go first.
    async fn give_way(&self) {
        let mut has_yielded = false;
        poll_fn(|_| {
            if std::mem::replace(&mut has_yielded, true) {
                return Poll::Ready(());
            }
            self.yielded.set(true);
            Poll::Pending
        })
        .await;
    }

    /// Whether the job waits for its worker, and not for the browser.
    fn waits(&self) -> bool {
        self.yielded.take() || self.wanted.borrow().is_some()
    }
}

/// Reports progress, not too often, and lets other work go first.
struct Progress {
    emit: EventSink,
    exchange: Rc<Exchange>,
    now: fn() -> f64,
    reported: f64,
}

impl Progress {
    async fn report(&mut self, stage: EvaluationStage, done: usize, total: usize) {
        let now = (self.now)();
        if now - self.reported > REPORT_EVERY_MS || done == total {
            self.reported = now;
            (self.emit)(progress(stage, done, total));
        }
        self.exchange.give_way().await;
    }
}

fn progress(stage: EvaluationStage, done: usize, total: usize) -> EvaluationEvent {
    EvaluationEvent::Progress {
        stage,
        done: done as u32,
        total: total as u32,
    }
}

impl<F: DataFolder + 'static> Evaluations<F>
where
    F::File: 'static,
{
    /// Without an open data set. `now` is in milliseconds.
    pub fn new(emit: EventSink, now: fn() -> f64) -> Self {
        Self {
            emit,
            now,
            known: HashMap::new(),
            open: None,
            job: None,
            paused: false,
            tuned: false,
        }
    }

    /// Handles a request. `files` are its attachments.
    pub async fn handle(
        &mut self,
        request: EvaluationRequest,
        files: Vec<F::File>,
        engine: Option<&Engine>,
    ) {
        match request {
            EvaluationRequest::Pause(paused) => self.paused = paused,
            EvaluationRequest::Cancel => {
                self.job = None;
                self.paused = false;
                (self.emit)(EvaluationEvent::Cancelled);
            }
            EvaluationRequest::Close => {
                self.job = None;
                self.paused = false;
                self.open = None;
            }
            EvaluationRequest::Pictures { paths } => self.pictures(paths).await,
            request => {
                let started = match engine {
                    Some(engine) => self.start(request, files, engine),
                    None => Err("no model is loaded".into()),
                };
                if let Err(error) = started {
                    (self.emit)(EvaluationEvent::Failed { error });
                }
            }
        }
    }

    /// Features of another model are computed from here on.
    pub fn model_changed(&mut self, tuned: bool) {
        self.tuned = tuned;
        self.known.clear();
        self.paused = false;
        if self.open.take().is_some() || self.job.take().is_some() {
            (self.emit)(EvaluationEvent::Closed);
        }
        self.job = None;
    }

    async fn pictures(&self, paths: Vec<String>) {
        let Some(open) = &self.open else {
            return;
        };
        let mut found = Vec::with_capacity(paths.len());
        for path in paths {
            let bytes = open.files.read(&path).await.ok();
            if let Some(address) = bytes.and_then(|bytes| thumbnail(&bytes)) {
                found.push((path, address));
            }
        }
        (self.emit)(EvaluationEvent::Pictures(found));
    }

    fn start(
        &mut self,
        request: EvaluationRequest,
        files: Vec<F::File>,
        engine: &Engine,
    ) -> Result<(), String> {
        let exchange = Rc::new(Exchange::default());
        let mut encoder = RemoteEncoder {
            exchange: exchange.clone(),
            preprocess: engine.preprocess().clone(),
            scoring: engine.scoring(),
            name: match self.tuned {
                true => format!("{}, trained here", engine.model_info().name),
                false => engine.model_info().name.clone(),
            },
        };
        let mut at = Progress {
            emit: self.emit.clone(),
            exchange: exchange.clone(),
            now: self.now,
            reported: (self.now)(),
        };
        let future: Pin<Box<dyn Future<Output = _>>> = match request {
            EvaluationRequest::Open {
                name,
                paths,
                templates,
            } => {
                self.open = None;
                Box::pin(async move {
                    let files = Rc::new(F::open(name.clone(), paths, files).await?);
                    read(name, files, &templates, false, &mut encoder, &mut at)
                        .await
                        .map(|opened| Done::Opened(Rc::new(opened)))
                })
            }
            request => {
                let open =
                    (self.open.clone()).ok_or_else(|| EvaluationError::NothingOpen.to_string())?;
                Box::pin(async move { open.answer(request, &mut encoder, &mut at).await })
            }
        };
        self.paused = false;
        self.job = Some(Job {
            future,
            exchange,
            serving: None,
        });
        Ok(())
    }

    /// One unit of work; `false` if there is none.
    pub async fn work(&mut self, engine: &mut Engine) -> bool {
        let Some(job) = self.job.as_mut().filter(|_| !self.paused) else {
            return false;
        };
        let wanted = job.exchange.wanted.take();
        if let Some(wanted) = wanted {
            match Serving::new(wanted, engine) {
                Ok(serving) => job.serving = Some(serving),
                Err(error) => job.finish(Err(error)),
            }
        }
        if let Some(serving) = &mut job.serving {
            match serving.advance(engine, &mut self.known, &self.emit).await {
                Ok(None) => return true,
                Ok(Some(made)) => job.finish(Ok(made)),
                Err(error) => job.finish(Err(error)),
            }
        }
        let start = (self.now)();
        let mut step = job.step().await;
        while step.is_none()
            && job.exchange.wanted.borrow().is_none()
            && (self.now)() - start < SLICE_MS
        {
            step = job.step().await;
        }
        let Some(done) = step else {
            return true;
        };
        self.job = None;
        let event = match done {
            Ok(Done::Opened(opened)) => {
                let event = EvaluationEvent::Evaluated(Box::new(opened.outcome()));
                self.open = Some(opened);
                event
            }
            Ok(Done::Found(event)) => event,
            Err(error) => EvaluationEvent::Failed {
                error: error.to_string(),
            },
        };
        (self.emit)(event);
        true
    }
}

impl<F> Job<F> {
    fn finish(&mut self, made: Result<Made, EngineError>) {
        self.serving = None;
        self.exchange.made.replace(Some(made));
    }

    /// Runs until the job waits for its worker, or to its end.
    async fn step(&mut self) -> Option<Result<Done<F>, EvaluationError>> {
        let exchange = &self.exchange;
        let future = &mut self.future;
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if exchange.waits() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

impl Serving {
    fn new(wanted: Wanted, engine: &Engine) -> Result<Self, EngineError> {
        let texts = match &wanted {
            Wanted::Texts(texts) => texts.clone(),
            Wanted::Classifier(classes, templates) => {
                zero_shot::check(classes, templates)?;
                prompts(classes, templates)
            }
            Wanted::Images(_) => Vec::new(),
        };
        Ok(match wanted {
            Wanted::Images(pixels) => Self::Images {
                features: Vec::with_capacity(pixels.len()),
                waiting: pixels.into(),
            },
            wanted => {
                let pending = engine.pending_prompts(&texts)?;
                Self::Prompts {
                    wanted,
                    total: pending.len(),
                    pending,
                }
            }
        })
    }

    /// A few images or a batch of prompts; the result once all are encoded.
    async fn advance(
        &mut self,
        engine: &mut Engine,
        known: &mut HashMap<[u64; 2], Vec<f32>>,
        emit: &EventSink,
    ) -> Result<Option<Made>, EngineError> {
        match self {
            Self::Images { waiting, features } => {
                let mut batch = Vec::new();
                let mut hashes = Vec::new();
                while let Some(pixels) = waiting.front() {
                    let hash = fingerprint(pixels);
                    match known.get(&hash) {
                        Some(found) if batch.is_empty() => {
                            features.push(found.clone());
                            waiting.pop_front();
                            continue;
                        }
                        // In their order: after the batch.
                        Some(_) => break,
                        None if batch.len() == BATCH => break,
                        None => {}
                    }
                    batch.extend(waiting.pop_front());
                    hashes.push(hash);
                }
                let made = match batch.is_empty() {
                    true => Vec::new(),
                    false => engine.image_features(&batch).await?,
                };
                if known.len() + made.len() > MAX_KNOWN {
                    known.clear();
                }
                known.extend(hashes.into_iter().zip(made.iter().cloned()));
                features.extend(made);
                Ok(waiting
                    .is_empty()
                    .then(|| Made::Features(std::mem::take(features))))
            }
            Self::Prompts {
                wanted,
                pending,
                total,
            } => {
                if engine.encode_next_batch(pending).await? > 0 {
                    let done = *total - pending.len();
                    emit(progress(EvaluationStage::Prompts, done, *total));
                    return Ok(None);
                }
                Ok(Some(match wanted {
                    Wanted::Classifier(classes, templates) => {
                        Made::Classifier(Encoder::classifier(engine, classes, templates).await?)
                    }
                    Wanted::Texts(texts) => Made::Features(Encoder::texts(engine, texts).await?),
                    Wanted::Images(_) => Made::Features(Vec::new()),
                }))
            }
        }
    }
}

/// Reads, encodes and evaluates a data set.
async fn read<F: DataFolder>(
    name: String,
    files: Rc<F>,
    templates: &[String],
    with_training: bool,
    encoder: &mut RemoteEncoder,
    at: &mut Progress,
) -> Result<Opened<F>, EvaluationError> {
    let dataset = open(&*files, None, with_training).await?;
    let mut report = async |stage, done, total| at.report(stage, done, total).await;
    let (set, mut features) = EvaluationSet::encode(
        &*files,
        dataset,
        SEED,
        std::slice::from_mut(encoder),
        &mut report,
    )
    .await?;
    let features = features.pop().unwrap_or_default();
    let evaluated = set.evaluate(encoder, &features, &name, templates).await?;
    Ok(Opened {
        name,
        files,
        set: Rc::new(set),
        features: Rc::new(features),
        evaluated,
    })
}

impl<F: DataFolder> Opened<F> {
    fn outcome(&self) -> EvaluationOutcome {
        let images = (self.set.paths())
            .zip(self.set.truth())
            .zip(&self.evaluated.answers);
        EvaluationOutcome {
            report: self.evaluated.report.clone(),
            images: images
                .map(|((path, truth), answer)| EvaluatedImage {
                    path: path.clone(),
                    truth: truth as u32,
                    answer: *answer as u32,
                })
                .collect(),
            problems: self.set.dataset.problems.clone(),
            own_templates: self.files.templates(),
        }
    }

    /// Answers a request about the open data set.
    async fn answer(
        self: Rc<Self>,
        request: EvaluationRequest,
        encoder: &mut RemoteEncoder,
        at: &mut Progress,
    ) -> Result<Done<F>, EvaluationError> {
        let (set, features) = (&self.set, &self.features);
        let templates = &self.evaluated.report.templates;
        let event = match request {
            EvaluationRequest::Evaluate { templates } => {
                return Ok(Done::Opened(Rc::new(Opened {
                    name: self.name.clone(),
                    files: self.files.clone(),
                    set: set.clone(),
                    features: features.clone(),
                    evaluated: set
                        .evaluate(encoder, features, &self.name, &templates)
                        .await?,
                })));
            }
            EvaluationRequest::Prompts { sets } => {
                let (comparison, notes) = set
                    .compare_prompts(encoder, features, &sets, templates)
                    .await?;
                EvaluationEvent::Prompts { comparison, notes }
            }
            EvaluationRequest::Shots { shots, draws } => {
                let settings = FewShotSettings {
                    shots: (shots.into_iter())
                        .map(|shots| shots.map(|shots| shots as usize))
                        .collect(),
                    draws: draws.max(1) as usize,
                    seed: SEED,
                    methods: FewShotMethod::ALL.to_vec(),
                };
                // With a part to learn from, where the data set has one.
                let whole = open(&*self.files, None, true).await?;
                let read_again;
                let source = match whole.held_out.is_empty() {
                    true => &*self,
                    false => {
                        let files = self.files.clone();
                        read_again =
                            read(String::new(), files, templates, true, encoder, at).await?;
                        &read_again
                    }
                };
                let mut report = async |stage, done, total| at.report(stage, done, total).await;
                let curve = (source.set)
                    .learn(
                        &source.features,
                        &source.evaluated.classifier,
                        encoder.scoring().scale(),
                        &settings,
                        &mut report,
                    )
                    .await?;
                EvaluationEvent::Shots(curve)
            }
            EvaluationRequest::Limit(limit) => {
                let tried = Tried {
                    set,
                    files: &*self.files,
                    features,
                    classifier: &self.evaluated.classifier,
                    right: &self.evaluated.right,
                };
                let mut report = async |stage, done, total| at.report(stage, done, total).await;
                let found = tried.result(limit, encoder, &mut report).await?;
                EvaluationEvent::Limit(found.ok_or(EvaluationError::NothingToWrite)?)
            }
            // The others start no job.
            _ => EvaluationEvent::Cancelled,
        };
        Ok(Done::Found(event))
    }
}

/// 128-bit hash of pixels.
fn fingerprint(pixels: &[f32]) -> [u64; 2] {
    [0u8, 1].map(|salt| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        for value in pixels {
            value.to_bits().hash(&mut hasher);
        }
        hasher.finish()
    })
}
