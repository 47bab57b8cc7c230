//! Files of a data set in a browser: a folder, a zip, or a folder of shards; and the storage
//! in which an evaluation is kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::rc::Rc;

use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File};

use super::job::DataFolder;
use super::kept::Storage;
use crate::data::{DataError, DataFiles, Problem, ShardFolder, WebDataset, ZipFiles};
use crate::diagnostic::{Diagnostic, diagnostic};
use crate::engine::web_lock::WebLock;
use crate::hub::cache::{CacheError, ModelCache};

/// Data set of a visitor.
pub enum BrowserFolder {
    /// Files by path.
    Files(Files),
    /// Files in a zip, in memory.
    Zip(ZipFiles<Cursor<Vec<u8>>>),
    /// Files in shards.
    Shards(WebDataset<Shards>),
}

/// Files by path.
pub struct Files {
    name: String,
    /// `None` for a folder.
    files: BTreeMap<String, Option<File>>,
}

/// Files of a folder of shards, by their path in it.
pub struct Shards {
    name: String,
    files: BTreeMap<String, File>,
}

fn failed(path: &str, why: &str) -> DataError {
    DataError::Read {
        file: path.into(),
        why: why.into(),
    }
}

async fn bytes(path: &str, blob: &Blob) -> Result<Vec<u8>, DataError> {
    match JsFuture::from(blob.array_buffer()).await {
        Ok(buffer) => Ok(Uint8Array::new(&buffer).to_vec()),
        Err(_) => Err(failed(
            path,
            "it has been moved or changed, or is too large for the memory: choose it again",
        )),
    }
}

impl DataFolder for BrowserFolder {
    type File = File;

    async fn open(name: String, paths: Vec<String>, files: Vec<File>) -> Result<Self, DataError> {
        let mut waiting = files.into_iter();
        let files: BTreeMap<String, Option<File>> = (paths.into_iter())
            .map(|path| {
                let file = match path.ends_with('/') {
                    true => None,
                    false => waiting.next(),
                };
                (path, file)
            })
            .collect();
        if let Some((path, Some(file))) = files.first_key_value()
            && files.len() == 1
            && path.to_lowercase().ends_with(".zip")
        {
            let bytes = bytes(path, file).await?;
            return Ok(Self::Zip(ZipFiles::open(name, Cursor::new(bytes))?));
        }
        let shards = Shards::find(&name, &files);
        match WebDataset::is_at(&shards) {
            true => Ok(Self::Shards(WebDataset::open(shards).await?)),
            false => Ok(Self::Files(Files { name, files })),
        }
    }
}

impl DataFiles for BrowserFolder {
    fn name(&self) -> String {
        match self {
            Self::Files(files) => files.name.clone(),
            Self::Zip(files) => files.name(),
            Self::Shards(files) => files.name(),
        }
    }

    fn paths(&self) -> Vec<String> {
        match self {
            Self::Files(files) => files.files.keys().cloned().collect(),
            Self::Zip(files) => files.paths(),
            Self::Shards(files) => files.paths(),
        }
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, DataError> {
        match self {
            Self::Files(files) => match files.files.get(path) {
                Some(Some(file)) => bytes(path, file).await,
                _ => Err(failed(path, "no such file")),
            },
            Self::Zip(files) => files.read(path).await,
            Self::Shards(files) => files.read(path).await,
        }
    }

    fn unusable(&self) -> Vec<Problem> {
        match self {
            Self::Files(_) => Vec::new(),
            Self::Zip(files) => files.unusable(),
            Self::Shards(files) => files.unusable(),
        }
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Self::Files(_) => Vec::new(),
            Self::Zip(files) => files.notes(),
            Self::Shards(files) => files.notes(),
        }
    }

    fn templates(&self) -> Vec<String> {
        match self {
            Self::Files(_) | Self::Zip(_) => Vec::new(),
            Self::Shards(files) => files.templates(),
        }
    }

