//! Model files of a browser, by HTTP or from the visitor.

use std::rc::Rc;

use super::{BrowserFiles, ChunkSink, HttpFiles, HubError, ModelFiles, TokenRows};

/// Files of a model in a browser.
pub enum WebModelFiles {
    /// Files on a server.
    Http(HttpFiles),
    /// Files of the visitor.
    Files(BrowserFiles),
}

impl ModelFiles for WebModelFiles {
    fn name(&self) -> String {
        match self {
            Self::Http(files) => files.name(),
            Self::Files(files) => files.name(),
        }
    }

    fn weights(&self) -> Option<String> {
        match self {
            Self::Http(files) => files.weights(),
            Self::Files(files) => files.weights(),
        }
    }

    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
        match self {
            Self::Http(files) => files.read(file).await,
            Self::Files(files) => files.read(file).await,
        }
    }

    async fn stream(&self, file: &str, sink: &mut ChunkSink<'_>) -> Result<bool, HubError> {
        match self {
            Self::Http(files) => files.stream(file, sink).await,
            Self::Files(files) => files.stream(file, sink).await,
        }
    }

    fn token_rows(&self) -> Option<Rc<dyn TokenRows>> {
        match self {
            Self::Http(files) => files.token_rows(),
            Self::Files(files) => files.token_rows(),
        }
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        match self {
            Self::Http(files) => files.clip_vocabulary().await,
            Self::Files(files) => files.clip_vocabulary().await,
        }
    }

    fn other(&self, name: &str) -> Result<Option<Self>, HubError> {
        match self {
            Self::Http(files) => Ok(files.other(name)?.map(Self::Http)),
            Self::Files(_) => Ok(None),
        }
    }

    async fn converted(&self) -> Result<Option<Self>, HubError> {
        match self {
            Self::Http(files) => Ok(files.converted().await?.map(Self::Http)),
            Self::Files(_) => Ok(None),
        }
    }
}
