//! Library of the visitor's own images: the folder's files around [`LibrarySession`].

use std::collections::HashMap;

use js_sys::{Array, Uint8Array};
use leptos::{prelude::*, task::spawn_local};
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use super::current_tab::CurrentTab;
use super::download;
use super::engine::{Attachments, EngineHandle};
use super::notices::Notices;
use crate::app::domain::library::{LibrarySession, OpenFolder};
use crate::app::domain::notice::Notice;
use crate::app::domain::tab::Tab;
use crate::app::domain::training::zip::{self, ZipEntry};
use crate::data::{csv_field, file_name, file_safe};
use crate::engine::messages::{LibraryEvent, LibraryRequest, Request};
use crate::library::{FileStamp, is_image_name};

/// Handle to the library.
#[derive(Clone, Copy)]
pub struct LibraryController {
    pub session: RwSignal<LibrarySession>,
    /// Whether a worker has its model.
    connected: RwSignal<bool>,
    engine: EngineHandle,
    notices: Notices,
    /// Files of the open folder, by path.
    files: StoredValue<HashMap<String, File>, LocalStorage>,
}

impl LibraryController {
    /// Without a folder.
    pub fn new(engine: EngineHandle, notices: Notices) -> Self {
        Self {
            session: RwSignal::new(LibrarySession::new()),
            connected: RwSignal::new(false),
            engine,
            notices,
            files: StoredValue::new_local(HashMap::new()),
        }
    }

