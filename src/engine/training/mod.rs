//! Training jobs: requests in, events out, one small unit of work at a time, so that
//! requests are handled in between. Samples, checkpoints and the result are stored for
//! later visits.
//!
//! | module | contents |
//! | --- | --- |
//! | [`host`], [`browser`] | environment of a training, and its implementation in a browser |
//! | [`samples`] | training pictures, their features and pixels |
//! | [`head_fit`] | job of a probe or an adapter |
//! | [`fine_tune`] | job of LoRA, fine-tuning or pre-training |
//! | [`held_out`] | evaluation of the held-out part |
//! | [`artifact`] | result: storage, activation, export |
//! | [`estimate`] | estimate of time and memory |

mod artifact;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub mod browser;
mod error;
mod estimate;
mod fine_tune;
mod head_fit;
mod held_out;
mod host;
mod samples;
#[cfg(all(test, feature = "command"))]
mod tests;

pub use artifact::{model_files, own_format};
pub use error::{HostError, TrainingError};
pub use host::{EventAttachments, Host};

use super::messages::{
    Interrupted, Outcome, Ranked, SampleId, TrainingEvent, TrainingPlan, TrainingProgress,
    TrainingRequest,
};
use super::{Engine, ModelSlot};
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::model::WeightPrecision;
use crate::preprocess::DecodedImage;
use crate::train::{Head, Method};
use artifact::TrainedArtifact;
use fine_tune::FineTuneJob;
use head_fit::HeadFitJob;
use samples::SampleStore;

/// Name of the page's stored project.
const PROJECT: &str = "project";

/// Training state of a worker.
pub struct Training<H: Host> {
    host: H,
    samples: SampleStore<H::File>,
    job: Option<Job>,
    paused: bool,
    artifact: Option<TrainedArtifact>,
    /// Result that another one has taken the place of, to be put back; `None`: nothing was laid aside.
    aside: Option<Option<TrainedArtifact>>,
    /// Share of the trained weights, 0 to 1; the rest is the original model's.
    share: f64,
    /// Probe or adapter in use.
    head: Option<Head>,
    /// The engine's original model, while a trained one is in use.
    original_model: Option<ModelSlot>,
    speed: estimate::EncodingSpeed,
    /// The page's project, if there was no space for it.
    refused_project: Option<String>,
    /// Counts model swaps.
    model_version: u32,
}

enum Job {
    Head(Box<HeadFitJob>),
    FineTune(Box<FineTuneJob>),
}

/// Result of a unit of work.
enum StepResult {
    /// There is more to do.
    More,
    Done(Box<Outcome>, Box<TrainedArtifact>),
}

impl<H: Host> Training<H> {
    /// Training state without samples, job or result.
    pub fn new(host: H) -> Self {
        Self {
            host,
            samples: SampleStore::default(),
            job: None,
            paused: false,
            artifact: None,
            aside: None,
            share: 1.0,
            head: None,
            original_model: None,
            speed: estimate::EncodingSpeed::default(),
            refused_project: None,
            model_version: 0,
        }
    }

    /// Environment of the training.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// Reports what earlier visits stored.
    pub async fn begin(&mut self, engine: &Engine) {
        let (samples, files) = self.samples.restore(&self.host).await;
        let project =
            (self.host.get(PROJECT).await).and_then(|bytes| String::from_utf8(bytes).ok());
        let interrupted = (fine_tune::latest_checkpoint(&self.host).await).map(|run| Interrupted {
            method: run.plan.settings.method,
            model: run.model,
            step: run.step,
            steps: run.steps,
            kept_ms: run.kept_ms,
        });
        self.artifact = TrainedArtifact::restore(&self.host, engine).await;
        let trained = self.artifact.as_ref().map(TrainedArtifact::describe);
        let found = TrainingEvent::Found {
            project,
            samples,
            interrupted,
            trained,
        };
        self.host.emit(found, EventAttachments::Files(files));
    }

    /// Prepares a picture that has been decoded already, so that it is not decoded again.
    pub fn prepare(&mut self, sample: SampleId, picture: &DecodedImage, engine: &Engine) {
        self.samples.prepare(sample, picture, engine);
    }

    /// Stores what could not be stored before: something else was deleted.
    pub async fn try_again(&mut self) {
        self.samples.try_again();
        if let Some(project) = self.refused_project.take() {
            self.keep_project(project).await;
        }
    }

