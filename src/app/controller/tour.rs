//! The short tour of a first visit.

use leptos::prelude::*;

use super::classify::ClassifyController;
use super::current_tab::CurrentTab;
use super::storage;
use crate::app::domain::tab::Tab;
use crate::app::domain::tour::TourStep;

/// Handle to the tour.
#[derive(Clone, Copy)]
pub struct Tour {
    /// Where it is; `None` once it is over.
    pub step: RwSignal<Option<TourStep>>,
}

impl Tour {
    /// At its first step on the first visit to the page; over on any other, and on a page of one
    /// classifier.
    pub fn new(standalone: bool) -> Self {
        let first = !standalone && storage::first_visit();
        if first {
            storage::save_text(storage::TOUR, "shown");
        }
        Self {
            step: RwSignal::new(first.then_some(TourStep::Image)),
        }
    }

    /// Keeps up with what the visitor does without being told.
    pub fn start(self, classify: ClassifyController, tab: CurrentTab) {
        Effect::new(move |_| {
            let Some(step) = self.step.get() else {
                return;
            };
            if tab.get() == Tab::Train {
                self.step.set(None);
                return;
            }
            let has_images = classify
                .session
                .with(|session| !session.pictures.is_empty());
            let now = step.caught_up(has_images, classify.labels_own.get());
            if now != step {
                self.step.set(Some(now));
            }
        });
    }

    /// Goes on to the next step, or ends behind the last one.
    pub fn advance(self) {
        self.step
            .update(|step| *step = step.and_then(TourStep::next));
    }

    /// Ends the tour.
    pub fn end(self) {
        self.step.set(None);
    }
}
