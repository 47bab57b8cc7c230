//! Library of the visitor's own images: the folder's files around [`LibrarySession`].

use std::collections::HashMap;

use js_sys::{Array, Uint8Array};
use leptos::{prelude::*, task::spawn_local};
use web_sys::File;

use super::current_tab::CurrentTab;
use super::download;
use super::engine::{Attachments, EngineHandle};
use super::files::buffer_of;
use super::folders::{self, Access, CopyError, DiskFolder};
use super::notices::Notices;
use super::thumbnails::Thumbnails;
use super::undo::UndoOffers;
use crate::app::domain::library::{LibrarySession, OpenFolder, QueryImage, Task, subfolders};
use crate::app::domain::notice::Notice;
use crate::app::domain::tab::Tab;
use crate::app::domain::zip::ZipEntry;
use crate::app::i18n::message;
use crate::data::{csv_field, file_name, file_safe};
use crate::engine::messages::{LibraryEvent, LibraryRequest, Request, StoredIndex};
use crate::library::{Sign, is_image_name};

/// Handle to the library.
#[derive(Clone, Copy)]
pub struct LibraryController {
    pub session: RwSignal<LibrarySession>,
    /// Files copied so far and in all, while sorted images are copied into a folder.
    pub copying: RwSignal<Option<(usize, usize)>>,
    /// Whether a worker has its model.
    connected: RwSignal<bool>,
    engine: EngineHandle,
    notices: Notices,
    undo: UndoOffers,
    thumbnails: Thumbnails,
    /// Files of the open folder, by path.
    files: StoredValue<HashMap<String, File>, LocalStorage>,
    /// The open folder, if the browser gives access to it.
    disk_folder: StoredValue<Option<DiskFolder>, LocalStorage>,
    /// Files that are searched with, by their number.
    query_files: StoredValue<HashMap<u32, File>, LocalStorage>,
}

impl LibraryController {
    /// Without a folder.
    pub fn new(engine: EngineHandle, notices: Notices, undo: UndoOffers) -> Self {
        Self {
            session: RwSignal::new(LibrarySession::new()),
            copying: RwSignal::new(None),
            connected: RwSignal::new(false),
            engine,
            notices,
            undo,
            thumbnails: Thumbnails::new(),
            files: StoredValue::new_local(HashMap::new()),
            disk_folder: StoredValue::new_local(None),
            query_files: StoredValue::new_local(HashMap::new()),
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
        let folder = OpenFolder {
            name: name
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "images".into()),
            files: files.len(),
            other,
            unread: Vec::new(),
            on_disk: false,
            subfolders: subfolders(files.keys().map(String::as_str)),
        };
        self.disk_folder.set_value(None);
        self.show(folder, files);
    }

    fn show(self, folder: OpenFolder, files: HashMap<String, File>) {
        if files.is_empty() {
            let text = match folder.unread.first() {
                Some(unread) => message!("folder-unread", unread = unread),
                None => message!("no-images-in-folder"),
            };
            self.notices.notify(Notice::error(text));
            return;
        }
        self.files.set_value(files);
        self.thumbnails.forget();
        self.query_files.set_value(HashMap::new());
        self.session.update(|session| session.open(folder));
        self.send_folder();
    }

    /// Lets the visitor choose a folder, where the browser gives access to folders.
    pub fn choose_folder(self) {
        spawn_local(async move {
            match folders::choose(Access::Read).await {
                Ok(Some(mut folder)) => {
                    folder.keep().await;
                    self.read_folder(folder).await;
                    self.list_disk_folders().await;
                }
                Ok(None) => {}
                Err(error) => self.notices.notify(Notice::error(error)),
            }
        });
    }

    /// Opens a folder of an earlier visit.
    pub fn reopen(self, name: String) {
        spawn_local(async move {
            let kept = folders::kept().await;
            let Some(folder) = kept.into_iter().find(|folder| folder.name == name) else {
                self.list_disk_folders().await;
                return;
            };
            match folder.allowed(Access::Read).await {
                true => self.read_folder(folder).await,
                false => self
                    .notices
                    .notify(Notice::error(message!("folder-not-allowed", name = name))),
            }
        });
    }

