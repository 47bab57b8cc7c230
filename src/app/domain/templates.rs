//! Prompt templates that the visitor selected or wrote.

use serde::{Deserialize, Serialize};

use crate::app::i18n::{self, Language, t};
use crate::zero_shot::{DEFAULT_TEMPLATE, LABEL_ONLY, PLACEHOLDER, PRESET_TEMPLATES};

/// Preset templates in Chinese, the default one first.
const CHINESE_TEMPLATES: [&str; 7] = [
    "一张{label}的照片",
    "一幅{label}的画",
    "{label}的图标",
    "{label}的素描",
    "一张{label}的特写照片",
    "一张{label}的模糊照片",
    "一张{label}的黑白照片",
];

/// Preset templates of the page. In Chinese the English ones follow, since many models know no Chinese.
pub fn presets() -> Vec<&'static str> {
    match i18n::language() {
        Language::English => PRESET_TEMPLATES.to_vec(),
        Language::Chinese => [&CHINESE_TEMPLATES[..], &PRESET_TEMPLATES].concat(),
    }
}

/// Template that is selected where the visitor has not chosen.
pub fn default_template(language: Language) -> &'static str {
    match language {
        Language::English => DEFAULT_TEMPLATE,
        Language::Chinese => CHINESE_TEMPLATES[0],
    }
}

/// What is wrong with a template, in plain words.
pub fn validate(text: &str) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        Err(t!("template-empty"))
    } else if text.contains(PLACEHOLDER) {
        Ok(())
    } else if text.to_lowercase().contains(PLACEHOLDER) {
        Err(t!("template-lower-case"))
    } else {
        Err(t!("template-without-label"))
    }
}

/// A template of the visitor's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custom {
    /// The template; may be invalid while it is being edited, and is not used then.
    pub text: String,
    /// Whether it is ticked.
    pub on: bool,
    /// Tells rows apart on the page.
    #[serde(skip)]
    pub id: u32,
}

/// All templates and which of them are selected, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSelection {
    /// The ready ones that are ticked.
    pub ticked: Vec<String>,
    /// The visitor's own.
    pub custom: Vec<Custom>,
    #[serde(skip)]
    next: u32,
}

impl Default for TemplateSelection {
    fn default() -> Self {
        Self {
            ticked: vec![default_template(i18n::language()).into()],
            custom: Vec::new(),
            next: 0,
        }
    }
}

impl TemplateSelection {
    /// With these templates and no others; those that are none are left out.
    pub fn of(templates: &[String]) -> Self {
        let mut selection = Self {
            ticked: Vec::new(),
            custom: Vec::new(),
            next: 0,
        };
        for template in templates {
            let _ = selection.add(template);
        }
        selection
    }

    /// Numbers the rows after they were read back. Presets of another language become the visitor's
    /// own, and the other way round.
    pub fn restored(self) -> Self {
        let mut restored = Self::of(&self.ticked);
        for custom in self.custom {
            if presets().contains(&custom.text.as_str()) {
                restored.select(&custom.text, custom.on);
            } else {
                restored.custom.push(Custom {
                    id: restored.next,
                    ..custom
                });
                restored.next += 1;
            }
        }
        restored
    }

    /// The same in another language: its default template in the place of the one of `before`, if only
    /// that is selected.
    pub fn translated(self, before: Language, now: Language) -> Self {
        let own = self.custom.iter().any(|custom| custom.on);
        let ticked = match self.ticked.as_slice() {
            [only] if !own && only == default_template(before) => {
                vec![default_template(now).into()]
            }
            _ => self.ticked,
        };
        Self { ticked, ..self }.restored()
    }

    /// The templates to classify with: ticked and valid, each once, never none.
    pub fn active(&self) -> Vec<String> {
        let ready = presets().into_iter().filter(|text| self.is_selected(text));
        let custom = self
            .custom
            .iter()
            .filter(|custom| custom.on && validate(&custom.text).is_ok())
            .map(|custom| custom.text.trim());
        let mut active: Vec<String> = Vec::new();
        for text in ready.chain(custom) {
            if !active.iter().any(|known| known == text) {
                active.push(text.to_string());
            }
        }
        if active.is_empty() {
            active.push(LABEL_ONLY.into());
        }
        active
    }

    /// Whether no template is selected, so that labels are used as is.
    pub fn is_label_only(&self) -> bool {
        !self
            .custom
            .iter()
            .any(|custom| custom.on && validate(&custom.text).is_ok())
            && !presets().iter().any(|text| self.is_selected(text))
    }

    /// Whether a preset template is selected.
    pub fn is_selected(&self, text: &str) -> bool {
        self.ticked.iter().any(|ticked| ticked == text)
    }

    /// Selects or deselects a preset template.
    pub fn select(&mut self, text: &str, on: bool) {
        self.ticked.retain(|ticked| ticked != text);
        if on {
            self.ticked.push(text.to_string());
        }
    }

