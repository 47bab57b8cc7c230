//! Library of the page, in the worker: the index of a folder, kept in the browser's
//! storage, with search, duplicates and sorting.

use std::collections::{HashMap, VecDeque};

use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use super::Engine;
use super::messages::{KeptIndex, LibraryEvent, LibraryRequest, SearchTerm};
use crate::hub::cache::{CacheError, ModelCache};
use crate::library::{
    Entry, FileStamp, Group, ImageFacts, Index, IndexSummary, Skipped, combine, duplicates,
    file_hash,
};
use crate::preprocess::decode;

/// Name of the storage.
const STORAGE: &str = "library";
/// Time between two writes of a growing index, and between two reports of progress.
const SAVE_EVERY_MS: f64 = 20_000.0;
const REPORT_EVERY_MS: f64 = 200.0;
/// Images encoded in one unit of work.
const BATCH: usize = 4;
/// Skipped files that are named in a report.
const NAMED: usize = 100;

/// Open index, if any, and the storage.
pub struct Library {
    emit: Box<dyn Fn(LibraryEvent)>,
    now: fn() -> f64,
    open: Option<OpenFolder>,
}

struct OpenFolder {
    index: Index,
    /// Name in the storage.
    key: String,
    /// Which of its two copies is written next: the other one stays whole meanwhile.
    slot: u32,
    files: HashMap<String, File>,
    waiting: VecDeque<FileStamp>,
    total: usize,
    images: Vec<(Entry, Vec<f32>)>,
    skipped: Vec<Skipped>,
    /// Files that could not be read this time.
    unread: Vec<(String, String)>,
    paused: bool,
    saved_ms: f64,
    reported_ms: f64,
}

impl Library {
    /// Without an open index. Events go to `emit`; `now` is in milliseconds.
    pub fn new(emit: Box<dyn Fn(LibraryEvent)>, now: fn() -> f64) -> Self {
        Self {
            emit,
            now,
            open: None,
        }
    }

    /// Handles a request. `files` are its attachments.
    pub async fn handle(
        &mut self,
        request: LibraryRequest,
        files: Vec<File>,
        engine: Option<&mut Engine>,
    ) {
        let result = match request {
            LibraryRequest::List => {
                self.list().await;
                Ok(())
            }
            LibraryRequest::Delete { key } => {
                self.delete(&key).await;
                self.list().await;
                Ok(())
            }
            LibraryRequest::Close => {
                self.close().await;
                Ok(())
            }
            LibraryRequest::Pause(paused) => {
                if let Some(folder) = &mut self.open {
                    folder.paused = paused;
                    if paused {
                        self.save().await;
                    }
                }
                Ok(())
            }
            request => match engine {
                Some(engine) => self.handle_with(request, files, engine).await,
                None => Err("no model is loaded".into()),
            },
        };
        if let Err(error) = result {
            (self.emit)(LibraryEvent::Failed { error });
        }
    }

    async fn handle_with(
        &mut self,
        request: LibraryRequest,
        files: Vec<File>,
        engine: &mut Engine,
    ) -> Result<(), String> {
        if let LibraryRequest::Open {
            folder,
            files: stamps,
        } = request
        {
            return self.open(folder, stamps, files, engine).await;
        }
        let folder = self.open.as_mut().ok_or("no folder is open")?;
        folder.index_pending();
        let event = match request {
            LibraryRequest::Search { number, terms, top } => LibraryEvent::Found {
                number,
                hits: search(&folder.index, &terms, top as usize, engine).await?,
            },
            LibraryRequest::Duplicates { similar } => {
                let found = duplicates(&folder.index, similar);
                let paths = |groups: &[Group]| {
                    (groups.iter())
                        .map(|group| group.paths(&folder.index))
                        .collect()
                };
                LibraryEvent::Duplicates {
                    identical: paths(&found.identical),
                    near_identical: paths(&found.near_identical),
                    similar: paths(&found.similar),
                }
            }
            LibraryRequest::Sort { labels, templates } => {
                let images = sort(&folder.index, &labels, &templates, engine).await?;
                LibraryEvent::Sorted { labels, images }
            }
            _ => return Ok(()),
        };
        (self.emit)(event);
        Ok(())
    }

