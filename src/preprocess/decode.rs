//! Picture decoding, with EXIF orientation applied.

use std::error::Error as _;
use std::io::{self, Cursor};

use image::error::ImageError;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::PreprocessError;
use super::gif;
use super::raw;
use super::sniff::{self, Storage};
use super::tiff;

/// Maximum number of pixels: larger pictures would take gigabytes.
pub const MAX_PIXELS: u64 = 200_000_000;

/// Memory limit of a decoder, beside the pixels.
const MAX_ALLOCATION: u64 = 1 << 31;

/// Decoded picture: 8 bits per channel, rows from top to bottom, upright.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodedImage {
    width: u32,
    height: u32,
    /// 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
    channels: u8,
    /// `[height, width, channels]`.
    samples: Vec<u8>,
    pub(super) alpha: Alpha,
    /// Pillow would load it as a palette or as black and white, and resize it without
    /// interpolation.
    pub(super) stepped: bool,
    /// When it was taken, as EXIF writes it.
    pub(super) taken: Option<String>,
}

/// Kind of the alpha channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpha {
    None,
    /// An alpha channel in Pillow, too: it weighs the colours in resizing.
    Channel,
    /// Derived from a transparent colour or index, which Pillow ignores in resizing.
    Key,
}

impl std::fmt::Debug for DecodedImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            width,
            height,
            channels,
            alpha,
            stepped,
            ..
        } = self;
        write!(
            f,
            "DecodedImage({width} x {height} x {channels}, alpha {alpha:?}, stepped {stepped})"
        )
    }
}

impl DecodedImage {
    /// From pixels: `samples` is `[height, width, channels]`, with 1 (grey), 2 (grey,
    /// alpha), 3 (RGB) or 4 (RGB, alpha) channels.
    pub fn new(
        width: u32,
        height: u32,
        channels: u8,
        samples: Vec<u8>,
    ) -> Result<Self, PreprocessError> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels > MAX_PIXELS {
            return Err(PreprocessError::TooLarge { width, height });
        }
        let length = u64::from(channels) * pixels;
        if pixels == 0 || !(1..=4).contains(&channels) || samples.len() as u64 != length {
            let samples = samples.len();
            return Err(PreprocessError::Shape {
                width,
                height,
                channels,
                samples,
            });
        }
        let alpha = if channels.is_multiple_of(2) {
            Alpha::Channel
        } else {
            Alpha::None
        };
        Ok(Self {
            width,
            height,
            channels,
            samples,
            alpha,
            stepped: false,
            taken: None,
        })
    }

    /// In pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// In pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha).
    pub fn channels(&self) -> usize {
        usize::from(self.channels)
    }

    /// `[height, width, channels]`.
    pub fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// When it was taken, by its EXIF data: `2024:06:01 12:30:00`, the camera's time.
    pub fn taken(&self) -> Option<&str> {
        self.taken.as_deref()
    }

    /// Row `y`, `[width, channels]`.
    pub(super) fn row(&self, y: usize) -> &[u8] {
        let length = self.width as usize * self.channels();
        &self.samples[y * length..(y + 1) * length]
    }
}

/// Decodes PNG, JPEG, WebP, GIF (its first frame), BMP, TIFF (its first page), or the preview
/// in a camera raw file, and applies the EXIF orientation.
///
/// The format is detected from the content. At most [`MAX_PIXELS`].
pub fn decode(bytes: &[u8]) -> Result<DecodedImage, PreprocessError> {
    if bytes.is_empty() {
        return Err(PreprocessError::Empty);
    }
    if raw::is_raw(bytes) {
        let preview = raw::preview(bytes).ok_or(PreprocessError::Unsupported(
            "a camera raw image without a preview",
        ))?;
        let turned = preview.orientation.and_then(Orientation::from_exif);
        let mut picture = decode_as(preview.jpeg, ImageFormat::Jpeg, "JPEG", turned)?;
        picture.taken = preview.taken.or(picture.taken);
        return Ok(picture);
    }
    let Some((format, name)) = supported(bytes) else {
        return Err(match sniff::unsupported(bytes) {
            Some(kind) if kind.ends_with("archive") => PreprocessError::Archive(kind),
            Some(kind) => PreprocessError::Unsupported(kind),
            None => PreprocessError::Unknown,
        });
    };
    match format {
        ImageFormat::Gif => gif::decode(bytes),
        format => decode_as(bytes, format, name, None),
    }
}

