//! Image in a list of the library.

use leptos::prelude::*;

use crate::app::controller::library::LibraryController;
use crate::app::domain::library::QueryImage;

/// Images that are shown at once; more on demand.
pub const PAGE: usize = 60;

/// Images that are drawn anew in one frame.
pub const PER_FRAME: usize = 8;

/// Image of the folder, small, with its name and the folder that it is in.
#[component]
pub fn Picture(library: LibraryController, path: String) -> impl IntoView {
    let url = library.thumbnail(&QueryImage::Indexed(path.clone()));
    let (folder, name) = match path.rsplit_once('/') {
        Some((folder, name)) => (folder.to_owned(), name.to_owned()),
        None => (String::new(), path.clone()),
    };
    view! {
        <img src=move || url.get() alt="" decoding="async" />
        <p class="tile-name" title=path>
            {name}
            <span class="tile-folder">{folder}</span>
        </p>
    }
}
