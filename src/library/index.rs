//! Index of a folder: for each image what its file is, and its features.
//!
//! Stored as safetensors: `features` `[images, embed_dim]` in f16, and `entries`, JSON. It
//! belongs to one model, which is recognised by features that it gives, not by its name.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{FileStamp, date_span, difference_hash, file_hash};
use crate::diagnostic::Diagnostic;
use crate::kernels::math::dot;
use crate::preprocess::DecodedImage;

/// Version of the file format; raised when an older reader would misread it.
const VERSION: &str = "1";
const KEY: &str = "clip_index";
/// Folder and name of the model, where a list of indexes finds them without the entries.
const FOLDER: &str = "folder";
const MODEL: &str = "model";

/// Error of an index file.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file is something else, or damaged.
    #[error("this is not an index of images: {0}")]
    NotIndex(String),
    /// The format is a later one.
    #[error(
        "this index was written by a newer version of this program (format {0}): update the program, or \
         delete the index to build it again"
    )]
    Newer(String),
    /// The index cannot be serialised.
    #[error("the index could not be written: {0}")]
    Write(String),
}

/// Indexed image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its file.
    #[serde(flatten)]
    pub file: FileStamp,
    /// What its bytes say.
    #[serde(flatten)]
    pub image: ImageFacts,
}

impl Entry {
    /// When the image was taken, or else when its file was changed, in milliseconds since
    /// 1970.
    pub fn date_ms(&self) -> i64 {
        self.image.taken_ms.unwrap_or(self.file.modified_ms)
    }
}

/// What is kept of an image beside its features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// In pixels, upright.
    pub width: u32,
    /// In pixels, upright.
    pub height: u32,
    /// [`file_hash`] of the file.
    pub sha256: String,
    /// [`difference_hash`] of the image.
    pub difference_hash: u64,
    /// When it was taken, by its EXIF data, in milliseconds since 1970 by the camera's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_ms: Option<i64>,
}

impl ImageFacts {
    /// Facts of a file and the picture in it.
    pub fn new(file: &[u8], picture: &DecodedImage) -> Self {
        Self {
            width: picture.width(),
            height: picture.height(),
            sha256: file_hash(file),
            difference_hash: difference_hash(picture),
            taken_ms: (picture.taken()).and_then(date_span).map(|span| span.start),
        }
    }
}

/// File that is no usable image. It is tried again when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its file.
    #[serde(flatten)]
    pub file: FileStamp,
    /// Why, in plain words.
    pub reason: Diagnostic,
}

/// Features that a model gives for a fixed image and a fixed text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelFingerprint {
    /// Name of the model, for people.
    pub name: String,
    /// Normalised, `[embed_dim]`.
    pub image: Vec<f32>,
    /// Normalised, `[embed_dim]`.
    pub text: Vec<f32>,
}

impl ModelFingerprint {
    /// Whether both are the same weights. Another device or precision may round otherwise.
    pub fn matches(&self, other: &Self) -> bool {
        let same = |a: &[f32], b: &[f32]| a.len() == b.len() && dot(a, b) > 0.998;
        same(&self.image, &other.image) && same(&self.text, &other.text)
    }

    /// Length of the features.
    pub fn embed_dim(&self) -> usize {
        self.image.len()
    }
}

/// Images of a folder with their features, in the order of their paths.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    folder: String,
    model: ModelFingerprint,
    entries: Vec<Entry>,
    skipped: Vec<Skipped>,
    /// `[entries, embed_dim]`
    features: Vec<f16>,
}

/// The part of the file that is JSON.
#[derive(Serialize, Deserialize)]
struct Listing<'a> {
    folder: Cow<'a, str>,
    model: Cow<'a, ModelFingerprint>,
    entries: Cow<'a, [Entry]>,
    skipped: Cow<'a, [Skipped]>,
}

impl Index {
    /// Without images. `folder` is for people.
    pub fn new(folder: impl Into<String>, model: ModelFingerprint) -> Self {
        Self {
            folder: folder.into(),
            model,
            entries: Vec::new(),
            skipped: Vec::new(),
            features: Vec::new(),
        }
    }

    /// Name of the indexed folder.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Model of the features.
    pub fn model(&self) -> &ModelFingerprint {
        &self.model
    }

    /// Indexed images, in the order of their paths.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Files that could not be used.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// All features, `[entries, embed_dim]`.
    pub fn features(&self) -> &[f16] {
        &self.features
    }

