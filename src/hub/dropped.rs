//! Model files that the visitor dropped on the page.

use std::ops::ControlFlow;

use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use super::kept::describe;
use super::{Fetched, HubError, ModelFiles, Piece, Take};

/// Files, or a folder's contents. They stay where they are: bytes are read as
/// they are needed.
pub struct Dropped {
    files: Vec<File>,
    /// Where the page has CLIP's own vocabulary.
    page: Fetched,
}

/// Bytes that are read at once.
const PIECE: f64 = (4 << 20) as f64;

impl Dropped {
    pub fn new(files: Vec<File>, page: Fetched) -> Self {
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

impl ModelFiles for Dropped {
    fn name(&self) -> String {
        match self
            .weights()
            .or_else(|| self.files.first().map(File::name))
        {
            Some(name) => name,
            None => "nothing".into(),
        }
    }

    /// The only safetensors file, whatever it is called; among several, names decide.
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

    async fn stream(&self, file: &str, take: &mut Take<'_>) -> Result<bool, HubError> {
        let Some(file) = self.find(file) else {
            return Ok(false);
        };
        let total = file.size();
        let mut offset = 0.0;
        while offset < total {
            let end = (offset + PIECE).min(total);
            let bytes = Self::slice(file, offset, end).await?;
            let piece = Piece {
                offset: offset as u64,
                bytes: &bytes,
                total: total as u64,
            };
            if let ControlFlow::Break(()) = take(piece)? {
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
