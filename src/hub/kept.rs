//! Model files that this browser keeps, so that they come over the network once.
//!
//! In the origin private file system, or in the Cache API where a browser has
//! none. Either is used as a heap of named byte strings: a file is its `meta` and
//! its bytes, written in chunks of [`CHUNK`], so that a download that breaks off
//! leaves whole chunks to go on from. In the file system the bytes are one file;
//! a cache has an entry for each chunk, since an entry cannot grow.

use std::collections::{BTreeMap, HashSet};

use js_sys::{Array, ArrayBuffer, Function, Object, Promise, Reflect, Uint8Array};
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Cache, File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemSyncAccessHandle, Request, Response, WorkerGlobalScope,
};

use crate::engine::messages::KeptModel;

/// Bytes that are written at once.
const CHUNK: usize = 4 << 20;
/// Folder, or cache, that everything lies in.
const FOLDER: &str = "models";

/// Where files are kept.
pub enum Shelf {
    Files(FileSystemDirectoryHandle),
    Cache(Cache),
}

/// Why something could not be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepError {
    /// The browser gives no more room.
    Full,
    Other(String),
}

/// What is known of a file beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Meta {
    /// What the server said to tell this file from a later one.
    identity: Option<String>,
    total: u64,
    /// The server has no such file.
    #[serde(default)]
    absent: bool,
}

impl Shelf {
    /// The models' shelf. `None` where the browser keeps nothing (private windows).
    pub async fn open() -> Option<Self> {
        Self::named(FOLDER).await
    }

    /// Another one, for other things than models.
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
        // Writing in a worker has been there longer than anything else there is.
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

    /// Writes all of a byte string anew.
    pub async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), KeepError> {
        self.write(name, bytes, 0).await
    }

    /// Writes a byte string from place `at` on, where it ends so far.
    async fn write(&self, name: &str, bytes: &[u8], at: u64) -> Result<(), KeepError> {
        let put = async || match self {
            Self::Files(folder) => {
                let create = FileSystemGetFileOptions::new();
                create.set_create(true);
                let file: FileSystemFileHandle =
                    JsFuture::from(folder.get_file_handle_with_options(name, &create))
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
                if written.is_err() && at == 0 {
                    let _ = JsFuture::from(folder.remove_entry(name)).await;
                }
                written
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
                true => KeepError::Full,
                false => KeepError::Other(text),
            }
        })
    }

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

    /// What a byte string is in the file system.
    async fn file(&self, name: &str) -> Result<File, JsValue> {
        let Self::Files(folder) = self else {
            return Err("no file system".into());
        };
        let file: FileSystemFileHandle = JsFuture::from(folder.get_file_handle(name))
            .await?
            .dyn_into()?;
        JsFuture::from(file.get_file()).await?.dyn_into()
    }

    /// A byte string as a handle, which can be given to the page.
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

    pub async fn delete(&self, name: &str) {
        // What is not there need not be deleted.
        let _ = match self {
            Self::Files(folder) => JsFuture::from(folder.remove_entry(name)).await,
            Self::Cache(cache) => JsFuture::from(cache.delete_with_str(&address(name))).await,
        };
    }

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
                        let Some((_, name)) = url.split_once(KEPT_ADDRESS) else {
                            continue;
                        };
                        names.extend(js_sys::decode_uri_component(name)?.as_string());
                    }
                }
            }
            Ok(names)
        };
        list().await.unwrap_or_default()
    }

    /// Everything that is kept, by model.
    pub async fn list(&self) -> Vec<KeptModel> {
        let mut models: BTreeMap<String, KeptModel> = BTreeMap::new();
        for name in self.names().await {
            let Some([model, file, part]) = split(&name) else {
                continue;
            };
            if part != META {
                continue;
            }
            let found = KeptFile::open(self, &model, &file).await;
            let bytes = (found.chunks * CHUNK as u64).min(found.total());
            let kept = models.entry(model.clone()).or_insert(KeptModel {
                model: model.clone(),
                bytes: 0,
                complete: true,
            });
            kept.bytes += bytes;
            kept.complete &= found.absent() || bytes == found.total();
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

    async fn meta(&self, model: &str, file: &str) -> Option<Meta> {
        let meta = self.get(&name_of(model, file, META)).await?;
        serde_json::from_slice(&meta).ok()
    }
}

/// One file of a model on the shelf.
pub struct KeptFile<'a> {
    shelf: &'a Shelf,
    model: &'a str,
    file: &'a str,
    meta: Option<Meta>,
    /// In the file system, what there was of its bytes when this was opened.
    bytes: Option<File>,
    /// Whole chunks on the shelf.
    chunks: u64,
    /// The chunk that is being filled.
    filling: Vec<u8>,
}

/// The part of a kept file's name that says what is known of it…
const META: &str = "meta";
/// …and the one of its bytes in the file system.
const BYTES: &str = "bytes";

impl<'a> KeptFile<'a> {
    pub async fn open(shelf: &'a Shelf, model: &'a str, file: &'a str) -> Self {
        let meta = shelf.meta(model, file).await;
        let mut kept = Self {
            shelf,
            model,
            file,
            meta,
            bytes: None,
            chunks: 0,
            filling: Vec::new(),
        };
        if kept.total() == 0 {
            return kept;
        }
        match shelf {
            Shelf::Files(_) => {
                kept.bytes = shelf.file(&name_of(model, file, BYTES)).await.ok();
                let size = kept.bytes.as_ref().map_or(0, |bytes| bytes.size() as u64);
                kept.chunks = match size == kept.total() {
                    true => size.div_ceil(CHUNK as u64),
                    false => size / CHUNK as u64,
                };
            }
            Shelf::Cache(_) => {
                let present: HashSet<u64> = (shelf.names().await.iter())
                    .filter_map(|name| split(name))
                    .filter(|[of, this, _]| of == model && this == file)
                    .filter_map(|[_, _, part]| part.parse().ok())
                    .collect();
                let whole = kept.total().div_ceil(CHUNK as u64);
                kept.chunks = (0..whole)
                    .take_while(|index| present.contains(index))
                    .count() as u64;
            }
        }
        kept
    }

