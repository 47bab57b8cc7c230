//! The choice of a folder, and how far its index is.

use leptos::prelude::*;

use crate::app::controller::folders;
use crate::app::controller::library::LibraryController;
use crate::app::domain::format;
use crate::app::domain::library::{KnownFolder, LibrarySession};
use crate::app::i18n::{self, t};
use crate::app::view::widgets::{FileInput, ProgressBar};

/// The place where a folder is chosen, with those of earlier visits; once one is open, how far
/// its index is, and the way to another.
#[component]
pub fn ChooseFolder(library: LibraryController, open: Memo<bool>) -> impl IntoView {
    let kept = Memo::new(move |_| library.session.with(LibrarySession::known_folders));
    let reading = Memo::new(move |_| library.session.with(|s| s.reading));
    let choose = |open: bool| match open {
        true => t!("choose-another-folder"),
        false => t!("choose-folder"),
    };
    view! {
        <div class="choose-folder" class:drop-zone=move || !open.get()>
            <Show when=move || !open.get()>
                <h2>{t!("search-your-images")}</h2>
                <p class="help">
                    {t!("library-help")}
                </p>
                {(!folders::supported())
                    .then(|| {
                        view! {
                            <p class="help" data-testid="no-folder-access">
                                {t!("no-folder-access")}
                            </p>
                        }
                    })}
            </Show>
            <Show when=move || open.get()>
                <IndexStatus library />
            </Show>
            <p class="ways">
                <Show
                    when=folders::supported
                    fallback=move || {
                        view! {
                            <label class="button" class:secondary=move || open.get() for="folder-input">
                                {move || choose(open.get())}
                            </label>
                        }
                    }
                >
                    <button
                        type="button"
                        class="button"
                        class:secondary=move || open.get()
                        data-testid="choose-folder"
                        disabled=move || reading.get().is_some()
                        on:click=move |_| library.choose_folder()
                    >
                        {move || choose(open.get())}
                    </button>
                </Show>
                <Show when=move || reading.get().is_some()>
                    <span aria-live="polite">
                        {move || t!("reading-folder", count = reading.get().unwrap_or_default())}
                    </span>
                </Show>
                // The button does it, where it can.
                <FileInput
                    id="folder-input"
                    folder=true
                    replaced=folders::supported()
                    take=move |found| library.open_folder(found)
                />
            </p>
            <Show when=move || !open.get() && !kept.with(Vec::is_empty)>
                <div class="kept-indexes">
                    <h3>{t!("kept-indexes")}</h3>
                    <p class="help">
                        {move || match kept.with(|kept| kept.iter().any(|known| known.on_disk)) {
                            true => t!("kept-indexes-help"),
                            false => t!("kept-indexes-choose"),
                        }}
                    </p>
                    <ul>
                        <For
                            each=move || kept.get()
                            key=|known| known.clone()
                            children=move |known| view! { <Known library known /> }
                        />
                    </ul>
                </div>
            </Show>
        </div>
    }
}

/// Folder of an earlier visit.
#[component]
fn Known(library: LibraryController, known: KnownFolder) -> impl IntoView {
    let KnownFolder {
        name,
        on_disk,
        indexes,
    } = known;
    let (opened, forgotten) = (name.clone(), name.clone());
    let only_handle = indexes.is_empty();
    view! {
        <li data-testid="kept-index">
            <strong>{name.clone()}</strong>
            {on_disk
                .then(|| {
                    view! {
                        <button
                            type="button"
                            class="button secondary small"
                            data-testid="reopen"
                            aria-label=t!("open-name", name = name)
                            on:click=move |_| library.reopen(opened.clone())
                        >
                            {t!("open")}
                        </button>
                    }
                })}
            {only_handle
                .then(|| {
                    view! {
                        <button
                            type="button"
                            class="quiet"
                            on:click=move |_| library.forget_folder(forgotten.clone())
                        >
                            {t!("forget")}
                        </button>
                    }
                })}
            {indexes
                .into_iter()
                .map(|index| {
                    let facts = t!("index-facts", count = index.images, model = index.model, bytes = format::bytes(index.bytes));
                    view! {
                        <span class="kept-facts">
                            {facts}
                            <button
                                type="button"
                                class="quiet"
                                aria-label=t!("delete-index", folder = index.folder, model = index.model)
                                on:click=move |_| library.delete_kept(index.clone())
                            >
                                {t!("delete")}
                            </button>
                        </span>
                    }
                })
                .collect_view()}
        </li>
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
                None => t!("index-opening", name = name),
                Some(p) if p.done == p.total => t!("index-complete", name = name, count = p.images),
                Some(p) => {
                    let left = match p.seconds_left() {
                        Some(seconds) if !s.paused => {
                            t!("index-left", left = format::time_left(seconds))
                        }
                        _ => String::new(),
                    };
                    t!(
                        "indexing-of",
                        name = name,
                        done = p.done,
                        total = p.total,
                        left = left
                    )
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
    let on_disk =
        Memo::new(move |_| session.with(|s| s.folder.as_ref().is_some_and(|f| f.on_disk)));
    let unread = Memo::new(move |_| {
        session.with(|s| {
            s.folder
                .as_ref()
                .map(|f| f.unread.clone())
                .unwrap_or_default()
        })
    });
    let paused = Memo::new(move |_| session.with(|s| s.paused));
    view! {
        <div class="index-status">
            <p aria-live="polite" data-testid="index-status">
                {move || text.get()}
            </p>
            <Show when=move || running.get()>
                <ProgressBar class="progress" label=t!("indexing") share text />
                <button
                    type="button"
                    class="button secondary"
                    data-testid="index-pause"
                    on:click=move |_| library.pause(!paused.get_untracked())
                >
                    {move || if paused.get() { t!("continue") } else { t!("pause") }}
                </button>
            </Show>
            <Show when=move || on_disk.get() && !running.get()>
                <button type="button" class="quiet" data-testid="refresh" on:click=move |_| library.refresh()>
                    {t!("look-for-changes")}
                </button>
            </Show>
            {move || {
                session
                    .with(|s| s.not_kept.clone())
                    .map(|why| view! { <p class="failure" role="alert" data-testid="not-kept">{i18n::sentence(&why)}</p> })
            }}
            {move || {
                let unread = unread.get();
                (!unread.is_empty())
                    .then(|| {
                        view! {
                            <p class="failure" data-testid="unread">
                                {t!("unread-files", files = unread.join(", "))}
                            </p>
                        }
                    })
            }}
            {move || {
                let (count, files) = skipped.get().unwrap_or_default();
                let shown = files.len() as u32;
                (count > 0)
                    .then(|| {
                        view! {
                            <details class="skipped" data-testid="skipped">
                                <summary>
                                    {t!("files-left-out", count = count)}
                                </summary>
                                <ul>
                                    {files
                                        .into_iter()
                                        .map(|(path, why)| view! { <li>{t!("path-why", path = path, why = why)}</li> })
                                        .collect_view()}
                                    {(count > shown)
                                        .then(|| view! { <li>{t!("and-more", count = count - shown)}</li> })}
                                </ul>
                            </details>
                        }
                    })
            }}
            <Show when=move || { other.get() > 0 }>
                <p class="help">
                    {move || t!("other-files", count = other.get())}
                </p>
            </Show>
        </div>
    }
}
