//! Preprocessing: picture file to `[3, height, width]`, as in the reference.
//!
//! [`decode`] reads the file, [`preprocess`] resizes, crops and normalises. Resizing
//! matches Pillow's bit for bit: a browser's canvas gives other pixels, and so other
//! features.
//!
//! Deliberate differences from the reference:
//! - EXIF orientation is applied; `Image.open` leaves that to its caller.
//! - Pillow clips 16-bit grey at 255 when it converts to RGB, which whitens the picture;
//!   here the high byte counts, as for every other 16-bit picture.
//! - Pillow loads CMYK JPEGs as CMYK, and OpenCLIP resizes them so; here they are
//!   converted to RGB first.
//! - Pillow gives a frame whose own palette is the grey scale the colours of the file's
//!   palette, if there is one; here the frame is grey.
//! - JPEG and lossy WebP leave rounding to the decoder: pixels may differ by a few steps
//!   of 255 from those of libjpeg-turbo and libwebp.

mod config;
mod decode;
mod gif;
mod raw;
mod resize;
mod sniff;
mod tiff;

use thiserror::Error;

pub use config::{Crop, Interpolation, PreprocessConfig, Resize};
pub use decode::{DecodedImage, MAX_PIXELS, decode};

use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use decode::Alpha;
use resize::{Region, Rows};

/// Error of decoding or preprocessing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", self.to_diagnostic())]
pub enum PreprocessError {
    /// File without a byte.
    Empty,
    /// Format that is known but not supported.
    Unsupported(&'static str),
    /// Archive, named with its article.
    Archive(&'static str),
    /// Format that is not known.
    Unknown,
    /// File of this format that ends early.
    Truncated(&'static str),
    /// File that cannot be decoded.
    Broken {
        /// Name of the format.
        format: &'static str,
        /// The decoder's reason.
        reason: String,
    },
    /// Picture with too many pixels.
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Picture that does not fit the memory.
    Memory {
        /// Memory that it needs.
        bytes: u64,
    },
    /// Samples that are not as many as the size says.
    Shape {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes of a pixel.
        channels: u8,
        /// Number of bytes given.
        samples: usize,
    },
    /// Settings of the model that cannot be used.
    Config(String),
}

impl ToDiagnostic for PreprocessError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Empty => diagnostic!("empty-file", "the file is empty"),
            Self::Unsupported(format) => diagnostic!(
                "not-supported",
                "this is {format}, which is not supported: save it as JPEG or PNG",
                format
            ),
            Self::Archive(format) => diagnostic!(
                "archive",
                "this is {format}, not an image: unpack it",
                format
            ),
            Self::Unknown => diagnostic!(
                "not-an-image",
                "this is not a readable image: JPEG, PNG, WebP, GIF, BMP and TIFF are supported"
            ),
            Self::Truncated(format) => diagnostic!(
                "image-cut-off",
                "the {format} image is cut off: part of the file is missing, download or copy it again",
                format
            ),
            Self::Broken { format, reason } => diagnostic!(
                "image-damaged",
                "the {format} image is damaged ({reason}): open it in another program and save it again",
                format,
                reason
            ),
            Self::TooLarge { width, height } => diagnostic!(
                "image-too-large",
                "the image has {width} x {height} pixels ({megapixels} million); at most {limit} million are supported: make it smaller",
                megapixels = u64::from(*width) * u64::from(*height) / 1_000_000,
                limit = MAX_PIXELS / 1_000_000,
                width,
                height
            ),
            Self::Memory { bytes } => diagnostic!(
                "image-memory",
                "there is not enough memory for the image, which needs {megabytes} MB: make it smaller",
                megabytes = bytes / 1_000_000
            ),
            Self::Shape {
                width,
                height,
                channels,
                samples,
            } => diagnostic!(
                "image-shape",
                "{samples} bytes are not {width} x {height} pixels of {channels} bytes",
                samples,
                width,
                height,
                channels
            ),
            Self::Config(reason) => diagnostic!(
                "preprocessing-settings",
                "the model's preprocessing settings cannot be used: {reason}",
                reason
            ),
        }
    }
}

