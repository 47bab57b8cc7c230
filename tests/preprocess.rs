//! Pixels against those of `open_clip` and `transformers` (`tests/golden/pixels.json`), and what
//! happens with files that are none.
#![cfg(feature = "compute")]

use std::collections::BTreeMap;
use std::fs;

use clip::preprocess::{
    Interpolation, PreprocessConfig, PreprocessError, Resize, decode, preprocess, preprocess_pixels,
};
use serde::Deserialize;
use serde_json::{Value, json};

use common::golden;

mod common;

#[derive(Deserialize)]
struct Golden {
    configs: BTreeMap<String, Reference>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Reference {
    reference: String,
    settings: Value,
}

#[derive(Deserialize)]
struct Case {
    picture: String,
    config: String,
    expected: String,
}

impl Reference {
    fn config(&self) -> PreprocessConfig {
        if self.reference == "open_clip" {
            let file = json!({
                "model_cfg": {"vision_cfg": {"image_size": self.settings["size"]}},
                "preprocess_cfg": self.settings,
            });
            PreprocessConfig::from_open_clip(file.to_string().as_bytes()).expect("config")
        } else {
            PreprocessConfig::from_hugging_face(self.settings.to_string().as_bytes())
                .expect("config")
        }
    }
}

fn file(name: &str) -> Vec<u8> {
    let path = golden("pictures").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// How far the pixels may be off, of 255, and how much at most on average: decoders of lossy files
/// round differently, everything else is exact.
fn tolerance(picture: &str) -> (u8, f64) {
    match picture {
        _ if picture.ends_with(".jpg") => (2, 0.4),
        "photo_120x90.webp" => (1, 0.1),
        _ => (0, 0.0),
    }
}

#[test]
fn pixels_are_those_of_the_references() {
    let Golden { configs, cases } =
        serde_json::from_slice(&fs::read(golden("pixels.json")).expect("pixels.json"))
            .expect("json");
    assert!(cases.len() > 100);
    let mut report = Vec::new();
    for Case {
        picture,
        config,
        expected,
    } in &cases
    {
        let expected = fs::read(golden("pixels").join(expected)).expect("expected pixels");
        let expected = image::load_from_memory(&expected)
            .expect("PNG")
            .into_rgb8()
            .into_raw();
        let decoded = decode(&file(picture)).unwrap_or_else(|error| panic!("{picture}: {error}"));
        let pixels = preprocess_pixels(&decoded, &configs[config].config());
        assert_eq!(pixels.len(), expected.len(), "{picture} {config}");
        let differences = || pixels.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b));
        let largest = differences().max().unwrap_or_default();
        let mean = differences().map(f64::from).sum::<f64>() / pixels.len() as f64;
        let (most, most_mean) = tolerance(picture);
        if largest > most || mean > most_mean {
            report.push(format!(
                "{picture} {config}: largest {largest}, mean {mean:.3}, {decoded:?}"
            ));
        }
    }
    assert!(
        report.is_empty(),
        "{} of {}:\n{}",
        report.len(),
        cases.len(),
        report.join("\n")
    );
}

/// 16-bit grey: Pillow clips it, here it is the 8-bit picture of its high bytes.
#[test]
fn grey_of_16_bits_keeps_its_range() {
    let wide = decode(&file("grey16_40x52.png")).expect("picture");
    let colour = decode(&file("rgb16_40x52.png")).expect("picture");
    let red: Vec<u8> = colour.samples().iter().step_by(3).copied().collect();
    assert_eq!(wide.samples(), red);
    let config = PreprocessConfig::openai(32);
    let pixels = preprocess_pixels(&wide, &config);
    let expected = preprocess_pixels(&colour, &config);
    assert!(pixels.iter().step_by(3).eq(expected.iter().step_by(3)));
}

