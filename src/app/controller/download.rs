//! Files for the visitor to keep.

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use super::notices::Notices;
use crate::app::domain::notice::Notice;
use crate::app::i18n::t;

/// Offers a file made of `parts` (texts, buffers, blobs) for download.
pub fn save(notices: Notices, name: &str, kind: &str, parts: &Array) {
    if offer(name, kind, parts).is_err() {
        notices.notify(Notice::error(t!("download-blocked")));
    }
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
