//! Data sets in a zip.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::DeflateDecoder;
use rawzip::extra_fields::ExtraFieldId;
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ReaderAt, ZipArchive, ZipLocator};

use super::DataError;
use super::files::{DataFiles, no_such_file};
use super::names::{clean_path, split_extension};

/// Maximum size of a file: no picture is larger, and a small zip can hold terabytes of
/// zeros.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Zip archive, inflated on demand.
pub struct ZipFiles<R> {
    name: String,
    archive: ZipArchive<Bytes<R>>,
    entries: BTreeMap<String, Entry>,
    notes: Vec<String>,
}

/// Random access to the archive.
struct Bytes<R>(RefCell<R>);

impl<R: Read + Seek> ReaderAt for Bytes<R> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut bytes = self.0.borrow_mut();
        bytes.seek(SeekFrom::Start(offset))?;
        bytes.read(buffer)
    }
}

#[derive(Clone, Copy)]
struct Entry {
    place: rawzip::ZipArchiveEntryWayfinder,
    method: CompressionMethod,
    encrypted: bool,
}

impl<R: Read + Seek> ZipFiles<R> {
    /// `bytes` is a file on disk, or bytes in memory (`std::io::Cursor`).
    pub fn open(name: String, mut bytes: R) -> Result<Self, DataError> {
        let failed = |error: rawzip::Error| DataError::Zip {
            name: name.clone(),
            why: error.to_string(),
        };
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let end = (bytes.seek(SeekFrom::End(0))).map_err(|error| failed(error.into()))?;
        let archive = ZipLocator::new()
            .locate_in_reader(Bytes(RefCell::new(bytes)), &mut buffer, end)
            .map_err(|(_, error)| failed(error))?;
        let mut entries = BTreeMap::new();
        let (mut guessed, mut renamed) = (Vec::new(), Vec::new());
        let mut listed = archive.entries(&mut buffer);
        while let Some(entry) = listed.next_entry().map_err(failed)? {
            let raw = entry.file_path().as_bytes().to_vec();
            let unicode_path = (entry.extra_fields())
                .find(|(id, _)| *id == ExtraFieldId::INFO_ZIP_UNICODE_PATH)
                .and_then(|(_, field)| unicode_path(field, &raw));
            let (decoded, encoding) = match unicode_path {
                Some(path) => (path, Encoding::Given),
                None => decode_name(&raw),
            };
            let mut path = clean_path(&decoded);
            if path.is_empty() {
                continue; // the top itself
            }
            if encoding == Encoding::CodePage437 {
                guessed.push(path.clone());
            }
            if decoded.ends_with(['/', '\\']) {
                path.push('/');
            }
            let found = Entry {
                place: entry.wayfinder(),
                method: entry.compression_method(),
                encrypted: entry.flags().is_encrypted(),
            };
            // Folders may be listed twice; of files none may be lost.
            if !path.ends_with('/') && entries.contains_key(&path) {
                let other = free_name(&path, &entries);
                renamed.push(format!("{path} as {other}"));
                path = other;
            }
            entries.insert(path, found);
        }
        let mut notes = Vec::new();
        if let Some(first) = guessed.first() {
            notes.push(format!(
                "{name} does not say how {} of its names are encoded: they were read as code page \
                 437, the first as {first}; if that is wrong, pack the files again with UTF-8 names",
                guessed.len()
            ));
        }
        if let Some(first) = renamed.first() {
            notes.push(format!(
                "{name} has several files under one name: {} got a name of their own, the first {first}",
                renamed.len()
            ));
        }
        Ok(Self {
            name,
            archive,
            entries,
            notes,
        })
    }

