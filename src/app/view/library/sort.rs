//! Images by label.

use leptos::{ev, prelude::*, task::spawn_local};

use super::picture::{PAGE, PER_FRAME, Picture};
use crate::app::controller::App;
use crate::app::controller::folders;
use crate::app::controller::library::LibraryController;
use crate::app::domain::labels;
use crate::app::domain::tab::Tab;
use crate::app::i18n::t;
use crate::app::view::widgets::PacedFor;

/// Images by label.
#[component]
pub fn Sort(app: App) -> impl IntoView {
    let library = app.library;
    let session = library.session;
    let text = RwSignal::new(app.classify.labels.get_untracked().join(", "));
    let busy = Memo::new(move |_| session.with(|s| s.busy || !s.complete()));
    let sort = move |_| {
        let labels = labels::parse(&text.get_untracked());
        let templates = (app.classify.templates).with_untracked(|templates| templates.active());
        library.sort(labels, templates);
    };
    let titles = Memo::new(move |_| {
        session
            .with(|s| s.sorted.as_ref().map(|sorted| sorted.labels.clone()))
            .unwrap_or_default()
    });
    let group = move |label: usize| {
        session.with(|s| {
            (s.sorted.as_ref())
                .map(|sorted| sorted.group(label).into_iter().cloned().collect::<Vec<_>>())
                .unwrap_or_default()
        })
    };
    let train = move |_| {
        let found = library.sorted_files();
        app.tab.show(Tab::Train);
        spawn_local(async move { app.training.add_data(found, None).await });
    };
    view! {
        <div class="sort">
            <div class="field-row">
                <input
                    type="text"
                    data-testid="sort-labels"
                    aria-label=t!("labels-to-sort-by")
                    prop:value=move || text.get()
                    on:input:target=move |event| text.set(event.target().value())
                />
                <button
                    type="button"
                    class="button"
                    data-testid="sort-images"
                    disabled=move || busy.get()
                    on:click=sort
                >
                    {t!("sort-now")}
                </button>
            </div>
            <p class="help">{t!("sort-help")}</p>
            <p class="ways">
                <span>{t!("without-labels")}</span>
                <button
                    type="button"
                    class="button secondary"
                    data-testid="cluster"
                    disabled=move || busy.get()
                    on:click=move |_| library.cluster()
                >
                    {t!("group-by-similarity")}
                </button>
                <label>
                    {t!("into-groups-before")}
                    <input
                        type="number"
                        min="1"
                        max="1000"
                        placeholder=t!("group-count-auto")
                        data-testid="group-count"
                        prop:value=move || session.with(|s| s.group_count.clone())
                        on:input:target=move |event| {
                            let count = event.target().value();
                            session.update(|s| s.group_count = count);
                        }
                    />
                    {t!("into-groups-after")}
                </label>
            </p>
            <Show when=move || !titles.with(Vec::is_empty)>
                <p class="ways">
                    <Show when=folders::supported>
                        <button
                            type="button"
                            class="button secondary"
                            data-testid="copy-sorted"
                            disabled=move || library.copying.with(Option::is_some)
                            on:click=move |_| library.copy_sorted()
                        >
                            {move || match library.copying.get() {
                                Some((done, all)) => t!("copying-of", number = done + 1, all = all),
                                None => t!("copy-into-folder").into(),
                            }}
                        </button>
                    </Show>
                    <button type="button" class="button secondary" on:click=move |_| library.save_zip()>
                        {t!("download-folders")}
                    </button>
                    <button type="button" class="button secondary" on:click=move |_| library.save_sorted()>
                        {t!("download-list")}
                    </button>
                    <button type="button" class="button secondary" data-testid="train-sorted" on:click=train>
                        {t!("train-on-groups")}
                    </button>
                </p>
            </Show>
            {move || {
                let titles_now = titles.get();
                // All groups are drawn at the same time.
                let per_frame = (PER_FRAME / titles_now.len().max(1)).max(1);
                titles_now
                    .into_iter()
                    .enumerate()
                    .map(|(label, title)| {
                        let images = Memo::new(move |_| group(label));
                        let limit = RwSignal::new(PAGE / 3);
                        let first = Memo::new(move |_| {
                            let limit = limit.get();
                            images.with(|images| images.iter().take(limit).cloned().collect::<Vec<_>>())
                        });
                        view! {
                            <section class="sorted-group" data-testid="sorted-group" data-label=title.clone()>
                                <h3>
                                    <input
                                        type="text"
                                        class="group-name"
                                        data-testid="group-name"
                                        aria-label=t!("name-of-group", title = title)
                                        prop:value=title.clone()
                                        on:change:target=move |event| {
                                            let name = event.target().value();
                                            session.update(|s| {
                                                if let Some(sorted) = &mut s.sorted {
                                                    sorted.rename(label, &name);
                                                }
                                            });
                                        }
                                    />
                                    <span class="count">{move || images.with(Vec::len).to_string()}</span>
                                </h3>
                                <ul class="tiles">
                                    <PacedFor
                                        items=first
                                        key=|image| image.path.clone()
                                        per_frame
                                        children=move |image| {
                                            view! { <SortedTile library path=image.path probability=image.probability label titles /> }
                                        }
                                    />
                                </ul>
                                <Show when=move || { images.with(Vec::len) > limit.get() }>
                                    <button
                                        type="button"
                                        class="quiet"
                                        on:click=move |_| limit.update(|limit| *limit += PAGE)
                                    >
                                        {t!("show-more")}
                                    </button>
                                </Show>
                            </section>
                        }
                    })
                    .collect_view()
            }}
        </div>
    }
}

/// Sorted image, with the choice of another label.
#[component]
fn SortedTile(
    library: LibraryController,
    path: String,
    probability: f32,
    label: usize,
    titles: Memo<Vec<String>>,
) -> impl IntoView {
    let session = library.session;
    let moved = path.clone();
    let move_to = move |event: ev::Targeted<ev::Event, web_sys::HtmlSelectElement>| {
        let Ok(to) = event.target().value().parse::<usize>() else {
            return;
        };
        session.update(|s| {
            let images = s.sorted.iter_mut().flat_map(|sorted| &mut sorted.images);
            for image in images.filter(|image| image.path == moved) {
                image.label = to;
                // By hand: no longer the model's opinion.
                image.probability = 1.0;
            }
        });
    };
    view! {
        <li class="tile" data-testid="sorted-image" data-path=path.clone()>
            <Picture library path=path.clone() />
            <p class="tile-foot">
                <span class="score">{t!("percent", value = format!("{:.0}", probability * 100.0))}</span>
                <select aria-label=t!("label-of", path = path) on:change:target=move_to>
                    {titles
                        .get_untracked()
                        .into_iter()
                        .enumerate()
                        .map(|(number, title)| {
                            view! {
                                <option value=number.to_string() selected=number == label>
                                    {title}
                                </option>
                            }
                        })
                        .collect_view()}
                </select>
            </p>
        </li>
    }
}
