//! Thumbnails of the pictures in sight. A browser would hold every picture that it shows
//! in full size: ten megapixels are forty megabytes. So small copies are made, one after
//! the other and a few at once, and dropped when their picture is far away.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{Object, Promise, Reflect};
use leptos::{prelude::*, task::spawn_local};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, HtmlCanvasElement, Url};

/// Longer side of a thumbnail, in pixels: a card shows up to 220, on dense screens twice.
const SIDE: f64 = 448.0;

/// Thumbnails that are made at once: each holds its picture in full size meanwhile.
const AT_ONCE: usize = 2;

/// Thumbnails with a name that are kept: some 20 kB each.
const KEPT: usize = 500;

/// Files up to this size, in bytes, are shown as they are.
const SMALL_FILE: f64 = 8e3;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_name = createImageBitmap)]
    fn create_image_bitmap(image: &Blob, options: &Object) -> Result<Promise, JsValue>;

    type ImageBitmap;
    #[wasm_bindgen(method, getter)]
    fn width(this: &ImageBitmap) -> f64;
    #[wasm_bindgen(method, getter)]
    fn height(this: &ImageBitmap) -> f64;
    #[wasm_bindgen(method)]
    fn close(this: &ImageBitmap);

    type Context2d;
    #[wasm_bindgen(method, setter, js_name = imageSmoothingQuality)]
    fn set_smoothing(this: &Context2d, quality: &str);
    #[wasm_bindgen(method, catch, js_name = drawImage)]
    fn draw(
        this: &Context2d,
        image: &ImageBitmap,
        x: f64,
        y: f64,
        width: f64,
        height: f64,
    ) -> Result<(), JsValue>;
}

/// Object URL of a file, revoked when it is dropped.
pub struct ObjectUrl(pub String);

impl ObjectUrl {
    pub fn new(blob: &Blob) -> Self {
        Self(Url::create_object_url_with_blob(blob).unwrap_or_default())
    }
}

impl Drop for ObjectUrl {
    fn drop(&mut self) {
        let _ = Url::revoke_object_url(&self.0);
    }
}

/// Thumbnail that somebody waits for.
struct Job {
    picture: Blob,
    /// Name under which it is kept.
    name: Option<String>,
    /// Width and height in pixels, if known.
    size: Option<(u32, u32)>,
    /// Cleared when nobody waits any more.
    wanted: Rc<Cell<bool>>,
    done: Box<dyn FnOnce(ObjectUrl)>,
}

/// Handle to the queue of thumbnails.
#[derive(Clone, Copy)]
pub struct Thumbnails {
    waiting: StoredValue<VecDeque<Job>, LocalStorage>,
    running: StoredValue<usize>,
    /// The latest ones with a name, by it.
    kept: StoredValue<VecDeque<(String, Blob)>, LocalStorage>,
}

impl Thumbnails {
    /// With nothing to do.
    pub fn new() -> Self {
        Self {
            waiting: StoredValue::new_local(VecDeque::new()),
            running: StoredValue::new(0),
            kept: StoredValue::new_local(VecDeque::new()),
        }
    }

    /// The same as [`Self::of`] for pictures that come and go: a thumbnail of the same name
    /// is not made again soon.
    pub fn named(self, name: String, picture: Blob) -> ReadSignal<Option<String>> {
        self.request(picture, Some(name), None)
    }

    /// Drops the thumbnails that are kept: names stand for other pictures from here on.
    pub fn forget(self) {
        self.kept.set_value(VecDeque::new());
    }

    /// URL of a picture's thumbnail, once it is made; it lives as long as the component
    /// that asks. `size`: width and height in pixels, if known.
    pub fn of(self, picture: Blob, size: Option<(u32, u32)>) -> ReadSignal<Option<String>> {
        self.request(picture, None, size)
    }

