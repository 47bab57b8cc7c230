//! Protocol between page and worker.
//!
//! The page owns the visitor's data (files, labels, templates) and can restart the worker
//! at any time and replay everything; the worker owns the device, the model and the
//! features.
//!
//! A message is a JavaScript object `{ message, bytes, files }`: `message` is the serde
//! form of [`Request`] or [`Event`]. Attachments, where documented, are `bytes` (an
//! `ArrayBuffer`, or with [`TrainingEvent::Exported`] an array of them), which are
//! transferred, not copied, or `files`, an array of `File`s.

use serde::{Deserialize, Serialize};

use super::rankings::Rankings;
use crate::diagnostic::ToDiagnostic;
use crate::eval::{Limit, LimitResult, PromptComparison, Report, ShotsCurve};
use crate::library::{Filter, Sign};
pub use crate::train::TrainingStage;
use crate::train::{Method, MetricSeries, TrainingReport};

// Types of lower modules that messages carry.
pub use crate::data::Problem;
pub use crate::diagnostic::Diagnostic;
pub use crate::hub::{CachedModel, ModelLocation, hub_dataset};
pub use crate::model::{Activation, ModelInfo, StoredPrecision};
pub use crate::zero_shot::{Peak, Ranked};

/// Requested device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// The GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The GPU, or an error.
    Gpu,
    /// The CPU.
    Cpu,
}

/// Source of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelSource {
    /// The bundled model.
    #[default]
    Bundled,
    /// On the network.
    Place(ModelLocation),
    /// Files of the visitor, attached to the message.
    Files,
}

/// Message from the page to the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Opens a device and loads a model. The first message to a worker, sent once.
    Open {
        /// Device to open.
        device: DeviceChoice,
        /// Model to load.
        source: ModelSource,
        /// URL of the hub.
        hub: String,
        /// Precision in which weights that are downloaded are kept.
        #[serde(default)]
        stored_precision: StoredPrecision,
        /// Whether only those rows of a large token embedding are downloaded that texts use.
        #[serde(default)]
        used_words: bool,
        /// For weights without a config, from which it cannot be inferred.
        activation: Option<Activation>,
        /// Int8 weights, on the CPU.
        #[serde(default)]
        int8: bool,
        /// Number of threads on the CPU; by default as many as suit the model and the
        /// machine.
        #[serde(default)]
        threads: Option<u32>,
    },
    /// Deletes a model from the cache.
    DeleteCachedModel {
        /// Its name in the cache.
        model: String,
    },
    /// Encodes a picture, whose file is attached.
    AddImage {
        /// Id of the picture.
        image: ImageId,
        /// File name, for display.
        name: String,
    },
    /// Ranks the labels for a frame of a video, whose pixels `[height, width, 4]` (red, green,
    /// blue and alpha) are attached. Nothing of it is kept; a frame that still waits is replaced.
    /// Answered by [`Event::FrameClassified`] or [`Event::FrameFailed`].
    ClassifyFrame {
        /// Counter of the page.
        frame: u32,
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// Asks for the features of a picture, whose file is attached. Nothing of it is kept.
    /// Answered by [`Event::Embedded`] or [`Event::EmbedFailed`].
    EmbedImage {
        /// Counter of the page.
        request: u32,
    },
    /// Asks for the features of texts, as they are. Answered likewise.
    EmbedTexts {
        /// Counter of the page.
        request: u32,
        /// Few, since no other request is handled until all are encoded.
        texts: Vec<String>,
    },
    /// Drops pictures, encoded or pending.
    RemoveImages {
        /// Ids of the pictures.
        images: Vec<ImageId>,
    },
    /// Sets the labels and prompt templates. Every encoded picture is ranked again;
    /// cached prompts cost nothing.
    Classify {
        /// Counter of the page, echoed in the answers to detect stale ones.
        question: u32,
        /// Class names.
        labels: Vec<String>,
        /// Each contains `{label}`. Features of several templates are averaged and
        /// normalised.
        templates: Vec<String>,
    },
    /// Asks where in a picture, whose file is attached, a label fits. Answered by
    /// [`Event::Located`] or [`Event::LocateFailed`].
    Locate {
        /// Id of an encoded picture.
        image: ImageId,
        /// Label of the current question, or class of the trained head in use.
        label: String,
        /// What to draw.
        drawing: HeatMapDrawing,
    },
    /// Whether to tell how well the labels fit, by [`Event::Fits`]. The neutral words are
    /// encoded when nothing else is to be done.
    Reject(bool),
    /// Cancels all pending work: pictures and prompts not yet encoded.
    Cancel,
    /// Benchmarks the encoders on synthetic input: batches of `images` and of `texts` (of
    /// full length), `runs` times.
    Measure {
        /// Images in a batch.
        images: u32,
        /// Texts in a batch.
        texts: u32,
        /// Number of runs.
        runs: u32,
    },
    /// From here on keeps what trainings store in memory only: other programs of the same origin
    /// have trainings of their own.
    StoreNothing,
    /// Training request.
    Training(TrainingRequest),
    /// Library request.
    Library(LibraryRequest),
    /// Evaluation request.
    Evaluation(EvaluationRequest),
}