    fn inflate(&self, entry: Entry) -> Result<Vec<u8>, String> {
        if entry.encrypted {
            return Err("it is protected by a password: unpack the zip first".into());
        }
        let size = entry.place.uncompressed_size_hint();
        if size > MAX_FILE_BYTES {
            return Err(format!("its {size} bytes are too many for an image"));
        }
        let file = (self.archive.get_entry(entry.place)).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        // One byte more than declared: the length check then fails.
        let limit = size + 1;
        let read = match entry.method {
            CompressionMethod::STORE => (file.verifying_reader(file.reader()))
                .take(limit)
                .read_to_end(&mut bytes),
            CompressionMethod::DEFLATE => (file
                .verifying_reader(DeflateDecoder::new(file.reader())))
            .take(limit)
            .read_to_end(&mut bytes),
            other => {
                return Err(format!(
                    "its compression {other:?} is not supported; use deflate"
                ));
            }
        };
        match read {
            Ok(_) if bytes.len() as u64 == size => Ok(bytes),
            Ok(_) => Err("its length differs from what the zip says".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A name like `path` that no entry has: `cat/1 (2).png`.
fn free_name(path: &str, entries: &BTreeMap<String, Entry>) -> String {
    let (stem, _) = split_extension(path);
    let end = &path[stem.len()..];
    let mut number = 2;
    loop {
        let name = format!("{stem} ({number}){end}");
        if !entries.contains_key(&name) {
            return name;
        }
        number += 1;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Given,
    CodePage437,
}

/// Contents of the Unicode Path field: version 1, checksum of the plain name that it
/// stands for, and the name in UTF-8. An outdated field, of another plain name, does not
/// count (appendix D of the specification).
fn unicode_path(field: &[u8], plain: &[u8]) -> Option<String> {
    let [1, a, b, c, d, name @ ..] = field else {
        return None;
    };
    let mut crc = flate2::Crc::new();
    crc.update(plain);
    if crc.sum() != u32::from_le_bytes([*a, *b, *c, *d]) {
        return None;
    }
    String::from_utf8(name.to_vec()).ok()
}

/// A name without a Unicode Path field. Most programs write UTF-8, many without saying so
/// in the entry's flags; what is no UTF-8 is code page 437 by the specification.
fn decode_name(bytes: &[u8]) -> (String, Encoding) {
    match std::str::from_utf8(bytes) {
        Ok(name) => (name.into(), Encoding::Given),
        Err(_) => {
            let upper: Vec<char> = CODE_PAGE_437.chars().collect();
            let character = |byte: &u8| match byte {
                ..0x80 => char::from(*byte),
                _ => upper[usize::from(byte - 0x80)],
            };
            (bytes.iter().map(character).collect(), Encoding::CodePage437)
        }
    }
}

/// Characters of the bytes from 0x80 on.
const CODE_PAGE_437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»\
    ░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
    αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

impl<R: Read + Seek> DataFiles for ZipFiles<R> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn paths(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, DataError> {
        let entry = self.entries.get(path).ok_or_else(|| no_such_file(path))?;
        self.inflate(*entry).map_err(|why| DataError::Read {
            file: path.into(),
            why,
        })
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

#[cfg(all(test, feature = "training"))]
mod tests {
    use super::*;
    use rawzip::path::EntryPath;
    use std::io::{Cursor, Write};

    /// A zip of stored entries with these names, and a Unicode Path field where given.
    fn zip(names: &[(&[u8], Option<Vec<u8>>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut zip = rawzip::ZipArchiveWriter::new(&mut bytes);
        for (number, (name, field)) in names.iter().enumerate() {
            let mut file = zip.new_file(EntryPath::verbatim(name.to_vec()));
            if let Some(field) = field {
                let (id, place) = (ExtraFieldId::INFO_ZIP_UNICODE_PATH, rawzip::Header::CENTRAL);
                file = file.extra_field(id, field, place).unwrap();
            }
            let (mut entry, config) = file.start().unwrap();
            let mut writer = config.wrap(&mut entry);
            writer.write_all(&[number as u8]).unwrap();
            let (_, descriptor) = writer.finish().unwrap();
            entry.finish(descriptor).unwrap();
        }
        zip.finish().unwrap();
        bytes
    }

    fn opened(names: &[(&[u8], Option<Vec<u8>>)]) -> ZipFiles<Cursor<Vec<u8>>> {
        ZipFiles::open("data.zip".into(), Cursor::new(zip(names))).unwrap()
    }

    fn field(plain: &[u8], name: &str) -> Option<Vec<u8>> {
        let mut crc = flate2::Crc::new();
        crc.update(plain);
        Some([&[1], &crc.sum().to_le_bytes()[..], name.as_bytes()].concat())
    }

    #[test]
    fn the_code_page_has_all_its_characters() {
        assert_eq!(CODE_PAGE_437.chars().count(), 128);
        let (name, _) = decode_name(b"\x81\x84\x94\xe1\xfe.png");
        assert_eq!(name, "üäöß■.png");
    }

    #[test]
    fn names_are_read_as_they_were_written() {
        for (plain, extra, expected) in [
            (&b"cat/1.png"[..], None, "cat/1.png"),
            ("猫/1.png".as_bytes(), None, "猫/1.png"),
            (b"K\x84se/1.png", None, "Käse/1.png"),
            (b"./cat/1.png", None, "cat/1.png"),
            (b"cat\\1.png", None, "cat/1.png"),
            (b"../../cat/1.png", None, "cat/1.png"),
            (b"/cat/1.png", None, "cat/1.png"),
            (
                b"K?se/1.png",
                field(b"K?se/1.png", "Käse/1.png"),
                "Käse/1.png",
            ),
            (b"\x84/1.png", field(b"\x84/1.png", "猫/1.png"), "猫/1.png"),
            // Outdated: the plain name was changed since.
            (b"new/1.png", field(b"old/1.png", "alt/1.png"), "new/1.png"),
            (b"cat/", None, "cat/"),
        ] {
            let zip = opened(&[(plain, extra)]);
            assert_eq!(zip.paths(), [expected], "{}", plain.escape_ascii());
        }
        assert_eq!(opened(&[(b"./", None)]).paths(), [""; 0]);
    }

    #[test]
    fn old_names_are_told() {
        let zip = opened(&[(b"\x84.png", None), (b"\x81.png", None), (b"a.png", None)]);
        let notes = zip.notes();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("2 of its names") && notes[0].contains("the first as ä.png"));
        assert!(opened(&[("ä.png".as_bytes(), None)]).notes().is_empty());
    }

    #[test]
    fn no_entry_replaces_another() {
        let zip = opened(&[
            (b"cat/1.png", None),
            (b"cat/1.png", None),
            (b"./cat/1.png", None),
            (b"cat/", None),
            (b"cat/", None),
        ]);
        let files = ["cat/", "cat/1 (2).png", "cat/1 (3).png", "cat/1.png"];
        assert_eq!(zip.paths(), files);
        for (path, contents) in [("cat/1.png", 0), ("cat/1 (2).png", 1), ("cat/1 (3).png", 2)] {
            let read = pollster::block_on(zip.read(path)).unwrap();
            assert_eq!(read, [contents], "{path}");
        }
        let notes = zip.notes();
        assert!(notes[0].contains("2 got a name of their own"), "{notes:?}");
    }

    #[test]
    fn a_password_is_named() {
        let mut bytes = Vec::new();
        let mut zip = rawzip::ZipArchiveWriter::new(&mut bytes);
        let (mut entry, config) = zip.new_file("cat/1.png").encrypted(true).start().unwrap();
        let mut writer = config.wrap(&mut entry);
        writer.write_all(b"secret").unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
        zip.finish().unwrap();
        let zip = ZipFiles::open("data.zip".into(), Cursor::new(bytes)).unwrap();
        let error = pollster::block_on(zip.read("cat/1.png")).unwrap_err();
        assert!(error.to_string().contains("password"), "{error}");
    }
}
