//! Prompt templates that page and command offer.

/// The place of the label in a template.
pub const PLACEHOLDER: &str = "{label}";

/// Template in use where none is chosen.
pub const DEFAULT_TEMPLATE: &str = "A photo of a {label}.";

/// The label alone.
pub const LABEL_ONLY: &str = PLACEHOLDER;

/// Preset templates: plain ones, and the seven that CLIP's authors picked for ImageNet.
pub const PRESET_TEMPLATES: [&str; 11] = [
    DEFAULT_TEMPLATE,
    "A drawing of a {label}.",
    "An icon of a {label}.",
    LABEL_ONLY,
    "a bad photo of the {label}.",
    "a origami {label}.",
    "a photo of the large {label}.",
    "a photo of the small {label}.",
    "a {label} in a video game.",
    "art of the {label}.",
    "itap of a {label}.",
];