/// Request about the evaluation of the model on labelled images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EvaluationRequest {
    /// Reads and encodes labelled images and evaluates the model on them. Answered by
    /// [`EvaluationEvent::Evaluated`].
    Open {
        /// Name of the data set.
        name: String,
        /// Paths of the files, with `/` between folders. Those that end in `/` are folders;
        /// the files of the others are attached, in this order. A single zip is opened.
        paths: Vec<String>,
        /// Templates to evaluate with, each with `{label}`.
        templates: Vec<String>,
        /// Names for classes that are numbers; without any, the data set's own.
        class_names: Vec<String>,
    },
    /// Evaluates with other templates or class names.
    Evaluate {
        /// Each contains `{label}`.
        templates: Vec<String>,
        /// As in [`Open`](Self::Open).
        class_names: Vec<String>,
    },
    /// Asks for the page's state of an earlier visit. Answered by [`EvaluationEvent::Kept`].
    Kept,
    /// Keeps the page's state for a later visit.
    Keep(String),
    /// Brings the data set of an earlier visit back, without its images. Answered by
    /// [`EvaluationEvent::Restored`].
    Restore {
        /// Templates of its last evaluation.
        templates: Vec<String>,
        /// As in [`Open`](Self::Open).
        class_names: Vec<String>,
    },
    /// Compares sets of templates, by name, with the first one.
    Prompts {
        /// Name and templates.
        sets: Vec<(String, Vec<String>)>,
    },
    /// Compares zero-shot with learning from few images of each class.
    Shots {
        /// Numbers of images per class, `None` for all.
        shots: Vec<Option<u32>>,
        /// Draws of each number.
        draws: u32,
    },
    /// Tries a known limit.
    Limit(Limit),
    /// Asks for small copies of images.
    Pictures {
        /// Their paths.
        paths: Vec<String>,
    },
    /// Pauses or continues.
    Pause(bool),
    /// Ends what is going on. Images that were encoded stay known.
    Cancel,
    /// Releases the data set, and what is kept of it.
    Close,
}

