//! Card of the live classification: a camera or a video, and the labels' probabilities for what it
//! shows.

use std::time::Duration;

use leptos::{ev, html, prelude::*, task::spawn_local};
use web_sys::{Blob, HtmlVideoElement};

use crate::app::controller::App;
use crate::app::controller::camera::{self, Camera};
use crate::app::controller::live::{Destination, LiveSource};
use crate::app::controller::thumbnails::ObjectUrl;
use crate::app::domain::format;
use crate::app::domain::live::rate_text;
use crate::app::domain::notice::Notice;
use crate::app::domain::tab::Tab;
use crate::app::domain::training::project::{Class, ClassId};
use crate::app::i18n::{self, message, t};

/// The camera is switched off when the page is out of sight for longer.
const LONGEST_OUT_OF_SIGHT: Duration = Duration::from_secs(10);

/// The video and its answers.
#[component]
pub fn LiveCard(app: App, source: LiveSource, close: Callback<()>) -> impl IntoView {
    let App {
        classify,
        training,
        live: controller,
        tab,
        notices,
        ..
    } = app;
    let live = controller.live;
    let video = NodeRef::<html::Video>::new();
    let is_camera = matches!(source, LiveSource::Camera);
    let problem = RwSignal::new(String::new());
    let running = RwSignal::new(false);
    let mirrored = RwSignal::new(false);
    let paused = RwSignal::new(false);
    let done = RwSignal::new(String::new());
    let camera = Camera::new();
    let url = StoredValue::new_local(None::<ObjectUrl>);
    let gone = StoredValue::new(false);
    let here = move || gone.try_get_value() == Some(false);

    // Frames of the video so far, where the browser tells: the screen has more than a camera.
    let frames = StoredValue::new(None::<u32>);
    let count = move || {
        let counted = frames.try_update_value(|frames| *frames = frames.map(|count| count + 1));
        counted.is_some()
    };

    controller.begin();
    Effect::new(move |_| {
        let video = video.get_untracked();
        if video.is_some_and(|video| camera::on_new_frames(&video, count)) {
            frames.set_value(Some(0));
        }
    });
    Effect::new(move |_| match &source {
        LiveSource::Camera => {
            let Some(video) = video.get_untracked() else {
                return;
            };
            spawn_local(async move {
                match camera.show(video).await {
                    Some(Ok(())) => {
                        mirrored.set(camera.faces_visitor());
                        running.set(true);
                    }
                    Some(Err(error)) => drop(problem.try_set(error)),
                    None => {}
                }
            });
        }
        LiveSource::Video(file) => {
            let file: &Blob = file;
            let address = ObjectUrl::new(file);
            if let Some(video) = video.get_untracked() {
                video.set_src(&address.0);
            }
            url.set_value(Some(address));
            running.set(true);
        }
    });
    each_frame(move || {
        if !here() {
            return false;
        }
        let position = frames.get_value();
        if let Some(video) = video.get_untracked()
            && position != Some(0)
        {
            let position = position.map_or_else(|| video.current_time(), f64::from);
            controller.send_frame(&video, position);
        }
        if camera.unplugged() && problem.with_untracked(String::is_empty) {
            running.set(false);
            problem.set(t!("camera-gone").into());
        }
        true
    });
    // A camera must not go on unseen.
    Effect::new(move |_| {
        if tab.get() != Tab::Classify {
            leave(is_camera, video.get_untracked(), close);
        }
    });
    let hidden = || document().hidden();
    let listener = window_event_listener(ev::visibilitychange, move |_| {
        if is_camera && hidden() {
            let check = move || {
                if here() && hidden() {
                    notices.notify(Notice::info(message!("camera-off")));
                    close.run(());
                }
            };
            set_timeout(check, LONGEST_OUT_OF_SIGHT);
        }
    });
    on_cleanup(move || {
        listener.remove();
        gone.set_value(true);
        controller.end();
    });

    let labels = classify.labels;
    let shown = Memo::new(move |_| labels.with(|labels| live.with(|live| live.shown(labels))));
    let status = Memo::new(move |_| {
        (classify.session).with(|session| live.with(|live| live.status(session)))
    });
    let rate = Memo::new(move |_| match paused.get() {
        true => t!("paused").into(),
        false => (live.with(|live| live.images_per_second())).map_or(String::new(), rate_text),
    });
    let none_fits = Memo::new(move |_| {
        live.with(|live| {
            live.answer
                .as_ref()
                .and_then(|answer| answer.none_fits.clone())
        })
    });
    let error = Memo::new(move |_| {
        let question = classify
            .session
            .with(|session| session.question.error.as_ref().map(i18n::error));
        live.with(|live| live.error.clone()).or(question)
    });
    let said = Memo::new(move |_| live.with(|live| live.announcement().to_owned()));
    let question = move || {
        live.with(|live| {
            live.answer
                .as_ref()
                .map(|answer| answer.question.to_string())
        })
    };

    let take = move |to: Destination, text: String| {
        let Some(video) = video.get_untracked() else {
            return;
        };
        let kind = if is_camera { "camera" } else { "video" };
        let told = Callback::new(move |taken: Result<(), String>| {
            done.set(taken.map_or_else(|error| error, |()| text.clone()));
        });
        controller.take(&video, kind, to, told);
    };
    let row = move |label: String| {
        let name = label.clone();
        let score = Memo::new(move |_| live.with(|live| live.score(&label)).unwrap_or_default());
        let probability = move || score.get().0;
        let percent = move || format::percent(probability());
        view! {
            <li
                class:top=move || score.get().1
                data-testid="live-row"
                data-label=name.clone()
                data-probability=move || format!("{:.6}", probability())
            >
                <span class="live-label">{name.clone()}</span>
                <span
                    class="row-percent"
                    role="meter"
                    aria-label=t!("probability-of", name = name)
                    aria-valuemin="0"
                    aria-valuemax="100"
                    aria-valuenow=move || format!("{:.1}", probability() * 100.0)
                    aria-valuetext=percent
                >
                    {percent}
                </span>
                <span class="bar" aria-hidden="true">
                    <span style:width=move || {
                        format!("{:.2}%", (probability() * 100.0).clamp(0.0, 100.0))
                    }></span>
                </span>
            </li>
        }
    };

    view! {
        <section class="live" data-testid="live" aria-labelledby="live-title">
            <div class="live-video" class:mirrored=move || mirrored.get()>
                <video
                    node_ref=video
                    data-testid="live-video"
                    autoplay
                    playsinline
                    controls=!is_camera
                    prop:muted=true
                    aria-label=if is_camera { t!("camera-preview") } else { t!("video") }
                    on:play=move |_| paused.set(false)
                    on:pause=move |_| paused.set(true)
                    on:error=move |_| {
                        running.set(false);
                        problem.set(
                            t!("video-not-playable")
                                .into(),
                        );
                    }
                ></video>
                <Show when=move || !running.get() && problem.with(String::is_empty)>
                    <p class="help">{t!("allow-camera")}</p>
                </Show>
            </div>
            <div class="live-body">
                <div class="live-head">
                    <h2 id="live-title">{if is_camera { t!("camera") } else { t!("video") }}</h2>
                    <p class="facts" data-testid="live-rate">
                        {move || rate.get()}
                    </p>
                </div>
                <p class="problem" role="alert" data-testid="live-problem">
                    {move || match problem.get() {
                        text if text.is_empty() => error.get().unwrap_or_default(),
                        text => text,
                    }}
                </p>
                <Show when=move || running.get() && !status.get().is_empty()>
                    <p class="card-status" data-testid="live-status">
                        {move || status.get()}
                    </p>
                </Show>
                {move || {
                    none_fits.get().map(|text| view! { <p class="unfit" data-testid="live-none-fits">{text}</p> })
                }}
                <ul
                    class="live-rows"
                    class:stale=move || !status.get().is_empty()
                    data-testid="live-ranking"
                    data-question=question
                    aria-label=t!("label-probabilities")
                >
                    <For each=move || shown.get() key=Clone::clone children=row />
                </ul>
                <p class="sr-only" aria-live="polite" data-testid="live-said">
                    {move || said.get()}
                </p>
                <div class="live-tools">
                    <button
                        type="button"
                        class="button small"
                        data-testid="live-stop"
                        on:click=move |_| close.run(())
                    >
                        {t!("stop")}
                    </button>
                    <button
                        type="button"
                        class="button secondary small"
                        data-testid="live-keep"
                        disabled=move || !running.get()
                        on:click=move |_| {
                            take(Destination::Pictures, t!("image-kept").into());
                        }
                    >
                        {t!("keep-image")}
                    </button>
                    <AddToClass
                        classes=Memo::new(move |_| {
                            training
                                .session
                                .with(|t| match t.locked_elsewhere() {
                                    true => Vec::new(),
                                    false => t.project.classes.clone(),
                                })
                        })
                        running
                        add=Callback::new(move |class: Class| {
                            let text = t!("image-added", class = name_of(&class));
                            take(Destination::Class(class.id), text);
                        })
                    />
                </div>
                <p class="help" aria-live="polite" data-testid="live-done">
                    {move || done.get()}
                </p>
            </div>
        </section>
    }
}

