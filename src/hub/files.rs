//! Model files chosen by the visitor.

use std::ops::ControlFlow;

use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use super::cache::describe;
use super::{Chunk, ChunkSink, HttpFiles, HubError, ModelFiles};

/// Files, or the contents of a folder, read on demand.
pub struct BrowserFiles {
    files: Vec<File>,
    /// The page's server, for CLIP's own vocabulary.
    page: HttpFiles,
}

/// Bytes per read.
const CHUNK: f64 = (4 << 20) as f64;

impl BrowserFiles {
    /// Dropped `files`; `page` has CLIP's vocabulary.
    pub fn new(files: Vec<File>, page: HttpFiles) -> Self {
        Self { files, page }
    }

    fn find(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| file.name() == name)
    }

    async fn slice(file: &File, from: f64, to: f64) -> Result<Vec<u8>, HubError> {
        let read = async || {
            let slice = file.slice_with_f64_and_f64(from, to)?;
            JsFuture::from(slice.array_buffer()).await
        };
        let buffer = read().await.map_err(|error| HubError::Read {
            file: file.name(),
            why: describe(&error),
        })?;
        Ok(Uint8Array::new(&buffer).to_vec())
    }
}

impl ModelFiles for BrowserFiles {
    fn name(&self) -> String {
        match self
            .weights()
            .or_else(|| self.files.first().map(File::name))
        {
            Some(name) => name,
            None => "nothing".into(),
        }
    }

    /// The only safetensors file, whatever its name; with several, the default names
    /// apply.
    fn weights(&self) -> Option<String> {
        let mut weights = (self.files.iter())
            .map(File::name)
            .filter(|name| name.ends_with(".safetensors"));
        let only = weights.next()?;
        weights.next().is_none().then_some(only)
    }

    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
        match self.find(file) {
            Some(file) => Self::slice(file, 0.0, file.size()).await.map(Some),
            None => Ok(None),
        }
    }

    async fn stream(&self, file: &str, sink: &mut ChunkSink<'_>) -> Result<bool, HubError> {
        let Some(file) = self.find(file) else {
            return Ok(false);
        };
        let total = file.size();
        let mut offset = 0.0;
        while offset < total {
            let end = (offset + CHUNK).min(total);
            let bytes = Self::slice(file, offset, end).await?;
            let chunk = Chunk::new(offset as u64, &bytes, total as u64);
            if let ControlFlow::Break(()) = sink(chunk)? {
                break;
            }
            offset = end;
        }
        Ok(true)
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        self.page.clip_vocabulary().await
    }
}
