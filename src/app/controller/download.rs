//! Files for the visitor to keep.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use super::notices::Notices;
use crate::app::domain::notice::Notice;
use crate::app::domain::zip::{self, ZipEntry};
use crate::app::i18n::message;
use crate::diagnostic::Diagnostic;

/// Offers a file made of `parts` (texts, buffers, blobs) for download.
pub fn save(notices: Notices, name: &str, kind: &str, parts: &Array) {
    if offer(name, kind, parts).is_err() {
        notices.notify(Notice::error(message!("download-blocked")));
    }
}

/// Offers a zip of entries, each with its bytes (text, buffer or blob), for download.
pub fn save_zip(notices: Notices, name: &str, entries: Vec<(ZipEntry, JsValue)>) {
    if let Err(error) = try_save_zip(notices, name, entries) {
        notices.notify(Notice::error(error));
    }
}

/// The same; `Err` says why the files do not go into a zip.
pub fn try_save_zip(
    notices: Notices,
    name: &str,
    entries: Vec<(ZipEntry, JsValue)>,
) -> Result<(), Diagnostic> {
    let (headers, end) = zip::headers(entries.iter().map(|(entry, _)| entry))?;
    let parts = Array::new();
    for (header, (_, data)) in headers.iter().zip(&entries) {
        parts.push(&Uint8Array::from(header.as_slice()));
        parts.push(data);
    }
    parts.push(&Uint8Array::from(end.as_slice()));
    save(notices, name, "application/zip", &parts);
    Ok(())
}

fn offer(name: &str, kind: &str, parts: &Array) -> Result<(), JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    let blob = Blob::new_with_blob_sequence_and_options(parts, &options)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let document = web_sys::window()
        .and_then(|window| window.document())
        .ok_or(JsValue::NULL)?;
    let link: HtmlAnchorElement = document.create_element("a")?.dyn_into()?;
    link.set_href(&url);
    link.set_download(name);
    link.click();
    Url::revoke_object_url(&url)
}
