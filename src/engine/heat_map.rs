//! Where in the picture a label fits: dense features of a picture, and heat maps as PNG files.

use std::io::Cursor;

use burn::tensor::{Tensor, TensorData};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError, RgbImage, imageops};

use super::{Engine, EngineError};
use crate::model::{FastVitConfig, ResNetConfig, VisionConfig, read_back};
use crate::preprocess::{DecodedImage, preprocess_whole, to_rgb};
use crate::zero_shot::{DenseFeatures, HeatMap};

/// Places along the shorter side, at least: in a grid of 3 x 3 two drawings may share a place, and
/// `benches/locate.md` has how well twelve of them point.
const LEAST_PLACES: usize = 12;

/// A longer side has at most this many times the places of the shorter one, which bounds the work.
const LONGEST: usize = 3;

/// Longer side of a picture under its heat map, in pixels.
const LARGEST_SIDE: u32 = 1600;

impl Engine {
    /// Features of the places of a picture, to find where labels fit. The whole picture is seen, in its
    /// own proportions.
    pub async fn dense_features(
        &self,
        picture: &DecodedImage,
    ) -> Result<DenseFeatures, EngineError> {
        let (step, grid) = match &self.config().vision {
            VisionConfig::Vit(vit) => (vit.patch_size, vit.grid()),
            VisionConfig::ResNet(resnet) => (ResNetConfig::REDUCTION, resnet.grid()),
            VisionConfig::FastVit(vit) => (FastVitConfig::REDUCTION, vit.grid()),
        };
        let [rows, columns] = grid_of(grid, [picture.height(), picture.width()]);
        let [height, width] = [rows * step, columns * step];
        let pixels = preprocess_whole(picture, self.preprocess(), [height, width]);
        let pixels = TensorData::new(pixels, [1, 3, height, width]);
        let features = self
            .model
            .dense_image_features(Tensor::from_data(pixels, self.device()));
        let features = read_back(features).await?;
        if features.iter().any(|value| !value.is_finite()) {
            return Err(EngineError::NotFinite);
        }
        let places = features.chunks(self.config().embed_dim);
        Ok(DenseFeatures {
            rows,
            columns,
            places: places.map(<[f32]>::to_vec).collect(),
        })
    }
}

/// Places along both sides, in the picture's proportions: along the shorter one as many as the model has,
/// or [`LEAST_PLACES`].
fn grid_of(grid: usize, [height, width]: [u32; 2]) -> [usize; 2] {
    let shorter = grid.max(LEAST_PLACES);
    let ratio = f64::from(height.max(width)) / f64::from(height.min(width));
    let longer = (shorter as f64 * ratio.min(LONGEST as f64)).round() as usize;
    match height < width {
        true => [shorter, longer],
        false => [longer, shorter],
    }
}

/// PNG file of a heat map alone, transparent, for a picture of `size`, width and height. Its own longer
/// side has at most `side` pixels.
pub fn overlay_png(map: &HeatMap, size: [u32; 2], side: u32) -> Result<Vec<u8>, ImageError> {
    let [width, height] = fitted(size, side);
    let pixels = map.overlay(width as usize, height as usize);
    png(&pixels, [width, height], ExtendedColorType::Rgba8)
}

/// PNG file of a picture under its heat map; large pictures are made smaller.
pub fn heat_map_png(map: &HeatMap, picture: &DecodedImage) -> Result<Vec<u8>, ImageError> {
    let [width, height] = [picture.width(), picture.height()];
    let [new_width, new_height] = fitted([width, height], LARGEST_SIDE);
    let mut pixels = match RgbImage::from_raw(width, height, to_rgb(picture, [255; 3])) {
        Some(whole) if [new_width, new_height] != [width, height] => {
            imageops::thumbnail(&whole, new_width, new_height)
        }
        Some(whole) => whole,
        None => RgbImage::new(new_width, new_height),
    };
    let overlay = map.overlay(new_width as usize, new_height as usize);
    for (pixel, over) in pixels.pixels_mut().zip(overlay.as_chunks::<4>().0) {
        let share = f32::from(over[3]) / 255.0;
        for (below, above) in pixel.0.iter_mut().zip(over) {
            let mixed = f32::from(*below) * (1.0 - share) + f32::from(*above) * share;
            *below = mixed.round() as u8;
        }
    }
    png(&pixels, [new_width, new_height], ExtendedColorType::Rgb8)
}

/// Width and height with a longer side of at most `side`.
fn fitted(size: [u32; 2], side: u32) -> [u32; 2] {
    let longer = size[0].max(size[1]).max(1);
    let share = (f64::from(side) / f64::from(longer)).min(1.0);
    size.map(|length| ((f64::from(length) * share).round() as u32).max(1))
}

fn png(
    pixels: &[u8],
    [width, height]: [u32; 2],
    colour: ExtendedColorType,
) -> Result<Vec<u8>, ImageError> {
    let mut file = Cursor::new(Vec::new());
    PngEncoder::new(&mut file).write_image(pixels, width, height, colour)?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::decode;

    #[test]
    fn the_grid_has_the_proportions_of_the_picture() {
        assert_eq!(grid_of(3, [100, 100]), [12, 12]);
        assert_eq!(grid_of(14, [300, 400]), [14, 19]);
        assert_eq!(grid_of(14, [400, 300]), [19, 14]);
        assert_eq!(grid_of(3, [1, 5000]), [12, 36]);
    }

    #[test]
    fn pictures_keep_their_proportions_and_get_smaller() {
        let map = HeatMap {
            rows: 2,
            columns: 2,
            similarities: vec![0.0, 0.0, 0.0, 1.0],
        };
        let picture = DecodedImage::new(2000, 1000, 1, vec![255; 2_000_000]).unwrap();
        let whole = decode(&heat_map_png(&map, &picture).unwrap()).unwrap();
        assert_eq!([whole.width(), whole.height()], [1600, 800]);
        // Darkened where it is low, bright where it is high.
        let brightness = |x: usize, y: usize| {
            let pixel = &whole.samples()[(y * 1600 + x) * whole.channels()..][..3];
            pixel.iter().map(|value| u32::from(*value)).sum::<u32>()
        };
        assert!(brightness(100, 100) + 150 < brightness(1200, 600));
        let overlay = decode(&overlay_png(&map, [2000, 1000], 100).unwrap()).unwrap();
        assert_eq!([overlay.width(), overlay.height()], [100, 50]);
        assert_eq!(overlay.channels(), 4);
        // What is smaller keeps its size.
        let small = DecodedImage::new(30, 20, 4, vec![0; 2400]).unwrap();
        let small = decode(&heat_map_png(&map, &small).unwrap()).unwrap();
        assert_eq!([small.width(), small.height()], [30, 20]);
    }
}
