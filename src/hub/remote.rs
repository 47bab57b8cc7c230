//! Models on a hub, kept where other tools keep theirs (`HF_HOME`).

use std::path::PathBuf;

use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use super::local::{CLIP_VOCABULARY, stream_file};
use super::{HubError, ModelFiles, Take};
use crate::engine::Place;

/// A repository on the hub. A file that is kept already is used as it is unless
/// the hub has a newer one; without a network, what is kept has to do.
pub struct Remote {
    api: Api,
    repository: Repo,
    cache: Cache,
    name: String,
}

/// How often a broken download is taken up where it stopped.
const RETRIES: usize = 5;

impl Remote {
    /// `HF_ENDPOINT` names another hub, `HF_HOME` another place to keep files.
    pub fn new(place: &Place) -> Result<Self, HubError> {
        let Place::Hub { id, revision } = place else {
            return Err(HubError::Refused(format!(
                "{place} is a URL; the command takes folders, files and Hugging Face model names"
            )));
        };
        let name = place.to_string();
        let api = (ApiBuilder::from_env().with_retries(RETRIES))
            .with_user_agent("clip", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| failed(&name, "", error))?;
        Ok(Self {
            api,
            repository: Repo::with_revision(id.clone(), RepoType::Model, revision.clone()),
            cache: Cache::from_env(),
            name,
        })
    }

    /// Where a file lies once it is here; `None` where the hub has no such file.
    fn fetch(&self, file: &str) -> Result<Option<PathBuf>, HubError> {
        let kept = self.cache.repo(self.repository.clone()).get(file);
        let repository = self.api.repo(self.repository.clone());
        let newest = match self.api.metadata(&repository.url(file)) {
            Ok(newest) => newest,
            Err(error) => {
                return match (status(&error), kept) {
                    (Some(404), _) => Ok(None),
                    (_, Some(kept)) => Ok(Some(kept)),
                    (_, None) => Err(failed(&self.name, file, error)),
                };
            }
        };
        // The folder of a snapshot is named after its commit.
        let current = |path: &PathBuf| {
            (path.components()).any(|part| part.as_os_str() == newest.commit_hash())
        };
        if let Some(kept) = kept.filter(current) {
            return Ok(Some(kept));
        }
        let path = (repository.download(file)).map_err(|error| failed(&self.name, file, error))?;
        let length = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if length != newest.size() as u64 {
            // Kept like this it would be in the way of every further try.
            if let Ok(blob) = path.canonicalize() {
                let _ = std::fs::remove_file(blob);
            }
            let _ = std::fs::remove_file(&path);
            let expected = newest.size();
            return Err(HubError::Read {
                file: format!("{file} of {}", self.name),
                why: format!("only {length} of {expected} bytes were received; try again"),
            });
        }
        Ok(Some(path))
    }
}

impl ModelFiles for Remote {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
        let Some(path) = self.fetch(file)? else {
            return Ok(None);
        };
        std::fs::read(&path)
            .map(Some)
            .map_err(|error| HubError::Read {
                file: path.display().to_string(),
                why: error.to_string(),
            })
    }

    async fn stream(&self, file: &str, take: &mut Take<'_>) -> Result<bool, HubError> {
        match self.fetch(file)? {
            Some(path) => stream_file(&path, take),
            None => Ok(false),
        }
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        Ok(CLIP_VOCABULARY.to_vec())
    }
}

/// What the server answered, if it did.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match error.as_ref() {
            ureq::Error::StatusCode(code) => Some(*code),
            _ => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}

fn failed(name: &str, file: &str, error: ApiError) -> HubError {
    let why = match status(&error) {
        Some(401) => {
            "the hub has no such repository, or it is private (then run `hf auth login`)".into()
        }
        Some(403) => "access is restricted: agree to the terms on its hub page first".into(),
        Some(429) => "too many requests: wait a while and try again".into(),
        Some(code) => format!("the hub responded with status {code}"),
        None => error.to_string(),
    };
    HubError::Read {
        file: match file {
            "" => name.into(),
            file => format!("{file} of {name}"),
        },
        why,
    }
}
