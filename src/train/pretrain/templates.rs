//! Prompt templates for pre-training. What a visitor types around a label says little about an image, so
//! the model sees many wordings of it, and learns which kind of image each one names.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::ImageKind;

/// A prompt template in English, with `{label}`, that names `kind` or none.
pub(super) fn english(kind: Option<ImageKind>, rng: &mut StdRng) -> String {
    // The default of page and command, and the plain forms of the other kinds.
    if rng.random_bool(0.3) {
        return match kind {
            None => *pick(&["{label}.", "A {label}.", "A picture of a {label}."], rng),
            Some(ImageKind::Photo) => "A photo of a {label}.",
            Some(ImageKind::Drawing) => "A drawing of a {label}.",
        }
        .into();
    }
    let article = pick(&["a ", "a ", "a ", "the ", "the ", "my ", "one ", ""], rng);
    let mut template = match kind {
        None if rng.random_bool(0.5) => pick(OTHER_EN, rng).to_string(),
        _ => {
            let noun = match kind {
                None => pick(&["picture", "image", "depiction", "rendition"], rng),
                Some(ImageKind::Photo) => pick(&["photo", "photo", "photo", "photograph"], rng),
                Some(ImageKind::Drawing) => pick(DRAWINGS_EN, rng),
            };
            let of_image = sometimes(0.4, IMAGES_ARE_EN, rng);
            let of_label = sometimes(0.12, THINGS_ARE_EN, rng);
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
    let templates = match kind {
        None => NO_KIND_ZH,
        Some(ImageKind::Photo) => PHOTOS_ZH,
        Some(ImageKind::Drawing) => DRAWINGS_ZH,
    };
    let mut template = pick(templates, rng).to_string();
    if rng.random_bool(0.4) {
        template.push('。');
    }
    template
}

/// One of `texts`, which are not empty.
fn pick<'a>(texts: &'a [&'a str], rng: &mut StdRng) -> &'a &'a str {
    texts.choose(rng).unwrap_or(&"")
}

/// One of `words` and a space, or nothing.
fn sometimes(probability: f64, words: &[&str], rng: &mut StdRng) -> String {
    match rng.random_bool(probability) {
        true => format!("{} ", pick(words, rng)),
        false => String::new(),
    }
}

const DRAWINGS_EN: &[&str] = &[
    "drawing",
    "drawing",
    "icon",
    "emoji",
    "illustration",
    "cartoon",
    "sketch",
    "doodle",
    "painting",
];
const IMAGES_ARE_EN: &[&str] = &[
    "bad",
    "good",
    "blurry",
    "low resolution",
    "pixelated",
    "jpeg corrupted",
    "low contrast",
    "high contrast",
    "black and white",
    "bright",
    "dark",
    "cropped",
    "close-up",
];
const THINGS_ARE_EN: &[&str] = &[
    "big",
    "large",
    "small",
    "nice",
    "cool",
    "weird",
    "clean",
    "dirty",
    "hard to see",
];
/// Wordings that name something else than the image's kind.
const OTHER_EN: &[&str] = &[
    "a {label}",
    "the {label}",
    "{label}",
    "this is a {label}",
    "there is a {label} in the scene",
    "itap of a {label}",
    "itap of my {label}",
    "art of the {label}",
    "a plastic {label}",
    "a toy {label}",
    "a plushie {label}",
    "an origami {label}",
    "an embroidered {label}",
    "a sculpture of a {label}",
    "a rendering of a {label}",
    "a tattoo of the {label}",
    "graffiti of a {label}",
    "a {label} in a video game",
    "a close-up of a {label}",
];
const NO_KIND_ZH: &[&str] = &[
    "一张{label}的图片",
    "{label}的图片",
    "{label}",
    "一个{label}",
    "这是{label}",
];
const PHOTOS_ZH: &[&str] = &[
    "一张{label}的照片",
    "一张{label}的照片",
    "{label}的照片",
    "一张{label}的模糊照片",
    "一张{label}的黑白照片",
    "一张{label}的特写照片",
    "一张{label}的低分辨率照片",
];
const DRAWINGS_ZH: &[&str] = &[
    "一幅{label}的画",
    "一幅{label}的画",
    "{label}的图标",
    "{label}的表情符号",
    "{label}的插图",
    "{label}的卡通画",
    "{label}的素描",
];

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