    /// Features of an image, `[embed_dim]`.
    pub fn features_of(&self, entry: usize) -> Vec<f32> {
        let dim = self.model.embed_dim();
        self.features[entry * dim..(entry + 1) * dim].to_f32_vec()
    }

    /// Features of some images, `[entries, embed_dim]`.
    pub fn rows_of(&self, entries: &[usize]) -> Vec<f16> {
        let dim = self.model.embed_dim();
        (entries.iter())
            .flat_map(|entry| &self.features[entry * dim..(entry + 1) * dim])
            .copied()
            .collect()
    }

    /// Drops what is no longer in the folder or has changed. Returns the files to read, in
    /// the order of their paths, and how many images were dropped because their file is gone.
    pub fn sync(&mut self, files: Vec<FileStamp>) -> (Vec<FileStamp>, usize) {
        let mut files: BTreeMap<String, FileStamp> = (files.into_iter())
            .map(|file| (file.path.clone(), file))
            .collect();
        let all = std::mem::take(&mut self.entries);
        let dim = self.model.embed_dim();
        let mut features = Vec::with_capacity(self.features.len());
        let mut gone = 0;
        for (entry, row) in all.into_iter().zip(self.features.chunks(dim.max(1))) {
            let found = files.get(&entry.file.path);
            gone += usize::from(found.is_none());
            if found == Some(&entry.file) {
                files.remove(&entry.file.path);
                features.extend_from_slice(row);
                self.entries.push(entry);
            }
        }
        self.features = features;
        self.skipped.retain(|skipped| {
            let same = files.get(&skipped.file.path) == Some(&skipped.file);
            if same {
                files.remove(&skipped.file.path);
            }
            same
        });
        (files.into_values().collect(), gone)
    }

    /// Adds images with their features, `[embed_dim]` each, and files that could not be
    /// used. What was known of the same paths is replaced.
    pub fn extend(&mut self, images: Vec<(Entry, Vec<f32>)>, skipped: Vec<Skipped>) {
        // Of two with one path the later counts.
        let images: BTreeMap<String, (Entry, Vec<f32>)> = (images.into_iter())
            .map(|image| (image.0.file.path.clone(), image))
            .collect();
        let skipped: BTreeMap<String, Skipped> = (skipped.into_iter())
            .map(|skipped| (skipped.file.path.clone(), skipped))
            .collect();
        let mut new = Self::new("", self.model.clone());
        for (entry, features) in images.into_values() {
            new.features
                .extend(features.iter().map(|v| f16::from_f32(*v)));
            new.entries.push(entry);
        }
        new.skipped = skipped.into_values().collect();
        self.merge(new);
    }

    /// Adds the images and skipped files of an index of the same model. What was known of
    /// the same paths is replaced.
    pub fn merge(&mut self, new: Self) {
        let dim = self.model.embed_dim();
        let old = std::mem::replace(self, Self::new("", new.model));
        (self.folder, self.model) = (old.folder, old.model);
        let count = old.entries.len() + new.entries.len();
        self.entries.reserve_exact(count);
        self.features.reserve_exact(count * dim);
        let (old_rows, new_rows) = (
            old.features.chunks(dim.max(1)),
            new.features.chunks(dim.max(1)),
        );
        let mut old_entries = old.entries.into_iter().zip(old_rows).peekable();
        // Both are in the order of their paths.
        for (entry, row) in new.entries.into_iter().zip(new_rows) {
            while let Some((before, row)) =
                old_entries.next_if(|(old, _)| old.file.path <= entry.file.path)
            {
                if before.file.path != entry.file.path {
                    self.push(before, row);
                }
            }
            self.push(entry, row);
        }
        for (entry, row) in old_entries {
            self.push(entry, row);
        }
        let mut skipped: BTreeMap<String, Skipped> = (old.skipped.into_iter())
            .chain(new.skipped)
            .map(|skipped| (skipped.file.path.clone(), skipped))
            .collect();
        skipped.retain(|path, _| self.find(path).is_none());
        self.skipped = skipped.into_values().collect();
    }

    fn push(&mut self, entry: Entry, row: &[f16]) {
        self.entries.push(entry);
        self.features.extend_from_slice(row);
    }

