//! Job of a probe or an adapter, in small units: encoding of pictures and prompts, then
//! the fit.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::artifact::TrainedArtifact;
use super::held_out::HeldOutSet;
use super::samples::SampleStore;
use super::{Host, ProgressThrottle, StepResult, TrainingError};
use crate::data::{Dataset, Example, Split};
use crate::diagnostic::ToDiagnostic;
use crate::engine::messages::{Outcome, SampleId, TrainingPlan, TrainingProgress};
use crate::engine::{Engine, PendingPrompts};
use crate::train::{
    Cancelled, HeadData, HeadProgress, HeadSettings, TrainedHead, TrainingStage, fit_head,
};
use crate::zero_shot::{self, Scoring};

/// Time slice of fitting between checks for requests.
const SLICE_MS: f64 = 30.0;

pub struct HeadFitJob {
    plan: TrainingPlan,
    samples: Vec<SampleId>,
    prompts: Vec<String>,
    stage: Stage,
    progress: ProgressThrottle,
    begun: f64,
    /// Pictures encoded in this training, and the time it took.
    encoded: usize,
    encode_ms: f64,
    /// Prompts to encode, once known.
    pending_prompts: Option<PendingPrompts>,
}

enum Stage {
    Encoding,
    Fitting(Fitting, Rc<HeadData>),
}

/// Fit in progress, which yields after each iteration.
struct Fitting {
    future: Pin<Box<dyn Future<Output = Result<TrainedHead, Cancelled>>>>,
    /// Set when the fit has yielded.
    yielded: Rc<Cell<bool>>,
    progress: Rc<RefCell<Option<HeadProgress>>>,
}

impl Fitting {
    fn new(data: Rc<HeadData>, settings: HeadSettings) -> Self {
        let yielded = Rc::new(Cell::new(false));
        let progress = Rc::new(RefCell::new(None));
        let (yield_flag, note) = (yielded.clone(), progress.clone());
        let future = async move {
            let mut on_progress = async |at: HeadProgress| {
                *note.borrow_mut() = Some(at);
                let mut has_yielded = false;
                poll_fn(|_| {
                    if std::mem::replace(&mut has_yielded, true) {
                        return Poll::Ready(());
                    }
                    yield_flag.set(true);
                    Poll::Pending
                })
                .await;
                ControlFlow::Continue(())
            };
            fit_head(&data, &settings, &mut on_progress).await
        };
        Self {
            future: Box::pin(future),
            yielded,
            progress,
        }
    }

