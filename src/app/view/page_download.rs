//! Form that downloads a classifier as a page of its own.

use leptos::{html, prelude::*};
use web_sys::KeyboardEvent;

use crate::app::controller::standalone::{Packager, Packing};
use crate::app::domain::format;
use crate::app::domain::standalone::suggested_title;

/// Title and button, folded away at first. `busy` is set while the classifier's own files are made.
#[component]
pub fn PageDownload(
    packager: Packager,
    /// Tells the forms of the page apart.
    id: &'static str,
    /// The classifier's labels.
    labels: Signal<Vec<String>>,
    #[prop(into)] busy: Signal<bool>,
    /// Makes a page with this title.
    download: Callback<String>,
) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    let suggested = Memo::new(move |_| labels.with(|labels| suggested_title(labels)));
    let packing = packager.packing;
    let waits = Memo::new(move |_| {
        busy.get() || packing.with(|packing| matches!(packing, Packing::Fetching(..)))
    });
    let make = move || {
        let typed = input
            .get_untracked()
            .map(|input| input.value().trim().to_owned());
        let title = typed.filter(|title| !title.is_empty());
        if !waits.get_untracked() {
            download.run(title.unwrap_or_else(|| suggested.get_untracked()));
        }
    };
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Enter" && !event.is_composing() {
            event.prevent_default();
            make();
        }
    };
    let status = move || match packing.get() {
        _ if busy.get() => "Exporting the classifier…".to_owned(),
        Packing::Idle | Packing::Failed(_) => String::new(),
        Packing::Fetching(_, 0) => "Collecting the files…".into(),
        Packing::Fetching(done, all) => format!("Collecting the files: {done} of {all}"),
        Packing::Saved(name, bytes) => format!(
            "{name} ({}) is made. Unpack it and put the folder on any web server, such as GitHub Pages: README.txt in it says how.",
            format::bytes(bytes)
        ),
    };
    let failure = move || match packing.get() {
        Packing::Failed(why) => why,
        _ => String::new(),
    };
    view! {
        <details class="page-download" data-testid="page-download">
            <summary>"Download as a web page"</summary>
            <p class="help">
                "A page of its own, as a zip: your title, images or the camera, and the answers, without the rest of this page. Put it on a web server and pass on its address. Images that are classified there are not uploaded."
            </p>
            <div class="field-row">
                <input
                    node_ref=input
                    id=id
                    data-testid="page-title"
                    type="text"
                    maxlength="100"
                    autocomplete="off"
                    aria-label="Title of the page"
                    placeholder=move || format!("Title: {}", suggested.get())
                    on:keydown=on_key
                />
                <button
                    type="button"
                    class="button secondary"
                    data-testid="page-save"
                    disabled=move || waits.get()
                    on:click=move |_| make()
                >
                    "Download"
                </button>
            </div>
            <p class="help" role="status" data-testid="page-status">
                {status}
            </p>
            <p class="problem" role="alert" data-testid="page-problem">
                {failure}
            </p>
        </details>
    }
}
