//! Environment of a training: files, storage, clock, events.

use super::super::Engine;
use super::super::messages::TrainingEvent;
use super::HostError;
use crate::model::Clip;

/// Time between checkpoints.
const CHECKPOINT_INTERVAL_MS: f64 = 25e3;

/// Environment: a Web Worker, the command, or a test.
#[allow(async_fn_in_trait)] // one thread
pub trait Host {
    /// Handle of a picture's file.
    type File: Clone;

    /// Reads a picture's file.
    async fn read(&self, file: &Self::File) -> Result<Vec<u8>, HostError>;

    /// Stores bytes under a name, replacing what was there; all of them or, with an
    /// error, none.
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), HostError>;
    /// Reads stored bytes; `None` if there are none.
    async fn get(&self, name: &str) -> Option<Vec<u8>>;
    /// Handle of stored bytes.
    async fn file(&self, name: &str) -> Option<Self::File>;
    /// Deletes stored bytes, if there are any.
    async fn delete(&self, name: &str);
    /// Names of all stored entries.
    async fn names(&self) -> Vec<String>;

    /// The engine's model, unpacked, on its device.
    async fn model(&self, engine: &Engine) -> Result<Clip, HostError>;
    /// Small file of the model, such as its tokenizer.
    async fn model_file(&self, name: &str) -> Option<Vec<u8>>;

    /// Milliseconds since 1970.
    fn now(&self) -> f64;
    /// Available memory in bytes, if known.
    fn memory(&self, gpu: bool) -> Option<u64>;

    /// Milliseconds between checkpoints.
    fn checkpoint_interval_ms(&self) -> f64 {
        CHECKPOINT_INTERVAL_MS
    }

    /// Passes on an event.
    fn emit(&self, event: TrainingEvent, attachments: EventAttachments<Self::File>);
}

/// Attachments of an event.
pub enum EventAttachments<F> {
    /// No attachment.
    Nothing,
    /// Contents of files.
    Bytes(Vec<Vec<u8>>),
    /// Handles of files.
    Files(Vec<F>),
}