    async fn delete_checkpoints(&mut self) {
        fine_tune::delete_checkpoints(&self.host).await;
        self.try_again().await;
    }

    async fn keep_project(&mut self, project: String) {
        self.refused_project = None;
        if let Err(why) = self.host.put(PROJECT, project.as_bytes()).await {
            self.samples.report_storage_error(&self.host, &why);
            self.refused_project = Some(project);
        }
    }

    /// Handles a request with its attached `files`.
    pub async fn handle(
        &mut self,
        request: TrainingRequest,
        files: Vec<H::File>,
        engine: Option<&mut Engine>,
    ) {
        match request {
            TrainingRequest::AddSamples { samples } => self.samples.add(samples, files),
            TrainingRequest::HandOver => self.hand_over(engine).await,
            TrainingRequest::RemoveSamples { samples } => {
                self.samples.remove(&self.host, samples).await;
                self.try_again().await;
            }
            TrainingRequest::KeepProject { project } => {
                self.keep_project(project).await;
            }
            TrainingRequest::Pause => {
                if self.job.is_some() {
                    self.paused = true;
                    if let Some(Job::FineTune(job)) = &mut self.job {
                        job.save_checkpoint(&self.host).await;
                    }
                    self.emit(TrainingEvent::Paused);
                }
            }
            TrainingRequest::ForgetAside => self.aside = None,
            TrainingRequest::Stop { discard } => self.stop(discard).await,
            TrainingRequest::Discard => {
                self.delete_checkpoints().await;
                self.emit(TrainingEvent::Stopped);
            }
            request => match engine {
                Some(engine) => self.handle_with_engine(request, files, engine).await,
                None => self.fail(TrainingError::NoModel),
            },
        }
    }

    /// Handles requests that need a model.
    async fn handle_with_engine(
        &mut self,
        request: TrainingRequest,
        files: Vec<H::File>,
        engine: &mut Engine,
    ) {
        match request {
            TrainingRequest::Begin => self.begin(engine).await,
            TrainingRequest::Estimate {
                settings,
                train,
                held_out,
            } => {
                let available = self.host.memory(engine.device_info().gpu);
                let now = || self.host.now();
                let estimate = self
                    .speed
                    .estimate(engine, settings, train, held_out, available, now)
                    .await;
                match estimate {
                    Ok(estimate) => self.emit(TrainingEvent::Estimated(estimate)),
                    Err(why) => self.notify(diagnostic!(
                        "not-estimated",
                        "Time and memory could not be estimated: {reason}",
                        reason = why
                    )),
                }
            }
            TrainingRequest::Start { .. } | TrainingRequest::Resume
                if engine.precision() == WeightPrecision::Int8 =>
            {
                self.fail(TrainingError::Int8);
            }
            TrainingRequest::Start { plan } => self.start(plan, engine).await,
            TrainingRequest::Resume if self.job.is_some() => {
                self.paused = false;
                self.emit(TrainingEvent::Running);
            }
            TrainingRequest::Resume => {
                self.restore_before_training(engine).await;
                match FineTuneJob::resume(&self.host, engine).await {
                    Ok((job, curves, note)) => {
                        note.into_iter().for_each(|note| self.notify(note));
                        self.emit(TrainingEvent::Curves { curves });
                        self.run(Job::FineTune(Box::new(job)));
                    }
                    Err(error) => self.fail(error),
                }
            }
            TrainingRequest::Export { what } => {
                let made = match &self.artifact {
                    Some(artifact) => artifact.export(what, &self.host, engine, self.share).await,
                    None => Err(TrainingError::NothingToExport),
                };
                self.give(made);
            }
            TrainingRequest::ExportForProject => {
                let made = match &self.artifact {
                    Some(artifact) => artifact.export_compact(&self.host, engine).await,
                    None => Err(TrainingError::NothingToExport),
                };
                self.give(made);
            }
            TrainingRequest::OpenTrained { classes } => {
                self.restore_before_training(engine).await;
                let opened = match files.is_empty() {
                    true => None,
                    false => self.import(files, classes, engine).await,
                };
                let before = self.take_artifact().await;
                self.aside = Some(before);
                self.exchange(opened).await;
            }
            TrainingRequest::ReturnTrained => {
                self.restore_before_training(engine).await;
                let now = self.take_artifact().await;
                let back = self.aside.replace(now);
                if back.is_none() {
                    self.notify(diagnostic!(
                        "result-gone",
                        "The trained result of before is gone, since the engine was restarted."
                    ));
                }
                self.exchange(back.flatten()).await;
            }
            TrainingRequest::Import => {
                if let Some(artifact) = self.import(files, Vec::new(), engine).await {
                    artifact.save(&self.host).await;
                    self.emit(TrainingEvent::Imported(artifact.describe()));
                    self.artifact = Some(artifact);
                }
            }
            TrainingRequest::UseHead => {
                if let Some(artifact) = self.import(files, Vec::new(), engine).await {
                    self.artifact = Some(artifact);
                    self.set_active(true, engine).await;
                }
            }
            TrainingRequest::Mix { share } => {
                self.share = share.clamp(0.0, 1.0);
                if self.original_model.is_some() {
                    self.set_active(true, engine).await;
                }
            }
            TrainingRequest::Use { trained } => self.set_active(trained, engine).await,
            _ => {}
        }
    }

