//! Cache of model files in the browser, so that they are downloaded once.
//!
//! In the origin private file system (OPFS), or in the Cache API where that is missing.
//! Both serve as a store of named byte strings: a file is its `meta` and its bytes,
//! written in chunks of [`CHUNK`], so that an interrupted download can resume after the
//! last whole chunk. In OPFS the bytes are one file; the Cache API has an entry for each
//! chunk, since an entry cannot grow.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use js_sys::{Array, ArrayBuffer, Function, Object, Promise, Reflect, Uint8Array};
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Cache, File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemSyncAccessHandle, Request, Response, WorkerGlobalScope,
};

use super::CachedModel;
use crate::diagnostic::{Diagnostic, diagnostic};
use crate::model::StoredPrecision;
use crate::weights::CopyLayout;

/// Bytes per write.
const CHUNK: usize = 4 << 20;
/// Bytes per read: Chromium takes two thirds of the time for a file that it takes in reads of [`CHUNK`].
const READ: u64 = 16 << 20;
/// Name of the folder or cache.
const FOLDER: &str = "models";

/// Storage backend.
pub enum ModelCache {
    /// Folder of the origin private file system.
    Files(FileSystemDirectoryHandle),
    /// Cache of the Cache API.
    Cache(Cache),
}

/// Error of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheError {
    /// The browser's quota is exceeded.
    Full,
    /// Another reason, in words.
    Other(String),
}

/// What the visitor is told if a model, or a part of it, cannot be cached.
pub(super) fn not_saved(name: &str, error: CacheError) -> Diagnostic {
    let reason = match error {
        CacheError::Full => diagnostic!(
            "delete-other-models",
            "not enough storage space: delete other models"
        ),
        CacheError::Other(why) => why.into(),
    };
    diagnostic!(
        "not-stored",
        "{name} could not be saved for the next visit ({reason}). You can still use it now.",
        name,
        reason
    )
}

/// End of the name under which a file is written before it takes another's place.
const FRESH: &str = ".new";

/// Whether this browser can give a file another's name, in its place (`FileSystemHandle.move`, which
/// `web-sys` does not know).
fn can_move() -> bool {
    Reflect::get(&js_sys::global(), &"FileSystemFileHandle".into())
        .and_then(|class| Reflect::get(&class, &"prototype".into()))
        .and_then(|prototype| Reflect::get(&prototype, &"move".into()))
        .is_ok_and(|function| function.is_function())
}

async fn move_to(file: &FileSystemFileHandle, name: &str) -> Result<(), JsValue> {
    let function: Function = Reflect::get(file, &"move".into())?.dyn_into()?;
    let moved: Promise = function.call1(file, &name.into())?.dyn_into()?;
    JsFuture::from(moved).await.map(drop)
}

/// Metadata of a cached file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Meta {
    /// The server's validator of the file's version.
    identity: Option<String>,
    total: u64,
    /// The server has no such file.
    #[serde(default)]
    absent: bool,
    /// Layout of the server's file, if what is kept is a copy that differs.
    #[serde(default, rename = "f16", skip_serializing_if = "Option::is_none")]
    copy: Option<CopyLayout>,
}

impl ModelCache {
    /// The cache of models. `None` if the browser stores nothing (private windows).
    pub async fn open() -> Option<Self> {
        Self::named(FOLDER).await
    }

    /// A cache of another name, for other data.
    pub async fn named(name: &str) -> Option<Self> {
        match Self::files(name).await {
            Ok(folder) => Some(Self::Files(folder)),
            Err(_) => Self::cache(name).await.ok().map(Self::Cache),
        }
    }

    async fn files(name: &str) -> Result<FileSystemDirectoryHandle, JsValue> {
        let storage = Reflect::get(scope()?.navigator().as_ref(), &"storage".into())?;
        let has = |object: &JsValue, name: &str| {
            Reflect::get(object, &name.into()).is_ok_and(|value| value.is_function())
        };
        if !storage.is_object() || !has(&storage, "getDirectory") {
            return Err("no file system".into());
        }
        // Writing from a worker needs a recent browser; the other functions are older.
        let prototype = Reflect::get(&js_sys::global(), &"FileSystemFileHandle".into())
            .and_then(|class| Reflect::get(&class, &"prototype".into()))?;
        if !has(&prototype, "createSyncAccessHandle") {
            return Err("no writing in workers".into());
        }
        let root: FileSystemDirectoryHandle =
            JsFuture::from(scope()?.navigator().storage().get_directory())
                .await?
                .dyn_into()?;
        let create = FileSystemGetDirectoryOptions::new();
        create.set_create(true);
        JsFuture::from(root.get_directory_handle_with_options(name, &create))
            .await?
            .dyn_into()
    }

