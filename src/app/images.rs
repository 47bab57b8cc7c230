//! How pictures come onto the page: dropped, pasted, picked, or from the samples.

use leptos::{ev, html, prelude::*, task::spawn_local};
use wasm_bindgen::JsCast;
use web_sys::{DataTransfer, File, FileList, HtmlElement};

use super::session::Notice;
use super::state::{App, Sample};
use super::tabs::Tab;
use super::{models, training};

/// What the file dialog offers.
pub const ACCEPT: &str = "image/png,image/jpeg,image/webp,image/gif,image/bmp";

/// A list of the browser's as one of ours.
pub fn files(list: Option<FileList>) -> Vec<File> {
    list.map(|list| {
        (0..list.length())
            .filter_map(|place| list.get(place))
            .collect()
    })
    .unwrap_or_default()
}

/// Whether a drag carries files, or a picture out of another page.
fn carries_picture(data: Option<&DataTransfer>) -> bool {
    data.is_some_and(|data| {
        data.types().iter().any(|kind| {
            kind.as_string()
                .is_some_and(|kind| kind == "Files" || kind == "text/uri-list")
        })
    })
}

/// Whether an event belongs to a text field, which has its own use for it.
fn in_text_field(event: &web_sys::Event) -> bool {
    event
        .target()
        .and_then(|target| target.dyn_into::<HtmlElement>().ok())
        .is_some_and(|element| {
            element
                .matches("input[type=text], textarea")
                .unwrap_or(false)
        })
}

/// Accepts drops and pastes anywhere on the page; shows where a drop would go.
#[component]
pub fn DropAnywhere(app: App) -> impl IntoView {
    let dragging = RwSignal::new(false);

    let over = window_event_listener(ev::dragover, move |event| {
        if carries_picture(event.data_transfer().as_ref()) {
            // Without this the browser would open the file in place of the page.
            event.prevent_default();
            if let Some(data) = event.data_transfer() {
                data.set_drop_effect("copy");
            }
            if !dragging.get_untracked() {
                dragging.set(true);
            }
        }
    });
    let leave = window_event_listener(ev::dragleave, move |event| {
        // Leaving one element for another is not leaving the page.
        if event.related_target().is_none() {
            dragging.set(false);
        }
    });
    let drop = window_event_listener(ev::drop, move |event| {
        dragging.set(false);
        let data = event.data_transfer();
        if !carries_picture(data.as_ref()) {
            return;
        }
        let folders = data.as_ref().and_then(models::dropped_entries);
        let files = files(data.and_then(|data| data.files()));
        if app.tab.get_untracked() == Tab::Train && (folders.is_some() || !files.is_empty()) {
            event.prevent_default();
            let class = training::cards::class_under(&event);
            spawn_local(async move {
                let found = match folders {
                    Some(folders) => models::walk_entries(folders).await,
                    None => files
                        .into_iter()
                        .map(|file| (file.name(), Some(file)))
                        .collect(),
                };
                app.add_training_data(found, class).await;
            });
            return;
        }
        if let Some(folders) = folders {
            event.prevent_default();
            spawn_local(async move {
                let found = models::walk_entries(folders).await;
                app.add_dropped(found.into_iter().filter_map(|(_, file)| file).collect());
            });
            return;
        }
        if files.is_empty() && in_text_field(&event) {
            return;
        }
        event.prevent_default();
        if files.is_empty() {
            app.notify(Notice::error(
                "That was a link, not an image file. Save the image and drop the file, or copy the image and paste it here.",
            ));
        } else {
            app.add_dropped(files);
        }
    });
    let paste = window_event_listener(ev::paste, move |event| {
        let files = files(event.clipboard_data().and_then(|data| data.files()));
        if files.is_empty() {
            return;
        }
        event.prevent_default();
        match app.tab.get_untracked() {
            Tab::Classify => app.add_files(files),
            Tab::Train => spawn_local(async move {
                let class = training::cards::class_in_focus();
                let named = |file: File| (file.name(), Some(file));
                app.add_training_data(files.into_iter().map(named).collect(), class)
                    .await;
            }),
        }
    });
    on_cleanup(move || {
        over.remove();
        leave.remove();
        drop.remove();
        paste.remove();
    });

    view! {
        <div class="drop-overlay" class:shown=move || dragging.get() aria-hidden="true">
            <p>"Drop to add"</p>
        </div>
    }
}

/// The place that says what to do: a large one on an empty page.
#[component]
pub fn AddPictures(app: App) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    let empty = Memo::new(move |_| app.session.with(|session| session.pictures.is_empty()));
    let picked = move |_| {
        if let Some(input) = input.get_untracked() {
            app.add_files(files(input.files()));
            // So that picking the same file again is a change again.
            input.set_value("");
        }
    };
    view! {
        <section class="add" class:first=move || empty.get() aria-labelledby="add-title">
            <div class="drop-zone" data-testid="drop-zone">
                <Show when=move || empty.get()>
                    <PictureIcon />
                </Show>
                <h2 id="add-title">
                    <Show when=move || empty.get() fallback=|| "Add more images">
                        <span class="if-mouse">"Drop an image anywhere"</span>
                        <span class="if-touch">"Add an image"</span>
                    </Show>
                </h2>
                <p class="ways">
                    <label class="button" for="file-input">
                        "Choose images"
                    </label>
                    <input
                        node_ref=input
                        id="file-input"
                        data-testid="file-input"
                        class="sr-only"
                        type="file"
                        multiple
                        accept=ACCEPT
                        aria-label="Choose images"
                        on:change=picked
                    />
                    <span class="if-mouse">
                        {move || if empty.get() { "or paste with " } else { "drop them, or paste with " }}
                        <kbd>"Ctrl"</kbd>
                        " "
                        <kbd>"V"</kbd>
                    </span>
                </p>
                <Show when=move || empty.get()>
                    <p class="help">"PNG, JPEG, WebP, GIF or BMP. Images never leave this device."</p>
                </Show>
            </div>
            <Samples app empty />
        </section>
    }
}

/// The pictures that come with the page: one click, one answer.
#[component]
fn Samples(app: App, empty: Memo<bool>) -> impl IntoView {
    let tile = move |sample: Sample| {
        let label = format!("Add sample image: {}", sample.alt);
        let file = sample.file.clone();
        let alt = sample.alt.clone();
        view! {
            <li>
                <button
                    type="button"
                    class="sample"
                    data-testid="sample"
                    aria-label=label
                    title=alt
                    on:click=move |_| app.add_sample(sample.clone())
                >
                    <img src=file alt="" width="64" height="64" loading="lazy" />
                </button>
            </li>
        }
    };
    view! {
        <Show when=move || app.samples.with(|samples| !samples.is_empty())>
            <div class="samples">
                <h3>
                    {move || {
                        if empty.get() { "No image at hand? Try a sample" } else { "Samples" }
                    }}
                </h3>
                <ul aria-label="Sample images">
                    <For
                        each=move || app.samples.get()
                        key=|sample| sample.file.clone()
                        children=tile
                    />
                </ul>
            </div>
        </Show>
    }
}

#[component]
fn PictureIcon() -> impl IntoView {
    view! {
        <svg class="picture-icon" viewBox="0 0 64 48" aria-hidden="true">
            <rect x="1.5" y="1.5" width="61" height="45" rx="6" />
            <circle cx="18" cy="16" r="5" />
            <path d="M6 41l16-15 10 9 12-14 14 20" />
        </svg>
    }
}
