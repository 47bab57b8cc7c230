//! Prompt templates: the sentences that labels are put into.

use leptos::{html, prelude::*};
use web_sys::KeyboardEvent;

use super::widgets::RemoveButton;
use crate::app::controller::classify::ClassifyController;
use crate::app::domain::templates::{TemplateSelection, presets, validate};
use crate::app::i18n::t;
use crate::zero_shot::PLACEHOLDER;

/// The folded section with all templates.
#[component]
pub fn TemplatePanel(classify: ClassifyController) -> impl IntoView {
    let book = classify.templates;
    let input = NodeRef::<html::Input>::new();
    let problem = RwSignal::new("");

    let add = move || {
        if let Some(input) = input.get_untracked() {
            let outcome = book.try_update(|book| book.add(&input.value()));
            match outcome {
                Some(Err(error)) => problem.set(error),
                _ => {
                    problem.set("");
                    input.set_value("");
                }
            }
            let _ = input.focus();
        }
    };
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Enter" && !event.is_composing() {
            event.prevent_default();
            add();
        }
    };
    let summary = move || {
        book.with(|book| {
            let active = book.active();
            match active.as_slice() {
                [one] => t!("quoted", text = one),
                many => t!("templates-averaged", count = many.len()),
            }
        })
    };
    let ready = presets()
        .into_iter()
        .map(|text| {
            view! {
                <li>
                    <label class="tick">
                        <input
                            type="checkbox"
                            data-template=text
                            prop:checked=move || book.with(|book| book.is_selected(text))
                            on:change=move |event| {
                                let on = event_target_checked(&event);
                                book.update(|book| book.select(text, on));
                            }
                        />
                        <span>{text}</span>
                    </label>
                </li>
            }
        })
        .collect_view();
    let custom_ids =
        Memo::new(move |_| book.with(|book| book.custom.iter().map(|c| c.id).collect::<Vec<_>>()));

    view! {
        <details class="panel templates">
            <summary>
                <span class="summary-title">{t!("prompt-templates")}</span>
                <span class="summary-value" data-testid="template-summary">
                    {summary}
                </span>
            </summary>
            <p class="help">
                {t!("templates-help-before")}
                <code>{PLACEHOLDER}</code> {t!("templates-help-after")}
            </p>
            <ul class="template-list" aria-label=t!("prompt-templates")>
                {ready}
                <For
                    each=move || custom_ids.get()
                    key=|id| *id
                    children=move |id| view! { <CustomRow classify id /> }
                />
            </ul>
            <div class="field-row">
                <input
                    node_ref=input
                    data-testid="template-input"
                    type="text"
                    autocomplete="off"
                    aria-label=t!("add-template")
                    aria-describedby="template-problem"
                    aria-invalid=move || (!problem.get().is_empty()).then_some("true")
                    placeholder=t!("template-example")
                    on:keydown=on_key
                    on:input=move |_| problem.set("")
                />
                <button type="button" class="button secondary" on:click=move |_| add()>
                    {t!("add")}
                </button>
            </div>
            <p
                id="template-problem"
                class="problem"
                aria-live="polite"
                data-testid="template-problem"
            >
                {move || problem.get()}
            </p>
            <p class="hint" aria-live="polite">
                {move || {
                    book.with(TemplateSelection::is_label_only)
                        .then_some(t!("no-template"))
                }}
            </p>
        </details>
    }
}

/// One of the visitor's own templates.
#[component]
fn CustomRow(classify: ClassifyController, id: u32) -> impl IntoView {
    let book = classify.templates;
    let on = move || book.with(|book| book.custom(id).is_some_and(|custom| custom.on));
    // Checked on each key, used only when it is finished: each use costs the worker time.
    let draft = RwSignal::new(book.with_untracked(|book| {
        book.custom(id)
            .map(|custom| custom.text.clone())
            .unwrap_or_default()
    }));
    // The number may come to stand for another template: another model's language numbers them anew.
    let text =
        Memo::new(move |_| book.with(|book| book.custom(id).map(|custom| custom.text.clone())));
    Effect::new(move |_| text.get().into_iter().for_each(|text| draft.set(text)));
    let problem = move || draft.with(|text| validate(text).err());
    let problem_id = format!("template-problem-{id}");
    view! {
        <li class="own">
            <div class="own-row">
                <input
                    type="checkbox"
                    aria-label=move || t!("use-template", template = draft.get())
                    prop:checked=on
                    on:change=move |event| {
                        let on = event_target_checked(&event);
                        book.update(|book| book.edit(id, |custom| custom.on = on));
                    }
                />
                <input
                    type="text"
                    data-testid="template-custom"
                    autocomplete="off"
                    aria-label=t!("custom-template")
                    aria-describedby=problem_id.clone()
                    aria-invalid=move || problem().map(|_| "true")
                    prop:value=move || draft.get()
                    on:input=move |event| draft.set(event_target_value(&event))
                    on:change=move |event| {
                        let text = event_target_value(&event);
                        book.update(|book| book.edit(id, |custom| custom.text = text));
                    }
                />
                <RemoveButton
                    label=move || t!("remove-template", template = draft.get())
                    title=t!("remove")
                    remove=move || classify.remove_template(id)
                />
            </div>
            <p id=problem_id class="problem" aria-live="polite">
                {problem}
            </p>
        </li>
    }
}
