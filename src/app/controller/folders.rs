//! Folders of the visitor's disk, where the browser gives access to them (File System
//! Access): chosen once, their handles are kept in IndexedDB and opened again on a later
//! visit with one click. Elsewhere none of this is offered.

use js_sys::{Array, AsyncIterator, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions,
};

use super::engine::describe;
use crate::app::i18n::message;
use crate::data::{file_name, numbered};
use crate::diagnostic::Diagnostic;
use crate::library::is_image_name;

/// Name of the database, of its store, and their version.
const DATABASE: &str = "clip.folders";
const STORE: &str = "handles";
const VERSION: u32 = 1;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_name = showDirectoryPicker)]
    fn show_directory_picker(options: &Object) -> Result<Promise, JsValue>;

    type Handle;
    #[wasm_bindgen(method, catch, js_name = queryPermission)]
    fn query_permission(this: &Handle, options: &Object) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = requestPermission)]
    fn request_permission(this: &Handle, options: &Object) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = isSameEntry)]
    fn is_same_entry(this: &Handle, other: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = createWritable)]
    fn create_writable(this: &Handle) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method)]
    fn values(this: &Handle) -> AsyncIterator;

    type Writable;
    #[wasm_bindgen(method, catch)]
    fn write(this: &Writable, file: &File) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn close(this: &Writable) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn abort(this: &Writable) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = indexedDB, js_name = open)]
    fn open_database(name: &str, version: u32) -> Result<IdbRequest, JsValue>;
    type IdbRequest;
    #[wasm_bindgen(method, getter)]
    fn result(this: &IdbRequest) -> JsValue;
    #[wasm_bindgen(method, setter, js_name = onsuccess)]
    fn set_onsuccess(this: &IdbRequest, heard: &Function);
    #[wasm_bindgen(method, setter, js_name = onerror)]
    fn set_onerror(this: &IdbRequest, heard: &Function);
    #[wasm_bindgen(method, setter, js_name = onupgradeneeded)]
    fn set_onupgradeneeded(this: &IdbRequest, heard: &JsValue);
    type IdbDatabase;
    #[wasm_bindgen(method, catch, js_name = createObjectStore)]
    fn create_object_store(this: &IdbDatabase, name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn transaction(this: &IdbDatabase, store: &str, mode: &str) -> Result<IdbTransaction, JsValue>;
    #[wasm_bindgen(method, js_name = close)]
    fn close_database(this: &IdbDatabase);
    type IdbTransaction;
    #[wasm_bindgen(method, catch, js_name = objectStore)]
    fn object_store(this: &IdbTransaction, name: &str) -> Result<IdbStore, JsValue>;
    type IdbStore;
    #[wasm_bindgen(method, catch)]
    fn put(this: &IdbStore, value: &JsValue, key: &str) -> Result<IdbRequest, JsValue>;
    #[wasm_bindgen(method, catch, js_name = delete)]
    fn remove(this: &IdbStore, key: &str) -> Result<IdbRequest, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getAll)]
    fn get_all(this: &IdbStore) -> Result<IdbRequest, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getAllKeys)]
    fn get_all_keys(this: &IdbStore) -> Result<IdbRequest, JsValue>;
}

/// Folder of the disk, with the name by which it is kept.
#[derive(Clone)]
pub struct DiskFolder {
    /// Name of the folder, with a number if another of that name is kept.
    pub name: String,
    handle: FileSystemDirectoryHandle,
}

/// What may be done with a folder.
#[derive(Clone, Copy)]
pub enum Access {
    Read,
    Write,
}

impl Access {
    fn options(self) -> Object {
        let mode = match self {
            Self::Read => "read",
            Self::Write => "readwrite",
        };
        let options = Object::new();
        // Fails for objects that are sealed only.
        let _ = Reflect::set(&options, &"mode".into(), &mode.into());
        options
    }
}

/// Whether this browser gives access to folders.
pub fn supported() -> bool {
    Reflect::get(&js_sys::global(), &"showDirectoryPicker".into())
        .is_ok_and(|picker| picker.is_function())
}

/// Lets the visitor choose a folder; `None` if they did not.
pub async fn choose(access: Access) -> Result<Option<DiskFolder>, Diagnostic> {
    let options = access.options();
    // Another place on disk for each of them is remembered.
    let id = match access {
        Access::Read => "library",
        Access::Write => "sorted",
    };
    let _ = Reflect::set(&options, &"id".into(), &id.into());
    let chosen = async { JsFuture::from(show_directory_picker(&options)?).await };
    match chosen.await {
        Ok(handle) => {
            let handle: FileSystemDirectoryHandle = handle.unchecked_into();
            let name = handle.name();
            Ok(Some(DiskFolder { name, handle }))
        }
        Err(error) if error_name(&error) == "AbortError" => Ok(None),
        Err(error) => Err(message!("folder-not-opened", error = describe(&error))),
    }
}

