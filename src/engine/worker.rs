//! Web Worker of the engine: a loop that handles [`Request`]s and posts [`Event`]s, one
//! small unit of work at a time, so that requests are handled in between.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::engine::decoder::{DecodeError, decode_file};
use crate::engine::evaluation::browser::{BrowserFolder, BrowserStorage};
use crate::engine::evaluation::job::Evaluations;
use crate::engine::library::Library;
use crate::engine::locator::{LocateError, Locator};
use crate::engine::messages::{
    DeviceChoice, DeviceInfo, Event, HeatMapDrawing, ImageId, LoadStage, ModelSource, OpenFailure,
    Peak, Request, TrainingEvent,
};
use crate::engine::neutral_words::NeutralWords;
use crate::engine::rankings::Rankings;
use crate::engine::training::browser::Browser;
use crate::engine::training::{EventAttachments, Training};
use crate::engine::{Engine, EngineError, PendingPrompts, compute_worker, cpu_name, open_device};
use crate::hub::cache::ModelCache;
use crate::hub::{self, BrowserFiles, HttpFiles, LoadProgress, ModelFiles, WebModelFiles};
use crate::model::{Activation, WeightPrecision};
use crate::preprocess::DecodedImage;
use crate::weights::CopyOptions;
use crate::zero_shot::{self, Rejection};
use gloo_timers::future::TimeoutFuture;
use js_sys::{Array, ArrayBuffer, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{DedicatedWorkerGlobalScope, File, MessageEvent};

/// Registers the message handler; [`run`] does everything else.
pub fn start() {
    super::run_constructors();
    std::panic::set_hook(Box::new(|panic| {
        post(&Event::Died {
            error: panic.to_string().into(),
            gpu: false,
        });
    }));
    let inbox: Inbox = Rc::default();
    let listener = {
        let inbox = inbox.clone();
        Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            match parse(&event.data()) {
                Ok(message) => inbox.borrow_mut().push(message),
                Err(error) => post(&Event::Died {
                    error: diagnostic!(
                        "message-unreadable",
                        "a message could not be read: {error}",
                        error = error.to_string()
                    ),
                    gpu: false,
                }),
            }
        })
    };
    if let Some(scope) = scope() {
        scope.set_onmessage(Some(listener.as_ref().unchecked_ref()));
    }
    listener.forget(); // lives as long as the worker
    spawn_local(run(inbox));
}

/// A step on a lost GPU fails first; the loss is reported after this delay.
const LOSS_IS_KNOWN_MS: u32 = 500;

/// Few enough for the first answers to show at once, many enough for the messages to
/// cost little.
const ANSWERS_IN_A_MESSAGE: usize = 256;

/// Folder of the bundled model, relative to the page.
const BUNDLED: &str = "model/";

type Inbox = Rc<RefCell<Mailbox>>;

#[derive(Default)]
struct Mailbox {
    messages: VecDeque<Message>,
    /// Resolver of [`wait`].
    wake: Option<Function>,
}

/// Request with its attachments.
struct Message {
    request: Request,
    bytes: Option<Vec<u8>>,
    files: Vec<File>,
}

impl Mailbox {
    fn push(&mut self, message: Message) {
        self.messages.push_back(message);
        if let Some(wake) = self.wake.take() {
            // A promise's resolver does not throw.
            let _ = wake.call0(&JsValue::NULL);
        }
    }
}

/// State of the worker.
struct State {
    engine: Option<Engine>,
    training: Training<Browser<WebModelFiles>>,
    library: Library,
    evaluations: Evaluations<BrowserFolder, BrowserStorage>,
    /// Pictures to encode: id and file.
    waiting: VecDeque<(ImageId, Vec<u8>)>,
    /// Features of encoded pictures.
    encoded: Vec<(ImageId, Vec<f32>)>,
    /// Frame of a video to classify, the newest one.
    frame: Option<Frame>,
    /// Whether a frame is next: frames and all other work take turns.
    frames_turn: bool,
    question: Option<Question>,
    locator: Locator,
    words: NeutralWords,
}

/// Frame of a video.
struct Frame {
    number: u32,
    width: u32,
    height: u32,
    /// `[height, width, 4]`.
    pixels: Vec<u8>,
}

