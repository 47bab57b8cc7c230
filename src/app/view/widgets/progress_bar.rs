//! Progress of something that takes a while.

use leptos::prelude::*;

/// Bar that fills. `share`: 0 to 1, or `None` where nobody knows; `text`: the same in words.
#[component]
pub fn ProgressBar(
    class: &'static str,
    label: &'static str,
    #[prop(into)] share: Signal<Option<f64>>,
    #[prop(into)] text: Signal<String>,
) -> impl IntoView {
    view! {
        <div
            class=class
            class:unknown=move || share.get().is_none()
            role="progressbar"
            aria-label=label
            aria-valuemin="0"
            aria-valuemax="100"
            aria-valuenow=move || share.get().map(|part| format!("{:.0}", part * 100.0))
            aria-valuetext=move || text.get()
        >
            <span style:width=move || share.get().map(|part| format!("{:.1}%", part * 100.0))></span>
        </div>
    }
}
