//! Where in the picture a label fits: similarities of places, and their colours.

use serde::{Deserialize, Serialize};

use super::similarities;

/// Colours of a [`HeatMap`], lowest similarity first: red, green, blue, and the share that covers the
/// picture, 0 to 1. Low places are darkened, so that the map shows on light and on dark pictures.
pub const HEAT_COLOURS: [([u8; 3], f32); 4] = [
    ([12, 10, 58], 0.66),
    ([120, 28, 109], 0.5),
    ([237, 105, 37], 0.5),
    ([252, 240, 120], 0.6),
];

/// Image features of the places of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseFeatures {
    /// Places from top to bottom.
    pub rows: usize,
    /// Places from left to right.
    pub columns: usize,
    /// Unit vectors, row by row, `[rows * columns][embed_dim]`.
    pub places: Vec<Vec<f32>>,
}

impl DenseFeatures {
    /// Heat map of a label. `text_features` is of unit length, `[embed_dim]`.
    pub fn heat_map(&self, text_features: &[f32]) -> HeatMap {
        HeatMap {
            rows: self.rows,
            columns: self.columns,
            similarities: similarities(text_features, &self.places),
        }
    }
}

/// How well a label fits each place of a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeatMap {
    /// Places from top to bottom.
    pub rows: usize,
    /// Places from left to right.
    pub columns: usize,
    /// Cosine similarities, row by row, `[rows * columns]`, -1 to 1.
    pub similarities: Vec<f32>,
}

/// Place where a label fits best.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// Share of the width, from the left, 0 to 1.
    pub x: f64,
    /// Share of the height, from the top, 0 to 1.
    pub y: f64,
    /// Cosine similarity, -1 to 1.
    pub similarity: f32,
}

impl HeatMap {
    /// Centre of the place with the highest similarity.
    pub fn peak(&self) -> Peak {
        let places = self.similarities.iter().copied().enumerate();
        let (place, similarity) = (places.max_by(|a, b| a.1.total_cmp(&b.1))).unwrap_or_default();
        let centre = |index: usize, count: usize| (index as f64 + 0.5) / count as f64;
        Peak {
            x: centre(place % self.columns, self.columns),
            y: centre(place / self.columns, self.rows),
            similarity,
        }
    }

    /// Colours that cover the picture: `[height, width, 4]`, red, green, blue and alpha, with a ring
    /// around the [`Self::peak`]. They run from the median to the highest similarity, so that the
    /// lower half of the places is dark.
    pub fn overlay(&self, width: usize, height: usize) -> Vec<u8> {
        let mut sorted = self.similarities.clone();
        sorted.sort_by(f32::total_cmp);
        let low = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        let high = sorted.last().copied().unwrap_or_default();
        let span = (high - low).max(f32::MIN_POSITIVE);
        let peak = self.peak();
        let (peak_x, peak_y) = (peak.x * width as f64, peak.y * height as f64);
        let radius = (0.035 * width.min(height) as f64).max(3.0);
        let mut pixels = Vec::with_capacity(width * height * 4);
        for y in 0..height {
            for x in 0..width {
                let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
                let off_ring = ((x - peak_x).hypot(y - peak_y) - radius).abs();
                let (colour, share) = match off_ring / radius {
                    off if off < 0.2 => ([255; 3], 1.0),
                    off if off < 0.4 => ([0; 3], 0.7),
                    _ => colour((self.at(x / width as f64, y / height as f64) - low) / span),
                };
                pixels.extend(colour);
                pixels.push((share * 255.0).round() as u8);
            }
        }
        pixels
    }

    /// Similarity at a share of width and height, bilinear between the centres of the places.
    fn at(&self, x: f64, y: f64) -> f32 {
        let around = |share: f64, count: usize| {
            let at = (share * count as f64 - 0.5).clamp(0.0, (count - 1) as f64);
            let before = at as usize;
            (
                before,
                (before + 1).min(count - 1),
                (at - before as f64) as f32,
            )
        };
        let (left, right, across) = around(x, self.columns);
        let (upper, lower, down) = around(y, self.rows);
        let value = |row: usize, column: usize| self.similarities[row * self.columns + column];
        let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
        mix(
            mix(value(upper, left), value(upper, right), across),
            mix(value(lower, left), value(lower, right), across),
            down,
        )
    }
}

/// Colour between those of [`HEAT_COLOURS`]; `heat` from 0 to 1.
fn colour(heat: f32) -> ([u8; 3], f32) {
    let at = heat.clamp(0.0, 1.0) * (HEAT_COLOURS.len() - 1) as f32;
    let before = (at as usize).min(HEAT_COLOURS.len() - 2);
    let share = at - before as f32;
    let [(from, covers), (to, covers_next)] = [HEAT_COLOURS[before], HEAT_COLOURS[before + 1]];
    let mix = |a: f32, b: f32| a + (b - a) * share;
    let rgb = std::array::from_fn(|c| mix(from[c].into(), to[c].into()).round() as u8);
    (rgb, mix(covers, covers_next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_where_the_label_fits() {
        let [cat, dog] = [vec![1.0, 0.0], vec![0.0, 1.0]];
        let features = DenseFeatures {
            rows: 2,
            columns: 4,
            places: [vec![dog.clone(); 6], vec![cat.clone(), dog]].concat(),
        };
        let map = features.heat_map(&cat);
        assert_eq!(map.similarities, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let peak = map.peak();
        assert_eq!((peak.x, peak.y, peak.similarity), (0.625, 0.75, 1.0));
    }

    #[test]
    fn the_overlay_is_hottest_at_the_peak_and_smooth_between_places() {
        let map = HeatMap {
            rows: 1,
            columns: 2,
            similarities: vec![0.1, 0.3],
        };
        assert!((map.at(0.5, 0.9) - 0.2).abs() < 1e-6);
        assert_eq!([map.at(0.0, 0.0), map.at(1.0, 1.0)], [0.1, 0.3]);
        let map = HeatMap {
            columns: 4,
            similarities: vec![0.1, 0.2, 0.1, 0.3],
            ..map
        };
        let pixels = map.overlay(400, 100);
        assert_eq!(pixels.len(), 400 * 100 * 4);
        let at = |x: usize, y: usize| &pixels[(y * 400 + x) * 4..][..3];
        assert_eq!(at(350, 50), HEAT_COLOURS[3].0);
        assert_eq!(at(10, 50), HEAT_COLOURS[0].0);
        // The ring.
        assert_eq!(at(353, 50), [255; 3]);
        let even = HeatMap {
            similarities: vec![0.2; 4],
            ..map
        };
        assert!(even.overlay(3, 3).chunks(4).all(|pixel| pixel[3] > 100));
    }
}
