//! The labels: a list of chips, filled by typing or pasting.

use leptos::{ev, html, prelude::*};
use web_sys::{ClipboardEvent, KeyboardEvent};

use super::page_download::PageDownload;
use super::widgets::CloseIcon;
use crate::app::controller::classify::ClassifyController;
use crate::app::domain::labels::{SEPARATORS, duplicates_hint, is_chinese, parse, split_typed};
use crate::app::domain::session::Session;
use crate::app::i18n::t;

/// The panel with the chips.
#[component]
pub fn LabelPanel(classify: ClassifyController) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    let hint = RwSignal::new(String::new());

    let focus = move || {
        if let Some(input) = input.get_untracked() {
            let _ = input.focus();
        }
    };
    let add = move |text: &str| {
        let twice = classify.add_labels(parse(text));
        hint.set(duplicates_hint(&twice));
    };
    let take_input = move || {
        if let Some(input) = input.get_untracked() {
            add(&input.value());
            input.set_value("");
        }
    };
    let on_key = move |event: KeyboardEvent| {
        if event.is_composing() {
            return;
        }
        let empty = input
            .get_untracked()
            .is_some_and(|input| input.value().is_empty());
        match event.key().as_str() {
            "Enter" => {
                event.prevent_default();
                take_input();
            }
            // A key held down to empty the field must not go on with the chips.
            "Backspace" if empty && !event.repeat() => classify.remove_last_label(),
            _ => {}
        }
    };
    // On phones a comma comes as input only, not as a key.
    let on_input = move |_: ev::Event| {
        hint.set(String::new());
        if let Some(input) = input.get_untracked() {
            let text = input.value();
            if let Some((done, rest)) = split_typed(&text) {
                add(done);
                input.set_value(rest);
            }
        }
    };
    let on_paste = move |event: ClipboardEvent| {
        let text = event
            .clipboard_data()
            .and_then(|data| data.get_data("text/plain").ok())
            .unwrap_or_default();
        if text.contains(SEPARATORS) || text.contains('\n') {
            event.prevent_default();
            add(&text);
        }
    };

    // Whether the model gives each label a probability of its own.
    let independent = move || classify.session.with(Session::independent);
    let labels = classify.labels;
    let not_understood = move || {
        labels.with(|labels| labels.iter().any(|label| is_chinese(label)))
            && classify
                .session
                .with(|session| !session.worker.knows_chinese())
    };
    let total = move || labels.with(Vec::len);
    view! {
        <section class="panel labels" aria-labelledby="labels-title">
            <div class="panel-head">
                <h2 id="labels-title">
                    {t!("labels")} <span class="count">{move || total().to_string()}</span>
                </h2>
                <Show when=move || { total() > 0 }>
                    <button
                        type="button"
                        class="quiet"
                        data-testid="copy-link"
                        title=t!("copy-link-help")
                        on:click=move |_| classify.copy_link()
                    >
                        {t!("copy-link")}
                    </button>
                    <button
                        type="button"
                        class="quiet"
                        data-testid="labels-clear"
                        on:click=move |_| {
                            classify.clear_labels();
                            focus();
                        }
                    >
                        {t!("clear-all")}
                    </button>
                </Show>
            </div>
            <div class="field-row">
                <input
                    node_ref=input
                    id="label-input"
                    data-testid="label-input"
                    type="text"
                    autocomplete="off"
                    autocapitalize="none"
                    enterkeyhint="done"
                    aria-label=t!("add-a-label")
                    aria-describedby="label-help"
                    placeholder=t!("add-a-label")
                    on:keydown=on_key
                    on:input=on_input
                    on:paste=on_paste
                />
                <button
                    type="button"
                    class="button secondary"
                    on:click=move |_| {
                        take_input();
                        focus();
                    }
                >
                    {t!("add")}
                </button>
            </div>
            <p id="label-help" class="help">
                {t!("labels-help")}
            </p>
            <p class="hint" aria-live="polite" data-testid="label-hint">
                {move || {
                    let hint = hint.get();
                    if !hint.is_empty() {
                        return hint;
                    }
                    match total() {
                        0 => t!("no-labels").into(),
                        1 if !independent() => {
                            t!("one-label").into()
                        }
                        _ if not_understood() => t!("model-without-chinese").into(),
                        _ => String::new(),
                    }
                }}
            </p>
            <ul class="chips" aria-label=t!("labels")>
                <For
                    each=move || labels.get()
                    key=|label| label.clone()
                    children=move |label| {
                        let name = label.clone();
                        let remove = {
                            let label = label.clone();
                            move |_| {
                                classify.remove_label(&label);
                                focus();
                            }
                        };
                        view! {
                            <li class="chip" data-testid="label-chip" data-label=name.clone()>
                                <span>{name.clone()}</span>
                                <button
                                    type="button"
                                    aria-label=t!("remove-label", name = name)
                                    title=t!("remove")
                                    on:click=remove
                                >
                                    <CloseIcon />
                                </button>
                            </li>
                        }
                    }
                />
            </ul>
            <Show when=move || { total() > 0 }>
                <PageDownload
                    packager=classify.packager
                    id="labels-page-title"
                    labels=labels.into()
                    busy=false
                    download=Callback::new(move |title| classify.save_page(title))
                />
            </Show>
            <Show when=move || total() == 0>
                <button
                    type="button"
                    class="button secondary"
                    data-testid="labels-suggest"
                    on:click=move |_| classify.suggest_labels()
                >
                    {t!("suggest-labels")}
                </button>
            </Show>
        </section>
    }
}
