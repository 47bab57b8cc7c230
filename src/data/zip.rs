//! Data sets in a zip.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::DeflateDecoder;
use rawzip::extra_fields::ExtraFieldId;
use rawzip::{
    CompressionMethod, ErrorKind, RECOMMENDED_BUFFER_SIZE, ReaderAt, ZipArchive, ZipLocator,
};

use super::DataError;
use super::encoding::NameEncoding;
use super::files::{DataFiles, no_such_file};
use super::names::{clean_path, numbered};

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

/// Entry whose name is not decoded yet.
struct Listed {
    name: Vec<u8>,
    /// The name, where the zip says how it is encoded.
    given: Option<String>,
    /// Whether the entry's flags say that the name is UTF-8.
    flagged: bool,
    entry: Entry,
}

impl<R: Read + Seek> ZipFiles<R> {
    /// `bytes` is a file on disk, or bytes in memory (`std::io::Cursor`).
    pub fn open(name: String, bytes: R) -> Result<Self, DataError> {
        Self::open_with(name, bytes, None)
    }

    /// Like [`open`](Self::open), with the encoding of those names of which the zip does not
    /// say it; by default the one that makes the most sense.
    pub fn open_with(
        name: String,
        mut bytes: R,
        encoding: Option<&NameEncoding>,
    ) -> Result<Self, DataError> {
        let failed = |error: rawzip::Error| {
            DataError::Zip {
            name: name.clone(),
            why: match error.kind() {
                ErrorKind::MissingEndOfCentralDirectory | ErrorKind::Eof => {
                    "it is another kind of file, or part of it is missing: download or copy it again"
                        .into()
                }
                _ => error.to_string(),
            },
        }
        };
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let end = (bytes.seek(SeekFrom::End(0))).map_err(|error| failed(error.into()))?;
        let archive = ZipLocator::new()
            .locate_in_reader(Bytes(RefCell::new(bytes)), &mut buffer, end)
            .map_err(|(_, error)| failed(error))?;
        let mut listed = Vec::new();
        let mut entries = archive.entries(&mut buffer);
        while let Some(entry) = entries.next_entry().map_err(failed)? {
            let raw = entry.file_path().as_bytes().to_vec();
            let unicode_path = (entry.extra_fields())
                .find(|(id, _)| *id == ExtraFieldId::INFO_ZIP_UNICODE_PATH)
                .and_then(|(_, field)| unicode_path(field, &raw));
            let ascii = || {
                raw.is_ascii()
                    .then(|| String::from_utf8(raw.clone()).ok())?
            };
            listed.push(Listed {
                given: unicode_path.or_else(ascii),
                flagged: entry.flags().is_utf8(),
                entry: Entry {
                    place: entry.wayfinder(),
                    method: entry.compression_method(),
                    encrypted: entry.flags().is_encrypted(),
                },
                name: raw,
            });
        }
        // Some programs set the flag whatever they write.
        let utf_8 = |listed: &Listed| String::from_utf8(listed.name.clone()).ok();
        if (listed.iter().filter(|listed| listed.flagged)).all(|listed| utf_8(listed).is_some()) {
            for listed in listed.iter_mut().filter(|listed| listed.flagged) {
                listed.given = listed.given.take().or_else(|| utf_8(listed));
            }
        }
        let names = Names::new(&listed, encoding);
        let mut entries = BTreeMap::new();
        let mut renamed = Vec::new();
        let mut numbers = HashMap::new();
        // Names by the encoding that was assumed.
        let mut assumed: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for Listed {
            name, given, entry, ..
        } in listed
        {
            let (decoded, how) = match given {
                Some(given) => (given, None),
                None => names.decode(&name),
            };
            let mut path = clean_path(&decoded);
            if path.is_empty() {
                continue; // the top itself
            }
            if decoded.ends_with(['/', '\\']) {
                path.push('/');
            }
            if let Some(how) = how {
                assumed.entry(how).or_default().push(path.clone());
            }
            // Folders may be listed twice; of files none may be lost.
            if !path.ends_with('/') && entries.contains_key(&path) {
                let other = free_name(&path, &entries, &mut numbers);
                renamed.push(format!("{path} as {other}"));
                path = other;
            }
            entries.insert(path, entry);
        }
        let mut notes: Vec<String> = (assumed.iter())
            .map(|(how, paths)| {
                format!(
                    "{name} does not say how {} of its names are encoded: they were read as {how}, \
                     the first as {}; if that is wrong, pack the files again with UTF-8 names (the \
                     command also takes --zip-encoding)",
                    paths.len(),
                    paths[0]
                )
            })
            .collect();
        if let Some(first) = renamed.first() {
            notes.push(format!(
                "{name} has several files under one name: {} {} renamed, the first {first}",
                renamed.len(),
                if renamed.len() == 1 { "was" } else { "were" }
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
                let name = format!("{other:?}");
                return Err(format!(
                    "its compression {} is not supported: pack the files again with deflate",
                    name.rsplit("::").next().unwrap_or(&name)
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

/// A name like `path` that no entry has: `cat/1 (2).png`. `numbers` are the last ones of each
/// path: there may be many files of one name.
fn free_name(
    path: &str,
    entries: &BTreeMap<String, Entry>,
    numbers: &mut HashMap<String, usize>,
) -> String {
    let number = numbers.entry(path.to_owned()).or_insert(1);
    loop {
        *number += 1;
        let name = numbered(path, *number);
        if !entries.contains_key(&name) {
            return name;
        }
    }
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

/// How names are read of which the zip does not say it.
enum Names<'a> {
    /// Most programs write UTF-8, many without saying so.
    Utf8,
    /// As the user says.
    Chosen(&'a NameEncoding),
    /// As they make the most sense.
    Detected(NameEncoding),
}

impl<'a> Names<'a> {
    fn new(listed: &[Listed], chosen: Option<&'a NameEncoding>) -> Self {
        let unclear = listed.iter().filter(|listed| listed.given.is_none());
        let other: Vec<&[u8]> = unclear
            .map(|listed| listed.name.as_slice())
            .filter(|name| std::str::from_utf8(name).is_err())
            .collect();
        match chosen {
            Some(chosen) => Self::Chosen(chosen),
            None if other.is_empty() => Self::Utf8,
            None => Self::Detected(NameEncoding::detect(&other)),
        }
    }

    /// A name, and its encoding where that was assumed.
    fn decode(&self, name: &[u8]) -> (String, Option<String>) {
        let utf_8 = || String::from_utf8(name.to_vec()).ok();
        let decoded = match self {
            Self::Chosen(encoding) => encoding.decode(name).map(|text| (text, None)),
            Self::Utf8 => utf_8().map(|text| (text, None)),
            Self::Detected(encoding) => match utf_8().filter(|_| !encoding.goes_before_utf_8(name))
            {
                // Packed by two programs.
                Some(text) => Some((text, None)),
                None => (encoding.decode(name)).map(|text| (text, Some(encoding.to_string()))),
            },
        };
        decoded.unwrap_or_else(|| {
            // It has a character for every byte.
            let prescribed = NameEncoding::prescribed();
            let text = prescribed.decode(name).unwrap_or_default();
            (text, Some(prescribed.to_string()))
        })
    }
}

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
        assert!(notes[0].contains("read as code page 437"));
        assert!(opened(&[("ä.png".as_bytes(), None)]).notes().is_empty());
    }

    #[test]
    fn all_names_decide_together() {
        // One name alone could be Korean or Chinese: 묘/猫.
        let zip = opened(&[
            (b"\xc3\xa8/\xc9\xcf.png", None),
            (b"\xb9\xb7/1.png", None),
            (b"\xc4\xf1/1.png", None),
        ]);
        assert_eq!(zip.paths(), ["狗/1.png", "猫/上.png", "鸟/1.png"]);
        assert!(zip.notes()[0].contains("3 of its names are encoded: they were read as GBK"));
        // UTF-8 beside it stays what it is, and a character's second byte is no backslash.
        let zip = opened(&[
            (b"\x95\x5c/\x94\x4c.png", None),
            ("写真/犬.png".as_bytes(), None),
        ]);
        assert_eq!(zip.paths(), ["写真/犬.png", "表/猫.png"]);
        assert!(
            zip.notes()[0].contains("1 of its names"),
            "{:?}",
            zip.notes()
        );
        assert!(zip.notes()[0].contains("Shift_JIS (Japanese), the first as 表/猫.png"));
    }

    #[test]
    fn a_chosen_encoding_holds_where_the_zip_says_nothing() {
        let names = [
            (&b"\x84/1.png"[..], None),
            (b"\x84/2.png", field(b"\x84/2.png", "猫/2.png")),
            (b"cat/3.png", None),
        ];
        let open = |label: &str| {
            let encoding = NameEncoding::by_label(label).unwrap();
            let bytes = Cursor::new(zip(&names));
            ZipFiles::open_with("data.zip".into(), bytes, Some(&encoding)).unwrap()
        };
        assert_eq!(open("cp866").paths(), ["cat/3.png", "Д/1.png", "猫/2.png"]);
        assert!(open("cp866").notes().is_empty());
        // A name that has none of its characters is told.
        let gbk = open("gbk");
        assert_eq!(gbk.paths(), ["cat/3.png", "ä/1.png", "猫/2.png"]);
        assert!(
            gbk.notes()[0].contains("1 of its names"),
            "{:?}",
            gbk.notes()
        );
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
        assert!(notes[0].contains("2 were renamed"), "{notes:?}");
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
