//! Small images as `data:` addresses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::preprocess::decode;

/// Files up to this size stay as they are.
const MAX_BYTES: usize = 16_000;
/// Longer side of others, in pixels.
const SIDE: u32 = 256;

/// `data:` address of an image file, made smaller if it is large; `None` if it is no image
/// that can be read.
pub fn thumbnail(bytes: &[u8]) -> Option<String> {
    let kind = match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [0xff, 0xd8, ..] => Some("jpeg"),
        [b'R', b'I', b'F', b'F', rest @ ..] if rest.get(4..8) == Some(b"WEBP") => Some("webp"),
        _ => None,
    };
    if let Some(kind) = kind.filter(|_| bytes.len() <= MAX_BYTES) {
        return Some(format!("data:image/{kind};base64,{}", BASE64.encode(bytes)));
    }
    let picture = decode(bytes).ok()?;
    let pixels = picture.samples().chunks_exact(picture.channels());
    let samples = pixels.flat_map(|pixel| match *pixel {
        [red, green, blue, ..] => [red, green, blue],
        [grey, ..] => [grey; 3],
        [] => [0; 3],
    });
    let whole = image::RgbImage::from_raw(picture.width(), picture.height(), samples.collect())?;
    let share = f64::from(SIDE) / f64::from(whole.width().max(whole.height()).max(SIDE));
    let side = |length: u32| ((f64::from(length) * share) as u32).max(1);
    let small = image::imageops::thumbnail(&whole, side(whole.width()), side(whole.height()));
    let mut jpeg = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 80);
    encoder.encode_image(&small).ok()?;
    Some(format!("data:image/jpeg;base64,{}", BASE64.encode(jpeg)))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn large_images_become_small_and_others_stay() {
        let png = |side: u32| {
            let mut bytes = Cursor::new(Vec::new());
            let noise = |x: u32, y: u32| image::Rgb([(x * 37 + y * 91) as u8, (x * y) as u8, 7]);
            image::RgbImage::from_fn(side, 2 * side, noise)
                .write_to(&mut bytes, image::ImageFormat::Png)
                .unwrap();
            bytes.into_inner()
        };
        let small = png(4);
        let kept = thumbnail(&small).unwrap();
        assert_eq!(
            kept,
            format!("data:image/png;base64,{}", BASE64.encode(&small))
        );
        let made = thumbnail(&png(400)).unwrap();
        let jpeg = BASE64
            .decode(made.strip_prefix("data:image/jpeg;base64,").unwrap())
            .unwrap();
        let read = image::load_from_memory(&jpeg).unwrap();
        assert_eq!((read.width(), read.height()), (128, 256));
        assert_eq!(thumbnail(b"RIFF"), None);
    }
}
