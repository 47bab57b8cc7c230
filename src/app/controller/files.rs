//! Files in memory, and files of the page.

use js_sys::ArrayBuffer;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, Response};

use super::engine::describe;

/// An image file and its object URL, kept for workers started later.
pub struct BlobUrl {
    pub blob: Blob,
    pub url: String,
}

impl BlobUrl {
    pub fn new(blob: Blob) -> Self {
        let url = web_sys::Url::create_object_url_with_blob(&blob).unwrap_or_default();
        Self { blob, url }
    }
}

impl Drop for BlobUrl {
    fn drop(&mut self) {
        let _ = web_sys::Url::revoke_object_url(&self.url);
    }
}

/// Fetches a file of the page.
pub async fn fetch(url: &str) -> Result<Blob, String> {
    let window = web_sys::window().ok_or("no window")?;
    let response = JsFuture::from(window.fetch_with_str(url))
        .await
        .map_err(|error| describe(&error))?;
    let response: Response = response.dyn_into().map_err(|other| describe(&other))?;
    if !response.ok() {
        return Err(format!("status {}", response.status()));
    }
    let blob = response.blob().map_err(|error| describe(&error))?;
    let blob = JsFuture::from(blob)
        .await
        .map_err(|error| describe(&error))?;
    blob.dyn_into().map_err(|other| describe(&other))
}

/// Bytes of a file.
pub async fn buffer_of(blob: &Blob) -> Result<ArrayBuffer, String> {
    let buffer = JsFuture::from(blob.array_buffer()).await;
    let buffer = buffer.map_err(|error| describe(&error))?;
    buffer.dyn_into().map_err(|other| describe(&other))
}

/// Text of a file.
pub async fn text_of(blob: &Blob) -> Result<String, String> {
    let text = JsFuture::from(blob.text()).await;
    let text = text.map_err(|error| describe(&error))?;
    text.as_string().ok_or_else(|| "it is no text".into())
}
