//! Pictures from the webcam, cropped to the square that the model sees.

use std::time::Duration;

use leptos::{html, prelude::*, task::spawn_local};
use wasm_bindgen::JsCast;
use web_sys::Element;

use crate::app::controller::camera::{self, Frame};
use crate::app::controller::training::TrainingController;
use crate::app::domain::training::project::ClassId;
use crate::app::i18n::t;

/// Between two pictures while the button is held.
const PACE: Duration = Duration::from_millis(250);

/// The camera of a class card.
#[component]
pub fn Camera(trainer: TrainingController, class: ClassId, close: Callback<()>) -> impl IntoView {
    let video = NodeRef::<html::Video>::new();
    let problem = RwSignal::new(String::new());
    let running = RwSignal::new(false);
    let taken = RwSignal::new(0usize);
    let held = RwSignal::new(false);
    // Counts the presses: a timer of an older one ends.
    let press = RwSignal::new(0u32);
    let camera = camera::Camera::new();
    // Tells the images' names apart.
    let number = StoredValue::new(0u32);

    Effect::new(move |_| {
        let Some(video) = video.get_untracked() else {
            return;
        };
        spawn_local(async move {
            match camera.show(video).await {
                Some(Ok(())) => running.set(true),
                Some(Err(error)) => drop(problem.try_set(error)),
                None => {}
            }
        });
    });

    let take = move || {
        let Some(video) = video.get_untracked() else {
            return;
        };
        number.update_value(|number| *number += 1);
        let name = format!("camera-{:03}", number.get_value());
        let captured = camera::capture(&video, Frame::Square, &name);
        spawn_local(async move {
            match captured.await {
                Ok(file) => {
                    trainer.add_samples(Some(class), vec![file]);
                    taken.try_update(|taken| *taken += 1);
                }
                Err(error) => drop(problem.try_set(t!("not-captured-close", error = error))),
            }
        });
    };
    let begin = move || {
        if held.get_untracked() {
            return;
        }
        held.set(true);
        press.update(|press| *press += 1);
        take();
        go_on(
            held,
            press,
            press.get_untracked(),
            Callback::new(move |()| take()),
        );
    };
    let end = move || held.set(false);

    view! {
        <div class="camera" data-testid="camera">
            <div class="camera-frame">
                <video
                    node_ref=video
                    autoplay
                    playsinline
                    prop:muted=true
                    aria-label=t!("camera-preview")
                ></video>
                <Show when=move || !running.get() && problem.with(String::is_empty)>
                    <p class="help">{t!("allow-camera")}</p>
                </Show>
            </div>
            <p class="problem" role="alert">
                {move || problem.get()}
            </p>
            <div class="camera-tools">
                <button
                    type="button"
                    class="button small"
                    data-testid="camera-take"
                    disabled=move || !running.get()
                    on:pointerdown=move |event| {
                        // Held, even when the page moves beneath the pointer.
                        let button = event.target().and_then(|t| t.dyn_into::<Element>().ok());
                        if let Some(button) = button {
                            let _ = button.set_pointer_capture(event.pointer_id());
                        }
                        begin();
                    }
                    on:pointerup=move |_| end()
                    on:pointercancel=move |_| end()
                    on:contextmenu=move |event| event.prevent_default()
                    on:keydown=move |event| {
                        if matches!(event.key().as_str(), " " | "Enter") {
                            event.prevent_default();
                            begin();
                        }
                    }
                    on:keyup=move |_| end()
                    on:blur=move |_| end()
                >
                    {t!("hold-to-capture")}
                </button>
                <button
                    type="button"
                    class="button secondary small"
                    data-testid="camera-close"
                    on:click=move |_| close.run(())
                >
                    {t!("close")}
                </button>
            </div>
            <p class="help" aria-live="polite">
                {move || match taken.get() {
                    0 => t!("tap-to-capture").into(),
                    taken => t!("captured", images = t!("images", count = taken)),
                }}
            </p>
        </div>
    }
}

/// Another picture after a while, as long as the button of that press is held.
fn go_on(held: RwSignal<bool>, press: RwSignal<u32>, which: u32, take: Callback<()>) {
    set_timeout(
        move || {
            let same = press.try_get_untracked() == Some(which);
            if same && held.try_get_untracked() == Some(true) {
                take.run(());
                go_on(held, press, which, take);
            }
        },
        PACE,
    );
}
