//! Features of the neutral words for the page, encoded in the background and kept for later visits
//! where that takes a while.

use super::{Engine, EngineError, PendingPrompts};
use crate::hub::cache::ModelCache;
use crate::library::{ModelFingerprint, file_hash};
use crate::zero_shot::{self, Rejection};

/// Folder or cache of the features, a file for each model.
const STORAGE: &str = "words";

/// Features that took longer than this are kept.
const WORTH_KEEPING_MS: f64 = 1000.0;

/// Characters of a hash in hexadecimal.
const HASH: usize = 64;

/// Neutral words and their features.
pub struct NeutralWords {
    /// Whether the page asks for them.
    wanted: bool,
    /// Template that they are put into.
    template: String,
    waiting: Option<PendingPrompts>,
    encode_ms: f64,
    /// Words with their features, once all are encoded.
    known: Option<Vec<(String, Vec<f32>)>>,
    now: fn() -> f64,
}

impl NeutralWords {
    /// None are wanted. `now` is in milliseconds.
    pub fn new(now: fn() -> f64) -> Self {
        Self {
            wanted: false,
            template: String::new(),
            waiting: None,
            encode_ms: 0.0,
            known: None,
            now,
        }
    }

    /// Sets whether they are wanted.
    pub fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// Whether they are wanted.
    pub fn wanted(&self) -> bool {
        self.wanted
    }

    /// Forgets the features: the model has changed.
    pub fn forget(&mut self) {
        *self = Self {
            wanted: self.wanted,
            ..Self::new(self.now)
        };
    }

    /// Words that compete with the labels in `classifier`, once their features by this template are
    /// known.
    pub fn rejection(
        &self,
        template: &str,
        labels: &[String],
        classifier: &[Vec<f32>],
    ) -> Option<Rejection> {
        let usable = self.wanted && self.template == template;
        let known = self.known.as_ref().filter(|_| usable)?;
        let words = zero_shot::neutral_words(labels, usize::MAX);
        let mut words = words.iter().peekable();
        // Both are in the order of the list.
        let features = (known.iter())
            .filter(|(word, _)| words.next_if(|next| *next == word).is_some())
            .map(|(_, features)| features.clone());
        Some(Rejection::new(&features.collect::<Vec<_>>(), classifier))
    }

    /// One unit of work; `false` if there is none.
    pub async fn work(&mut self, engine: &mut Engine, template: &str) -> Result<bool, EngineError> {
        // What has a probability of its own needs nothing to compare with.
        if !self.wanted || engine.scoring().is_independent() {
            return Ok(false);
        }
        if self.template != template {
            self.forget();
            self.template = template.into();
        }
        if self.known.is_some() {
            return Ok(false);
        }
        let words = zero_shot::neutral_words(&[], usize::MAX);
        let prompts = || {
            words
                .iter()
                .flat_map(|word| zero_shot::prompts(word, &[template.into()]))
        };
        let mut waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => {
                if let Some(features) = self.read(engine, &words).await? {
                    self.known = Some(words.into_iter().zip(features).collect());
                    return Ok(true);
                }
                engine.pending_prompts(&prompts().collect::<Vec<_>>())?
            }
        };
        let start = (self.now)();
        let count = engine.encode_next_batch(&mut waiting).await?;
        self.encode_ms += (self.now)() - start;
        self.waiting = Some(waiting);
        if count > 0 {
            return Ok(true);
        }
        let features = engine.classifier(&words, &[template.into()]).await?;
        if self.encode_ms > WORTH_KEEPING_MS {
            self.write(engine, &words, &features).await?;
        }
        self.known = Some(words.into_iter().zip(features).collect());
        Ok(true)
    }

    /// Hash of what the features were made of.
    fn origin(&self, words: &[String]) -> String {
        file_hash(format!("{}\n{}", self.template, words.join("\n")).as_bytes())
    }

    /// Kept features of these weights, `[words][embed_dim]`.
    async fn read(
        &self,
        engine: &mut Engine,
        words: &[String],
    ) -> Result<Option<Vec<Vec<f32>>>, EngineError> {
        let Some(storage) = ModelCache::named(STORAGE).await else {
            return Ok(None);
        };
        let model = engine.fingerprint().await?;
        let Some(bytes) = storage.get(&file_name(&model)).await else {
            return Ok(None);
        };
        let Some((origin, values)) = bytes.split_at_checked(HASH) else {
            return Ok(None);
        };
        let values: Vec<f32> = (values.as_chunks().0.iter())
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        let mut rows = values.chunks(model.embed_dim().max(1)).map(<[f32]>::to_vec);
        let [image, text] = [rows.next(), rows.next()].map(Option::unwrap_or_default);
        let name = model.name.clone();
        let kept = ModelFingerprint { name, image, text };
        let features: Vec<Vec<f32>> = rows.collect();
        let usable = origin == self.origin(words).as_bytes()
            && model.matches(&kept)
            && features.len() == words.len()
            && features.iter().all(|row| row.len() == model.embed_dim());
        Ok(usable.then_some(features))
    }

    /// Keeps features. Without room the next visit encodes the words again.
    async fn write(
        &self,
        engine: &mut Engine,
        words: &[String],
        features: &[Vec<f32>],
    ) -> Result<(), EngineError> {
        if let Some(storage) = ModelCache::named(STORAGE).await {
            let model = engine.fingerprint().await?;
            let mut bytes = self.origin(words).into_bytes();
            let rows = [&model.image, &model.text].into_iter().chain(features);
            bytes.extend(rows.flatten().flat_map(|value| value.to_le_bytes()));
            let _ = storage.put(&file_name(&model), &bytes).await;
        }
        Ok(())
    }
}

/// Name of the file of a model.
fn file_name(model: &ModelFingerprint) -> String {
    file_hash(model.name.as_bytes())[..20].to_owned()
}
