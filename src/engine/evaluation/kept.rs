//! What is kept of an evaluation from visit to visit: the page's state, the open data set
//! without its images, and features of images.
//!
//! Features are written as they come, a chunk for each few seconds of encoding, so that an
//! interrupted evaluation has lost little; one chunk is read without the others.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::diagnostic::{Diagnostic, diagnostic};
use crate::library::ModelFingerprint;

/// Name of the page's state, and of the open data set.
const PAGE: &str = "page";
const DATA_SET: &str = "data-set";
/// Beginning of the names of chunks of features.
const FEATURES: &str = "features-";
/// Version of what is stored.
pub const VERSION: u32 = 1;

/// Hash of an image's pixels.
pub type PixelHash = [u64; 2];
/// Features by the pixels that they are of.
pub type KnownFeatures = HashMap<PixelHash, Vec<f32>>;

/// Storage of a browser, by names.
#[allow(async_fn_in_trait)] // one thread
pub trait Storage {
    /// Whether this tab may write: one at a time does. Asks for it first, if need be.
    async fn hold(&self) -> bool;

    /// Lets another tab write.
    fn release(&self);

    /// Replaces a byte string; otherwise why not.
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Diagnostic>;

    /// Reads a byte string.
    async fn get(&self, name: &str) -> Option<Vec<u8>>;

    /// Deletes a byte string.
    async fn delete(&self, name: &str);

    /// Names of all byte strings.
    async fn names(&self) -> Vec<String>;
}

/// Data set whose images were encoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptDataset {
    /// Version of what is stored.
    pub version: u32,
    /// Name for display.
    pub name: String,
    /// As it was read, before its classes got their names.
    pub dataset: Dataset,
    /// Pixels of each picture.
    pub pixels: Vec<PixelHash>,
    /// Whether there is also a part to learn from.
    pub has_training: bool,
    /// The data set's own templates.
    pub templates: Vec<String>,
    /// The data set's own class names, as [`DataFiles::class_names`].
    ///
    /// [`DataFiles::class_names`]: crate::data::DataFiles::class_names
    pub class_names: Option<Vec<String>>,
}

/// Beginning of a chunk of features; the features follow it.
#[derive(Serialize, Deserialize)]
struct ChunkHeader {
    version: u32,
    model: ModelFingerprint,
    pixels: Vec<PixelHash>,
}

/// A chunk: length of its header, header as JSON, features `[images, embed_dim]`.
fn write_chunk(
    model: &ModelFingerprint,
    pixels: &[PixelHash],
    known: &KnownFeatures,
) -> Option<Vec<u8>> {
    let pixels: Vec<PixelHash> = (pixels.iter())
        .filter(|hash| known.contains_key(*hash))
        .copied()
        .collect();
    let header = ChunkHeader {
        version: VERSION,
        model: model.clone(),
        pixels,
    };
    let text = serde_json::to_vec(&header).ok()?;
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend(text);
    for hash in &header.pixels {
        let features = known.get(hash).into_iter().flatten();
        bytes.extend(features.flat_map(|value| value.to_le_bytes()));
    }
    Some(bytes)
}

/// What a chunk has.
#[derive(Debug, PartialEq)]
enum Chunk {
    /// Features of the model.
    Ours(Vec<(PixelHash, Vec<f32>)>),
    /// Those of another model, by name.
    Other(String),
}

/// Reads a chunk; `None` if it is damaged.
fn read_chunk(bytes: &[u8], model: &ModelFingerprint) -> Option<Chunk> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (header, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let header: ChunkHeader = serde_json::from_slice(header).ok()?;
    if header.version != VERSION {
        return None;
    }
    if !header.model.matches(model) {
        return Some(Chunk::Other(header.model.name));
    }
    let (values, odd) = rest.as_chunks::<4>();
    let dim = model.embed_dim();
    if !odd.is_empty() || dim == 0 || values.len() != header.pixels.len() * dim {
        return None;
    }
    let features = values.chunks_exact(dim).map(|features| {
        let values = features.iter().map(|value| f32::from_le_bytes(*value));
        values.collect::<Vec<f32>>()
    });
    Some(Chunk::Ours(
        header.pixels.into_iter().zip(features).collect(),
    ))
}

/// What a storage keeps, and what is still to be written.
pub struct Kept<S> {
    storage: S,
    /// Model of the features; `None` until it is known.
    model: Option<ModelFingerprint>,
    /// Number of the next chunk.
    next: u32,
    /// Known features that are in no chunk yet.
    unsaved: Vec<PixelHash>,
    /// Name of a model whose features are there instead.
    other: Option<String>,
}

impl<S: Storage> Kept<S> {
    /// Nothing is read yet.
    pub fn new(storage: S) -> Self {
        Self {
            storage,
            model: None,
            next: 0,
            unsaved: Vec::new(),
            other: None,
        }
    }

    /// Whether the model's features are known to be kept.
    pub fn is_read(&self) -> bool {
        self.model.is_some()
    }

    /// Name of another model whose features are kept, if there are none of this one.
    pub fn other_model(&self) -> Option<String> {
        self.other.clone()
    }

