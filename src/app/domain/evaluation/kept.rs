//! What the page keeps of an evaluation for a later visit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::results::Results;

/// Version of the state.
const VERSION: u32 = 1;

/// Where labelled images come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataSource {
    /// The visitor's disk: only the visitor can give them again.
    #[default]
    Disk,
    /// Shards at an address.
    Address(String),
    /// The page's own samples.
    Samples,
    /// The Train tab.
    Training,
}

/// State of the page: choices and figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptState {
    version: u32,
    /// Name of the data set.
    pub name: String,
    pub source: DataSource,
    /// Values of the chosen options, and the visitor's own templates and class names.
    pub templates: String,
    pub written: String,
    pub names: String,
    pub written_names: String,
    /// `None` if the images were not all encoded.
    pub results: Option<Results>,
    /// Small copies of images: path and `data:` address.
    pub pictures: BTreeMap<String, String>,
}

impl KeptState {
    /// State in today's version.
    pub fn new(name: String, source: DataSource) -> Self {
        Self {
            version: VERSION,
            name,
            source,
            ..Self::default()
        }
    }

    /// State that was stored; `None` if it cannot be read.
    pub fn parse(text: &str) -> Option<Self> {
        let kept: Self = serde_json::from_str(text).ok()?;
        (kept.version == VERSION).then_some(kept)
    }
}
