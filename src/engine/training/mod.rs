//! Training as the worker does it: requests in, events out, one small piece of
//! work at a time, so that a request is heard between any two; what there is to
//! learn from, the state of a training and its result are kept for a later visit.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`host`], [`browser`] | what it needs of the place where it runs, and the worker as one |
//! | [`samples`] | pictures, their features and pixels |
//! | [`heads`] | a probe or an adapter, piece by piece |
//! | [`towers`] | LoRA, fine-tuning and pre-training, step by step |
//! | [`measure`] | the held-out part |
//! | [`product`] | what came of it: kept, used, taken away |
//! | [`estimate`] | what it will take |

#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub mod browser;
mod estimate;
mod heads;
mod host;
mod measure;
mod product;
mod samples;
#[cfg(all(test, feature = "command"))]
mod tests;
mod towers;

pub use host::{Beside, Host};

use super::messages::{
    Interrupted, Outcome, Ranked, TrainingEvent, TrainingPlan, TrainingProgress, TrainingRequest,
};
use super::{Engine, Swapped};
use crate::model::Packing;
use crate::train::{Head, Method};
use heads::HeadJob;
use product::Product;
use samples::Samples;
use towers::TowerJob;

/// What the page knows of its samples.
const PROJECT: &str = "project";

/// A training in the worker.
pub struct Training<H: Host> {
    host: H,
    samples: Samples<H::File>,
    job: Option<Job>,
    paused: bool,
    product: Option<Product>,
    /// A probe or an adapter that pictures are classified with.
    head: Option<Head>,
    /// The engine's own model, while something trained is in its place.
    own: Option<Swapped>,
    speed: estimate::Speed,
    /// Counts how often the engine got another model.
    swaps: u32,
}

enum Job {
    Head(Box<HeadJob>),
    Tower(Box<TowerJob>),
}

/// What a piece of work came to.
enum Piece {
    /// There is more to do.
    More,
    Done(Box<Outcome>, Box<Product>),
}

impl<H: Host> Training<H> {
    pub fn new(host: H) -> Self {
        Self {
            host,
            samples: Samples::default(),
            job: None,
            paused: false,
            product: None,
            head: None,
            own: None,
            speed: estimate::Speed::default(),
            swaps: 0,
        }
    }

    pub fn host(&self) -> &H {
        &self.host
    }

    /// Tells what earlier visits left.
    pub async fn begin(&mut self, engine: &Engine) {
        let (samples, files) = self.samples.restore(&self.host).await;
        let project =
            (self.host.get(PROJECT).await).and_then(|bytes| String::from_utf8(bytes).ok());
        let interrupted = (towers::kept(&self.host).await).map(|run| Interrupted {
            method: run.plan.settings.method,
            model: run.model,
            step: run.step,
            steps: run.steps,
            kept_ms: run.kept_ms,
        });
        self.product = Product::restore(&self.host, engine).await;
        let trained = self.product.as_ref().map(Product::describe);
        let found = TrainingEvent::Found {
            project,
            samples,
            interrupted,
            trained,
        };
        self.host.say(found, Beside::Files(files));
    }