    /// Runs until the next yield, or to the end.
    async fn step(&mut self) -> Option<Result<TrainedHead, Cancelled>> {
        poll_fn(|context| match self.future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.yielded.take() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

impl HeadFitJob {
    /// Job of a plan that has pictures of at least two classes.
    pub fn new(plan: TrainingPlan, now: f64) -> Result<Self, TrainingError> {
        if plan.classes.is_empty() {
            return Err(TrainingError::NoClasses(plan.name));
        }
        zero_shot::check(&plan.classes, &plan.templates)?;
        let mut shown = (plan.classes.iter().zip(0..))
            .filter(|(_, class)| plan.samples.iter().any(|s| s.class == Some(*class)));
        match (shown.next(), shown.next()) {
            (Some(_), Some(_)) => {}
            (Some((only, _)), None) => return Err(TrainingError::OneClass(only.clone())),
            (None, _) => {
                let why = plan.problems.first().map(ToDiagnostic::to_diagnostic);
                return Err(TrainingError::NoPictures(why.unwrap_or(plan.name.into())));
            }
        }
        let prompts = (plan.classes.iter())
            .flat_map(|class| zero_shot::prompts(class, &plan.templates))
            .collect();
        Ok(Self {
            samples: plan.samples.iter().map(|sample| sample.sample).collect(),
            prompts,
            plan,
            stage: Stage::Encoding,
            progress: ProgressThrottle::new(),
            begun: now,
            encoded: 0,
            encode_ms: 0.0,
            pending_prompts: None,
        })
    }

    /// One unit of work.
    pub async fn advance<H: Host>(
        &mut self,
        host: &H,
        samples: &mut SampleStore<H::File>,
        engine: &mut Engine,
    ) -> Result<StepResult, TrainingError> {
        match &mut self.stage {
            Stage::Encoding => {
                if self.encode(host, samples, engine).await? {
                    return Ok(StepResult::More);
                }
                let data = Rc::new(self.data(samples, engine).await?);
                let settings = HeadSettings {
                    method: self.plan.settings.method,
                    templates: self.plan.templates.clone(),
                    held_out: self.plan.settings.held_out,
                    seed: self.plan.settings.seed.into(),
                };
                self.stage = Stage::Fitting(Fitting::new(data.clone(), settings), data);
                Ok(StepResult::More)
            }
            Stage::Fitting(fitting, data) => {
                // An iteration is shorter than a turn of the worker's loop.
                let start = host.now();
                let mut step = fitting.step().await;
                while step.is_none() && host.now() - start < SLICE_MS {
                    step = fitting.step().await;
                }
                if let Some(at) = fitting.progress.borrow_mut().take() {
                    self.progress
                        .report(host, progress(at.stage, at.done, at.total));
                }
                match step {
                    None => Ok(StepResult::More),
                    Some(Err(cancelled)) => Err(cancelled.into()),
                    Some(Ok(trained)) => {
                        let data = data.clone();
                        Ok(self.finish(host, &data, trained))
                    }
                }
            }
        }
    }

    /// Encodes a batch of pictures or prompts; `false` if none is left.
    async fn encode<H: Host>(
        &mut self,
        host: &H,
        samples: &mut SampleStore<H::File>,
        engine: &mut Engine,
    ) -> Result<bool, TrainingError> {
        let start = host.now();
        let count = samples
            .encode_next_batch(host, engine, &self.samples)
            .await?;
        if count > 0 {
            self.encoded += count;
            self.encode_ms += host.now() - start;
            let (done, total) = (samples.encoded(&self.samples), self.samples.len());
            let each = self.encode_ms / self.encoded as f64 / 1e3;
            let at = TrainingProgress {
                stage: TrainingStage::Pictures,
                done: done as u32,
                total: total as u32,
                images_per_second: (each > 0.0).then(|| 1.0 / each),
                seconds_left: Some(each * (total - done) as f64),
            };
            self.progress.report(host, at);
            return Ok(true);
        }
        let mut pending_prompts = match self.pending_prompts.take() {
            Some(pending_prompts) => pending_prompts,
            None => engine.pending_prompts(&self.prompts)?,
        };
        let count = engine.encode_next_batch(&mut pending_prompts).await?;
        let done = self.prompts.len() - pending_prompts.len();
        let at = progress(TrainingStage::Prompts, done, self.prompts.len());
        self.pending_prompts = Some(pending_prompts);
        self.progress.report(host, at);
        Ok(count > 0)
    }

    async fn data<F: Clone>(
        &self,
        samples: &SampleStore<F>,
        engine: &mut Engine,
    ) -> Result<HeadData, TrainingError> {
        let plan = &self.plan;
        let zero_shot = engine.classifier(&plan.classes, &plan.templates).await?;
        let features = (self.samples.iter())
            .map(|sample| samples.features(*sample).cloned())
            .collect::<Option<Vec<_>>>()
            .ok_or(TrainingError::ImageRemoved)?;
        let examples = (plan.samples.iter().enumerate())
            .map(|(picture, sample)| Example {
                picture,
                class: sample.class.map(|class| class as usize),
                caption: None,
            })
            .collect();
        let (held_out, train) =
            (0..plan.samples.len()).partition(|index| plan.samples[*index].held_out);
        Ok(HeadData {
            dataset: Dataset {
                name: plan.name.clone(),
                classes: plan.classes.clone(),
                pictures: plan
                    .samples
                    .iter()
                    .map(|sample| sample.path.clone())
                    .collect(),
                examples,
                problems: plan.problems.clone(),
                notes: plan.notes.clone(),
                ..Dataset::default()
            },
            features,
            split: Split { train, held_out },
            zero_shot,
            scale: engine.scoring().scale(),
            model: engine.model_info().name.clone(),
            device: engine.device_info().name.clone(),
        })
    }

    fn finish<H: Host>(&self, host: &H, data: &HeadData, trained: TrainedHead) -> StepResult {
        let TrainedHead { head, mut report } = trained;
        report.seconds = (host.now() - self.begun) / 1e3;
        report.images_per_second = self.encoded as f64 / (self.encode_ms / 1e3).max(1e-3);
        let set = HeldOutSet::new(&self.plan);
        let held_out = (self.plan.samples.iter().zip(&data.features))
            .filter(|(sample, _)| sample.held_out && sample.class.is_some());
        let (before, after): (Vec<_>, Vec<_>) = held_out
            .map(|(_, features)| {
                // Classes exclude each other, as they do for the head.
                let scoring = Scoring::Softmax { scale: data.scale };
                let before = zero_shot::probabilities(features, &data.zero_shot, scoring);
                (before, head.probabilities(features))
            })
            .unzip();
        let answers = set.compare(&before, &after);
        let artifact = TrainedArtifact::Head(head);
        let outcome = Outcome {
            report,
            answers,
            trained: artifact.describe(),
        };
        StepResult::Done(Box::new(outcome), Box::new(artifact))
    }
}

fn progress(stage: TrainingStage, done: usize, total: usize) -> TrainingProgress {
    TrainingProgress {
        stage,
        done: done as u32,
        total: total as u32,
        images_per_second: None,
        seconds_left: None,
    }
}
