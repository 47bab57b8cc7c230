//! Templates and class names of published data sets, and lists of templates in files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DEFAULT_TEMPLATE, LABEL_ONLY, PLACEHOLDER};

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

/// Sets of published data sets, by the name of the data set.
pub fn template_sets() -> Result<BTreeMap<String, TemplateSet>, serde_json::Error> {
    serde_json::from_slice(include_bytes!("../../assets/templates/templates.json"))
}

/// Sets of templates to compare, by their name for display, the baseline first: the label
/// alone, the default template, the data set's `own`, `more`, and the ensemble of 80. A set
/// that repeats another is left out.
pub fn compared_sets(
    known: &BTreeMap<String, TemplateSet>,
    own: &[String],
    more: &[(String, Vec<String>)],
) -> Vec<(String, Vec<String>)> {
    let mut compared: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |name: &str, templates: &[String]| {
        if !templates.is_empty() && compared.iter().all(|(_, known)| known != templates) {
            compared.push((name.into(), templates.to_vec()));
        }
    };
    add("label only", &[LABEL_ONLY.into()]);
    add(DEFAULT_TEMPLATE, &[DEFAULT_TEMPLATE.into()]);
    add("the data set's own", own);
    for (name, templates) in more {
        add(name, templates);
    }
    if let Some(imagenet) = known.get("imagenet") {
        let name = format!("imagenet ({})", imagenet.templates.len());
        add(&name, &imagenet.templates);
    }
    compared
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

/// Class names of a text with one a line, by their number from 0 on.
pub fn parse_class_names(text: &str) -> Vec<String> {
    let lines = text.trim_start_matches('\u{feff}').trim_end().lines();
    lines.map(|line| line.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compared_sets_do_not_repeat_each_other() {
        let sets = template_sets().unwrap();
        let own = ["A photo of a {label}.".to_owned()];
        let more = [
            (
                "sketch".to_owned(),
                vec!["A sketch of a {label}.".to_owned()],
            ),
            ("again".to_owned(), sets["imagenet"].templates.clone()),
            ("nothing".to_owned(), Vec::new()),
        ];
        let found = compared_sets(&sets, &own, &more);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["label only", "A photo of a {label}.", "sketch", "again"]
        );
        assert_eq!(found[3].1.len(), 80);
    }

    #[test]
    fn the_sets_are_complete() {
        let sets = template_sets().unwrap();
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