/// Input of the image encoder: `[3, image_size, image_size]`, red, green and blue planes,
/// normalised.
pub fn preprocess(picture: &DecodedImage, config: &PreprocessConfig) -> Vec<f32> {
    normalize(&preprocess_pixels(picture, config), config)
}

/// The whole picture at another size than the model's: `[3, height, width]`, red, green and blue
/// planes, normalised. Nothing is cropped; the sides are resized each by itself.
pub fn preprocess_whole(
    picture: &DecodedImage,
    config: &PreprocessConfig,
    [height, width]: [usize; 2],
) -> Vec<f32> {
    let region = Region {
        left: 0,
        top: 0,
        width,
        height,
    };
    let (samples, channels) = resized(picture, config, (width as u64, height as u64), region);
    let pixels: Vec<u8> = samples.chunks_exact(channels).flat_map(rgb).collect();
    normalize(&pixels, config)
}

/// Picture as RGB, `[height, width, 3]`, composited on `background` where it is transparent.
pub fn to_rgb(picture: &DecodedImage, background: [u8; 3]) -> Vec<u8> {
    let pixels = picture.samples().chunks_exact(picture.channels());
    match picture.alpha {
        Alpha::None => pixels.flat_map(rgb).collect(),
        _ => pixels.flat_map(|pixel| over(pixel, background)).collect(),
    }
}

/// `[height, width, 3]`, RGB from 0 to 255, to normalised planes `[3, height, width]`.
fn normalize(pixels: &[u8], config: &PreprocessConfig) -> Vec<f32> {
    let planes = [0, 1, 2].into_iter().flat_map(|channel| {
        let (mean, std) = (config.mean[channel], config.std[channel]);
        let plane = pixels.iter().skip(channel).step_by(3);
        plane.map(move |&value| (f32::from(value) / 255.0 - mean) / std)
    });
    planes.collect()
}

/// Picture before normalisation: `[image_size, image_size, 3]`, RGB from 0 to 255.
pub fn preprocess_pixels(picture: &DecodedImage, config: &PreprocessConfig) -> Vec<u8> {
    let side = config.image_size;
    let (width, height) = (picture.width(), picture.height());
    let (new_width, new_height) = config.resized(width, height);
    let columns = config.window(new_width);
    let rows = config.window(new_height);
    let region = Region {
        left: columns.start,
        top: rows.start,
        width: columns.length,
        height: rows.length,
    };
    let (cropped, channels) = resized(picture, config, (new_width, new_height), region);
    let mut out = vec![config.fill; side * side * 3];
    let cropped_rows = cropped.chunks_exact((region.width * channels).max(1));
    let out_rows = out.chunks_exact_mut((side * 3).max(1)).skip(rows.offset);
    for (from, to) in cropped_rows.zip(out_rows) {
        let pixels = to.as_chunks_mut::<3>().0.iter_mut().skip(columns.offset);
        for (pixel, samples) in pixels.zip(from.chunks_exact(channels)) {
            *pixel = rgb(samples);
        }
    }
    out
}

/// Region of the resized picture, `[height, width, channels]`, and its channels (at least 1).
fn resized(
    picture: &DecodedImage,
    config: &PreprocessConfig,
    (new_width, new_height): (u64, u64),
    region: Region,
) -> (Vec<u8>, usize) {
    let (width, height) = (picture.width(), picture.height());
    let source = Source::new(picture, config);
    let interpolation = if source.stepped {
        Interpolation::Nearest
    } else {
        config.interpolation
    };
    let same_size = (u64::from(width), u64::from(height)) == (new_width, new_height);
    let cropped = if same_size || interpolation == Interpolation::Nearest {
        resize::nearest(&source, (new_width, new_height), region)
    } else if source.alpha {
        // Premultiplied alpha, or the colour of transparent pixels would bleed in.
        let premultiplied = Premultiplied(&source);
        let mut resized = resize::resample(
            &premultiplied,
            (new_width, new_height),
            region,
            interpolation,
        );
        unpremultiply(&mut resized, source.channels);
        resized
    } else {
        resize::resample(&source, (new_width, new_height), region, interpolation)
    };

    (cropped, source.channels.max(1))
}