fn error_name(error: &JsValue) -> String {
    let name = Reflect::get(error, &"name".into()).ok();
    name.and_then(|name| name.as_string()).unwrap_or_default()
}

/// Image files of a folder.
pub struct FoundFiles {
    /// Path in the folder, with `/` between folders.
    pub files: Vec<(String, File)>,
    /// Number of other files.
    pub other: usize,
    /// Folders and files that could not be read.
    pub unread: Vec<String>,
}

/// Files that are opened at once.
const AT_ONCE: usize = 64;

impl DiskFolder {
    /// Whether the visitor allows the access; asks, if need be. Call while a click is
    /// handled.
    pub async fn allowed(&self, access: Access) -> bool {
        let handle: &Handle = self.handle.unchecked_ref();
        let options = access.options();
        let granted = async |asked: Result<Promise, JsValue>| {
            let state = JsFuture::from(asked?).await?;
            Ok::<_, JsValue>(state.as_string().as_deref() == Some("granted"))
        };
        // A browser without the question grants what it grants.
        granted(handle.query_permission(&options)).await != Ok(false)
            || granted(handle.request_permission(&options)).await == Ok(true)
    }

    /// All images of the folder and the folders in it. Hidden ones are left out. `seen` is
    /// called with the number of images so far.
    pub async fn images(&self, mut seen: impl FnMut(usize)) -> FoundFiles {
        let mut found = FoundFiles {
            files: Vec::new(),
            other: 0,
            unread: Vec::new(),
        };
        let mut folders = vec![(String::new(), self.handle.clone())];
        while let Some((path, folder)) = folders.pop() {
            let entries = folder.unchecked_ref::<Handle>().values();
            let mut files: Vec<(String, FileSystemFileHandle)> = Vec::new();
            loop {
                let next = async {
                    let next = JsFuture::from(entries.next()?).await?;
                    match Reflect::get(&next, &"done".into())?.is_truthy() {
                        true => Ok(None),
                        false => Ok::<_, JsValue>(Some(Reflect::get(&next, &"value".into())?)),
                    }
                };
                match next.await {
                    Ok(Some(entry)) => {
                        let text = |key: &str| {
                            let text = Reflect::get(&entry, &key.into()).ok();
                            text.and_then(|text| text.as_string()).unwrap_or_default()
                        };
                        let inner = format!("{path}{}", text("name"));
                        if file_name(&inner).starts_with('.') {
                            continue;
                        }
                        match text("kind").as_str() {
                            "directory" => {
                                folders.push((format!("{inner}/"), entry.unchecked_into()));
                            }
                            _ if is_image_name(&inner) => {
                                files.push((inner, entry.unchecked_into()));
                            }
                            _ => found.other += 1,
                        }
                    }
                    Ok(None) => break,
                    Err(_) => {
                        let name = path.trim_end_matches('/');
                        found.unread.push(match name {
                            "" => self.name.clone(),
                            name => name.to_owned(),
                        });
                        break;
                    }
                }
            }
            for some in files.chunks(AT_ONCE) {
                let asked: Array = (some.iter())
                    .map(|(_, handle)| JsValue::from(handle.get_file()))
                    .collect();
                // It waits for all, and is never rejected.
                let settled = JsFuture::from(Promise::all_settled(&asked)).await;
                let settled = settled.map(|all| Array::from(&all)).unwrap_or_default();
                for ((path, _), one) in some.iter().zip(settled.iter()) {
                    let file = Reflect::get(&one, &"value".into()).ok();
                    match file.and_then(|file| file.dyn_into::<File>().ok()) {
                        Some(file) => found.files.push((path.clone(), file)),
                        None => found.unread.push(path.clone()),
                    }
                }
                seen(found.files.len());
            }
        }
        found
    }

