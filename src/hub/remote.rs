//! Models of a hub, cached where other tools cache them (`HF_HOME`).

use std::path::PathBuf;

use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use super::local::{CLIP_VOCABULARY, stream_file};
use super::{ChunkSink, HubError, ModelFiles, ModelLocation, conversion, hub_dataset};

/// Repository of a hub. A cached file is used unless the hub has a newer one; offline,
/// the cache has to do.
pub struct Remote {
    api: Api,
    repository: Repo,
    cache: Cache,
    name: String,
}

/// Resumptions of an interrupted download.
const RETRIES: usize = 5;

impl Remote {
    /// `HF_ENDPOINT` sets another hub, `HF_HOME` another cache.
    pub fn new(location: &ModelLocation) -> Result<Self, HubError> {
        let ModelLocation::Hub { id, revision } = location else {
            return Err(HubError::Refused(format!(
                "{location} is a URL; the command takes folders, files and Hugging Face model names"
            ).into()));
        };
        let repository = Repo::with_revision(id.clone(), RepoType::Model, revision.clone());
        Self::open(repository, location.to_string())
    }

    fn open(repository: Repo, name: String) -> Result<Self, HubError> {
        let api = (ApiBuilder::from_env().with_retries(RETRIES))
            .with_user_agent("clip", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| failed(&name, "", error))?;
        Ok(Self {
            api,
            repository,
            cache: Cache::from_env(),
            name,
        })
    }

    /// Where the cache notes that a commit has no such file, as `huggingface_hub` does:
    /// `.no_exist/<commit>/<file>`. `None` until the commit is known.
    fn absence_marker(&self, file: &str) -> Option<PathBuf> {
        let folder = self.cache.path().join(self.repository.folder_name());
        let revision = folder.join("refs").join(self.repository.revision());
        let commit = std::fs::read_to_string(revision).ok()?;
        Some(folder.join(".no_exist").join(commit.trim()).join(file))
    }

    /// Path of a file after download; `None` if the hub has no such file.
    fn fetch(&self, file: &str) -> Result<Option<PathBuf>, HubError> {
        let cached = self.cache.repo(self.repository.clone()).get(file);
        let repository = self.api.repo(self.repository.clone());
        let newest = match self.api.metadata(&repository.url(file)) {
            Ok(newest) => newest,
            Err(error) => {
                let absent = self.absence_marker(file);
                return match (status(&error), cached) {
                    (Some(404), _) => {
                        // If it cannot be noted, the hub is asked again, as always.
                        if let Some(marker) = absent
                            && let Some(folder) = marker.parent()
                        {
                            let _ = std::fs::create_dir_all(folder)
                                .and_then(|()| std::fs::write(&marker, b""));
                        }
                        Ok(None)
                    }
                    (_, Some(cached)) => Ok(Some(cached)),
                    (_, None) if absent.is_some_and(|marker| marker.exists()) => Ok(None),
                    (_, None) => Err(failed(&self.name, file, error)),
                };
            }
        };
        // A snapshot's folder is named after its commit.
        let current = |path: &PathBuf| {
            (path.components()).any(|part| part.as_os_str() == newest.commit_hash())
        };
        if let Some(cached) = cached.filter(current) {
            return Ok(Some(cached));
        }
        let path = (repository.download(file)).map_err(|error| failed(&self.name, file, error))?;
        let length = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if length != newest.size() as u64 {
            // A cached copy would fail every further attempt.
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

/// Downloads the test part of a data set in CLIP_benchmark's layout, as far as the cache does not
/// have it, and gives its folder: `test/N.tar`, class names and templates.
pub fn fetch_shards(address: &str) -> Result<PathBuf, HubError> {
    let Some((id, revision)) = hub_dataset(address) else {
        return Err(HubError::Refused(
            format!("{address} is no data set of the hub: its address is hf://datasets/owner/name")
                .into(),
        ));
    };
    let repository = Repo::with_revision(id, RepoType::Dataset, revision);
    let remote = Remote::open(repository, address.into())?;
    for file in ["classnames.txt", "zeroshot_classification_templates.txt"] {
        remote.fetch(file)?;
    }
    let shards = match remote.fetch("test/nshards.txt")? {
        Some(path) => std::fs::read_to_string(path)
            .ok()
            .and_then(|text| text.trim().parse().ok()),
        None => None,
    };
    let mut folder = None;
    for shard in 0..shards.unwrap_or(usize::MAX) {
        match remote.fetch(&format!("test/{shard}.tar"))? {
            Some(path) => folder = path.parent().and_then(|part| part.parent()).map(Into::into),
            None => break,
        }
    }
    folder.ok_or_else(|| {
        HubError::Refused(format!(
                "{address} has no test/0.tar: only data sets in CLIP_benchmark's layout are read from the hub"
            ).into())
    })
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

    async fn stream(&self, file: &str, sink: &mut ChunkSink<'_>) -> Result<bool, HubError> {
        match self.fetch(file)? {
            Some(path) => stream_file(&path, sink),
            None => Ok(false),
        }
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        Ok(CLIP_VOCABULARY.to_vec())
    }

    fn other(&self, name: &str) -> Result<Option<Self>, HubError> {
        let location = ModelLocation::parse(name).ok();
        location.map(|location| Self::new(&location)).transpose()
    }

    async fn converted(&self) -> Result<Option<Self>, HubError> {
        let location = ModelLocation::parse(&self.name).ok();
        let Some(id) = location.as_ref().and_then(conversion::main_branch) else {
            return Ok(None);
        };
        let found = match self.discussions(id) {
            Ok(answer) => conversion::pull_request(&answer),
            // Offline, the one that was taken before.
            Err(error) => match (self.cached_pull_request(), error) {
                (Some(cached), _) => Some(cached),
                // Not every mirror of the hub has pull requests.
                (None, ureq::Error::StatusCode(_)) => None,
                (None, error) => {
                    return Err(HubError::PullRequests {
                        name: id.into(),
                        why: error.to_string(),
                    });
                }
            },
        };
        (found.map(|number| Self::new(&conversion::location(id, number)))).transpose()
    }
}

impl Remote {
    /// The hub's list of the bot's pull requests.
    fn discussions(&self, id: &str) -> Result<Vec<u8>, ureq::Error> {
        let hub = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| ModelLocation::HUB.into());
        let mut request = ureq::get(conversion::url(&hub, id));
        if let Some(token) = self.cache.token() {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        request.call()?.body_mut().read_to_vec()
    }

    /// Newest pull request of the repository that the cache knows.
    fn cached_pull_request(&self) -> Option<u64> {
        let folder = self.cache.path().join(self.repository.folder_name());
        let names = std::fs::read_dir(folder.join("refs/refs/pr")).ok()?;
        (names.flatten())
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .max()
    }
}

/// HTTP status of the response, if there was one.
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
