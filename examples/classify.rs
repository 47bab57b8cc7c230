//! Zero-shot classification: an image and labels of your own.
//!
//! ```sh
//! cargo run --release --example classify -- assets/samples/cat.jpg cat dog rabbit
//! cargo run --release --example classify -- --model openai/clip-vit-base-patch32 photo.jpg cat dog
//! ```

use clip::DeviceChoice;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut name = "bundled".to_owned();
    if arguments.first().is_some_and(|first| first == "--model") && arguments.len() > 1 {
        name = arguments.drain(..2).nth(1).unwrap_or(name);
    }
    let Some((path, labels)) = arguments.split_first() else {
        return Err("name an image and labels".into());
    };

    let mut model = clip::load(&name, DeviceChoice::Auto)?;
    for ranked in model.classify(&std::fs::read(path)?, labels)? {
        println!("{:5.1} %  {}", 100.0 * ranked.probability, ranked.label);
    }
    Ok(())
}