    fn class_names(&self) -> Option<Vec<String>> {
        match self {
            Self::Files(_) | Self::Zip(_) => None,
            Self::Shards(files) => files.class_names(),
        }
    }
}

impl Shards {
    /// Files below the folder that has the shards in it, if there is one. Shards without a
    /// folder are taken as those of the test part.
    fn find(name: &str, files: &BTreeMap<String, Option<File>>) -> Self {
        let around = files.keys().find_map(|path| {
            let around = path.strip_suffix("0.tar")?;
            ["test/", "train/"]
                .iter()
                .find_map(|part| around.strip_suffix(part))
        });
        let loose = around.is_none() && files.contains_key("0.tar");
        let place = |path: &str| match (around, loose) {
            (Some(around), _) => path.strip_prefix(around).map(str::to_owned),
            (None, true) if path.ends_with(".tar") || path == "nshards.txt" => {
                Some(format!("test/{path}"))
            }
            (None, true) => Some(path.to_owned()),
            (None, false) => None,
        };
        Self {
            name: name.into(),
            files: (files.iter())
                .filter_map(|(path, file)| Some((place(path)?, file.clone()?)))
                .collect(),
        }
    }
}

impl ShardFolder for Shards {
    type Shard = Cursor<Vec<u8>>;

    fn name(&self) -> String {
        self.name.clone()
    }

    fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    async fn text(&self, path: &str) -> Result<Option<String>, DataError> {
        match self.files.get(path) {
            Some(file) => {
                let bytes = bytes(path, file).await?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
            None => Ok(None),
        }
    }

    async fn open(&self, path: &str) -> Result<(Self::Shard, u64), DataError> {
        let Some(file) = self.files.get(path) else {
            return Err(failed(path, "no such file"));
        };
        let bytes = bytes(path, file).await?;
        let size = bytes.len() as u64;
        Ok((Cursor::new(bytes), size))
    }

    async fn slice(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, DataError> {
        let Some(file) = self.files.get(path) else {
            return Err(failed(path, "no such file"));
        };
        let part = file.slice_with_f64_and_f64(offset as f64, (offset + length) as f64);
        match part {
            Ok(part) => bytes(path, &part).await,
            Err(_) => Err(failed(path, "the browser cannot read a part of it")),
        }
    }
}

/// Name of the storage, and of the lock on it.
const STORAGE: &str = "evaluation";
const LOCK: &str = "clip.evaluation";
/// Storage of the browser, in which one tab at a time writes.
#[derive(Default)]
pub struct BrowserStorage {
    lock: RefCell<Option<Rc<WebLock>>>,
}

impl BrowserStorage {
    async fn cache() -> Result<ModelCache, Diagnostic> {
        let cache = ModelCache::named(STORAGE).await;
        cache.ok_or_else(|| {
            diagnostic!(
                "stores-nothing",
                "this browser stores nothing, as in a private window"
            )
        })
    }
}

impl Storage for BrowserStorage {
    async fn hold(&self) -> bool {
        let request = || Rc::new(WebLock::request(LOCK));
        let lock = (self.lock.borrow_mut()).get_or_insert_with(request).clone();
        lock.is_held().await
    }

    fn release(&self) {
        self.lock.replace(None);
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Diagnostic> {
        let written = Self::cache().await?.put(name, bytes).await;
        written.map_err(|error| match error {
            CacheError::Full => diagnostic!(
                "storage-full",
                "the browser’s storage is full: delete models or indexes that you do not need"
            ),
            CacheError::Other(why) => why.into(),
        })
    }

    async fn get(&self, name: &str) -> Option<Vec<u8>> {
        Self::cache().await.ok()?.get(name).await
    }

    async fn delete(&self, name: &str) {
        if let Ok(cache) = Self::cache().await {
            cache.delete(name).await;
        }
    }

    async fn names(&self) -> Vec<String> {
        match Self::cache().await {
            Ok(cache) => cache.names().await,
            Err(_) => Vec::new(),
        }
    }
}
