//! A classifier as a page of its own: opens it where this is such a page, and makes the zip of one.

use js_sys::{Array, ArrayBuffer, Uint8Array};
use leptos::prelude::{RwSignal, Set};
use wasm_bindgen::JsValue;
use web_sys::{Blob, File};

use super::download;
use super::engine::describe;
use super::files::{buffer_of, fetch, text_of};
use super::language::use_language_of_document;
use super::notices::Notices;
use crate::app::domain::standalone::{self, StandaloneClassifier};
use crate::app::domain::zip::ZipEntry;
use crate::app::i18n::{self, message};
use crate::diagnostic::Diagnostic;

/// Classifier of a page of its own, with the file of its probe or adapter.
#[derive(Clone)]
pub struct OpenedClassifier {
    pub classifier: StandaloneClassifier,
    pub head: Option<File>,
}

/// The file that describes this page's classifier, if it is a page of one.
pub fn named_in_page() -> Option<String> {
    let document = web_sys::window()?.document()?;
    let selector = format!("meta[name={}]", standalone::TAG);
    document
        .query_selector(&selector)
        .ok()??
        .get_attribute("content")
}

/// Opens the classifier that a file describes, or says in words why it cannot.
pub async fn open(file: &str) -> Result<OpenedClassifier, String> {
    use_language_of_document();
    try_open(file).await.map_err(|why| i18n::error(&why))
}

async fn try_open(file: &str) -> Result<OpenedClassifier, Diagnostic> {
    let lost = |file: &str, why: String| message!("page-not-complete", file = file, error = why);
    let text = match fetch(file).await {
        Ok(blob) => text_of(&blob).await,
        Err(why) => Err(why),
    };
    let text = text.map_err(|why| lost(file, why))?;
    let classifier = StandaloneClassifier::parse(&text)
        .map_err(|why| message!("page-no-classifier", file = file, error = why))?;
    let head = match &classifier.head {
        Some(name) => {
            let blob = fetch(name).await.map_err(|why| lost(name, why))?;
            let file = File::new_with_blob_sequence(&Array::of1(&blob), name);
            Some(file.map_err(|error| lost(name, describe(&error)))?)
        }
        None => None,
    };
    Ok(OpenedClassifier { classifier, head })
}

/// How far the zip of a page is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    #[default]
    Idle,
    /// Files are fetched: so many, of so many.
    Fetching(usize, usize),
    /// The zip was offered for download under this name, with so many bytes.
    Saved(String, u64),
    /// Why it was not made.
    Failed(Diagnostic),
}

/// Makes the zip of a page.
#[derive(Clone, Copy)]
pub struct Packager {
    pub packing: RwSignal<Packing>,
    notices: Notices,
}

impl Packager {
    pub fn new(notices: Notices) -> Self {
        Self {
            packing: RwSignal::new(Packing::Idle),
            notices,
        }
    }

    /// Says why a page cannot be made.
    pub fn fail(self, why: Diagnostic) {
        self.packing.set(Packing::Failed(why));
    }

    /// Offers a zip with a page of `classifier`: the program as it lies beside this page, and files
    /// of its own, by path.
    pub async fn save(self, classifier: StandaloneClassifier, own: Vec<(String, ArrayBuffer)>) {
        let name = classifier.zip_name();
        let packed = self.pack(&classifier, own).await.and_then(|entries| {
            let bytes = entries.iter().map(|(entry, _)| entry.size() as u64).sum();
            download::try_save_zip(self.notices, &name, entries)?;
            Ok(bytes)
        });
        match packed {
            Ok(bytes) => self.packing.set(Packing::Saved(name, bytes)),
            Err(why) => self.fail(why),
        }
    }

    async fn pack(
        self,
        classifier: &StandaloneClassifier,
        own: Vec<(String, ArrayBuffer)>,
    ) -> Result<Vec<(ZipEntry, JsValue)>, Diagnostic> {
        self.packing.set(Packing::Fetching(0, 0));
        let list = text_of(&fetched(standalone::LIST).await?).await?;
        let of_this_page: Vec<String> = serde_json::from_str(&list)
            .map_err(|error| message!("page-list-damaged", error = error.to_string()))?;
        let own_paths: Vec<String> = own.iter().map(|(path, _)| path.clone()).collect();
        let files = classifier.files(&of_this_page, &own_paths);

        let mut entries = Vec::new();
        for (done, path) in files.iter().enumerate() {
            self.packing.set(Packing::Fetching(done, files.len()));
            let blob = fetched(path).await?;
            let changed = match path.as_str() {
                standalone::INDEX => Some(classifier.index(&text_of(&blob).await?)),
                standalone::MANIFEST => Some(classifier.manifest(&text_of(&blob).await?)),
                _ => None,
            };
            entries.push(match changed {
                Some(Some(text)) => text_entry(path, text),
                Some(None) => {
                    return Err(message!("page-file-other", file = path));
                }
                // One file at a time in memory: the zip itself is made of handles.
                None => (entry(path, &buffer_of(&blob).await?), blob.into()),
            });
        }
        for (path, bytes) in own {
            entries.push((entry(&path, &bytes), bytes.into()));
        }
        let json = |value: Result<String, serde_json::Error>| value.map_err(|e| e.to_string());
        let described = json(serde_json::to_string_pretty(classifier))?;
        entries.push(text_entry(standalone::FILE, described));
        let paths: Vec<&str> = entries.iter().map(|(entry, _)| entry.path()).collect();
        let list = json(serde_json::to_string_pretty(&paths))?;
        entries.push(text_entry(standalone::LIST, list));
        entries.push(text_entry("README.txt", classifier.readme()));
        Ok(entries)
    }
}

/// A file of this page.
async fn fetched(path: &str) -> Result<Blob, Diagnostic> {
    fetch(path)
        .await
        .map_err(|why| message!("page-file-not-fetched", file = path, error = why))
}

fn entry(path: &str, bytes: &ArrayBuffer) -> ZipEntry {
    ZipEntry::new(path.into(), &Uint8Array::new(bytes).to_vec())
}

fn text_entry(path: &str, text: String) -> (ZipEntry, JsValue) {
    (ZipEntry::new(path.into(), text.as_bytes()), text.into())
}
