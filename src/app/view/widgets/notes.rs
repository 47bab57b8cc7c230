//! List of remarks.

use leptos::prelude::*;

use crate::app::i18n;

/// Remarks about prompts or results.
#[component]
pub fn NoteList(
    notes: Vec<String>,
    /// For tests.
    #[prop(optional)]
    testid: Option<&'static str>,
) -> impl IntoView {
    view! {
        <ul class="notes" data-testid=testid>
            {notes.into_iter().map(|note| view! { <li>{i18n::foreign(&note)}</li> }).collect_view()}
        </ul>
    }
}
