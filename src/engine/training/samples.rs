//! Training pictures: files, pixels and features.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{EventAttachments, Host, HostError, TrainingError};
use crate::diagnostic::{ToDiagnostic, diagnostic};
use crate::engine::Engine;
use crate::engine::messages::{SampleId, SampleReading, TrainingEvent};
use crate::preprocess::{DecodedImage, decode};

/// Prefix of a stored sample's name.
const FILE_PREFIX: &str = "sample-";
/// Minimum time between reports of files read.
const INTERVAL_MS: f64 = 150.0;
/// Encoder batch size: large enough to keep a device busy, small enough to cancel in
/// between.
const ENCODE_BATCH: usize = 16;
/// Limit of the pixel cache: a picture is used many times, and decoding takes longer than
/// a step.
const MAX_PIXEL_BYTES: usize = 256 << 20;

pub struct SampleStore<F> {
    files: BTreeMap<SampleId, F>,
    /// Samples that are not stored yet.
    unstored: VecDeque<SampleId>,
    /// Samples for which there was no space.
    refused: Vec<SampleId>,
    unread: VecDeque<SampleId>,
    readings: Vec<SampleReading>,
    last_report: f64,
    /// Features of the engine's original model.
    features: HashMap<SampleId, Vec<f32>>,
    /// Name of that model.
    model_name: String,
    pixels: HashMap<SampleId, Vec<f32>>,
    /// Values in all of `pixels`.
    cached_values: usize,
    warned: bool,
}

impl<F> Default for SampleStore<F> {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            unstored: VecDeque::new(),
            refused: Vec::new(),
            unread: VecDeque::new(),
            readings: Vec::new(),
            last_report: 0.0,
            features: HashMap::new(),
            model_name: String::new(),
            pixels: HashMap::new(),
            cached_values: 0,
            warned: false,
        }
    }
}

fn file_name(sample: SampleId) -> String {
    format!("{FILE_PREFIX}{sample}")
}

impl<F: Clone> SampleStore<F> {
    /// Samples that an earlier visit stored, with their files.
    pub async fn restore<H: Host<File = F>>(&mut self, host: &H) -> (Vec<SampleId>, Vec<F>) {
        let mut found: Vec<SampleId> = (host.names().await.iter())
            .filter_map(|name| name.strip_prefix(FILE_PREFIX)?.parse().ok())
            .collect();
        found.sort_unstable();
        let (mut samples, mut files) = (Vec::new(), Vec::new());
        for sample in found {
            if let Some(file) = host.file(&file_name(sample)).await {
                self.files.insert(sample, file.clone());
                samples.push(sample);
                files.push(file);
            }
        }
        (samples, files)
    }

    /// Lets those be stored that could not be before: there may be space now.
    pub fn try_again(&mut self) {
        self.unstored.extend(self.refused.drain(..));
    }

    pub fn add(&mut self, samples: Vec<SampleId>, files: Vec<F>) {
        for (sample, file) in samples.into_iter().zip(files) {
            self.files.insert(sample, file);
            self.unstored.push_back(sample);
            self.unread.push_back(sample);
        }
    }

    pub async fn remove<H: Host<File = F>>(&mut self, host: &H, samples: Vec<SampleId>) {
        for sample in samples {
            self.files.remove(&sample);
            self.features.remove(&sample);
            if let Some(pixels) = self.pixels.remove(&sample) {
                self.cached_values -= pixels.len();
            }
            self.unstored.retain(|id| *id != sample);
            self.refused.retain(|id| *id != sample);
            self.unread.retain(|id| *id != sample);
            host.delete(&file_name(sample)).await;
        }
    }

    pub fn unread(&self) -> bool {
        !self.unstored.is_empty() || !self.unread.is_empty() || !self.readings.is_empty()
    }

    /// Stores one pending file, or reads one once all are stored: the page may be closed the next moment.
    /// `false` if there is none.
    pub async fn store_or_read_one<H: Host<File = F>>(&mut self, host: &H) -> bool {
        if let Some(sample) = self.unstored.pop_front() {
            self.store(host, sample).await;
            return true;
        }
        if let Some(sample) = self.unread.pop_front()
            && let Some(file) = self.files.get(&sample).cloned()
        {
            let file = self.examine(host, sample, &file).await;
            let file = file.map_err(|error| error.to_diagnostic());
            self.readings.push(SampleReading { sample, file });
        }
        let due = self.unread.is_empty() || host.now() - self.last_report > INTERVAL_MS;
        if self.readings.is_empty() {
            return false;
        }
        if due {
            self.last_report = host.now();
            let samples = std::mem::take(&mut self.readings);
            host.emit(
                TrainingEvent::SamplesRead { samples },
                EventAttachments::Nothing,
            );
        }
        true
    }

