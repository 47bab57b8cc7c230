//! The worker as a place to train in: files are handles, and what is kept lies
//! in the origin private file system.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use super::{Beside, Host};
use crate::engine::Engine;
use crate::engine::messages::TrainingEvent;
use crate::hub::kept::{KeepError, Shelf};
use crate::hub::{self, ModelFiles};
use crate::model::{Activation, Clip};

/// Name of the shelf.
const SHELF: &str = "training";

/// How events are told.
pub type Tell = Box<dyn Fn(TrainingEvent, Beside<File>)>;

pub struct Browser<M> {
    tell: Tell,
    /// Opened when it is needed first; `None` within: this browser keeps nothing.
    shelf: RefCell<Option<Option<Rc<Shelf>>>>,
    model: RefCell<Option<(Rc<M>, Option<Activation>)>>,
}

impl<M: ModelFiles> Browser<M> {
    pub fn new(tell: Tell) -> Self {
        Self {
            tell,
            shelf: RefCell::default(),
            model: RefCell::default(),
        }
    }

    /// Where the engine's model comes from: it is read again to be trained.
    pub fn set_model(&self, files: Rc<M>, activation: Option<Activation>) {
        self.model.replace(Some((files, activation)));
    }

    fn files(&self) -> Option<(Rc<M>, Option<Activation>)> {
        self.model.borrow().clone()
    }

    async fn shelf(&self) -> Option<Rc<Shelf>> {
        let opened = self.shelf.borrow().clone();
        match opened {
            Some(shelf) => shelf,
            None => {
                let shelf = Shelf::named(SHELF).await.map(Rc::new);
                self.shelf.replace(Some(shelf.clone()));
                shelf
            }
        }
    }
}

impl<M: ModelFiles> Host for Browser<M> {
    type File = File;

    async fn read(&self, file: &File) -> Result<Vec<u8>, String> {
        match JsFuture::from(file.array_buffer()).await {
            Ok(buffer) => Ok(Uint8Array::new(&buffer).to_vec()),
            Err(_) => Err(
                "the file could not be read: it is a folder, or it has been moved or changed"
                    .into(),
            ),
        }
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let shelf = self
            .shelf()
            .await
            .ok_or("private windows cannot store files")?;
        shelf.put(name, bytes).await.map_err(|error| match error {
            KeepError::Full => "not enough storage space".into(),
            KeepError::Other(why) => why,
        })
    }

    async fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.shelf().await?.get(name).await
    }

    async fn file(&self, name: &str) -> Option<File> {
        self.shelf().await?.handle(name).await
    }

    async fn delete(&self, name: &str) {
        if let Some(shelf) = self.shelf().await {
            shelf.delete(name).await;
        }
    }

    async fn names(&self) -> Vec<String> {
        match self.shelf().await {
            Some(shelf) => shelf.names().await,
            None => Vec::new(),
        }
    }

    async fn model(&self, engine: &Engine) -> Result<Clip, String> {
        let (files, activation) = self.files().ok_or("no model is loaded")?;
        let bundle = hub::open(&*files, activation)
            .await
            .map_err(|e| e.to_string())?;
        let loaded = hub::load(&*files, &bundle, engine.device(), None, &mut |_| ()).await;
        Ok(loaded.map_err(|error| error.to_string())?.model)
    }

    async fn model_file(&self, name: &str) -> Option<Vec<u8>> {
        let (files, _) = self.files()?;
        files.read(name).await.ok()?
    }

    fn now(&self) -> f64 {
        js_sys::Date::now()
    }

    fn memory(&self, gpu: bool) -> Option<u64> {
        // A page is not told how much a GPU has.
        (!gpu).then_some(u32::MAX.into())
    }

    fn say(&self, event: TrainingEvent, beside: Beside<File>) {
        (self.tell)(event, beside);
    }
}
