//! Directories of TIFF, which EXIF data and most camera raw files are made of.

/// Number of directories and entries that are looked at: a file may chain them in a circle.
const MAX_DIRECTORIES: usize = 32;
const MAX_ENTRIES: usize = 1000;

/// EXIF directory, with the date.
const EXIF: u16 = 0x8769;
const DATE_TIME_ORIGINAL: u16 = 0x9003;
const DATE_TIME: u16 = 0x0132;

/// TIFF data, or the TIFF part of another file.
#[derive(Clone, Copy)]
pub(super) struct Tiff<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

/// Entry of a directory.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub tag: u16,
    kind: u16,
    /// Its values, as they are in the file.
    pub data: &'a [u8],
}

impl<'a> Tiff<'a> {
    /// TIFF data with its first directories. Olympus and Panasonic have magic numbers of
    /// their own.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = match bytes.get(..4)? {
            b"II*\0" | b"IIRO" | b"IIRS" | b"IIU\0" => false,
            b"MM\0*" | b"MMOR" => true,
            _ => return None,
        };
        Some(Self { bytes, big_endian })
    }

    fn u16(self, bytes: &[u8]) -> Option<u16> {
        let bytes = *bytes.first_chunk()?;
        Some(match self.big_endian {
            true => u16::from_be_bytes(bytes),
            false => u16::from_le_bytes(bytes),
        })
    }

    fn u32(self, bytes: &[u8]) -> Option<u32> {
        let bytes = *bytes.first_chunk()?;
        Some(match self.big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        })
    }

    /// Fields of the directory at `offset`, and the offset of the next one. Fields whose
    /// values lie beyond the end are left out.
    fn directory(self, offset: u32) -> Option<(Vec<Field<'a>>, u32)> {
        let rest = self.bytes.get(offset as usize..)?;
        let count = usize::from(self.u16(rest)?);
        let entries = rest.get(2..)?.chunks_exact(12);
        let fields = (entries.take(count.min(MAX_ENTRIES)))
            .filter_map(|entry| self.field(entry))
            .collect();
        let next = (rest.get(2 + 12 * count..)).and_then(|rest| self.u32(rest));
        Some((fields, next.unwrap_or(0)))
    }

    fn field(self, entry: &'a [u8]) -> Option<Field<'a>> {
        let (tag, kind) = (self.u16(entry)?, self.u16(&entry[2..])?);
        let size: u64 = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => return None,
        };
        let length = usize::try_from(size * u64::from(self.u32(&entry[4..])?)).ok()?;
        let data = match length <= 4 {
            true => &entry[8..8 + length],
            false => {
                let start = self.u32(&entry[8..])? as usize;
                self.bytes.get(start..start.checked_add(length)?)?
            }
        };
        Some(Field { tag, kind, data })
    }

    /// Whole numbers of a field, 8 to 32 bits each.
    pub fn numbers(self, field: &Field<'a>) -> impl Iterator<Item = u32> + use<'a> {
        let kind = field.kind;
        let size = match kind {
            3 => 2,
            4 | 13 => 4,
            _ => 1,
        };
        (field.data.chunks_exact(size)).filter_map(move |bytes| match kind {
            3 => self.u16(bytes).map(u32::from),
            4 | 13 => self.u32(bytes),
            _ => bytes.first().copied().map(u32::from),
        })
    }

    /// All directories: the chain from the header on, and those that fields with the tags
    /// `pointers` lead to.
    pub fn directories(self, pointers: &[u16]) -> Vec<Vec<Field<'a>>> {
        let first = (self.bytes.get(4..)).and_then(|rest| self.u32(rest));
        let mut waiting: Vec<u32> = first.into_iter().collect();
        let (mut seen, mut found) = (Vec::new(), Vec::new());
        while let Some(offset) = waiting.pop()
            && seen.len() < MAX_DIRECTORIES
        {
            if offset == 0 || seen.contains(&offset) {
                continue;
            }
            seen.push(offset);
            let Some((fields, next)) = self.directory(offset) else {
                continue;
            };
            waiting.push(next);
            for field in fields.iter().filter(|field| pointers.contains(&field.tag)) {
                // Few: a damaged list of them must not push the chain out.
                waiting.extend(self.numbers(field).take(8));
            }
            found.push(fields);
        }
        found
    }
}

