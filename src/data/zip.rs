//! Data sets in a zip.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ReaderAt, ZipArchive, ZipLocator};

use super::DataError;
use super::files::{DataFiles, no_such_file};

/// Maximum size of a file: no picture is larger, and a small zip can hold terabytes of
/// zeros.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Zip archive, inflated on demand.
pub struct ZipFiles<R> {
    name: String,
    archive: ZipArchive<Bytes<R>>,
    entries: BTreeMap<String, Entry>,
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
        let mut listed = archive.entries(&mut buffer);
        while let Some(entry) = listed.next_entry().map_err(failed)? {
            // Names in other encodings than UTF-8, from old programs.
            let bytes = entry.file_path().as_bytes().to_vec();
            let path = String::from_utf8_lossy(&bytes).replace('\\', "/");
            let found = Entry {
                place: entry.wayfinder(),
                method: entry.compression_method(),
            };
            entries.insert(path, found);
        }
        Ok(Self {
            name,
            archive,
            entries,
        })
    }
}

impl<R: Read + Seek> ZipFiles<R> {
    fn inflate(&self, entry: Entry) -> Result<Vec<u8>, String> {
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
}