    /// Reads something trained; `None` if that fails, which it reports.
    async fn import(
        &mut self,
        files: Vec<H::File>,
        classes: Vec<String>,
        engine: &mut Engine,
    ) -> Option<TrainedArtifact> {
        let mut read = Vec::with_capacity(files.len());
        for file in &files {
            if let Ok(bytes) = self.host.read(file).await {
                read.push(bytes);
            }
        }
        self.restore_model(engine).await;
        match TrainedArtifact::import(read, classes, &self.host, engine).await {
            Ok((artifact, note)) => {
                note.into_iter().for_each(|note| self.notify(note));
                self.share = 1.0;
                Some(artifact)
            }
            Err(error) => {
                let error = error.to_diagnostic();
                self.emit(TrainingEvent::ImportFailed { error });
                None
            }
        }
    }

    /// Gives exported files away.
    fn give(&self, made: Result<artifact::NamedFiles, TrainingError>) {
        match made {
            Ok(files) => {
                let (files, bytes) = files.into_iter().unzip();
                let exported = TrainingEvent::Exported { files };
                self.host.emit(exported, EventAttachments::Bytes(bytes));
            }
            Err(error) => {
                let error = error.to_diagnostic();
                self.emit(TrainingEvent::ExportFailed { error });
            }
        }
    }

    /// Takes the result away, with what of it is only in the storage.
    async fn take_artifact(&mut self) -> Option<TrainedArtifact> {
        match self.artifact.take() {
            Some(artifact) => Some(artifact.in_memory(&self.host).await),
            None => None,
        }
    }

    /// Sets the result, here and in the storage.
    async fn exchange(&mut self, artifact: Option<TrainedArtifact>) {
        match &artifact {
            Some(artifact) => artifact.save(&self.host).await,
            None => TrainedArtifact::forget(&self.host).await,
        }
        self.share = 1.0;
        let trained = artifact.as_ref().map(TrainedArtifact::describe);
        self.artifact = artifact;
        self.emit(TrainingEvent::Exchanged(trained));
    }

    /// Stores everything that is not stored yet, and releases it.
    async fn hand_over(&mut self, engine: Option<&mut Engine>) {
        while self.samples.store_or_read_one(&self.host).await {}
        if let Some(Job::FineTune(job)) = &mut self.job {
            job.save_checkpoint(&self.host).await;
        }
        if let Some(engine) = engine {
            self.restore_before_training(engine).await;
        }
        self.job = None;
        self.paused = false;
        self.artifact = None;
        self.aside = None;
        self.samples = SampleStore::default();
        self.emit(TrainingEvent::HandedOver);
    }

    async fn start(&mut self, plan: TrainingPlan, engine: &mut Engine) {
        self.restore_before_training(engine).await;
        self.job = None;
        let job = match plan.settings.method {
            Method::Probe | Method::Adapter => {
                HeadFitJob::new(plan, self.host.now()).map(|job| Job::Head(Box::new(job)))
            }
            _ => (FineTuneJob::start(plan, &self.host, engine).await)
                .map(|job| Job::FineTune(Box::new(job))),
        };
        match job {
            Ok(job) => {
                self.delete_checkpoints().await;
                self.run(job);
            }
            Err(error) => self.fail(error),
        }
    }

    fn run(&mut self, job: Job) {
        self.job = Some(job);
        self.paused = false;
        self.emit(TrainingEvent::Running);
    }

