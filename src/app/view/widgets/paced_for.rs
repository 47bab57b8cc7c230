//! List that is drawn over several frames.

use std::hash::Hash;

use leptos::{prelude::*, tachys::view::keyed::SerializableKey};

use crate::app::domain::grid;

/// The same as [`For`], but with at most `per_frame` new items in a frame: many at once would
/// hold the page up.
#[component]
pub fn PacedFor<T, K, N>(
    #[prop(into)] items: Signal<Vec<T>>,
    key: fn(&T) -> K,
    per_frame: usize,
    children: impl Fn(T) -> N + Send + Clone + 'static,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
    K: Eq + Hash + SerializableKey + 'static,
    N: IntoView + 'static,
{
    let drawn = RwSignal::new(Vec::new());
    let frame = RwSignal::new(0u32);
    let waiting = StoredValue::new(false);
    let draw_soon = move || {
        if !waiting.get_value() {
            waiting.set_value(true);
            request_animation_frame(move || {
                // Nobody looks any more when the list is gone.
                let _ = waiting.try_set_value(false);
                let _ = frame.try_update(|frame| *frame = frame.wrapping_add(1));
            });
        }
    };
    Effect::new(move |_| {
        items.track();
        draw_soon();
    });
    Effect::new(move |before: Option<()>| {
        frame.track();
        if before.is_none() {
            return;
        }
        let (next, done) = items.with_untracked(|items| {
            let next = drawn.with_untracked(|drawn| grid::step(drawn, items, key, per_frame));
            let done = next == *items;
            (next, done)
        });
        if drawn.with_untracked(|drawn| *drawn != next) {
            drawn.set(next);
        }
        if !done {
            draw_soon();
        }
    });
    view! { <For each=move || drawn.get() key children /> }
}
