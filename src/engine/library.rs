//! Library of the page, in the worker: the index of a folder, kept in the browser's
//! storage, with search, duplicates and sorting.

use std::collections::{HashMap, VecDeque};

use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use super::Engine;
use super::decoder::{DecodedFile, DecoderPool, Unusable, prepare};
use super::messages::{LibraryEvent, LibraryRequest, SearchTerm, StoredIndex, TermKind};
use super::web_lock::WebLock;
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::hub::cache::{CacheError, ModelCache};
use crate::library::{
    Cluster, Entry, FileStamp, Filter, Group, ImageFacts, Index, IndexSummary, Skipped,
    cluster_words, clusters, combine, duplicates, file_hash, vocabulary,
};
use crate::preprocess::PreprocessConfig;
use crate::zero_shot::DEFAULT_TEMPLATE;

/// Name of the storage.
const STORAGE: &str = "library";
/// Least time between two writes of a growing index, and share of the time that they may
/// take.
const SAVE_EVERY_MS: f64 = 5_000.0;
const SAVE_SHARE: f64 = 0.05;
/// Time between two reports of progress.
const REPORT_EVERY_MS: f64 = 200.0;
/// Images encoded in one unit of work.
const BATCH: usize = 4;
/// Files from which on they are decoded in several workers.
const MANY: usize = 8;
/// Longest time without a look at the page's messages, beside that of encoding.
const PATIENCE_MS: u32 = 50;
/// Files that were searched with and are not encoded again.
const ASKED_FILES: usize = 16;
/// Skipped files that are named in a report.
const NAMED: usize = 100;

/// Open index, if any, and the storage.
pub struct Library {
    emit: Box<dyn Fn(LibraryEvent)>,
    now: fn() -> f64,
    open: Option<OpenFolder>,
    /// Features of image files that were searched with, the latest last.
    asked_files: Vec<(FileStamp, Vec<f32>)>,
}

struct OpenFolder {
    index: Index,
    /// Name in the storage.
    key: String,
    /// Which of its two copies is written next: the other one stays whole meanwhile.
    slot: u32,
    /// One tab at a time keeps an index: two would replace each other's.
    lock: WebLock,
    /// Whether the index has changed since it was written.
    unsaved: bool,
    files: HashMap<String, File>,
    waiting: VecDeque<FileStamp>,
    decoders: Decoders,
    /// Number of files that the decoders have.
    decoding: usize,
    total: usize,
    images: Vec<(Entry, Vec<f32>)>,
    skipped: Vec<Skipped>,
    /// Files that could not be read this time.
    unread: Vec<(String, Diagnostic)>,
    paused: bool,
    /// When the index was written last, and how long it took.
    saved_ms: f64,
    save_took_ms: f64,
    reported_ms: f64,
}

/// Where files are decoded.
enum Decoders {
    NotStarted,
    /// Beside the engine.
    Pool(DecoderPool<FileStamp>),
    /// In the engine's own worker.
    Here,
}

