//! Prompt templates: the sentences that labels are put into.

use leptos::{html, prelude::*};
use serde::{Deserialize, Serialize};
use web_sys::KeyboardEvent;

use super::labels::CloseIcon;
use super::state::App;

/// Where the label goes.
pub const PLACEHOLDER: &str = "{label}";

/// In use on a first visit.
pub const DEFAULT_TEMPLATE: &str = "A photo of a {label}.";

/// Used when no template is selected: the label alone.
const LABEL_ONLY: &str = "{label}";

/// Preset templates. The default has to be among them.
pub const PRESET_TEMPLATES: [&str; 11] = [
    "A photo of a {label}.",
    "A drawing of a {label}.",
    "An icon of a {label}.",
    "{label}",
    "a bad photo of the {label}.",
    "a origami {label}.",
    "a photo of the large {label}.",
    "a photo of the small {label}.",
    "a {label} in a video game.",
    "art of the {label}.",
    "itap of a {label}.",
];

/// What is wrong with a template, in plain words.
pub fn validate(text: &str) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        Err("Enter a prompt with {label} where the label goes.")
    } else if text.contains(PLACEHOLDER) {
        Ok(())
    } else if text.to_lowercase().contains(PLACEHOLDER) {
        Err("Write {label} in lower case.")
    } else {
        Err("{label} is missing: put it where the label goes, as in “A sketch of a {label}.”")
    }
}

/// A template of the visitor's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custom {
    /// The template; may be invalid while it is being edited, and is not used then.
    pub text: String,
    /// Whether it is ticked.
    pub on: bool,
    /// Tells rows apart on the page.
    #[serde(skip)]
    pub id: u32,
}

/// All templates and which of them are selected, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSelection {
    /// The ready ones that are ticked.
    pub ticked: Vec<String>,
    /// The visitor's own.
    pub custom: Vec<Custom>,
    #[serde(skip)]
    next: u32,
}

impl Default for TemplateSelection {
    fn default() -> Self {
        Self {
            ticked: vec![DEFAULT_TEMPLATE.into()],
            custom: Vec::new(),
            next: 0,
        }
    }
}

impl TemplateSelection {
    /// Numbers the rows after they were read back.
    pub fn restored(mut self) -> Self {
        for custom in &mut self.custom {
            custom.id = self.next;
            self.next += 1;
        }
        self
    }

    /// The templates to classify with: ticked and valid, each once, never none.
    pub fn active(&self) -> Vec<String> {
        let ready = PRESET_TEMPLATES
            .iter()
            .copied()
            .filter(|text| self.is_selected(text));
        let custom = self
            .custom
            .iter()
            .filter(|custom| custom.on && validate(&custom.text).is_ok())
            .map(|custom| custom.text.trim());
        let mut active: Vec<String> = Vec::new();
        for text in ready.chain(custom) {
            if !active.iter().any(|known| known == text) {
                active.push(text.to_string());
            }
        }
        if active.is_empty() {
            active.push(LABEL_ONLY.into());
        }
        active
    }

    /// Whether no template is selected, so that labels are used as is.
    pub fn is_label_only(&self) -> bool {
        !self
            .custom
            .iter()
            .any(|custom| custom.on && validate(&custom.text).is_ok())
            && !PRESET_TEMPLATES.iter().any(|text| self.is_selected(text))
    }

    /// Whether a preset template is selected.
    pub fn is_selected(&self, text: &str) -> bool {
        self.ticked.iter().any(|ticked| ticked == text)
    }

    /// Selects or deselects a preset template.
    pub fn select(&mut self, text: &str, on: bool) {
        self.ticked.retain(|ticked| ticked != text);
        if on {
            self.ticked.push(text.to_string());
        }
    }

    /// Adds one of the visitor's own, ticked; or says what is wrong with it.
    pub fn add(&mut self, text: &str) -> Result<(), &'static str> {
        validate(text)?;
        let text = text.trim();
        if PRESET_TEMPLATES.contains(&text) {
            self.select(text, true);
        } else if let Some(known) = self.custom.iter_mut().find(|custom| custom.text == text) {
            known.on = true;
        } else {
            self.custom.push(Custom {
                text: text.to_string(),
                on: true,
                id: self.next,
            });
            self.next += 1;
        }
        Ok(())
    }

    /// One of the visitor's own.
    pub fn custom(&self, id: u32) -> Option<&Custom> {
        self.custom.iter().find(|custom| custom.id == id)
    }

    /// Changes one of the visitor's own.
    pub fn edit(&mut self, id: u32, change: impl FnOnce(&mut Custom)) {
        if let Some(custom) = self.custom.iter_mut().find(|custom| custom.id == id) {
            change(custom);
        }
    }

    /// Removes one of the visitor's own.
    pub fn remove(&mut self, id: u32) {
        self.custom.retain(|custom| custom.id != id);
    }
}