    /// Stores a file, if it can be read.
    async fn store<H: Host<File = F>>(&mut self, host: &H, sample: SampleId) {
        let name = file_name(sample);
        // A restarted worker gets samples again that are stored already.
        if let Some(file) = self.files.get(&sample).cloned()
            && host.file(&name).await.is_none()
            && let Ok(bytes) = host.read(&file).await
        {
            match host.put(&name, &bytes).await {
                Ok(()) => {
                    self.warned &= !self.refused.is_empty();
                    // Used from here on: the visitor may delete the original.
                    if let Some(stored) = host.file(&name).await {
                        self.files.insert(sample, stored);
                    }
                }
                Err(why) => {
                    if let HostError::StorageFull = why {
                        // Nor is there for the others.
                        self.refused.push(sample);
                        self.refused.extend(self.unstored.drain(..));
                    }
                    self.report_storage_error(host, &why);
                }
            }
        }
    }

    /// Decodes a file and returns its hash. One that is no image is not kept.
    async fn examine<H: Host<File = F>>(
        &mut self,
        host: &H,
        sample: SampleId,
        file: &F,
    ) -> Result<String, TrainingError> {
        let bytes = host.read(file).await?;
        if let Err(error) = decode(&bytes) {
            host.delete(&file_name(sample)).await;
            self.refused.retain(|id| *id != sample);
            return Err(error.into());
        }
        Ok(fingerprint(&bytes))
    }

    /// Reported once, until something can be stored again.
    pub fn report_storage_error<H: Host<File = F>>(&mut self, host: &H, why: &HostError) {
        if !std::mem::replace(&mut self.warned, true) {
            let text = diagnostic!(
                "images-not-stored",
                "This browser cannot store the images ({reason}). Keep this page open until you have exported the result.",
                reason = why
            );
            host.emit(TrainingEvent::Remark { text }, EventAttachments::Nothing);
        }
    }

    /// Drops features and pixels of another model.
    fn invalidate_for(&mut self, engine: &Engine) {
        let name = &engine.model_info().name;
        if self.model_name != *name {
            self.model_name.clone_from(name);
            self.features.clear();
            self.pixels.clear();
            self.cached_values = 0;
        }
    }

    /// Preprocessed pixels.
    pub async fn pixels<H: Host<File = F>>(
        &mut self,
        host: &H,
        engine: &Engine,
        sample: SampleId,
    ) -> Result<Vec<f32>, TrainingError> {
        self.invalidate_for(engine);
        if let Some(pixels) = self.pixels.get(&sample) {
            return Ok(pixels.clone());
        }
        let file = (self.files.get(&sample)).ok_or(TrainingError::NoImage(sample))?;
        let bytes = host.read(file).await?;
        let picture = decode(&bytes)?;
        Ok(self.prepare(sample, &picture, engine))
    }

    /// Preprocesses a picture, and keeps its pixels while there is room.
    pub fn prepare(
        &mut self,
        sample: SampleId,
        picture: &DecodedImage,
        engine: &Engine,
    ) -> Vec<f32> {
        self.invalidate_for(engine);
        let pixels = engine.pixels(picture);
        if (self.cached_values + pixels.len()) * size_of::<f32>() <= MAX_PIXEL_BYTES {
            self.cached_values += pixels.len();
            self.pixels.insert(sample, pixels.clone());
        }
        pixels
    }

    /// Encodes the next batch of `samples` without features; returns its size. An
    /// unreadable picture is an error.
    pub async fn encode_next_batch<H: Host<File = F>>(
        &mut self,
        host: &H,
        engine: &Engine,
        samples: &[SampleId],
    ) -> Result<usize, TrainingError> {
        self.invalidate_for(engine);
        let batch: Vec<SampleId> = (samples.iter().copied())
            .filter(|sample| !self.features.contains_key(sample))
            .take(ENCODE_BATCH)
            .collect();
        let mut pixels = Vec::with_capacity(batch.len());
        for sample in &batch {
            pixels.push(self.pixels(host, engine, *sample).await?);
        }
        let features = engine.image_features(&pixels).await?;
        let count = batch.len();
        self.features.extend(batch.into_iter().zip(features));
        Ok(count)
    }

    pub fn features(&self, sample: SampleId) -> Option<&Vec<f32>> {
        self.features.get(&sample)
    }

    /// Number of encoded samples among these.
    pub fn encoded(&self, samples: &[SampleId]) -> usize {
        (samples.iter())
            .filter(|sample| self.features.contains_key(sample))
            .count()
    }
}

/// 128-bit hash, in hexadecimal.
fn fingerprint(bytes: &[u8]) -> String {
    let [a, b] = [0u8, 1].map(|salt| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        bytes.hash(&mut hasher);
        hasher.finish()
    });
    format!("{a:016x}{b:016x}")
}
