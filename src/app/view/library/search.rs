//! Search by words and by images.

use leptos::{ev, html, prelude::*};
use web_sys::KeyboardEvent;

use super::picture::{PAGE, PER_FRAME, Picture};
use crate::app::controller::library::LibraryController;
use crate::app::i18n::t;
use crate::app::view::dropping::{ACCEPT, QUERY, files};
use crate::app::view::widgets::{CloseIcon, PacedFor};
use crate::library::Sign;

/// Search by words and by images.
#[component]
pub fn Search(library: LibraryController) -> impl IntoView {
    let session = library.session;
    let limit = RwSignal::new(PAGE);
    let input = NodeRef::<html::Input>::new();
    let search = move || {
        limit.set(PAGE);
        library.search();
    };
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Enter" && !event.is_composing() {
            search();
        }
    };
    // A moment after the last key: each search costs a text encoding.
    let typed = move |_: ev::Event| {
        if let Some(input) = input.get_untracked() {
            let text = input.value();
            session.update(|s| s.query.clone_from(&text));
            set_timeout(
                move || {
                    if session.try_with_untracked(|s| s.query == text) == Some(true) {
                        search();
                    }
                },
                std::time::Duration::from_millis(300),
            );
        }
    };
    let like = Memo::new(move |_| session.with(|s| s.like.clone()));
    let shown = Memo::new(move |_| {
        session.with(|s| {
            let hit = |(path, score): &(String, f32)| (path.clone(), s.scored.then_some(*score));
            s.shown().take(limit.get()).map(hit).collect::<Vec<_>>()
        })
    });
    let counts = Memo::new(move |_| {
        session.with(|s| (s.shown().count(), s.hits.as_ref().map_or(0, Vec::len)))
    });
    let scored = Memo::new(move |_| session.with(|s| s.scored));
    let found = Memo::new(move |_| session.with(|s| s.hits.is_some()));
    let range = Memo::new(move |_| {
        session.with(|s| {
            let hits = s.hits.as_deref().unwrap_or_default();
            let (best, worst) = (hits.first()?.1, hits.last()?.1);
            s.scored.then_some((worst, best))
        })
    });
    let more_like = move |path: String, sign: Sign| {
        limit.set(PAGE);
        library.search_like(sign, path);
    };
    let image_input = NodeRef::<html::Input>::new();
    let picked = move |_| {
        if let Some(input) = image_input.get_untracked() {
            limit.set(PAGE);
            library.search_with(files(input.files()));
            // So that picking the same file again is a change again.
            input.set_value("");
        }
    };
    view! {
        <div class=format!("search {QUERY}")>
            <div class="field-row">
                <input
                    node_ref=input
                    type="search"
                    data-testid="search-input"
                    aria-label=t!("search-for")
                    placeholder=t!("search-example")
                    prop:value=move || session.with(|s| s.query.clone())
                    on:input=typed
                    on:keydown=on_key
                />
                <button type="button" class="button secondary" on:click=move |_| search()>
                    {t!("search")}
                </button>
                <label class="button secondary" for="query-image">
                    {t!("search-by-image")}
                </label>
                <input
                    node_ref=image_input
                    id="query-image"
                    data-testid="query-image"
                    class="sr-only"
                    type="file"
                    multiple
                    accept=ACCEPT
                    aria-label=t!("search-by-image")
                    on:change=picked
                />
            </div>
            <p class="help">
                {t!("search-help")}
            </p>
            <ul class="chips" aria-label=t!("query-images")>
                <For
                    each=move || like.get()
                    key=|(sign, image)| (*sign == Sign::Plus, format!("{image:?}"))
                    children=move |(sign, image)| {
                        let url = library.thumbnail(&image);
                        let name = image.name().to_owned();
                        let text = match sign {
                            Sign::Plus => t!("like", name = name),
                            Sign::Minus => t!("not-like", name = name),
                        };
                        view! {
                            <li class="chip like-chip" data-testid="like-chip">
                                <img src=move || url.get() alt="" />
                                <span>{text}</span>
                                <button
                                    type="button"
                                    aria-label=t!("remove-from-query", name = name)
                                    on:click=move |_| library.remove_from_query(&image)
                                >
                                    <CloseIcon />
                                </button>
                            </li>
                        }
                    }
                />
            </ul>
            <div class="search-head">
                <Show when=move || found.get()>
                    <p aria-live="polite" data-testid="search-count">
                        {move || {
                            let (shown, all) = counts.get();
                            let order = if scored.get() { t!("best-first") } else { t!("newest-first") };
                            match (shown, all) {
                                (shown, all) if shown < all => t!("shown-of", shown = shown, all = all, order = order),
                                (1, _) => t!("images", count = 1usize),
                                (0, _) => t!("no-images").into(),
                                (shown, _) => t!("found-images", shown = shown, order = order),
                            }
                        }}
                    </p>
                </Show>
                {move || {
                    range
                        .get()
                        .map(|(worst, best)| {
                            let least = move || session.with(|s| s.min_score).clamp(worst, best);
                            view! {
                                <label>
                                    {t!("minimum-similarity")}
                                    <input
                                        type="range"
                                        data-testid="min-score"
                                        min=format!("{worst:.3}")
                                        max=format!("{best:.3}")
                                        step="0.001"
                                        prop:value=move || format!("{:.3}", least())
                                        on:input:target=move |event| {
                                            if let Ok(least) = event.target().value().parse() {
                                                session.update(|s| s.min_score = least);
                                            }
                                        }
                                    />
                                    <output>{move || format!("{:.2}", least())}</output>
                                </label>
                                <button type="button" class="quiet" on:click=move |_| library.save_hits()>
                                    {t!("download-results-csv")}
                                </button>
                            }
                        })
                }}
            </div>
            <ul class="tiles" data-testid="hits">
                <PacedFor
                    items=shown
                    key=|(path, score)| (path.clone(), score.map(f32::to_bits))
                    per_frame=PER_FRAME
                    children=move |(path, score)| {
                        view! {
                            <li class="tile" data-testid="hit" data-path=path.clone()>
                                <Picture library path=path.clone() />
                                <p class="tile-foot">
                                    {score
                                        .map(|score| {
                                            view! {
                                                <span class="score" title=t!("cosine-similarity")>
                                                    {format!("{score:.3}")}
                                                </span>
                                            }
                                        })}
                                    {[(t!("more-like-this"), Sign::Plus), (t!("less-like-this"), Sign::Minus)]
                                        .map(|(text, sign)| {
                                            let path = path.clone();
                                            view! {
                                                <button
                                                    type="button"
                                                    class="quiet"
                                                    on:click=move |_| more_like(path.clone(), sign)
                                                >
                                                    {text}
                                                </button>
                                            }
                                        })
                                        .collect_view()}
                                </p>
                            </li>
                        }
                    }
                />
            </ul>
            <Show when=move || { counts.get().0 > limit.get() }>
                <button
                    type="button"
                    class="button secondary"
                    data-testid="more-hits"
                    on:click=move |_| limit.update(|limit| *limit += PAGE)
                >
                    {t!("show-more")}
                </button>
            </Show>
        </div>
    }
}