#[test]
fn values_are_normalised_planes() {
    let picture = decode(&file("rgb_61x40.png")).expect("picture");
    let config = PreprocessConfig::openai(32);
    let pixels = preprocess_pixels(&picture, &config);
    let values = preprocess(&picture, &config);
    assert_eq!(values.len(), 3 * 32 * 32);
    for (index, &value) in values.iter().enumerate() {
        let (channel, place) = (index / 1024, index % 1024);
        let pixel = f32::from(pixels[place * 3 + channel]) / 255.0;
        assert_eq!(value, (pixel - config.mean[channel]) / config.std[channel]);
    }
}

#[test]
fn files_cut_anywhere_are_refused_in_words() {
    for name in [
        "rgb_61x40.png",
        "rgba16_40x52.png",
        "photo_120x90.jpg",
        "photo_progressive_120x90.jpg",
        "photo_120x90.webp",
        "rgba_20x24.webp",
        "palette_70x41.gif",
        "rgb_45x38.bmp",
        "palette_45x38.bmp",
    ] {
        let bytes = file(name);
        for part in [1, 5, 9, 13, 40, 60, 75, 90] {
            let cut = &bytes[..bytes.len() * part / 100];
            match decode(cut) {
                Err(PreprocessError::Truncated(_)) => {}
                // Too little to tell what it was.
                Err(PreprocessError::Unknown) if cut.len() < 12 => {}
                other => panic!("{name} cut to {part} %: {other:?}"),
            }
        }
    }
}

#[test]
fn damaged_files_do_not_panic() {
    let mut state = 1_u32;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for entry in fs::read_dir(golden("pictures")).expect("pictures") {
        let whole = fs::read(entry.expect("entry").path()).expect("file");
        for _ in 0..40 {
            let mut bytes = whole.clone();
            for _ in 0..=random(4) {
                let header_only = random(2) == 0;
                let at = random(if header_only {
                    bytes.len().min(64)
                } else {
                    bytes.len()
                });
                bytes[at] = random(256) as u8;
            }
            if let Ok(picture) = decode(&bytes) {
                // Whatever it shows now, it must be a picture.
                assert_eq!(
                    preprocess_pixels(&picture, &PreprocessConfig::openai(8)).len(),
                    192
                );
            }
        }
    }
}

/// A declared size alone allocates nothing.
#[test]
fn absurd_sizes_are_refused_at_once() {
    let mut png = file("rgb_61x40.png");
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let mut bmp = file("rgb_45x38.bmp");
    bmp[18..26].copy_from_slice(&[0, 255, 0, 0, 0, 255, 0, 0]);
    let mut gif = file("palette_70x41.gif");
    gif[6..10].copy_from_slice(&[255; 4]);
    for (bytes, side) in [(png, 65_536), (bmp, 65_280), (gif, 65_535)] {
        let error = decode(&bytes).expect_err("too large");
        assert_eq!(
            error,
            PreprocessError::TooLarge {
                width: side,
                height: side
            }
        );
        assert!(
            error.to_string().contains(&format!("{side} x {side}")),
            "{error}"
        );
        assert!(error.to_string().contains("at most 200 million"), "{error}");
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

/// Every filter at many sizes, up and down, against pictures that stay the same.
#[test]
fn flat_pictures_stay_flat() {
    for (width, height) in [(5, 9), (100, 30), (640, 480)] {
        let picture = clip::preprocess::DecodedImage::new(
            width,
            height,
            3,
            [10, 200, 90].repeat((width * height) as usize),
        )
        .expect("picture");
        for side in [1, 3, 32, 65] {
            for interpolation in Interpolation::ALL {
                for resize in [
                    Resize::Shortest(side),
                    Resize::Squash(side),
                    Resize::Shortest(side + 5),
                ] {
                    let config = PreprocessConfig {
                        interpolation,
                        resize,
                        ..PreprocessConfig::openai(side)
                    };
                    let pixels = preprocess_pixels(&picture, &config);
                    assert!(pixels.chunks_exact(3).all(|pixel| pixel == [10, 200, 90]));
                }
            }
        }
    }
}