    async fn open(
        &mut self,
        name: String,
        stamps: Vec<FileStamp>,
        files: Vec<File>,
        engine: &mut Engine,
    ) -> Result<(), String> {
        self.close().await;
        let model = engine.fingerprint().await.map_err(|e| e.to_string())?;
        let key = file_hash(format!("{name}\n{}", model.name).as_bytes())[..20].to_owned();
        let mut slot = 0;
        let mut index = Index::new(name, model.clone());
        if let Some(storage) = ModelCache::named(STORAGE).await {
            for (number, copy) in [0, 1].map(|slot| (slot, slot_name(&key, slot))) {
                let Some(bytes) = storage.get(&copy).await else {
                    continue;
                };
                // A damaged or older copy is replaced; one of other weights is of no use.
                if let Ok(kept) = Index::read(&bytes)
                    && kept.model().matches(&model)
                    && kept.entries().len() >= index.entries().len()
                {
                    (index, slot) = (kept, 1 - number);
                }
            }
        }
        let files = (stamps.iter())
            .map(|stamp| stamp.path.clone())
            .zip(files)
            .collect();
        let (waiting, _) = index.sync(stamps);
        let mut folder = OpenFolder {
            index,
            key,
            slot,
            files,
            total: waiting.len(),
            waiting: waiting.into(),
            images: Vec::new(),
            skipped: Vec::new(),
            unread: Vec::new(),
            paused: false,
            saved_ms: (self.now)(),
            reported_ms: 0.0,
        };
        folder.report(&*self.emit, (self.now)());
        self.open = Some(folder);
        Ok(())
    }

    /// Closes the index because features change; the page is told.
    pub async fn model_changed(&mut self) {
        if self.open.is_some() {
            self.close().await;
            (self.emit)(LibraryEvent::Closed);
        }
    }

    async fn close(&mut self) {
        self.save().await;
        self.open = None;
    }

    /// One unit of work; `false` if there is none.
    pub async fn work(&mut self, engine: &Engine) -> bool {
        let now = self.now;
        let Some(folder) = self.open.as_mut().filter(|folder| !folder.paused) else {
            return false;
        };
        if folder.waiting.is_empty() {
            return false;
        }
        let (mut batch, mut pixels) = (Vec::new(), Vec::new());
        while batch.len() < BATCH
            && let Some(stamp) = folder.waiting.pop_front()
        {
            let Some(file) = folder.files.get(&stamp.path) else {
                continue;
            };
            let Ok(buffer) = JsFuture::from(file.array_buffer()).await else {
                let why = "it could not be read: it has been moved or changed".to_owned();
                folder.unread.push((stamp.path, why));
                continue;
            };
            let bytes = Uint8Array::new(&buffer).to_vec();
            match decode(&bytes) {
                Ok(picture) => {
                    pixels.push(engine.pixels(&picture));
                    batch.push(Entry {
                        file: stamp,
                        image: ImageFacts::new(&bytes, &picture),
                    });
                }
                Err(error) => folder.skipped.push(Skipped {
                    file: stamp,
                    reason: error.to_string(),
                }),
            }
        }
        if !pixels.is_empty() {
            match engine.image_features(&pixels).await {
                Ok(features) => folder.images.extend(batch.into_iter().zip(features)),
                Err(error) => {
                    folder.paused = true;
                    (self.emit)(LibraryEvent::Failed {
                        error: error.to_string(),
                    });
                    return true;
                }
            }
        }
        let ended = folder.waiting.is_empty();
        if ended || now() - folder.saved_ms > SAVE_EVERY_MS {
            self.save().await;
        }
        if let Some(folder) = &mut self.open
            && (ended || now() - folder.reported_ms > REPORT_EVERY_MS)
        {
            folder.report(&*self.emit, now());
        }
        if ended {
            self.list().await;
        }
        true
    }

    /// Writes the index into the storage, if there is something new.
    async fn save(&mut self) {
        let Some(folder) = &mut self.open else {
            return;
        };
        folder.saved_ms = (self.now)();
        if folder.images.is_empty() && folder.skipped.is_empty() {
            return;
        }
        folder.index_pending();
        let Some(storage) = ModelCache::named(STORAGE).await else {
            return;
        };
        let written = match folder.index.write() {
            Ok(bytes) => {
                let name = slot_name(&folder.key, folder.slot);
                storage
                    .put(&name, &bytes)
                    .await
                    .map_err(|error| match error {
                        CacheError::Full => {
                            "the browser's storage is full: the index is used, but not kept".into()
                        }
                        CacheError::Other(why) => format!("the index could not be kept ({why})"),
                    })
            }
            Err(error) => Err(error.to_string()),
        };
        match written {
            Ok(()) => {
                folder.slot = 1 - folder.slot;
                // The older copy.
                storage.delete(&slot_name(&folder.key, folder.slot)).await;
            }
            Err(error) => (self.emit)(LibraryEvent::Failed { error }),
        }
    }

    async fn list(&self) {
        let mut kept: Vec<KeptIndex> = Vec::new();
        if let Some(storage) = ModelCache::named(STORAGE).await {
            for name in storage.names().await {
                let Some((key, _)) = name.rsplit_once('-') else {
                    continue;
                };
                if let Some(index) = kept_index(&storage, &name, key).await {
                    kept.retain(|known| known.key != key);
                    kept.push(index);
                }
            }
        }
        kept.sort_by(|a, b| (&a.folder, &a.model).cmp(&(&b.folder, &b.model)));
        (self.emit)(LibraryEvent::Kept(kept));
    }