    /// The visitor chose or dropped a folder; paths begin with its name.
    pub fn open_folder(self, found: Vec<(String, Option<File>)>) {
        let mut files = HashMap::new();
        let mut other = 0;
        let mut name = None;
        for (path, file) in found {
            let Some(file) = file else { continue };
            // Two dropped folders stay apart, a single one is what paths are relative to.
            let (folder, inner) = path.split_once('/').unwrap_or(("", &path));
            let inner = match &name {
                None => {
                    name = Some(folder.to_owned());
                    inner
                }
                Some(known) if known == folder => inner,
                Some(_) => &path,
            };
            if inner.split('/').any(|part| part.starts_with('.')) {
                continue;
            }
            match is_image_name(inner) {
                true => {
                    files.insert(inner.to_owned(), file);
                }
                false => other += 1,
            }
        }
        if files.is_empty() {
            self.notices.notify(Notice::error(
                "There are no images in this folder. Choose a folder with JPEG, PNG, WebP, GIF or BMP files.",
            ));
            return;
        }
        let folder = OpenFolder {
            name: name
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "images".into()),
            files: files.len(),
            other,
        };
        self.files.set_value(files);
        self.session.update(|session| session.open(folder));
        self.send_folder();
    }

    /// Tells the worker of the folder, if there is one.
    fn send_folder(self) {
        let Some(folder) = (self.session).with_untracked(|session| session.folder.clone()) else {
            return;
        };
        let (stamps, files) = self.files.with_value(|files| {
            (files.iter())
                .map(|(path, file)| {
                    let stamp = FileStamp {
                        path: path.clone(),
                        size: file.size() as u64,
                        modified_ms: file.last_modified() as i64,
                    };
                    (stamp, file.clone())
                })
                .unzip::<_, _, Vec<_>, Vec<_>>()
        });
        let request = LibraryRequest::Open {
            folder: folder.name,
            files: stamps,
        };
        self.engine
            .send(&Request::Library(request), Attachments::Files(files));
    }

    /// A worker has opened its model.
    pub fn opened(self) {
        self.connected.set(true);
        self.send_folder();
    }

    /// Asks for the kept indexes when this side of the page is in sight: they are read whole
    /// for it.
    pub fn start(self, tab: CurrentTab) {
        Effect::new(move |_| {
            if tab.get() == Tab::Library && self.connected.get() {
                self.send(LibraryRequest::List);
            }
        });
    }

    /// The worker is gone.
    pub fn disconnected(self) {
        self.connected.set(false);
        self.session.update(LibrarySession::disconnected);
    }

    /// The worker said something.
    pub fn on_event(self, event: LibraryEvent) {
        let closed = event == LibraryEvent::Closed;
        let next = (self.session)
            .try_update(|session| session.on_event(event, js_sys::Date::now()))
            .flatten();
        if closed {
            self.send_folder();
        }
        next.into_iter().for_each(|request| self.send(request));
    }

    fn send(self, request: LibraryRequest) {
        self.engine
            .send(&Request::Library(request), Attachments::Nothing);
    }

    /// Searches for what the query says now.
    pub fn search(self) {
        let request = self.session.try_update(LibrarySession::search).flatten();
        request.into_iter().for_each(|request| self.send(request));
    }

    /// Pauses or continues indexing.
    pub fn pause(self, paused: bool) {
        self.session.update(|session| session.paused = paused);
        self.send(LibraryRequest::Pause(paused));
    }

    /// Looks for duplicates.
    pub fn find_duplicates(self) {
        let similar = self.session.with_untracked(|session| session.similar);
        self.session.update(|session| {
            session.busy = true;
            session.error = None;
        });
        self.send(LibraryRequest::Duplicates { similar });
    }

    /// Sorts all images by label.
    pub fn sort(self, labels: Vec<String>, templates: Vec<String>) {
        self.session.update(|session| {
            session.busy = true;
            session.error = None;
        });
        self.send(LibraryRequest::Sort { labels, templates });
    }

    /// Deletes an index that this browser keeps.
    pub fn delete_kept(self, key: String) {
        self.send(LibraryRequest::Delete { key });
    }

    /// File of an image.
    pub fn file(self, path: &str) -> Option<File> {
        self.files
            .try_with_value(|files| files.get(path).cloned())
            .flatten()
    }

    /// Downloads the hits that are shown as a table.
    pub fn save_hits(self) {
        let mut text = String::from("image,similarity\r\n");
        self.session.with_untracked(|session| {
            for (path, score) in session.shown() {
                text.push_str(&format!("{},{score:.4}\r\n", csv_field(path)));
            }
        });
        let parts = Array::of1(&text.into());
        download::save(self.notices, "search.csv", "text/csv", &parts);
    }

    /// Downloads which image has which label as a table.
    pub fn save_sorted(self) {
        let mut text = String::from("image,label,probability\r\n");
        self.session.with_untracked(|session| {
            let Some(sorted) = &session.sorted else {
                return;
            };
            for image in &sorted.images {
                let label = sorted.labels.get(image.label).map_or("", String::as_str);
                text.push_str(&format!(
                    "{},{},{:.4}\r\n",
                    csv_field(&image.path),
                    csv_field(label),
                    image.probability
                ));
            }
        });
        let parts = Array::of1(&text.into());
        download::save(self.notices, "sorted.csv", "text/csv", &parts);
    }

    /// Sorted images with paths of their labels' folders.
    pub fn sorted_files(self) -> Vec<(String, Option<File>)> {
        let sorted = self
            .session
            .with_untracked(|session| session.sorted.clone());
        let mut taken = std::collections::HashSet::new();
        let sorted = sorted.unwrap_or_default();
        (sorted.images.iter())
            .filter_map(|image| {
                let label = file_safe(sorted.labels.get(image.label)?);
                let name = file_name(&image.path);
                let mut path = format!("{label}/{name}");
                // Images of several folders may have one name.
                if !taken.insert(path.to_lowercase()) {
                    path = format!("{label}/{}", image.path.replace('/', "_"));
                    taken.insert(path.to_lowercase());
                }
                Some((path, Some(self.file(&image.path)?)))
            })
            .collect()
    }

    /// Downloads the sorted images in a zip, a folder for each label.
    pub fn save_zip(self) {
        spawn_local(async move {
            let (mut entries, mut parts) = (Vec::new(), Vec::new());
            for (path, file) in self.sorted_files() {
                let Some(file) = file else { continue };
                match JsFuture::from(file.array_buffer()).await {
                    // Only the checksum needs the bytes; the zip is made of the files.
                    Ok(buffer) => {
                        let bytes = Uint8Array::new(&buffer).to_vec();
                        entries.push(ZipEntry::new(path, &bytes));
                        parts.push(file);
                    }
                    Err(_) => self.notices.notify(Notice::error(format!(
                        "{path} could not be read: it has been moved or changed. It is not in the zip."
                    ))),
                }
            }
            match zip::headers(entries.iter()) {
                Ok((headers, end)) => {
                    let all = Array::new();
                    for (header, file) in headers.iter().zip(&parts) {
                        all.push(&Uint8Array::from(header.as_slice()));
                        all.push(file);
                    }
                    all.push(&Uint8Array::from(end.as_slice()));
                    download::save(self.notices, "sorted.zip", "application/zip", &all);
                }
                Err(error) => self.notices.notify(Notice::error(error)),
            }
        });
    }
}
