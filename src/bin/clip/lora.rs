//! A LoRA for `clip fewshot`: the [`Training`] of the page and of `clip train`,
//! with the settings that both begin with, in memory.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use clip::engine::Engine;
use clip::engine::defaults::{self, DatasetStats};
use clip::engine::messages::{PlannedSample, TrainingEvent, TrainingPlan, TrainingRequest};
use clip::engine::training::{EventAttachments, Host, HostError, Training};
use clip::model::Clip;
use clip::train::Method;

use crate::Failure;
use crate::session::Session;

/// A LoRA in the engine's model, until it is taken off.
pub struct Lora<'a>(Training<CommandHost<'a>>);

impl<'a> Lora<'a> {
    /// Learns it from pictures in `folder`, `pictures` for each class, and puts it
    /// on.
    pub async fn put_on(
        engine: &mut Engine,
        session: &'a Session,
        folder: &Path,
        classes: &[String],
        pictures: &[&[String]],
        templates: &[String],
    ) -> Result<Self, Failure> {
        let samples: Vec<PlannedSample> = (pictures.iter().enumerate())
            .flat_map(|(class, pictures)| pictures.iter().map(move |path| (class, path)))
            .zip(0..)
            .map(|((class, path), sample)| PlannedSample {
                sample,
                path: path.clone(),
                class: Some(class as u32),
                captions: Vec::new(),
                held_out: false,
            })
            .collect();
        let stats = DatasetStats {
            classes: classes.len(),
            train: samples.len(),
            held_out: 0,
            fewest: pictures.iter().map(|of| of.len()).min().unwrap_or_default(),
        };
        let host = CommandHost {
            session,
            pictures: samples.iter().map(|s| folder.join(&s.path)).collect(),
            failure: RefCell::default(),
        };
        let plan = TrainingPlan {
            name: String::new(),
            settings: defaults::training_settings(Method::Lora, stats, Some(engine.model_info())),
            classes: classes.to_vec(),
            templates: templates.to_vec(),
            samples,
            problems: Vec::new(),
            notes: Vec::new(),
        };
        let mut training = Training::new(host);
        training.begin(engine).await;
        let start = TrainingRequest::Start { plan };
        training.handle(start, Vec::new(), Some(engine)).await;
        while training.work(engine).await {}
        let mut lora = Self(training);
        lora.in_use(true, engine).await?;
        Ok(lora)
    }

    pub async fn take_off(mut self, engine: &mut Engine) -> Result<(), Failure> {
        self.in_use(false, engine).await
    }

    async fn in_use(&mut self, trained: bool, engine: &mut Engine) -> Result<(), Failure> {
        let using = TrainingRequest::Use { trained };
        self.0.handle(using, Vec::new(), Some(engine)).await;
        match self.0.host().failure.take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}

/// The command as the place where it runs: pictures are where they are, and
/// nothing is kept.
struct CommandHost<'a> {
    session: &'a Session,
    /// By the number of the sample.
    pictures: Vec<PathBuf>,
    failure: RefCell<Option<String>>,
}

impl Host for CommandHost<'_> {
    type File = PathBuf;

    async fn read(&self, file: &PathBuf) -> Result<Vec<u8>, HostError> {
        let named = |error| HostError::Read(format!("{}: {error}", file.display()));
        fs::read(file).map_err(named)
    }

    async fn put(&self, _: &str, _: &[u8]) -> Result<(), HostError> {
        Ok(())
    }

    async fn get(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    async fn file(&self, name: &str) -> Option<PathBuf> {
        let number: usize = name.strip_prefix("sample-")?.parse().ok()?;
        self.pictures.get(number).cloned()
    }

    async fn delete(&self, _: &str) {}

    async fn names(&self) -> Vec<String> {
        let numbers = 0..self.pictures.len();
        numbers.map(|number| format!("sample-{number}")).collect()
    }

    async fn model(&self, engine: &Engine) -> Result<Clip, HostError> {
        Ok(self.session.plain(engine).await?)
    }

    async fn model_file(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    /// Nothing is asked for by time.
    fn now(&self) -> f64 {
        0.0
    }

    fn memory(&self, _gpu: bool) -> Option<u64> {
        None
    }

    fn emit(&self, event: TrainingEvent, _: EventAttachments<PathBuf>) {
        // Nothing is remarked on that goes well.
        if let TrainingEvent::Failed { error } | TrainingEvent::Remark { text: error } = event {
            *self.failure.borrow_mut() = Some(error.to_string());
        }
    }
}
