//! Published CLIPs that the page and the command offer by name
//! (`assets/catalogue.json`; where its facts come from, `assets/catalogue.md`).

mod recommend;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::hub::ModelLocation;
use crate::model::StoredPrecision;

pub use recommend::{DeviceProfile, EffectiveType, Reason, Recommendation, SizeLimit, recommend};

/// A published model.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Published {
    /// Repository on the hub.
    pub id: String,
    /// The revision that holds safetensors.
    pub revision: String,
    /// Display name.
    pub name: String,
    /// Who trained it, on what.
    pub family: String,
    /// Of both encoders together.
    pub parameters: u64,
    /// Size of the download.
    pub bytes: u64,
    /// Size of its token embedding, where that is so much of the download that the page can fetch
    /// only the rows that are used.
    #[serde(default)]
    pub token_table_bytes: Option<u64>,
    /// Side of the square it sees, pixels.
    pub image_size: u32,
    /// Multiply-adds of the image encoder for one picture, in thousand millions.
    pub image_gmacs: f32,
    /// Zero-shot accuracy on ImageNet, 0 to 1, as published; not of models for one purpose.
    #[serde(default)]
    pub imagenet_top_1: Option<f32>,
    /// Where that is published.
    #[serde(default)]
    pub imagenet_source: String,
    /// What it is for, if it was trained for one purpose.
    #[serde(default)]
    pub purpose: Option<String>,
    /// Whether it was trained with Chinese texts, too.
    #[serde(default)]
    pub chinese: bool,
    /// License, as its authors name it.
    pub license: String,
    /// Remark to show, or empty.
    #[serde(default)]
    pub note: String,
    /// Offered beside the bundled model.
    #[serde(default)]
    pub recommended: Option<Recommended>,
}

/// What a published model is recommended for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recommended {
    /// The next step from the bundled model: a small download.
    SmallDownload,
    /// The most accurate for its size.
    BestForItsSize,
}

impl Published {
    /// What it is good at: its accuracy on ImageNet, or its purpose.
    pub fn merit(&self) -> String {
        match (&self.purpose, self.imagenet_top_1) {
            (Some(purpose), _) => format!("for {purpose}"),
            (None, Some(accuracy)) => format!("ImageNet {:.1} %", accuracy * 100.0),
            (None, None) => String::new(),
        }
    }

    /// About what `bytes` of its weights take in storage, bytes.
    pub fn stored_bytes(&self, bytes: u64, precision: StoredPrecision) -> u64 {
        let f32 = self.bytes > 3 * self.parameters;
        match precision {
            StoredPrecision::Int8 if f32 => bytes / 4,
            StoredPrecision::Int8 => bytes / 2,
            StoredPrecision::F16 if f32 => bytes / 2,
            StoredPrecision::F16 | StoredPrecision::AsDownloaded => bytes,
        }
    }

    /// Location of its files, at the fixed revision.
    pub fn place(&self) -> ModelLocation {
        ModelLocation::Hub {
            id: self.id.clone(),
            revision: self.revision.clone(),
        }
    }
}

/// All of them; empty if the file that is built in were damaged, which a test
/// rules out.
pub fn published() -> &'static [Published] {
    static ALL: LazyLock<Vec<Published>> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../../assets/catalogue.json")).unwrap_or_default()
    });
    &ALL
}

/// The recommended ones, by size.
pub fn recommended() -> impl Iterator<Item = &'static Published> {
    let mut models: Vec<_> = (published().iter())
        .filter(|model| model.recommended.is_some())
        .collect();
    models.sort_by_key(|model| model.recommended);
    models.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_can_be_asked_for() {
        let all = published();
        assert!(all.len() > 20);
        for model in all {
            let place = model.place();
            assert_eq!(ModelLocation::parse(&place.to_string()), Ok(place));
            assert!(model.bytes > model.parameters);
            let halved = model.stored_bytes(model.bytes, StoredPrecision::F16);
            let of_parameters = halved as f64 / model.parameters as f64;
            assert!((1.9..2.1).contains(&of_parameters), "{}", model.name);
            assert!((1.0..300.0).contains(&model.image_gmacs), "{}", model.name);
            if let Some(table) = model.token_table_bytes {
                assert!(
                    table > model.bytes / 5 && table < model.bytes,
                    "{}",
                    model.name
                );
            }
            match model.imagenet_top_1 {
                Some(accuracy) => assert!((0.2..0.9).contains(&accuracy), "{}", model.name),
                None => assert!(model.merit().starts_with("for "), "{}", model.name),
            }
        }
        let bytes: Vec<u64> = recommended().map(|model| model.bytes).collect();
        assert_eq!(bytes, [93_812_468, 605_189_364]);
    }

    #[test]
    fn the_documentation_lists_them_all() {
        let readme = include_str!("../../docs/models.md");
        for model in published() {
            let merit = match (&model.purpose, model.imagenet_top_1) {
                (None, Some(accuracy)) => format!("{:.1} %", accuracy * 100.0),
                (purpose, _) => purpose.clone().unwrap_or_default(),
            };
            let row = format!("{merit} | `{}`", model.place());
            assert!(readme.contains(&row), "{row}");
        }
    }

    #[test]
    fn the_papers_nine_are_there() {
        let all = published();
        let of_openai: Vec<&str> = (all.iter())
            .filter(|model| model.family == "OpenAI")
            .map(|model| model.name.trim_end_matches(" (OpenAI)"))
            .collect();
        for name in [
            "RN50",
            "RN101",
            "RN50x4",
            "RN50x16",
            "RN50x64",
            "ViT-B/32",
            "ViT-B/16",
            "ViT-L/14",
            "ViT-L/14@336px",
        ] {
            assert!(of_openai.contains(&name), "{name}");
        }
    }
}
