//! Library side of the page: search, duplicates and sorting in a folder of the visitor's.

use std::sync::Arc;

use leptos::{ev, html, prelude::*, task::spawn_local};
use web_sys::KeyboardEvent;

use super::dropping::{files, with_paths};
use super::widgets::{CloseIcon, ProgressBar};
use crate::app::controller::App;
use crate::app::controller::library::LibraryController;
use crate::app::domain::format;
use crate::app::domain::labels;
use crate::app::domain::library::Task;
use crate::app::domain::tab::Tab;
use crate::library::Sign;

/// Images that are shown at once; more on demand.
const PAGE: usize = 60;

/// The whole side.
#[component]
pub fn Library(app: App) -> impl IntoView {
    let library = app.library;
    let session = library.session;
    let open = Memo::new(move |_| session.with(|s| s.folder.is_some()));
    let task = Memo::new(move |_| session.with(|s| s.task));
    view! {
        <section class="library" data-testid="library">
            <ChooseFolder library open />
            <Show when=move || open.get()>
                <IndexStatus library />
                <div class="tasks" role="group" aria-label="What to do with the images">
                    {Task::ALL
                        .map(|this| {
                            view! {
                                <button
                                    type="button"
                                    class="task"
                                    data-testid=format!("task-{}", this.name())
                                    aria-pressed=move || (task.get() == this).to_string()
                                    on:click=move |_| session.update(|s| s.task = this)
                                >
                                    {this.title()}
                                </button>
                            }
                        })
                        .collect_view()}
                </div>
                {move || session.with(|s| s.error.clone()).map(|error| {
                    view! { <p class="failure" role="alert" data-testid="library-error">{format!("{error}.")}</p> }
                })}
                {move || match task.get() {
                    Task::Search => view! { <Search library /> }.into_any(),
                    Task::Duplicates => view! { <Duplicates library /> }.into_any(),
                    Task::Sort => view! { <Sort app /> }.into_any(),
                }}
            </Show>
        </section>
    }
}

/// The place where a folder is chosen, with the indexes that this browser keeps.
#[component]
fn ChooseFolder(library: LibraryController, open: Memo<bool>) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    Effect::new(move |_| {
        if let Some(input) = input.get() {
            let _ = input.set_attribute("webkitdirectory", "");
        }
    });
    let picked = move |_| {
        if let Some(input) = input.get_untracked() {
            let found = with_paths(files(input.files()));
            input.set_value("");
            if !found.is_empty() {
                library.open_folder(found);
            }
        }
    };
    let kept = Memo::new(move |_| library.session.with(|s| s.kept.clone()));
    view! {
        <div class="drop-zone" class:first=move || !open.get()>
            <Show when=move || !open.get()>
                <h2>"Search your own images"</h2>
                <p class="help">
                    "Choose a folder, or drop one here. Find images by words or by other images, find duplicates, sort by label. Nothing leaves this device."
                </p>
            </Show>
            <p class="ways">
                <label class="button" class:secondary=move || open.get() for="folder-input">
                    {move || if open.get() { "Choose another folder" } else { "Choose a folder" }}
                </label>
                <input
                    node_ref=input
                    id="folder-input"
                    data-testid="folder-input"
                    class="sr-only"
                    type="file"
                    multiple
                    aria-label="Choose a folder"
                    on:change=picked
                />
            </p>
            <Show when=move || !open.get() && !kept.with(Vec::is_empty)>
                <div class="kept-indexes">
                    <h3>"Indexed before in this browser"</h3>
                    <p class="help">"Choose the folder again: only new and changed images are read."</p>
                    <ul>
                        <For
                            each=move || kept.get()
                            key=|index| (index.key.clone(), index.images)
                            children=move |index| {
                                let key = index.key.clone();
                                view! {
                                    <li data-testid="kept-index">
                                        <strong>{index.folder.clone()}</strong>
                                        {format!(
                                            " · {} images · {} · {}",
                                            index.images,
                                            index.model,
                                            format::bytes(index.bytes),
                                        )}
                                        <button
                                            type="button"
                                            class="quiet"
                                            on:click=move |_| library.delete_kept(key.clone())
                                        >
                                            "Delete"
                                        </button>
                                    </li>
                                }
                            }
                        />
                    </ul>
                </div>
            </Show>
        </div>
    }
}