    async fn cache(name: &str) -> Result<Cache, JsValue> {
        JsFuture::from(scope()?.caches()?.open(name))
            .await?
            .dyn_into()
    }

    /// Replaces a byte string. What was there before stays if that fails, or if it is killed.
    pub async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
        self.write(name, bytes, 0).await
    }

    /// Writes a byte string from offset `at` on, its current end.
    async fn write(&self, name: &str, bytes: &[u8], at: u64) -> Result<(), CacheError> {
        let put = async || match self {
            Self::Files(folder) => {
                let fresh = format!("{name}{FRESH}");
                let aside = at == 0 && can_move();
                let target = if aside { &fresh } else { name };
                let create = FileSystemGetFileOptions::new();
                create.set_create(true);
                let file: FileSystemFileHandle =
                    JsFuture::from(folder.get_file_handle_with_options(target, &create))
                        .await?
                        .dyn_into()?;
                let writer: FileSystemSyncAccessHandle =
                    JsFuture::from(file.create_sync_access_handle())
                        .await?
                        .dyn_into()?;
                let written = (writer.truncate_with_f64(at as f64))
                    .and_then(|()| write_at(&writer, bytes, at))
                    .and_then(|count| match count as usize == bytes.len() {
                        true => writer.flush(),
                        false => Err(js_sys::Error::new("QuotaExceededError").into()),
                    });
                writer.close();
                let placed = match written {
                    Ok(()) if aside => match move_to(&file, name).await {
                        Ok(()) => Ok(()),
                        // Not every browser moves a file over another.
                        Err(_) => {
                            let _ = JsFuture::from(folder.remove_entry(name)).await;
                            move_to(&file, name).await
                        }
                    },
                    written => written,
                };
                if placed.is_err() && at == 0 {
                    let _ = JsFuture::from(folder.remove_entry(target)).await;
                }
                placed
            }
            Self::Cache(cache) => {
                let body = Uint8Array::from(bytes);
                let response = Response::new_with_opt_buffer_source(Some(&body))?;
                JsFuture::from(cache.put_with_str(&address(name), &response))
                    .await
                    .map(drop)
            }
        };
        put().await.map_err(|error: JsValue| {
            let text = describe(&error);
            let name = Reflect::get(&error, &"name".into()).ok();
            let name = name.and_then(|name| name.as_string()).unwrap_or_default();
            match name.contains("QuotaExceeded") || text.contains("QuotaExceeded") {
                true => CacheError::Full,
                false => CacheError::Other(text),
            }
        })
    }

    /// Reads a byte string.
    pub async fn get(&self, name: &str) -> Option<Vec<u8>> {
        let get = async || -> Result<Vec<u8>, JsValue> {
            let buffer = match self {
                Self::Files(_) => JsFuture::from(self.file(name).await?.array_buffer()).await?,
                Self::Cache(cache) => {
                    let response: Response = JsFuture::from(cache.match_with_str(&address(name)))
                        .await?
                        .dyn_into()?;
                    JsFuture::from(response.array_buffer()?).await?
                }
            };
            Ok(Uint8Array::new(&buffer).to_vec())
        };
        get().await.ok()
    }

    /// A byte string's file in OPFS.
    async fn file(&self, name: &str) -> Result<File, JsValue> {
        let Self::Files(folder) = self else {
            return Err("no file system".into());
        };
        let file: FileSystemFileHandle = JsFuture::from(folder.get_file_handle(name))
            .await?
            .dyn_into()?;
        JsFuture::from(file.get_file()).await?.dyn_into()
    }

    /// A byte string as a `File`, which can be posted to the page.
    pub async fn handle(&self, name: &str) -> Option<File> {
        let Self::Cache(cache) = self else {
            return self.file(name).await.ok();
        };
        let find = async || -> Result<File, JsValue> {
            let response: Response = JsFuture::from(cache.match_with_str(&address(name)))
                .await?
                .dyn_into()?;
            let blob = JsFuture::from(response.blob()?).await?;
            File::new_with_blob_sequence(&Array::of1(&blob), name)
        };
        find().await.ok()
    }

    /// Deletes a byte string.
    pub async fn delete(&self, name: &str) {
        // A missing entry is no error.
        let _ = match self {
            Self::Files(folder) => {
                let _ = JsFuture::from(folder.remove_entry(&format!("{name}{FRESH}"))).await;
                JsFuture::from(folder.remove_entry(name)).await
            }
            Self::Cache(cache) => JsFuture::from(cache.delete_with_str(&address(name))).await,
        };
    }

    /// Names of all byte strings.
    pub async fn names(&self) -> Vec<String> {
        let list = async || -> Result<Vec<String>, JsValue> {
            let mut names = Vec::new();
            match self {
                Self::Files(folder) => {
                    let keys = folder.keys();
                    loop {
                        let next = JsFuture::from(keys.next()?).await?;
                        if Reflect::get(&next, &"done".into())?.is_truthy() {
                            break;
                        }
                        names.extend(Reflect::get(&next, &"value".into())?.as_string());
                    }
                }
                Self::Cache(cache) => {
                    let requests: Array = JsFuture::from(cache.keys()).await?.dyn_into()?;
                    for request in requests.iter() {
                        let url = request.dyn_into::<Request>()?.url();
                        let Some((_, name)) = url.split_once(CACHE_URL_PREFIX) else {
                            continue;
                        };
                        names.extend(js_sys::decode_uri_component(name)?.as_string());
                    }
                }
            }
            names.retain(|name| !name.ends_with(FRESH));
            Ok(names)
        };
        list().await.unwrap_or_default()
    }

    /// Cached models with their sizes.
    pub async fn list(&self) -> Vec<CachedModel> {
        let mut models: BTreeMap<String, CachedModel> = BTreeMap::new();
        for name in self.names().await {
            let Some([model, file, part]) = split(&name) else {
                continue;
            };
            if part != META {
                continue;
            }
            let found = CachedFile::open(self, &model, &file).await;
            let bytes = found.kept_bytes();
            let cached = models.entry(model.clone()).or_insert(CachedModel {
                model: model.clone(),
                bytes: 0,
                complete: true,
                precision: StoredPrecision::AsDownloaded,
                used_words: false,
            });
            match found.copy().map(CopyLayout::precision) {
                Some(StoredPrecision::AsDownloaded) | None => {}
                Some(precision) => cached.precision = precision,
            }
            cached.used_words |= found.copy().is_some_and(|copy| copy.table().is_some());
            cached.bytes += bytes;
            cached.complete &= found.absent() || bytes == found.total();
        }
        models.into_values().collect()
    }

    /// Deletes all files of a model.
    pub async fn remove(&self, model: &str) {
        for name in self.names().await {
            if split(&name).is_some_and(|[of, ..]| of == model) {
                self.delete(&name).await;
            }
        }
    }

    /// Rows of the token embedding that the kept copy of a model's file is without.
    pub async fn rows(&self, model: &str, file: &str) -> Option<Vec<u8>> {
        self.get(&name_of(model, file, ROWS)).await
    }

    /// Keeps such rows, in the place of those before. They are deleted with the file.
    pub async fn put_rows(&self, model: &str, file: &str, rows: &[u8]) -> Result<(), CacheError> {
        self.put(&name_of(model, file, ROWS), rows).await
    }

    async fn meta(&self, model: &str, file: &str) -> Option<Meta> {
        let meta = self.get(&name_of(model, file, META)).await?;
        serde_json::from_slice(&meta).ok()
    }
}