/// Event of the evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EvaluationEvent {
    /// Progress of the current stage.
    Progress {
        /// Current stage.
        stage: EvaluationStage,
        /// Units of the stage so far.
        done: u32,
        /// 0 if unknown.
        total: u32,
    },
    /// The model was evaluated.
    Evaluated(Box<EvaluationOutcome>),
    /// Response to [`EvaluationRequest::Prompts`].
    Prompts {
        /// Results by set.
        comparison: PromptComparison,
        /// Notes about prompts that were truncated.
        notes: Vec<String>,
    },
    /// Response to [`EvaluationRequest::Shots`].
    Shots(ShotsCurve),
    /// Response to [`EvaluationRequest::Limit`].
    Limit(LimitResult),
    /// Response to [`EvaluationRequest::Pictures`]: paths and `data:` addresses, without
    /// images that cannot be read any more.
    Pictures(Vec<(String, String)>),
    /// Response to [`EvaluationRequest::Kept`].
    Kept(Option<String>),
    /// Response to [`EvaluationRequest::Restore`].
    Restored,
    /// Something could not be kept for a later visit.
    NotKept {
        /// Error message, in lower case and without a full stop.
        error: Diagnostic,
    },
    /// Response to [`EvaluationRequest::Cancel`].
    Cancelled,
    /// The data set was released, since features of another model are computed from here on.
    Closed,
    /// What was going on failed.
    Failed {
        /// Error message, in lower case and without a full stop.
        error: Diagnostic,
    },
}

/// Stage of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvaluationStage {
    /// Images are read and encoded.
    Images,
    /// Prompts are encoded.
    Prompts,
    /// Classifiers are learnt from few images.
    FewImages,
    /// A limit is tried.
    Limit,
}

/// Result of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvaluationOutcome {
    /// Report with its basic parts.
    pub report: Report,
    /// Images that were evaluated.
    pub images: Vec<EvaluatedImage>,
    /// Files left out.
    pub problems: Vec<Problem>,
    /// The data set's own templates, if it has any.
    pub own_templates: Vec<String>,
}

/// Answer to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluatedImage {
    /// Its path.
    pub path: String,
    /// True class, as index into the report's classes.
    pub truth: u32,
    /// Class that was named.
    pub answer: u32,
}

/// Request about the library, an index of a folder of the visitor's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LibraryRequest {
    /// Opens the kept index of a folder, or a new one, and encodes what is new or changed.
    /// The files are attached, in the order of `paths`.
    Open {
        /// Name of the folder.
        folder: String,
        /// Paths of all images in the folder, with `/` between folders.
        paths: Vec<String>,
    },
    /// Pauses or continues encoding.
    Pause(bool),
    /// Closes the index; what was encoded is kept.
    Close,
    /// Ranks all images by a query; without terms, by date.
    Search {
        /// Counter of the page, echoed in the answer to detect stale ones.
        number: u32,
        /// Words and images.
        terms: Vec<SearchTerm>,
        /// Number of images to return.
        top: u32,
        /// Only images that pass.
        filter: Filter,
    },
    /// Finds duplicates.
    Duplicates {
        /// Least cosine similarity of similar images.
        similar: f32,
    },
    /// Assigns each image to its most probable label.
    Sort {
        /// Class names.
        labels: Vec<String>,
        /// Each contains `{label}`.
        templates: Vec<String>,
        /// Only images that pass.
        filter: Filter,
    },
    /// Groups similar images. Answered by [`LibraryEvent::Sorted`] with numbered groups, and
    /// then by [`LibraryEvent::Named`].
    Cluster {
        /// Number of groups; by default the one that fits best.
        count: Option<u32>,
        /// Only images that pass.
        filter: Filter,
    },
    /// Asks for the kept indexes.
    List,
    /// Deletes a kept index.
    Delete {
        /// Its name in the storage.
        key: String,
    },
}

/// Term of a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchTerm {
    /// Looked for, or kept out.
    pub sign: Sign,
    /// Words, path of an indexed image, or name of a file.
    pub text: String,
    /// Which of these.
    pub kind: TermKind,
}

/// Kind of a query's term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TermKind {
    /// Words.
    Words,
    /// Indexed image.
    Indexed,
    /// Image file from elsewhere. The files are attached, in the order of their terms.
    File,
}

