//! The tab in sight, and the page's address that names it.

use leptos::prelude::*;

use crate::app::domain::tab::Tab;

/// Handle to the tab in sight.
#[derive(Clone, Copy)]
pub struct CurrentTab(RwSignal<Tab>);

impl CurrentTab {
    /// The tab that the page's address names.
    pub fn new() -> Self {
        Self(RwSignal::new(of_address()))
    }

    /// A tab that the address does not change, of a page without others.
    pub fn only(tab: Tab) -> Self {
        Self(RwSignal::new(tab))
    }

    pub fn get(self) -> Tab {
        self.0.get()
    }

    pub fn get_untracked(self) -> Tab {
        self.0.get_untracked()
    }

    /// Shows a tab.
    pub fn show(self, tab: Tab) {
        self.0.set(tab);
        if let Some(window) = web_sys::window() {
            let _ = window.location().set_hash(tab.hash());
        }
    }

    /// Follows the page's address, which has changed.
    pub fn follow_address(self) {
        self.0.set(of_address());
    }
}

impl Default for CurrentTab {
    fn default() -> Self {
        Self::new()
    }
}

fn of_address() -> Tab {
    let hash = web_sys::window().and_then(|window| window.location().hash().ok());
    Tab::of_hash(&hash.unwrap_or_default())
}