/// `turned` is the orientation of a picture without EXIF data.
fn decode_as(
    bytes: &[u8],
    format: ImageFormat,
    name: &'static str,
    turned: Option<Orientation>,
) -> Result<DecodedImage, PreprocessError> {
    let storage = match format {
        ImageFormat::Png => sniff::png(bytes),
        ImageFormat::Bmp => sniff::bmp(bytes),
        _ => None,
    };
    let whole = match format {
        // Their decoders return truncated pictures, or report the end as damage.
        ImageFormat::Jpeg => sniff::jpeg_ends(bytes),
        ImageFormat::WebP => sniff::webp_ends(bytes),
        _ => true,
    };
    if !whole {
        return Err(PreprocessError::Truncated(name));
    }
    let failed = |error: ImageError| explain(error, name);

    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    // The pixel limit is checked below, before anything is allocated.
    reader.no_limits();
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS {
        return Err(PreprocessError::TooLarge { width, height });
    }
    // Before memory for them is taken.
    if pixels_per_byte(format, bytes).is_some_and(|most| pixels > most * bytes.len() as u64) {
        return Err(PreprocessError::Truncated(name));
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOCATION);
    decoder.set_limits(limits).map_err(failed)?;
    let exif = decoder.exif_metadata().ok().flatten();
    let orientation = match (&exif, turned) {
        (None, Some(turned)) => turned,
        // A damaged orientation tag is no reason to reject the picture.
        _ => decoder.orientation().unwrap_or(Orientation::NoTransforms),
    };
    let taken = match format {
        ImageFormat::Tiff => tiff::taken(bytes),
        _ => exif.and_then(|exif| tiff::taken(&exif)),
    };
    let colour = decoder.color_type();
    let mut samples = zeroed(decoder.total_bytes())?;
    decoder.read_image(&mut samples).map_err(failed)?;

    let (channels, wide) = match colour {
        ColorType::L8 => (1, false),
        ColorType::La8 => (2, false),
        ColorType::Rgb8 => (3, false),
        ColorType::Rgba8 => (4, false),
        ColorType::L16 => (1, true),
        ColorType::La16 => (2, true),
        ColorType::Rgb16 => (3, true),
        ColorType::Rgba16 => (4, true),
        other => {
            let reason = format!("its pixels are {other:?}");
            return Err(PreprocessError::Broken {
                format: name,
                reason,
            });
        }
    };
    if wide {
        keep_high_bytes(&mut samples);
    }
    let mut picture = DecodedImage::new(width, height, channels, samples)?;
    let Storage { stepped, keyed } = storage.unwrap_or_default();
    picture.stepped = stepped;
    picture.taken = taken;
    if keyed && picture.alpha == Alpha::Channel {
        picture.alpha = Alpha::Key;
    }
    upright(picture, orientation)
}

/// Maximum number of pixels that a byte of a whole file can hold; `None` for formats that have
/// none, since an area of one colour may take no bits.
fn pixels_per_byte(format: ImageFormat, bytes: &[u8]) -> Option<u64> {
    match format {
        // Deflate repeats 258 bytes in two bits.
        ImageFormat::Png => {
            let channels = match bytes.get(25)? {
                2 => 3,
                4 => 2,
                6 => 4,
                _ => 1,
            };
            let bits = channels * u64::from(*bytes.get(24)?);
            (8 * 258 * 4u64).checked_div(bits)
        }
        // A block of 8 x 8 pixels takes a bit at least.
        ImageFormat::Jpeg => Some(8 * 64),
        _ => None,
    }
}

fn supported(bytes: &[u8]) -> Option<(ImageFormat, &'static str)> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some((ImageFormat::Png, "PNG"))
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some((ImageFormat::Jpeg, "JPEG"))
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some((ImageFormat::WebP, "WebP"))
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Some((ImageFormat::Gif, "GIF"))
    } else if bytes.starts_with(b"BM") {
        Some((ImageFormat::Bmp, "BMP"))
    } else if [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]
        .iter()
        .any(|magic| bytes.starts_with(*magic))
    {
        Some((ImageFormat::Tiff, "TIFF"))
    } else {
        None
    }
}

/// Converts a decoder's error.
pub(super) fn explain(error: ImageError, format: &'static str) -> PreprocessError {
    match error {
        ImageError::Limits(_) => PreprocessError::Memory {
            bytes: MAX_ALLOCATION,
        },
        error if is_cut_off(&error) => PreprocessError::Truncated(format),
        error => PreprocessError::Broken {
            format,
            reason: error.to_string(),
        },
    }
}