/// Cached file of a model.
pub struct CachedFile<'a> {
    store: &'a ModelCache,
    model: &'a str,
    file: &'a str,
    meta: Option<Meta>,
    /// In OPFS, a snapshot of its bytes at opening.
    bytes: Option<File>,
    /// Number of complete chunks.
    chunks: u64,
    /// Chunk being filled.
    pending: Vec<u8>,
}

/// Name part of a file's metadata.
const META: &str = "meta";
/// Name part of a file's bytes in OPFS.
const BYTES: &str = "bytes";
/// Name part of the rows of a token embedding.
const ROWS: &str = "rows";

impl<'a> CachedFile<'a> {
    /// Entry of a model's file, which need not exist.
    pub async fn open(store: &'a ModelCache, model: &'a str, file: &'a str) -> Self {
        let meta = store.meta(model, file).await;
        let mut cached = Self {
            store,
            model,
            file,
            meta,
            bytes: None,
            chunks: 0,
            pending: Vec::new(),
        };
        if cached.total() == 0 {
            return cached;
        }
        match store {
            ModelCache::Files(_) => {
                cached.bytes = store.file(&name_of(model, file, BYTES)).await.ok();
                let size = cached.bytes.as_ref().map_or(0, |bytes| bytes.size() as u64);
                cached.chunks = match size == cached.total() {
                    true => size.div_ceil(CHUNK as u64),
                    false => size / CHUNK as u64,
                };
            }
            ModelCache::Cache(_) => {
                let present: HashSet<u64> = (store.names().await.iter())
                    .filter_map(|name| split(name))
                    .filter(|[of, this, _]| of == model && this == file)
                    .filter_map(|[_, _, part]| part.parse().ok())
                    .collect();
                let whole = cached.total().div_ceil(CHUNK as u64);
                cached.chunks = (0..whole)
                    .take_while(|index| present.contains(index))
                    .count() as u64;
            }
        }
        cached
    }