impl Library {
    /// Without an open index. Events go to `emit`; `now` is in milliseconds.
    pub fn new(emit: Box<dyn Fn(LibraryEvent)>, now: fn() -> f64) -> Self {
        Self {
            emit,
            now,
            open: None,
            asked_files: Vec::new(),
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
                        folder.end_decoders();
                        self.save().await;
                    }
                }
                Ok(())
            }
            request => match engine {
                Some(engine) => self.handle_with(request, files, engine).await,
                None => Err(diagnostic!("no-model", "no model is loaded")),
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
    ) -> Result<(), Diagnostic> {
        if let LibraryRequest::Open { folder, paths } = request {
            let files = paths.into_iter().zip(files).collect();
            return self.open(folder, files, engine).await;
        }
        if let LibraryRequest::Search { .. } = &request {
            self.encode_files(&files, engine).await?;
        }
        let folder =
            (self.open.as_mut()).ok_or_else(|| diagnostic!("no-folder", "no folder is open"))?;
        folder.index_pending();
        let event = match request {
            LibraryRequest::Search {
                number,
                terms,
                top,
                filter,
            } => LibraryEvent::Found {
                number,
                hits: {
                    let files = files.iter().filter_map(|file| {
                        let stamp = stamp(file.name(), file);
                        let known = self.asked_files.iter().find(|(file, _)| *file == stamp);
                        known.map(|(_, features)| features.clone())
                    });
                    let index = &folder.index;
                    search(index, &terms, files, top as usize, &filter, engine).await?
                },
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
            LibraryRequest::Sort {
                labels,
                templates,
                filter,
            } => {
                let images = sort(&folder.index, &labels, &templates, &filter, engine).await?;
                LibraryEvent::Sorted { labels, images }
            }
            LibraryRequest::Cluster { count, filter } => {
                let found = cluster(&folder.index, count, &filter);
                let labels: Vec<String> = (1..=found.len()).map(|n| format!("Group {n}")).collect();
                (self.emit)(LibraryEvent::Sorted {
                    labels: labels.clone(),
                    images: cluster_images(&folder.index, &found),
                });
                let names = cluster_names(&found, engine).await?;
                let labels = labels.into_iter().zip(names).collect();
                LibraryEvent::Named { labels }
            }
            _ => return Ok(()),
        };
        (self.emit)(event);
        Ok(())
    }

    /// Encodes image files that are searched with, unless they are known.
    async fn encode_files(&mut self, files: &[File], engine: &Engine) -> Result<(), Diagnostic> {
        for file in files {
            let stamp = stamp(file.name(), file);
            if self.asked_files.iter().any(|(known, _)| *known == stamp) {
                continue;
            }
            let image = prepare(file, engine.preprocess()).await;
            let image = image.map_err(|error| {
                let path = &stamp.path;
                diagnostic!("file-unusable", "{path}: {reason}", path, reason = error)
            })?;
            let features = engine.image_features(&[image.pixels]).await;
            let features = features.map_err(|error| error.to_diagnostic())?;
            self.asked_files.push((stamp, features.concat()));
            if self.asked_files.len() > ASKED_FILES {
                self.asked_files.remove(0);
            }
        }
        Ok(())
    }

    async fn open(
        &mut self,
        name: String,
        files: HashMap<String, File>,
        engine: &mut Engine,
    ) -> Result<(), Diagnostic> {
        self.close().await;
        let model = engine.fingerprint().await.map_err(|e| e.to_diagnostic())?;
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
        let stamps = files.iter().map(|(path, file)| stamp(path.clone(), file));
        let (waiting, gone) = index.sync(stamps.collect());
        let mut folder = OpenFolder {
            index,
            lock: WebLock::request(&format!("clip.library.{key}")),
            unsaved: gone > 0,
            key,
            slot,
            files,
            total: waiting.len(),
            waiting: waiting.into(),
            decoders: Decoders::NotStarted,
            decoding: 0,
            images: Vec::new(),
            skipped: Vec::new(),
            unread: Vec::new(),
            paused: false,
            saved_ms: (self.now)(),
            save_took_ms: 0.0,
            reported_ms: 0.0,
        };
        folder.report(&*self.emit, (self.now)());
        self.open = Some(folder);
        Ok(())
    }

    /// Closes the index because features change; the page is told.
    pub async fn model_changed(&mut self) {
        self.asked_files.clear();
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
        if folder.is_complete() {
            return false;
        }
        let (mut batch, mut pixels) = (Vec::new(), Vec::new());
        for DecodedFile { tag: file, image } in folder.decode(engine.preprocess(), now).await {
            match image {
                Ok(image) => {
                    batch.push(Entry {
                        file,
                        image: ImageFacts {
                            width: image.width,
                            height: image.height,
                            sha256: image.sha256,
                            difference_hash: image.difference_hash,
                            taken_ms: image.taken_ms,
                        },
                    });
                    pixels.push(image.pixels);
                }
                Err(Unusable::NoImage(reason)) => folder.skipped.push(Skipped { file, reason }),
                Err(error @ (Unusable::Unread | Unusable::Crashed)) => {
                    folder.unread.push((file.path, error.to_diagnostic()));
                }
            }
        }
        if !pixels.is_empty() {
            match engine.image_features(&pixels).await {
                Ok(features) => folder.images.extend(batch.into_iter().zip(features)),
                Err(error) => {
                    folder.paused = true;
                    (folder.waiting).extend(batch.into_iter().map(|entry| entry.file));
                    (self.emit)(LibraryEvent::Failed {
                        error: error.to_diagnostic(),
                    });
                    return true;
                }
            }
        }
        let ended = folder.is_complete();
        if ended {
            // Its workers hold memory.
            folder.end_decoders();
        }
        let save_every = SAVE_EVERY_MS.max(folder.save_took_ms / SAVE_SHARE);
        if ended || now() - folder.saved_ms > save_every {
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
        let start = (self.now)();
        folder.saved_ms = start;
        folder.index_pending();
        if !folder.unsaved || !folder.lock.is_held().await {
            return;
        }
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
                            diagnostic!("index-storage-full", "The browser's storage is full: the index is used, but not kept for later visits. Delete other indexes or models")
                        }
                        CacheError::Other(reason) => diagnostic!("index-not-kept", "The index could not be kept for later visits ({reason})", reason),
                    })
            }
            Err(error) => Err(error.to_string().into()),
        };
        match written {
            Ok(()) => {
                folder.unsaved = false;
                folder.saved_ms = (self.now)();
                folder.save_took_ms = folder.saved_ms - start;
                folder.slot = 1 - folder.slot;
                // The older copy.
                storage.delete(&slot_name(&folder.key, folder.slot)).await;
            }
            Err(error) => (self.emit)(LibraryEvent::NotKept { error }),
        }
    }

    async fn list(&self) {
        let mut kept: Vec<StoredIndex> = Vec::new();
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
        (self.emit)(LibraryEvent::StoredIndexes(kept));
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

fn stamp(path: String, file: &File) -> FileStamp {
    FileStamp {
        path,
        size: file.size() as u64,
        modified_ms: file.last_modified() as i64,
    }
}

/// What the list says of a kept index: by the first bytes of its file, or by all of them
/// if an earlier version wrote it.
async fn kept_index(storage: &ModelCache, name: &str, key: &str) -> Option<StoredIndex> {
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
    Some(StoredIndex {
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
            self.unsaved = true;
            let images = std::mem::take(&mut self.images);
            self.index.extend(images, std::mem::take(&mut self.skipped));
        }
    }

    /// Whether no file waits for anything.
    fn is_complete(&self) -> bool {
        self.waiting.is_empty() && self.decoding == 0
    }

    /// Some files that are decoded; none if that takes longer than [`PATIENCE_MS`].
    async fn decode(
        &mut self,
        config: &PreprocessConfig,
        now: fn() -> f64,
    ) -> Vec<DecodedFile<FileStamp>> {
        if matches!(self.decoders, Decoders::NotStarted) {
            self.decoders = match self.waiting.len() >= MANY {
                true => DecoderPool::start(config, now).map_or(Decoders::Here, Decoders::Pool),
                false => Decoders::Here,
            };
        }
        if let Decoders::Pool(pool) = &self.decoders {
            while let Some(stamp) = self.waiting.front()
                && let Some(file) = self.files.get(&stamp.path)
                && pool.has_room_for(file)
                && let Some(stamp) = self.waiting.pop_front()
            {
                self.decoding += 1;
                pool.send(stamp, file.clone());
            }
            pool.wait(PATIENCE_MS).await;
            let done = pool.take(BATCH);
            self.decoding -= done.len();
            if pool.is_broken() {
                self.end_decoders();
                self.decoders = Decoders::Here;
            }
            return done;
        }
        let mut done = Vec::new();
        while done.len() < BATCH
            && let Some(stamp) = self.waiting.pop_front()
        {
            if let Some(file) = self.files.get(&stamp.path) {
                let image = prepare(file, config).await;
                done.push(DecodedFile { tag: stamp, image });
            }
        }
        done
    }

    /// Ends the workers that decode; what they were at waits again.
    fn end_decoders(&mut self) {
        if let Decoders::Pool(pool) = std::mem::replace(&mut self.decoders, Decoders::NotStarted) {
            self.waiting.extend(pool.end());
            self.decoding = 0;
        }
    }

    fn report(&mut self, emit: &dyn Fn(LibraryEvent), now_ms: f64) {
        self.reported_ms = now_ms;
        let all = [self.index.skipped(), &self.skipped];
        let reasons = (all.into_iter().flatten())
            .map(|skipped| (skipped.file.path.clone(), skipped.reason.clone()))
            .chain(self.unread.iter().cloned());
        emit(LibraryEvent::Progress {
            done: (self.total - self.waiting.len() - self.decoding) as u32,
            total: self.total as u32,
            images: (self.index.entries().len() + self.images.len()) as u32,
            skipped: reasons.take(NAMED).collect(),
            skipped_count: (all.map(<[Skipped]>::len).iter().sum::<usize>() + self.unread.len())
                as u32,
        });
    }
}

/// The nearest images, without those of the index that were asked with and their copies.
/// `files` are the features of the terms that are files.
async fn search(
    index: &Index,
    terms: &[SearchTerm],
    mut files: impl Iterator<Item = Vec<f32>>,
    top: usize,
    filter: &Filter,
    engine: &mut Engine,
) -> Result<Vec<(String, f32)>, Diagnostic> {
    let mut features = Vec::new();
    let mut asked_with = Vec::new();
    for term in terms {
        let known = match term.kind {
            TermKind::Indexed => {
                let place = (index.find(&term.text)).ok_or_else(|| {
                    let path = &term.text;
                    diagnostic!("not-in-index", "{path} is not in the index", path)
                })?;
                asked_with.push(index.entries()[place].image.sha256.clone());
                index.features_of(place)
            }
            TermKind::File => files.next().ok_or_else(|| {
                diagnostic!("query-image-missing", "an image of the query is missing")
            })?,
            TermKind::Words => {
                let found = (engine.text_features(std::slice::from_ref(&term.text)).await)
                    .map_err(|error| error.to_diagnostic())?;
                (found.into_iter().next()).map_or(Vec::new(), |found| found.features)
            }
        };
        features.push((term.sign, known));
    }
    if terms.is_empty() {
        return Ok(newest(index, top, filter));
    }
    let query = combine(&features).ok_or_else(|| {
        diagnostic!(
            "query-cancels-out",
            "the terms of the query cancel each other out"
        )
    })?;
    let hits = index.search(&query, top, -1.0, |entry| {
        let entry = &index.entries()[entry];
        passes(filter, entry) && !asked_with.contains(&entry.image.sha256)
    });
    Ok((hits.into_iter())
        .map(|hit| (index.entries()[hit.entry].file.path.clone(), hit.score))
        .collect())
}

/// The images that pass, newest first.
fn newest(index: &Index, top: usize, filter: &Filter) -> Vec<(String, f32)> {
    let mut found: Vec<&Entry> = (index.entries().iter())
        .filter(|entry| passes(filter, entry))
        .collect();
    // A stable sort: images of one time stay in the order of their paths.
    found.sort_by_key(|entry| std::cmp::Reverse(entry.date_ms()));
    (found.into_iter().take(top))
        .map(|entry| (entry.file.path.clone(), 0.0))
        .collect()
}

/// Whether an image passes. Of labels only the page knows.
fn passes(filter: &Filter, entry: &Entry) -> bool {
    filter.passes(&entry.file.path, entry.date_ms(), None)
}

/// Path, best label and its probability for each image that passes.
async fn sort(
    index: &Index,
    labels: &[String],
    templates: &[String],
    filter: &Filter,
    engine: &mut Engine,
) -> Result<Vec<(String, u32, f32)>, Diagnostic> {
    let classifier = (engine.classifier(labels, templates).await).map_err(|e| e.to_diagnostic())?;
    let scoring = engine.scoring();
    let best = index.best_labels(&classifier, scoring).unwrap_or_default();
    Ok((index.entries().iter().zip(best))
        .filter(|(entry, _)| passes(filter, entry))
        .map(|(entry, (label, probability))| (entry.file.path.clone(), label as u32, probability))
        .collect())
}

/// Groups of similar images among those that pass.
fn cluster(index: &Index, count: Option<u32>, filter: &Filter) -> Vec<Cluster> {
    let entries: Vec<usize> = (index.entries().iter().enumerate())
        .filter(|(_, entry)| passes(filter, entry))
        .map(|(place, _)| place)
        .collect();
    clusters(index, &entries, count.map(|count| count as usize))
}

/// Path, group and similarity to the group's centre of each image.
fn cluster_images(index: &Index, clusters: &[Cluster]) -> Vec<(String, u32, f32)> {
    (clusters.iter().zip(0..))
        .flat_map(|(cluster, number)| {
            (cluster.entries.iter().zip(&cluster.similarities)).map(move |(entry, similarity)| {
                let path = index.entries()[*entry].file.path.clone();
                (path, number, *similarity)
            })
        })
        .collect()
}

/// The word that fits each cluster best.
async fn cluster_names(
    clusters: &[Cluster],
    engine: &mut Engine,
) -> Result<Vec<String>, Diagnostic> {
    let words = vocabulary(&engine.model_info().name);
    let templates = [DEFAULT_TEMPLATE.to_owned()];
    let features = (engine.classifier(&words, &templates).await).map_err(|e| e.to_diagnostic())?;
    Ok((cluster_words(clusters, &features, 1).into_iter())
        .map(|best| {
            best.first()
                .map_or(String::new(), |word| words[*word].clone())
        })
        .collect())
}
