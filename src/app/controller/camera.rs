//! The camera, and images of what a video shows.

use crate::app::i18n::t;

use js_sys::{ArrayBuffer, Object, Reflect, Uint8ClampedArray};
use leptos::prelude::{LocalStorage, SetValue, StoredValue, UpdateValue, WithValue, on_cleanup};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    File, HtmlCanvasElement, HtmlVideoElement, MediaStream, MediaStreamConstraints,
    MediaStreamTrack,
};

use super::engine::describe;
use super::thumbnails;

/// Side of a square image, in pixels: no published model sees more than 448.
const SQUARE: f64 = 448.0;

/// Longer side of a whole image, in pixels.
const LONGER_SIDE: f64 = 640.0;

#[wasm_bindgen]
extern "C" {
    type VideoContext;
    #[wasm_bindgen(method, catch, js_name = drawImage)]
    fn draw(
        this: &VideoContext,
        video: &HtmlVideoElement,
        source_x: f64,
        source_y: f64,
        source_width: f64,
        source_height: f64,
        x: f64,
        y: f64,
        width: f64,
        height: f64,
    ) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = getImageData)]
    fn image_data(
        this: &VideoContext,
        x: f64,
        y: f64,
        width: f64,
        height: f64,
    ) -> Result<Pixels, JsValue>;

    type Pixels;
    #[wasm_bindgen(method, getter)]
    fn data(this: &Pixels) -> Uint8ClampedArray;

    type FrameVideo;
    #[wasm_bindgen(method, js_name = requestVideoFrameCallback)]
    fn request_frame(this: &FrameVideo, call: &JsValue) -> f64;

    type CameraTrack;
    #[wasm_bindgen(method, catch, js_name = getSettings)]
    fn settings(this: &CameraTrack) -> Result<Object, JsValue>;
}

/// The camera, as long as the component that opened it.
#[derive(Clone, Copy)]
pub struct Camera(StoredValue<Option<MediaStream>, LocalStorage>);

impl Camera {
    /// Switched off, as it is again when the caller's component ends.
    pub fn new() -> Self {
        let stream = StoredValue::new_local(None::<MediaStream>);
        on_cleanup(move || {
            if let Some(stream) = stream.try_update_value(Option::take).flatten() {
                stop(&stream);
            }
        });
        Self(stream)
    }

    /// Switches it on and shows it in `video`, or says why that is not possible. `None`: the
    /// component ended while the browser still asked.
    pub async fn show(self, video: HtmlVideoElement) -> Option<Result<(), String>> {
        let stream = match open().await {
            Ok(stream) => stream,
            Err(error) => return Some(Err(error)),
        };
        if self.0.try_with_value(|_| ()).is_none() {
            stop(&stream);
            return None;
        }
        video.set_src_object(Some(&stream));
        self.0.set_value(Some(stream));
        Some(Ok(()))
    }

    /// Whether it looks at the visitor, who then expects a mirror. One that does not say it is
    /// that of a laptop or stands on a screen.
    pub fn faces_visitor(self) -> bool {
        self.0.with_value(|stream| {
            !stream.iter().flat_map(tracks).any(|track| {
                let settings = track.unchecked_into::<CameraTrack>().settings();
                let facing =
                    settings.and_then(|settings| Reflect::get(&settings, &"facingMode".into()));
                facing.is_ok_and(|facing| facing == "environment")
            })
        })
    }

    /// Whether it was on and is gone: unplugged, or taken by another program.
    pub fn unplugged(self) -> bool {
        self.0
            .with_value(|stream| stream.as_ref().is_some_and(|stream| !stream.active()))
    }
}

impl Default for Camera {
    fn default() -> Self {
        Self::new()
    }
}

/// Opens the camera, the one at the back where there are two; or says why that is not possible.
async fn open() -> Result<MediaStream, String> {
    let none = || t!("no-camera-here").to_owned();
    let navigator = web_sys::window().ok_or_else(none)?.navigator();
    let devices = navigator.media_devices().map_err(|_| none())?;
    if !devices.is_object() {
        return Err(none());
    }
    let wishes = MediaStreamConstraints::new();
    let video = Object::new();
    for (key, value) in [
        ("width", 1280.0.into()),
        ("facingMode", "environment".into()),
    ] {
        let _ = Reflect::set(&video, &key.into(), &value);
    }
    wishes.set_video(&video);
    let opened = devices.get_user_media_with_constraints(&wishes);
    let opened = JsFuture::from(opened.map_err(|error| describe(&error))?).await;
    let stream = opened.map_err(|error| {
        let name = Reflect::get(&error, &"name".into()).ok();
        match name.and_then(|name| name.as_string()).as_deref() {
            Some("NotAllowedError") => t!("camera-denied").into(),
            Some("NotFoundError" | "OverconstrainedError") => t!("no-camera").into(),
            Some("NotReadableError") => t!("camera-in-use").into(),
            _ => t!("camera-not-opened", error = describe(&error)),
        }
    })?;
    stream.dyn_into().map_err(|_| none())
}