/// Converts a pixel to RGB; alpha is dropped.
fn rgb(samples: &[u8]) -> [u8; 3] {
    match *samples {
        [red, green, blue, ..] => [red, green, blue],
        [grey, ..] => [grey; 3],
        [] => [0; 3],
    }
}

/// Source rows in the channels in which they are resized, by Pillow's mode and the
/// config.
struct Source<'a> {
    picture: &'a DecodedImage,
    /// Background composited before resizing.
    background: Option<[u8; 3]>,
    /// Nearest-neighbour, as Pillow resizes palettes and black and white.
    stepped: bool,
    /// Whether the last channel is alpha.
    alpha: bool,
    channels: usize,
}

impl<'a> Source<'a> {
    fn new(picture: &'a DecodedImage, config: &PreprocessConfig) -> Self {
        let has_alpha = picture.alpha != Alpha::None;
        let background = config.background.filter(|_| has_alpha);
        let is_rgb = background.is_some() || config.convert_rgb_first;
        let alpha = picture.alpha == Alpha::Channel && !is_rgb;
        let colours = picture.channels() - usize::from(has_alpha);
        Self {
            picture,
            background,
            stepped: picture.stepped && !is_rgb,
            alpha,
            channels: match background {
                Some(_) => 3,
                None => colours + usize::from(alpha),
            },
        }
    }
}

impl Rows for Source<'_> {
    fn width(&self) -> u32 {
        self.picture.width()
    }

    fn height(&self) -> u32 {
        self.picture.height()
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn row<'b>(&'b self, y: usize, buffer: &'b mut Vec<u8>) -> &'b [u8] {
        let row = self.picture.row(y);
        let channels = self.picture.channels();
        if let Some(background) = self.background {
            let pixels = row.chunks_exact(channels);
            buffer.clear();
            buffer.extend(pixels.flat_map(|pixel| over(pixel, background)));
            buffer
        } else if self.channels == channels {
            row
        } else {
            buffer.clear();
            let pixels = row.chunks_exact(channels);
            buffer.extend(pixels.flat_map(|pixel| &pixel[..self.channels]));
            buffer
        }
    }
}

/// Composites a pixel on an opaque colour, with the integer arithmetic of Pillow's
/// `alpha_composite`.
fn over(pixel: &[u8], background: [u8; 3]) -> [u8; 3] {
    let alpha = u32::from(pixel.last().copied().unwrap_or(255));
    let colour = match *pixel {
        [grey, _] => [grey; 3],
        _ => rgb(pixel),
    };
    std::array::from_fn(|c| {
        let mixed = u32::from(colour[c]) * alpha + u32::from(background[c]) * (255 - alpha);
        let rounded = mixed + 0x80;
        (((rounded >> 8) + rounded) >> 8) as u8
    })
}

/// Rows with premultiplied alpha, the last channel.
struct Premultiplied<'a>(&'a Source<'a>);

impl Rows for Premultiplied<'_> {
    fn width(&self) -> u32 {
        self.0.width()
    }

    fn height(&self) -> u32 {
        self.0.height()
    }

    fn channels(&self) -> usize {
        self.0.channels
    }

    fn row<'b>(&'b self, y: usize, buffer: &'b mut Vec<u8>) -> &'b [u8] {
        buffer.clear();
        buffer.extend_from_slice(self.0.picture.row(y));
        for pixel in buffer.chunks_exact_mut(self.0.channels) {
            if let [colours @ .., alpha] = pixel {
                for colour in colours {
                    let product = u32::from(*colour) * u32::from(*alpha) + 128;
                    *colour = (((product >> 8) + product) >> 8) as u8;
                }
            }
        }
        buffer
    }
}

