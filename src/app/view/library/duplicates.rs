//! Groups of duplicates.

use leptos::prelude::*;

use super::picture::{PAGE, Picture};
use crate::app::controller::library::LibraryController;
use crate::app::i18n::t;
use crate::app::view::widgets::PacedFor;

/// Images of a group that are shown.
const OF_A_GROUP: usize = 12;

/// Groups of duplicates.
#[component]
pub fn Duplicates(library: LibraryController) -> impl IntoView {
    let session = library.session;
    let busy = Memo::new(move |_| session.with(|s| s.busy || !s.complete()));
    let found = Memo::new(move |_| session.with(|s| s.duplicates.clone()));
    let groups = move |title: &'static str,
                       first: &'static str,
                       test: &'static str,
                       groups: Vec<Vec<String>>| {
        view! {
            <section class="duplicate-kind" data-testid=test>
                <h3>{title} <span class="count">{groups.len().to_string()}</span></h3>
                <PacedFor
                    items=Signal::stored(groups.into_iter().take(PAGE).collect::<Vec<_>>())
                    key=|group| group.first().cloned()
                    per_frame=1
                    children=move |group| {
                        let more = group.len().saturating_sub(OF_A_GROUP);
                        view! {
                            <ul class="tiles group">
                                {group
                                    .into_iter()
                                    .take(OF_A_GROUP)
                                    .enumerate()
                                    .map(|(place, path)| {
                                        view! {
                                            <li class="tile">
                                                <Picture library path />
                                                {(place == 0)
                                                    .then(|| view! { <p class="tile-foot">{first}</p> })}
                                            </li>
                                        }
                                    })
                                    .collect_view()}
                                {(more > 0)
                                    .then(|| view! { <li class="tile-more">{t!("and-more-images", more = more)}</li> })}
                            </ul>
                        }
                    }
                />
            </section>
        }
    };
    view! {
        <div class="duplicates">
            <p class="ways">
                <label>
                    {t!("similar-before")}
                    <input
                        type="number"
                        min="0.5"
                        max="1"
                        step="0.01"
                        data-testid="similar"
                        prop:value=move || format!("{:.2}", session.with(|s| s.similar))
                        on:change:target=move |event| {
                            if let Ok(similar) = event.target().value().parse::<f32>() {
                                session.update(|s| s.similar = similar.clamp(-1.0, 1.0));
                            }
                        }
                    />
                    {t!("similar-after")}
                </label>
                <button
                    type="button"
                    class="button"
                    data-testid="find-duplicates"
                    disabled=move || busy.get()
                    on:click=move |_| library.find_duplicates()
                >
                    {t!("find-duplicates")}
                </button>
            </p>
            {move || {
                found
                    .get()
                    .map(|found| {
                        view! {
                            {groups(t!("identical-files"), t!("oldest"), "identical", found.identical)}
                            {groups(
                                t!("near-identical"),
                                t!("best-copy"),
                                "near-identical",
                                found.near_identical,
                            )}
                            {groups(t!("similar-images"), t!("largest"), "similar-groups", found.similar)}
                        }
                    })
            }}
        </div>
    }
}