    /// Reads the open folder again: new and changed images are encoded, and what is gone
    /// goes.
    pub fn refresh(self) {
        if let Some(folder) = self.disk_folder.get_value() {
            spawn_local(async move {
                if folder.allowed(Access::Read).await {
                    self.read_folder(folder).await;
                }
            });
        }
    }

    async fn read_folder(self, folder: DiskFolder) {
        let reading = |count| self.session.update(|session| session.reading = count);
        reading(Some(0));
        let found = folder.images(|count| reading(Some(count))).await;
        reading(None);
        let open = OpenFolder {
            name: folder.name.clone(),
            files: found.files.len(),
            other: found.other,
            unread: found.unread,
            on_disk: true,
            subfolders: subfolders(found.files.iter().map(|(path, _)| path.as_str())),
        };
        self.disk_folder.set_value(Some(folder));
        self.show(open, found.files.into_iter().collect());
    }

    async fn list_disk_folders(self) {
        let names = (folders::kept().await.into_iter())
            .map(|folder| folder.name)
            .collect();
        self.session.update(|session| session.disk = names);
    }

    /// Tells the worker of the folder, if there is one.
    fn send_folder(self) {
        let Some(folder) = (self.session).with_untracked(|session| session.folder.clone()) else {
            return;
        };
        let (paths, files) = self.files.with_value(|files| {
            let files = files
                .iter()
                .map(|(path, file)| (path.clone(), file.clone()));
            files.unzip::<_, _, Vec<_>, Vec<_>>()
        });
        // Or an index would be deleted while it is open.
        self.undo.finish_all();
        let request = LibraryRequest::Open {
            folder: folder.name,
            paths,
        };
        self.engine
            .send(&Request::Library(request), Attachments::Files(files));
    }

    /// A worker has opened its model.
    pub fn opened(self) {
        self.connected.set(true);
        self.send_folder();
    }

    /// Asks for the stored indexes whenever the tab is shown.
    pub fn start(self, tab: CurrentTab) {
        if folders::supported() {
            spawn_local(self.list_disk_folders());
        }
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
        let attachments = match &request {
            LibraryRequest::Search { .. } => {
                let ids = self.session.with_untracked(LibrarySession::query_files);
                let files = (self.query_files).with_value(|files| {
                    ids.iter().filter_map(|id| files.get(id).cloned()).collect()
                });
                Attachments::Files(files)
            }
            _ => Attachments::Nothing,
        };
        self.engine.send(&Request::Library(request), attachments);
    }

    /// Searches with an image of the folder, too.
    pub fn search_like(self, sign: Sign, path: String) {
        let image = QueryImage::Indexed(path);
        self.session
            .update(|session| session.add_image(sign, image));
        self.search();
    }

    /// Searches with image files from elsewhere, too.
    pub fn search_with(self, images: Vec<File>) {
        if self
            .session
            .with_untracked(|session| session.folder.is_none())
        {
            self.notices
                .notify(Notice::info(message!("choose-folder-first")));
            return;
        }
        for file in images {
            let name = file.name();
            let id = self.query_files.try_update_value(|files| {
                let id = files.keys().max().map_or(0, |last| last + 1);
                files.insert(id, file);
                id
            });
            if let Some(id) = id {
                let image = QueryImage::File { id, name };
                (self.session).update(|session| {
                    session.task = Task::Search;
                    session.add_image(Sign::Plus, image);
                });
            }
        }
        self.search();
    }

    /// Takes an image out of the query.
    pub fn remove_from_query(self, image: &QueryImage) {
        if let QueryImage::File { id, .. } = image {
            self.query_files
                .update_value(|files| drop(files.remove(id)));
        }
        self.session
            .update(|session| session.like.retain(|(_, known)| known != image));
        self.search();
    }

    /// URL of a small copy of an image, once it is made; for as long as the caller's
    /// component.
    pub fn thumbnail(self, image: &QueryImage) -> ReadSignal<Option<String>> {
        let file = match image {
            QueryImage::Indexed(path) => self.file(path),
            QueryImage::File { id, .. } => (self
                .query_files
                .try_with_value(|files| files.get(id).cloned()))
            .flatten(),
        };
        match (file, image) {
            (Some(file), QueryImage::Indexed(path)) => {
                self.thumbnails.named(path.clone(), file.into())
            }
            (Some(file), QueryImage::File { .. }) => self.thumbnails.of(file.into(), None),
            (None, _) => RwSignal::new(None).read_only(),
        }
    }

