//! Messages that belong to no single picture.

use leptos::prelude::*;

use super::labels::CloseIcon;
use super::state::App;

/// The region with the notices; each can be dismissed.
#[component]
pub fn Notices(app: App) -> impl IntoView {
    view! {
        <div class="notices" role="region" aria-label="Messages" aria-live="polite">
            <For
                each=move || app.notices.get()
                key=|posted| posted.id
                children=move |posted| {
                    let id = posted.id;
                    let error = posted.notice.error;
                    view! {
                        <div class="notice" class:error=error>
                            <p data-testid=if error { "error" } else { "notice" }>
                                {posted.notice.text}
                            </p>
                            <button
                                type="button"
                                class="icon"
                                aria-label="Dismiss this message"
                                title="Dismiss"
                                on:click=move |_| {
                                    app.notices.update(|notices| notices.retain(|n| n.id != id));
                                }
                            >
                                <CloseIcon />
                            </button>
                        </div>
                    }
                }
            />
        </div>
    }
}

/// What the worker remarked about the prompts, such as that some were cut.
#[component]
pub fn Notes(app: App) -> impl IntoView {
    let notes = Memo::new(move |_| app.session.with(|session| session.notes.clone()));
    view! {
        <div aria-live="polite">
            <Show when=move || notes.with(|notes| !notes.is_empty())>
                <ul class="notes" data-testid="notes">
                    {move || {
                        notes.get().into_iter().map(|note| view! { <li>{note}</li> }).collect_view()
                    }}
                </ul>
            </Show>
        </div>
    }
}
