//! Helpers of several test programs, of which each uses some.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Output;

/// Path of what the reference computed.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
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
