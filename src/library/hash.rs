//! Hashes of an image: of its file, and of what it looks like.

use sha2::{Digest, Sha256};

use crate::preprocess::DecodedImage;

/// SHA-256 of a file, in hexadecimal digits: equal files have equal hashes.
pub fn file_hash(bytes: &[u8]) -> String {
    (Sha256::digest(bytes).iter())
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Cells of the difference hash.
const COLUMNS: usize = 9;
const ROWS: usize = 8;

/// Difference hash (dHash) of 64 bits: the image is averaged to 9 x 8 grey cells, and each
/// bit says whether a cell is brighter than its right neighbour. Resized, recompressed or
/// slightly brightened copies differ in few bits.
pub fn difference_hash(picture: &DecodedImage) -> u64 {
    let cells = grey_cells(picture);
    let mut hash = 0;
    for row in cells.chunks(COLUMNS) {
        for pair in row.windows(2) {
            hash = hash << 1 | u64::from(pair[0] > pair[1]);
        }
    }
    hash
}

/// Mean brightness of each cell, `[ROWS, COLUMNS]`, in 1/1000 of a grey level. Transparent
/// pixels count as white.
fn grey_cells(picture: &DecodedImage) -> Vec<u64> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let channels = picture.channels();
    let grey = |pixel: &[u8]| -> u64 {
        let (colour, alpha) = match channels {
            2 | 4 => (&pixel[..channels - 1], u64::from(pixel[channels - 1])),
            _ => (pixel, 255),
        };
        let grey = match colour {
            [red, green, blue] => {
                // ITU-R BT.601, in thousandths.
                299 * u64::from(*red) + 587 * u64::from(*green) + 114 * u64::from(*blue)
            }
            _ => 1000 * u64::from(colour[0]),
        };
        (grey * alpha + 255_000 * (255 - alpha)) / 255
    };
    let span = |cell: usize, cells: usize, side: usize| {
        let start = cell * side / cells;
        // An image may have fewer pixels than there are cells.
        start..((cell + 1) * side / cells).max(start + 1).min(side)
    };
    let mut cells = Vec::with_capacity(COLUMNS * ROWS);
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let (mut sum, mut count) = (0, 0);
            for y in span(row, ROWS, height) {
                let line = &picture.samples()[y * width * channels..(y + 1) * width * channels];
                for x in span(column, COLUMNS, width) {
                    sum += grey(&line[x * channels..(x + 1) * channels]);
                    count += 1;
                }
            }
            cells.push(sum / count.max(1));
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, at: impl Fn(f32, f32) -> u8) -> DecodedImage {
        let samples = (0..width * height)
            .map(|i| {
                let (x, y) = (i % width, i / width);
                at(x as f32 / width as f32, y as f32 / height as f32)
            })
            .collect();
        DecodedImage::new(width, height, 1, samples).unwrap()
    }

    fn waves(x: f32, y: f32) -> u8 {
        (128.0 + 80.0 * (9.0 * x + 4.0 * y).sin() + 40.0 * (13.0 * y - 5.0 * x).cos()) as u8
    }

    #[test]
    fn a_resized_or_brighter_copy_has_nearly_the_same_hash() {
        let original = difference_hash(&picture(320, 240, waves));
        let small = difference_hash(&picture(96, 72, waves));
        let bright = difference_hash(&picture(320, 240, |x, y| waves(x, y).saturating_add(5)));
        assert!((original ^ small).count_ones() <= 3);
        assert!((original ^ bright).count_ones() <= 3);
        let other = difference_hash(&picture(320, 240, |x, y| waves(1.0 - x, y)));
        assert!((original ^ other).count_ones() > 10);
    }

    #[test]
    fn a_falling_ramp_sets_every_bit_and_a_rising_one_none() {
        let falling = picture(90, 80, |x, _| 250 - (x * 200.0) as u8);
        assert_eq!(difference_hash(&falling), u64::MAX);
        let rising = picture(90, 80, |x, _| (x * 200.0) as u8);
        assert_eq!(difference_hash(&rising), 0);
    }

    #[test]
    fn a_single_pixel_has_a_hash() {
        assert_eq!(difference_hash(&picture(1, 1, |_, _| 7)), 0);
    }

    #[test]
    fn hidden_colours_do_not_count() {
        let samples = |hidden: u8| [hidden, hidden, hidden, 0].repeat(64);
        let hash = |hidden| {
            let picture = DecodedImage::new(8, 8, 4, samples(hidden)).unwrap();
            difference_hash(&picture)
        };
        assert_eq!(hash(0), hash(200));
    }

    #[test]
    fn equal_files_have_equal_hashes() {
        // FIPS 180-4's example.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(file_hash(b"abc"), expected);
    }
}