/// How far the index is, and what was skipped.
#[component]
fn IndexStatus(library: LibraryController) -> impl IntoView {
    let session = library.session;
    let text = Memo::new(move |_| {
        session.with(|s| {
            let name = s
                .folder
                .as_ref()
                .map(|f| f.name.clone())
                .unwrap_or_default();
            match &s.progress {
                None => format!("{name}: opening"),
                Some(p) if p.done == p.total => format!("{name}: {} images", p.images),
                Some(p) => {
                    let left = match p.seconds_left() {
                        Some(seconds) if !s.paused => format!(", {}", format::time_left(seconds)),
                        _ => String::new(),
                    };
                    format!("{name}: indexing, {} of {}{left}", p.done, p.total)
                }
            }
        })
    });
    let running = Memo::new(move |_| session.with(|s| !s.complete()));
    let share = Signal::derive(move || {
        session.with(|s| {
            s.progress
                .as_ref()
                .filter(|p| p.total > 0)
                .map(|p| f64::from(p.done) / f64::from(p.total))
        })
    });
    let skipped = Memo::new(move |_| {
        session.with(|s| {
            s.progress
                .as_ref()
                .map(|p| (p.skipped_count, p.skipped.clone()))
        })
    });
    let other = Memo::new(move |_| session.with(|s| s.folder.as_ref().map_or(0, |f| f.other)));
    let paused = Memo::new(move |_| session.with(|s| s.paused));
    view! {
        <div class="index-status">
            <p aria-live="polite" data-testid="index-status">
                {move || text.get()}
            </p>
            <Show when=move || running.get()>
                <ProgressBar class="progress" label="Indexing" share text />
                <button
                    type="button"
                    class="button secondary"
                    data-testid="index-pause"
                    on:click=move |_| library.pause(!paused.get_untracked())
                >
                    {move || if paused.get() { "Continue" } else { "Pause" }}
                </button>
            </Show>
            {move || {
                let (count, files) = skipped.get().unwrap_or_default();
                (count > 0)
                    .then(|| {
                        view! {
                            <details class="skipped" data-testid="skipped">
                                <summary>{format!("{count} files skipped")}</summary>
                                <ul>
                                    {files
                                        .into_iter()
                                        .map(|(path, why)| view! { <li>{format!("{path}: {why}")}</li> })
                                        .collect_view()}
                                </ul>
                            </details>
                        }
                    })
            }}
            <Show when=move || { other.get() > 0 }>
                <p class="help">{move || format!("{} other files are no images.", other.get())}</p>
            </Show>
        </div>
    }
}