    /// Whether anything is known of the file.
    pub fn known(&self) -> bool {
        self.meta.is_some()
    }

    /// Whether it is known that there is no such file.
    pub fn absent(&self) -> bool {
        self.meta.as_ref().is_some_and(|meta| meta.absent)
    }

    pub fn identity(&self) -> Option<&str> {
        self.meta.as_ref()?.identity.as_deref()
    }

    /// Length of the whole file; 0 when nothing is known of it.
    pub fn total(&self) -> u64 {
        self.meta.as_ref().map_or(0, |meta| meta.total)
    }

    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Asks for a chunk that was there when this was opened: it comes while
    /// another is worked on.
    pub fn ask(&self, index: u64) -> Chunk {
        let start = index * CHUNK as u64;
        let length = self.total().saturating_sub(start).min(CHUNK as u64);
        let buffer = match (&self.shelf, &self.bytes) {
            (Shelf::Files(_), Some(bytes)) => (bytes
                .slice_with_f64_and_f64(start as f64, (start + length) as f64))
            .map(|slice| slice.array_buffer()),
            (Shelf::Cache(cache), _) => {
                let name = name_of(self.model, self.file, &index.to_string());
                Ok(cache.match_with_str(&address(&name)))
            }
            _ => Err(JsValue::UNDEFINED),
        };
        Chunk {
            length,
            answer: buffer.ok(),
        }
    }

    /// Begins the file anew.
    pub async fn begin(&mut self, identity: Option<String>, total: u64) -> Result<(), KeepError> {
        self.discard().await;
        self.write_meta(Meta {
            identity,
            total,
            absent: false,
        })
        .await
    }

    /// Notes that there is no such file.
    pub async fn begin_absent(&mut self) -> Result<(), KeepError> {
        self.write_meta(Meta {
            absent: true,
            ..Meta::default()
        })
        .await
    }

    async fn write_meta(&mut self, meta: Meta) -> Result<(), KeepError> {
        let bytes = serde_json::to_vec(&meta).map_err(|e| KeepError::Other(e.to_string()))?;
        (self.shelf)
            .put(&name_of(self.model, self.file, META), &bytes)
            .await?;
        self.meta = Some(meta);
        Ok(())
    }

    /// Where the next byte that [`Self::append`] takes lies in the file.
    pub fn position(&self) -> u64 {
        self.chunks * CHUNK as u64 + self.filling.len() as u64
    }

    /// The file's next bytes.
    pub async fn append(&mut self, mut bytes: &[u8]) -> Result<(), KeepError> {
        while !bytes.is_empty() {
            let room = CHUNK - self.filling.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.filling.extend_from_slice(now);
            bytes = later;
            if self.filling.len() == CHUNK || self.position() == self.total() {
                let (part, at) = match self.shelf {
                    Shelf::Files(_) => (BYTES.into(), self.chunks * CHUNK as u64),
                    Shelf::Cache(_) => (self.chunks.to_string(), 0),
                };
                let name = name_of(self.model, self.file, &part);
                self.shelf.write(&name, &self.filling, at).await?;
                self.chunks += 1;
                self.filling.clear();
            }
        }
        Ok(())
    }

    /// Deletes what is kept of it.
    pub async fn discard(&mut self) {
        // The file may have more than the chunks in a row.
        for name in self.shelf.names().await {
            if split(&name).is_some_and(|[model, file, _]| model == self.model && file == self.file)
            {
                self.shelf.delete(&name).await;
            }
        }
        self.meta = None;
        self.bytes = None;
        self.chunks = 0;
        self.filling.clear();
    }
}

/// A chunk on its way from the shelf.
pub struct Chunk {
    length: u64,
    /// Of its bytes, or of a cache's entry.
    answer: Option<Promise>,
}

impl Chunk {
    /// Its bytes; `None` if it is not there or not whole.
    pub async fn read(self) -> Option<Vec<u8>> {
        let mut answer = JsFuture::from(self.answer?).await.ok()?;
        if let Some(response) = answer.dyn_ref::<Response>() {
            answer = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
        }
        let bytes = Uint8Array::new(answer.dyn_ref::<ArrayBuffer>()?).to_vec();
        (bytes.len() as u64 == self.length).then_some(bytes)
    }
}

/// Between a name's parts: encoding leaves no space in them.
const SEPARATOR: char = ' ';
const KEPT_ADDRESS: &str = "/kept-models/";

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

/// A cache's keys are addresses; nothing is ever fetched from these.
fn address(name: &str) -> String {
    format!("{KEPT_ADDRESS}{}", js_sys::encode_uri_component(name))
}

/// How many bytes were written.
fn write_at(writer: &FileSystemSyncAccessHandle, bytes: &[u8], at: u64) -> Result<f64, JsValue> {
    let place = Object::new();
    Reflect::set(&place, &"at".into(), &(at as f64).into())?;
    let write: Function = Reflect::get(writer, &"write".into())?.dyn_into()?;
    let count = write.call2(writer, &Uint8Array::from(bytes), &place)?;
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