    /// Place of an image by its path.
    pub fn find(&self, path: &str) -> Option<usize> {
        (self
            .entries
            .binary_search_by(|entry| entry.file.path.as_str().cmp(path)))
        .ok()
    }

    /// Serialises the index.
    pub fn write(&self) -> Result<Vec<u8>, IndexError> {
        let failed = |error: &dyn std::fmt::Display| IndexError::Write(error.to_string());
        let listing = serde_json::to_vec(&Listing {
            folder: Cow::Borrowed(&self.folder),
            model: Cow::Borrowed(&self.model),
            entries: Cow::Borrowed(&self.entries),
            skipped: Cow::Borrowed(&self.skipped),
        })
        .map_err(|error| failed(&error))?;
        let features: Vec<u8> = (self.features.iter())
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let shape = vec![self.entries.len(), self.model.embed_dim()];
        let tensors = [
            (
                "features",
                TensorView::new(Dtype::F16, shape, &features).map_err(|error| failed(&error))?,
            ),
            (
                "entries",
                TensorView::new(Dtype::U8, vec![listing.len()], &listing)
                    .map_err(|error| failed(&error))?,
            ),
        ];
        let metadata = HashMap::from(
            [
                (KEY, VERSION),
                (FOLDER, &self.folder),
                (MODEL, &self.model.name),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        safetensors::serialize(tensors, Some(metadata)).map_err(|error| failed(&error))
    }

    /// Reads what [`Self::write`] wrote.
    pub fn read(bytes: &[u8]) -> Result<Self, IndexError> {
        let wrong = |why: String| IndexError::NotIndex(why);
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|error| wrong(error.to_string()))?;
        check_version(&header)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
        let tensor = |name: &str, dtype: Dtype| {
            let tensor = (tensors.tensor(name)).map_err(|error| wrong(error.to_string()))?;
            match tensor.dtype() == dtype {
                true => Ok(tensor),
                false => Err(wrong(format!("{name} is {:?}", tensor.dtype()))),
            }
        };
        let listing: Listing = serde_json::from_slice(tensor("entries", Dtype::U8)?.data())
            .map_err(|error| wrong(error.to_string()))?;
        let features = tensor("features", Dtype::F16)?;
        let shape = [listing.entries.len(), listing.model.embed_dim()];
        if features.shape() != shape || listing.model.text.len() != shape[1] {
            return Err(wrong(format!(
                "its features are {:?} instead of {shape:?}",
                features.shape()
            )));
        }
        let mut fingerprint = listing.model.image.iter().chain(&listing.model.text);
        // JSON has no infinity: it could not be written again.
        if fingerprint.any(|value| !value.is_finite()) {
            return Err(wrong("its fingerprint is not of finite numbers".into()));
        }
        let features: Vec<f16> = (features.data().chunks_exact(2))
            .map(|bytes| f16::from_le_bytes([bytes[0], bytes[1]]))
            .collect();
        if features.iter().any(|value| !value.is_finite()) {
            return Err(wrong("a feature is not a finite number".into()));
        }
        Ok(Self {
            folder: listing.folder.into_owned(),
            model: listing.model.into_owned(),
            entries: listing.entries.into_owned(),
            skipped: listing.skipped.into_owned(),
            features,
        })
    }
}

/// What the first bytes of an index file say: a list of indexes needs no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSummary {
    /// Name of the indexed folder.
    pub folder: String,
    /// Name of the model.
    pub model: String,
    /// Number of images.
    pub images: usize,
}

impl IndexSummary {
    /// Bytes at the beginning of a file that [`Self::read`] needs, by the first eight.
    /// `None` if they do not begin an index.
    pub fn length(first: [u8; 8]) -> Option<usize> {
        // The header of an index is a few hundred bytes, with a long path a few thousand.
        const MAX: u64 = 1 << 20;
        let header = u64::from_le_bytes(first);
        (header <= MAX).then(|| 8 + header as usize)
    }

    /// Reads the beginning of an index file. `None` if it is something else, or an index
    /// that an earlier version wrote: then [`Index::read`] of the whole file tells.
    pub fn read(beginning: &[u8]) -> Option<Self> {
        let (first, _) = beginning.split_first_chunk()?;
        let header: Metadata =
            serde_json::from_slice(beginning.get(8..Self::length(*first)?)?).ok()?;
        check_version(&header).ok()?;
        let text = |key| header.metadata().as_ref()?.get(key).cloned();
        Some(Self {
            folder: text(FOLDER)?,
            model: text(MODEL)?,
            images: *header.info("features")?.shape.first()?,
        })
    }
}