/// When a picture was taken, by TIFF or EXIF data: `2024:06:01 12:30:00`. Of several dates
/// the one of the shutter counts, not that of the file's last change.
pub(super) fn taken(bytes: &[u8]) -> Option<String> {
    // As a JPEG segment it begins with its name.
    let bytes = bytes.strip_prefix(b"Exif\0\0").unwrap_or(bytes);
    let directories = Tiff::new(bytes)?.directories(&[EXIF]);
    let date = |tag: u16| {
        let fields = directories.iter().flatten();
        fields.filter(|field| field.tag == tag).find_map(|field| {
            let text = field.data.split(|byte| *byte == 0).next()?;
            let text = str::from_utf8(text).ok()?.trim();
            // Cameras without a clock write blanks or zeros.
            let known = text.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
            (known && text.len() < 40).then(|| text.to_owned())
        })
    };
    date(DATE_TIME_ORIGINAL).or_else(|| date(DATE_TIME))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Little-endian TIFF data of directories. Each field has tag, kind, count and value or
    /// offset; a directory begins where the one before ends, the first at 8.
    pub fn tiff(directories: &[&[(u16, u16, u32, u32)]], rest: &[u8]) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        for (index, fields) in directories.iter().enumerate() {
            bytes.extend((fields.len() as u16).to_le_bytes());
            for (tag, kind, count, value) in *fields {
                bytes.extend(tag.to_le_bytes());
                bytes.extend(kind.to_le_bytes());
                bytes.extend(count.to_le_bytes());
                bytes.extend(value.to_le_bytes());
            }
            let next = match index + 1 < directories.len() {
                true => bytes.len() as u32 + 4,
                false => 0,
            };
            bytes.extend(next.to_le_bytes());
        }
        bytes.extend(rest);
        bytes
    }

    /// EXIF data with a date.
    pub fn exif(date: &str) -> Vec<u8> {
        // Two directories of one field each: 8 + 18, 26 + 18.
        let mut bytes = tiff(&[&[(EXIF, 4, 1, 26)]], &[]);
        bytes.extend(1u16.to_le_bytes());
        bytes.extend(DATE_TIME_ORIGINAL.to_le_bytes());
        bytes.extend(2u16.to_le_bytes());
        bytes.extend((date.len() as u32 + 1).to_le_bytes());
        bytes.extend(44u32.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(date.bytes());
        bytes.push(0);
        bytes
    }

    #[test]
    fn the_date_of_the_shutter_is_found() {
        let date = "2024:06:01 12:30:00";
        assert_eq!(taken(&exif(date)).as_deref(), Some(date));
        let segment = [b"Exif\0\0", exif(date).as_slice()].concat();
        assert_eq!(taken(&segment).as_deref(), Some(date));
        assert_eq!(taken(&exif("0000:00:00 00:00:00")), None);
        assert_eq!(taken(&exif("    :  :     :  :  ")), None);
        // The date of the last change, in the first directory.
        let changed = tiff(&[&[(DATE_TIME, 2, 20, 26)]], b"2023:01:02 03:04:05\0");
        assert_eq!(taken(&changed).as_deref(), Some("2023:01:02 03:04:05"));
    }

    #[test]
    fn both_byte_orders_are_read() {
        let mut bytes = b"MM\0*\0\0\0\x08\0\x01".to_vec();
        bytes.extend([0x01, 0x32, 0, 2, 0, 0, 0, 20, 0, 0, 0, 26, 0, 0, 0, 0]);
        bytes.extend(b"2023:01:02 03:04:05\0");
        assert_eq!(taken(&bytes).as_deref(), Some("2023:01:02 03:04:05"));
    }

    #[test]
    fn damaged_data_ends_nowhere() {
        let whole = exif("2024:06:01 12:30:00");
        for end in 0..whole.len() {
            let _ = taken(&whole[..end]);
        }
        // Each byte in turn is the largest, the smallest, and one that leads elsewhere.
        for place in 0..whole.len() {
            for value in [0, 0xff, 8, 26] {
                let mut damaged = whole.clone();
                damaged[place] = value;
                let _ = taken(&damaged);
            }
        }
        // Directories in a circle, and one that leads to itself many times.
        let circle = tiff(&[&[(EXIF, 4, 1, 8)], &[(EXIF, 4, 1, 8)]], &[]);
        let found = Tiff::new(&circle).unwrap().directories(&[EXIF]);
        assert_eq!(found.len(), 2);
        let many = tiff(&[&[(EXIF, 4, 2, 8)]], &[8; 64]);
        assert!(Tiff::new(&many).unwrap().directories(&[EXIF]).len() < 3);
    }
}
