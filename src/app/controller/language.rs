//! Language of the page: that of the browser, or the one that the visitor chose.

use leptos::prelude::*;

use super::storage;
use crate::app::i18n::{self, Language, t};

/// Language that the page is shown in.
#[derive(Clone, Copy)]
pub struct PageLanguage(RwSignal<Language>);

impl PageLanguage {
    /// The one that the head of the page has chosen before the first paint.
    pub fn of_document() -> Self {
        let tag = document()
            .document_element()
            .and_then(|root| root.get_attribute("lang"));
        let language = tag.and_then(|tag| Language::of_tag(&tag));
        let page = Self(RwSignal::new(language.unwrap_or_default()));
        page.apply();
        page
    }

    /// The language; whoever asks is told when it changes.
    pub fn get(self) -> Language {
        self.0.get()
    }

    /// Shows the page in another language, on later visits as well.
    pub fn choose(self, language: Language) {
        storage::save_text(storage::LANGUAGE, language.tag());
        i18n::set_language(language);
        self.0.set(language);
        self.apply();
    }

    fn apply(self) {
        let language = self.0.get_untracked();
        i18n::set_language(language);
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("lang", language.tag());
        }
        document().set_title(t!("title"));
    }
}