fn check_version(header: &Metadata) -> Result<(), IndexError> {
    let version = (header.metadata().as_ref()).and_then(|metadata| metadata.get(KEY));
    match version.map(String::as_str) {
        Some(VERSION) => Ok(()),
        Some(newer) => Err(IndexError::Newer(newer.into())),
        None => Err(IndexError::NotIndex(
            "its metadata has no format version".into(),
        )),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn fingerprint() -> ModelFingerprint {
        ModelFingerprint {
            name: "test".into(),
            image: vec![1.0, 0.0],
            text: vec![0.0, 1.0],
        }
    }

    pub fn stamp(path: &str, size: u64) -> FileStamp {
        FileStamp {
            path: path.into(),
            size,
            modified_ms: 1_700_000_000_000,
        }
    }

    pub fn entry(path: &str) -> Entry {
        Entry {
            file: stamp(path, 10),
            image: ImageFacts {
                width: 4,
                height: 3,
                sha256: file_hash(path.as_bytes()),
                difference_hash: 0,
                taken_ms: None,
            },
        }
    }

    fn index() -> Index {
        let mut index = Index::new("photos", fingerprint());
        index.extend(
            vec![
                (entry("b.jpg"), vec![0.6, 0.8]),
                (entry("a/猫.jpg"), vec![1.0, 0.0]),
            ],
            vec![Skipped {
                file: stamp("c.txt", 3),
                reason: "not an image".into(),
            }],
        );
        index
    }

    fn paths(index: &Index) -> Vec<&str> {
        (index.entries().iter())
            .map(|entry| entry.file.path.as_str())
            .collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let index = index();
        let bytes = index.write().unwrap();
        let read = Index::read(&bytes).unwrap();
        assert_eq!(read, index);
        assert_eq!(paths(&read), ["a/猫.jpg", "b.jpg"]);
        assert!((read.features_of(1)[1] - 0.8).abs() < 1e-3);
    }

    #[test]
    fn the_beginning_of_a_file_sums_it_up() {
        let bytes = index().write().unwrap();
        let length = IndexSummary::length(*bytes.first_chunk().unwrap()).unwrap();
        assert!(length < 1000);
        let summary = IndexSummary {
            folder: "photos".into(),
            model: "test".into(),
            images: 2,
        };
        assert_eq!(IndexSummary::read(&bytes[..length]), Some(summary.clone()));
        assert_eq!(IndexSummary::read(&bytes), Some(summary));
        for end in 0..length {
            assert_eq!(IndexSummary::read(&bytes[..end]), None, "{end}");
        }
        assert_eq!(IndexSummary::length(*b"no index"), None);
        assert_eq!(IndexSummary::length([255; 8]), None);
        assert_eq!(IndexSummary::read(&[0xff; 100]), None);
    }

    /// As the first version wrote it: without dates, folder and model only in the listing.
    #[test]
    fn an_index_of_the_first_version_is_read() {
        let entry = entry("a.jpg");
        let listing = serde_json::json!({
            "folder": "photos",
            "model": fingerprint(),
            "entries": [{
                "path": "a.jpg", "size": 10, "modified_ms": entry.file.modified_ms,
                "width": 4, "height": 3, "sha256": entry.image.sha256, "difference_hash": 0,
            }],
            "skipped": [],
        });
        let listing = listing.to_string();
        let features: Vec<u8> = ([1.0, 0.0].into_iter())
            .flat_map(|v| f16::from_f32(v).to_le_bytes())
            .collect();
        let bytes = safetensors::serialize(
            [
                (
                    "features",
                    TensorView::new(Dtype::F16, vec![1, 2], &features).unwrap(),
                ),
                (
                    "entries",
                    TensorView::new(Dtype::U8, vec![listing.len()], listing.as_bytes()).unwrap(),
                ),
            ],
            Some(HashMap::from([(KEY.into(), "1".into())])),
        )
        .unwrap();
        let mut expected = Index::new("photos", fingerprint());
        expected.extend(vec![(entry, vec![1.0, 0.0])], Vec::new());
        let read = Index::read(&bytes).unwrap();
        assert_eq!(read, expected);
        assert_eq!(
            read.entries()[0].date_ms(),
            read.entries()[0].file.modified_ms
        );
        assert_eq!(IndexSummary::read(&bytes), None);
    }

    #[test]
    fn parts_merge_in_the_order_of_paths() {
        let mut whole = index();
        let mut part = Index::new("", fingerprint());
        let taken = Entry {
            image: ImageFacts {
                taken_ms: Some(5),
                ..entry("b.jpg").image
            },
            ..entry("b.jpg")
        };
        part.extend(
            vec![
                (entry("z.jpg"), vec![0.0, 1.0]),
                (entry("a/b.jpg"), vec![0.8, 0.6]),
                (taken, vec![0.0, -1.0]),
                (entry("c.txt"), vec![1.0, 0.0]),
            ],
            vec![Skipped {
                file: stamp("d.gif", 1),
                reason: "empty".into(),
            }],
        );
        whole.merge(part.clone());
        assert_eq!(whole.folder(), "photos");
        assert_eq!(
            paths(&whole),
            ["a/b.jpg", "a/猫.jpg", "b.jpg", "c.txt", "z.jpg"]
        );
        assert_eq!(whole.entries()[2].date_ms(), 5);
        assert_eq!(whole.features_of(2), [0.0, -1.0]);
        assert_eq!(whole.features_of(1), [1.0, 0.0]);
        let skipped: Vec<_> = whole.skipped().iter().map(|s| &s.file.path).collect();
        assert_eq!(skipped, ["d.gif"]);
        for (place, path) in paths(&whole).into_iter().enumerate() {
            assert_eq!(whole.find(path), Some(place));
        }
        assert_eq!(whole.find("b"), None);
        // A part that is read twice changes nothing.
        let once = whole.clone();
        whole.merge(part);
        assert_eq!(whole, once);
    }

    #[test]
    fn only_new_and_changed_files_are_read() {
        let mut index = index();
        let files = vec![
            stamp("a/猫.jpg", 10),
            stamp("b.jpg", 11),
            stamp("c.txt", 3),
            stamp("d.jpg", 1),
        ];
        let (to_read, gone) = index.sync(files);
        assert_eq!(to_read, [stamp("b.jpg", 11), stamp("d.jpg", 1)]);
        assert_eq!((paths(&index), gone), (vec!["a/猫.jpg"], 0));
        assert_eq!(index.features().len(), 2);
        assert_eq!(index.skipped().len(), 1);
        let (to_read, gone) = index.sync(vec![stamp("c.txt", 4)]);
        assert_eq!((to_read.len(), gone), (1, 1));
        assert!(index.entries().is_empty() && index.skipped().is_empty());
    }

    #[test]
    fn a_repaired_file_is_no_longer_skipped() {
        let mut index = index();
        index.sync(vec![stamp("c.txt", 9)]);
        index.extend(vec![(entry("c.txt"), vec![0.0, 1.0])], Vec::new());
        assert_eq!(paths(&index), ["c.txt"]);
        assert!(index.skipped().is_empty());
    }

    #[test]
    fn other_weights_are_another_model() {
        let known = fingerprint();
        let tuned = ModelFingerprint {
            image: vec![0.96, 0.28],
            ..fingerprint()
        };
        let rounded = ModelFingerprint {
            name: "renamed".into(),
            image: vec![0.99995, 0.01],
            ..fingerprint()
        };
        assert!(known.matches(&rounded));
        assert!(!known.matches(&tuned));
    }

    #[test]
    fn damaged_and_foreign_files_are_refused() {
        let bytes = index().write().unwrap();
        for length in [0, 7, 8, 40, bytes.len() / 2, bytes.len() - 1] {
            assert!(Index::read(&bytes[..length]).is_err(), "{length}");
        }
        let features = [0u8; 4];
        let view = TensorView::new(Dtype::F16, vec![1, 2], &features).unwrap();
        let foreign = safetensors::serialize([("features", view)], None).unwrap();
        assert!(matches!(
            Index::read(&foreign),
            Err(IndexError::NotIndex(_))
        ));
        let newer = safetensors::serialize(
            Vec::<(&str, TensorView)>::new(),
            Some(HashMap::from([(KEY.into(), "2".into())])),
        );
        assert!(matches!(
            Index::read(&newer.unwrap()),
            Err(IndexError::Newer(_))
        ));
    }
}