/// Whether an error was caused by an unexpected end of file.
fn is_cut_off(error: &ImageError) -> bool {
    let is_end = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    if let ImageError::IoError(error) = error {
        return is_end(error);
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.downcast_ref::<io::Error>().is_some_and(is_end) {
            return true;
        }
        source = cause.source();
    }
    // The GIF decoder reports it as a message only.
    error
        .to_string()
        .to_ascii_lowercase()
        .contains("end of file")
}

/// Zeroed buffer, or an error if out of memory: a plain allocation would abort.
pub(super) fn zeroed(bytes: u64) -> Result<Vec<u8>, PreprocessError> {
    let memory = PreprocessError::Memory { bytes };
    let Ok(length) = usize::try_from(bytes) else {
        return Err(memory);
    };
    let mut samples = Vec::new();
    if samples.try_reserve_exact(length).is_err() {
        return Err(memory);
    }
    samples.resize(length, 0);
    Ok(samples)
}

/// Converts native-endian 16-bit samples to 8 bits, in place.
fn keep_high_bytes(samples: &mut Vec<u8>) {
    for index in 0..samples.len() / 2 {
        let value = u16::from_ne_bytes([samples[2 * index], samples[2 * index + 1]]);
        samples[index] = (value >> 8) as u8;
    }
    samples.truncate(samples.len() / 2);
    samples.shrink_to_fit();
}

