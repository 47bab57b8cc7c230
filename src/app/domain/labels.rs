//! Labels: what is suggested, and how typed and pasted text becomes a list.

use crate::app::i18n::{self, Language, t};

use std::collections::HashSet;

/// Characters that end a label; Chinese has commas of its own.
pub const SEPARATORS: [char; 3] = [',', '，', '、'];

/// Everyday things that the bundled model knows: in the list on a first visit, so that the first picture
/// is answered at once.
pub fn default_labels(language: Language) -> Vec<String> {
    parse(i18n::in_language(language, || t!("default-labels")))
}

/// Whether a text has Chinese characters.
pub fn is_chinese(text: &str) -> bool {
    text.contains(|c| ('\u{3400}'..='\u{9fff}').contains(&c))
}

/// Labels to suggest for the images on the page: those of the samples, and for images of one's own (or none
/// yet) the default ones.
pub fn suggested<'a>(
    samples: impl IntoIterator<Item = &'a [String]>,
    own_images: bool,
    language: Language,
) -> Vec<String> {
    let mut samples = samples.into_iter().flatten().cloned().peekable();
    let defaults = own_images || samples.peek().is_none();
    let defaults = defaults.then(|| default_labels(language));
    merge(Vec::new(), samples.chain(defaults.into_iter().flatten())).0
}

/// The labels in a text: separated by commas or line breaks, in order, each once.
pub fn parse(text: &str) -> Vec<String> {
    let labels = text
        .split(|c| SEPARATORS.contains(&c) || ['\n', '\r'].contains(&c))
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

/// Puts labels that were removed back to their places, as far as they are not there.
pub fn put_back(mut labels: Vec<String>, removed: &[(usize, String)]) -> Vec<String> {
    for (place, label) in removed {
        if !labels
            .iter()
            .any(|known| known.to_lowercase() == label.to_lowercase())
        {
            labels.insert((*place).min(labels.len()), label.clone());
        }
    }
    labels
}

/// Splits what was typed so far at its last comma: finished labels, and the
/// start of the next.
pub fn split_typed(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once(SEPARATORS)
        .map(|(done, rest)| (done, rest.trim_start()))
}

/// What to say about labels that were there already.
pub fn duplicates_hint(twice: &[String]) -> String {
    match twice {
        [] => String::new(),
        [one] => t!("label-known", one = one),
        many => t!("labels-known", count = many.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_labels_go_back_to_their_places() {
        let labels = |all: &[&str]| {
            all.iter()
                .map(|label| label.to_string())
                .collect::<Vec<_>>()
        };
        let removed = |all: &[(usize, &str)]| {
            let all = all.iter().map(|(place, label)| (*place, label.to_string()));
            all.collect::<Vec<_>>()
        };
        let back = put_back(labels(&["a", "c"]), &removed(&[(1, "b")]));
        assert_eq!(back, ["a", "b", "c"]);
        // Meanwhile others were added and removed.
        let back = put_back(
            labels(&["A", "new"]),
            &removed(&[(0, "a"), (1, "b"), (9, "z")]),
        );
        assert_eq!(back, ["A", "b", "new", "z"]);
    }

    #[test]
    fn suggestions_come_from_the_images_at_hand() {
        let labels =
            |texts: &[&str]| -> Vec<String> { texts.iter().map(|t| t.to_string()).collect() };
        let (cat, rocket) = (labels(&["cat", "dog"]), labels(&["rocket", "dog", "ship"]));
        let both = [cat.as_slice(), rocket.as_slice()];
        let defaults = default_labels(Language::English);
        let english =
            |samples: &[&[String]], own| suggested(samples.iter().copied(), own, Language::English);
        assert_eq!(defaults.len(), 20);
        assert_eq!(english(&both, false), ["cat", "dog", "rocket", "ship"]);
        assert_eq!(english(&[], false), defaults);
        assert_eq!(english(&[], true), defaults);
        let mixed = english(&[rocket.as_slice()], true);
        assert_eq!(mixed[..3], ["rocket", "dog", "ship"]);
        assert_eq!(mixed.len(), defaults.len() + 1);
    }

    #[test]
    fn the_default_labels_are_in_the_language_asked_for() {
        let chinese = suggested([], false, Language::Chinese);
        assert_eq!(chinese.len(), 20);
        assert!(chinese.iter().all(|label| is_chinese(label)));
        assert!(
            !default_labels(Language::English)
                .iter()
                .any(|label| is_chinese(label))
        );
    }

    #[test]
    fn chinese_commas_separate_labels_too() {
        assert_eq!(parse("猫，狗、 一杯咖啡"), ["猫", "狗", "一杯咖啡"]);
        assert_eq!(split_typed("猫，"), Some(("猫", "")));
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
