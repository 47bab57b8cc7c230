//! Camera raw files: the JPEG preview that the camera has put into them.
//!
//! Most are TIFF (CR2, NEF, ARW, DNG, PEF, SRW; ORF and RW2 but for the magic number), whose
//! directories lead to the previews. RAF names its preview in the header. In other files
//! (CR3, and ORF, whose preview is known only to Olympus's own notes) the JPEGs are searched
//! for. The largest one is taken.

use super::decode::MAX_PIXELS;
use super::tiff::{self, Field, Tiff};

/// Largest preview of a raw file.
pub(super) struct Preview<'a> {
    /// JPEG file.
    pub jpeg: &'a [u8],
    /// EXIF orientation of the raw file: previews often have none of their own.
    pub orientation: Option<u8>,
    /// When the picture was taken, as EXIF writes it.
    pub taken: Option<String>,
}

const NEW_SUBFILE_TYPE: u16 = 0x00fe;
const COMPRESSION: u16 = 0x0103;
const STRIP_OFFSETS: u16 = 0x0111;
const ORIENTATION: u16 = 0x0112;
const STRIP_BYTE_COUNTS: u16 = 0x0117;
const SUB_DIRECTORIES: u16 = 0x014a;
const JPEG_OFFSET: u16 = 0x0201;
const JPEG_LENGTH: u16 = 0x0202;
/// Panasonic's preview, in the directory itself.
const JPEG_FROM_RAW: u16 = 0x002e;
const DNG_VERSION: u16 = 0xc612;
/// Compressions that only cameras use: Sony, Samsung, Nikon, Kodak, Pentax.
const CAMERA_COMPRESSIONS: [u32; 5] = [32767, 32770, 34713, 65000, 65535];

const RAF: &[u8] = b"FUJIFILMCCD-RAW ";

fn is_cr3(bytes: &[u8]) -> bool {
    bytes.get(4..12) == Some(b"ftypcrx ")
}

/// Whether a file is a camera's raw file, and not a TIFF picture.
pub(super) fn is_raw(bytes: &[u8]) -> bool {
    if bytes.starts_with(RAF) || is_cr3(bytes) {
        return true;
    }
    let Some(tiff) = Tiff::new(bytes) else {
        return false;
    };
    let plain = matches!(bytes.get(..4), Some(b"II*\0" | b"MM\0*"));
    if !plain || bytes.get(8..10) == Some(b"CR") {
        return true;
    }
    let directories = tiff.directories(&[SUB_DIRECTORIES]);
    // The first image of a raw file is a reduced one.
    let reduced = directories.first().is_some_and(|first| {
        number(tiff, first, NEW_SUBFILE_TYPE).is_some_and(|kind| kind & 1 == 1)
    });
    reduced
        || directories.iter().any(|fields| {
            number(tiff, fields, DNG_VERSION).is_some()
                || number(tiff, fields, COMPRESSION)
                    .is_some_and(|kind| CAMERA_COMPRESSIONS.contains(&kind))
        })
}

/// The largest JPEG in a raw file.
pub(super) fn preview(bytes: &[u8]) -> Option<Preview<'_>> {
    let tiff = Tiff::new(bytes);
    let mut found = match tiff {
        Some(tiff) => in_directories(tiff, bytes),
        None if bytes.starts_with(RAF) => in_raf_header(bytes).into_iter().collect(),
        None => Vec::new(),
    };
    found.retain(|jpeg| pixels(jpeg).is_some());
    if found.is_empty() {
        found = search(bytes);
    }
    let jpeg = found.into_iter().max_by_key(|jpeg| pixels(jpeg))?;
    let (facts, date) = match tiff {
        Some(tiff) => (Some(tiff), tiff::taken(bytes)),
        None => {
            let part = |name| named_part(bytes, name);
            let date = part(b"CMT2").and_then(tiff::taken);
            (part(b"CMT1").and_then(Tiff::new), date)
        }
    };
    let orientation = facts.and_then(|tiff| {
        let directories = tiff.directories(&[]);
        u8::try_from(number(tiff, directories.first()?, ORIENTATION)?).ok()
    });
    Some(Preview {
        jpeg,
        orientation,
        taken: date,
    })
}

/// TIFF data after a name in the header of a CR3 file.
fn named_part<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    const HEADER: usize = 1 << 16;
    let header = &bytes[..bytes.len().min(HEADER)];
    let at = header.windows(4).position(|window| window == name)?;
    bytes.get(at + 4..)
}

fn number<'a>(tiff: Tiff<'a>, fields: &[Field<'a>], tag: u16) -> Option<u32> {
    let field = fields.iter().find(|field| field.tag == tag)?;
    tiff.numbers(field).next()
}

