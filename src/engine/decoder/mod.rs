//! Image files to the pixels that the image encoder takes, in a browser: in the engine's
//! own worker, or in several beside it.
//!
//! The formats that [`crate::preprocess`] knows are decoded by it everywhere, so that their
//! pixels are the same in every browser. What it does not know (HEIC, AVIF, JPEG XL) is
//! left to the browser, if that can.

#[cfg(feature = "worker")]
mod pool;
#[cfg(feature = "worker")]
pub use pool::{DecodedFile, DecoderPool};

use js_sys::{Array, Float32Array, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, File};

use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::library::{date_span, difference_hash, file_hash};
use crate::preprocess::{
    DecodedImage, MAX_PIXELS, PreprocessConfig, PreprocessError, decode, preprocess,
};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_name = createImageBitmap)]
    fn create_image_bitmap(image: &Blob) -> Result<Promise, JsValue>;

    type ImageBitmap;
    #[wasm_bindgen(method, getter)]
    fn width(this: &ImageBitmap) -> u32;
    #[wasm_bindgen(method, getter)]
    fn height(this: &ImageBitmap) -> u32;
    #[wasm_bindgen(method)]
    fn close(this: &ImageBitmap);

    type OffscreenCanvas;
    #[wasm_bindgen(constructor, catch)]
    fn new(width: u32, height: u32) -> Result<OffscreenCanvas, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getContext)]
    fn context(this: &OffscreenCanvas, kind: &str) -> Result<Context2d, JsValue>;

    type Context2d;
    #[wasm_bindgen(method, catch, js_name = drawImage)]
    fn draw(this: &Context2d, image: &ImageBitmap, x: u32, y: u32) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = getImageData)]
    fn pixels(
        this: &Context2d,
        x: u32,
        y: u32,
        width: u32,
        height: u32,
    ) -> Result<ImageData, JsValue>;

    type ImageData;
    #[wasm_bindgen(method, getter)]
    fn data(this: &ImageData) -> Uint8Array;
}

/// Image file, decoded and preprocessed.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// `[3, image_size, image_size]`.
    pub pixels: Vec<f32>,
    /// In pixels, upright.
    pub width: u32,
    /// In pixels, upright.
    pub height: u32,
    /// [`file_hash`] of the file.
    pub sha256: String,
    /// [`difference_hash`] of the image.
    pub difference_hash: u64,
    /// When it was taken, by its EXIF data, in milliseconds since 1970.
    pub taken_ms: Option<i64>,
}

/// Error of [`decode_file`].
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum DecodeError {
    /// Damaged, empty, too large, or no image.
    Preprocess(#[from] PreprocessError),
    /// Image of a format that neither we nor the browser know.
    UnknownToBrowser(&'static str),
}

impl ToDiagnostic for DecodeError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Preprocess(error) => error.to_diagnostic(),
            Self::UnknownToBrowser(format) => diagnostic!(
                "not-decoded",
                "this is {format}, which this browser does not decode: save it as JPEG or PNG",
                format
            ),
        }
    }
}

/// Decodes a file, by the browser if its format is not one of ours. Pixels of the browser
/// are upright and sRGB.
pub async fn decode_file(bytes: &[u8]) -> Result<DecodedImage, DecodeError> {
    match decode(bytes) {
        Err(PreprocessError::Unsupported(kind)) => match decode_by_browser(bytes).await {
            Ok(image) => Ok(image?),
            // A document or a video is no image in any browser.
            Err(_) if kind.ends_with("image") => Err(DecodeError::UnknownToBrowser(kind)),
            Err(_) => Err(PreprocessError::Unsupported(kind).into()),
        },
        decoded => Ok(decoded?),
    }
}

