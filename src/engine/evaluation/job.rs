//! Evaluation as a worker runs it: requests in, events out, one small unit of work at a
//! time.
//!
//! An evaluation is one long asynchronous function. It runs in a future of its own, which
//! the engine is not borrowed for: a [`RemoteEncoder`] leaves what it wants encoded with its
//! [`Exchange`] and waits, and [`Evaluations::work`] has the engine do it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::encoder::prompts;
use super::kept::{Kept, KeptDataset, KnownFeatures, PixelHash, Storage, VERSION};
use super::{
    Classifier, Encoder, Evaluated, EvaluationError, EvaluationSet, Tried, name_classes, open,
    own_templates, thumbnail,
};
use crate::data::{DataError, DataFiles};
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
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
/// Least time between two writes of new features, and the share of the time that they may
/// take.
const SAVE_EVERY_MS: f64 = 3_000.0;
const SAVE_SHARE: f64 = 0.05;
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
}

/// Sink of events.
type EventSink = Rc<dyn Fn(EvaluationEvent)>;

/// Evaluations of a worker: the open data set, and what is done with it.
pub struct Evaluations<F, S> {
    emit: EventSink,
    now: fn() -> f64,
    /// Features of the engine's present model.
    known: KnownFeatures,
    kept: Kept<S>,
    /// When features were written last, and how long it took.
    saved_ms: f64,
    save_took_ms: f64,
    open: Option<Rc<Opened<F>>>,
    job: Option<Job<F>>,
    paused: bool,
    /// Whether the engine's model was trained here.
    tuned: bool,
}

/// Open data set with its latest result.
struct Opened<F> {
    /// `None` after a reload.
    files: Option<Rc<F>>,
    /// The data set as it was read.
    read: Rc<KeptDataset>,
    /// The same with named classes.
    set: EvaluationSet,
    class_names: Vec<String>,
    /// `[pictures][embed_dim]`
    features: Rc<Vec<Vec<f32>>>,
    evaluated: Evaluated,
}

