//! Language of the page: that of the browser, or the one that the visitor chose.

use leptos::prelude::*;

use super::storage;
use crate::app::i18n::{self, Language, t};

/// Language that the page is shown in.
#[derive(Clone, Copy)]
pub struct PageLanguage {
    language: RwSignal<Language>,
    /// Whether the page has a title of its own, which stays.
    titled: bool,
}

/// Gives texts in the language that the head of the page has chosen before the first paint.
pub fn use_language_of_document() -> Language {
    let tag = document()
        .document_element()
        .and_then(|root| root.get_attribute("lang"));
    let language = tag.and_then(|tag| Language::of_tag(&tag));
    i18n::set_language(language.unwrap_or_default());
    i18n::language()
}

impl PageLanguage {
    /// That of the document. A page that is `titled` keeps its title.
    pub fn of_document(titled: bool) -> Self {
        let page = Self {
            language: RwSignal::new(use_language_of_document()),
            titled,
        };
        page.apply();
        page
    }

    /// The language; whoever asks is told when it changes.
    pub fn get(self) -> Language {
        self.language.get()
    }

    /// Shows the page in another language, on later visits as well.
    pub fn choose(self, language: Language) {
        storage::save_text(storage::LANGUAGE, language.tag());
        i18n::set_language(language);
        self.language.set(language);
        self.apply();
    }

    fn apply(self) {
        let language = self.language.get_untracked();
        i18n::set_language(language);
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("lang", language.tag());
        }
        if !self.titled {
            document().set_title(t!("title"));
        }
    }
}
