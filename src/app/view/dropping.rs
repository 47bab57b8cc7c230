//! Files that come onto the page: dropped, pasted or picked; pictures, folders, models.

use std::collections::VecDeque;

use js_sys::{Array, Promise, Reflect};
use leptos::{ev, prelude::*, task::spawn_local};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DataTransfer, Element, File, FileList, FileSystemDirectoryEntry, FileSystemEntry,
    FileSystemFileEntry, HtmlElement,
};

use crate::app::controller::App;
use crate::app::controller::live::LiveSource;
use crate::app::domain::notice::Notice;
use crate::app::domain::tab::Tab;
use crate::app::domain::training::project::ClassId;
use crate::app::domain::training::project_file;
use crate::app::i18n::{message, t};
use crate::library::is_image_name;

#[wasm_bindgen]
extern "C" {
    /// Files that were dropped before this program ran. The page's head has kept them, and leaves
    /// drops to the program from now on.
    #[wasm_bindgen(catch, js_name = takeEarlyDrop)]
    fn take_early_drop() -> Result<Array, JsValue>;
}

/// What the file dialog offers.
pub const ACCEPT: &str = "image/png,image/jpeg,image/webp,image/gif,image/bmp,image/avif,image/heic,image/heif,image/tiff";

/// A list of the browser's as one of ours.
pub fn files(list: Option<FileList>) -> Vec<File> {
    list.map(|list| {
        (0..list.length())
            .filter_map(|place| list.get(place))
            .collect()
    })
    .unwrap_or_default()
}

/// Whether a drag carries files, or a picture out of another page.
fn carries_picture(data: Option<&DataTransfer>) -> bool {
    data.is_some_and(|data| {
        data.types().iter().any(|kind| {
            kind.as_string()
                .is_some_and(|kind| kind == "Files" || kind == "text/uri-list")
        })
    })
}

/// Whether an event belongs to a text field, which has its own use for it.
pub fn in_text_field(event: &web_sys::Event) -> bool {
    event
        .target()
        .and_then(|target| target.dyn_into::<HtmlElement>().ok())
        .is_some_and(|element| {
            element
                .matches("input[type=text], input[type=search], textarea")
                .unwrap_or(false)
        })
}

/// Accepts drops and pastes anywhere on the page; shows where a drop would go.
#[component]
pub fn DropAnywhere(app: App) -> impl IntoView {
    let dragging = RwSignal::new(false);

    let over = window_event_listener(ev::dragover, move |event| {
        if carries_picture(event.data_transfer().as_ref()) {
            // Without this the browser would open the file in place of the page.
            event.prevent_default();
            if let Some(data) = event.data_transfer() {
                data.set_drop_effect("copy");
            }
            if !dragging.get_untracked() {
                dragging.set(true);
            }
        }
    });
    let leave = window_event_listener(ev::dragleave, move |event| {
        // Leaving one element for another is not leaving the page.
        if event.related_target().is_none() {
            dragging.set(false);
        }
    });
    let drop = window_event_listener(ev::drop, move |event| {
        dragging.set(false);
        let data = event.data_transfer();
        if !carries_picture(data.as_ref()) {
            return;
        }
        let folders = data.as_ref().and_then(dropped_entries);
        let files = files(data.and_then(|data| data.files()));
        let tab = app.tab.get_untracked();
        if tab == Tab::Library && (folders.is_some() || files.iter().any(is_image)) {
            event.prevent_default();
            // Into the query, or a single one where there is a folder to search.
            let open = || app.library.session.with_untracked(|s| s.folder.is_some());
            if folders.is_none() && (in_query(&event) || (files.len() == 1 && open())) {
                app.library.search_with(files);
                return;
            }
            spawn_local(async move {
                app.library.open_folder(with_folders(folders, files).await);
            });
            return;
        }
        if tab == Tab::Train && (folders.is_some() || !files.is_empty()) {
            event.prevent_default();
            let class = class_under(&event);
            spawn_local(async move {
                let found = with_folders(folders, files).await;
                app.training.add_data(found, class).await;
            });
            return;
        }
        if tab == Tab::Evaluate && (folders.is_some() || !files.is_empty()) {
            event.prevent_default();
            spawn_local(async move {
                app.evaluation.open(with_folders(folders, files).await);
            });
            return;
        }
        if let Some(folders) = folders {
            event.prevent_default();
            spawn_local(async move {
                let found = walk_entries(folders).await;
                add_dropped(
                    app,
                    found.into_iter().filter_map(|(_, file)| file).collect(),
                );
            });
            return;
        }
        if files.is_empty() && in_text_field(&event) {
            return;
        }
        event.prevent_default();
        if files.is_empty() {
            app.notices
                .notify(Notice::error(message!("dropped-a-link")));
        } else {
            add_dropped(app, files);
        }
    });
    let paste = window_event_listener(ev::paste, move |event| {
        let files = files(event.clipboard_data().and_then(|data| data.files()));
        if files.is_empty() {
            return;
        }
        event.prevent_default();
        take_loose(app, files);
    });
    // Only now, when drops have somewhere to go.
    let early = take_early_drop().unwrap_or_default();
    let early: Vec<File> = early
        .iter()
        .filter_map(|file| file.dyn_into().ok())
        .collect();
    if app.tab.get_untracked() == Tab::Library && early.iter().any(is_image) {
        app.library.open_folder(named(early));
    } else if !early.is_empty() {
        take_loose(app, early);
    }
    on_cleanup(move || {
        over.remove();
        leave.remove();
        drop.remove();
        paste.remove();
    });

    view! {
        <div class="drop-overlay" class:shown=move || dragging.get() aria-hidden="true">
            <p>{t!("drop-to-add")}</p>
        </div>
    }
}

