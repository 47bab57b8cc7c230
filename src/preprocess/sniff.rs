//! Magic bytes and header fields: file types, and storage details that decoders do not
//! expose.

/// Name of an unsupported file type, for the error message.
pub(super) fn unsupported(bytes: &[u8]) -> Option<&'static str> {
    let start = |magic: &[u8]| bytes.starts_with(magic);
    let brand = (bytes.get(4..8) == Some(b"ftyp"))
        .then(|| bytes.get(8..12))
        .flatten();
    match brand {
        Some(b"avif" | b"avis") => return Some("an AVIF image"),
        Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
            return Some("a HEIC image");
        }
        Some(_) => return Some("a video"),
        None => {}
    }
    if start(b"%PDF") {
        Some("a PDF document")
    } else if start(b"\xff\x0a") || start(b"\0\0\0\x0cJXL ") {
        Some("a JPEG XL image")
    } else if start(b"\0\0\0\x0cjP  ") || start(b"\xff\x4f\xff\x51") {
        Some("a JPEG 2000 image")
    } else if start(b"\0\0\x01\0") {
        Some("an icon file")
    } else if start(b"8BPS") {
        Some("a Photoshop file")
    } else if start(b"PK\x03\x04") || start(b"PK\x05\x06") {
        Some("a ZIP archive")
    } else if start(b"\x1f\x8b") {
        Some("a gzip archive")
    } else if start(b"7z\xbc\xaf\x27\x1c") {
        Some("a 7z archive")
    } else if start(b"Rar!\x1a\x07") {
        Some("a RAR archive")
    } else if start(b"\xfd7zXZ\0") {
        Some("an xz archive")
    } else if start(b"\x28\xb5\x2f\xfd") {
        Some("a Zstandard archive")
    } else if start(b"BZh") {
        Some("a bzip2 archive")
    } else if start(b"\x1a\x45\xdf\xa3") || (start(b"RIFF") && bytes.get(8..12) == Some(b"AVI ")) {
        Some("a video")
    } else if start(b"qoif") {
        Some("a QOI image")
    } else {
        markup(bytes)
    }
}

/// Detects SVG and HTML: the first tag after byte-order mark, comments and declarations.
fn markup(bytes: &[u8]) -> Option<&'static str> {
    let head = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let head = String::from_utf8_lossy(&head[..head.len().min(4096)]).to_ascii_lowercase();
    let head = head.trim_start();
    if !head.starts_with('<') {
        None
    } else if head.starts_with("<!doctype html") || head.starts_with("<html") {
        Some("a web page (was the download refused?)")
    } else if head.contains("<svg") {
        Some("an SVG drawing")
    } else {
        None
    }
}

/// Storage of a file's pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Storage {
    /// Palette, or black and white: Pillow does not interpolate such pixels.
    pub stepped: bool,
    /// Transparency by colour or index instead of a channel: Pillow's resizing ignores
    /// it.
    pub keyed: bool,
}

/// `None` for a broken header, which the decoder will report.
pub(super) fn png(bytes: &[u8]) -> Option<Storage> {
    const GREY: u8 = 0;
    const RGB: u8 = 2;
    const PALETTE: u8 = 3;
    let depth = *bytes.get(24)?;
    let colour = *bytes.get(25)?;
    let mut at = 8;
    let mut keyed = false;
    loop {
        let length = u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
        match bytes.get(at + 4..at + 8)? {
            b"IDAT" | b"IEND" => break,
            b"tRNS" => keyed = matches!(colour, GREY | RGB | PALETTE),
            _ => {}
        }
        // Length, type and checksum.
        at = at
            .checked_add(usize::try_from(length).ok()?)?
            .checked_add(12)?;
    }
    let stepped = colour == PALETTE || (colour == GREY && depth == 1);
    Some(Storage { stepped, keyed })
}

