//! Features of images and texts, and their cosine similarities.
//!
//! ```sh
//! cargo run --release --example embed -- assets/samples/cat.jpg assets/samples/pizza.png
//! ```

use clip::DeviceChoice;
use clip::zero_shot::similarities;

const TEXTS: [&str; 2] = ["a photo of a cat", "a drawing of a pizza"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        return Err("name one or more images".into());
    }
    let files = paths
        .iter()
        .map(std::fs::read)
        .collect::<Result<Vec<_>, _>>()?;

    let mut model = clip::load("bundled", DeviceChoice::Auto)?;
    let images = model.image_features(&files)?;
    let texts = model.text_features(&TEXTS)?;

    for (path, image) in paths.iter().zip(&images) {
        println!("{path}: {} numbers, from {:?}", image.len(), &image[..4]);
        for (text, cosine) in TEXTS.iter().zip(similarities(image, &texts)) {
            println!("  {cosine:.3}  {text}");
        }
    }
    Ok(())
}