/// Event of the library.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LibraryEvent {
    /// Progress of encoding. The last one has `done` = `total`.
    Progress {
        /// Files read since the folder was opened.
        done: u32,
        /// Files to read.
        total: u32,
        /// Images in the index.
        images: u32,
        /// Files that are no usable images, with the reason; the first hundred.
        skipped: Vec<(String, Diagnostic)>,
        /// All of them.
        skipped_count: u32,
    },
    /// Answer to a search.
    Found {
        /// Counter of the search.
        number: u32,
        /// Path and cosine similarity, nearest first; without terms, newest first.
        hits: Vec<(String, f32)>,
    },
    /// Groups of duplicates, by path; the first of each is the one to keep.
    Duplicates {
        /// The same bytes.
        identical: Vec<Vec<String>>,
        /// The same image resized or recompressed.
        near_identical: Vec<Vec<String>>,
        /// Merely similar.
        similar: Vec<Vec<String>>,
    },
    /// Images by label, or by group.
    Sorted {
        /// The labels of the request, or names of the groups.
        labels: Vec<String>,
        /// Path, index of the label, and its probability or the similarity to the group.
        images: Vec<(String, u32, f32)>,
    },
    /// Better names of groups.
    Named {
        /// As they were, and as they are from here on.
        labels: Vec<(String, String)>,
    },
    /// Stored indexes.
    StoredIndexes(Vec<StoredIndex>),
    /// The index was closed: features of another model are computed from here on. The page
    /// opens the folder again.
    Closed,
    /// The index is used, but could not be kept for later visits.
    NotKept {
        /// Why.
        error: Diagnostic,
    },
    /// A request failed.
    Failed {
        /// Error message.
        error: Diagnostic,
    },
}

/// Index kept by the browser.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredIndex {
    /// Its name in the storage.
    pub key: String,
    /// Name of the folder.
    pub folder: String,
    /// Name of the model.
    pub model: String,
    /// Number of images.
    pub images: u32,
    /// Size in bytes.
    pub bytes: u64,
}

/// Failure to open a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFailure {
    /// Text to show.
    pub error: Diagnostic,
    /// Whether the GPU caused it, so that the CPU may do better.
    #[serde(default)]
    pub gpu: bool,
    /// Name of a GPU that failed its self-test, which a later visit need not repeat.
    #[serde(default)]
    pub failed_gpu: Option<String>,
}

impl OpenFailure {
    /// Failure that no other device would mend.
    pub fn new(error: impl ToDiagnostic) -> Self {
        Self {
            error: error.to_diagnostic(),
            ..Self::default()
        }
    }
}