struct Question {
    number: u32,
    labels: Vec<String>,
    templates: Vec<String>,
    prompts: Vec<String>,
    /// Prompts to encode, once known.
    waiting: Option<PendingPrompts>,
    /// Prompts encoded for this question, and the time it took.
    encoded: u32,
    encode_ms: f64,
    /// Zero-shot classifier, once all prompts are encoded.
    classifier: Option<Vec<Vec<f32>>>,
    /// Neutral words that compete with the labels, if the page wants to know and they are encoded.
    rejection: Option<Rejection>,
}

impl State {
    fn new() -> Self {
        let notify = Box::new(|event, attachments| match attachments {
            EventAttachments::Nothing if matches!(event, TrainingEvent::Failed { .. }) => {
                // A lost GPU is reported a moment later and ends this worker; that is no
                // training failure, since the next worker resumes.
                spawn_local(async move {
                    TimeoutFuture::new(LOSS_IS_KNOWN_MS).await;
                    post(&Event::Training(event));
                });
            }
            EventAttachments::Nothing => post(&Event::Training(event)),
            EventAttachments::Bytes(bytes) => post_bytes(&Event::Training(event), &bytes),
            EventAttachments::Files(files) => post_files(&Event::Training(event), files),
        });
        Self {
            engine: None,
            training: Training::new(Browser::new(notify)),
            library: Library::new(Box::new(|event| post(&Event::Library(event))), now),
            evaluations: Evaluations::new(
                Rc::new(|event| post(&Event::Evaluation(event))),
                now,
                BrowserStorage::default(),
            ),
            waiting: VecDeque::new(),
            encoded: Vec::new(),
            frame: None,
            frames_turn: false,
            question: None,
            locator: Locator::default(),
            words: NeutralWords::new(now),
        }
    }
}

async fn run(inbox: Inbox) {
    let mut state = State::new();
    loop {
        let message = inbox.borrow_mut().messages.pop_front();
        if let Some(message) = message {
            state.take(message).await;
            continue;
        }
        if state.work().await {
            // Yields to the browser's event loop.
            TimeoutFuture::new(0).await;
        } else {
            wait(&inbox).await;
        }
    }
}