fn unpremultiply(samples: &mut [u8], channels: usize) {
    for pixel in samples.chunks_exact_mut(channels.max(1)) {
        if let [colours @ .., alpha @ 1..=254] = pixel {
            for colour in colours {
                *colour = (255 * u32::from(*colour) / u32::from(*alpha)).min(255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_picture_is_normalised_plane_by_plane() {
        let picture = DecodedImage::new(2, 2, 3, [255, 0, 51].repeat(4)).expect("picture");
        let config = PreprocessConfig {
            mean: [0.5, 0.5, 0.0],
            std: [0.5, 0.25, 1.0],
            ..PreprocessConfig::openai(3)
        };
        let values = preprocess(&picture, &config);
        assert_eq!(values.len(), 27);
        assert!(values[..9].iter().all(|&v| v == 1.0));
        assert!(values[9..18].iter().all(|&v| v == -2.0));
        assert!(values[18..].iter().all(|&v| v == 0.2));
    }

    #[test]
    fn the_whole_picture_is_seen_at_any_size() {
        // Left half red, right half blue; the crop of a wide picture would see neither end.
        let row = [[255, 0, 0], [0, 0, 255]]
            .map(|colour| colour.repeat(8))
            .concat();
        let picture = DecodedImage::new(16, 4, 3, row.repeat(4)).expect("picture");
        let config = PreprocessConfig {
            mean: [0.0; 3],
            std: [1.0; 3],
            interpolation: Interpolation::Nearest,
            ..PreprocessConfig::openai(4)
        };
        let values = preprocess_whole(&picture, &config, [2, 6]);
        let plane = [[1.0, 1.0, 1.0, 0.0, 0.0, 0.0].repeat(2), [0.0; 12].to_vec()];
        assert_eq!(values[..24], plane.concat());
        assert_eq!(values[24..27], [0.0; 3]);
        assert_eq!(values[27..30], [1.0; 3]);
        let clear = DecodedImage::new(1, 1, 4, vec![9, 9, 9, 0]).expect("picture");
        assert_eq!(to_rgb(&clear, [255; 3]), [255; 3]);
        assert_eq!(to_rgb(&picture, [255; 3])[..3], [255, 0, 0]);
    }

    #[test]
    fn extreme_shapes_and_sizes_do_not_fail() {
        for (width, height) in [(1, 1), (1, 5000), (70_000, 1), (3, 2)] {
            let picture = DecodedImage::new(width, height, 1, vec![9; (width * height) as usize])
                .expect("picture");
            for side in [1, 7, 224] {
                for resize in [
                    Resize::None,
                    Resize::Squash(side),
                    Resize::Shortest(side),
                    Resize::Longest(side),
                    Resize::Shortest(side + 3),
                ] {
                    for interpolation in Interpolation::ALL {
                        let config = PreprocessConfig {
                            resize,
                            interpolation,
                            fill: 9,
                            ..PreprocessConfig::openai(side)
                        };
                        let pixels = preprocess_pixels(&picture, &config);
                        assert_eq!(pixels.len(), side * side * 3);
                        assert!(
                            pixels.iter().all(|&v| v == 9),
                            "{width} {height} {side} {resize:?} {interpolation:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn clear_colours_do_not_bleed() {
        let picture =
            DecodedImage::new(2, 1, 4, vec![200, 100, 0, 255, 0, 0, 255, 0]).expect("picture");
        let config = PreprocessConfig::openai(1);
        // Half of 255 is 128 in integers, hence not quite 200 and 100.
        assert_eq!(
            preprocess_pixels(
                &picture,
                &PreprocessConfig {
                    resize: Resize::Squash(1),
                    ..config.clone()
                }
            ),
            [199, 99, 0]
        );
        let white = PreprocessConfig {
            resize: Resize::Squash(1),
            background: Some([255; 3]),
            ..config
        };
        assert_eq!(preprocess_pixels(&picture, &white), [228, 178, 128]);
    }
}