/// Message from the worker to the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// Loading progress.
    Loading {
        /// Stage of loading.
        stage: LoadStage,
        /// Bytes or steps so far.
        done: u64,
        /// 0 if unknown.
        total: u64,
    },
    /// The model is loaded; pictures and questions are processed from here on.
    Ready {
        /// Description of the model.
        model: ModelInfo,
        /// Description of the device.
        device: DeviceInfo,
    },
    /// The cached models. Follows every [`Request::Open`] and [`Request::DeleteCachedModel`].
    CachedModels {
        /// Models in the cache.
        models: Vec<CachedModel>,
    },
    /// Notice for the visitor, such as that a model could not be cached.
    Remark {
        /// Text to show.
        text: Diagnostic,
    },
    /// The model could not be opened; the worker is unusable.
    OpenFailed(OpenFailure),
    /// A picture is being encoded. If the worker crashes before the next event about it,
    /// this picture was the cause, and the page will not send it again.
    EncodingImage {
        /// Id of the picture.
        image: ImageId,
    },
    /// A picture was encoded.
    ImageEncoded {
        /// Id of the picture.
        image: ImageId,
        /// Size in pixels, after EXIF orientation.
        width: u32,
        /// Height in pixels, after EXIF orientation.
        height: u32,
        /// Time of decoding and resizing.
        preprocess_ms: f64,
        /// Time of the image encoder.
        encode_ms: f64,
    },
    /// A picture could not be used; the others continue.
    ImageFailed {
        /// Id of the picture.
        image: ImageId,
        /// Text to show.
        error: Diagnostic,
    },
    /// Response to [`Request::ClassifyFrame`].
    FrameClassified {
        /// Counter of the page.
        frame: u32,
        /// Counter from [`Request::Classify`].
        question: u32,
        /// Ranking of the frame; empty if there is no question that can be answered.
        rankings: Rankings,
        /// How well the labels fit, as in [`Event::Fits`], if it is known.
        fit: Option<f32>,
    },
    /// A frame could not be classified.
    FrameFailed {
        /// Counter of the page.
        frame: u32,
        /// Text to show.
        error: Diagnostic,
    },
    /// Response to [`Request::EmbedImage`] and [`Request::EmbedTexts`]. Unit vectors are attached,
    /// `[images or texts, embed_dim]`, f32, little-endian.
    Embedded {
        /// Counter of the request.
        request: u32,
    },
    /// A picture or texts could not be encoded.
    EmbedFailed {
        /// Counter of the request.
        request: u32,
        /// Text to show.
        error: Diagnostic,
    },
    /// Encoding progress of the current prompts.
    EncodingTexts {
        /// Counter from [`Request::Classify`].
        question: u32,
        /// Prompts encoded so far.
        done: u32,
        /// Prompts to encode.
        total: u32,
    },
    /// All prompts of a question are encoded or cached.
    TextsEncoded {
        /// Counter from [`Request::Classify`].
        question: u32,
        /// Prompts encoded now, not cached.
        encoded: u32,
        /// Time of the text encoder, in milliseconds.
        encode_ms: f64,
        /// Warnings, such as prompts truncated at `context_length`.
        notes: Vec<String>,
    },
    /// A question is invalid (no labels, a template without `{label}`).
    QuestionFailed {
        /// Counter from [`Request::Classify`].
        question: u32,
        /// Text to show.
        error: Diagnostic,
    },
    /// Rankings of some pictures.
    Answers {
        /// Counter from [`Request::Classify`].
        question: u32,
        /// Labels by probability, for each picture.
        rankings: Rankings,
    },
    /// How well the labels fit some pictures, 0 to 1: their share among everyday words, only of models
    /// whose labels compete; of a trained head in use the share of its training images that are no
    /// nearer to a class.
    Fits {
        /// Counter from [`Request::Classify`].
        question: u32,
        /// Share of each picture.
        fits: Vec<(ImageId, f32)>,
    },
    /// Response to [`Request::Locate`]. A PNG file is attached.
    Located {
        /// Id of the picture.
        image: ImageId,
        /// The label.
        label: String,
        /// What was drawn.
        drawing: HeatMapDrawing,
        /// Where the label fits best.
        peak: Peak,
    },
    /// A label could not be located.
    LocateFailed {
        /// Id of the picture.
        image: ImageId,
        /// The label.
        label: String,
        /// What was to be drawn.
        drawing: HeatMapDrawing,
        /// Text to show.
        error: Diagnostic,
    },
    /// Response to [`Request::Cancel`], with the dropped pictures.
    Cancelled {
        /// Ids of the dropped pictures.
        images: Vec<ImageId>,
    },
    /// Response to [`Request::Measure`].
    Measured(Measured),
    /// The benchmark failed.
    MeasureFailed {
        /// Text to show.
        error: Diagnostic,
    },
    /// Training event.
    Training(TrainingEvent),
    /// Event of the library.
    Library(LibraryEvent),
    /// Event of the evaluation.
    Evaluation(EvaluationEvent),
    /// The GPU was lost or the worker's code trapped: the page starts a new worker.
    Died {
        /// Text to show.
        error: Diagnostic,
        /// Whether the GPU was lost.
        gpu: bool,
    },
}

/// Drawing of a heat map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeatMapDrawing {
    /// Its colours alone, transparent.
    Overlay,
    /// The picture under its colours.
    Picture,
}

/// Id of a picture, assigned by the page.
pub type ImageId = u32;

/// Id of a training picture, assigned by the page.
pub type SampleId = u32;