    /// Copies a file into the folder `into`, which is made if need be. No file is
    /// overwritten: "cat (2).jpg".
    pub async fn copy(&self, into: &str, name: &str, file: &File) -> Result<(), CopyError> {
        let copied = async {
            let create = FileSystemGetDirectoryOptions::new();
            create.set_create(true);
            let folder: FileSystemDirectoryHandle =
                JsFuture::from((self.handle).get_directory_handle_with_options(into, &create))
                    .await?
                    .unchecked_into();
            let free = free_name(&folder, name).await?;
            let create = FileSystemGetFileOptions::new();
            create.set_create(true);
            let target: Handle =
                JsFuture::from(folder.get_file_handle_with_options(&free, &create))
                    .await?
                    .unchecked_into();
            let writable: Writable = JsFuture::from(target.create_writable()?)
                .await?
                .unchecked_into();
            let written = async {
                JsFuture::from(writable.write(file)?).await?;
                JsFuture::from(writable.close()?).await
            };
            if let Err(error) = written.await {
                if let Ok(aborted) = writable.abort() {
                    let _ = JsFuture::from(aborted).await;
                }
                // Nothing half-written stays.
                let _ = JsFuture::from(folder.remove_entry(&free)).await;
                return Err(error);
            }
            Ok::<_, JsValue>(())
        };
        copied
            .await
            .map_err(|error| match error_name(&error).as_str() {
                "QuotaExceededError" => CopyError::Full,
                "NotAllowedError" => CopyError::Forbidden,
                _ => CopyError::Other(describe(&error)),
            })
    }

    /// Keeps the folder's handle. A folder that is kept already has its name of then;
    /// another one of the same name gets a number.
    pub async fn keep(&mut self) {
        let kept = kept().await;
        let own: &Handle = self.handle.unchecked_ref();
        for known in &kept {
            let same = async { JsFuture::from(own.is_same_entry(&known.handle)?).await };
            if same.await.is_ok_and(|same| same.is_truthy()) {
                self.name.clone_from(&known.name);
                return;
            }
        }
        let name = self.handle.name();
        let taken = |name: &str| kept.iter().any(|known| known.name == name);
        self.name = name.clone();
        let mut number = 2;
        while taken(&self.name) {
            self.name = format!("{name} ({number})");
            number += 1;
        }
        // Where nothing is kept the folder is chosen again on the next visit.
        let _ = with_store("readwrite", |store| store.put(&self.handle, &self.name)).await;
    }
}

/// Why a file could not be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyError {
    Full,
    Forbidden,
    Other(String),
}

/// The name, or one like it that no file of the folder has.
async fn free_name(folder: &FileSystemDirectoryHandle, name: &str) -> Result<String, JsValue> {
    let mut free = name.to_owned();
    let mut number = 2;
    loop {
        match JsFuture::from(folder.get_file_handle(&free)).await {
            Ok(_) => {}
            Err(error) if error_name(&error) == "NotFoundError" => return Ok(free),
            // A folder has the name.
            Err(error) if error_name(&error) == "TypeMismatchError" => {}
            Err(error) => return Err(error),
        }
        free = numbered(name, number);
        number += 1;
    }
}

/// The folders of earlier visits, by name.
pub async fn kept() -> Vec<DiskFolder> {
    let names = with_store("readonly", IdbStore::get_all_keys).await;
    let handles = with_store("readonly", IdbStore::get_all).await;
    let (Ok(names), Ok(handles)) = (names, handles) else {
        return Vec::new();
    };
    // Both in the order of the keys.
    let mut kept: Vec<DiskFolder> = (Array::from(&names).iter())
        .zip(Array::from(&handles).iter())
        .filter_map(|(name, handle)| {
            Some(DiskFolder {
                name: name.as_string()?,
                handle: handle.unchecked_into(),
            })
        })
        .collect();
    kept.sort_by_cached_key(|folder| folder.name.to_lowercase());
    kept
}

/// Forgets a folder.
pub async fn forget(name: &str) {
    // It is not there, or nothing is kept.
    let _ = with_store("readwrite", |store| store.remove(name)).await;
}

/// Result of a request to the database.
async fn with_store(
    mode: &str,
    ask: impl FnOnce(&IdbStore) -> Result<IdbRequest, JsValue>,
) -> Result<JsValue, JsValue> {
    let asked = open_database(DATABASE, VERSION)?;
    let upgrade = {
        let asked: IdbRequest = JsValue::from(&asked).unchecked_into();
        Closure::once_into_js(move || {
            let database: IdbDatabase = asked.result().unchecked_into();
            // It is there already.
            let _ = database.create_object_store(STORE);
        })
    };
    asked.set_onupgradeneeded(&upgrade);
    let database: IdbDatabase = settled(&asked).await?.unchecked_into();
    let answer = async {
        let store = database.transaction(STORE, mode)?.object_store(STORE)?;
        settled(&ask(&store)?).await
    };
    let answer = answer.await;
    database.close_database();
    answer
}

async fn settled(request: &IdbRequest) -> Result<JsValue, JsValue> {
    let promise = Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(&resolve);
        request.set_onerror(&reject);
    });
    JsFuture::from(promise).await?;
    Ok(request.result())
}