    /// Takes a request; `bytes` and `files` travelled beside it.
    pub async fn take(
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
            }
            TrainingRequest::KeepProject { project } => {
                if let Err(why) = self.host.put(PROJECT, project.as_bytes()).await {
                    self.samples.cannot_keep(&self.host, &why);
                }
            }
            TrainingRequest::Pause => {
                if self.job.is_some() {
                    self.paused = true;
                    if let Some(Job::Tower(job)) = &mut self.job {
                        job.keep(&self.host).await;
                    }
                    self.say(TrainingEvent::Paused);
                }
            }
            TrainingRequest::Stop { discard } => self.stop(discard).await,
            TrainingRequest::Discard => {
                towers::forget(&self.host).await;
                self.say(TrainingEvent::Stopped);
            }
            other => match engine {
                Some(engine) => self.take_with(other, files, engine).await,
                None => self.fail("no model is loaded".into()),
            },
        }
    }

    /// Requests that need a model.
    async fn take_with(
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
                    Ok(estimate) => self.say(TrainingEvent::Estimated(estimate)),
                    Err(why) => {
                        self.remark(format!("Time and memory could not be estimated: {why}"))
                    }
                }
            }
            TrainingRequest::Start { .. } | TrainingRequest::Resume
                if engine.packing() == Packing::Int8 =>
            {
                self.fail(
                    "the model is loaded with 8-bit weights, but training needs the original ones: \
                     turn off \"8-bit weights\" at the top of the page and start again"
                        .into(),
                );
            }
            TrainingRequest::Start { plan } => self.start(plan, engine).await,
            TrainingRequest::Resume if self.job.is_some() => {
                self.paused = false;
                self.say(TrainingEvent::Running);
            }
            TrainingRequest::Resume => {
                self.give_back(engine).await;
                match TowerJob::resume(&self.host, engine).await {
                    Ok((job, curves)) => {
                        self.say(TrainingEvent::Curves { curves });
                        self.run(Job::Tower(Box::new(job)));
                    }
                    Err(error) => self.fail(error),
                }
            }
            TrainingRequest::Export { what } => {
                let made = match &self.product {
                    Some(product) => product.export(what, &self.host, engine).await,
                    None => Err("there is no trained result to export".into()),
                };
                match made {
                    Ok(files) => {
                        let (files, bytes) = files.into_iter().unzip();
                        let exported = TrainingEvent::Exported { files };
                        self.host.say(exported, Beside::Bytes(bytes));
                    }
                    Err(error) => self.say(TrainingEvent::ExportFailed { error }),
                }
            }
            TrainingRequest::Import => {
                let mut read = Vec::with_capacity(files.len());
                for file in &files {
                    if let Ok(bytes) = self.host.read(file).await {
                        read.push(bytes);
                    }
                }
                self.put_back(engine).await;
                match Product::import(read, &self.host, engine).await {
                    Ok((product, note)) => {
                        product.keep(&self.host).await;
                        self.say(TrainingEvent::Imported(product.describe()));
                        note.into_iter().for_each(|note| self.remark(note));
                        self.product = Some(product);
                    }
                    Err(error) => self.say(TrainingEvent::ImportFailed { error }),
                }
            }
            TrainingRequest::Use { trained } => self.put_to_use(trained, engine).await,
            _ => {}
        }
    }

    /// Keeps what is not kept yet, and lets go of all of it.
    async fn hand_over(&mut self, engine: Option<&mut Engine>) {
        while self.samples.read_one(&self.host).await {}
        if let Some(Job::Tower(job)) = &mut self.job {
            job.keep(&self.host).await;
        }
        if let Some(engine) = engine {
            self.give_back(engine).await;
        }
        self.job = None;
        self.paused = false;
        self.product = None;
        self.samples = Samples::default();
        self.say(TrainingEvent::HandedOver);
    }

    async fn start(&mut self, plan: TrainingPlan, engine: &mut Engine) {
        self.give_back(engine).await;
        self.job = None;
        towers::forget(&self.host).await;
        let job = match plan.settings.method {
            Method::Probe | Method::Adapter => {
                Ok(Job::Head(Box::new(HeadJob::new(plan, self.host.now()))))
            }
            _ => (TowerJob::start(plan, &self.host, engine).await)
                .map(|job| Job::Tower(Box::new(job))),
        };
        match job {
            Ok(job) => self.run(job),
            Err(error) => self.fail(error),
        }
    }

    fn run(&mut self, job: Job) {
        self.job = Some(job);
        self.paused = false;
        self.say(TrainingEvent::Running);
    }

    async fn stop(&mut self, discard: bool) {
        self.paused = false;
        match &mut self.job {
            Some(Job::Tower(job)) if !discard => job.finish_early(),
            // A classifier that is half fitted is of no use.
            _ => {
                self.job = None;
                towers::forget(&self.host).await;
                self.say(TrainingEvent::Stopped);
            }
        }
    }

    /// Changes whenever the engine got another model: features from before mean
    /// nothing to it.
    pub fn swaps(&self) -> u32 {
        self.swaps
    }

    /// Whether there is anything to do.
    pub fn busy(&self) -> bool {
        self.samples.unread() || (self.job.is_some() && !self.paused)
    }

    /// One piece of work; `false` when there is none.
    pub async fn work(&mut self, engine: &mut Engine) -> bool {
        if self.samples.read_one(&self.host).await {
            return true;
        }
        if self.paused {
            return false;
        }
        let piece = match &mut self.job {
            None => return false,
            Some(Job::Head(job)) => job.advance(&self.host, &mut self.samples, engine).await,
            Some(Job::Tower(job)) => job.advance(&self.host, &mut self.samples, engine).await,
        };
        match piece {
            Ok(Piece::More) => {}
            Ok(Piece::Done(outcome, product)) => {
                self.job = None;
                product.keep(&self.host).await;
                towers::forget(&self.host).await;
                self.product = Some(*product);
                self.say(TrainingEvent::Finished(outcome));
            }
            Err(error) => {
                self.job = None;
                self.fail(error);
            }
        }
        true
    }

    /// A picture's ranking by the probe or adapter in use, if there is one.
    pub fn rank(&self, features: &[f32]) -> Option<Vec<Ranked>> {
        self.head.as_ref().map(|head| head.rank(features))
    }

    async fn put_to_use(&mut self, trained: bool, engine: &mut Engine) {
        let encode_again = self.put_back(engine).await;
        let mut in_use = None;
        if trained && let Some(product) = &self.product {
            match product.take_up(&self.host, engine).await {
                Ok(product::InUse::Head(head)) => self.head = Some(head),
                Ok(product::InUse::Model(before)) => {
                    self.own = Some(before);
                    self.swaps += 1;
                }
                Err(error) => {
                    self.remark(error);
                    return;
                }
            }
            in_use = Some(product.describe());
        }
        let encode_again = encode_again || self.own.is_some();
        self.say(TrainingEvent::InUse {
            trained: in_use,
            encode_again,
        });
    }

    /// The engine's own model in its place again; whether it was not.
    async fn put_back(&mut self, engine: &mut Engine) -> bool {
        self.head = None;
        match self.own.take() {
            Some(own) => {
                self.swaps += 1;
                engine.swap(own).await.is_ok()
            }
            None => false,
        }
    }

    /// The same before a training, which begins with that model; and says so.
    async fn give_back(&mut self, engine: &mut Engine) {
        if self.head.is_some() || self.own.is_some() {
            let encode_again = self.put_back(engine).await;
            self.say(TrainingEvent::InUse {
                trained: None,
                encode_again,
            });
        }
    }

    fn say(&self, event: TrainingEvent) {
        self.host.say(event, Beside::Nothing);
    }

    fn remark(&self, text: String) {
        self.say(TrainingEvent::Remark { text });
    }

    fn fail(&self, error: String) {
        self.say(TrainingEvent::Failed { error });
    }
}

/// Tells how far a training is, but not more often than can be seen.
struct Ticker {
    told: f64,
}

impl Ticker {
    /// Milliseconds between two words.
    const PACE: f64 = 100.0;

    fn new() -> Self {
        Self { told: 0.0 }
    }

    fn tell<H: Host>(&mut self, host: &H, progress: TrainingProgress) {
        let now = host.now();
        if now - self.told >= Self::PACE || progress.done == progress.total {
            self.told = now;
            host.say(TrainingEvent::Progress(progress), Beside::Nothing);
        }
    }
}
