//! Messages that belong to no single picture.

use leptos::prelude::*;

use super::widgets::{NoteList, RemoveButton};
use crate::app::controller::classify::ClassifyController;
use crate::app::controller::notices::Notices;
use crate::app::i18n::{self, t};

/// The region with the notices; each can be dismissed.
#[component]
pub fn NoticeList(notices: Notices) -> impl IntoView {
    view! {
        <div class="notices" role="region" aria-label=t!("messages") aria-live="polite">
            <For
                each=move || notices.posted.get()
                key=|posted| posted.id
                children=move |posted| {
                    let id = posted.id;
                    let error = posted.notice.error;
                    let text = match error {
                        true => i18n::sentence(&posted.notice.text),
                        false => i18n::error(&posted.notice.text),
                    };
                    view! {
                        <div class="notice" class:error=error>
                            <p data-testid=if error { "error" } else { "notice" }>
                                {text}
                            </p>
                            <RemoveButton
                                label=t!("dismiss-message")
                                title=t!("dismiss")
                                remove=move || notices.dismiss(id)
                            />
                        </div>
                    }
                }
            />
        </div>
    }
}

/// What the worker remarked about the prompts, such as that some were cut.
#[component]
pub fn Notes(classify: ClassifyController) -> impl IntoView {
    let notes = Memo::new(move |_| {
        classify
            .session
            .with(|session| session.question.notes.clone())
    });
    view! {
        <div aria-live="polite">
            <Show when=move || notes.with(|notes| !notes.is_empty())>
                {move || view! { <NoteList notes=notes.get() testid="notes" /> }}
            </Show>
        </div>
    }
}