/// The folded section with all templates.
#[component]
pub fn TemplatePanel(app: App) -> impl IntoView {
    let book = app.templates;
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
                [one] => format!("“{one}”"),
                many => format!("{} templates averaged", many.len()),
            }
        })
    };
    let ready = PRESET_TEMPLATES
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
                <span class="summary-title">"Prompt templates"</span>
                <span class="summary-value" data-testid="template-summary">
                    {summary}
                </span>
            </summary>
            <p class="help">
                "CLIP compares an image with text prompts. Each label replaces "
                <code>{PLACEHOLDER}</code> ". The embeddings of several templates are averaged, which often improves accuracy."
            </p>
            <ul class="template-list" aria-label="Prompt templates">
                {ready}
                <For
                    each=move || custom_ids.get()
                    key=|id| *id
                    children=move |id| view! { <CustomRow app id /> }
                />
            </ul>
            <div class="field-row">
                <input
                    node_ref=input
                    data-testid="template-input"
                    type="text"
                    autocomplete="off"
                    aria-label="Add a prompt template"
                    aria-describedby="template-problem"
                    aria-invalid=move || (!problem.get().is_empty()).then_some("true")
                    placeholder="A sketch of a {label}."
                    on:keydown=on_key
                    on:input=move |_| problem.set("")
                />
                <button type="button" class="button secondary" on:click=move |_| add()>
                    "Add"
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
                        .then_some("No template is selected: each label is used as is.")
                }}
            </p>
        </details>
    }
}

/// One of the visitor's own templates.
#[component]
fn CustomRow(app: App, id: u32) -> impl IntoView {
    let book = app.templates;
    let on = move || book.with(|book| book.custom(id).is_some_and(|custom| custom.on));
    // Checked on each key, used only when it is finished: each use costs the worker time.
    let draft = RwSignal::new(book.with_untracked(|book| {
        book.custom(id)
            .map(|custom| custom.text.clone())
            .unwrap_or_default()
    }));
    let problem = move || draft.with(|text| validate(text).err());
    let problem_id = format!("template-problem-{id}");
    view! {
        <li class="own">
            <div class="own-row">
                <input
                    type="checkbox"
                    aria-label=move || format!("Use template {}", draft.get())
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
                    aria-label="Custom prompt template"
                    aria-describedby=problem_id.clone()
                    aria-invalid=move || problem().map(|_| "true")
                    prop:value=move || draft.get()
                    on:input=move |event| draft.set(event_target_value(&event))
                    on:change=move |event| {
                        let text = event_target_value(&event);
                        book.update(|book| book.edit(id, |custom| custom.text = text));
                    }
                />
                <button
                    type="button"
                    class="icon"
                    aria-label=move || format!("Remove template {}", draft.get())
                    title="Remove"
                    on:click=move |_| book.update(|book| book.remove(id))
                >
                    <CloseIcon />
                </button>
            </div>
            <p id=problem_id class="problem" aria-live="polite">
                {problem}
            </p>
        </li>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_needs_its_placeholder() {
        assert!(validate("A photo of a {label}.").is_ok());
        assert!(validate("{label}").is_ok());
        assert!(validate("  ").is_err());
        assert!(validate("A photo.").is_err_and(|error| error.contains("missing")));
        assert!(validate("A {Label}").is_err_and(|error| error.contains("lower case")));
    }

    #[test]
    fn ready_templates_are_valid_and_hold_the_default() {
        assert!(PRESET_TEMPLATES.iter().all(|text| validate(text).is_ok()));
        assert!(PRESET_TEMPLATES.contains(&DEFAULT_TEMPLATE));
    }

    #[test]
    fn there_is_always_one_to_classify_with() {
        let mut book = TemplateSelection::default();
        assert_eq!(book.active(), [DEFAULT_TEMPLATE]);
        book.select(DEFAULT_TEMPLATE, false);
        assert!(book.is_label_only());
        assert_eq!(book.active(), ["{label}"]);
    }

    #[test]
    fn own_templates_are_added_once_and_left_out_while_wrong() {
        let mut book = TemplateSelection::default();
        assert!(book.add("no place").is_err());
        assert!(book.add(" my {label} ").is_ok());
        assert!(book.add("my {label}").is_ok());
        assert_eq!(book.custom.len(), 1);
        // One of the ready ones is ticked instead.
        assert!(book.add("{label}").is_ok());
        assert_eq!(book.active(), [DEFAULT_TEMPLATE, "{label}", "my {label}"]);
        let id = book.custom[0].id;
        book.edit(id, |custom| custom.text = "broken".into());
        assert_eq!(book.active(), [DEFAULT_TEMPLATE, "{label}"]);
        book.remove(id);
        assert!(book.custom.is_empty());
    }

    #[test]
    fn what_is_kept_can_be_read_back() {
        let mut book = TemplateSelection::default();
        for text in ["a {label}", "b {label}"] {
            assert!(book.add(text).is_ok());
        }
        let kept = serde_json::to_string(&book).unwrap_or_default();
        let read: TemplateSelection = serde_json::from_str(&kept).unwrap_or_default();
        let read = read.restored();
        assert_eq!(read.active(), book.active());
        assert_ne!(read.custom[0].id, read.custom[1].id);
    }
}
