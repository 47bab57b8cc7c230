//! What people type to name a model.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a model lives on the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// `owner/name` on the hub, at a branch, tag or commit.
    Hub { id: String, revision: String },
    /// Address of a folder (ends in a slash) or of a `.safetensors` file.
    Url(String),
}

/// Text that names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither a Hugging Face model name (such as openai/clip-vit-base-patch32, or \
     owner/name@revision) nor the URL of a .safetensors file or of a folder that contains one"
)]
pub struct PlaceError(String);

impl Place {
    /// The hub that ids are looked up on, unless told otherwise.
    pub const HUB: &str = "https://huggingface.co";

    /// Reads `owner/name`, `owner/name@revision`, a model's page on the hub, or
    /// any other address.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let text = text.trim();
        let wrong = || PlaceError(text.into());
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
                // A file's page; the file itself is beside it.
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
                // A folder's address often comes without its slash.
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
                && part != ".."
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub { id, revision } if revision == "main" => f.write_str(id),
            Self::Hub { id, revision } => write!(f, "{id}@{revision}"),
            Self::Url(url) => f.write_str(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(id: &str, revision: &str) -> Place {
        Place::Hub {
            id: id.into(),
            revision: revision.into(),
        }
    }

    #[test]
    fn what_people_type() {
        let parse = |text| Place::parse(text).unwrap();
        assert_eq!(parse(" a/b "), hub("a/b", "main"));
        assert_eq!(parse("a/b@refs/pr/3"), hub("a/b", "refs/pr/3"));
        assert_eq!(parse("https://huggingface.co/a/b"), hub("a/b", "main"));
        assert_eq!(
            parse("https://huggingface.co/a/b/tree/v1"),
            hub("a/b", "v1")
        );
        assert_eq!(
            parse("https://huggingface.co/a/b/blob/main/x.safetensors"),
            Place::Url("https://huggingface.co/a/b/resolve/main/x.safetensors".into())
        );
        assert_eq!(
            parse("http://localhost:1/m"),
            Place::Url("http://localhost:1/m/".into())
        );
        let signed = "https://x.org/a.safetensors?signature=1";
        assert_eq!(parse(signed), Place::Url(signed.into()));
        for wrong in [
            "",
            "clip",
            "a/b/c",
            "a/..",
            "ftp://x/y",
            "a b/c",
            "https://huggingface.co/a",
        ] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse("a/b@v1").to_string(), "a/b@v1");
    }
}
