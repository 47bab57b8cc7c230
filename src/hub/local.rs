//! Models on disk, and the one inside the program.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{HubError, ModelFiles};

const CLIP_VOCABULARY: &[u8] = include_bytes!("../../assets/clip_vocabulary/merges.txt.gz");

/// The model that ships with the project: [`super::BUNDLED_FILES`].
pub struct Bundled;

impl ModelFiles for Bundled {
    fn name(&self) -> String {
        "bundled".into()
    }

    async fn read(
        &self,
        file: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<Vec<u8>>, HubError> {
        let bytes: &[u8] = match file {
            "open_clip_config.json" => include_bytes!("../../assets/model/open_clip_config.json"),
            "tokenizer.json" => include_bytes!("../../assets/model/tokenizer.json"),
            "open_clip_model.safetensors" => {
                include_bytes!("../../assets/model/open_clip_model.safetensors")
            }
            _ => return Ok(None),
        };
        progress(bytes.len() as u64, bytes.len() as u64);
        Ok(Some(bytes.to_vec()))
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        Ok(CLIP_VOCABULARY.to_vec())
    }
}

/// A model's folder on disk.
pub struct Folder {
    folder: PathBuf,
    /// A weights file named by the caller, read in place of the usual one.
    weights: Option<PathBuf>,
}

impl Folder {
    /// A folder, or a weights file whose config lies beside it.
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

    async fn read(
        &self,
        file: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<Vec<u8>>, HubError> {
        let path = match &self.weights {
            Some(weights) if file.ends_with(".safetensors") => weights.clone(),
            _ => self.folder.join(file),
        };
        match fs::read(&path) {
            Ok(bytes) => {
                progress(bytes.len() as u64, bytes.len() as u64);
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(read_error(&path, &error)),
        }
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        Ok(CLIP_VOCABULARY.to_vec())
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
            let read = pollster::block_on(Bundled.read(file, &mut |_, _| ()));
            assert!(read.unwrap().is_some(), "{file}");
        }
    }
}