/// How a job ends.
enum Done<F> {
    /// The images were read.
    Opened(Rc<Opened<F>>),
    /// They were evaluated anew.
    Evaluated(Rc<Opened<F>>),
    /// What an earlier visit found is there again.
    Restored(Rc<Opened<F>>),
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
    Images(Vec<(PixelHash, Vec<f32>)>),
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
        waiting: VecDeque<(PixelHash, Vec<f32>)>,
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
    /// Pixels of the images so far.
    seen: Vec<PixelHash>,
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
        let pixels = pixels
            .into_iter()
            .map(|pixels| (fingerprint(&pixels), pixels));
        let pixels: Vec<_> = pixels.collect();
        self.seen.extend(pixels.iter().map(|(hash, _)| *hash));
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

impl<F: DataFolder + 'static, S: Storage> Evaluations<F, S>
where
    F::File: 'static,
{
    /// Without an open data set. `now` is in milliseconds.
    pub fn new(emit: EventSink, now: fn() -> f64, storage: S) -> Self {
        Self {
            emit,
            now,
            known: KnownFeatures::new(),
            kept: Kept::new(storage),
            saved_ms: f64::NEG_INFINITY,
            save_took_ms: 0.0,
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
        engine: Option<&mut Engine>,
    ) {
        match request {
            EvaluationRequest::Pause(paused) => self.paused = paused,
            EvaluationRequest::Cancel => {
                self.job = None;
                self.paused = false;
                self.save().await;
                (self.emit)(EvaluationEvent::Cancelled);
            }
            EvaluationRequest::Close => {
                self.job = None;
                self.paused = false;
                self.open = None;
                self.kept.delete().await;
            }
            EvaluationRequest::Pictures { paths } => self.pictures(paths).await,
            EvaluationRequest::Kept => {
                let state = self.kept.page().await;
                (self.emit)(EvaluationEvent::Kept(state));
            }
            EvaluationRequest::Keep(state) => {
                let written = self.kept.put_page(&state).await;
                self.tell(written);
            }
            request => {
                let started = match engine {
                    Some(engine) => {
                        self.read_kept(engine).await;
                        self.start(request, files, engine).await
                    }
                    None => Err(diagnostic!("no-model", "no model is loaded")),
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
        self.kept.model_changed();
        self.paused = false;
        if self.open.take().is_some() || self.job.take().is_some() {
            (self.emit)(EvaluationEvent::Closed);
        }
        self.job = None;
    }

    /// Takes over features of earlier visits, if they are the model's. Those of a model that
    /// was trained here are not kept.
    async fn read_kept(&mut self, engine: &mut Engine) {
        if self.tuned || self.kept.is_read() {
            return;
        }
        if let Ok(model) = engine.fingerprint().await {
            let found = self.kept.read(model).await;
            self.known.extend(found);
        }
    }

    /// Writes new features.
    async fn save(&mut self) {
        let start = (self.now)();
        let written = self.kept.save(&self.known).await;
        self.saved_ms = (self.now)();
        self.save_took_ms = self.saved_ms - start;
        self.tell(written);
    }

    fn tell(&self, written: Result<(), Diagnostic>) {
        if let Err(error) = written {
            (self.emit)(EvaluationEvent::NotKept { error });
        }
    }

    async fn pictures(&self, paths: Vec<String>) {
        let Some(files) = self.open.as_ref().and_then(|open| open.files.clone()) else {
            (self.emit)(EvaluationEvent::Pictures(Vec::new()));
            return;
        };
        let mut found = Vec::with_capacity(paths.len());
        for path in paths {
            let bytes = files.read(&path).await.ok();
            if let Some(address) = bytes.and_then(|bytes| thumbnail(&bytes)) {
                found.push((path, address));
            }
        }
        (self.emit)(EvaluationEvent::Pictures(found));
    }

    async fn start(
        &mut self,
        request: EvaluationRequest,
        files: Vec<F::File>,
        engine: &Engine,
    ) -> Result<(), Diagnostic> {
        let exchange = Rc::new(Exchange::default());
        let mut encoder = RemoteEncoder {
            exchange: exchange.clone(),
            preprocess: engine.preprocess().clone(),
            scoring: engine.scoring(),
            name: match self.tuned {
                true => format!("{}, trained here", engine.model_info().name),
                false => engine.model_info().name.clone(),
            },
            seen: Vec::new(),
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
                class_names,
            } => {
                self.open = None;
                // An earlier one: a reload must not bring it back in place of this one.
                self.kept.delete_dataset().await;
                Box::pin(async move {
                    let files = Rc::new(F::open(name.clone(), paths, files).await?);
                    let read = read(name, files, false, &class_names, &mut encoder, &mut at);
                    let opened = read.await?.evaluate(&templates, class_names, &mut encoder);
                    Ok(Done::Opened(Rc::new(opened.await?)))
                })
            }
            EvaluationRequest::Restore {
                templates,
                class_names,
            } => {
                self.open = None;
                let read = self
                    .restored()
                    .await
                    .map_err(|error| error.to_diagnostic())?;
                Box::pin(async move {
                    let opened = read.evaluate(&templates, class_names, &mut encoder);
                    Ok(Done::Restored(Rc::new(opened.await?)))
                })
            }
            request => {
                let open = (self.open.clone())
                    .ok_or_else(|| EvaluationError::NothingOpen.to_diagnostic())?;
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

    /// Data set of an earlier visit, without its images.
    async fn restored(&self) -> Result<ReadImages<F>, EvaluationError> {
        let kept = self.kept.dataset().await;
        let features = kept.as_ref().and_then(|kept| {
            let known = kept.pixels.iter().map(|hash| self.known.get(hash).cloned());
            let known: Option<Vec<Vec<f32>>> = known.collect();
            known.filter(|known| known.len() == kept.dataset.pictures.len())
        });
        match (kept, features) {
            (Some(kept), Some(features)) => Ok(ReadImages {
                files: None,
                read: Rc::new(kept),
                features: Rc::new(features),
            }),
            _ => Err(match self.kept.other_model() {
                Some(other) => EvaluationError::OtherModel(other),
                None => EvaluationError::NotRestored,
            }),
        }
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
            let (known, kept) = (&mut self.known, &mut self.kept);
            match serving.advance(engine, known, kept, &self.emit).await {
                Ok(None) => {
                    let every = SAVE_EVERY_MS.max(self.save_took_ms / SAVE_SHARE);
                    if self.kept.is_unsaved() && (self.now)() - self.saved_ms > every {
                        self.save().await;
                    }
                    return true;
                }
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
        self.save().await;
        let event = match done {
            Ok(Done::Opened(opened)) => {
                if self.kept.is_read() && !self.tuned {
                    let written = self.kept.put_dataset(&opened.read).await;
                    self.tell(written);
                }
                let event = EvaluationEvent::Evaluated(Box::new(opened.outcome()));
                self.open = Some(opened);
                event
            }
            Ok(Done::Evaluated(opened)) => {
                let event = EvaluationEvent::Evaluated(Box::new(opened.outcome()));
                self.open = Some(opened);
                event
            }
            Ok(Done::Restored(opened)) => {
                self.open = Some(opened);
                EvaluationEvent::Restored
            }
            Ok(Done::Found(event)) => event,
            Err(error) => EvaluationEvent::Failed {
                error: error.to_diagnostic(),
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
        known: &mut KnownFeatures,
        kept: &mut Kept<impl Storage>,
        emit: &EventSink,
    ) -> Result<Option<Made>, EngineError> {
        match self {
            Self::Images { waiting, features } => {
                let mut batch = Vec::new();
                let mut hashes = Vec::new();
                while let Some((hash, _)) = waiting.front() {
                    let hash = *hash;
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
                    batch.extend(waiting.pop_front().map(|(_, pixels)| pixels));
                    hashes.push(hash);
                }
                let made = match batch.is_empty() {
                    true => Vec::new(),
                    false => engine.image_features(&batch).await?,
                };
                if known.len() + made.len() > MAX_KNOWN {
                    known.clear();
                    kept.delete_features().await;
                }
                kept.add(&hashes);
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

/// Images that were read and encoded.
struct ReadImages<F> {
    files: Option<Rc<F>>,
    read: Rc<KeptDataset>,
    /// `[pictures][embed_dim]`
    features: Rc<Vec<Vec<f32>>>,
}

/// Reads and encodes a data set.
async fn read<F: DataFolder>(
    name: String,
    files: Rc<F>,
    with_training: bool,
    class_names: &[String],
    encoder: &mut RemoteEncoder,
    at: &mut Progress,
) -> Result<ReadImages<F>, EvaluationError> {
    let whole = open(&*files, None, true).await?;
    let has_training = !whole.held_out.is_empty();
    let dataset = match with_training {
        true => whole,
        false => whole.only_held_out(),
    };
    let own = files.class_names();
    // Names that do not fit are told before the images are read.
    name_classes(&mut dataset.clone(), class_names, own.as_deref())?;
    let mut report = async |stage, done, total| at.report(stage, done, total).await;
    encoder.seen.clear();
    let (set, mut features) = EvaluationSet::encode(
        &*files,
        dataset,
        SEED,
        std::slice::from_mut(encoder),
        &mut report,
    )
    .await?;
    let read = KeptDataset {
        version: VERSION,
        name,
        dataset: set.dataset,
        pixels: std::mem::take(&mut encoder.seen),
        has_training,
        templates: own_templates(&*files),
        class_names: own,
    };
    Ok(ReadImages {
        files: Some(files),
        read: Rc::new(read),
        features: Rc::new(features.pop().unwrap_or_default()),
    })
}

impl<F> ReadImages<F> {
    async fn evaluate(
        self,
        templates: &[String],
        class_names: Vec<String>,
        encoder: &mut RemoteEncoder,
    ) -> Result<Opened<F>, EvaluationError> {
        let Self {
            files,
            read,
            features,
        } = self;
        let mut dataset = read.dataset.clone();
        name_classes(&mut dataset, &class_names, read.class_names.as_deref())?;
        let set = EvaluationSet::new(dataset, SEED);
        let evaluated = set
            .evaluate(encoder, &features, &read.name, templates)
            .await?;
        Ok(Opened {
            files,
            read,
            set,
            class_names,
            features,
            evaluated,
        })
    }
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
            own_templates: self.read.templates.clone(),
        }
    }

    /// The images' files, which a reload takes away.
    fn files(&self) -> Result<&Rc<F>, EvaluationError> {
        self.files.as_ref().ok_or(EvaluationError::ImagesGone)
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
            EvaluationRequest::Evaluate {
                templates,
                class_names,
            } => {
                let read = ReadImages {
                    files: self.files.clone(),
                    read: self.read.clone(),
                    features: features.clone(),
                };
                let opened = read.evaluate(&templates, class_names, encoder).await?;
                return Ok(Done::Evaluated(Rc::new(opened)));
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
                let read_again;
                let source = match self.read.has_training {
                    false => &*self,
                    true => {
                        let (files, names) = (self.files()?.clone(), &self.class_names);
                        let read = read(String::new(), files, true, names, encoder, at).await?;
                        let opened = read.evaluate(templates, names.clone(), encoder);
                        read_again = opened.await?;
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
                    files: self.files.as_deref(),
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