fn in_directories<'a>(tiff: Tiff<'a>, bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut found = Vec::new();
    for fields in tiff.directories(&[SUB_DIRECTORIES]) {
        for (offset, length) in [
            (JPEG_OFFSET, JPEG_LENGTH),
            (STRIP_OFFSETS, STRIP_BYTE_COUNTS),
        ] {
            let part = || {
                let start = number(tiff, &fields, offset)? as usize;
                let length = number(tiff, &fields, length)? as usize;
                bytes.get(start..start.checked_add(length)?)
            };
            found.extend(part());
        }
        let inside = fields.iter().find(|field| field.tag == JPEG_FROM_RAW);
        found.extend(inside.map(|field| field.data));
    }
    found
}

fn in_raf_header(bytes: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes) as usize)
    };
    let (start, length) = (word(84)?, word(88)?);
    bytes.get(start..start.checked_add(length)?)
}

/// JPEGs anywhere in a file, each with all that follows it.
fn search(bytes: &[u8]) -> Vec<&[u8]> {
    /// More are not looked at: a file made of beginnings would take long.
    const MAX: usize = 10_000;
    (bytes.windows(3).enumerate())
        .filter(|(_, window)| *window == [0xff, 0xd8, 0xff])
        .take(MAX)
        .map(|(at, _)| &bytes[at..])
        .filter(|jpeg| pixels(jpeg).is_some())
        .collect()
}

