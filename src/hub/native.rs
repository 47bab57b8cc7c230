//! Models by what people type: a path, a name on the hub, or the bundled one.

use std::path::Path;

#[cfg(feature = "hub")]
use super::Remote;
use super::{Bundled, ChunkSink, Folder, HubError, ModelFiles, ModelLocation};

/// Files of a model outside a browser.
pub enum NativeModelFiles {
    /// The bundled model.
    Bundled,
    /// A folder, or a weights file.
    Folder(Folder),
    /// A repository on the hub.
    #[cfg(feature = "hub")]
    Remote(Box<Remote>),
}

impl NativeModelFiles {
    /// Name of the bundled model.
    pub const BUNDLED: &str = "bundled";

    /// Files of `model`: a folder or a `.safetensors` file, `owner/name` or
    /// `owner/name@revision` on the hub, or [`Self::BUNDLED`]. What exists on disk comes
    /// first.
    pub fn find(model: &str) -> Result<Self, HubError> {
        if Path::new(model).exists() {
            return Ok(Self::Folder(Folder::new(Path::new(model))?));
        }
        if model == Self::BUNDLED {
            return Ok(Self::Bundled);
        }
        match ModelLocation::parse(model) {
            #[cfg(feature = "hub")]
            Ok(location) => Ok(Self::Remote(Box::new(Remote::new(&location)?))),
            #[cfg(not(feature = "hub"))]
            Ok(location) => Err(HubError::NoHub(location)),
            // Meant as a path, most likely.
            Err(error) => Err(HubError::NotFound(model.into(), error)),
        }
    }
}

impl ModelFiles for NativeModelFiles {
    fn name(&self) -> String {
        match self {
            Self::Bundled => Bundled.name(),
            Self::Folder(files) => files.name(),
            #[cfg(feature = "hub")]
            Self::Remote(files) => files.name(),
        }
    }

    fn weights(&self) -> Option<String> {
        match self {
            Self::Bundled => Bundled.weights(),
            Self::Folder(files) => files.weights(),
            #[cfg(feature = "hub")]
            Self::Remote(files) => files.weights(),
        }
    }

    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
        match self {
            Self::Bundled => Bundled.read(file).await,
            Self::Folder(files) => files.read(file).await,
            #[cfg(feature = "hub")]
            Self::Remote(files) => files.read(file).await,
        }
    }

    async fn stream(&self, file: &str, sink: &mut ChunkSink<'_>) -> Result<bool, HubError> {
        match self {
            Self::Bundled => Bundled.stream(file, sink).await,
            Self::Folder(files) => files.stream(file, sink).await,
            #[cfg(feature = "hub")]
            Self::Remote(files) => files.stream(file, sink).await,
        }
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        match self {
            Self::Bundled => Bundled.clip_vocabulary().await,
            Self::Folder(files) => files.clip_vocabulary().await,
            #[cfg(feature = "hub")]
            Self::Remote(files) => files.clip_vocabulary().await,
        }
    }

    fn other(&self, name: &str) -> Result<Option<Self>, HubError> {
        match self {
            Self::Bundled | Self::Folder(_) => Ok(None),
            #[cfg(feature = "hub")]
            Self::Remote(files) => {
                let other = files.other(name)?;
                Ok(other.map(|files| Self::Remote(Box::new(files))))
            }
        }
    }

    async fn converted(&self) -> Result<Option<Self>, HubError> {
        match self {
            Self::Bundled | Self::Folder(_) => Ok(None),
            #[cfg(feature = "hub")]
            Self::Remote(files) => {
                let converted = files.converted().await?;
                Ok(converted.map(|files| Self::Remote(Box::new(files))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_a_path_or_a_name() {
        let find = NativeModelFiles::find;
        assert!(matches!(find("bundled"), Ok(NativeModelFiles::Bundled)));
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/model");
        assert!(matches!(find(folder), Ok(NativeModelFiles::Folder(_))));
        let Err(error) = find("no/such/folder") else {
            panic!("found");
        };
        assert!(matches!(&error, HubError::NotFound(model, _) if model == "no/such/folder"));
        assert!(
            error.to_string().contains("no such file or folder"),
            "{error}"
        );
    }
}
