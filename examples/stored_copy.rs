//! Writes a model's folder as the page stores it, with matrices in f16 or int8:
//!
//! ```text
//! $ cargo run --release --example stored_copy -- assets/model int8 copy
//! $ clip evaluate --model copy --data images
//! ```

use std::error::Error;
use std::fs;
use std::path::Path;

use clip::model::StoredPrecision;
use clip::weights::{CopyOptions, FileCopier};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, precision, copy] = &args[..] else {
        return Err("give a model's folder, `f16` or `int8`, and the folder to write".into());
    };
    let precision = match precision.as_str() {
        "f16" => StoredPrecision::F16,
        "int8" => StoredPrecision::Int8,
        other => return Err(format!("`{other}` is neither `f16` nor `int8`").into()),
    };
    fs::create_dir(copy)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().filter(|_| path.is_file()) else {
            continue;
        };
        let mut bytes = fs::read(&path)?;
        if path.extension().is_some_and(|end| end == "safetensors") {
            bytes = copied(&bytes, precision)?;
            println!("{}: {} bytes", path.display(), bytes.len());
        }
        fs::write(Path::new(copy).join(name), bytes)?;
    }
    Ok(())
}

/// Weights in another precision.
fn copied(weights: &[u8], precision: StoredPrecision) -> Result<Vec<u8>, Box<dyn Error>> {
    let options = CopyOptions {
        precision,
        ..CopyOptions::default()
    };
    let mut copy = Vec::new();
    FileCopier::new(weights.len() as u64, options).push(weights, &mut copy)?;
    Ok(copy)
}
