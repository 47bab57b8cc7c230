//! Offers to undo a deletion, at the lower edge of the window: by a button, or by Ctrl and Z.

use js_sys::Reflect;
use leptos::{ev, prelude::*};

use super::dropping::in_text_field;
use super::widgets::RemoveButton;
use crate::app::controller::undo::{UndoOffer, UndoOffers};
use crate::app::i18n::{self, t};

/// Whether the field that an event belongs to has no text.
fn is_empty(event: &web_sys::Event) -> bool {
    let text = (event.target()).and_then(|field| Reflect::get(&field, &"value".into()).ok());
    text.and_then(|text| text.as_string())
        .is_some_and(|text| text.is_empty())
}

/// The region with the offers.
#[component]
pub fn UndoList(undo: UndoOffers) -> impl IntoView {
    let pressed = window_event_listener(ev::keydown, move |event| {
        let control = event.ctrl_key() || event.meta_key();
        let other = event.shift_key() || event.alt_key();
        let wanted = control && !other && event.key().eq_ignore_ascii_case("z");
        // A text field undoes what was typed in it.
        let typing = in_text_field(&event) && !is_empty(&event);
        if wanted && !typing && undo.undo_latest() {
            event.prevent_default();
        }
    });
    on_cleanup(move || pressed.remove());
    let held = undo.held;
    let row = move |UndoOffer { id, text }: UndoOffer| {
        let label = t!("undo-what", what = text);
        view! {
            <div class="undo" data-testid="undo">
                <p>{i18n::said(&text)}</p>
                <button
                    type="button"
                    class="button secondary small"
                    data-testid="undo-button"
                    aria-label=label
                    aria-keyshortcuts="Control+Z"
                    on:click=move |_| undo.undo(id)
                >
                    {t!("undo")}
                </button>
                <RemoveButton
                    label=t!("dismiss-message")
                    title=t!("dismiss")
                    testid="undo-dismiss"
                    remove=move || undo.finish(id)
                />
            </div>
        }
    };
    view! {
        <div
            class="undo-list"
            role="region"
            aria-label=t!("deleted")
            aria-live="polite"
            on:pointerenter=move |_| held.set(true)
            on:pointerleave=move |_| held.set(false)
            on:focusin=move |_| held.set(true)
            on:focusout=move |_| held.set(false)
        >
            <For each=move || undo.offers.get() key=|offer| offer.id children=row />
        </div>
    }
}
