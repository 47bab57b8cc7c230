//! Templates and class names of published data sets, and lists of templates in files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PLACEHOLDER;

/// Templates and class names of a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSet {
    /// Templates with [`PLACEHOLDER`]; may be empty.
    #[serde(default)]
    pub templates: Vec<String>,
    /// Class names, by their number; may be empty.
    #[serde(default)]
    pub classes: Vec<String>,
}

/// Reads `assets/templates/templates.json`: sets by the name of the data set.
pub fn parse_template_sets(
    json: &[u8],
) -> Result<BTreeMap<String, TemplateSet>, serde_json::Error> {
    serde_json::from_slice(json)
}

/// Templates of a text with one a line; blank lines and `#` comments are skipped. The
/// placeholders of other programs, `{c}` and `{}`, are understood, too.
pub fn parse_templates(text: &str) -> Vec<String> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.contains(PLACEHOLDER) {
            true => line.into(),
            false => line.replace("{c}", PLACEHOLDER).replace("{}", PLACEHOLDER),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_are_complete() {
        let sets = include_bytes!("../../assets/templates/templates.json");
        let sets = parse_template_sets(sets).unwrap();
        assert_eq!(sets["imagenet"].templates.len(), 80);
        assert_eq!(sets["imagenet"].classes.len(), 1000);
        assert_eq!(sets["imagenet"].templates[0], "a bad photo of a {label}.");
        assert_eq!(sets["imagenet-zh"].templates.len(), 80);
        for (name, set) in &sets {
            assert!(set.templates.len() + set.classes.len() > 0, "{name}");
            assert!(
                set.templates.iter().all(|t| t.contains(PLACEHOLDER)),
                "{name}"
            );
        }
    }

    #[test]
    fn placeholders_of_others_are_understood() {
        assert_eq!(
            parse_templates(
                "\u{feff}a photo of {c}.\r\n\n# mine\na {} here\nno place\n{label} {c}"
            ),
            [
                "a photo of {label}.",
                "a {label} here",
                "no place",
                "{label} {c}"
            ]
        );
    }
}
