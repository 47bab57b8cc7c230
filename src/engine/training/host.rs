//! What training needs of the place where it runs.

use super::super::Engine;
use super::super::messages::TrainingEvent;
use crate::model::Clip;

/// The worker, or a test.
#[allow(async_fn_in_trait)] // one thread
pub trait Host {
    /// A handle to a picture's file.
    type File: Clone;

    async fn read(&self, file: &Self::File) -> Result<Vec<u8>, String>;

    /// Keeps bytes under a name, for a later visit, in the place of what was
    /// there. Either all of them are kept or, with an error, none.
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), String>;
    async fn get(&self, name: &str) -> Option<Vec<u8>>;
    /// The same as a handle.
    async fn file(&self, name: &str) -> Option<Self::File>;
    async fn delete(&self, name: &str);
    /// Of all that is kept.
    async fn names(&self) -> Vec<String>;

    /// The engine's model as its files have it, not packed, on its device.
    async fn model(&self, engine: &Engine) -> Result<Clip, String>;
    /// One of the small files beside it, such as its tokenizer.
    async fn model_file(&self, name: &str) -> Option<Vec<u8>>;

    /// Milliseconds since 1970.
    fn now(&self) -> f64;
    /// Bytes that are left to be used, as far as anybody can tell.
    fn memory(&self, gpu: bool) -> Option<u64>;

    fn say(&self, event: TrainingEvent, beside: Beside<Self::File>);
}

/// What travels beside an event.
pub enum Beside<F> {
    Nothing,
    Bytes(Vec<Vec<u8>>),
    Files(Vec<F>),
}