impl State {
    async fn take(&mut self, message: Message) {
        match message.request {
            Request::Open {
                device,
                source,
                hub,
                stored_precision,
                used_words,
                activation,
                int8,
                threads,
            } => {
                let copy = CopyOptions {
                    precision: stored_precision,
                    omit_table: used_words,
                };
                let files = source_files(source, &hub, copy, message.files).await;
                let files = Rc::new(files);
                let packing = WeightPrecision::from_int8(int8);
                match open_from(&*files, device, activation, packing, threads).await {
                    Ok(engine) => {
                        post(&Event::Ready {
                            model: engine.model_info().clone(),
                            device: engine.device_info().clone(),
                        });
                        self.training.host().set_model(files, activation);
                        self.engine = Some(engine);
                        post_cached_models().await;
                    }
                    Err(failed) => {
                        // First, since after a failure no more messages are handled.
                        post_cached_models().await;
                        post(&Event::OpenFailed(failed));
                    }
                }
            }
            Request::DeleteCachedModel { model } => {
                if let Some(cache) = ModelCache::open().await {
                    cache.remove(&model).await;
                }
                self.training.try_again().await;
                post_cached_models().await;
            }
            Request::AddImage { image, name } => match message.bytes {
                Some(bytes) => self.waiting.push_back((image, bytes)),
                None => post(&Event::ImageFailed {
                    image,
                    error: diagnostic!(
                        "file-not-sent",
                        "the file {name} did not reach the worker: add it again",
                        name
                    ),
                }),
            },
            Request::ClassifyFrame {
                frame: number,
                width,
                height,
            } => {
                self.frame = Some(Frame {
                    number,
                    width,
                    height,
                    pixels: message.bytes.unwrap_or_default(),
                });
            }
            Request::EmbedImage { request } => {
                let file = message.bytes.unwrap_or_default();
                post_features(request, self.embed_image(&file).await);
            }
            Request::EmbedTexts { request, texts } => {
                post_features(request, self.embed_texts(&texts).await);
            }
            Request::RemoveImages { images } => {
                let gone: HashSet<ImageId> = images.into_iter().collect();
                self.waiting.retain(|(id, _)| !gone.contains(id));
                self.encoded.retain(|(id, _)| !gone.contains(id));
            }
            Request::Classify {
                question: number,
                labels,
                templates,
            } => {
                self.question = None;
                if let Err(error) = zero_shot::check(&labels, &templates) {
                    post(&Event::QuestionFailed {
                        question: number,
                        error: error.to_diagnostic(),
                    });
                    return;
                }
                let prompts = (labels.iter())
                    .flat_map(|label| zero_shot::prompts(label, &templates))
                    .collect();
                self.question = Some(Question {
                    number,
                    labels,
                    templates,
                    prompts,
                    waiting: None,
                    encoded: 0,
                    encode_ms: 0.0,
                    classifier: None,
                    rejection: None,
                });
            }
            Request::Locate {
                image,
                label,
                drawing,
            } => {
                let file = message.bytes.unwrap_or_default();
                match self.locate(image, &file, &label, drawing).await {
                    Ok((peak, png)) => {
                        let located = Event::Located {
                            image,
                            label,
                            drawing,
                            peak,
                        };
                        post_bytes(&located, &[png]);
                    }
                    Err(error) => post(&Event::LocateFailed {
                        image,
                        label,
                        drawing,
                        error: error.to_diagnostic(),
                    }),
                }
            }
            Request::Reject(wanted) => {
                self.words.want(wanted);
                if let (false, Some(question)) = (wanted, &mut self.question) {
                    question.rejection = None;
                }
                if let (Some(question), Some(engine)) = (&self.question, &self.engine) {
                    for pictures in self.encoded.chunks(ANSWERS_IN_A_MESSAGE) {
                        question.post_fits(engine, &self.training, &self.words, pictures);
                    }
                }
            }
            Request::Measure {
                images,
                texts,
                runs,
            } => post(&self.measure(images, texts, runs).await),
            Request::StoreNothing => self.training.host().store_nothing(),
            Request::Training(request) => {
                let model_version = self.training.model_version();
                let engine = self.engine.as_mut();
                self.training.handle(request, message.files, engine).await;
                if self.training.model_version() != model_version {
                    // The page sends them again.
                    self.encoded.clear();
                    self.question = None;
                    self.locator.forget();
                    self.words.forget();
                    self.library.model_changed().await;
                    self.evaluations.model_changed(self.training.is_tuned());
                }
            }
            Request::Library(request) => {
                let engine = self.engine.as_mut();
                self.library.handle(request, message.files, engine).await;
            }
            Request::Evaluation(request) => {
                let engine = self.engine.as_mut();
                self.evaluations
                    .handle(request, message.files, engine)
                    .await;
            }
            Request::Cancel => {
                if (self.question.as_ref()).is_some_and(|q| q.classifier.is_none()) {
                    self.question = None;
                }
                let images = self.waiting.drain(..).map(|(id, _)| id).collect();
                post(&Event::Cancelled { images });
            }
        }
    }

    /// Where in a picture a label fits, and a drawing of it as a PNG file.
    async fn locate(
        &mut self,
        image: ImageId,
        file: &[u8],
        label: &str,
        drawing: HeatMapDrawing,
    ) -> Result<(Peak, Vec<u8>), LocateError> {
        let engine = self.engine.as_ref().ok_or(LocateError::NoLabel)?;
        let direction = match self.training.head() {
            Some(head) => head.direction_of(label),
            None => self.question.as_ref().and_then(|question| {
                let index = question.labels.iter().position(|known| known == label)?;
                question.classifier.as_ref()?.get(index).cloned()
            }),
        };
        let direction = direction.ok_or(LocateError::NoLabel)?;
        (self.locator)
            .locate(engine, image, file, drawing, &direction)
            .await
    }

    /// Features of a file, `[1][embed_dim]`.
    async fn embed_image(&self, file: &[u8]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let engine = self.engine.as_ref().ok_or(EmbedError::NoModel)?;
        let picture = decode_file(file).await.map_err(ImageError::from)?;
        Ok(engine.image_features(&[engine.pixels(&picture)]).await?)
    }

    /// Features of texts, `[texts][embed_dim]`.
    async fn embed_texts(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let engine = self.engine.as_ref().ok_or(EmbedError::NoModel)?;
        let tokens = |text: &String| Ok(engine.tokens(text)?.ids);
        let ids = texts
            .iter()
            .map(tokens)
            .collect::<Result<Vec<_>, EngineError>>()?;
        Ok(engine.token_features(&ids).await?)
    }