/// Switches the camera off.
fn stop(stream: &MediaStream) {
    for track in tracks(stream) {
        track.stop();
    }
}

fn tracks(stream: &MediaStream) -> impl Iterator<Item = MediaStreamTrack> + use<> {
    let tracks = stream.get_tracks().to_vec().into_iter();
    tracks.filter_map(|track| track.dyn_into().ok())
}

/// Whether a video shows something yet.
pub fn has_image(video: &HtmlVideoElement) -> bool {
    video.ready_state() >= web_sys::HtmlMediaElement::HAVE_CURRENT_DATA && video.video_width() > 0
}

/// Calls `seen` for each new frame of a video, while that returns `true`; `false` where the browser
/// does not tell.
pub fn on_new_frames(video: &HtmlVideoElement, mut seen: impl FnMut() -> bool + 'static) -> bool {
    let tells = Reflect::has(video, &"requestVideoFrameCallback".into()).unwrap_or(false);
    if tells {
        let same = video.clone();
        let call = Closure::once_into_js(move || {
            if seen() {
                on_new_frames(&same, seen);
            }
        });
        video.unchecked_ref::<FrameVideo>().request_frame(&call);
    }
    tells
}

/// A canvas to draw images on.
pub fn canvas() -> Result<HtmlCanvasElement, JsValue> {
    let document = web_sys::window()
        .and_then(|window| window.document())
        .ok_or(JsValue::NULL)?;
    Ok(document.create_element("canvas")?.dyn_into()?)
}

/// Part of what a video shows that an image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// All, without loss.
    Whole,
    /// The middle square, as the model sees it.
    Square,
}

/// File with an image of what a video shows now; its name gets an ending.
pub fn capture(
    video: &HtmlVideoElement,
    frame: Frame,
    name: &str,
) -> impl Future<Output = Result<File, String>> + use<> {
    // Drawn at once: later the video shows something else.
    let drawn = match frame {
        Frame::Whole => canvas().and_then(|canvas| {
            draw_whole(video, &canvas)?;
            Ok((canvas, format!("{name}.png"), "image/png"))
        }),
        Frame::Square => square(video).map(|canvas| (canvas, format!("{name}.jpg"), "image/jpeg")),
    };
    async move {
        let captured = async {
            let (canvas, name, kind) = drawn?;
            let blob = thumbnails::encode(&canvas, kind).await?;
            File::new_with_blob_sequence(&js_sys::Array::of1(&blob), &name)
        };
        (captured.await).map_err(|error| t!("not-captured", error = describe(&error)))
    }
}

/// The middle square of what a video shows, as the model sees it.
fn square(video: &HtmlVideoElement) -> Result<HtmlCanvasElement, JsValue> {
    let [width, height] = size(video)?;
    let square = width.min(height);
    let (x, y) = ((width - square) / 2.0, (height - square) / 2.0);
    let side = square.min(SQUARE).floor();
    let canvas = canvas()?;
    draw(video, [x, y, square, square], &canvas, [side, side])?;
    Ok(canvas)
}

/// Draws what a video shows on a canvas, at the video's size or a smaller one.
pub fn draw_whole(video: &HtmlVideoElement, canvas: &HtmlCanvasElement) -> Result<(), JsValue> {
    let [width, height] = size(video)?;
    let scale = (LONGER_SIDE / width.max(height)).min(1.0);
    let drawn = [width, height].map(|side| (side * scale).round().max(1.0));
    draw(video, [0.0, 0.0, width, height], canvas, drawn)
}

/// Pixels of a canvas, `[height, width, 4]`.
pub fn pixels(canvas: &HtmlCanvasElement) -> Result<ArrayBuffer, JsValue> {
    let [width, height] = [canvas.width(), canvas.height()].map(f64::from);
    let pixels = context(canvas)?.image_data(0.0, 0.0, width, height)?;
    Ok(pixels.data().buffer())
}

fn size(video: &HtmlVideoElement) -> Result<[f64; 2], JsValue> {
    match has_image(video) {
        true => Ok([video.video_width(), video.video_height()].map(f64::from)),
        false => Err(t!("no-frame-yet").into()),
    }
}

fn draw(
    video: &HtmlVideoElement,
    [source_x, source_y, source_width, source_height]: [f64; 4],
    canvas: &HtmlCanvasElement,
    [width, height]: [f64; 2],
) -> Result<(), JsValue> {
    // Setting a size clears the canvas and may allocate it anew.
    if [canvas.width(), canvas.height()].map(f64::from) != [width, height] {
        canvas.set_width(width as u32);
        canvas.set_height(height as u32);
    }
    context(canvas)?.draw(
        video,
        source_x,
        source_y,
        source_width,
        source_height,
        0.0,
        0.0,
        width,
        height,
    )
}

/// Context for pixels that are read at once: they stay in the processor's memory.
fn context(canvas: &HtmlCanvasElement) -> Result<VideoContext, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"willReadFrequently".into(), &true.into())?;
    let context = canvas.get_context_with_context_options("2d", &options)?;
    Ok(context.ok_or(JsValue::NULL)?.unchecked_into())
}
