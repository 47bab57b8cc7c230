//! Title of a step on the training side.

use leptos::prelude::*;

/// Heading with the step's number. `id`: for `aria-labelledby`.
#[component]
pub fn StepTitle(number: u32, id: &'static str, title: &'static str) -> impl IntoView {
    view! {
        <h2 id=id>
            <span class="step-number" aria-hidden="true">{number}</span>
            {title}
        </h2>
    }
}