    fn request(
        self,
        picture: Blob,
        name: Option<String>,
        size: Option<(u32, u32)>,
    ) -> ReadSignal<Option<String>> {
        let url = RwSignal::new(None);
        let wanted = Rc::new(Cell::new(true));
        let held = StoredValue::new_local(None);
        let cleared = StoredValue::new_local(wanted.clone());
        on_cleanup(move || {
            let _ = cleared.try_with_value(|wanted| wanted.set(false));
            // Revokes the URL.
            drop(held.try_update_value(Option::take));
        });
        let done = Box::new(move |made: ObjectUrl| {
            let _ = url.try_set(Some(made.0.clone()));
            // Gone together with its component.
            let _ = held.try_set_value(Some(made));
        });
        let kept = name.as_ref().and_then(|name| {
            (self.kept).with_value(|kept| {
                let known = kept.iter().find(|(known, _)| known == name);
                known.map(|(_, small)| small.clone())
            })
        });
        if let Some(small) = kept {
            done(ObjectUrl::new(&small));
        } else if picture.size() <= SMALL_FILE {
            done(ObjectUrl::new(&picture));
        } else {
            let job = Job {
                picture,
                name,
                size,
                wanted,
                done,
            };
            self.waiting.update_value(|waiting| waiting.push_back(job));
            self.go_on();
        }
        url.read_only()
    }

    fn go_on(self) {
        if self.running.get_value() >= AT_ONCE {
            return;
        }
        let next = self.waiting.try_update_value(|waiting| {
            waiting.retain(|job| job.wanted.get());
            waiting.pop_front()
        });
        let Some(job) = next.flatten() else {
            return;
        };
        self.running.update_value(|running| *running += 1);
        spawn_local(async move {
            let small = small_copy(&job.picture, job.size).await;
            if let (Ok(small), Some(name)) = (&small, &job.name) {
                self.kept.update_value(|kept| {
                    if kept.len() >= KEPT {
                        kept.pop_front();
                    }
                    kept.push_back((name.clone(), small.clone()));
                });
            }
            if job.wanted.get() {
                // What cannot be made smaller is left to the browser to show, or not.
                (job.done)(ObjectUrl::new(&small.unwrap_or(job.picture)));
            }
            self.running.update_value(|running| *running -= 1);
            self.go_on();
        });
        self.go_on();
    }
}

impl Default for Thumbnails {
    fn default() -> Self {
        Self::new()
    }
}

/// A copy of at most [`SIDE`] pixels on its longer side.
async fn small_copy(picture: &Blob, size: Option<(u32, u32)>) -> Result<Blob, JsValue> {
    let fitting = |width: f64, height: f64| {
        let scale = (SIDE / width.max(height)).min(1.0);
        [width, height].map(|side| (side * scale).round().max(1.0))
    };
    let options = Object::new();
    if let Some((width, height)) = size {
        // The browser need not keep it in full size.
        let [width, height] = fitting(width.into(), height.into());
        Reflect::set(&options, &"resizeWidth".into(), &width.into())?;
        Reflect::set(&options, &"resizeHeight".into(), &height.into())?;
        Reflect::set(&options, &"resizeQuality".into(), &"medium".into())?;
    }
    let bitmap = JsFuture::from(create_image_bitmap(picture, &options)?).await?;
    let bitmap: ImageBitmap = bitmap.unchecked_into();
    let copy = draw(&bitmap, fitting(bitmap.width(), bitmap.height()));
    bitmap.close();
    // WebP keeps what is transparent; a browser that cannot write it writes PNG.
    encode(&copy?, "image/webp").await
}

fn draw(bitmap: &ImageBitmap, [width, height]: [f64; 2]) -> Result<HtmlCanvasElement, JsValue> {
    let document = web_sys::window()
        .and_then(|window| window.document())
        .ok_or(JsValue::NULL)?;
    let canvas: HtmlCanvasElement = document.create_element("canvas")?.dyn_into()?;
    canvas.set_width(width as u32);
    canvas.set_height(height as u32);
    let context: Context2d = (canvas.get_context("2d")?.ok_or(JsValue::NULL)?).unchecked_into();
    context.set_smoothing("medium");
    context.draw(bitmap, 0.0, 0.0, width, height)?;
    Ok(canvas)
}

/// What is on a canvas as a file of this MIME type, or as PNG where the browser cannot write it. The
/// canvas is empty after that.
pub(super) async fn encode(canvas: &HtmlCanvasElement, kind: &str) -> Result<Blob, JsValue> {
    let mut asked = Ok(());
    let made = Promise::new(&mut |resolve, _| {
        asked = canvas.to_blob_with_type(&resolve, kind);
    });
    asked?;
    let made = JsFuture::from(made).await;
    // The canvas's memory is free at once, not when it is collected.
    canvas.set_width(0);
    made?.dyn_into()
}
