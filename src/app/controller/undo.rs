//! Offers to undo a deletion. They are there for a while, then the deletion is final.

use std::collections::HashMap;
use std::time::Duration;

use leptos::prelude::*;

use crate::diagnostic::Diagnostic;

/// How long a deletion can be undone.
const TIME: Duration = Duration::from_secs(20);

/// Offers at once: the oldest one makes room for another.
const MOST: usize = 3;

/// Offer to undo a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoOffer {
    /// Tells offers apart.
    pub id: u32,
    /// What was deleted.
    pub text: Diagnostic,
}

/// What becomes of a deletion.
struct Ways {
    undo: Box<dyn FnOnce()>,
    finish: Box<dyn FnOnce()>,
}

/// Handle to the offers.
#[derive(Clone, Copy)]
pub struct UndoOffers {
    /// The oldest one first.
    pub offers: RwSignal<Vec<UndoOffer>>,
    /// Whether the visitor is at them: they stay meanwhile.
    pub held: RwSignal<bool>,
    ways: StoredValue<HashMap<u32, Ways>, LocalStorage>,
    next: StoredValue<u32>,
}

impl UndoOffers {
    /// Without offers.
    pub fn new() -> Self {
        Self {
            offers: RwSignal::new(Vec::new()),
            held: RwSignal::new(false),
            ways: StoredValue::new_local(HashMap::new()),
            next: StoredValue::new(0),
        }
    }

    /// Offers to undo what `text` says was deleted; `finish` makes that final. Returns the offer's id.
    pub fn offer(
        self,
        text: Diagnostic,
        undo: impl FnOnce() + 'static,
        finish: impl FnOnce() + 'static,
    ) -> u32 {
        let id = self.next.get_value();
        self.next.set_value(id + 1);
        let ways = Ways {
            undo: Box::new(undo),
            finish: Box::new(finish),
        };
        self.ways.update_value(|all| drop(all.insert(id, ways)));
        self.offers
            .update(|offers| offers.push(UndoOffer { id, text }));
        let oldest = self
            .offers
            .with_untracked(|offers| match offers.len() > MOST {
                true => offers.first().map(|offer| offer.id),
                false => None,
            });
        oldest.into_iter().for_each(|id| self.finish(id));
        self.finish_later(id);
        id
    }

    fn finish_later(self, id: u32) {
        let finish = move || match self.held.try_get_untracked() {
            Some(true) => self.finish_later(id),
            Some(false) => self.finish(id),
            None => {}
        };
        set_timeout(finish, TIME);
    }

    /// Undoes a deletion.
    pub fn undo(self, id: u32) {
        if let Some(ways) = self.take(id) {
            (ways.undo)();
        }
    }

    /// Undoes the latest deletion; `false` if there is none.
    pub fn undo_latest(self) -> bool {
        let latest = self
            .offers
            .with_untracked(|offers| offers.last().map(|offer| offer.id));
        latest.into_iter().for_each(|id| self.undo(id));
        latest.is_some()
    }

    /// Makes a deletion final.
    pub fn finish(self, id: u32) {
        if let Some(ways) = self.take(id) {
            (ways.finish)();
        }
    }

    /// Makes all deletions final.
    pub fn finish_all(self) {
        let offers = self.offers.get_untracked();
        offers.iter().for_each(|offer| self.finish(offer.id));
    }

    fn take(self, id: u32) -> Option<Ways> {
        let ways = self.ways.try_update_value(|all| all.remove(&id)).flatten();
        if ways.is_some() {
            self.offers
                .update(|offers| offers.retain(|offer| offer.id != id));
            // The pointer does not leave what is gone.
            self.held.set(false);
        }
        ways
    }
}

impl Default for UndoOffers {
    fn default() -> Self {
        Self::new()
    }
}