    /// Whether the cache has an entry for the file.
    pub fn known(&self) -> bool {
        self.meta.is_some()
    }

    /// Whether the server is known to lack the file.
    pub fn absent(&self) -> bool {
        self.meta.as_ref().is_some_and(|meta| meta.absent)
    }

    /// The server's validator of the version.
    pub fn identity(&self) -> Option<&str> {
        self.meta.as_ref()?.identity.as_deref()
    }

    /// Length of what is kept; 0 if unknown.
    pub fn total(&self) -> u64 {
        self.meta.as_ref().map_or(0, |meta| meta.total)
    }

    /// Layout of the server's file, if what is kept is a copy that differs.
    pub fn copy(&self) -> Option<&CopyLayout> {
        self.meta.as_ref()?.copy.as_ref()
    }

    /// Length of the server's file; 0 if unknown.
    pub fn file_bytes(&self) -> u64 {
        self.copy().map_or(self.total(), CopyLayout::file_bytes)
    }

    /// Whether all of it is there.
    pub fn complete(&self) -> bool {
        self.total() > 0 && self.chunks * CHUNK as u64 >= self.total()
    }

    /// Bytes that are kept, from the start of the file.
    pub fn kept_bytes(&self) -> u64 {
        (self.chunks * CHUNK as u64).min(self.total())
    }

    /// Requests kept bytes from `from` on, 0 or the end of an earlier request, to be read while others are
    /// processed; `None` at the end of what is kept.
    pub fn request(&self, from: u64) -> Option<PendingRead> {
        let kept = self.kept_bytes();
        if from >= kept {
            return None;
        }
        let (to, buffer) = match (&self.store, &self.bytes) {
            (ModelCache::Files(_), Some(bytes)) => {
                let to = (from + READ).min(kept);
                let slice = bytes.slice_with_f64_and_f64(from as f64, to as f64);
                (to, slice.map(|slice| slice.array_buffer()))
            }
            (ModelCache::Cache(cache), _) => {
                let index = from / CHUNK as u64;
                let name = name_of(self.model, self.file, &index.to_string());
                let to = ((index + 1) * CHUNK as u64).min(kept);
                (to, Ok(cache.match_with_str(&address(&name))))
            }
            _ => (kept, Err(JsValue::UNDEFINED)),
        };
        Some(PendingRead {
            range: from..to,
            promise: buffer.ok(),
        })
    }

    /// Starts the file over, of `total` bytes. `copy`: layout of the server's file, if a copy that
    /// differs is kept.
    pub async fn begin(
        &mut self,
        identity: Option<String>,
        total: u64,
        copy: Option<CopyLayout>,
    ) -> Result<(), CacheError> {
        self.discard().await;
        self.write_meta(Meta {
            identity,
            total,
            absent: false,
            copy,
        })
        .await
    }

    /// Records that there is no such file.
    pub async fn begin_absent(&mut self) -> Result<(), CacheError> {
        self.write_meta(Meta {
            absent: true,
            ..Meta::default()
        })
        .await
    }

