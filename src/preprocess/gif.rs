//! First frame of a GIF, as Pillow loads it: with its palette, on a screen of its own.

use ::gif::{ColorOutput, DecodeOptions, DecodingError};
use image::ImageFormat;
use image::error::{self, ImageError};

use super::PreprocessError;
use super::decode::{Alpha, DecodedImage, MAX_PIXELS, explain, zeroed};

const FORMAT: &str = "GIF";
/// Length of the header and the description of the screen, and the place of its flags.
const HEADER: usize = 13;
const FLAGS: usize = 10;
const HAS_PALETTE: u8 = 0x80;

/// Decodes the first frame. What of the screen it leaves free shows the transparent index
/// or, without one, index 0. A palette that is the grey scale itself, or none at all, makes
/// a grey picture; an index beyond the end of another palette is black.
pub(super) fn decode(bytes: &[u8]) -> Result<DecodedImage, PreprocessError> {
    let with_palette;
    let bytes = match bytes.get(..HEADER) {
        // The decoder refuses a frame without a palette.
        Some(header) if header[FLAGS] & HAS_PALETTE == 0 => {
            let mut header = header.to_vec();
            header[FLAGS] |= HAS_PALETTE | 7;
            let grey = (0..=255).flat_map(|value| [value; 3]);
            with_palette = [header, grey.collect(), bytes[HEADER..].to_vec()].concat();
            &with_palette
        }
        _ => bytes,
    };
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let mut decoder = options.read_info(bytes).map_err(failed)?;
    let Some(frame) = decoder.next_frame_info().map_err(failed)? else {
        return Err(PreprocessError::Truncated(FORMAT));
    };
    let [left, top, frame_width, frame_height] =
        [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    let (own, transparent) = (frame.palette.clone(), frame.transparent);
    let palette = own.unwrap_or_else(|| decoder.global_palette().unwrap_or_default().to_vec());

    // A frame may be larger than the screen, which then grows.
    let width = usize::from(decoder.width()).max(left + frame_width);
    let height = usize::from(decoder.height()).max(top + frame_height);
    if width as u64 * height as u64 > MAX_PIXELS {
        let [width, height] = [width, height].map(|side| side as u32);
        return Err(PreprocessError::TooLarge { width, height });
    }
    let mut indices = zeroed((frame_width * frame_height) as u64)?;
    decoder.read_into_buffer(&mut indices).map_err(failed)?;

    let (colours, _) = palette.as_chunks::<3>();
    let mut numbered = (0..=255u8).zip(colours);
    let is_grey = numbered.all(|(index, colour)| *colour == [index; 3]);
    let colour = |index: u8| colours.get(usize::from(index)).copied().unwrap_or_default();
    let mut screen = zeroed((width * height) as u64)?;
    screen.fill(transparent.unwrap_or(0));
    let rows = screen.chunks_exact_mut(width.max(1)).skip(top);
    for (to, from) in rows.zip(indices.chunks_exact(frame_width.max(1))) {
        to[left..left + frame_width].copy_from_slice(from);
    }
    let has_key = transparent.is_some();
    let channels = (if is_grey { 1 } else { 3 }) + usize::from(has_key);
    let mut samples = zeroed((screen.len() * channels) as u64)?;
    for (pixel, index) in samples.chunks_exact_mut(channels).zip(screen) {
        match is_grey {
            true => pixel[0] = index,
            false => pixel[..3].copy_from_slice(&colour(index)),
        }
        if let (Some(transparent), Some(alpha)) = (transparent, pixel.last_mut()) {
            *alpha = if index == transparent { 0 } else { 255 };
        }
    }
    let mut picture = DecodedImage::new(width as u32, height as u32, channels as u8, samples)?;
    picture.stepped = !is_grey;
    if has_key {
        picture.alpha = Alpha::Key;
    }
    Ok(picture)
}

fn failed(error: DecodingError) -> PreprocessError {
    let error = match error {
        DecodingError::Io(error) => ImageError::IoError(error),
        other => ImageError::Decoding(error::DecodingError::new(ImageFormat::Gif.into(), other)),
    };
    explain(error, FORMAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Screen of 3 x 1 pixels, whose first frame shows the indices 1 and 2 from x = 1 on.
    fn file(palette: &[u8], own: &[u8]) -> Vec<u8> {
        let flags = |palette: &[u8]| match palette.len() {
            0 => 0,
            length => HAS_PALETTE | ((length / 3).ilog2() - 1) as u8,
        };
        let screen = [3, 0, 1, 0, flags(palette), 0, 0];
        let frame = [b',', 1, 0, 0, 0, 2, 0, 1, 0, flags(own)];
        // Codes of 3 bits: clear, 1, 2, end.
        let pixels = [2, 2, 0b1000_1100, 0b1010, 0, b';'];
        [&b"GIF89a"[..], &screen, palette, &frame, own, &pixels].concat()
    }

    #[test]
    fn a_frame_has_its_own_palette_or_that_of_the_file() {
        let colours = [9, 8, 7, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        let grey = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3];
        for (palette, own, expected) in [
            (&colours[..], &[][..], &[9, 8, 7, 1, 0, 0, 0, 2, 0][..]),
            (&grey, &colours, &[9, 8, 7, 1, 0, 0, 0, 2, 0]),
            (&colours, &grey, &[0, 1, 2]),
            (&[], &[], &[0, 1, 2]),
            // The last index is beyond the palette.
            (&colours[..6], &[], &[9, 8, 7, 1, 0, 0, 0, 0, 0]),
        ] {
            let picture = decode(&file(palette, own)).expect("picture");
            assert_eq!(picture.samples(), expected);
            assert_eq!(picture.stepped, expected.len() == 9);
        }
    }

    #[test]
    fn broken_headers_are_refused() {
        let whole = file(&[0, 0, 0, 1, 1, 1], &[]);
        for end in 6..whole.len() - 2 {
            let error = decode(&whole[..end]).expect_err("cut");
            assert!(error.to_string().contains("cut off"), "{end}: {error}");
        }
    }
}
