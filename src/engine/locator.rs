//! Heat maps for the page. The features of the latest pictures are kept, so that further labels of a
//! picture cost nothing.

use std::collections::VecDeque;

use image::ImageError;

use super::decoder::{DecodeError, decode_file};
use super::heat_map::{heat_map_png, overlay_png};
use super::messages::{HeatMapDrawing, ImageId, Peak};
use super::{Engine, EngineError};
use crate::zero_shot::{DenseFeatures, HeatMap};

/// Pictures whose features are kept: less than a megabyte each.
const KEPT: usize = 8;

/// Longer side of an overlay, in pixels: that of the page's thumbnails.
const OVERLAY_SIDE: u32 = 448;

/// Error of locating a label.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// The file is no image that can be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The model failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The heat map could not be drawn.
    #[error("the heat map cannot be drawn: {0}")]
    Draw(#[from] ImageError),
    /// There is no such label any more.
    #[error("the labels have changed: click the label again")]
    NoLabel,
}

/// Picture with the features of its places.
struct Located {
    image: ImageId,
    size: [u32; 2],
    features: DenseFeatures,
}

/// Draws heat maps.
#[derive(Default)]
pub struct Locator(VecDeque<Located>);

impl Locator {
    /// Forgets all features: the model has changed.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// Heat map of a picture's `file` as a PNG file, and where it is highest. `similarity` is that
    /// of a place with the label, `None` without such a label.
    pub async fn locate(
        &mut self,
        engine: &Engine,
        image: ImageId,
        file: &[u8],
        drawing: HeatMapDrawing,
        similarity: impl Fn(&[f32]) -> Option<f32>,
    ) -> Result<(Peak, Vec<u8>), LocateError> {
        let known = self.0.iter().position(|located| located.image == image);
        let picture = match (known, drawing) {
            (Some(_), HeatMapDrawing::Overlay) => None,
            _ => Some(decode_file(file).await?),
        };
        let located = match (known.and_then(|index| self.0.remove(index)), &picture) {
            (Some(located), _) => located,
            (None, Some(picture)) => Located {
                image,
                size: [picture.width(), picture.height()],
                features: engine.dense_features(picture).await?,
            },
            (None, None) => return Err(LocateError::NoLabel),
        };
        let similarities = located
            .features
            .places
            .iter()
            .map(|place| similarity(place));
        let similarities: Option<Vec<f32>> = similarities.collect();
        let (rows, columns) = (located.features.rows, located.features.columns);
        let size = located.size;
        self.0.push_front(located);
        self.0.truncate(KEPT);
        let map = HeatMap {
            rows,
            columns,
            similarities: similarities.ok_or(LocateError::NoLabel)?,
        };
        let png = match picture {
            Some(picture) if drawing == HeatMapDrawing::Picture => heat_map_png(&map, &picture)?,
            _ => overlay_png(&map, size, OVERLAY_SIDE)?,
        };
        Ok((map.peak(), png))
    }
}