/// A BMP of up to 8 bits has a palette; Pillow ignores it if it is the grey scale itself.
pub(super) fn bmp(bytes: &[u8]) -> Option<Storage> {
    let word = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let header = long(14)?;
    // The oldest header has 16-bit sizes and palette entries of 3 bytes.
    let (bits, colours, entry) = match header {
        12 => (word(24)?, 0, 3),
        _ => (word(28)?, long(46)?, 4),
    };
    if !matches!(bits, 1..=8) {
        return Some(Storage::default());
    }
    let colours = match usize::try_from(colours).ok()? {
        0 => 1 << bits,
        given => given.min(256),
    };
    let start = 14 + usize::try_from(header).ok()?;
    let palette = bytes.get(start..start.checked_add(colours * entry)?)?;
    let step = if colours == 2 { 255 } else { 1 };
    let mut entries = palette.chunks_exact(entry).enumerate();
    let grey =
        entries.all(|(index, colour)| colour[..3].iter().all(|&c| usize::from(c) == index * step));
    Some(Storage {
        stepped: !grey || colours <= 2,
        keyed: false,
    })
}

/// Whether a JPEG has an end marker after its pixels: without it the file is truncated.
pub(super) fn jpeg_ends(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    let mut at = 2;
    // Skips the segments before the pixels: an embedded preview has its own end marker.
    loop {
        match bytes.get(at..) {
            Some([0xff, 0xff, ..]) => at += 1,
            Some([0xff, START_OF_SCAN, ..]) => break,
            Some([0xff, _, high, low, ..]) => {
                at += 2 + usize::from(u16::from_be_bytes([*high, *low]))
            }
            // Malformed: left to the decoder.
            Some([_, _, ..]) => return true,
            _ => return false,
        }
    }
    bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9])
}

/// Whether a WebP is as long as its header says.
pub(super) fn webp_ends(bytes: &[u8]) -> bool {
    let length = bytes.get(4..).and_then(|rest| rest.first_chunk());
    length.is_some_and(|length| bytes.len() as u64 >= u64::from(u32::from_le_bytes(*length)) + 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_it_cannot_read() {
        for (bytes, name) in [
            (&b"\0\0\0\x18ftypheic"[..], "HEIC"),
            (b"\0\0\0\x1cftypavif", "AVIF"),
            (b"\0\0\0\x1cftypisom", "video"),
            (b"%PDF-1.7", "PDF"),
            (b"<?xml version='1.0'?>\n<svg xmlns", "SVG"),
            (b"\xef\xbb\xbf <SVG>", "SVG"),
            (b"<!DOCTYPE html><svg>", "web page"),
            (b"PK\x03\x04", "ZIP"),
        ] {
            assert!(
                unsupported(bytes).is_some_and(|kind| kind.contains(name)),
                "{name}"
            );
        }
        for bytes in [
            &b""[..],
            b"hello",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff\xe0",
            b"<b>",
        ] {
            assert_eq!(unsupported(bytes), None);
        }
    }

    #[test]
    fn broken_headers_end_nowhere() {
        // Every prefix of a header, and lengths that point beyond the end.
        let png_head = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x03\0\0\0....\xff\xff\xff\xffabcd";
        let bmp_head =
            b"BM..........\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0\x01\0\x08\0....................";
        for end in 0..60 {
            let cut = |bytes: &'static [u8]| &bytes[..end.min(bytes.len())];
            assert_eq!(png(cut(png_head)), None);
            assert_eq!(bmp(cut(bmp_head)), None);
            let _ = jpeg_ends(cut(b"\xff\xd8\xff\xe0\0\x04ab\xff\xda\0\x02pixels"));
        }
        assert!(!jpeg_ends(
            b"\xff\xd8\xff\xe0\0\x06ab\xff\xd9\xff\xda\0\x02pixels"
        ));
        assert!(jpeg_ends(
            b"\xff\xd8\xff\xe0\0\x04ab\xff\xda\0\x02pixels\xff\xd9"
        ));
    }
}
