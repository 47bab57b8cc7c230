//! Pictures from the webcam, cropped to the square that the model sees.

use std::time::Duration;

use leptos::{html, prelude::*, task::spawn_local};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, CanvasRenderingContext2d, Element, File, HtmlCanvasElement, HtmlVideoElement,
    MediaStream, MediaStreamConstraints, MediaStreamTrack,
};

use crate::app::controller::engine::describe;
use crate::app::controller::training::TrainingController;
use crate::app::domain::format;
use crate::app::domain::training::project::ClassId;

/// Side of a picture, in pixels: no published model sees more than 448.
const SIDE: u32 = 448;
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
    let stream = StoredValue::new_local(None::<MediaStream>);
    let gone = StoredValue::new(false);

    Effect::new(move |_| {
        spawn_local(async move {
            match open().await {
                Ok(opened) if gone.try_get_value() == Some(false) => {
                    if let Some(video) = video.get_untracked() {
                        video.set_src_object(Some(&opened));
                        let _ = video.play();
                    }
                    stream.set_value(Some(opened));
                    running.set(true);
                }
                // Closed while the browser still asked.
                Ok(opened) => stop(&opened),
                Err(error) => {
                    problem.try_set(error);
                }
            }
        });
    });
    on_cleanup(move || {
        gone.set_value(true);
        if let Some(stream) = stream.try_update_value(Option::take).flatten() {
            stop(&stream);
        }
    });

    let take = move || {
        let Some(video) = video.get_untracked() else {
            return;
        };
        let number = taken.get_untracked() + 1;
        match capture(&video, move |blob| {
            if let Some(file) = named(&blob, number) {
                trainer.add_samples(Some(class), vec![file]);
            }
        }) {
            Ok(()) => taken.set(number),
            Err(error) => problem.set(format!(
                "The image could not be captured ({}). Close the camera and open it again.",
                describe(&error)
            )),
        }
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
                    aria-label="Camera preview"
                ></video>
                <Show when=move || !running.get() && problem.with(String::is_empty)>
                    <p class="help">"Allow access to the camera."</p>
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
                    "Hold to capture images"
                </button>
                <button
                    type="button"
                    class="button secondary small"
                    data-testid="camera-close"
                    on:click=move |_| close.run(())
                >
                    "Close"
                </button>
            </div>
            <p class="help" aria-live="polite">
                {move || match taken.get() {
                    0 => "Tap to capture one image, hold to capture four per second.".into(),
                    taken => format!("{} captured.", format::count(taken, "image")),
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

async fn open() -> Result<MediaStream, String> {
    const NONE: &str = "This browser offers no camera here. It requires https or localhost.";
    let navigator = web_sys::window().ok_or(NONE)?.navigator();
    let devices = navigator.media_devices().map_err(|_| NONE.to_owned())?;
    if !devices.is_object() {
        return Err(NONE.into());
    }
    let wishes = MediaStreamConstraints::new();
    let video = js_sys::Object::new();
    for (key, value) in [
        ("width", 1280.0.into()),
        ("facingMode", "environment".into()),
    ] {
        let _ = js_sys::Reflect::set(&video, &key.into(), &value);
    }
    wishes.set_video(&video);
    let opened = devices.get_user_media_with_constraints(&wishes);
    let opened = JsFuture::from(opened.map_err(|error| describe(&error))?).await;
    let stream = opened.map_err(|error| {
        let name = js_sys::Reflect::get(&error, &"name".into()).ok();
        match name.and_then(|name| name.as_string()).as_deref() {
            Some("NotAllowedError") => {
                "Camera access was denied. Allow it in the browser's settings for this page, then close this and try again.".into()
            }
            Some("NotFoundError" | "OverconstrainedError") => "No camera was found. Connect one and try again.".into(),
            Some("NotReadableError") => "The camera is in use by another program. Close it and try again.".into(),
            _ => format!("The camera could not be opened ({}).", describe(&error)),
        }
    })?;
    stream.dyn_into().map_err(|_| NONE.into())
}

fn stop(stream: &MediaStream) {
    for track in stream.get_tracks().iter() {
        if let Ok(track) = track.dyn_into::<MediaStreamTrack>() {
            track.stop();
        }
    }
}

/// The middle square of what the video shows, as a JPEG.
fn capture(video: &HtmlVideoElement, give: impl Fn(Blob) + 'static) -> Result<(), JsValue> {
    let (width, height) = (
        f64::from(video.video_width()),
        f64::from(video.video_height()),
    );
    let square = width.min(height);
    if square < 1.0 {
        return Err("there is no video yet".into());
    }
    let document = web_sys::window()
        .and_then(|w| w.document())
        .ok_or(JsValue::NULL)?;
    let canvas: HtmlCanvasElement = document.create_element("canvas")?.dyn_into()?;
    let side = f64::from(SIDE).min(square);
    canvas.set_width(side as u32);
    canvas.set_height(side as u32);
    let context: CanvasRenderingContext2d =
        canvas.get_context("2d")?.ok_or(JsValue::NULL)?.dyn_into()?;
    context.draw_image_with_html_video_element_and_sw_and_sh_and_dx_and_dy_and_dw_and_dh(
        video,
        (width - square) / 2.0,
        (height - square) / 2.0,
        square,
        square,
        0.0,
        0.0,
        side,
        side,
    )?;
    let made = Closure::once_into_js(move |blob: Option<Blob>| {
        if let Some(blob) = blob {
            give(blob);
        }
    });
    canvas.to_blob_with_type_and_encoder_options(
        made.unchecked_ref(),
        "image/jpeg",
        &JsValue::from(0.92),
    )
}

fn named(blob: &Blob, number: usize) -> Option<File> {
    let parts = js_sys::Array::of1(blob);
    File::new_with_blob_sequence(&parts, &format!("camera-{number:03}.jpg")).ok()
}
