//! Models whose own repositories have no safetensors, and where the same weights are
//! published as such.

/// Name without safetensors, name with them.
const TWINS: &[(&str, &str)] = &[
    (
        "openai/clip-vit-base-patch32",
        "timm/vit_base_patch32_clip_224.openai",
    ),
    (
        "openai/clip-vit-base-patch16",
        "timm/vit_base_patch16_clip_224.openai",
    ),
    (
        "openai/clip-vit-large-patch14-336",
        "timm/vit_large_patch14_clip_336.openai",
    ),
    (
        "sentence-transformers/clip-ViT-B-32",
        "timm/vit_base_patch32_clip_224.openai",
    ),
    (
        "sentence-transformers/clip-ViT-B-16",
        "timm/vit_base_patch16_clip_224.openai",
    ),
    (
        "sentence-transformers/clip-ViT-L-14",
        "timm/vit_large_patch14_clip_224.openai",
    ),
    (
        "facebook/metaclip-b32-fullcc2.5b",
        "timm/vit_base_patch32_clip_224.metaclip_2pt5b",
    ),
    (
        "facebook/metaclip-b16-fullcc2.5b",
        "timm/vit_base_patch16_clip_224.metaclip_2pt5b",
    ),
];

/// The same model as `name`, `owner/name` or `owner/name@revision`, with safetensors.
pub(super) fn twin(name: &str) -> Option<&'static str> {
    let id = name.split_once('@').map_or(name, |(id, _)| id);
    let known = TWINS
        .iter()
        .find(|(pickled, _)| pickled.eq_ignore_ascii_case(id));
    known.map(|(_, twin)| *twin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::ModelLocation;

    #[test]
    fn a_twin_is_another_model_on_the_hub() {
        for (name, other) in TWINS {
            assert_eq!(twin(&format!("{name}@main")), Some(*other));
            assert!(matches!(
                ModelLocation::parse(other),
                Ok(ModelLocation::Hub { .. })
            ));
            assert_eq!(twin(other), None);
        }
    }
}
