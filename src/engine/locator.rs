//! Heat maps for the page. The features of the latest pictures are kept, so that further labels of a
//! picture cost nothing.

use std::collections::VecDeque;

use image::ImageError;

use super::decoder::{DecodeError, decode_file};
use super::heat_map::{heat_map_png, overlay_png};
use super::messages::{HeatMapDrawing, ImageId, Peak};
use super::{Engine, EngineError};
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::zero_shot::DenseFeatures;

/// Pictures whose features are kept: less than a megabyte each.
const KEPT: usize = 8;

/// Longer side of an overlay, in pixels: that of the page's thumbnails.
const OVERLAY_SIDE: u32 = 448;

/// Error of locating a label.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum LocateError {
    /// The file is no image that can be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The model failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The heat map could not be drawn.
    Draw(#[from] ImageError),
    /// There is no such label any more.
    NoLabel,
}

impl ToDiagnostic for LocateError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Decode(error) => error.to_diagnostic(),
            Self::Engine(error) => error.to_diagnostic(),
            Self::Draw(error) => diagnostic!(
                "heat-map",
                "the heat map cannot be drawn: {reason}",
                reason = error.to_string()
            ),
            Self::NoLabel => diagnostic!(
                "labels-changed",
                "the labels have changed: click the label again"
            ),
        }
    }
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

    /// Heat map of a picture's `file` as a PNG file, and where it is highest. `direction` is that of
    /// the label, of unit length, `[embed_dim]`.
    pub async fn locate(
        &mut self,
        engine: &Engine,
        image: ImageId,
        file: &[u8],
        drawing: HeatMapDrawing,
        direction: &[f32],
    ) -> Result<(Peak, Vec<u8>), LocateError> {
        let mut picture = None;
        let known = self.0.iter().position(|located| located.image == image);
        let located = match known.and_then(|index| self.0.remove(index)) {
            Some(located) => located,
            None => {
                let decoded = picture.insert(decode_file(file).await?);
                Located {
                    image,
                    size: [decoded.width(), decoded.height()],
                    features: engine.dense_features(decoded).await?,
                }
            }
        };
        let map = located.features.heat_map(direction);
        let size = located.size;
        self.0.push_front(located);
        self.0.truncate(KEPT);
        let png = match drawing {
            HeatMapDrawing::Overlay => overlay_png(&map, size, OVERLAY_SIDE)?,
            HeatMapDrawing::Picture => {
                let picture = match picture {
                    Some(picture) => picture,
                    None => decode_file(file).await?,
                };
                heat_map_png(&map, &picture)?
            }
        };
        Ok((map.peak(), png))
    }
}
