//! Buttons that open the browser's dialog for files or a folder.

use leptos::{html, prelude::*};
use web_sys::File;

use crate::app::i18n::t;
use crate::app::view::dropping::{files, with_paths};

/// Files with their paths; folders are listed without a file.
type Found = Vec<(String, Option<File>)>;

/// Buttons for a folder, and for files or a zip. `side` begins their ids.
#[component]
pub fn ChooseFiles(side: &'static str, take: impl Fn(Found) + Copy + 'static) -> impl IntoView {
    let (folder, any) = (format!("{side}-folder"), format!("{side}-files"));
    view! {
        <label class="button secondary" for=folder.clone()>
            {t!("choose-folder")}
        </label>
        <FileInput id=folder folder=true take />
        <label class="button secondary" for=any.clone()>
            {t!("choose-files-or-zip")}
        </label>
        <FileInput id=any take />
    }
}

/// Hidden input whose label is the button. `folder`: it asks for a folder; `replaced`: another
/// button does that here.
#[component]
pub fn FileInput(
    #[prop(into)] id: String,
    #[prop(optional)] folder: bool,
    #[prop(optional)] replaced: bool,
    take: impl Fn(Found) + 'static,
) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    Effect::new(move |_| {
        if let Some(input) = input.get().filter(|_| folder) {
            let _ = input.set_attribute("webkitdirectory", "");
        }
    });
    let picked = move |_| {
        if let Some(input) = input.get_untracked() {
            let found = with_paths(files(input.files()));
            input.set_value("");
            if !found.is_empty() {
                take(found);
            }
        }
    };
    view! {
        <input
            node_ref=input
            id=id.clone()
            data-testid=id
            class="sr-only"
            type="file"
            multiple
            aria-hidden=replaced.then_some("true")
            tabindex=replaced.then_some("-1")
            on:change=picked
        />
    }
}