/// Training message from the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrainingRequest {
    /// Reports stored data with [`TrainingEvent::Found`]. The first message, sent only by
    /// the tab that holds the lock: all tabs share the storage.
    Begin,
    /// Saves and releases everything: another tab takes over.
    HandOver,
    /// Adds training pictures, whose files are attached in this order. Each is read once
    /// and, quota permitting, stored for later visits.
    AddSamples {
        /// Ids, in the order of the files.
        samples: Vec<SampleId>,
    },
    /// Deletes samples.
    RemoveSamples {
        /// Ids of the samples.
        samples: Vec<SampleId>,
    },
    /// Stores the page's own description of its samples, returned by
    /// [`TrainingEvent::Found`] in a later visit.
    KeepProject {
        /// The page's description, as text.
        project: String,
    },
    /// Requests an estimate; answered by [`TrainingEvent::Estimated`].
    Estimate {
        /// Settings to estimate.
        settings: TrainingSettings,
        /// Number of training and of held-out examples.
        train: u32,
        /// Number of held-out examples.
        held_out: u32,
    },
    /// Starts training. A previous result is replaced when it finishes.
    Start {
        /// Complete description of the training.
        plan: TrainingPlan,
    },
    /// Pauses after the current step.
    Pause,
    /// Resumes after a pause, or from a stored checkpoint.
    Resume,
    /// Stops. The model so far is the result, or is discarded.
    Stop {
        /// Whether the model so far is discarded.
        discard: bool,
    },
    /// Discards an interrupted training of an earlier visit.
    Discard,
    /// Exports the result as files.
    Export {
        /// Format of the files.
        what: Export,
    },
    /// Exports a probe, an adapter or a LoRA as it was trained, for a project's file.
    ExportForProject,
    /// Imports the attached files of a probe, an adapter or a LoRA.
    Import,
    /// Puts the attached files of a project's probe, adapter or LoRA in the place of the result; without
    /// files there is none. The result before is laid aside. Answered by [`TrainingEvent::Exchanged`].
    OpenTrained {
        /// Its classes.
        classes: Vec<String>,
    },
    /// Puts the result that was laid aside back, and lays this one aside. Answered by
    /// [`TrainingEvent::Exchanged`].
    ReturnTrained,
    /// Forgets the result that was laid aside.
    ForgetAside,
    /// Uses a probe or an adapter, whose file is attached, without storing it. Answered by
    /// [`TrainingEvent::InUse`] or [`TrainingEvent::ImportFailed`].
    UseHead,
    /// Sets the share of the trained weights in the model that is used and exported, 0 to 1; the rest
    /// is the original's (WiSE-FT).
    Mix {
        /// Share of the trained weights.
        share: f64,
    },
    /// Switches between the trained or imported classifier and the original model.
    Use {
        /// Whether the trained one is to be used.
        trained: bool,
    },
}

