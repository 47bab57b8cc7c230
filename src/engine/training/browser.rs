//! [`Host`] in a Web Worker: files are handles, and storage is the origin private file
//! system.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use super::{EventAttachments, Host, HostError};
use crate::engine::Engine;
use crate::engine::messages::TrainingEvent;
use crate::hub::cache::{CacheError, ModelCache};
use crate::hub::{self, ModelFiles};
use crate::model::{Activation, Clip};

/// Name of the cache.
const CACHE_NAME: &str = "training";

/// Sink of events.
pub type EventSink = Box<dyn Fn(TrainingEvent, EventAttachments<File>)>;

/// Web Worker as the host of a training.
pub struct Browser<M> {
    sink: EventSink,
    /// Opened on first use; the inner `None` means that this browser stores nothing.
    cache: RefCell<Option<Option<Rc<ModelCache>>>>,
    model: RefCell<Option<(Rc<M>, Option<Activation>)>>,
}

impl<M: ModelFiles> Browser<M> {
    /// Host that passes events to `sink`.
    pub fn new(sink: EventSink) -> Self {
        Self {
            sink,
            cache: RefCell::default(),
            model: RefCell::default(),
        }
    }

    /// Sets the files of the engine's model, which are read again for training.
    pub fn set_model(&self, files: Rc<M>, activation: Option<Activation>) {
        self.model.replace(Some((files, activation)));
    }

    /// Stores nothing from here on.
    pub fn store_nothing(&self) {
        self.cache.replace(Some(None));
    }

    fn files(&self) -> Option<(Rc<M>, Option<Activation>)> {
        self.model.borrow().clone()
    }

    async fn cache(&self) -> Option<Rc<ModelCache>> {
        let opened = self.cache.borrow().clone();
        match opened {
            Some(cache) => cache,
            None => {
                let cache = ModelCache::named(CACHE_NAME).await.map(Rc::new);
                self.cache.replace(Some(cache.clone()));
                cache
            }
        }
    }
}

impl<M: ModelFiles> Host for Browser<M> {
    type File = File;

    async fn read(&self, file: &File) -> Result<Vec<u8>, HostError> {
        match JsFuture::from(file.array_buffer()).await {
            Ok(buffer) => Ok(Uint8Array::new(&buffer).to_vec()),
            Err(_) => Err(HostError::Read(
                "the file could not be read: it is a folder, or it has been moved or changed"
                    .into(),
            )),
        }
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        let cache = self.cache().await.ok_or(HostError::NoStorage)?;
        cache.put(name, bytes).await.map_err(|error| match error {
            CacheError::Full => HostError::StorageFull,
            CacheError::Other(why) => HostError::Store(why),
        })
    }

    async fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.cache().await?.get(name).await
    }

    async fn file(&self, name: &str) -> Option<File> {
        self.cache().await?.handle(name).await
    }

    async fn delete(&self, name: &str) {
        if let Some(cache) = self.cache().await {
            cache.delete(name).await;
        }
    }

    async fn names(&self) -> Vec<String> {
        match self.cache().await {
            Some(cache) => cache.names().await,
            None => Vec::new(),
        }
    }

    async fn model(&self, engine: &Engine) -> Result<Clip, HostError> {
        let (files, activation) = self.files().ok_or(HostError::NoModel)?;
        let bundle = hub::open(&*files, activation).await?;
        let target = engine.target_for_training();
        let loaded = hub::load(&*files, &bundle, engine.device(), target, &mut |_| ()).await?;
        Ok(loaded.model)
    }

    async fn model_file(&self, name: &str) -> Option<Vec<u8>> {
        let (files, _) = self.files()?;
        files.read(name).await.ok()?
    }

    fn now(&self) -> f64 {
        js_sys::Date::now()
    }

    fn memory(&self, gpu: bool) -> Option<u64> {
        // Browsers do not expose the memory of a GPU.
        (!gpu).then_some(u32::MAX.into())
    }

    fn emit(&self, event: TrainingEvent, attachments: EventAttachments<File>) {
        (self.sink)(event, attachments);
    }
}
