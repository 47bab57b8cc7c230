//! Search in a folder of images by a text: each image is encoded once, then every search
//! is a matter of dot products.
//!
//! ```sh
//! cargo run --release --example search -- assets/samples "something to drink"
//! ```

use std::path::PathBuf;

use clip::DeviceChoice;
use clip::zero_shot::similarities;

const SHOWN: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(text)) = (arguments.next(), arguments.next()) else {
        return Err("name a folder and a text".into());
    };
    let mut model = clip::load("bundled", DeviceChoice::Auto)?;

    let mut index: Vec<(PathBuf, Vec<f32>)> = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        match model.image_features(&[std::fs::read(&path)?]) {
            Ok(features) => index.extend(features.into_iter().map(|image| (path.clone(), image))),
            Err(clip::ClipError::Image { .. }) => {} // a file of another kind
            Err(error) => return Err(error.into()),
        }
    }

    let texts = model.text_features(&[text])?;
    let mut found: Vec<(f32, &PathBuf)> = (index.iter())
        .flat_map(|(path, image)| {
            similarities(image, &texts)
                .into_iter()
                .map(move |s| (s, path))
        })
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (cosine, path) in found.into_iter().take(SHOWN) {
        println!("{cosine:.3}  {}", path.display());
    }
    Ok(())
}
