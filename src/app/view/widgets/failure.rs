//! What went wrong, and the ways on from there.

use leptos::prelude::*;

use crate::app::i18n;
use crate::diagnostic::Diagnostic;

/// Box with an error. `children`: ways on.
#[component]
pub fn Failure(
    #[prop(into)] error: Diagnostic,
    /// For tests.
    #[prop(default = "error")]
    testid: &'static str,
    #[prop(optional)] children: Option<Children>,
) -> impl IntoView {
    view! {
        <div class="failure" role="alert">
            <p data-testid=testid>{i18n::error(&error)}</p>
            {children.map(|children| children())}
        </div>
    }
}
