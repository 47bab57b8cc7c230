//! A classifier in the address of the page: labels, prompt templates and the model's name, as
//! `#label=cat&label=dog&template=A photo of a {label}.&model=owner/name`.

use form_urlencoded::{Serializer, parse};

use super::labels;
use super::templates::TemplateSelection;
use crate::engine::messages::ModelLocation;

/// What a link holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassifierLink {
    /// At least one.
    pub labels: Vec<String>,
    /// None: the page's default.
    pub templates: Vec<String>,
    /// None: the bundled model.
    pub model: Option<ModelLocation>,
}

impl ClassifierLink {
    /// The hash of a page's address; `None` if it holds no classifier. What is not understood
    /// in it, such as a model's name that cannot be one, is left out.
    pub fn of_hash(hash: &str) -> Option<Self> {
        let (mut all, mut templates, mut model) = (Vec::new(), Vec::new(), None);
        for (key, value) in parse(hash.strip_prefix('#')?.as_bytes()) {
            match key.as_ref() {
                "label" => all.push(value.trim().to_owned()),
                "template" => templates.push(value.into_owned()),
                "model" => model = ModelLocation::parse(&value).ok(),
                _ => {}
            }
        }
        all.retain(|label| !label.is_empty());
        let (labels, _) = labels::merge(Vec::new(), all);
        (!labels.is_empty()).then_some(Self {
            labels,
            templates,
            model,
        })
    }

    /// Selection of its templates.
    pub fn selection(&self) -> TemplateSelection {
        match self.templates.is_empty() {
            true => TemplateSelection::default(),
            false => TemplateSelection::of(&self.templates),
        }
    }

    /// Hash for the page's address.
    pub fn to_hash(&self) -> String {
        let mut link = Serializer::new(String::from("#"));
        // What is before the pairs stays: the serialiser begins after it.
        link = Serializer::for_suffix(link.finish(), 1);
        link.extend_pairs(self.labels.iter().map(|label| ("label", label)));
        link.extend_pairs(self.templates.iter().map(|template| ("template", template)));
        link.extend_pairs(self.model.iter().map(|model| ("model", model.to_string())));
        link.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_as_it_was_written() {
        let link = ClassifierLink {
            labels: ["a cat & dog", "50 % = half", "猫", "#1", "a+b"]
                .map(Into::into)
                .into(),
            templates: vec!["A photo of a {label}.".into(), "{label}?".into()],
            model: ModelLocation::parse("owner/name@refs/pr/1").ok(),
        };
        let hash = link.to_hash();
        assert!(hash.starts_with("#label=a+cat+%26+dog&label="), "{hash}");
        assert_eq!(ClassifierLink::of_hash(&hash), Some(link));
    }

    #[test]
    fn other_hashes_are_no_links() {
        for hash in [
            "",
            "#",
            "#train",
            "#library",
            "#label=",
            "#model=a/b",
            "#template=x",
        ] {
            assert_eq!(ClassifierLink::of_hash(hash), None, "{hash}");
        }
        let found =
            ClassifierLink::of_hash("#label=cat&label=+cat+&model=no name&x=1&label=%ff").unwrap();
        assert_eq!(found.labels, ["cat", "\u{fffd}"]);
        assert_eq!(found.model, None);
    }
}