async fn decode_by_browser(bytes: &[u8]) -> Result<Result<DecodedImage, PreprocessError>, JsValue> {
    let parts = Array::of1(&Uint8Array::from(bytes));
    let blob = Blob::new_with_u8_array_sequence_and_options(&parts, &BlobPropertyBag::new())?;
    let bitmap = JsFuture::from(create_image_bitmap(&blob)?).await?;
    let bitmap: ImageBitmap = bitmap.unchecked_into();
    let (width, height) = (bitmap.width(), bitmap.height());
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        bitmap.close();
        return Ok(Err(PreprocessError::TooLarge { width, height }));
    }
    let draw = || {
        let context = OffscreenCanvas::new(width, height)?.context("2d")?;
        context.draw(&bitmap, 0, 0)?;
        context.pixels(0, 0, width, height)
    };
    let drawn = draw();
    bitmap.close();
    let samples = drawn?.data().to_vec();
    Ok(without_alpha(width, height, samples))
}

/// DecodedImage of RGBA samples; RGB if all of them are opaque.
fn without_alpha(
    width: u32,
    height: u32,
    samples: Vec<u8>,
) -> Result<DecodedImage, PreprocessError> {
    if samples.chunks_exact(4).any(|pixel| pixel[3] != 255) {
        return DecodedImage::new(width, height, 4, samples);
    }
    let rgb = samples.chunks_exact(4).flat_map(|pixel| &pixel[..3]);
    DecodedImage::new(width, height, 3, rgb.copied().collect())
}

/// Reads, decodes and preprocesses a file.
pub async fn prepare(file: &File, config: &PreprocessConfig) -> Result<Prepared, Unusable> {
    let buffer = (JsFuture::from(file.array_buffer()).await).map_err(|_| Unusable::Unread)?;
    let bytes = Uint8Array::new(&buffer).to_vec();
    let picture = decode_file(&bytes).await;
    let picture = picture.map_err(|error| Unusable::NoImage(error.to_diagnostic()))?;
    Ok(Prepared {
        pixels: preprocess(&picture, config),
        width: picture.width(),
        height: picture.height(),
        sha256: file_hash(&bytes),
        difference_hash: difference_hash(&picture),
        taken_ms: (picture.taken()).and_then(date_span).map(|span| span.start),
    })
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum Unusable {
    /// The browser does not read it.
    Unread,
    /// It is no readable image: why, for people.
    NoImage(Diagnostic),
    /// The decoder came to an end with it.
    Crashed,
}

impl ToDiagnostic for Unusable {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Unread => diagnostic!(
                "file-gone",
                "it could not be read: it has been moved, changed or deleted"
            ),
            Self::NoImage(why) => why.clone(),
            Self::Crashed => diagnostic!(
                "decoder-memory",
                "decoding it failed, probably for lack of memory: make it smaller"
            ),
        }
    }
}

/// What a decoder replies: [`prepare`]d, with the bytes of memory that it has by then.
pub async fn reply(file: &File, config: JsValue) -> JsValue {
    let prepared = match serde_wasm_bindgen::from_value(config) {
        Ok(config) => prepare(file, &config).await,
        Err(error) => Err(Unusable::NoImage(error.to_string().into())),
    };
    let memory = wasm_bindgen::memory().unchecked_into::<js_sys::WebAssembly::Memory>();
    let memory: js_sys::ArrayBuffer = memory.buffer().unchecked_into();
    let reply = match prepared {
        Ok(prepared) => Array::from_iter([
            JsValue::from(Float32Array::from(prepared.pixels.as_slice())),
            prepared.width.into(),
            prepared.height.into(),
            prepared.sha256.into(),
            prepared.difference_hash.into(),
            (prepared.taken_ms).map_or(JsValue::NULL, |taken| (taken as f64).into()),
        ]),
        Err(Unusable::NoImage(why)) => {
            Array::of1(&serde_wasm_bindgen::to_value(&why).unwrap_or(JsValue::NULL))
        }
        Err(Unusable::Unread | Unusable::Crashed) => Array::of1(&JsValue::NULL),
    };
    reply.push(&memory.byte_length().into());
    reply.into()
}
