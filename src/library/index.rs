//! Index of a folder: for each image what its file is, and its features.
//!
//! Stored as safetensors: `features` `[images, embed_dim]` in f16, and `entries`, JSON. It
//! belongs to one model, which is recognised by features that it gives, not by its name.

use std::collections::{BTreeMap, HashMap};

use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{FileStamp, difference_hash, file_hash};
use crate::kernels::math::dot;
use crate::preprocess::DecodedImage;

/// Version of the file format; raised when an older reader would misread it.
const VERSION: &str = "1";
const KEY: &str = "clip_index";

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
}

impl ImageFacts {
    /// Facts of a file and the picture in it.
    pub fn new(file: &[u8], picture: &DecodedImage) -> Self {
        Self {
            width: picture.width(),
            height: picture.height(),
            sha256: file_hash(file),
            difference_hash: difference_hash(picture),
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
    pub reason: String,
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
struct Listing {
    folder: String,
    model: ModelFingerprint,
    entries: Vec<Entry>,
    skipped: Vec<Skipped>,
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
        let dim = self.model.embed_dim();
        let before = std::mem::take(&mut self.entries);
        let rows = std::mem::take(&mut self.features);
        let mut all: BTreeMap<String, (Entry, Vec<f16>)> = (before.into_iter())
            .zip(rows.chunks(dim.max(1)))
            .map(|(entry, row)| (entry.file.path.clone(), (entry, row.to_vec())))
            .collect();
        for (entry, features) in images {
            let row = features.iter().map(|v| f16::from_f32(*v)).collect();
            all.insert(entry.file.path.clone(), (entry, row));
        }
        for (entry, row) in all.into_values() {
            self.entries.push(entry);
            self.features.extend(row);
        }
        let mut unusable: BTreeMap<String, Skipped> = (std::mem::take(&mut self.skipped))
            .into_iter()
            .chain(skipped)
            .map(|skipped| (skipped.file.path.clone(), skipped))
            .collect();
        for entry in &self.entries {
            unusable.remove(&entry.file.path);
        }
        self.skipped = unusable.into_values().collect();
    }

    /// Serialises the index.
    pub fn write(&self) -> Result<Vec<u8>, IndexError> {
        let failed = |error: &dyn std::fmt::Display| IndexError::Write(error.to_string());
        let listing = serde_json::to_vec(&Listing {
            folder: self.folder.clone(),
            model: self.model.clone(),
            entries: self.entries.clone(),
            skipped: self.skipped.clone(),
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
        let metadata = HashMap::from([(KEY.to_owned(), VERSION.to_owned())]);
        safetensors::serialize(tensors, Some(metadata)).map_err(|error| failed(&error))
    }

    /// Reads what [`Self::write`] wrote.
    pub fn read(bytes: &[u8]) -> Result<Self, IndexError> {
        let wrong = |why: String| IndexError::NotIndex(why);
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|error| wrong(error.to_string()))?;
        let version = (header.metadata().as_ref()).and_then(|metadata| metadata.get(KEY));
        match version.map(String::as_str) {
            Some(VERSION) => {}
            Some(newer) => return Err(IndexError::Newer(newer.into())),
            None => return Err(wrong("its metadata has no format version".into())),
        }
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
        let features: Vec<f16> = (features.data().chunks_exact(2))
            .map(|bytes| f16::from_le_bytes([bytes[0], bytes[1]]))
            .collect();
        if features.iter().any(|value| !value.is_finite()) {
            return Err(wrong("a feature is not a finite number".into()));
        }
        Ok(Self {
            folder: listing.folder,
            model: listing.model,
            entries: listing.entries,
            skipped: listing.skipped,
            features,
        })
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
