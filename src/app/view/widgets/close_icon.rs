//! Buttons that remove something.

use leptos::prelude::*;

/// The small cross on buttons that remove something.
#[component]
pub fn CloseIcon() -> impl IntoView {
    view! {
        <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
            <path d="M2.5 2.5l7 7m0-7l-7 7" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />
        </svg>
    }
}

/// Button with a cross. `label`: for screen readers; `title`: when pointed at.
#[component]
pub fn RemoveButton(
    #[prop(into)] label: TextProp,
    title: &'static str,
    /// For tests.
    #[prop(optional)]
    testid: Option<&'static str>,
    remove: impl Fn() + 'static,
) -> impl IntoView {
    view! {
        <button
            type="button"
            class="icon"
            data-testid=testid
            aria-label=move || label.get()
            title=title
            on:click=move |_| remove()
        >
            <CloseIcon />
        </button>
    }
}