/// Training message from the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrainingEvent {
    /// Data stored by earlier visits or by an earlier worker. The samples' files are
    /// attached.
    Found {
        /// The page's description of its samples.
        project: Option<String>,
        /// Ids of the stored samples.
        samples: Vec<SampleId>,
        /// Training that can be resumed.
        interrupted: Option<Interrupted>,
        /// Result of an earlier training.
        trained: Option<Trained>,
    },
    /// Response to [`TrainingRequest::HandOver`].
    HandedOver,
    /// Files of samples were read, in batches.
    SamplesRead {
        /// Readings, in the order of the files.
        samples: Vec<SampleReading>,
    },
    /// Response to [`TrainingRequest::Estimate`].
    Estimated(Estimate),
    /// Progress of the current stage.
    Progress(TrainingProgress),
    /// After each optimiser step.
    Step(TrainingStep),
    /// The held-out part was evaluated during training.
    Measured {
        /// Number of optimiser steps so far.
        step: u32,
        /// Top-1 accuracy on the held-out part, 0 to 1.
        accuracy: f64,
    },
    /// Metrics so far, after [`TrainingRequest::Resume`] of a training that this page has
    /// not seen.
    Curves {
        /// Series by step.
        curves: Vec<MetricSeries>,
    },
    /// A checkpoint was saved.
    CheckpointSaved {
        /// Number of optimiser steps in the checkpoint.
        step: u32,
    },
    /// Response to [`TrainingRequest::Pause`].
    Paused,
    /// Training starts or resumes.
    Running,
    /// Response to [`TrainingRequest::Stop`] or [`TrainingRequest::Discard`]: nothing is
    /// left.
    Stopped,
    /// Training has ended with a result.
    Finished(Box<Outcome>),
    /// Training cannot start or continue.
    Failed {
        /// Text to show.
        error: Diagnostic,
    },
    /// The files' bytes are attached, in this order.
    Exported {
        /// Names of the files.
        files: Vec<String>,
    },
    /// The result could not be exported.
    ExportFailed {
        /// Text to show.
        error: Diagnostic,
    },
    /// Response to [`TrainingRequest::Import`].
    Imported(Trained),
    /// Another result has taken the place of the one before; `None`: there is none.
    Exchanged(Option<Trained>),
    /// The files could not be imported.
    ImportFailed {
        /// Text to show.
        error: Diagnostic,
    },
    /// The classifier in use; `None` for the original model with the visitor's labels.
    /// With `encode_again`, features are stale and pictures have to be sent again.
    InUse {
        /// Trained classifier or model in use.
        trained: Option<Trained>,
        /// Whether features are stale.
        encode_again: bool,
    },
    /// Notice for the visitor, such as that samples could not be stored.
    Remark {
        /// Text to show.
        text: Diagnostic,
    },
}

/// Result of reading a sample's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleReading {
    /// Id of the sample.
    pub sample: SampleId,
    /// Content hash, or why the file is unusable.
    pub file: Result<String, Diagnostic>,
}

/// Complete description of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingPlan {
    /// Display name of the data set.
    pub name: String,
    /// Hyper-parameters.
    pub settings: TrainingSettings,
    /// Class names; empty for captions.
    pub classes: Vec<String>,
    /// Prompt templates of a class, each with `{label}`.
    pub templates: Vec<String>,
    /// Pictures, training and held-out ones.
    pub samples: Vec<PlannedSample>,
    /// Files left out.
    pub problems: Vec<Problem>,
    /// What of the data was taken otherwise than written, for the report.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Picture with its class or captions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedSample {
    /// Id of the sample.
    pub sample: SampleId,
    /// Unique path, used in reports.
    pub path: String,
    /// Index into [`TrainingPlan::classes`].
    pub class: Option<u32>,
    /// Captions; empty for a picture with a class only.
    pub captions: Vec<String>,
    /// Held out for evaluation.
    pub held_out: bool,
}

/// Hyper-parameters; each method uses its own subset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingSettings {
    /// Training method.
    pub method: Method,
    /// Fraction of each class that is held out for evaluation.
    pub held_out: f64,
    /// Random seed.
    pub seed: u32,
    /// Passes over the training pictures.
    pub epochs: u32,
    /// Pairs per optimiser step.
    pub batch_size: u32,
    /// Pairs per forward pass.
    pub micro_batch: u32,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// Steps of linear warm-up.
    pub warmup_steps: u32,
    /// LoRA only.
    pub rank: u32,
    /// LoRA only: the low-rank product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// LoRA: adapt the MLPs, too.
    pub mlp: bool,
    /// Trainable part of the image encoder.
    pub image_tower: TrainedPart,
    /// Trainable part of the text encoder.
    pub text_tower: TrainedPart,
    /// Whether the logit scale is trainable.
    pub temperature: bool,
    /// Less memory, more time.
    pub gradient_checkpointing: bool,
    /// Pre-training: width of both transformers.
    pub width: u32,
    /// Pre-training: number of blocks.
    pub layers: u32,
}

/// How much of a tower is trainable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrainedPart {
    /// Nothing.
    Frozen,
    /// This many blocks, from the output, and the layers after them.
    Last(u32),
    /// Everything.
    Whole,
}