    /// Searches for what the query says now.
    pub fn search(self) {
        let request = self.session.try_update(|session| {
            session.error = None;
            session.search()
        });
        let request = request.flatten();
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
        let request = (self.session).try_update(|session| session.sort(labels, templates));
        request.into_iter().for_each(|request| self.send(request));
    }

    /// Groups similar images.
    pub fn cluster(self) {
        let request = self.session.try_update(LibrarySession::cluster);
        request.into_iter().for_each(|request| self.send(request));
    }

    /// Deletes an index that this browser keeps: takes it off the list, and its file away when that
    /// cannot be undone any more.
    pub fn delete_kept(self, index: StoredIndex) {
        let StoredIndex {
            key, folder, model, ..
        } = index;
        let (shown, deleted) = (key.clone(), key.clone());
        self.session.update(|session| session.deleted.push(key));
        self.undo.offer(
            message!("deleted-index", folder = folder, model = model),
            move || {
                (self.session).update(|session| session.deleted.retain(|key| *key != shown));
            },
            move || self.send(LibraryRequest::Delete { key: deleted }),
        );
    }

    /// Forgets a folder of an earlier visit.
    pub fn forget_folder(self, name: String) {
        spawn_local(async move {
            let kept = folders::kept().await;
            let folder = kept.into_iter().find(|folder| folder.name == name);
            folders::forget(&name).await;
            self.list_disk_folders().await;
            let Some(mut folder) = folder else {
                return;
            };
            let back = move || {
                spawn_local(async move {
                    folder.keep().await;
                    self.list_disk_folders().await;
                });
            };
            let text = message!("forgot-folder", name = name);
            self.undo.offer(text, back, || ());
        });
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

    /// Copies the sorted images into a folder of the visitor's choice, a folder in it for
    /// each label.
    pub fn copy_sorted(self) {
        spawn_local(async move {
            let target = match folders::choose(Access::Write).await {
                Ok(Some(target)) => target,
                Ok(None) => return,
                Err(error) => return self.notices.notify(Notice::error(error)),
            };
            let files = self.sorted_files();
            let all = files.len();
            let mut copied = 0usize;
            let mut failed = Vec::new();
            let mut ended = None;
            for (done, (path, file)) in files.into_iter().enumerate() {
                self.copying.set(Some((done, all)));
                let (Some(file), Some((label, name))) = (file, path.split_once('/')) else {
                    continue;
                };
                match target.copy(label, name, &file).await {
                    Ok(()) => copied += 1,
                    Err(CopyError::Full) => {
                        ended = Some(message!("disk-full"));
                        break;
                    }
                    Err(CopyError::Forbidden) => {
                        ended = Some(message!("may-not-write"));
                        break;
                    }
                    Err(CopyError::Other(error)) => failed.push(format!("{path} ({error})")),
                }
            }
            self.copying.set(None);
            let folder = &target.name;
            let notice = match (ended, failed.first()) {
                (Some(why), _) => Notice::error(message!(
                    "copied-until",
                    copied = copied,
                    all = all,
                    folder = folder,
                    why = why
                )),
                (None, Some(first)) => Notice::error(message!(
                    "copied-except",
                    copied = copied,
                    all = all,
                    folder = folder,
                    failed = failed.len(),
                    first = first,
                    others = match failed.len() {
                        1 => "".into(),
                        _ => message!("and-others"),
                    }
                )),
                (None, None) => {
                    Notice::info(message!("copied-all", copied = copied, folder = folder))
                }
            };
            self.notices.notify(notice);
        });
    }

    /// Downloads the sorted images in a zip, a folder for each label.
    pub fn save_zip(self) {
        spawn_local(async move {
            let mut entries = Vec::new();
            for (path, file) in self.sorted_files() {
                let Some(file) = file else { continue };
                match buffer_of(&file).await {
                    // Only the checksum needs the bytes; the zip is made of the files.
                    Ok(buffer) => {
                        let bytes = Uint8Array::new(&buffer).to_vec();
                        entries.push((ZipEntry::new(path, &bytes), file.into()));
                    }
                    Err(_) => self
                        .notices
                        .notify(Notice::error(message!("not-in-zip", path = path))),
                }
            }
            download::save_zip(self.notices, "sorted.zip", entries);
        });
    }
}
