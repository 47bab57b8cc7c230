//! A probe or an adapter, piece by piece: pictures through the image encoder,
//! prompts through the text encoder, the fit.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::measure::{Exam, by_words};
use super::product::Product;
use super::samples::Samples;
use super::{Host, Piece, Ticker};
use crate::data::{Dataset, Example, Split};
use crate::engine::messages::{Outcome, SampleId, TrainingPlan, TrainingProgress, TrainingStage};
use crate::engine::{Engine, Waiting};
use crate::train::{
    HeadData, HeadError, HeadProgress, HeadSettings, HeadStage, TrainedHead, fit_head,
};
use crate::zero_shot;

/// Milliseconds of fitting between two looks at the requests.
const PIECE_MS: f64 = 30.0;

pub struct HeadJob {
    plan: TrainingPlan,
    samples: Vec<SampleId>,
    prompts: Vec<String>,
    stage: Stage,
    ticker: Ticker,
    begun: f64,
    /// Pictures encoded in this training, and the milliseconds that took.
    encoded: usize,
    encode_ms: f64,
    /// Prompts that are not encoded yet.
    waiting: Option<Waiting>,
}

enum Stage {
    Encoding,
    Fitting(Fitting, Rc<HeadData>),
}

/// A fit that is going on. It stops by itself after each of its steps.
struct Fitting {
    future: Pin<Box<dyn Future<Output = Result<TrainedHead, HeadError>>>>,
    /// Set when it stopped to let others work.
    rests: Rc<Cell<bool>>,
    progress: Rc<RefCell<Option<HeadProgress>>>,
}

impl Fitting {
    fn new(data: Rc<HeadData>, settings: HeadSettings) -> Self {
        let rests = Rc::new(Cell::new(false));
        let progress = Rc::new(RefCell::new(None));
        let (rest, note) = (rests.clone(), progress.clone());
        let future = async move {
            let mut watch = async |at: HeadProgress| {
                *note.borrow_mut() = Some(at);
                let mut rested = false;
                poll_fn(|_| {
                    if std::mem::replace(&mut rested, true) {
                        return Poll::Ready(());
                    }
                    rest.set(true);
                    Poll::Pending
                })
                .await;
                ControlFlow::Continue(())
            };
            fit_head(&data, &settings, &mut watch).await
        };
        Self {
            future: Box::pin(future),
            rests,
            progress,
        }
    }

    /// Goes on to its next rest, or to the end.
    async fn step(&mut self) -> Option<Result<TrainedHead, HeadError>> {
        poll_fn(|context| match self.future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.rests.take() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

impl HeadJob {
    pub fn new(plan: TrainingPlan, now: f64) -> Self {
        let prompts = (plan.classes.iter())
            .flat_map(|class| zero_shot::prompts(class, &plan.templates))
            .collect();
        Self {
            samples: plan.samples.iter().map(|sample| sample.sample).collect(),
            prompts,
            plan,
            stage: Stage::Encoding,
            ticker: Ticker::new(),
            begun: now,
            encoded: 0,
            encode_ms: 0.0,
            waiting: None,
        }
    }

    /// One piece of it.
    pub async fn advance<H: Host>(
        &mut self,
        host: &H,
        samples: &mut Samples<H::File>,
        engine: &mut Engine,
    ) -> Result<Piece, String> {
        match &mut self.stage {
            Stage::Encoding => {
                if self.encode(host, samples, engine).await? {
                    return Ok(Piece::More);
                }
                let data = Rc::new(self.data(samples, engine).await?);
                let settings = HeadSettings {
                    method: self.plan.settings.method,
                    templates: self.plan.templates.clone(),
                    held_out: self.plan.settings.held_out,
                    seed: self.plan.settings.seed.into(),
                };
                self.stage = Stage::Fitting(Fitting::new(data.clone(), settings), data);
                Ok(Piece::More)
            }
            Stage::Fitting(fitting, data) => {
                // A step takes less time than the way around by the worker's loop.
                let start = host.now();
                let mut step = fitting.step().await;
                while step.is_none() && host.now() - start < PIECE_MS {
                    step = fitting.step().await;
                }
                if let Some(at) = fitting.progress.borrow_mut().take() {
                    self.ticker.tell(host, progress(at));
                }
                match step {
                    None => Ok(Piece::More),
                    Some(Err(error)) => Err(error.to_string()),
                    Some(Ok(trained)) => {
                        let data = data.clone();
                        Ok(self.finish(host, &data, trained))
                    }
                }
            }
        }
    }

    /// Encodes some pictures or prompts; `false` when there are none left.
    async fn encode<H: Host>(
        &mut self,
        host: &H,
        samples: &mut Samples<H::File>,
        engine: &mut Engine,
    ) -> Result<bool, String> {
        let start = host.now();
        let count = samples.encode_some(host, engine, &self.samples).await?;
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
            self.ticker.tell(host, at);
            return Ok(true);
        }
        let mut waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => engine
                .waiting(&self.prompts)
                .map_err(|error| error.to_string())?,
        };
        let count = engine
            .encode_some(&mut waiting)
            .await
            .map_err(|e| e.to_string())?;
        let at = HeadProgress {
            stage: HeadStage::Labels,
            done: self.prompts.len() - waiting.len(),
            total: self.prompts.len(),
        };
        self.waiting = Some(waiting);
        self.ticker.tell(host, progress(at));
        Ok(count > 0)
    }

    async fn data<F: Clone>(
        &self,
        samples: &Samples<F>,
        engine: &mut Engine,
    ) -> Result<HeadData, String> {
        let plan = &self.plan;
        let zero_shot = (engine.classifier(&plan.classes, &plan.templates).await)
            .map_err(|error| error.to_string())?;
        let features = (self.samples.iter())
            .map(|sample| samples.features(*sample).cloned())
            .collect::<Option<Vec<_>>>()
            .ok_or("an image was removed during training: start again")?;
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
            },
            features,
            split: Split { train, held_out },
            zero_shot,
            scale: engine.logit_scale().exp(),
            model: engine.model_info().name.clone(),
            device: engine.device_info().name.clone(),
        })
    }

    fn finish<H: Host>(&self, host: &H, data: &HeadData, trained: TrainedHead) -> Piece {
        let TrainedHead { head, mut report } = trained;
        report.seconds = (host.now() - self.begun) / 1e3;
        report.images_per_second = self.encoded as f64 / (self.encode_ms / 1e3).max(1e-3);
        let exam = Exam::new(&self.plan);
        let held_out = (self.plan.samples.iter().zip(&data.features))
            .filter(|(sample, _)| sample.held_out && sample.class.is_some());
        let (before, after): (Vec<_>, Vec<_>) = held_out
            .map(|(_, features)| {
                let before = by_words(features, &data.zero_shot, data.scale);
                (before, head.probabilities(features))
            })
            .unzip();
        let answers = exam.compare(&before, &after);
        let product = Product::Head(head);
        let outcome = Outcome {
            report,
            answers,
            trained: product.describe(),
        };
        Piece::Done(Box::new(outcome), Box::new(product))
    }
}

fn progress(at: HeadProgress) -> TrainingProgress {
    TrainingProgress {
        stage: match at.stage {
            HeadStage::Pictures => TrainingStage::Pictures,
            HeadStage::Labels => TrainingStage::Labels,
            HeadStage::Choosing => TrainingStage::Choosing,
            HeadStage::Fitting => TrainingStage::Fitting,
        },
        done: at.done as u32,
        total: at.total as u32,
        images_per_second: None,
        seconds_left: None,
    }
}