    async fn stop(&mut self, discard: bool) {
        self.paused = false;
        match &mut self.job {
            Some(Job::FineTune(job)) if !discard => job.finish_early(),
            // A half-fitted classifier is useless.
            _ => {
                self.job = None;
                self.delete_checkpoints().await;
                self.emit(TrainingEvent::Stopped);
            }
        }
    }

    /// Changes with every model swap, which invalidates features.
    pub fn model_version(&self) -> u32 {
        self.model_version
    }

    /// Whether a model that was trained here is in use, with weights of its own.
    pub fn is_tuned(&self) -> bool {
        self.original_model.is_some()
    }

    /// Whether there is work to do.
    pub fn busy(&self) -> bool {
        self.samples.unread() || (self.job.is_some() && !self.paused)
    }

    /// One unit of work; `false` if there is none.
    pub async fn work(&mut self, engine: &mut Engine) -> bool {
        if self.samples.store_or_read_one(&self.host).await {
            return true;
        }
        if self.paused {
            return false;
        }
        let result = match &mut self.job {
            None => return false,
            Some(Job::Head(job)) => job.advance(&self.host, &mut self.samples, engine).await,
            Some(Job::FineTune(job)) => job.advance(&self.host, &mut self.samples, engine).await,
        };
        match result {
            Ok(StepResult::More) => {}
            Ok(StepResult::Done(outcome, artifact)) => {
                self.job = None;
                artifact.save(&self.host).await;
                self.delete_checkpoints().await;
                self.artifact = Some(*artifact);
                self.share = 1.0;
                self.emit(TrainingEvent::Finished(outcome));
            }
            Err(error) => {
                self.job = None;
                self.fail(error);
            }
        }
        true
    }

    /// Ranking of a picture by the probe or adapter in use, if any.
    pub fn rank(&self, features: &[f32]) -> Option<Vec<Ranked>> {
        self.head.as_ref().map(|head| head.rank(features))
    }

    /// Probe or adapter in use.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    async fn set_active(&mut self, trained: bool, engine: &mut Engine) {
        let encode_again = self.restore_model(engine).await;
        let mut in_use = None;
        if trained && let Some(artifact) = &self.artifact {
            match artifact.activate(&self.host, engine, self.share).await {
                Ok(artifact::InUse::Head(head)) => self.head = Some(head),
                Ok(artifact::InUse::Model(before)) => {
                    self.original_model = Some(before);
                    self.model_version += 1;
                }
                Err(error) => {
                    self.notify(error.to_diagnostic());
                    return;
                }
            }
            in_use = Some(artifact.describe());
        }
        let encode_again = encode_again || self.original_model.is_some();
        self.emit(TrainingEvent::InUse {
            trained: in_use,
            encode_again,
        });
    }

    /// Restores the original model; `false` if it was in use.
    async fn restore_model(&mut self, engine: &mut Engine) -> bool {
        self.head = None;
        match self.original_model.take() {
            Some(original_model) => {
                self.model_version += 1;
                engine.swap(original_model).await.is_ok()
            }
            None => false,
        }
    }

    /// Restores the original model before a training, and notifies the page.
    async fn restore_before_training(&mut self, engine: &mut Engine) {
        if self.head.is_some() || self.original_model.is_some() {
            let encode_again = self.restore_model(engine).await;
            self.emit(TrainingEvent::InUse {
                trained: None,
                encode_again,
            });
        }
    }

    fn emit(&self, event: TrainingEvent) {
        self.host.emit(event, EventAttachments::Nothing);
    }

    fn notify(&self, text: Diagnostic) {
        self.emit(TrainingEvent::Remark { text });
    }

    fn fail(&self, error: TrainingError) {
        let error = error.to_diagnostic();
        self.emit(TrainingEvent::Failed { error });
    }
}

/// Progress reports, throttled.
struct ProgressThrottle {
    last_report: f64,
}

impl ProgressThrottle {
    /// Minimum time between reports.
    const INTERVAL_MS: f64 = 100.0;

    fn new() -> Self {
        Self { last_report: 0.0 }
    }

    fn report<H: Host>(&mut self, host: &H, progress: TrainingProgress) {
        let now = host.now();
        if now - self.last_report >= Self::INTERVAL_MS || progress.done == progress.total {
            self.last_report = now;
            host.emit(TrainingEvent::Progress(progress), EventAttachments::Nothing);
        }
    }
}
