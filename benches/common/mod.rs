//! Models and inputs of several benchmarks, of which each uses some.
#![allow(dead_code)]

use clip::model::{ClipConfig, ConfigError};
use clip::train::Batch;

/// ViT-B/32.
pub fn vit_b_32() -> Result<ClipConfig, ConfigError> {
    ClipConfig::from_open_clip(
        br#"{
            "embed_dim": 512,
            "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
        }"#,
    )
}

/// ViT-L/14.
pub fn vit_l_14() -> Result<ClipConfig, ConfigError> {
    ClipConfig::from_open_clip(
        br#"{
            "embed_dim": 768,
            "vision_cfg": {"image_size": 224, "layers": 24, "width": 1024, "patch_size": 14},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 768, "heads": 12, "layers": 12}
        }"#,
    )
}

/// RN50.
pub fn rn50() -> Result<ClipConfig, ConfigError> {
    ClipConfig::from_open_clip(
        br#"{
            "embed_dim": 1024,
            "vision_cfg": {"image_size": 224, "layers": [3, 4, 6, 3], "width": 64, "patch_size": null},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
        }"#,
    )
}

/// Pairs of no meaning, whose texts are as long as they can be.
pub fn pairs(count: usize, config: &ClipConfig) -> Batch {
    let numbers = 3 * config.vision.image_size().pow(2);
    let value = |i: usize| ((i * 7919 % 2003) as f64 / 500.75 - 2.0) as f32;
    let length = config.text.context_length;
    let vocabulary = config.text.vocab_size;
    let text = |n: usize| {
        let words = (0..length).map(|k| ((37 * (k + 1) * (n + 3)) % (vocabulary - 2)) as u32);
        let mut ids: Vec<u32> = words.collect();
        if let Some(last) = ids.last_mut() {
            *last = vocabulary as u32 - 1;
        }
        (ids, length - 1)
    };
    Batch {
        pixels: (0..count)
            .map(|n| (0..numbers).map(|i| value(n * numbers + i)).collect())
            .collect(),
        texts: (0..count).map(text).collect(),
        captions: (0..count as u64).collect(),
        prefix: None,
        false_negatives: Vec::new(),
    }
}