/// Adds an image to a class of the training, where there is one.
#[component]
fn AddToClass(
    classes: Memo<Vec<Class>>,
    running: RwSignal<bool>,
    add: Callback<Class>,
) -> impl IntoView {
    let chosen = RwSignal::new(None::<ClassId>);
    // The first one, until another is chosen, and when that is removed.
    let class = Memo::new(move |_| {
        classes.with(|classes| {
            let wanted = classes.iter().find(|class| Some(class.id) == chosen.get());
            wanted.or(classes.first()).cloned()
        })
    });
    view! {
        <Show when=move || class.with(Option::is_some)>
            <span class="live-class">
                <button
                    type="button"
                    class="button secondary small"
                    data-testid="live-add"
                    disabled=move || !running.get()
                    on:click=move |_| {
                        if let Some(class) = class.get_untracked() {
                            add.run(class);
                        }
                    }
                >
                    {t!("add-to-class")}
                </button>
                <select
                    data-testid="live-class"
                    aria-label=t!("class-to-add-to")
                    on:change=move |event| chosen.set(event_target_value(&event).parse().ok())
                >
                    <For
                        each=move || classes.get()
                        key=|class| (class.id, class.name.clone())
                        children=move |this| {
                            let id = this.id;
                            let selected = move || class.with(|class| {
                                class.as_ref().is_some_and(|class| class.id == id)
                            });
                            view! {
                                <option value=id.to_string() selected=selected>
                                    {name_of(&this).to_owned()}
                                </option>
                            }
                        }
                    />
                </select>
            </span>
        </Show>
    }
}

fn name_of(class: &Class) -> &str {
    match class.name.as_str() {
        "" => t!("without-name"),
        name => name,
    }
}

/// The visitor goes to another side of the page.
fn leave(is_camera: bool, video: Option<HtmlVideoElement>, close: Callback<()>) {
    match (is_camera, video) {
        (true, _) => close.run(()),
        (false, Some(video)) => {
            let _ = video.pause();
        }
        (false, None) => {}
    }
}

/// Takes a step before each frame of the screen, while it returns `true`. In a tab that is out of
/// sight there are none.
fn each_frame(step: impl Fn() -> bool + 'static) {
    request_animation_frame(move || {
        if step() {
            each_frame(step);
        }
    });
}