    async fn delete(&mut self, key: &str) {
        if self.open.as_ref().is_some_and(|folder| folder.key == key) {
            self.open = None;
        }
        if let Some(storage) = ModelCache::named(STORAGE).await {
            for slot in [0, 1] {
                storage.delete(&slot_name(key, slot)).await;
            }
        }
    }
}

/// What the list says of a kept index: by the first bytes of its file, or by all of them
/// if an earlier version wrote it.
async fn kept_index(storage: &ModelCache, name: &str, key: &str) -> Option<KeptIndex> {
    let file = storage.handle(name).await?;
    let beginning = async |length: usize| -> Option<Vec<u8>> {
        let part = file.slice_with_f64_and_f64(0.0, length as f64).ok()?;
        let buffer = JsFuture::from(part.array_buffer()).await.ok()?;
        Some(Uint8Array::new(&buffer).to_vec())
    };
    let first = *beginning(8).await?.first_chunk()?;
    let beginning = beginning(IndexSummary::length(first)?).await?;
    let summary = match IndexSummary::read(&beginning) {
        Some(summary) => summary,
        None => {
            let index = Index::read(&storage.get(name).await?).ok()?;
            IndexSummary {
                folder: index.folder().into(),
                model: index.model().name.clone(),
                images: index.entries().len(),
            }
        }
    };
    Some(KeptIndex {
        key: key.into(),
        folder: summary.folder,
        model: summary.model,
        images: summary.images as u32,
        bytes: file.size() as u64,
    })
}

fn slot_name(key: &str, slot: u32) -> String {
    format!("{key}-{slot}")
}

impl OpenFolder {
    /// Moves what was encoded into the index.
    fn index_pending(&mut self) {
        if !self.images.is_empty() || !self.skipped.is_empty() {
            let images = std::mem::take(&mut self.images);
            self.index.extend(images, std::mem::take(&mut self.skipped));
        }
    }

    fn report(&mut self, emit: &dyn Fn(LibraryEvent), now_ms: f64) {
        self.reported_ms = now_ms;
        let all = [self.index.skipped(), &self.skipped];
        let reasons = (all.into_iter().flatten())
            .map(|skipped| (skipped.file.path.clone(), skipped.reason.clone()))
            .chain(self.unread.iter().cloned());
        emit(LibraryEvent::Progress {
            done: (self.total - self.waiting.len()) as u32,
            total: self.total as u32,
            images: (self.index.entries().len() + self.images.len()) as u32,
            skipped: reasons.take(NAMED).collect(),
            skipped_count: (all.map(<[Skipped]>::len).iter().sum::<usize>() + self.unread.len())
                as u32,
        });
    }
}

/// The nearest images, without those that were asked with and their copies.
async fn search(
    index: &Index,
    terms: &[SearchTerm],
    top: usize,
    engine: &mut Engine,
) -> Result<Vec<(String, f32)>, String> {
    let mut features = Vec::new();
    let mut asked_with = Vec::new();
    for term in terms {
        let known = match term.image {
            true => {
                let place = (index.find(&term.text))
                    .ok_or_else(|| format!("{} is not in the index", term.text))?;
                asked_with.push(index.entries()[place].image.sha256.clone());
                index.features_of(place)
            }
            false => {
                let found = (engine.text_features(std::slice::from_ref(&term.text)).await)
                    .map_err(|error| error.to_string())?;
                (found.into_iter().next()).map_or(Vec::new(), |found| found.features)
            }
        };
        features.push((term.sign, known));
    }
    let query = combine(&features).ok_or("the terms of the query cancel each other out")?;
    let hits = index.search(&query, top, -1.0, |entry| {
        !asked_with.contains(&index.entries()[entry].image.sha256)
    });
    Ok((hits.into_iter())
        .map(|hit| (index.entries()[hit.entry].file.path.clone(), hit.score))
        .collect())
}

/// Path, best label and its probability for each image.
async fn sort(
    index: &Index,
    labels: &[String],
    templates: &[String],
    engine: &mut Engine,
) -> Result<Vec<(String, u32, f32)>, String> {
    let classifier = (engine.classifier(labels, templates).await).map_err(|e| e.to_string())?;
    let scale = engine.logit_scale().exp();
    let best = index.best_labels(&classifier, scale).unwrap_or_default();
    Ok((index.entries().iter().zip(best))
        .map(|(entry, (label, probability))| (entry.file.path.clone(), label as u32, probability))
        .collect())
}