    async fn measure(&self, images: u32, texts: u32, runs: u32) -> Event {
        let Some(engine) = &self.engine else {
            let error = EmbedError::NoModel.to_diagnostic();
            return Event::MeasureFailed { error };
        };
        let [images, texts, runs] = [images, texts, runs].map(|count| count as usize);
        match engine.measure(images, texts, runs, now).await {
            Ok(measured) => Event::Measured(measured),
            Err(error) => Event::MeasureFailed {
                error: error.to_diagnostic(),
            },
        }
    }

    /// One unit of work; `false` if there is none.
    async fn work(&mut self) -> bool {
        if self.encode_prompts().await {
            return true;
        }
        self.frames_turn = !self.frames_turn;
        match self.frames_turn {
            true => self.classify_frame().await || self.work_on_others().await,
            false => self.work_on_others().await || self.classify_frame().await,
        }
    }

    /// Ranks the labels for the frame that waits; `false` if there is none.
    async fn classify_frame(&mut self) -> bool {
        let Some(engine) = &self.engine else {
            return false;
        };
        let Some(frame) = self.frame.take() else {
            return false;
        };
        let number = frame.number;
        let event = match frame.features(engine).await {
            Ok(features) => {
                let pictures = [(number, features)];
                let training = &self.training;
                let question = self.question.as_ref();
                let rankings = question.and_then(|q| q.rankings(engine, training, &pictures));
                let words = &self.words;
                let fits = question.and_then(|q| q.fits(engine, training, words, &pictures));
                Event::FrameClassified {
                    frame: number,
                    question: question.map_or(0, |q| q.number),
                    rankings: rankings.unwrap_or_default(),
                    fit: fits.and_then(|fits| fits.first().map(|(_, fit)| *fit)),
                }
            }
            Err(error) => Event::FrameFailed {
                frame: number,
                error: error.to_diagnostic(),
            },
        };
        post(&event);
        true
    }

    /// Encodes prompts of the question; `false` if all are encoded.
    async fn encode_prompts(&mut self) -> bool {
        let Some(engine) = &mut self.engine else {
            return false;
        };
        if let Some(question) = &mut self.question
            && question.classifier.is_none()
        {
            if let Err(error) = question.advance(engine).await {
                post(&Event::QuestionFailed {
                    question: question.number,
                    error: error.to_diagnostic(),
                });
                self.question = None;
                return true;
            }
            question.reject_by(&self.words);
            for pictures in self.encoded.chunks(ANSWERS_IN_A_MESSAGE) {
                question.answer(engine, &self.training, &self.words, pictures);
            }
            return true;
        }
        false
    }

    /// One unit of work on pictures, neutral words, library, evaluation or training; `false` if
    /// there is none.
    async fn work_on_others(&mut self) -> bool {
        let Some(engine) = &mut self.engine else {
            return false;
        };
        // Visitors wait for these: training continues in between.
        let Some((image, file)) = self.waiting.pop_front() else {
            // A trained head's classes do without.
            if self.training.head().is_none()
                && let Some(question) = &mut self.question
            {
                match question.compare_with_words(engine, &mut self.words).await {
                    Ok(None) => {}
                    Ok(Some(false)) => return true,
                    Ok(Some(true)) => {
                        for pictures in self.encoded.chunks(ANSWERS_IN_A_MESSAGE) {
                            question.post_fits(engine, &self.training, &self.words, pictures);
                        }
                        return true;
                    }
                    Err(error) => {
                        self.words.want(false);
                        post(&Event::Remark {
                            text: diagnostic!(
                                "fit-unknown",
                                "How well the labels fit cannot be told: {error}.",
                                error
                            ),
                        });
                    }
                }
            }
            return self.library.work(engine).await
                || self.evaluations.work(engine).await
                || self.training.work(engine).await;
        };
        match encode(engine, image, &file).await {
            Ok(features) => {
                self.encoded.push((image, features));
                if let (Some(question), [.., last]) = (&self.question, &self.encoded[..]) {
                    let last = std::slice::from_ref(last);
                    question.answer(engine, &self.training, &self.words, last);
                }
            }
            Err(error) => post(&Event::ImageFailed {
                image,
                error: error.to_diagnostic(),
            }),
        }
        true
    }
}

