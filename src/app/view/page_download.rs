//! Form that downloads a classifier as a page of its own.

use leptos::{html, prelude::*};
use web_sys::KeyboardEvent;

use crate::app::controller::standalone::{Packager, Packing};
use crate::app::domain::format;
use crate::app::domain::standalone::suggested_title;
use crate::app::i18n::{self, t};

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
        _ if busy.get() => t!("page-exporting").to_owned(),
        Packing::Idle | Packing::Failed(_) => String::new(),
        Packing::Fetching(_, 0) => t!("page-collecting").into(),
        Packing::Fetching(done, all) => t!("page-collecting-of", done = done, all = all),
        Packing::Saved(name, bytes) => t!("page-saved", name = name, bytes = format::bytes(bytes)),
    };
    let failure = move || match packing.get() {
        Packing::Failed(why) => i18n::error(&why),
        _ => String::new(),
    };
    view! {
        <details class="page-download" data-testid="page-download">
            <summary>{t!("page-download")}</summary>
            <p class="help">
                {t!("page-download-help")}
            </p>
            <div class="field-row">
                <input
                    node_ref=input
                    id=id
                    data-testid="page-title"
                    type="text"
                    maxlength="100"
                    autocomplete="off"
                    aria-label=t!("page-title")
                    placeholder=move || t!("page-title-suggested", title = suggested.get())
                    on:keydown=on_key
                />
                <button
                    type="button"
                    class="button secondary"
                    data-testid="page-save"
                    disabled=move || waits.get()
                    on:click=move |_| make()
                >
                    {t!("page-save")}
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