    /// Adds one of the visitor's own, ticked; or says what is wrong with it.
    pub fn add(&mut self, text: &str) -> Result<(), &'static str> {
        validate(text)?;
        let text = text.trim();
        if presets().contains(&text) {
            self.select(text, true);
        } else if let Some(known) = self.custom.iter_mut().find(|custom| custom.text == text) {
            known.on = true;
        } else {
            self.custom.push(Custom {
                text: text.to_string(),
                on: true,
                id: self.next,
            });
            self.next += 1;
        }
        Ok(())
    }

    /// One of the visitor's own.
    pub fn custom(&self, id: u32) -> Option<&Custom> {
        self.custom.iter().find(|custom| custom.id == id)
    }

    /// Changes one of the visitor's own.
    pub fn edit(&mut self, id: u32, change: impl FnOnce(&mut Custom)) {
        if let Some(custom) = self.custom.iter_mut().find(|custom| custom.id == id) {
            change(custom);
        }
    }

    /// Removes one of the visitor's own; returns it with its place.
    pub fn remove(&mut self, id: u32) -> Option<(usize, Custom)> {
        let place = self.custom.iter().position(|custom| custom.id == id)?;
        Some((place, self.custom.remove(place)))
    }

    /// Puts one that was removed back to its place. Another may have its number by now.
    pub fn put_back(&mut self, place: usize, custom: Custom) {
        let id = self.next;
        self.next += 1;
        let place = place.min(self.custom.len());
        self.custom.insert(place, Custom { id, ..custom });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_needs_its_placeholder() {
        assert!(validate("A photo of a {label}.").is_ok());
        assert!(validate("{label}").is_ok());
        assert!(validate("  ").is_err());
        assert!(validate("A photo.").is_err_and(|error| error.contains("missing")));
        assert!(validate("A {Label}").is_err_and(|error| error.contains("lower case")));
    }

    #[test]
    fn ready_templates_are_valid_and_hold_the_default() {
        for language in Language::ALL {
            i18n::set_language(language);
            assert!(presets().iter().all(|text| validate(text).is_ok()));
            assert!(presets().contains(&default_template(language)));
        }
        i18n::set_language(Language::English);
    }

    #[test]
    fn a_switch_of_the_language_keeps_what_was_chosen() {
        let book = TemplateSelection::default();
        i18n::set_language(Language::Chinese);
        let chinese = book.translated(Language::English, Language::Chinese);
        assert_eq!(chinese.active(), ["一张{label}的照片"]);
        let mut more = chinese.clone();
        more.select("一幅{label}的画", true);
        i18n::set_language(Language::English);
        let english = chinese.translated(Language::Chinese, Language::English);
        assert_eq!(english, TemplateSelection::default());
        let kept = more.translated(Language::Chinese, Language::English);
        assert_eq!(kept.active(), ["一张{label}的照片", "一幅{label}的画"]);
        assert_eq!(kept.custom.len(), 2);
        i18n::set_language(Language::Chinese);
        let again = kept.restored();
        assert_eq!((again.ticked.len(), again.custom.len()), (2, 0));
        i18n::set_language(Language::English);
    }

    #[test]
    fn there_is_always_one_to_classify_with() {
        let mut book = TemplateSelection::default();
        assert_eq!(book.active(), [DEFAULT_TEMPLATE]);
        book.select(DEFAULT_TEMPLATE, false);
        assert!(book.is_label_only());
        assert_eq!(book.active(), ["{label}"]);
    }

    #[test]
    fn own_templates_are_added_once_and_left_out_while_wrong() {
        let mut book = TemplateSelection::default();
        assert!(book.add("no place").is_err());
        assert!(book.add(" my {label} ").is_ok());
        assert!(book.add("my {label}").is_ok());
        assert_eq!(book.custom.len(), 1);
        // One of the ready ones is ticked instead.
        assert!(book.add("{label}").is_ok());
        assert_eq!(book.active(), [DEFAULT_TEMPLATE, "{label}", "my {label}"]);
        let id = book.custom[0].id;
        book.edit(id, |custom| custom.text = "broken".into());
        assert_eq!(book.active(), [DEFAULT_TEMPLATE, "{label}"]);
        let (place, custom) = book.remove(id).unwrap();
        assert!(book.custom.is_empty() && book.remove(id).is_none());
        book.put_back(place + 3, custom);
        assert_eq!(book.custom[0].text, "broken");
    }

    #[test]
    fn one_that_comes_back_has_a_number_of_its_own() {
        let mut book =
            TemplateSelection::of(&["a {label}", "b {label}", "c {label}"].map(String::from));
        let (place, custom) = book.remove(book.custom[0].id).unwrap();
        let mut book = book.translated(Language::English, Language::English);
        book.put_back(place, custom);
        let texts: Vec<&str> = book.custom.iter().map(|custom| &*custom.text).collect();
        assert_eq!(texts, ["a {label}", "b {label}", "c {label}"]);
        let numbers: std::collections::HashSet<u32> = book.custom.iter().map(|c| c.id).collect();
        assert_eq!(numbers.len(), 3);
    }

    #[test]
    fn what_is_kept_can_be_read_back() {
        let mut book = TemplateSelection::default();
        for text in ["a {label}", "b {label}"] {
            assert!(book.add(text).is_ok());
        }
        let kept = serde_json::to_string(&book).unwrap_or_default();
        let read: TemplateSelection = serde_json::from_str(&kept).unwrap_or_default();
        let read = read.restored();
        assert_eq!(read.active(), book.active());
        assert_ne!(read.custom[0].id, read.custom[1].id);
    }
}
