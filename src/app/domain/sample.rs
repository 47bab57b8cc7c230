//! Pictures that come with the page.

use serde::Deserialize;

use crate::app::i18n::Language;

/// The list of the pictures that come with the page.
const LIST: &str = include_str!("../../../assets/samples/samples.json");

/// A picture that comes with the page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Sample {
    /// Relative to the page.
    pub file: String,
    /// What it shows.
    pub alt: String,
    /// Labels that make sense for it.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Both in Chinese. The labels are no translations: the bundled model is right with them.
    #[serde(default)]
    pub zh: Option<Chinese>,
}

/// The words of a sample in Chinese.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Chinese {
    pub alt: String,
    #[serde(default)]
    pub labels: Vec<String>,
}

impl Sample {
    /// The pictures that come with the page.
    pub fn all() -> Vec<Self> {
        serde_json::from_str(LIST).unwrap_or_default()
    }

    /// What it shows, in a language.
    pub fn alt(&self, language: Language) -> &str {
        match (&self.zh, language) {
            (Some(chinese), Language::Chinese) => &chinese.alt,
            _ => &self.alt,
        }
    }

    /// Labels that make sense for it, in a language.
    pub fn labels(&self, language: Language) -> &[String] {
        match (&self.zh, language) {
            (Some(chinese), Language::Chinese) => &chinese.labels,
            _ => &self.labels,
        }
    }

    /// The last part of its path.
    pub fn file_name(&self) -> String {
        self.file
            .rsplit('/')
            .next()
            .unwrap_or(&self.file)
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_samples_is_understood() {
        let text = r#"[
            {"file": "samples/cat.png", "alt": "a cat", "labels": ["cat", "dog"]},
            {"file": "tree.png", "alt": "a tree"}
        ]"#;
        let samples: Vec<Sample> = serde_json::from_str(text).unwrap_or_default();
        assert_eq!(samples.len(), 2);
        assert_eq!(samples[0].file_name(), "cat.png");
        assert_eq!(samples[1].file_name(), "tree.png");
        assert!(samples[1].labels.is_empty());
    }
}