    async fn write_meta(&mut self, meta: Meta) -> Result<(), CacheError> {
        let bytes = serde_json::to_vec(&meta).map_err(|e| CacheError::Other(e.to_string()))?;
        (self.store)
            .put(&name_of(self.model, self.file, META), &bytes)
            .await?;
        self.meta = Some(meta);
        Ok(())
    }

    /// Offset of the next byte to [`Self::append`].
    pub fn position(&self) -> u64 {
        self.chunks * CHUNK as u64 + self.pending.len() as u64
    }

    /// Appends bytes.
    pub async fn append(&mut self, mut bytes: &[u8]) -> Result<(), CacheError> {
        while !bytes.is_empty() {
            let space = CHUNK - self.pending.len();
            let (now, later) = bytes.split_at(space.min(bytes.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == CHUNK || self.position() == self.total() {
                let (part, at) = match self.store {
                    ModelCache::Files(_) => (BYTES.into(), self.chunks * CHUNK as u64),
                    ModelCache::Cache(_) => (self.chunks.to_string(), 0),
                };
                let name = name_of(self.model, self.file, &part);
                self.store.write(&name, &self.pending, at).await?;
                self.chunks += 1;
                self.pending.clear();
            }
        }
        Ok(())
    }

    /// Deletes the file's entries.
    pub async fn discard(&mut self) {
        // There may be more chunks than the consecutive ones.
        for name in self.store.names().await {
            if split(&name).is_some_and(|[model, file, _]| model == self.model && file == self.file)
            {
                self.store.delete(&name).await;
            }
        }
        self.meta = None;
        self.bytes = None;
        self.chunks = 0;
        self.pending.clear();
    }
}

/// Bytes being read.
pub struct PendingRead {
    range: Range<u64>,
    /// Promise of the bytes, or of a cache entry.
    promise: Option<Promise>,
}

impl PendingRead {
    /// Offset after the last of them.
    pub fn end(&self) -> u64 {
        self.range.end
    }

    /// The bytes; `None` if missing or incomplete.
    pub async fn read(self) -> Option<Vec<u8>> {
        let mut promise = JsFuture::from(self.promise?).await.ok()?;
        if let Some(response) = promise.dyn_ref::<Response>() {
            promise = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
        }
        let bytes = Uint8Array::new(promise.dyn_ref::<ArrayBuffer>()?).to_vec();
        (bytes.len() as u64 == self.range.end - self.range.start).then_some(bytes)
    }
}

/// Separates the parts of a name, in which it is encoded.
const SEPARATOR: char = ' ';
const CACHE_URL_PREFIX: &str = "/kept-models/";

fn name_of(model: &str, file: &str, part: &str) -> String {
    let encode = |text: &str| String::from(js_sys::encode_uri_component(text));
    format!(
        "{}{SEPARATOR}{}{SEPARATOR}{part}",
        encode(model),
        encode(file)
    )
}

fn split(name: &str) -> Option<[String; 3]> {
    let decode = |text| js_sys::decode_uri_component(text).ok()?.as_string();
    let mut parts = name.split(SEPARATOR);
    let [model, file, part] = [parts.next()?, parts.next()?, parts.next()?];
    Some([decode(model)?, decode(file)?, part.into()])
}

/// Keys of the Cache API are URLs; these are never fetched.
fn address(name: &str) -> String {
    format!("{CACHE_URL_PREFIX}{}", js_sys::encode_uri_component(name))
}

/// Number of bytes written.
fn write_at(writer: &FileSystemSyncAccessHandle, bytes: &[u8], at: u64) -> Result<f64, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"at".into(), &(at as f64).into())?;
    let write: Function = Reflect::get(writer, &"write".into())?.dyn_into()?;
    let count = write.call2(writer, &Uint8Array::from(bytes), &options)?;
    Ok(count.as_f64().unwrap_or_default())
}

fn scope() -> Result<WorkerGlobalScope, JsValue> {
    js_sys::global().dyn_into().map_err(JsValue::from)
}

pub(super) fn describe(error: &JsValue) -> String {
    (error.dyn_ref::<js_sys::Error>())
        .map(|error| String::from(error.message()))
        .unwrap_or_else(|| format!("{error:?}"))
}
