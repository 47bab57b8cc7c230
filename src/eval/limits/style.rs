//! Images in styles that a model may not have seen.

use super::canvas::{BLACK, Canvas, WHITE};
use crate::preprocess::{DecodedImage, PreprocessError};

/// Style that an image is redrawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without colour.
    Greyscale,
    /// Dark where it was light.
    Negative,
    /// Black lines along its edges, on white.
    LineDrawing,
    /// Black and white, as from a stencil.
    Stencil,
    /// Squares, twelve on the shorter side.
    Mosaic,
    /// Turned by half.
    UpsideDown,
}

/// Luma of an RGB pixel, 0 to 255 (ITU-R 601).
fn luma([red, green, blue]: [u8; 3]) -> u32 {
    (299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue)) / 1000
}

impl Style {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Greyscale,
        Self::Negative,
        Self::LineDrawing,
        Self::Stencil,
        Self::Mosaic,
        Self::UpsideDown,
    ];

    /// Name for display.
    pub fn name(self) -> &'static str {
        match self {
            Self::Greyscale => "greyscale",
            Self::Negative => "negative",
            Self::LineDrawing => "line drawing",
            Self::Stencil => "stencil",
            Self::Mosaic => "mosaic",
            Self::UpsideDown => "upside down",
        }
    }

    /// `image` in this style, the same size.
    pub fn redraw(self, image: &DecodedImage) -> Result<DecodedImage, PreprocessError> {
        let canvas = Canvas::of(image);
        let (width, height) = canvas.size();
        let shorter = width.min(height);
        let drawn = match self {
            Self::Greyscale => canvas.map(|pixel| [luma(pixel) as u8; 3]),
            Self::Negative => canvas.map(|pixel| pixel.map(|value| 255 - value)),
            Self::LineDrawing => {
                // Lines as thick as a pen's on a picture of any size.
                let reach = (shorter / 112).max(1);
                canvas.redrawn(|from, x, y| {
                    let across = luma(from.at(x + reach, y));
                    let left = luma(from.at(x.saturating_sub(reach), y));
                    let below = luma(from.at(x, y + reach));
                    let above = luma(from.at(x, y.saturating_sub(reach)));
                    match across.abs_diff(left) + below.abs_diff(above) > 60 {
                        true => BLACK,
                        false => WHITE,
                    }
                })
            }
            Self::Stencil => {
                let mut sum = 0;
                for y in 0..height {
                    sum += (0..width)
                        .map(|x| u64::from(luma(canvas.at(x, y))))
                        .sum::<u64>();
                }
                let mean = (sum / (width * height).max(1) as u64) as u32;
                canvas.map(|pixel| if luma(pixel) < mean { BLACK } else { WHITE })
            }
            Self::Mosaic => {
                let side = (shorter / 12).max(1);
                canvas.redrawn(|from, x, y| {
                    // Four samples are near enough to a square's mean.
                    let (left, top) = (x / side * side, y / side * side);
                    let samples = [1, 3].map(|quarter| quarter * side / 4);
                    let mut sum = [0u32; 3];
                    for dx in samples {
                        for dy in samples {
                            let pixel = from.at(left + dx, top + dy);
                            (0..3).for_each(|i| sum[i] += u32::from(pixel[i]));
                        }
                    }
                    sum.map(|value| (value / 4) as u8)
                })
            }
            Self::UpsideDown => canvas.redrawn(|from, x, y| from.at(width - 1 - x, height - 1 - y)),
        };
        drawn.picture()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_redraws_images_of_any_shape() {
        for (width, height, channels) in [(64, 48, 3), (1, 1, 1), (3, 200, 4), (200, 2, 2)] {
            let samples = (0..width * height * channels).map(|i| (i * 37 % 256) as u8);
            let image = DecodedImage::new(
                width as u32,
                height as u32,
                channels as u8,
                samples.collect(),
            )
            .unwrap();
            for style in Style::ALL {
                let drawn = style.redraw(&image).unwrap();
                assert_eq!(
                    (drawn.width(), drawn.height()),
                    (width as u32, height as u32)
                );
                assert_eq!(drawn.channels(), 3, "{}", style.name());
            }
        }
    }

    #[test]
    fn styles_change_what_they_are_named_for() {
        // Dark on the left, light and red on the right.
        let samples = (0..40 * 40).flat_map(|i| {
            if i % 40 < 20 {
                [10; 3]
            } else {
                [250, 180, 180]
            }
        });
        let image = DecodedImage::new(40, 40, 3, samples.collect()).unwrap();
        let pixel = |style: Style, x: usize| {
            let drawn = style.redraw(&image).unwrap();
            <[u8; 3]>::try_from(&drawn.samples()[(40 * 20 + x) * 3..][..3]).unwrap()
        };
        assert_eq!(pixel(Style::Greyscale, 5), [10; 3]);
        assert_eq!(
            pixel(Style::Greyscale, 35)[0],
            pixel(Style::Greyscale, 35)[1]
        );
        assert_eq!(pixel(Style::Negative, 35), [5, 75, 75]);
        assert_eq!(
            [19, 5, 35].map(|x| pixel(Style::LineDrawing, x)),
            [BLACK, WHITE, WHITE]
        );
        assert_eq!([5, 35].map(|x| pixel(Style::Stencil, x)), [BLACK, WHITE]);
        assert_eq!(pixel(Style::UpsideDown, 5), [250, 180, 180]);
        // A square of the mosaic lies across the edge in no other style.
        assert_eq!(pixel(Style::Mosaic, 3), [10; 3]);
    }
}