/// Number of pixels of a JPEG that viewers can show: 8 bits, not lossless, as raw data often
/// are.
fn pixels(jpeg: &[u8]) -> Option<u64> {
    /// Segments before the frame header: a few dozen with a large colour profile.
    const MAX_SEGMENTS: usize = 300;
    let mut at = 2;
    if !jpeg.starts_with(&[0xff, 0xd8, 0xff]) {
        return None;
    }
    for _ in 0..MAX_SEGMENTS {
        let segment = jpeg.get(at..)?;
        let [0xff, marker, high, low, ..] = *segment else {
            return None;
        };
        match marker {
            0xff => at += 1,
            // Baseline, extended and progressive frames.
            0xc0..=0xc2 => {
                let [8, y1, y0, x1, x0, 1 | 3 | 4, ..] = *segment.get(4..)? else {
                    return None;
                };
                let [width, height] = [[x1, x0], [y1, y0]].map(u16::from_be_bytes);
                let pixels = u64::from(width) * u64::from(height);
                return (1..=MAX_PIXELS).contains(&pixels).then_some(pixels);
            }
            // Quantisation and Huffman tables, restart intervals, application data, comments.
            0xc4 | 0xdb | 0xdd | 0xe0..=0xef | 0xfe => {
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tiff::tests::{exif, tiff};
    use super::super::{PreprocessError, decode};
    use super::*;

    const JPEG: &[u8] = include_bytes!("../../assets/samples/cat.jpg");

    /// Beginning of a small JPEG: enough to be measured, not to be decoded.
    fn small() -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 4, 0, 6, 1, 1, 0x11, 0];
        bytes.resize(40, 0);
        bytes
    }

    fn same_picture(raw: &[u8]) {
        assert!(is_raw(raw));
        let expected = decode(JPEG).unwrap();
        let found = decode(raw).unwrap();
        assert_eq!(found.samples(), expected.samples());
    }

    #[test]
    fn the_largest_jpeg_of_the_directories_is_taken() {
        // NEF, ARW: the first directory is a reduced image; previews by offset and length.
        // Directories: 8 + 42, 50 + 30 = 80.
        let rest = [small(), JPEG.to_vec()].concat();
        let raw = tiff(
            &[
                &[
                    (NEW_SUBFILE_TYPE, 4, 1, 1),
                    (JPEG_OFFSET, 4, 1, 80),
                    (JPEG_LENGTH, 4, 1, 40),
                ],
                &[
                    (JPEG_OFFSET, 4, 1, 120),
                    (JPEG_LENGTH, 4, 1, JPEG.len() as u32),
                ],
            ],
            &rest,
        );
        same_picture(&raw);

        // DNG: a preview in one strip, in a directory below the first. 8 + 42 = 50, + 30 = 80.
        let mut raw = tiff(
            &[&[
                (DNG_VERSION, 1, 4, 0x0401),
                (NEW_SUBFILE_TYPE, 4, 1, 0),
                (SUB_DIRECTORIES, 4, 1, 50),
            ]],
            &[],
        );
        raw.extend(2u16.to_le_bytes());
        for (tag, value) in [
            (STRIP_OFFSETS, 80u32),
            (STRIP_BYTE_COUNTS, JPEG.len() as u32),
        ] {
            raw.extend(tag.to_le_bytes());
            raw.extend(4u16.to_le_bytes());
            raw.extend(1u32.to_le_bytes());
            raw.extend(value.to_le_bytes());
        }
        raw.extend([0; 4]);
        raw.extend(JPEG);
        same_picture(&raw);

        // CR2: its mark stands before the first directory, which begins at 16.
        let fields = [
            (STRIP_OFFSETS, 4, 1, 46),
            (STRIP_BYTE_COUNTS, 4, 1, JPEG.len() as u32),
        ];
        let mut raw = tiff(&[&fields], JPEG);
        raw.splice(8..8, *b"CR\x02\0\0\0\0\0");
        raw[4] = 16;
        same_picture(&raw);

        // RW2: the preview is in the directory itself, 8 + 18 = 26.
        let mut raw = tiff(&[&[(JPEG_FROM_RAW, 7, JPEG.len() as u32, 26)]], JPEG);
        raw[..4].copy_from_slice(b"IIU\0");
        same_picture(&raw);
    }

    #[test]
    fn other_files_name_their_preview_or_are_searched() {
        let mut raf = RAF.to_vec();
        raf.resize(100, 0);
        raf[84..88].copy_from_slice(&100u32.to_be_bytes());
        raf[88..92].copy_from_slice(&(JPEG.len() as u32).to_be_bytes());
        raf.extend(JPEG);
        raf.extend([0xaa; 50]);
        same_picture(&raf);

        let mut orf = tiff(&[&[]], &[0xff, 0xd8, 0xff, 0x13]);
        orf[..4].copy_from_slice(b"IIRO");
        orf.extend(small());
        orf.extend(JPEG);
        same_picture(&orf);

        let mut cr3 = b"\0\0\0\x18ftypcrx \0\0\0\0crx isom".to_vec();
        cr3.extend(b"CMT1");
        // Turned by a quarter.
        cr3.extend(tiff(&[&[(ORIENTATION, 3, 1, 6)]], &[]));
        cr3.extend(b"CMT2");
        cr3.extend(exif("2024:06:01 12:30:00"));
        cr3.extend(JPEG);
        let preview = preview(&cr3).unwrap();
        assert_eq!(preview.orientation, Some(6));
        let picture = decode(&cr3).unwrap();
        assert_eq!(picture.taken(), Some("2024:06:01 12:30:00"));
        let upright = decode(JPEG).unwrap();
        assert_eq!(
            (picture.width(), picture.height()),
            (upright.height(), upright.width())
        );
    }

    #[test]
    fn a_tiff_picture_is_no_raw_file() {
        assert!(!is_raw(&tiff(&[&[(COMPRESSION, 3, 1, 1)]], &[])));
        assert!(is_raw(&tiff(&[&[(COMPRESSION, 3, 1, 34713)]], &[])));
        for other in [&b""[..], b"II*\0", JPEG, b"\0\0\0\x18ftypheic"] {
            assert!(!is_raw(other));
        }
    }

    #[test]
    fn files_without_a_preview_say_so() {
        let raw = tiff(&[&[(NEW_SUBFILE_TYPE, 4, 1, 1)]], &[0x55; 1000]);
        let error = decode(&raw).unwrap_err();
        assert!(matches!(error, PreprocessError::Unsupported(_)));
        assert!(error.to_string().contains("preview"), "{error}");
    }

    #[test]
    fn hostile_files_end_nowhere() {
        let whole = {
            let fields = [
                (NEW_SUBFILE_TYPE, 4, 1, 1),
                (JPEG_OFFSET, 4, 1, 50),
                (JPEG_LENGTH, 4, 1, 40),
            ];
            tiff(&[&fields], &small())
        };
        for end in 0..whole.len() {
            let _ = (is_raw(&whole[..end]), preview(&whole[..end]));
        }
        for place in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] = value;
                let _ = (is_raw(&damaged), preview(&damaged));
                let _ = decode(&damaged);
            }
        }
        // Nothing but beginnings of JPEGs, and of their segments.
        let mut many = b"\0\0\0\x18ftypcrx ".to_vec();
        many.extend([0xff, 0xd8, 0xff, 0xe0, 0, 2].repeat(200_000));
        assert!(preview(&many).is_none());
        for end in 80..93 {
            let mut raf = RAF.to_vec();
            raf.resize(end, 0xff);
            assert!(preview(&raf).is_none());
        }
    }
}
