//! Notices on the page.

use leptos::prelude::*;

use crate::app::domain::notice::Notice;

/// Notice on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedNotice {
    /// Tells notices apart.
    pub id: u32,
    /// What it says.
    pub notice: Notice,
}

/// Handle to the notices that are not yet dismissed.
#[derive(Clone, Copy)]
pub struct Notices {
    /// In the order in which they came.
    pub posted: RwSignal<Vec<PostedNotice>>,
    next: StoredValue<u32>,
}

impl Notices {
    /// Without notices.
    pub fn new() -> Self {
        Self {
            posted: RwSignal::new(Vec::new()),
            next: StoredValue::new(0),
        }
    }

    /// Shows a notice, unless it is there already.
    pub fn notify(self, notice: Notice) {
        let id = self.next.get_value();
        self.next.set_value(id + 1);
        self.posted.update(|posted| {
            if !posted.iter().any(|known| known.notice == notice) {
                posted.push(PostedNotice { id, notice });
            }
        });
    }

    /// Takes a notice away.
    pub fn dismiss(self, id: u32) {
        self.posted
            .update(|posted| posted.retain(|known| known.id != id));
    }
}

impl Default for Notices {
    fn default() -> Self {
        Self::new()
    }
}