    /// Features of `model` that are kept. Damaged chunks are left out, those of other models
    /// are deleted with the next write.
    pub async fn read(&mut self, model: ModelFingerprint) -> KnownFeatures {
        let mut known = KnownFeatures::new();
        for name in self.storage.names().await {
            let Some(number) = name.strip_prefix(FEATURES) else {
                continue;
            };
            let Some(bytes) = self.storage.get(&name).await else {
                continue;
            };
            match read_chunk(&bytes, &model) {
                Some(Chunk::Ours(found)) => known.extend(found),
                Some(Chunk::Other(other)) => self.other = Some(other),
                None => {}
            }
            let number: u32 = number.parse().unwrap_or(0);
            self.next = self.next.max(number + 1);
        }
        if !known.is_empty() {
            self.other = None;
        }
        self.model = Some(model);
        known
    }

    /// Forgets which model it was; what is stored stays.
    pub fn model_changed(&mut self) {
        self.model = None;
        self.unsaved.clear();
        self.other = None;
    }

    /// New features, to be written with the next chunk.
    pub fn add(&mut self, pixels: &[PixelHash]) {
        if self.model.is_some() {
            self.unsaved.extend(pixels);
        }
    }

    /// Whether there is something to write.
    pub fn is_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// Writes new features as a chunk.
    pub async fn save(&mut self, known: &KnownFeatures) -> Result<(), Diagnostic> {
        let Some(model) = self.model.as_ref().filter(|_| self.is_unsaved()) else {
            return Ok(());
        };
        if !self.storage.hold().await {
            // The page's state says so.
            self.unsaved.clear();
            return Ok(());
        }
        if self.other.take().is_some() {
            self.delete_features().await;
        }
        let chunk = write_chunk(model, &self.unsaved, known);
        let chunk = chunk
            .ok_or_else(|| diagnostic!("features-not-written", "the features cannot be written"))?;
        self.unsaved.clear();
        self.storage
            .put(&format!("{FEATURES}{}", self.next), &chunk)
            .await?;
        self.next += 1;
        Ok(())
    }

    /// Deletes all features.
    pub async fn delete_features(&self) {
        for name in self.storage.names().await {
            if name.starts_with(FEATURES) {
                self.storage.delete(&name).await;
            }
        }
    }

    /// Keeps a data set.
    pub async fn put_dataset(&self, kept: &KeptDataset) -> Result<(), Diagnostic> {
        let bytes =
            serde_json::to_vec(kept).map_err(|error| Diagnostic::from(error.to_string()))?;
        self.put(DATA_SET, &bytes).await
    }

    /// The data set that is kept; `None` if it is missing or damaged.
    pub async fn dataset(&self) -> Option<KeptDataset> {
        let kept: KeptDataset = serde_json::from_slice(&self.storage.get(DATA_SET).await?).ok()?;
        (kept.version == VERSION).then_some(kept)
    }

    /// Keeps the page's state. That of another data set takes the place of one that was kept.
    pub async fn put_page(&self, state: &str) -> Result<(), Diagnostic> {
        self.put(PAGE, state.as_bytes()).await
    }

    /// The page's state.
    pub async fn page(&self) -> Option<String> {
        let bytes = self.storage.get(PAGE).await?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Diagnostic> {
        match self.storage.hold().await {
            true => self.storage.put(name, bytes).await,
            false => Err(diagnostic!(
                "evaluated-elsewhere",
                "another tab of this page is evaluating, and only one is kept"
            )),
        }
    }

    /// Deletes the data set.
    pub async fn delete_dataset(&self) {
        if self.storage.hold().await {
            self.storage.delete(DATA_SET).await;
        }
    }

    /// Deletes everything, unless another tab uses it.
    pub async fn delete(&mut self) {
        self.unsaved.clear();
        if self.storage.hold().await {
            for name in self.storage.names().await {
                self.storage.delete(&name).await;
            }
            self.storage.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str, first: f32) -> ModelFingerprint {
        ModelFingerprint {
            name: name.into(),
            image: vec![first, (1.0 - first * first).sqrt()],
            text: vec![1.0, 0.0],
        }
    }

    #[test]
    fn a_chunk_is_read_whole_or_not_at_all() {
        let mut known = KnownFeatures::new();
        known.insert([1, 2], vec![0.5, -0.25]);
        known.insert([3, u64::MAX], vec![1.0, 2.0]);
        let pixels = [[1, 2], [3, u64::MAX], [9, 9]];
        let chunk = write_chunk(&model("a", 1.0), &pixels, &known).unwrap();
        let read = |bytes: &[u8], of: &ModelFingerprint| read_chunk(bytes, of);
        let Some(Chunk::Ours(found)) = read(&chunk, &model("renamed", 1.0)) else {
            panic!("the same weights");
        };
        assert_eq!(found.into_iter().collect::<KnownFeatures>(), known);
        let other = read(&chunk, &model("b", 0.0)).unwrap();
        assert_eq!(other, Chunk::Other("a".to_owned()));
        for cut in 0..chunk.len() {
            assert!(read(&chunk[..cut], &model("a", 1.0)).is_none(), "{cut}");
        }
        let longer = [&chunk[..], &[0; 4]].concat();
        assert!(read(&longer, &model("a", 1.0)).is_none());
    }
}