impl Question {
    /// Encodes one batch of prompts, or builds the classifier once none is left.
    async fn advance(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        let start = now();
        let mut waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => engine.pending_prompts(&self.prompts)?,
        };
        let count = engine.encode_next_batch(&mut waiting).await?;
        let left = waiting.len() as u32;
        self.waiting = Some(waiting);
        if count > 0 {
            self.encode_ms += now() - start;
            self.encoded += count as u32;
            post(&Event::EncodingTexts {
                question: self.number,
                done: self.encoded,
                total: self.encoded + left,
            });
            return Ok(());
        }
        let notes = engine.truncation_notes(&self.prompts);
        self.classifier = Some(engine.classifier(&self.labels, &self.templates).await?);
        post(&Event::TextsEncoded {
            question: self.number,
            encoded: self.encoded,
            encode_ms: self.encode_ms,
            notes,
        });
        Ok(())
    }

    /// Posts the rankings of pictures, once the prompts are encoded.
    fn answer(
        &self,
        engine: &Engine,
        training: &Training<Browser<WebModelFiles>>,
        words: &NeutralWords,
        pictures: &[(ImageId, Vec<f32>)],
    ) {
        let Some(rankings) = self.rankings(engine, training, pictures) else {
            return;
        };
        // The page shows both at once.
        self.post_fits(engine, training, words, pictures);
        post(&Event::Answers {
            question: self.number,
            rankings,
        });
    }

    /// Rankings of pictures, once the prompts are encoded.
    fn rankings(
        &self,
        engine: &Engine,
        training: &Training<Browser<WebModelFiles>>,
        pictures: &[(ImageId, Vec<f32>)],
    ) -> Option<Rankings> {
        let classifier = self.classifier.as_ref()?;
        let mut rankings = Rankings::default();
        for (image, features) in pictures {
            let ranking = (training.rank(features))
                .unwrap_or_else(|| engine.rank(features, &self.labels, classifier));
            let scores = ranking.into_iter();
            rankings.push(
                *image,
                scores.map(|r| (r.label, r.probability, r.similarity)),
            );
        }
        Some(rankings)
    }

    /// One unit of work towards [`Self::rejection`]: whether it is there now, `None` if nothing is
    /// to be done.
    async fn compare_with_words(
        &mut self,
        engine: &mut Engine,
        words: &mut NeutralWords,
    ) -> Result<Option<bool>, EngineError> {
        if self.classifier.is_none() || self.rejection.is_some() {
            return Ok(None);
        }
        if words.work(engine, self.template_of_words()).await? {
            return Ok(Some(false));
        }
        self.reject_by(words);
        Ok(self.rejection.is_some().then_some(true))
    }

    /// Lets the neutral words compete with the labels, if both are encoded.
    fn reject_by(&mut self, words: &NeutralWords) {
        if let Some(classifier) = &self.classifier {
            let template = self.template_of_words();
            self.rejection = words.rejection(template, &self.labels, classifier);
        }
    }

    /// One template: all of an ensemble's would take a while, and change little.
    fn template_of_words(&self) -> &str {
        self.templates.first().map_or("", String::as_str)
    }

    /// Posts how well the labels fit pictures, if that is known.
    fn post_fits(
        &self,
        engine: &Engine,
        training: &Training<Browser<WebModelFiles>>,
        words: &NeutralWords,
        pictures: &[(ImageId, Vec<f32>)],
    ) {
        if let Some(fits) = self.fits(engine, training, words, pictures) {
            post(&Event::Fits {
                question: self.number,
                fits,
            });
        }
    }

    /// How well the classes of a trained head fit pictures, if it can tell; otherwise how well the
    /// labels do, once the neutral words are encoded.
    fn fits(
        &self,
        engine: &Engine,
        training: &Training<Browser<WebModelFiles>>,
        words: &NeutralWords,
        pictures: &[(ImageId, Vec<f32>)],
    ) -> Option<Vec<(ImageId, f32)>> {
        let classifier = self.classifier.as_ref()?;
        if let Some(head) = training.head() {
            let fit = head.class_fit.as_ref().filter(|_| words.wanted())?;
            let share = |(image, features): &(ImageId, Vec<f32>)| (*image, fit.share(features));
            return Some(pictures.iter().map(share).collect());
        }
        let rejection = self.rejection.as_ref()?;
        let scale = engine.scoring().scale();
        let fit = |(image, features): &(ImageId, Vec<f32>)| {
            (
                *image,
                rejection.share_of_labels(features, classifier, scale),
            )
        };
        Some(pictures.iter().map(fit).collect())
    }
}

