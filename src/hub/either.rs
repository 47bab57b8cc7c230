//! Files from over the network or from the visitor, as one type.

use super::{Dropped, Fetched, HubError, ModelFiles, Take};

pub enum Either {
    Fetched(Fetched),
    Dropped(Dropped),
}

impl ModelFiles for Either {
    fn name(&self) -> String {
        match self {
            Self::Fetched(files) => files.name(),
            Self::Dropped(files) => files.name(),
        }
    }

    fn weights(&self) -> Option<String> {
        match self {
            Self::Fetched(files) => files.weights(),
            Self::Dropped(files) => files.weights(),
        }
    }

    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
        match self {
            Self::Fetched(files) => files.read(file).await,
            Self::Dropped(files) => files.read(file).await,
        }
    }

    async fn stream(&self, file: &str, take: &mut Take<'_>) -> Result<bool, HubError> {
        match self {
            Self::Fetched(files) => files.stream(file, take).await,
            Self::Dropped(files) => files.stream(file, take).await,
        }
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        match self {
            Self::Fetched(files) => files.clip_vocabulary().await,
            Self::Dropped(files) => files.clip_vocabulary().await,
        }
    }
}
