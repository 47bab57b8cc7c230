//! Models on disk, and the bundled one.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{Chunk, ChunkSink, HubError, ModelFiles};

pub(super) const CLIP_VOCABULARY: &[u8] =
    include_bytes!("../../assets/clip_vocabulary/merges.txt.gz");

/// The bundled model: [`super::BUNDLED_FILES`].
pub struct Bundled;

impl Bundled {
    fn file(name: &str) -> Option<&'static [u8]> {
        match name {
            "open_clip_config.json" => {
                Some(include_bytes!("../../assets/model/open_clip_config.json"))
            }
            "tokenizer.json" => Some(include_bytes!("../../assets/model/tokenizer.json")),
            "open_clip_model.safetensors" => Some(include_bytes!(
                "../../assets/model/open_clip_model.safetensors"
            )),
            _ => None,
        }
    }
}

impl ModelFiles for Bundled {
    fn name(&self) -> String {
        "bundled".into()
    }

    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
        Ok(Self::file(file).map(<[u8]>::to_vec))
    }

    async fn stream(&self, file: &str, sink: &mut ChunkSink<'_>) -> Result<bool, HubError> {
        let Some(bytes) = Self::file(file) else {
            return Ok(false);
        };
        let _ = sink(Chunk::new(0, bytes, bytes.len() as u64))?; // nothing is left to cancel
        Ok(true)
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        Ok(CLIP_VOCABULARY.to_vec())
    }
}

/// Model folder on disk.
pub struct Folder {
    folder: PathBuf,
    /// Weights file named by the caller, in place of the default one.
    weights: Option<PathBuf>,
}

impl Folder {
    /// A folder, or a weights file next to its config.
    pub fn new(path: &Path) -> Result<Self, HubError> {
        let metadata = fs::metadata(path).map_err(|error| read_error(path, &error))?;
        if metadata.is_dir() {
            return Ok(Self {
                folder: path.into(),
                weights: None,
            });
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
            _ => PathBuf::from("."),
        };
        Ok(Self {
            folder,
            weights: Some(path.into()),
        })
    }
}

impl ModelFiles for Folder {
    fn name(&self) -> String {
        self.weights
            .as_ref()
            .unwrap_or(&self.folder)
            .display()
            .to_string()
    }

    fn weights(&self) -> Option<String> {
        let weights = self.weights.as_ref()?;
        Some(weights.file_name()?.to_string_lossy().into_owned())
    }

    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
        let path = self.folder.join(file);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(read_error(&path, &error)),
        }
    }

    async fn stream(&self, file: &str, sink: &mut ChunkSink<'_>) -> Result<bool, HubError> {
        stream_file(&self.folder.join(file), sink)
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        Ok(CLIP_VOCABULARY.to_vec())
    }
}

/// Streams a file to `sink`; `false` if there is none.
pub(super) fn stream_file(path: &Path, sink: &mut ChunkSink<'_>) -> Result<bool, HubError> {
    const CHUNK: usize = 1 << 22;
    let failed = |error: std::io::Error| read_error(path, &error);
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        file => file.map_err(failed)?,
    };
    let total = file.metadata().map_err(failed)?.len();
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let count = file.read(&mut chunk).map_err(failed)?;
        if count == 0 {
            return Ok(true);
        }
        let bytes = &chunk[..count];
        if sink(Chunk::new(offset, bytes, total))?.is_break() {
            return Ok(true);
        }
        offset += count as u64;
    }
}

fn read_error(path: &Path, error: &std::io::Error) -> HubError {
    HubError::Read {
        file: path.display().to_string(),
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_model_is_whole() {
        for file in super::super::BUNDLED_FILES {
            let read = pollster::block_on(Bundled.read(file));
            assert!(read.unwrap().is_some(), "{file}");
        }
    }
}
