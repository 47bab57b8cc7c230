//! Pictures to learn from: where their files are, what their bytes are, what
//! the model makes of them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Beside, Host};
use crate::engine::Engine;
use crate::engine::messages::{SampleId, SampleReading, TrainingEvent};
use crate::preprocess::decode;

/// Before the number of a sample that is kept.
const KEPT: &str = "sample-";
/// Milliseconds between two words about files that were read.
const PACE: f64 = 150.0;
/// Pictures encoded at once: enough to keep a device busy, few enough to stop
/// between.
const BATCH: usize = 16;
/// Prepared pictures are held in memory up to so many bytes: a picture is learnt
/// from many times, and reading its file takes longer than a step does.
const HELD: usize = 256 << 20;

pub struct Samples<F> {
    files: BTreeMap<SampleId, F>,
    unread: VecDeque<SampleId>,
    readings: Vec<SampleReading>,
    told: f64,
    /// Features by the engine's own model.
    features: HashMap<SampleId, Vec<f32>>,
    /// Name of that model.
    of_model: String,
    pixels: HashMap<SampleId, Vec<f32>>,
    /// Numbers in all of `pixels`.
    held: usize,
    complained: bool,
}

impl<F> Default for Samples<F> {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            unread: VecDeque::new(),
            readings: Vec::new(),
            told: 0.0,
            features: HashMap::new(),
            of_model: String::new(),
            pixels: HashMap::new(),
            held: 0,
            complained: false,
        }
    }
}

fn kept_name(sample: SampleId) -> String {
    format!("{KEPT}{sample}")
}

impl<F: Clone> Samples<F> {
    /// Samples that an earlier visit kept, and their files.
    pub async fn restore<H: Host<File = F>>(&mut self, host: &H) -> (Vec<SampleId>, Vec<F>) {
        let mut found: Vec<SampleId> = (host.names().await.iter())
            .filter_map(|name| name.strip_prefix(KEPT)?.parse().ok())
            .collect();
        found.sort_unstable();
        let (mut samples, mut files) = (Vec::new(), Vec::new());
        for sample in found {
            if let Some(file) = host.file(&kept_name(sample)).await {
                self.files.insert(sample, file.clone());
                samples.push(sample);
                files.push(file);
            }
        }
        (samples, files)
    }

    pub fn add(&mut self, samples: Vec<SampleId>, files: Vec<F>) {
        for (sample, file) in samples.into_iter().zip(files) {
            self.files.insert(sample, file);
            self.unread.push_back(sample);
        }
    }

    pub async fn remove<H: Host<File = F>>(&mut self, host: &H, samples: Vec<SampleId>) {
        for sample in samples {
            self.files.remove(&sample);
            self.features.remove(&sample);
            if let Some(pixels) = self.pixels.remove(&sample) {
                self.held -= pixels.len();
            }
            self.unread.retain(|waiting| *waiting != sample);
            host.delete(&kept_name(sample)).await;
        }
    }

    pub fn unread(&self) -> bool {
        !self.unread.is_empty() || !self.readings.is_empty()
    }

    /// Reads one file that waits; `false` when there is none.
    pub async fn read_one<H: Host<File = F>>(&mut self, host: &H) -> bool {
        if let Some(sample) = self.unread.pop_front()
            && let Some(file) = self.files.get(&sample).cloned()
        {
            let file = self.examine(host, sample, &file).await;
            self.readings.push(SampleReading { sample, file });
        }
        let due = self.unread.is_empty() || host.now() - self.told > PACE;
        if self.readings.is_empty() {
            return false;
        }
        if due {
            self.told = host.now();
            let samples = std::mem::take(&mut self.readings);
            host.say(TrainingEvent::SamplesRead { samples }, Beside::Nothing);
        }
        true
    }

    /// Whether a file is a picture, and its fingerprint; keeps it.
    async fn examine<H: Host<File = F>>(
        &mut self,
        host: &H,
        sample: SampleId,
        file: &F,
    ) -> Result<String, String> {
        let bytes = host.read(file).await?;
        decode(&bytes).map_err(|error| error.to_string())?;
        let name = kept_name(sample);
        // A fresh worker is told of samples that the one before kept.
        if host.file(&name).await.is_none() {
            match host.put(&name, &bytes).await {
                Ok(()) => {
                    // From here on: a file that the visitor deletes is no loss.
                    if let Some(kept) = host.file(&name).await {
                        self.files.insert(sample, kept);
                    }
                }
                Err(why) => self.cannot_keep(host, &why),
            }
        }
        Ok(fingerprint(&bytes))
    }

    /// Said once: the rest goes on.
    pub fn cannot_keep<H: Host<File = F>>(&mut self, host: &H, why: &str) {
        if !std::mem::replace(&mut self.complained, true) {
            let text = format!(
                "This browser cannot store the images ({why}). Keep this page open until you have exported the result."
            );
            host.say(TrainingEvent::Remark { text }, Beside::Nothing);
        }
    }

    /// Pictures that were looked at with another model mean nothing to this one.
    fn belong_to(&mut self, engine: &Engine) {
        let name = &engine.model_info().name;
        if self.of_model != *name {
            self.of_model.clone_from(name);
            self.features.clear();
            self.pixels.clear();
            self.held = 0;
        }
    }

    /// A picture as the model sees it.
    pub async fn pixels<H: Host<File = F>>(
        &mut self,
        host: &H,
        engine: &Engine,
        sample: SampleId,
    ) -> Result<Vec<f32>, String> {
        self.belong_to(engine);
        if let Some(pixels) = self.pixels.get(&sample) {
            return Ok(pixels.clone());
        }
        let gone = || format!("image {sample} no longer exists");
        let file = self.files.get(&sample).ok_or_else(gone)?;
        let bytes = host.read(file).await?;
        let picture = decode(&bytes).map_err(|error| error.to_string())?;
        let pixels = engine.pixels(&picture);
        if (self.held + pixels.len()) * size_of::<f32>() <= HELD {
            self.held += pixels.len();
            self.pixels.insert(sample, pixels.clone());
        }
        Ok(pixels)
    }

    /// Encodes the first of `samples` whose features are not known, one batch of
    /// them; returns how many. A picture that cannot be read any more is an error.
    pub async fn encode_some<H: Host<File = F>>(
        &mut self,
        host: &H,
        engine: &Engine,
        samples: &[SampleId],
    ) -> Result<usize, String> {
        self.belong_to(engine);
        let batch: Vec<SampleId> = (samples.iter().copied())
            .filter(|sample| !self.features.contains_key(sample))
            .take(BATCH)
            .collect();
        let mut pixels = Vec::with_capacity(batch.len());
        for sample in &batch {
            pixels.push(self.pixels(host, engine, *sample).await?);
        }
        let features = engine
            .image_features(&pixels)
            .await
            .map_err(|e| e.to_string())?;
        let count = batch.len();
        self.features.extend(batch.into_iter().zip(features));
        Ok(count)
    }

    pub fn features(&self, sample: SampleId) -> Option<&Vec<f32>> {
        self.features.get(&sample)
    }

    /// How many of these are known.
    pub fn encoded(&self, samples: &[SampleId]) -> usize {
        (samples.iter())
            .filter(|sample| self.features.contains_key(sample))
            .count()
    }
}

/// Of 128 bits, as text.
fn fingerprint(bytes: &[u8]) -> String {
    let [a, b] = [0u8, 1].map(|salt| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        bytes.hash(&mut hasher);
        hasher.finish()
    });
    format!("{a:016x}{b:016x}")
}