impl Frame {
    /// Features of the frame, as those of a file with these pixels.
    async fn features(self, engine: &Engine) -> Result<Vec<f32>, ImageError> {
        let picture = DecodedImage::new(self.width, self.height, 4, self.pixels)
            .map_err(DecodeError::from)?;
        let features = engine.image_features(&[engine.pixels(&picture)]).await?;
        features.into_iter().next().ok_or(ImageError::NoFeatures)
    }
}

/// Error of encoding an image.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
enum ImageError {
    /// The file is no image that can be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The model failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There are no features.
    NoFeatures,
}

impl ToDiagnostic for ImageError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Decode(error) => error.to_diagnostic(),
            Self::Engine(error) => error.to_diagnostic(),
            Self::NoFeatures => diagnostic!("no-features", "the image encoder returned nothing"),
        }
    }
}

/// Error of [`State::embed_image`] and [`State::embed_texts`].
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
enum EmbedError {
    /// Nothing is open.
    NoModel,
    /// The file is no image that can be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A text cannot be tokenised, or the model failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl ToDiagnostic for EmbedError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::NoModel => diagnostic!("no-model", "no model is loaded"),
            Self::Image(error) => error.to_diagnostic(),
            Self::Engine(error) => error.to_diagnostic(),
        }
    }
}

/// Posts features, or why there are none.
fn post_features(request: u32, features: Result<Vec<Vec<f32>>, EmbedError>) {
    match features {
        Ok(features) => {
            let values = features.iter().flatten();
            let bytes = values.flat_map(|value| value.to_le_bytes()).collect();
            post_bytes(&Event::Embedded { request }, &[bytes]);
        }
        Err(error) => post(&Event::EmbedFailed {
            request,
            error: error.to_diagnostic(),
        }),
    }
}

async fn encode(engine: &Engine, image: ImageId, file: &[u8]) -> Result<Vec<f32>, ImageError> {
    post(&Event::EncodingImage { image });
    let start = now();
    let picture = decode_file(file).await?;
    let pixels = engine.pixels(&picture);
    let (width, height) = (picture.width(), picture.height());
    let prepared = now();
    let mut features = engine.image_features(&[pixels]).await?;
    let features = features.pop().ok_or(ImageError::NoFeatures)?;
    post(&Event::ImageEncoded {
        image,
        width,
        height,
        preprocess_ms: prepared - start,
        encode_ms: now() - prepared,
    });
    Ok(features)
}

async fn post_cached_models() {
    let models = match ModelCache::open().await {
        Some(cache) => cache.list().await,
        None => Vec::new(),
    };
    post(&Event::CachedModels { models });
}

/// Files of the requested model.
async fn source_files(
    source: ModelSource,
    hub: &str,
    copy: CopyOptions,
    files: Vec<File>,
) -> WebModelFiles {
    match source {
        ModelSource::Bundled => WebModelFiles::Http(HttpFiles::bundled(BUNDLED)),
        ModelSource::Files => {
            WebModelFiles::Files(BrowserFiles::new(files, HttpFiles::bundled(BUNDLED)))
        }
        ModelSource::Place(place) => {
            let cache = ModelCache::open().await.map(Rc::new);
            let notify = Rc::new(|text| post(&Event::Remark { text }));
            if cache.is_none() {
                notify(diagnostic!(
                    "stored-nowhere",
                    "This browser cannot store files (a private window?), so the model will be downloaded again on the next visit."
                ));
            }
            WebModelFiles::Http(HttpFiles::at(&place, hub, cache, copy, notify))
        }
    }
}

