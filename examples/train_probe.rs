//! A linear probe on a model's features: a classifier of your own from a zip
//! with one sub-folder of images per class.
//!
//! ```sh
//! cargo run --release --example train_probe -- assets/samples/training.zip probe.safetensors
//! clip classify --head probe.safetensors --images photo.jpg
//! ```

use std::ops::ControlFlow;

use clip::DeviceChoice;
use clip::data::{Dataset, ZipFiles, hold_out};
use clip::train::{ClassFit, FeatureMatrix, Head, Method, fit_probe};
use pollster::block_on;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(data), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("name a zip of images, and the file to write".into());
    };
    let mut model = clip::load("bundled", DeviceChoice::Auto)?;
    let engine = model.engine();

    // The features of every image, each once; what cannot be read is listed and left out.
    let files = ZipFiles::open(data.clone(), std::fs::File::open(&data)?)?;
    let mut features: Vec<Vec<f32>> = Vec::new();
    let dataset = block_on(async {
        let dataset = Dataset::open(&files, None).await?;
        let take = async |_, picture| {
            features.extend(engine.image_features(&[engine.pixels(&picture)]).await?);
            Ok::<(), Box<dyn std::error::Error>>(())
        };
        dataset.read(&files, take).await
    })?;
    for problem in &dataset.problems {
        eprintln!("left out: {problem}");
    }

    // A fifth of each class is held out, to see how good the probe is.
    let split = hold_out(&dataset, 0.2, 0);
    let labelled = |indices: &[usize]| -> (Vec<&[f32]>, Vec<usize>) {
        (indices.iter().map(|index| &dataset.examples[*index]))
            .filter_map(|example| Some((features[example.picture].as_slice(), example.class?)))
            .unzip()
    };
    let (images, classes) = labelled(&split.train);
    let samples = FeatureMatrix::new(&images, &classes, dataset.classes.len());
    let mut uninterrupted = async |_| ControlFlow::Continue(());
    let probe = block_on(fit_probe(&samples, 0, &mut uninterrupted))?;
    let head = Head {
        method: Method::Probe,
        model: engine.model_info().name.clone(),
        classes: dataset.classes.clone(),
        templates: Vec::new(),
        zero_shot: Vec::new(),
        scale: engine.logit_scale().exp(),
        weight: probe.weight,
        bias: probe.bias,
        alpha: 1.0,
        beta: 1.0,
        // Tells when none of the classes fits.
        class_fit: ClassFit::new(&samples),
    };

    let (images, classes) = labelled(&split.held_out);
    let right = (images.iter().zip(&classes))
        .filter(|(image, class)| head.rank(image)[0].label == head.classes[**class])
        .count();
    println!("{right} of {} held-out images are right", images.len());
    std::fs::write(&out, head.write()?)?;
    println!("written to {out}");
    Ok(())
}