/// Class of the element in which a dropped image is searched with.
pub const QUERY: &str = "query";

/// Whether an event belongs to the query of the library.
fn in_query(event: &web_sys::Event) -> bool {
    let target = event
        .target()
        .and_then(|target| target.dyn_into::<Element>().ok());
    target.is_some_and(|target| {
        target
            .closest(&format!(".{QUERY}"))
            .is_ok_and(|query| query.is_some())
    })
}

/// Whether a file is an image by its name.
fn is_image(file: &File) -> bool {
    is_image_name(&file.name())
}

/// All files of a drop with their paths.
async fn with_folders(
    folders: Option<Vec<FileSystemEntry>>,
    files: Vec<File>,
) -> Vec<(String, Option<File>)> {
    match folders {
        Some(folders) => walk_entries(folders).await,
        None => named(files),
    }
}

/// Files with their names in place of paths.
fn named(files: Vec<File>) -> Vec<(String, Option<File>)> {
    (files.into_iter())
        .map(|file| (file.name(), Some(file)))
        .collect()
}

/// Attribute of a class card that says which class it is.
const CLASS: &str = "data-class";

/// The class whose card an event belongs to.
fn class_under(event: &web_sys::Event) -> Option<ClassId> {
    class_of(event.target()?.dyn_into().ok()?)
}

/// The class whose card has the focus.
fn class_in_focus() -> Option<ClassId> {
    class_of(web_sys::window()?.document()?.active_element()?)
}

fn class_of(element: Element) -> Option<ClassId> {
    let card = element.closest(&format!("[{CLASS}]")).ok()??;
    card.get_attribute(CLASS)?.parse().ok()
}

/// Picked files with their paths within a picked folder.
pub fn with_paths(files: Vec<File>) -> Vec<(String, Option<File>)> {
    (files.into_iter())
        .map(|file| {
            let path = Reflect::get(&file, &"webkitRelativePath".into()).ok();
            let path = path.and_then(|path| path.as_string()).unwrap_or_default();
            let path = if path.is_empty() { file.name() } else { path };
            (path, Some(file))
        })
        .collect()
}

/// Takes files that came without a place on the page: to the tab in sight.
fn take_loose(app: App, files: Vec<File>) {
    match app.tab.get_untracked() {
        Tab::Classify => add_dropped(app, files),
        Tab::Library => app.library.search_with(files),
        Tab::Evaluate => app.evaluation.open(named(files)),
        Tab::Train => spawn_local(async move {
            app.training.add_data(named(files), class_in_focus()).await;
        }),
    }
}

/// Takes what was dropped: pictures, a video, a model, or a project, which is for the Train tab.
fn add_dropped(app: App, files: Vec<File>) {
    if app.classify.standalone {
        return add_pictures(app, files);
    }
    let is_project = |file: &File| file.name().ends_with(project_file::END);
    let (projects, files): (Vec<_>, Vec<_>) = files.into_iter().partition(is_project);
    if !projects.is_empty() {
        app.tab.show(Tab::Train);
        spawn_local(async move {
            app.training.add_data(with_paths(projects), None).await;
        });
    }
    let (model, others) = split_model_files(files);
    if !model.is_empty() {
        app.classify.open_files(model, None);
    }
    add_pictures(app, others);
}

