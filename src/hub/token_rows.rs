//! Rows of a token embedding that come to the device when texts use them. SigLIP 2's table has 256,000,
//! half of the download of a B model, and a visitor's labels need a few dozen: they are fetched one by
//! one. ViT-L/14's table in f32, of 145 MiB, is larger than a tensor of a GPU need be: it stays in memory.

use std::collections::HashMap;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;

use burn::tensor::{Device, Tensor};

use super::HubError;
use crate::weights::{RowFormat, WeightsError};

/// Bytes of rows, to come.
pub type RowsFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, HubError>> + 'a>>;

/// Source of the rows of a token embedding.
pub trait TokenRows {
    /// Number of rows of the table.
    fn count(&self) -> usize;

    /// Rows of these ids, one after the other, as in the weights that the model was loaded from.
    fn fetch<'a>(&'a self, ids: &'a [u32]) -> RowsFuture<'a>;
}

/// Rows of a token embedding in memory.
struct HeldRows {
    bytes: Vec<u8>,
    row_bytes: usize,
}

impl TokenRows for HeldRows {
    fn count(&self) -> usize {
        self.bytes.len() / self.row_bytes
    }

    fn fetch<'a>(&'a self, ids: &'a [u32]) -> RowsFuture<'a> {
        let row = |id: &u32| {
            let start = *id as usize * self.row_bytes;
            self.bytes.get(start..start + self.row_bytes)
        };
        let rows: Vec<&[u8]> = ids.iter().filter_map(row).collect();
        Box::pin(std::future::ready(Ok(rows.concat())))
    }
}

/// Token embedding of a model that has only a placeholder.
#[derive(Clone)]
pub struct TokenTable {
    format: RowFormat,
    rows: Rc<dyn TokenRows>,
}

impl TokenTable {
    /// From all of its rows, in memory.
    pub(super) fn held(format: RowFormat, bytes: Vec<u8>) -> Self {
        let row_bytes = format.row_bytes();
        let rows = Rc::new(HeldRows { bytes, row_bytes });
        Self { format, rows }
    }

    /// From the source of its rows. An error if there is none, or of another number of rows.
    pub(super) fn fetched(
        format: RowFormat,
        rows: Option<Rc<dyn TokenRows>>,
    ) -> Result<Self, WeightsError> {
        let found = rows.as_ref().map_or(0, |rows| rows.count());
        match rows {
            Some(rows) if found == format.vocab_size() => Ok(Self { format, rows }),
            _ => Err(format.wrong_rows(found)),
        }
    }

    /// Rows of these ids, in their order, `[ids, width]`.
    pub async fn rows(&self, ids: &[u32], device: &Device) -> Result<Tensor<2>, HubError> {
        let bytes = self.rows.fetch(ids).await?;
        Ok(self.format.rows(&bytes, device)?)
    }
}

/// Rows that are known, by id; stored as ids of four bytes, each before its row.
#[cfg_attr(not(any(test, feature = "worker")), allow(dead_code))] // for browsers
pub(super) struct KnownRows {
    row_bytes: usize,
    rows: HashMap<u32, Box<[u8]>>,
}

#[cfg_attr(not(any(test, feature = "worker")), allow(dead_code))] // for browsers
impl KnownRows {
    /// From what was stored; an incomplete last row is left out.
    pub fn read(row_bytes: usize, stored: &[u8]) -> Self {
        let records = stored.chunks_exact(size_of::<u32>() + row_bytes);
        let rows = records.filter_map(|record| {
            let (id, row) = record.split_first_chunk()?;
            Some((u32::from_le_bytes(*id), row.into()))
        });
        Self {
            row_bytes,
            rows: rows.collect(),
        }
    }

    /// What is to be stored.
    pub fn write(&self) -> Vec<u8> {
        let mut stored = Vec::with_capacity(self.rows.len() * (size_of::<u32>() + self.row_bytes));
        for (id, row) in &self.rows {
            stored.extend(id.to_le_bytes());
            stored.extend_from_slice(row);
        }
        stored
    }

    /// Adds rows from `first` on, one after the other in `bytes`.
    pub fn insert(&mut self, first: u32, bytes: &[u8]) {
        let rows = bytes.chunks_exact(self.row_bytes).map(Into::into);
        self.rows.extend((first..).zip(rows));
    }

    /// Those of the ids that are not known.
    pub fn missing(&self, ids: &[u32]) -> Vec<u32> {
        let missing = |id: &u32| !self.rows.contains_key(id);
        ids.iter().copied().filter(missing).collect()
    }

    /// Rows of known ids, one after the other.
    pub fn concat(&self, ids: &[u32]) -> Vec<u8> {
        let rows: Vec<&[u8]> = (ids.iter().filter_map(|id| self.rows.get(id)))
            .map(|row| &row[..])
            .collect();
        rows.concat()
    }
}

/// Ranges of rows that have all `ids`. Ids with fewer than `apart` rows between them share a range:
/// a request costs more than those rows.
#[cfg_attr(not(any(test, feature = "worker")), allow(dead_code))] // for browsers
pub(super) fn row_ranges(mut ids: Vec<u32>, apart: u32) -> Vec<Range<u32>> {
    ids.sort_unstable();
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for id in ids {
        match ranges.last_mut() {
            Some(range) if id < range.end.saturating_add(apart) => {
                range.end = range.end.max(id.saturating_add(1));
            }
            _ => ranges.push(id..id.saturating_add(1)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_near_share_a_range() {
        assert_eq!(row_ranges(vec![], 4), []);
        assert_eq!(row_ranges(vec![9, 1, 3, 8, 3], 4), [1..4, 8..10]);
        assert_eq!(row_ranges(vec![1, 5, 20], 4), [1..6, 20..21]);
        assert_eq!(row_ranges(vec![1, 6], 4), [1..2, 6..7]);
    }

    #[test]
    fn known_rows_are_read_as_they_were_written() {
        let mut known = KnownRows::read(2, &[]);
        known.insert(300, &[1, 2, 3, 4]);
        known.insert(7, &[5, 6]);
        assert_eq!(known.missing(&[7, 8, 301]), [8]);
        let mut stored = known.write();
        stored.extend([9, 0, 0, 0, 1]); // broken off
        let read = KnownRows::read(2, &stored);
        assert_eq!(read.missing(&[7, 9, 300, 301]), [9]);
        assert_eq!(read.concat(&[301, 7, 300]), [3, 4, 5, 6, 1, 2]);
    }
}
