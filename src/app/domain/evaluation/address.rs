//! Addresses of data sets.

use crate::app::i18n::message;
use crate::diagnostic::Diagnostic;
use crate::engine::messages::hub_dataset;

/// Data set in CLIP_benchmark's layout on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetAddress {
    /// Name for display.
    pub name: String,
    /// URL of its folder, with a slash at the end.
    pub base: String,
}

impl DatasetAddress {
    /// Understands `hf://datasets/owner/name[@revision]`, the page of such a data set, and the
    /// URL of a folder. `hub` is the URL of the hub.
    pub fn parse(text: &str, hub: &str) -> Result<Self, Diagnostic> {
        let text = text.trim();
        if let Some((id, revision)) = hub_dataset(text) {
            let hub = hub.trim_end_matches('/');
            // A revision is one part of the path, even with slashes in it.
            let revision = revision.replace('/', "%2F");
            let name = id.rsplit('/').next().unwrap_or(&id).to_owned();
            let base = format!("{hub}/datasets/{id}/resolve/{revision}/");
            return Ok(Self { name, base });
        }
        let rest = ["https://", "http://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let path = rest
            .unwrap_or_default()
            .split(['?', '#'])
            .next()
            .unwrap_or_default();
        let is_page = text.starts_with("https://huggingface.co/");
        if path.is_empty()
            || path.starts_with('/')
            || is_page
            || path.len() != rest.map_or(0, str::len)
        {
            return Err(message!("address-wrong"));
        }
        let name = path
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        Ok(Self {
            name: name.into(),
            base: format!("{}/", text.trim_end_matches('/')),
        })
    }
}

/// Progress of a download.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Download {
    /// Shards that are here.
    pub shards: u32,
    /// All of them, if known.
    pub total_shards: Option<u32>,
    /// Bytes so far.
    pub bytes: u64,
    /// Share of the present shard, if its size is known.
    pub of_shard: Option<f64>,
}

impl Download {
    /// Share of the whole, if known.
    pub fn share(&self) -> Option<f64> {
        let total = self.total_shards.filter(|total| *total > 0)?;
        let shards = f64::from(self.shards) + self.of_shard?;
        Some((shards / f64::from(total)).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_folders() {
        let parse = |text: &str| {
            let found = DatasetAddress::parse(text, "https://huggingface.co/")?;
            Ok::<_, Diagnostic>((found.name, found.base))
        };
        let found = |name: &str, base: &str| Ok((name.to_owned(), base.to_owned()));
        assert_eq!(
            parse(" hf://datasets/clip-benchmark/wds_cifar10 "),
            found(
                "wds_cifar10",
                "https://huggingface.co/datasets/clip-benchmark/wds_cifar10/resolve/main/"
            )
        );
        assert_eq!(
            parse("https://huggingface.co/datasets/a/b/tree/refs/x"),
            found("b", "https://huggingface.co/datasets/a/b/resolve/refs%2Fx/")
        );
        assert_eq!(
            parse("http://localhost:8000/sets/cifar"),
            found("cifar", "http://localhost:8000/sets/cifar/")
        );
        assert_eq!(parse("https://x.org/"), found("x.org", "https://x.org/"));
        for wrong in [
            "",
            "cifar",
            "ftp://x.org/a",
            "https://",
            "https:///a",
            "https://x.org/a?b",
            "https://huggingface.co/a/b",
            "hf://datasets/a",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_share_counts_shards() {
        let mut at = Download {
            shards: 1,
            total_shards: Some(4),
            bytes: 10,
            of_shard: Some(0.5),
        };
        assert_eq!(at.share(), Some(0.375));
        at.of_shard = None;
        assert_eq!(at.share(), None);
        at.total_shards = Some(0);
        assert_eq!(at.share(), None);
    }
}