/// Adds pictures. A video among them is classified live; of several the first one.
pub fn add_pictures(app: App, files: Vec<File>) {
    let (videos, pictures): (Vec<_>, Vec<_>) = (files.into_iter()).partition(is_video);
    if let [_, _, ..] = &videos[..] {
        let name = videos[0].name();
        let text = message!("one-video", name = name);
        app.notices.notify(Notice::info(text));
    }
    if let Some(video) = videos.into_iter().next() {
        app.live.source.set(Some(LiveSource::Video(video)));
    }
    if !pictures.is_empty() {
        app.classify.add_files(pictures);
    }
}

/// Whether a file is a video by its type, which browsers tell by the name.
fn is_video(file: &File) -> bool {
    file.type_().starts_with("video/")
}

/// A drop's files: a model's, if there are weights among them, and pictures.
fn split_model_files(files: Vec<File>) -> (Vec<File>, Vec<File>) {
    let weights = files
        .iter()
        .any(|file| file.name().ends_with(".safetensors"));
    files.into_iter().partition(|file| {
        let ends = |name: &str| {
            let kinds = [".safetensors", ".json", ".txt", ".model"];
            kinds.iter().any(|end| name.ends_with(end))
        };
        weights && ends(&file.name())
    })
}

/// All files of a drop, folders opened. Must be called while the drop's event
/// is handled; later its data is gone.
fn dropped_entries(data: &DataTransfer) -> Option<Vec<FileSystemEntry>> {
    let items = data.items();
    let entries: Vec<FileSystemEntry> = (0..items.length())
        .filter_map(|place| items.get(place)?.webkit_get_as_entry().ok()?)
        .collect();
    entries
        .iter()
        .any(|entry| entry.is_directory())
        .then_some(entries)
}

/// The files in dropped folders, each with its path from there. A folder is
/// listed too; its path ends in `/`.
async fn walk_entries(entries: Vec<FileSystemEntry>) -> Vec<(String, Option<File>)> {
    /// Nobody means to drop more at once.
    const MOST: usize = 100_000;
    let path_of = |entry: &FileSystemEntry| entry.full_path().trim_start_matches('/').to_owned();
    let mut found = Vec::new();
    let mut lists = VecDeque::from([entries]);
    while let Some(list) = lists.pop_front() {
        if found.len() >= MOST {
            break;
        }
        // By what they say, not by their class: Chromium calls it otherwise.
        let (folders, files): (Vec<_>, Vec<_>) =
            list.into_iter().partition(FileSystemEntry::is_directory);
        let paths: Vec<String> = files.iter().map(path_of).collect();
        for (path, file) in paths.into_iter().zip(open_files(files).await) {
            found.extend(file.map(|file| (path, Some(file))));
        }
        for folder in folders {
            found.push((format!("{}/", path_of(&folder)), None));
            let folder: FileSystemDirectoryEntry = folder.unchecked_into();
            let reader = folder.create_reader();
            // It gives some at a time, and none when it is done.
            loop {
                let read = Promise::new(&mut |resolve, reject| {
                    let _ = reader.read_entries_with_callback_and_callback(&resolve, &reject);
                });
                let Ok(part) = JsFuture::from(read).await else {
                    break;
                };
                let part = Array::from(&part);
                if part.length() == 0 {
                    break;
                }
                lists.push_back(part.iter().map(JsCast::unchecked_into).collect());
            }
        }
    }
    found
}

/// The entries' files, all asked for at once; `None` for one that cannot be opened.
async fn open_files(entries: Vec<FileSystemEntry>) -> Vec<Option<File>> {
    let asked = entries.into_iter().map(|entry| {
        let entry: FileSystemFileEntry = entry.unchecked_into();
        Promise::new(&mut |resolve, reject| {
            entry.file_with_callback_and_callback(&resolve, &reject);
        })
    });
    let asked: Array = asked.collect();
    // It waits for all, and is never rejected.
    let Ok(settled) = JsFuture::from(Promise::all_settled(&asked)).await else {
        return Vec::new();
    };
    Array::from(&settled)
        .iter()
        .map(|one| Reflect::get(&one, &"value".into()).ok()?.dyn_into().ok())
        .collect()
}
