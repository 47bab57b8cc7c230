//! A zip of files as they are, without packing: pictures and weights do not
//! pack anyway. The page lays these headers between the files' own bytes.

use crate::app::i18n::message;
use crate::diagnostic::Diagnostic;

use flate2::Crc;

/// A file in a zip.
pub struct ZipEntry {
    path: String,
    crc: u32,
    size: usize,
}

impl ZipEntry {
    pub fn new(path: String, data: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(data);
        Self {
            path,
            crc: crc.sum(),
            size: data.len(),
        }
    }

    /// Path within the zip.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// What local and central headers have in common, from "version needed" on.
    /// Bit 11: the path is UTF-8. The date is zip's first day.
    fn facts(&self, size: u32, path: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(26);
        for half in [20, 1 << 11, 0, 0, 0x21u16] {
            bytes.extend(half.to_le_bytes());
        }
        for word in [self.crc, size, size] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(path.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }
}

/// A header to stand before each entry's bytes, and what stands after all.
pub fn headers<'a>(
    entries: impl Iterator<Item = &'a ZipEntry>,
) -> Result<(Vec<Vec<u8>>, Vec<u8>), Diagnostic> {
    let too_large = || message!("zip-too-large");
    let (mut headers, mut central) = (Vec::new(), Vec::new());
    let mut offset: u32 = 0;
    for entry in entries {
        let size = u32::try_from(entry.size).map_err(|_| too_large())?;
        let path = u16::try_from(entry.path.len()).map_err(|_| too_large())?;
        let facts = entry.facts(size, path);
        let header = [b"PK\x03\x04".as_slice(), &facts, entry.path.as_bytes()].concat();
        central.extend(b"PK\x01\x02\x14\x00");
        central.extend(&facts);
        // Comment, disk, attributes.
        central.extend([0; 10]);
        central.extend(offset.to_le_bytes());
        central.extend(entry.path.as_bytes());
        let next = u64::from(offset) + header.len() as u64 + u64::from(size);
        offset = u32::try_from(next).map_err(|_| too_large())?;
        headers.push(header);
    }
    let count = u16::try_from(headers.len()).map_err(|_| too_large())?;
    let length = u32::try_from(central.len()).map_err(|_| too_large())?;
    let mut end = central;
    end.extend(b"PK\x05\x06\0\0\0\0");
    end.extend(count.to_le_bytes());
    end.extend(count.to_le_bytes());
    end.extend(length.to_le_bytes());
    end.extend(offset.to_le_bytes());
    end.extend([0, 0]);
    Ok((headers, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataFiles, ZipFiles};
    use std::io::Cursor;
    use std::task::{Context, Poll, Waker};

    /// A zip is read without waiting.
    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut future = Box::pin(future);
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let files = [
            ("猫/1.png", b"first".as_slice()),
            ("dog/2.png", b""),
            ("t.jsonl", b"{}\n"),
        ];
        let entries: Vec<ZipEntry> = (files.iter())
            .map(|(path, data)| ZipEntry::new(path.to_string(), data))
            .collect();
        let (headers, end) = headers(entries.iter()).unwrap();
        let mut bytes = Vec::new();
        for (header, (_, data)) in headers.iter().zip(files) {
            bytes.extend(header);
            bytes.extend(data);
        }
        bytes.extend(end);
        let read = ZipFiles::open("test".into(), Cursor::new(bytes)).unwrap();
        assert_eq!(read.paths().len(), 3);
        for (path, data) in files {
            assert_eq!(now(read.read(path)).unwrap(), data, "{path}");
        }
    }
}
