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
