//! Prompt templates for pre-training. What a visitor types around a label says little about an image, so
//! the model sees many wordings of it, and learns which kind of image each one names. The words are in
//! `wordings.json`, which `scripts/pretrain` reads, too.

use std::sync::LazyLock;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde::Deserialize;

use super::ImageKind;

/// What templates are put together from.
#[derive(Debug, Default, Deserialize)]
struct Wordings {
    /// The default of page and command, and the plain forms of the other kinds.
    default: ByKind,
    articles: Vec<String>,
    nouns: ByKind,
    images_are: Vec<String>,
    things_are: Vec<String>,
    /// Wordings that name something else than the image's kind.
    other: Vec<String>,
    /// Whole templates in Chinese.
    chinese: ByKind,
}

/// Words that name a kind of images or none.
#[derive(Debug, Default, Deserialize)]
struct ByKind {
    none: Vec<String>,
    photo: Vec<String>,
    drawing: Vec<String>,
}

impl ByKind {
    fn of(&self, kind: Option<ImageKind>) -> &[String] {
        match kind {
            None => &self.none,
            Some(ImageKind::Photo) => &self.photo,
            Some(ImageKind::Drawing) => &self.drawing,
        }
    }
}

/// A test reads the file, so it is never the default in a program that was built from tested code.
static WORDINGS: LazyLock<Wordings> =
    LazyLock::new(|| serde_json::from_str(include_str!("wordings.json")).unwrap_or_default());

/// A prompt template in English, with `{label}`, that names `kind` or none.
pub(super) fn english(kind: Option<ImageKind>, rng: &mut StdRng) -> String {
    let words = &*WORDINGS;
    if rng.random_bool(0.3) {
        return pick(words.default.of(kind), rng).into();
    }
    let article = pick(&words.articles, rng);
    let mut template = match kind {
        None if rng.random_bool(0.5) => pick(&words.other, rng).to_string(),
        _ => {
            let noun = pick(words.nouns.of(kind), rng);
            let of_image = sometimes(0.4, &words.images_are, rng);
            let of_label = sometimes(0.12, &words.things_are, rng);
            format!("a {of_image}{noun} of {article}{of_label}{{label}}")
        }
    };
    if template.starts_with("a ") && template[2..].starts_with(['a', 'e', 'i', 'o', 'u']) {
        template.insert(1, 'n');
    }
    if rng.random_bool(0.5) {
        template[..1].make_ascii_uppercase();
    }
    if rng.random_bool(0.7) {
        template.push('.');
    }
    template
}

/// The same in Chinese.
pub(super) fn chinese(kind: Option<ImageKind>, rng: &mut StdRng) -> String {
    let mut template = pick(WORDINGS.chinese.of(kind), rng).to_string();
    if rng.random_bool(0.4) {
        template.push('。');
    }
    template
}

/// One of `texts`, which are not empty.
fn pick<'a>(texts: &'a [String], rng: &mut StdRng) -> &'a str {
    texts.choose(rng).map_or("", String::as_str)
}

/// One of `words` and a space, or nothing.
fn sometimes(probability: f64, words: &[String], rng: &mut StdRng) -> String {
    match rng.random_bool(probability) {
        true => format!("{} ", pick(words, rng)),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_wording_holds_one_label_and_its_kind() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..4000 {
            for kind in [None, Some(ImageKind::Photo), Some(ImageKind::Drawing)] {
                for template in [english(kind, &mut rng), chinese(kind, &mut rng)] {
                    assert_eq!(template.matches("{label}").count(), 1, "{template}");
                    let photo = template.contains("photo") || template.contains("照片");
                    assert_eq!(photo, kind == Some(ImageKind::Photo), "{template}");
                    seen.insert(template);
                }
            }
        }
        assert!(seen.len() > 1000, "{}", seen.len());
        assert!(seen.contains("A photo of a {label}.") && seen.contains("A drawing of a {label}."));
        assert!(seen.contains("an image of a {label}") && !seen.contains("a image of a {label}"));
    }
}
