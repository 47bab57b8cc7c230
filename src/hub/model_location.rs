//! Locations of models, as people type them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};

/// Location of a model on the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelLocation {
    /// `owner/name` on the hub, at a branch, tag or commit.
    Hub {
        /// `owner/name`.
        id: String,
        /// Branch, tag or commit.
        revision: String,
    },
    /// URL of a folder (with a trailing slash) or of a `.safetensors` file.
    Url(String),
}

/// Text that is no location.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub struct ModelLocationError(String);

impl ToDiagnostic for ModelLocationError {
    fn to_diagnostic(&self) -> Diagnostic {
        diagnostic!(
            "not-a-location",
            "`{name}` is neither a Hugging Face model name (such as laion/CLIP-ViT-B-32-laion2B-s34B-b79K, or owner/name@revision) nor the URL of a .safetensors file or of a folder that contains one",
            name = self.0
        )
    }
}

impl ModelLocation {
    /// Default hub.
    pub const HUB: &str = "https://huggingface.co";

    /// Parses `owner/name`, `owner/name@revision`, a model's page on the hub, or any
    /// other URL.
    pub fn parse(text: &str) -> Result<Self, ModelLocationError> {
        let text = text.trim();
        let wrong = || ModelLocationError(text.into());
        let page = text
            .strip_prefix(Self::HUB)
            .and_then(|t| t.strip_prefix('/'));
        if let Some(path) = page {
            let mut parts = path.trim_end_matches('/').splitn(4, '/');
            let id = match (parts.next(), parts.next()) {
                (Some(owner), Some(name)) => format!("{owner}/{name}"),
                _ => return Err(wrong()),
            };
            return match (parts.next(), parts.next()) {
                (None, _) => Self::hub(&id, "main").ok_or_else(wrong),
                (Some("tree"), Some(revision)) => Self::hub(&id, revision).ok_or_else(wrong),
                // The page of a file; resolved to the file itself.
                (Some("blob" | "resolve"), Some(rest)) => {
                    Ok(Self::Url(format!("{}/{id}/resolve/{rest}", Self::HUB)))
                }
                _ => Err(wrong()),
            };
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            let path = text.split(['?', '#']).next().unwrap_or(text);
            return match path.ends_with(".safetensors") || path.ends_with('/') {
                true => Ok(Self::Url(text.into())),
                // Folder URLs often lack the trailing slash.
                false if path.len() == text.len() => Ok(Self::Url(format!("{text}/"))),
                false => Err(wrong()),
            };
        }
        let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
        Self::hub(id, revision).ok_or_else(wrong)
    }

    fn hub(id: &str, revision: &str) -> Option<Self> {
        let plain = |part: &str| {
            !part.is_empty()
                // No place on a disk: `./model`, `../model`.
                && !part.chars().all(|c| c == '.')
                && (part.chars()).all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        let (owner, name) = id.split_once('/')?;
        let revision_fits = revision.split('/').all(plain);
        (plain(owner) && plain(name) && revision_fits).then(|| Self::Hub {
            id: id.into(),
            revision: revision.into(),
        })
    }
}

impl fmt::Display for ModelLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub { id, revision } if revision == "main" => f.write_str(id),
            Self::Hub { id, revision } => write!(f, "{id}@{revision}"),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// Prefixes of the address of a data set on the hub.
const DATA_SETS: [&str; 2] = ["hf://datasets/", "https://huggingface.co/datasets/"];

/// Whether `text` is the address of a data set on the hub: `hf://datasets/owner/name[@revision]`,
/// or its page.
pub fn is_hub_dataset(text: &str) -> bool {
    DATA_SETS.iter().any(|prefix| text.starts_with(prefix))
}

/// `owner/name` and revision of a data set's address on the hub; `None` if it is none.
pub fn hub_dataset(address: &str) -> Option<(String, String)> {
    let named = (DATA_SETS.iter()).find_map(|prefix| address.strip_prefix(prefix))?;
    let named = named.trim_end_matches('/').replacen("/tree/", "@", 1);
    let (id, revision) = named.split_once('@').unwrap_or((&named, "main"));
    match ModelLocation::hub(id, revision)? {
        ModelLocation::Hub { id, revision } => Some((id, revision)),
        ModelLocation::Url(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(id: &str, revision: &str) -> ModelLocation {
        ModelLocation::Hub {
            id: id.into(),
            revision: revision.into(),
        }
    }

    #[test]
    fn what_people_type() {
        let parse = |text| ModelLocation::parse(text).unwrap();
        assert_eq!(parse(" a/b "), hub("a/b", "main"));
        assert_eq!(parse("a/b@refs/pr/3"), hub("a/b", "refs/pr/3"));
        assert_eq!(parse("https://huggingface.co/a/b"), hub("a/b", "main"));
        assert_eq!(
            parse("https://huggingface.co/a/b/tree/v1"),
            hub("a/b", "v1")
        );
        assert_eq!(
            parse("https://huggingface.co/a/b/blob/main/x.safetensors"),
            ModelLocation::Url("https://huggingface.co/a/b/resolve/main/x.safetensors".into())
        );
        assert_eq!(
            parse("http://localhost:1/m"),
            ModelLocation::Url("http://localhost:1/m/".into())
        );
        let signed = "https://x.org/a.safetensors?signature=1";
        assert_eq!(parse(signed), ModelLocation::Url(signed.into()));
        for wrong in [
            "",
            "clip",
            "a/b/c",
            "a/..",
            "./a",
            "../a",
            "ftp://x/y",
            "a b/c",
            "https://huggingface.co/a",
        ] {
            assert!(ModelLocation::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse("a/b@v1").to_string(), "a/b@v1");
    }

    #[test]
    fn data_sets_of_the_hub() {
        let found = |revision: &str| Some(("a/b".to_owned(), revision.to_owned()));
        assert_eq!(hub_dataset("hf://datasets/a/b/"), found("main"));
        assert_eq!(hub_dataset("hf://datasets/a/b@v1"), found("v1"));
        assert_eq!(
            hub_dataset("https://huggingface.co/datasets/a/b/tree/v2"),
            found("v2")
        );
        for wrong in [
            "hf://datasets/a",
            "hf://datasets/a/b/c",
            "a/b",
            "https://x.org/datasets/a/b",
        ] {
            assert_eq!(hub_dataset(wrong), None, "{wrong}");
        }
    }
}