/// Resource estimate of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The settings estimated, to detect stale answers.
    pub settings: TrainingSettings,
    /// Peak memory, model included.
    pub memory_bytes: u64,
    /// Available memory, if known.
    pub available_bytes: Option<u64>,
    /// Time for the whole training, if known.
    pub seconds: Option<f64>,
    /// Largest micro-batch that fits, if this one does not.
    pub smaller: Option<u32>,
    /// Whether it exceeds the available memory.
    pub too_large: bool,
}

/// Training progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingProgress {
    /// Current stage.
    pub stage: TrainingStage,
    /// Units of the stage so far.
    pub done: u32,
    /// 0 if unknown.
    pub total: u32,
    /// Throughput of the image encoder.
    pub images_per_second: Option<f64>,
    /// Time until the end of the stage, if known.
    pub seconds_left: Option<f64>,
}

/// Metrics of an optimiser step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingStep {
    /// Counted from 1.
    pub step: u32,
    /// Contrastive loss of the batch.
    pub loss: f64,
    /// `exp(logit_scale)`.
    pub scale: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
}

/// Interrupted training of an earlier visit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interrupted {
    /// Training method.
    pub method: Method,
    /// Name of the base model.
    pub model: String,
    /// Optimiser steps in the checkpoint.
    pub step: u32,
    /// Optimiser steps of the whole training.
    pub steps: u32,
    /// Milliseconds since 1970.
    pub kept_ms: f64,
}

/// Result of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Report, also written to a file.
    pub report: TrainingReport,
    /// For every held-out sample with a class.
    pub answers: Vec<HeldOutAnswer>,
    /// Description of the result.
    pub trained: Trained,
}

/// Answers for a held-out picture; indices into the report's classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOutAnswer {
    /// Id of the sample.
    pub sample: SampleId,
    /// True class.
    pub truth: u32,
    /// Answer before training.
    pub before: u32,
    /// Answer after training.
    pub after: u32,
    /// Probability of `after`.
    pub probability: f32,
}

/// Trained or imported classifier or model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// Training method.
    pub method: Method,
    /// Name of the base model.
    pub model: String,
    /// Empty if trained with captions.
    pub classes: Vec<String>,
    /// Available export formats.
    pub exports: Vec<Export>,
    /// Whether it can tell how well images fit its classes; only a probe or an adapter may.
    pub tells_fit: bool,
}

impl Trained {
    /// Format that is small beside the model, if it has one.
    pub fn compact_export(&self) -> Option<Export> {
        let compact = |export: &Export| matches!(export, Export::Head | Export::Lora);
        self.exports.iter().copied().find(compact)
    }
}

/// Export format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Export {
    /// Probe or adapter: one small safetensors file.
    Head,
    /// Image encoder with the probe or adapter: an ONNX file.
    Onnx,
    /// LoRA in PEFT's format.
    Lora,
    /// Full model for `transformers`.
    HuggingFace,
    /// Full model for `open_clip`.
    OpenClip,
}

/// Stage of loading a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadStage {
    /// Requesting a GPU.
    Device,
    /// Loading the model's files; `done` and `total` in bytes.
    Download,
    /// Warm-up, in which a GPU compiles its kernels.
    WarmUp,
}

/// Benchmark results: encoder times with read-back, and the features of the first picture
/// and text, to compare programs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Milliseconds of each run.
    pub image_ms: Vec<f64>,
    /// Milliseconds of each run of the text encoder.
    pub text_ms: Vec<f64>,
    /// Features of the first image, `[embed_dim]`.
    pub image_features: Vec<f32>,
    /// Features of the first text, `[embed_dim]`.
    pub text_features: Vec<f32>,
}

/// Description of a device, for display.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// `true` on WebGPU.
    pub gpu: bool,
    /// Display name, such as `WebGPU: NVIDIA Ada`, or `CPU (one thread, SIMD)`.
    pub name: String,
    /// Reason for the device, such as `no WebGPU in this browser` or `chosen by you`;
    /// empty for the device that `Auto` prefers.
    pub reason: Diagnostic,
}
