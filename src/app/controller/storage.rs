//! What is kept over a reload. A browser may forbid it (private windows,
//! sandboxed frames): then nothing is kept, and nothing else changes.

use serde::{Serialize, de::DeserializeOwned};

use crate::engine::messages::StoredPrecision;

/// The labels, as a list of texts.
pub const LABELS: &str = "clip.labels";
/// The prompt templates.
pub const TEMPLATES: &str = "clip.templates";
/// The chosen device.
pub const DEVICE: &str = "clip.device";
/// The GPU that failed its self-test in this version of the browser.
pub const FAILED_GPU: &str = "clip.failed-gpu";
/// Whether the CPU has 8-bit weights.
pub const INT8: &str = "clip.int8";
/// Precision in which weights that are downloaded are kept.
pub const STORED_PRECISION: &str = "clip.stored-precision";
/// Whether earlier versions kept them as f16.
const KEEP_F16: &str = "clip.keep-f16";
/// Whether only those rows of a large token embedding are downloaded that texts use.
pub const USED_WORDS: &str = "clip.used-words";
/// How many threads the CPU has, for those who want to choose.
pub const THREADS: &str = "clip.threads";
/// The model's place on the network; nothing for the bundled one.
pub const MODEL: &str = "clip.model";
/// Address of the hub, without quotes, for those who use a mirror.
pub const HUB: &str = "clip.hub";
/// Whether cosine similarities are shown.
pub const SIMILARITY: &str = "clip.similarity";
/// When to say that none of the labels fits.
pub const REJECTION: &str = "clip.reject";
/// Tag of the page's language, without quotes: the page's head reads it before the first paint.
pub const LANGUAGE: &str = "clip.language";
/// `"light"` or `"dark"`, without quotes: the page's head reads it before the first paint.
pub const THEME: &str = "clip.theme";
/// That the tour of a first visit was shown.
pub const TOUR: &str = "clip.tour";
/// What the names above begin with.
const PREFIX: &str = "clip.";

fn storage() -> Option<web_sys::Storage> {
    web_sys::window()?.local_storage().ok()?
}

/// Whether this is a visitor's first time here: something can be kept, and nothing is.
pub fn first_visit() -> bool {
    storage().is_some_and(|storage| {
        let count = storage.length().unwrap_or_default();
        let mut keys = (0..count).filter_map(|place| storage.key(place).ok()?);
        !keys.any(|key| key.starts_with(PREFIX))
    })
}

/// What was kept under a key, if it is still understood.
pub fn load<T: DeserializeOwned>(key: &str) -> Option<T> {
    serde_json::from_str(&load_text(key)?).ok()
}

/// Precision in which weights that are downloaded are kept.
pub fn stored_precision() -> StoredPrecision {
    load(STORED_PRECISION).unwrap_or_else(|| match load(KEEP_F16) {
        Some(true) => StoredPrecision::F16,
        _ => StoredPrecision::default(),
    })
}

/// A text as it was kept.
pub fn load_text(key: &str) -> Option<String> {
    storage()?.get_item(key).ok()?
}

/// Keeps nothing under a key any more.
pub fn forget(key: &str) {
    if let Some(storage) = storage() {
        let _ = storage.remove_item(key);
    }
}

/// Keeps a value.
pub fn save<T: Serialize>(key: &str, value: &T) {
    if let Ok(text) = serde_json::to_string(value) {
        save_text(key, &text);
    }
}

/// Keeps a text as it is.
pub fn save_text(key: &str, text: &str) {
    if let Some(storage) = storage() {
        // Full or forbidden: the page works without.
        let _ = storage.set_item(key, text);
    }
}
