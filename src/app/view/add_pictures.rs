//! The place where pictures are added: chosen, from the samples, or live from a camera or a video.

use leptos::{html, prelude::*};

use super::dropping::{ACCEPT, add_pictures, files};
use super::live::LiveCard;
use crate::app::controller::App;
use crate::app::controller::classify::ClassifyController;
use crate::app::controller::live::LiveSource;
use crate::app::domain::sample::Sample;
use crate::app::i18n::{self, t};

/// The place that says what to do: a large one on an empty page.
#[component]
pub fn AddPictures(app: App) -> impl IntoView {
    let classify = app.classify;
    let input = NodeRef::<html::Input>::new();
    let video_input = NodeRef::<html::Input>::new();
    let camera_button = NodeRef::<html::Button>::new();
    let source = app.live.source;
    let empty = Memo::new(move |_| {
        let none = classify.session.with(|session| session.pictures.is_empty());
        none && source.with(Option::is_none)
    });
    let close = Callback::new(move |()| {
        source.set(None);
        // Where the visitor was before.
        if let Some(button) = camera_button.get_untracked() {
            let _ = button.focus();
        }
    });
    let picked_video = move |_| {
        if let Some(input) = video_input.get_untracked() {
            if let Some(file) = files(input.files()).into_iter().next() {
                source.set(Some(LiveSource::Video(file)));
            }
            input.set_value("");
        }
    };
    let picked = move |_| {
        if let Some(input) = input.get_untracked() {
            add_pictures(app, files(input.files()));
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
                    <Show when=move || empty.get() fallback=|| t!("add-more-images")>
                        <span class="if-mouse">{t!("drop-anywhere")}</span>
                        <span class="if-touch">{t!("add-an-image")}</span>
                    </Show>
                </h2>
                <p class="ways">
                    <label class="button" for="file-input">
                        {t!("choose-images")}
                    </label>
                    <input
                        node_ref=input
                        id="file-input"
                        data-testid="file-input"
                        class="sr-only"
                        type="file"
                        multiple
                        accept=ACCEPT
                        aria-label=t!("choose-images")
                        on:change=picked
                    />
                    <button
                        node_ref=camera_button
                        type="button"
                        class="button secondary"
                        data-testid="live-camera"
                        on:click=move |_| source.set(Some(LiveSource::Camera))
                    >
                        {t!("use-camera")}
                    </button>
                    <label class="button secondary" for="video-input">
                        {t!("choose-video")}
                    </label>
                    <input
                        node_ref=video_input
                        id="video-input"
                        data-testid="video-input"
                        class="sr-only"
                        type="file"
                        accept="video/*"
                        aria-label=t!("choose-video")
                        on:change=picked_video
                    />
                    <span class="if-mouse">
                        {move || if empty.get() { t!("or-paste") } else { t!("drop-or-paste") }}
                        <kbd>"Ctrl"</kbd>
                        " "
                        <kbd>"V"</kbd>
                    </span>
                </p>
                <Show when=move || empty.get()>
                    <p class="help">{t!("formats-help")}</p>
                </Show>
            </div>
            {move || source.get().map(|source| view! { <LiveCard app source close /> })}
            {(!classify.standalone).then(|| view! { <Samples classify empty /> })}
        </section>
    }
}

/// The pictures that come with the page: one click, one answer.
#[component]
fn Samples(classify: ClassifyController, empty: Memo<bool>) -> impl IntoView {
    let tile = move |sample: Sample| {
        let label = t!("add-sample", image = sample.alt(i18n::language()));
        let file = sample.file.clone();
        let alt = sample.alt(i18n::language()).to_owned();
        view! {
            <li>
                <button
                    type="button"
                    class="sample"
                    data-testid="sample"
                    aria-label=label
                    title=alt
                    on:click=move |_| classify.add_sample(sample.clone())
                >
                    <img src=file alt="" width="64" height="64" loading="lazy" />
                </button>
            </li>
        }
    };
    view! {
        <div class="samples">
            <h3>{move || { if empty.get() { t!("try-a-sample") } else { t!("samples") } }}</h3>
            <ul aria-label=t!("sample-images")>
                {Sample::all().into_iter().map(tile).collect_view()}
            </ul>
        </div>
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
