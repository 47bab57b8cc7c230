//! The labels: a list of chips, filled by typing or pasting.

use std::collections::HashSet;

use leptos::{ev, html, prelude::*};
use web_sys::{ClipboardEvent, KeyboardEvent};

use super::state::App;

/// Everyday things that the bundled model knows: in the list on a first visit, so that the first picture
/// is answered at once.
pub const DEFAULT_LABELS: [&str; 20] = [
    "cat",
    "dog",
    "bird",
    "horse",
    "fish",
    "butterfly",
    "flower",
    "tree",
    "mountain",
    "beach",
    "house",
    "bridge",
    "car",
    "bicycle",
    "airplane",
    "ship",
    "pizza",
    "apple",
    "cup of coffee",
    "shoes",
];

/// Labels to suggest for the images on the page: those of the samples, and for images of one's own (or none
/// yet) the default ones.
pub fn suggested<'a>(
    samples: impl IntoIterator<Item = &'a [String]>,
    own_images: bool,
) -> Vec<String> {
    let mut samples = samples.into_iter().flatten().cloned().peekable();
    let defaults = own_images || samples.peek().is_none();
    let defaults = defaults.then_some(DEFAULT_LABELS).into_iter().flatten();
    merge(Vec::new(), samples.chain(defaults.map(String::from))).0
}

/// The labels in a text: separated by commas or line breaks, in order, each once.
pub fn parse(text: &str) -> Vec<String> {
    let labels = text
        .split([',', '\n', '\r'])
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|label| !label.is_empty());
    merge(Vec::new(), labels).0
}

/// Appends the labels that are not there yet, without regard to case. Also
/// returns those that were.
pub fn merge(
    mut labels: Vec<String>,
    more: impl IntoIterator<Item = String>,
) -> (Vec<String>, Vec<String>) {
    let mut known: HashSet<String> = labels.iter().map(|label| label.to_lowercase()).collect();
    let mut twice = Vec::new();
    for label in more {
        if known.insert(label.to_lowercase()) {
            labels.push(label);
        } else {
            twice.push(label);
        }
    }
    (labels, twice)
}

/// Splits what was typed so far at its last comma: finished labels, and the
/// start of the next.
pub fn split_typed(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once(',')
        .map(|(done, rest)| (done, rest.trim_start()))
}

/// What to say about labels that were there already.
fn duplicates_hint(twice: &[String]) -> String {
    match twice {
        [] => String::new(),
        [one] => format!("“{one}” is already in the list."),
        many => format!("{} of these are already in the list.", many.len()),
    }
}

/// The panel with the chips.
#[component]
pub fn LabelPanel(app: App) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    let hint = RwSignal::new(String::new());

    let focus = move || {
        if let Some(input) = input.get_untracked() {
            let _ = input.focus();
        }
    };
    let add = move |text: &str| {
        let twice = app.add_labels(parse(text));
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
            "Backspace" if empty && !event.repeat() => app.remove_last_label(),
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
        if text.contains([',', '\n']) {
            event.prevent_default();
            add(&text);
        }
    };

    let labels = app.labels;
    let total = move || labels.with(Vec::len);
    view! {
        <section class="panel labels" aria-labelledby="labels-title">
            <div class="panel-head">
                <h2 id="labels-title">
                    "Labels" <span class="count">{move || total().to_string()}</span>
                </h2>
                <Show when=move || { total() > 0 }>
                    <button
                        type="button"
                        class="quiet"
                        data-testid="labels-clear"
                        on:click=move |_| {
                            app.set_labels(Vec::new());
                            focus();
                        }
                    >
                        "Clear all"
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
                    aria-label="Add a label"
                    aria-describedby="label-help"
                    placeholder="Add a label"
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
                    "Add"
                </button>
            </div>
            <p id="label-help" class="help">
                "Any words or phrases. Press Enter or comma to add a label, or paste a list."
            </p>
            <p class="hint" aria-live="polite" data-testid="label-hint">
                {move || {
                    let hint = hint.get();
                    if !hint.is_empty() {
                        return hint;
                    }
                    match total() {
                        0 => "Add at least one label to classify images.".into(),
                        1 => "With one label the probability is always 100 %. Add another to compare.".into(),
                        _ => String::new(),
                    }
                }}
            </p>
            <ul class="chips" aria-label="Labels">
                <For
                    each=move || labels.get()
                    key=|label| label.clone()
                    children=move |label| {
                        let name = label.clone();
                        let remove = {
                            let label = label.clone();
                            move |_| {
                                app.remove_label(&label);
                                focus();
                            }
                        };
                        view! {
                            <li class="chip" data-testid="label-chip" data-label=name.clone()>
                                <span>{name.clone()}</span>
                                <button
                                    type="button"
                                    aria-label=format!("Remove label {name}")
                                    title="Remove"
                                    on:click=remove
                                >
                                    <CloseIcon />
                                </button>
                            </li>
                        }
                    }
                />
            </ul>
            <Show when=move || total() == 0>
                <button
                    type="button"
                    class="button secondary"
                    data-testid="labels-suggest"
                    on:click=move |_| app.suggest_labels()
                >
                    "Suggest labels"
                </button>
            </Show>
        </section>
    }
}

/// The small cross on buttons that remove something.
#[component]
pub fn CloseIcon() -> impl IntoView {
    view! {
        <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
            <path d="M2.5 2.5l7 7m0-7l-7 7" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />
        </svg>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_come_from_the_images_at_hand() {
        let labels =
            |texts: &[&str]| -> Vec<String> { texts.iter().map(|t| t.to_string()).collect() };
        let (cat, rocket) = (labels(&["cat", "dog"]), labels(&["rocket", "dog", "ship"]));
        let both = [cat.as_slice(), rocket.as_slice()];
        assert_eq!(suggested(both, false), ["cat", "dog", "rocket", "ship"]);
        assert_eq!(suggested([], false), DEFAULT_LABELS);
        assert_eq!(suggested([], true), DEFAULT_LABELS);
        let mixed = suggested([rocket.as_slice()], true);
        assert_eq!(mixed[..3], ["rocket", "dog", "ship"]);
        assert_eq!(mixed.len(), DEFAULT_LABELS.len() + 1);
    }

    #[test]
    fn lists_are_split_tidied_and_freed_of_duplicates() {
        assert_eq!(
            parse("cat, dog\nBird ,, CAT,\r\n a   red  fox"),
            ["cat", "dog", "Bird", "a red fox"]
        );
        assert!(parse(" ,\n, ").is_empty());
        assert_eq!(parse("ÄPFEL, äpfel"), ["ÄPFEL"]);
    }

    #[test]
    fn merging_tells_what_was_there() {
        let (labels, twice) = merge(vec!["Cat".into()], ["dog".to_string(), "cat".into()]);
        assert_eq!(labels, ["Cat", "dog"]);
        assert_eq!(twice, ["cat"]);
    }

    #[test]
    fn typing_a_comma_finishes_a_label() {
        assert_eq!(split_typed("cat, do"), Some(("cat", "do")));
        assert_eq!(split_typed("cat,"), Some(("cat", "")));
        assert_eq!(split_typed("cat"), None);
    }

    #[test]
    fn hints_name_a_single_duplicate() {
        assert_eq!(duplicates_hint(&[]), "");
        assert!(duplicates_hint(&["cat".into()]).contains("“cat”"));
        assert!(duplicates_hint(&["a".into(), "b".into()]).starts_with("2 of"));
    }
}