/// Rotates and flips a picture by its EXIF orientation.
fn upright(
    picture: DecodedImage,
    orientation: Orientation,
) -> Result<DecodedImage, PreprocessError> {
    // Whether rows and columns are swapped, and which axes are flipped.
    let (turned, from_right, from_bottom) = match orientation {
        Orientation::NoTransforms => return Ok(picture),
        Orientation::FlipHorizontal => (false, true, false),
        Orientation::Rotate180 => (false, true, true),
        Orientation::FlipVertical => (false, false, true),
        Orientation::Rotate90FlipH => (true, false, false),
        Orientation::Rotate90 => (true, false, true),
        Orientation::Rotate270FlipH => (true, true, true),
        Orientation::Rotate270 => (true, true, false),
    };
    let channels = picture.channels();
    let (old_width, old_height) = (picture.width as usize, picture.height as usize);
    let width = if turned { old_height } else { old_width };
    let mut samples = zeroed(picture.samples.len() as u64)?;
    for (y, row) in samples.chunks_exact_mut(width * channels).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            let (mut from_x, mut from_y) = if turned { (y, x) } else { (x, y) };
            if from_right {
                from_x = old_width - 1 - from_x;
            }
            if from_bottom {
                from_y = old_height - 1 - from_y;
            }
            let at = (from_y * old_width + from_x) * channels;
            pixel.copy_from_slice(&picture.samples[at..at + channels]);
        }
    }
    let (width, height) = if turned {
        (picture.height, picture.width)
    } else {
        (picture.width, picture.height)
    };
    debug_assert_eq!(
        (width as usize) * (height as usize) * channels,
        samples.len()
    );
    Ok(DecodedImage {
        width,
        height,
        samples,
        ..picture
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_as_exif_numbers_it() {
        // EXIF gives the side of the scene at row 0 and column 0: 1 top left, 2 top
        // right, 3 bottom right, 4 bottom left, 5 left top, 6 right top, 7 right bottom,
        // 8 left bottom.
        let picture = DecodedImage::new(3, 2, 1, vec![1, 2, 3, 4, 5, 6]).expect("picture");
        for (exif, width, expected) in [
            (1, 3, [1, 2, 3, 4, 5, 6]),
            (2, 3, [3, 2, 1, 6, 5, 4]),
            (3, 3, [6, 5, 4, 3, 2, 1]),
            (4, 3, [4, 5, 6, 1, 2, 3]),
            (5, 2, [1, 4, 2, 5, 3, 6]),
            (6, 2, [4, 1, 5, 2, 6, 3]),
            (7, 2, [6, 3, 5, 2, 4, 1]),
            (8, 2, [3, 6, 2, 5, 1, 4]),
        ] {
            let orientation = Orientation::from_exif(exif).expect("orientation");
            let turned = upright(picture.clone(), orientation).expect("picture");
            assert_eq!(
                (turned.width(), turned.samples()),
                (width, &expected[..]),
                "{exif}"
            );
        }
    }

    #[test]
    fn tiff_pictures_are_read() {
        use image::codecs::tiff::TiffEncoder;
        use image::{ExtendedColorType, ImageEncoder};

        let tiff = |samples: &[u8], colour| {
            let mut file = Cursor::new(Vec::new());
            (TiffEncoder::new(&mut file).write_image(samples, 2, 2, colour)).expect("encoded");
            file.into_inner()
        };
        let samples: Vec<u8> = (0..16).map(|i| i * 13).collect();
        for (channels, colour) in [
            (1, ExtendedColorType::L8),
            (3, ExtendedColorType::Rgb8),
            (4, ExtendedColorType::Rgba8),
        ] {
            let file = tiff(&samples[..4 * channels], colour);
            let picture = decode(&file).expect("picture");
            assert_eq!(picture.channels(), channels);
            assert_eq!(picture.samples(), &samples[..4 * channels]);
            for end in 0..file.len() {
                let _ = decode(&file[..end]);
            }
        }
        // The high bytes of 16 bits.
        let wide: Vec<u8> = [10u16, 2000, 30_000, 65_535]
            .into_iter()
            .flat_map(u16::to_ne_bytes)
            .collect();
        let picture = decode(&tiff(&wide, ExtendedColorType::L16)).expect("picture");
        assert_eq!(picture.samples(), [0, 7, 117, 255]);
        let error = decode(b"II*\0\x08\0\0\0")
            .expect_err("no picture")
            .to_string();
        assert!(error.contains("TIFF"), "{error}");
    }

    #[test]
    fn the_date_is_read_from_a_jpeg() {
        let exif = tiff::tests::exif("2024:06:01 12:30:00");
        let jpeg = include_bytes!("../../assets/samples/cat.jpg");
        let mut dated = b"\xff\xd8\xff\xe1".to_vec();
        dated.extend((exif.len() as u16 + 8).to_be_bytes());
        dated.extend(b"Exif\0\0");
        dated.extend(&exif);
        dated.extend(&jpeg[2..]);
        let picture = decode(&dated).expect("picture");
        assert_eq!(picture.taken(), Some("2024:06:01 12:30:00"));
        assert_eq!(decode(jpeg).expect("picture").taken(), None);
    }

    #[test]
    fn refuses_shapes_that_do_not_fit() {
        assert!(DecodedImage::new(2, 2, 3, vec![0; 12]).is_ok());
        for (width, height, channels) in [(2, 2, 4), (0, 2, 3), (2, 2, 0), (12, 1, 1), (1, 1, 12)] {
            let result = DecodedImage::new(width, height, channels, vec![0; 11]);
            assert!(matches!(result, Err(PreprocessError::Shape { .. })));
        }
        let huge = DecodedImage::new(u32::MAX, u32::MAX, 4, Vec::new());
        assert!(matches!(huge, Err(PreprocessError::TooLarge { .. })));
    }

    #[test]
    fn says_what_is_wrong() {
        let message = |bytes: &[u8]| decode(bytes).expect_err("no picture").to_string();
        assert!(message(b"").contains("empty"));
        assert!(message(b"hello world").contains("not a readable image"));
        assert!(message(b"\0\0\0\x18ftypheic....").contains("HEIC"));
        for archive in [
            &b"PK\x03\x04"[..],
            b"\x1f\x8b",
            b"7z\xbc\xaf\x27\x1c",
            b"Rar!\x1a\x07",
        ] {
            assert!(message(archive).contains("archive, not an image: unpack it"));
        }
        assert!(message(b"\xff\xd8\xff\xe0\0\x10JFIF").contains("cut off"));
        assert!(message(b"GIF89a").contains("cut off"));
        assert!(message(b"BM").contains("cut off"));
        assert!(message(b"RIFF\x40\0\0\0WEBP").contains("cut off"));
        assert!(message(b"RIFF\0\0\0\0WEBP").contains("WebP"));
        let mut png =
            b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\x01\x86\xa0\0\x01\x86\xa0\x08\x02\0\0\0".to_vec();
        assert!(message(&png).contains("cut off"), "{}", message(&png));
        png.extend_from_slice(&[0x4b, 0x0e, 0x3b, 0xb4]); // not the checksum
        assert!(message(&png).contains("PNG"));
    }
}
