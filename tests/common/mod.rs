//! Helpers of several test programs, of which each uses some.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use clip::hub::{self, Folder};
use clip::model::{ClipConfig, FastVitConfig, VisionConfig, VitConfig};
use clip::weights::HeaderReader;
use pollster::block_on;

/// Path of what the reference computed.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// Config of a golden model. Where its file has but the name of a published encoder, which the
/// script made smaller, it is as small here.
pub fn config_of(name: &str) -> ClipConfig {
    let folder = golden("models").join(name);
    if name.starts_with("timm-siglip") {
        // timm has no model of this size by a name: this is the same one in transformers.
        return config_of("siglip-f32");
    }
    if let Ok(json) = fs::read(folder.join("open_clip_config.json")) {
        return made_small(name, ClipConfig::from_open_clip(&json).unwrap());
    }
    block_on(hub::open(&Folder::new(&folder).unwrap(), None))
        .unwrap()
        .config
}

fn made_small(name: &str, mut config: ClipConfig) -> ClipConfig {
    let small = |image_size, patch_size, width, heads, mlp_width| {
        move |vision: VitConfig| VitConfig {
            image_size,
            patch_size,
            width,
            layers: 2,
            heads,
            mlp_width,
            ..vision
        }
    };
    let family = name.rsplit_once('-').map_or(name, |(family, _)| family);
    config.vision = match (config.vision, family) {
        (VisionConfig::Vit(vision), "eva02") => VisionConfig::Vit(small(32, 8, 24, 3, 64)(vision)),
        (VisionConfig::Vit(vision), "pe-core") => {
            VisionConfig::Vit(small(32, 8, 32, 4, 128)(vision))
        }
        (VisionConfig::Vit(vision), "mobileclip-b") => {
            VisionConfig::Vit(small(48, 16, 24, 3, 96)(vision))
        }
        (VisionConfig::FastVit(_), _) => VisionConfig::FastVit(FastVitConfig {
            image_size: 64,
            width: 8,
            layers: match family {
                "mobileclip-s2" => [2, 1, 2, 1],
                _ => [1, 2, 1, 2],
            },
        }),
        (vision, _) => vision,
    };
    if let Some(bert) = &mut config.text.bert {
        let published = (
            config.text.vocab_size,
            config.text.width,
            config.text.layers,
        );
        assert_eq!((published, bert.positions), ((250_002, 768, 12), 514));
        assert_eq!(config.text.projection_width, Some((768 + 12) / 2));
        bert.positions = 16 + 2;
        let weights = golden("models")
            .join(name)
            .join("open_clip_model.safetensors");
        let weights = fs::read(weights).unwrap();
        let (header, _) = HeaderReader::default().push(&weights).unwrap().unwrap();
        let words = "text.transformer.embeddings.word_embeddings.weight";
        let text = &mut config.text;
        text.vocab_size = header.shape(words).unwrap()[0];
        (text.width, text.layers, text.heads, text.mlp_width) = (16, 2, 2, 64);
        text.projection_width = Some((16 + 12) / 2);
    }
    config
}

/// Images as the golden scripts make them, by a formula, `[3, image_size, image_size]`
/// each.
pub fn pixels(count: usize, image_size: usize) -> Vec<Vec<f32>> {
    let size = 3 * image_size * image_size;
    let values = formula(count * size);
    values.chunks(size).map(<[f32]>::to_vec).collect()
}

/// Values of the golden scripts' images, row by row.
pub fn formula(count: usize) -> Vec<f32> {
    let value = |i: usize| (((i / 29) * 7919 % 2003) as f64 / 500.75 - 2.0) as f32;
    (0..count).map(value).collect()
}

/// Path of a file of the repository.
pub fn file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join(path).display().to_string()
}

/// The one line that a failure prints.
pub fn failure(output: Output) -> String {
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(!line.contains("panicked"), "{line}");
    line
}

/// A folder as `scripts/photos/fetch.py` writes it, of so many images in each list.
pub fn pretraining_data(folder: &Path, train: usize) {
    std::fs::create_dir_all(folder).unwrap();
    let classes = ["cat", "pizza", "guitar", "tree"];
    let line = |index: usize| {
        let name = classes[index % classes.len()];
        serde_json::json!({
            "image": file(&format!("tests/fixtures/drawings/{name}.png")), "kind": "photo",
            "style": "test", "concept": name, "name": name, "texts": [name], "texts_zh": [],
        })
    };
    for (list, count) in [("train.jsonl", train), ("held_out.jsonl", 4)] {
        let lines: Vec<String> = (0..count).map(|index| line(index).to_string()).collect();
        std::fs::write(folder.join(list), lines.join("\n")).unwrap();
    }
}

/// Random numbers that a seed repeats.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 = (self.0)
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % end.max(1)
    }
}