/// Search by words and by images.
#[component]
fn Search(library: LibraryController) -> impl IntoView {
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
            Arc::new(
                s.shown()
                    .iter()
                    .take(limit.get())
                    .cloned()
                    .collect::<Vec<_>>(),
            )
        })
    });
    let counts =
        Memo::new(move |_| session.with(|s| (s.shown().len(), s.hits.as_ref().map(Vec::len))));
    let range = Memo::new(move |_| {
        session.with(|s| {
            let hits = s.hits.as_deref().unwrap_or_default();
            let (best, worst) = (hits.first()?.1, hits.last()?.1);
            Some((worst, best))
        })
    });
    let more_like = move |path: String, sign: Sign| {
        session.update(|s| {
            s.like.retain(|(_, known)| *known != path);
            s.like.push((sign, path));
        });
        search();
    };
    view! {
        <div class="search">
            <div class="field-row">
                <input
                    node_ref=input
                    type="search"
                    data-testid="search-input"
                    aria-label="Search for"
                    placeholder="a dog on the beach"
                    prop:value=move || session.with(|s| s.query.clone())
                    on:input=typed
                    on:keydown=on_key
                />
                <button type="button" class="button secondary" on:click=move |_| search()>
                    "Search"
                </button>
            </div>
            <p class="help">"Combine with + and − between spaces: “dog + beach − people”."</p>
            <ul class="chips" aria-label="Images of the query">
                <For
                    each=move || like.get()
                    key=|(sign, path)| (*sign == Sign::Plus, path.clone())
                    children=move |(sign, path)| {
                        let removed = path.clone();
                        let text = match sign {
                            Sign::Plus => format!("like {path}"),
                            Sign::Minus => format!("not like {path}"),
                        };
                        view! {
                            <li class="chip" data-testid="like-chip">
                                <span>{text}</span>
                                <button
                                    type="button"
                                    aria-label=format!("Remove {path} from the query")
                                    on:click=move |_| {
                                        session.update(|s| s.like.retain(|(_, known)| *known != removed));
                                        search();
                                    }
                                >
                                    <CloseIcon />
                                </button>
                            </li>
                        }
                    }
                />
            </ul>
            {move || {
                range
                    .get()
                    .map(|(worst, best)| {
                        view! {
                            <div class="search-head">
                                <p aria-live="polite" data-testid="search-count">
                                    {move || match counts.get() {
                                        (shown, Some(all)) if shown < all => format!("{shown} of {all} images"),
                                        (shown, _) => format!("{shown} images"),
                                    }}
                                </p>
                                <label>
                                    "Least similarity "
                                    <input
                                        type="range"
                                        data-testid="min-score"
                                        min=format!("{worst:.3}")
                                        max=format!("{best:.3}")
                                        step="0.001"
                                        prop:value=move || {
                                            let least = session.with(|s| s.min_score).max(worst);
                                            format!("{least:.3}")
                                        }
                                        on:input:target=move |event| {
                                            if let Ok(least) = event.target().value().parse() {
                                                session.update(|s| s.min_score = least);
                                            }
                                        }
                                    />
                                    <output>
                                        {move || format!("{:.2}", session.with(|s| s.min_score).max(worst))}
                                    </output>
                                </label>
                                <button type="button" class="quiet" on:click=move |_| library.save_hits()>
                                    "Download results (CSV)"
                                </button>
                            </div>
                        }
                    })
            }}
            <ul class="tiles" data-testid="hits">
                <For
                    each=move || shown.get().to_vec()
                    key=|(path, score)| (path.clone(), score.to_bits())
                    children=move |(path, score)| {
                        let (plus, minus) = (path.clone(), path.clone());
                        view! {
                            <li class="tile" data-testid="hit" data-path=path.clone()>
                                <Thumbnail library path=path.clone() />
                                <p class="tile-name" title=path.clone()>
                                    {path.clone()}
                                </p>
                                <p class="tile-foot">
                                    <span class="score">{format!("{score:.3}")}</span>
                                    <button
                                        type="button"
                                        class="quiet"
                                        on:click=move |_| more_like(plus.clone(), Sign::Plus)
                                    >
                                        "More like this"
                                    </button>
                                    <button
                                        type="button"
                                        class="quiet"
                                        on:click=move |_| more_like(minus.clone(), Sign::Minus)
                                    >
                                        "Less"
                                    </button>
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
                    "Show more"
                </button>
            </Show>
        </div>
    }
}

/// Image of the folder, small. Its object URL lives as long as it is shown.
#[component]
fn Thumbnail(library: LibraryController, path: String) -> impl IntoView {
    let url = library
        .file(&path)
        .and_then(|file| web_sys::Url::create_object_url_with_blob(&file).ok());
    let kept = url.clone();
    on_cleanup(move || {
        if let Some(url) = kept {
            let _ = web_sys::Url::revoke_object_url(&url);
        }
    });
    view! { <img src=url alt=path loading="lazy" decoding="async" /> }
}

/// Groups of duplicates.
#[component]
fn Duplicates(library: LibraryController) -> impl IntoView {
    let session = library.session;
    let busy = Memo::new(move |_| session.with(|s| s.busy || !s.complete()));
    let found = Memo::new(move |_| session.with(|s| s.duplicates.clone()));
    let groups = move |title: &'static str, test: &'static str, groups: Vec<Vec<String>>| {
        view! {
            <section class="duplicate-kind" data-testid=test>
                <h3>{title} <span class="count">{groups.len().to_string()}</span></h3>
                {groups
                    .into_iter()
                    .take(PAGE)
                    .map(|group| {
                        view! {
                            <ul class="tiles group">
                                {group
                                    .into_iter()
                                    .enumerate()
                                    .map(|(place, path)| {
                                        view! {
                                            <li class="tile">
                                                <Thumbnail library path=path.clone() />
                                                <p class="tile-name" title=path.clone()>
                                                    {path.clone()}
                                                </p>
                                                {(place == 0)
                                                    .then(|| view! { <p class="tile-foot">"best copy"</p> })}
                                            </li>
                                        }
                                    })
                                    .collect_view()}
                            </ul>
                        }
                    })
                    .collect_view()}
            </section>
        }
    };
    view! {
        <div class="duplicates">
            <p class="ways">
                <label>
                    "Similar images: at least "
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
                    " cosine similarity"
                </label>
                <button
                    type="button"
                    class="button"
                    data-testid="find-duplicates"
                    disabled=move || busy.get()
                    on:click=move |_| library.find_duplicates()
                >
                    "Find duplicates"
                </button>
            </p>
            {move || {
                found
                    .get()
                    .map(|found| {
                        view! {
                            {groups("Identical files", "identical", found.identical)}
                            {groups(
                                "The same image, resized or recompressed",
                                "near-identical",
                                found.near_identical,
                            )}
                            {groups("Similar images", "similar-groups", found.similar)}
                        }
                    })
            }}
        </div>
    }
}

/// Images by label.
#[component]
fn Sort(app: App) -> impl IntoView {
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
                    aria-label="Labels to sort by"
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
                    "Sort"
                </button>
            </div>
            <p class="help">"Labels, separated by commas. Each image goes to its most probable one."</p>
            <Show when=move || !titles.with(Vec::is_empty)>
                <p class="ways">
                    <button type="button" class="button secondary" on:click=move |_| library.save_zip()>
                        "Download folders (zip)"
                    </button>
                    <button type="button" class="button secondary" on:click=move |_| library.save_sorted()>
                        "Download list (CSV)"
                    </button>
                    <button type="button" class="button secondary" data-testid="train-sorted" on:click=train>
                        "Train on these groups"
                    </button>
                </p>
            </Show>
            {move || {
                titles
                    .get()
                    .into_iter()
                    .enumerate()
                    .map(|(label, title)| {
                        let images = Memo::new(move |_| group(label));
                        let limit = RwSignal::new(PAGE / 3);
                        let first = move || -> Vec<_> {
                            images.get().into_iter().take(limit.get()).collect()
                        };
                        view! {
                            <section class="sorted-group" data-testid="sorted-group" data-label=title.clone()>
                                <h3>
                                    {title.clone()} " "
                                    <span class="count">{move || images.with(Vec::len).to_string()}</span>
                                </h3>
                                <ul class="tiles">
                                    <For
                                        each=first
                                        key=|image| image.path.clone()
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
                                        "Show more"
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
            <Thumbnail library path=path.clone() />
            <p class="tile-name" title=path.clone()>
                {path.clone()}
            </p>
            <p class="tile-foot">
                <span class="score">{format!("{:.0} %", probability * 100.0)}</span>
                <select aria-label=format!("Label of {path}") on:change:target=move_to>
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