/// Opens a model on the requested device.
async fn open_from(
    files: &impl ModelFiles,
    choice: DeviceChoice,
    activation: Option<Activation>,
    packing: WeightPrecision,
    threads: Option<u32>,
) -> Result<Engine, OpenFailure> {
    loading(LoadStage::Download, 0, 0);
    let opened = hub::open(files, activation).await;
    let bundle = opened.map_err(OpenFailure::new)?;
    let lost = |why| {
        post(&Event::Died {
            error: diagnostic!("gpu-lost", "the GPU was lost ({why})", why),
            gpu: true,
        });
    };
    loading(LoadStage::Device, 0, 0);
    let mut opened = (open_device(choice, lost).await).map_err(|error| OpenFailure {
        gpu: true,
        failed_gpu: error.failed_gpu(),
        ..OpenFailure::new(error)
    })?;
    let DeviceInfo { gpu, .. } = opened.info;
    if !gpu {
        compute_worker::spawn_workers(&bundle.config, threads).await;
        // Describes the device with its threads.
        opened.info.name = cpu_name();
    }
    let failed = |error: EngineError| OpenFailure {
        gpu: gpu && error.is_of_the_device(),
        ..OpenFailure::new(error)
    };
    let mut shown = 0.0;
    let mut progress = |at: LoadProgress| {
        // Throttled: chunks come by the thousand, a progress bar needs ten updates a
        // second.
        if now() - shown > 100.0 || at.bytes == at.total_bytes {
            shown = now();
            loading(LoadStage::Download, at.bytes, at.total_bytes);
        }
    };
    let mut engine =
        (Engine::load(files, bundle, opened, packing, &mut progress).await).map_err(failed)?;
    if gpu {
        loading(LoadStage::WarmUp, 0, 0);
        engine.warm_up().await.map_err(failed)?;
    }
    Ok(engine)
}

fn loading(stage: LoadStage, done: u64, total: u64) {
    post(&Event::Loading { stage, done, total });
}

/// Error of reading a message.
#[derive(Debug, thiserror::Error)]
enum MessageError {
    /// The envelope is no object.
    #[error("{0:?}")]
    Envelope(JsValue),
    /// The request is of another version.
    #[error(transparent)]
    Request(#[from] serde_wasm_bindgen::Error),
}

fn parse(data: &JsValue) -> Result<Message, MessageError> {
    let get = |key: &str| Reflect::get(data, &key.into()).map_err(MessageError::Envelope);
    let request = serde_wasm_bindgen::from_value(get("message")?)?;
    let bytes =
        (get("bytes")?.dyn_ref::<ArrayBuffer>()).map(|buffer| Uint8Array::new(buffer).to_vec());
    let files = match get("files")?.dyn_into::<Array>() {
        Ok(files) => (files.iter().filter_map(|file| file.dyn_into().ok())).collect(),
        Err(_) => Vec::new(),
    };
    Ok(Message {
        request,
        bytes,
        files,
    })
}

fn post(event: &Event) {
    send(event, |_| Ok(None));
}

/// Posts an event with byte strings attached, which are transferred.
fn post_bytes(event: &Event, bytes: &[Vec<u8>]) {
    send(event, |envelope| {
        let buffers: Array = (bytes.iter())
            .map(|bytes| Uint8Array::from(bytes.as_slice()).buffer())
            .collect();
        Reflect::set(envelope, &"bytes".into(), &buffers)?;
        Ok(Some(buffers))
    });
}

fn post_files(event: &Event, files: Vec<File>) {
    send(event, |envelope| {
        let files: Array = files.into_iter().collect();
        Reflect::set(envelope, &"files".into(), &files)?;
        Ok(None)
    });
}

/// Posts a message; `attachments` adds to the envelope, and returns the objects to
/// transfer.
fn send(event: &Event, attachments: impl FnOnce(&Object) -> Result<Option<Array>, JsValue>) {
    let posted = || -> Result<(), JsValue> {
        let message = serde_wasm_bindgen::to_value(event)?;
        let envelope = Object::new();
        Reflect::set(&envelope, &"message".into(), &message)?;
        let moved = attachments(&envelope)?;
        match (scope(), moved) {
            (Some(scope), Some(moved)) => scope.post_message_with_transfer(&envelope, &moved),
            (Some(scope), None) => scope.post_message(&envelope),
            (None, _) => Ok(()),
        }
    };
    // Posting has failed; at least the console shows it.
    if let Err(error) = posted() {
        wasm_bindgen::throw_val(error);
    }
}

fn scope() -> Option<DedicatedWorkerGlobalScope> {
    js_sys::global().dyn_into().ok()
}

fn now() -> f64 {
    scope()
        .and_then(|scope| scope.performance())
        .map_or(0.0, |clock| clock.now())
}

/// Waits for the next message.
async fn wait(inbox: &Inbox) {
    let promise = Promise::new(&mut |resolve, _| {
        inbox.borrow_mut().wake = Some(resolve);
    });
    // The promise is never rejected.
    let _ = JsFuture::from(promise).await;
}
