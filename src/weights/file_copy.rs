//! Copy of a safetensors file that is made as its bytes arrive: matrices as f16 or int8, at half or a
//! quarter of f32's size, or without the table of token embeddings, of which most rows are never used.

use std::collections::BTreeMap;

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::header::{HeaderReader, parse_metadata};
use super::int8_rows::{self, Int8Rows};
use super::{WeightsError, in_units};
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::model::StoredPrecision;

/// Ends of the names that a token embedding has.
const TABLE_NAMES: [&str; 2] = [
    "token_embedding.weight",
    "embeddings.word_embeddings.weight",
];
/// A table is left out if it is at least this part of a file. SigLIP 2's B models have half of their
/// bytes in it, CLIP's a sixth.
const MIN_TABLE_SHARE: usize = 5;
/// First bytes to ask for if only a part of a file is wanted: most headers are shorter.
const PROBE_BYTES: u64 = 64 << 10;

/// How a copy differs from its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Precision of the matrices.
    pub precision: StoredPrecision,
    /// The token embedding is left out, if it is much of the file: its tensor has no rows.
    pub omit_table: bool,
}

/// Which bytes of a file are in its copy, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyLayout {
    /// Length of the file's header, with its length field.
    header: u64,
    /// Length of the copy's.
    copy_header: u64,
    /// Data in file order: so many bytes of the file, and what becomes of them.
    runs: Vec<(u64, Run)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<OmittedTable>,
}

/// What becomes of a part of a file in its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)] // stored as a bool by earlier versions
enum Run {
    /// Copied, as f16 if `true`.
    Copied(bool),
    /// As int8.
    Int8(Int8Rows),
    /// Left out.
    Omitted,
}

impl Run {
    /// What a tensor becomes if it is not left out.
    fn of(info: &TensorInfo, precision: StoredPrecision) -> Self {
        match (precision, Int8Rows::of(info)) {
            (StoredPrecision::Int8, Some(rows)) => Self::Int8(rows),
            (StoredPrecision::F16, _) => {
                Self::Copied(info.dtype == Dtype::F32 && info.shape.len() > 1)
            }
            _ => Self::Copied(false),
        }
    }

    /// Bytes of the file that are converted together, and of what becomes of them.
    fn unit(self) -> (u64, u64) {
        match self {
            Self::Copied(true) => (4, 2),
            Self::Copied(false) => (1, 1),
            Self::Int8(rows) => (rows.file_bytes() as u64, rows.copy_bytes() as u64),
            Self::Omitted => (1, 0),
        }
    }

    /// Length in the copy.
    fn copied(self, length: u64) -> u64 {
        let (from, to) = self.unit();
        length / from * to
    }

    /// Appends bytes of the file as they are in the copy; an incomplete unit waits in `partial`.
    fn convert(
        self,
        bytes: &[u8],
        partial: &mut Vec<u8>,
        copy: &mut Vec<u8>,
    ) -> Result<(), F16Overflow> {
        match self {
            Self::Copied(false) => copy.extend_from_slice(bytes),
            Self::Omitted => {}
            Self::Copied(true) => in_units(bytes, 4, partial, |values| narrow(values, copy))?,
            Self::Int8(rows) => in_units(bytes, rows.file_bytes(), partial, |whole| {
                rows.quantize(whole, copy)
            })?,
        }
        Ok(())
    }

    /// Precision of its matrices in the copy.
    fn precision(self) -> StoredPrecision {
        match self {
            Self::Copied(true) => StoredPrecision::F16,
            Self::Int8(_) => StoredPrecision::Int8,
            Self::Copied(false) | Self::Omitted => StoredPrecision::AsDownloaded,
        }
    }
}

/// Token embedding that a copy is without: where its rows are in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OmittedTable {
    /// Offset in the file.
    start: u64,
    /// Number of rows.
    rows: u32,
    /// Bytes of a row in the file.
    row_bytes: u64,
    /// What becomes of its rows.
    #[serde(rename = "halved")] // so stored by earlier versions
    becomes: Run,
}

impl OmittedTable {
    /// Number of rows.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes of a row in the copy.
    pub fn copied_row_bytes(&self) -> usize {
        self.becomes.copied(self.row_bytes) as usize
    }

    /// Bytes of the file that have the rows `first..end`: start and end.
    pub fn byte_range(&self, first: u32, end: u32) -> (u64, u64) {
        let offset = |row: u32| self.start + u64::from(row) * self.row_bytes;
        (offset(first), offset(end))
    }

    /// Rows of the file as they are in the copy.
    pub fn convert(&self, rows: Vec<u8>) -> Result<Vec<u8>, F16Overflow> {
        if self.becomes == Run::Copied(false) {
            return Ok(rows);
        }
        let mut copy = Vec::with_capacity(self.becomes.copied(rows.len() as u64) as usize);
        self.becomes.convert(&rows, &mut Vec::new(), &mut copy)?;
        Ok(copy)
    }
}

/// Whether a tensor is a table of token embeddings that can be left out.
fn is_token_table(name: &str, info: &TensorInfo) -> bool {
    TABLE_NAMES.iter().any(|end| name.ends_with(end))
        && matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
        && matches!(info.shape[..], [rows, width] if rows > 0 && width > 0)
}

/// Whether a file has a token embedding, by its header.
fn has_table(header: &[u8]) -> bool {
    parse_metadata(header)
        .is_ok_and(|metadata| (metadata.tensors()).any(|(name, info)| is_token_table(name, info)))
}

impl CopyLayout {
    /// Layout of a file by its header, with the copy's header; `None` if the copy would be the
    /// same.
    fn of(header: &[u8], options: CopyOptions) -> Result<Option<(Self, Vec<u8>)>, WeightsError> {
        let wrong = |error: serde_json::Error| WeightsError::Header(error.to_string());
        let metadata = parse_metadata(header)?;
        let mut tensors = Map::new();
        let mut remarks = metadata.remarks().clone();
        let mut int8_shapes = BTreeMap::new();
        let mut runs: Vec<(u64, Run)> = Vec::new();
        let mut table = None;
        let mut start = 0;
        for (name, info) in metadata.tensors() {
            let (offset, file_end) = info.data_offsets;
            let length = file_end - offset;
            let becomes = Run::of(info, options.precision);
            let mut shape = info.shape.clone();
            let much = length.saturating_mul(MIN_TABLE_SHARE) >= metadata.data_len();
            let run = match u32::try_from(shape.first().copied().unwrap_or_default()) {
                Ok(rows)
                    if options.omit_table
                        && table.is_none()
                        && much
                        && is_token_table(name, info) =>
                {
                    shape[0] = 0;
                    table = Some(OmittedTable {
                        start: header.len() as u64 + offset as u64,
                        rows,
                        row_bytes: length as u64 / u64::from(rows),
                        becomes,
                    });
                    Run::Omitted
                }
                _ => becomes,
            };
            let end = start + run.copied(length as u64) as usize;
            let (dtype, shape) = match becomes {
                Run::Copied(true) => (Dtype::F16, shape),
                Run::Int8(_) => {
                    let stored = int8_rows::stored_shape(&shape).unwrap_or_default();
                    int8_shapes.insert(name.to_owned(), shape);
                    (Dtype::I8, stored.to_vec())
                }
                _ => (info.dtype, shape),
            };
            let copy = TensorInfo {
                dtype,
                shape,
                data_offsets: (start, end),
            };
            tensors.insert(name.into(), serde_json::to_value(copy).map_err(wrong)?);
            start = end;
            match runs.last_mut() {
                Some((length_so_far, same)) if *same == run => *length_so_far += length as u64,
                _ => runs.push((length as u64, run)),
            }
        }
        if runs.iter().all(|(_, run)| *run == Run::Copied(false)) {
            return Ok(None);
        }
        if !int8_shapes.is_empty() {
            let shapes = serde_json::to_string(&int8_shapes).map_err(wrong)?;
            remarks.insert(int8_rows::SHAPES.into(), shapes);
        }
        if !remarks.is_empty() {
            let remarks = serde_json::to_value(remarks).map_err(wrong)?;
            tensors.insert("__metadata__".into(), remarks);
        }
        let json = Value::Object(tensors).to_string();
        let copy = [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
        let layout = Self {
            header: header.len() as u64,
            copy_header: copy.len() as u64,
            runs,
            table,
        };
        Ok(Some((layout, copy)))
    }

    /// Length of the file.
    pub fn file_bytes(&self) -> u64 {
        self.header + self.runs.iter().map(|(length, _)| length).sum::<u64>()
    }

    /// Length of the copy.
    pub fn copy_bytes(&self) -> u64 {
        let copied = self.runs.iter().map(|(length, run)| run.copied(*length));
        self.copy_header + copied.sum::<u64>()
    }

    /// Bytes of the file that a copy up to `position` is made of, and those that the whole copy is.
    pub fn progress(&self, position: u64) -> (u64, u64) {
        let mut left = position.saturating_sub(self.copy_header);
        let mut done = match position < self.copy_header {
            true => position.min(self.header),
            false => self.header,
        };
        let mut total = self.header;
        for (length, run) in self.runs.iter().filter(|(_, run)| *run != Run::Omitted) {
            let copied = run.copied(*length);
            let here = left.min(copied);
            left -= here;
            let (from, to) = run.unit();
            done += here * from / to;
            total += length;
        }
        (done, total)
    }

    /// Precision of the copy's matrices.
    pub fn precision(&self) -> StoredPrecision {
        let table = self.table.as_ref().map(|table| table.becomes);
        let runs = self.runs.iter().map(|(_, run)| *run).chain(table);
        (runs.map(Run::precision))
            .find(|precision| *precision != StoredPrecision::AsDownloaded)
            .unwrap_or_default()
    }

    /// Token embedding that the copy is without.
    pub fn table(&self) -> Option<&OmittedTable> {
        self.table.as_ref()
    }
}

/// Value that is finite in f32 and not in f16.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub struct F16Overflow(pub(super) f32);

impl ToDiagnostic for F16Overflow {
    fn to_diagnostic(&self) -> Diagnostic {
        let number = self.0.to_string();
        diagnostic!(
            "f16-overflow",
            "a weight is too large for f16 ({number})",
            number
        )
    }
}

/// Converter of a file to its copy, in pieces of any size. A file that is no safetensors file, of
/// which the copy would be the same, or that has another length than announced is passed on as it
/// is.
#[derive(Default)]
pub struct FileCopier {
    options: CopyOptions,
    /// Announced length of the file; 0 if unknown.
    announced: u64,
    /// Length of the file's header, with its length field; 0 if unknown.
    header_bytes: u64,
    layout: Option<CopyLayout>,
    /// Whether a token embedding was to be left out, and is too small for that.
    small_table: bool,
    state: State,
    /// Bytes of the copy that are not wanted any more.
    skip: u64,
}

enum State {
    Header(HeaderReader),
    Data {
        /// Index of the current run, and what is left of it in the file.
        run: usize,
        left: u64,
        /// Bytes of an incomplete value or row.
        partial: Vec<u8>,
    },
    AsItIs,
}

impl Default for State {
    fn default() -> Self {
        Self::Header(HeaderReader::default())
    }
}

impl FileCopier {
    /// For a file of that announced length, 0 if unknown.
    pub fn new(announced: u64, options: CopyOptions) -> Self {
        Self {
            options,
            announced,
            ..Self::default()
        }
    }

    /// For a file of which the layout is known.
    pub fn with_layout(layout: CopyLayout) -> Self {
        Self {
            options: CopyOptions {
                precision: layout.precision(),
                omit_table: layout.table.is_some(),
            },
            announced: layout.file_bytes(),
            layout: Some(layout),
            ..Self::default()
        }
    }

    /// Starts over, with another announced length.
    pub fn begin_anew(&mut self, announced: u64) {
        *self = Self {
            header_bytes: self.header_bytes,
            ..Self::new(announced, self.options)
        };
    }

    /// How the copy is to differ.
    pub fn options(&self) -> CopyOptions {
        self.options
    }

    /// Layout of the file, once its header is complete; `None` too if it is passed on as it is.
    pub fn layout(&self) -> Option<&CopyLayout> {
        self.layout.as_ref()
    }

    /// Whether the file has a token embedding that was to be left out, and is so small a part of
    /// the file that it stays.
    pub fn has_small_table(&self) -> bool {
        self.small_table
    }

    /// Whether the header is complete.
    pub fn has_header(&self) -> bool {
        !matches!(self.state, State::Header(_))
    }

    /// Goes on at `position` of the copy. Returns the position in the file from which bytes have
    /// to be pushed, and the one up to which they are wanted, if not all are.
    pub fn seek(&mut self, position: u64) -> (u64, Option<u64>) {
        let layout = match (&self.layout, &self.state) {
            (None, State::AsItIs) if position > 0 => return (position, None),
            (Some(layout), _) if position >= layout.copy_header => layout,
            _ => {
                self.state = State::default();
                self.skip = position;
                let probe = self.header_bytes.max(PROBE_BYTES);
                return (0, self.options.omit_table.then_some(probe));
            }
        };
        let (mut file, mut copy) = (layout.header, layout.copy_header);
        let mut index = 0;
        while let Some((length, run)) = layout.runs.get(index)
            && copy + run.copied(*length) <= position
        {
            file += length;
            copy += run.copied(*length);
            index += 1;
        }
        let rest = &layout.runs[index..];
        let wanted = rest.iter().take_while(|(_, run)| *run != Run::Omitted);
        let wanted = (wanted.clone().count() < rest.len())
            .then(|| file + wanted.map(|(length, _)| length).sum::<u64>());
        let within = position - copy;
        let (offset, skip) = match rest.first().map(|(_, run)| run.unit()) {
            Some((from, to)) if to > 0 => (within / to * from, within % to),
            _ => (within, 0),
        };
        self.skip = skip;
        self.state = State::Data {
            run: index,
            left: rest.first().map_or(0, |(length, _)| *length) - offset,
            partial: Vec::new(),
        };
        (file + offset, wanted)
    }

    /// Whether the next bytes of the file are not wanted; [`Self::seek`] tells which are.
    pub fn at_gap(&self) -> bool {
        let run = match (&self.state, &self.layout) {
            (State::Data { run, .. }, Some(layout)) => layout.runs.get(*run),
            _ => None,
        };
        run.is_some_and(|(_, run)| *run == Run::Omitted)
    }

    /// Takes the next bytes of the file and appends what they are in the copy to `copy`.
    pub fn push(&mut self, bytes: &[u8], copy: &mut Vec<u8>) -> Result<(), F16Overflow> {
        let start = copy.len();
        self.convert(bytes, copy)?;
        let skip = self.skip.min((copy.len() - start) as u64);
        self.skip -= skip;
        copy.drain(start..start + skip as usize);
        Ok(())
    }

    fn convert(&mut self, mut bytes: &[u8], copy: &mut Vec<u8>) -> Result<(), F16Overflow> {
        if let State::Header(reader) = &mut self.state {
            let before = reader.bytes().len();
            let taken = reader.take(bytes);
            self.header_bytes = reader.expected_bytes().unwrap_or_default();
            let rest = match taken {
                Ok(None) => return Ok(()),
                Ok(Some(rest)) => Some(rest),
                // Whoever reads the file will say so.
                Err(_) => None,
            };
            let header = reader.bytes();
            let found = rest.and_then(|_| CopyLayout::of(header, self.options).ok().flatten());
            let announced =
                |layout: &CopyLayout| self.announced == 0 || self.announced == layout.file_bytes();
            let found = found.filter(|(layout, _)| announced(layout));
            let omitted = (found.as_ref()).is_some_and(|(layout, _)| layout.table.is_some());
            self.small_table = self.options.omit_table && !omitted && has_table(header);
            match found {
                Some((layout, header)) => {
                    copy.extend(header);
                    bytes = rest.unwrap_or_default();
                    self.state = State::Data {
                        run: 0,
                        left: layout.runs.first().map_or(0, |(length, _)| *length),
                        partial: Vec::new(),
                    };
                    self.layout = Some(layout);
                }
                None => {
                    copy.extend_from_slice(header);
                    bytes = &bytes[header.len() - before..];
                    self.state = State::AsItIs;
                    self.layout = None;
                }
            }
        }
        let State::Data { run, left, partial } = &mut self.state else {
            copy.extend_from_slice(bytes);
            return Ok(());
        };
        let runs = self.layout.as_ref().map_or(&[][..], |layout| &layout.runs);
        while let Some((_, becomes)) = runs.get(*run)
            && !bytes.is_empty()
        {
            let count = usize::try_from(*left).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(count.min(bytes.len()));
            becomes.convert(now, partial, copy)?;
            *left -= now.len() as u64;
            bytes = later;
            if *left == 0 {
                *run += 1;
                *left = runs.get(*run).map_or(0, |(length, _)| *length);
            }
        }
        // More than the header told of is for the reader of the copy to refuse.
        copy.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends f32 values as f16.
fn narrow(values: &[u8], copy: &mut Vec<u8>) -> Result<(), F16Overflow> {
    values.as_chunks().0.iter().try_for_each(|value| {
        let value = f32::from_le_bytes(*value);
        let narrow = f16::from_f32(value);
        copy.extend(narrow.to_le_bytes());
        match value.is_finite() && !narrow.is_finite() {
            true => Err(F16Overflow(value)),
            false => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::super::metadata::Metadata;
    use super::*;
    use crate::weights::ShardHeader;

    const F16: CopyOptions = CopyOptions {
        precision: StoredPrecision::F16,
        omit_table: false,
    };
    const INT8: CopyOptions = CopyOptions {
        precision: StoredPrecision::Int8,
        omit_table: false,
    };

    /// File with an f32 matrix, a vector, an odd number of other bytes, and another matrix.
    fn file() -> Vec<u8> {
        let header = r#"{"__metadata__":{"format":"pt"},
            "a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
            "a.bias":{"dtype":"F32","shape":[2],"data_offsets":[24,32]},
            "ids":{"dtype":"U8","shape":[3],"data_offsets":[32,35]},
            "b.weight":{"dtype":"F32","shape":[1,2,2],"data_offsets":[35,51]}}"#;
        let mut file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        file.extend((0..6).flat_map(|i| (i as f32 / 3.0).to_le_bytes()));
        file.extend([1.0_f32 / 3.0, 1e-30].map(f32::to_le_bytes).concat());
        file.extend([7, 8, 9]);
        file.extend(
            [0.1_f32, -0.2, f32::NEG_INFINITY, 4e4]
                .map(f32::to_le_bytes)
                .concat(),
        );
        file
    }

    /// File with matrices of all dtypes whose rows are long, in a row and apart, and short ones.
    fn file_of_long_rows(prefix: &str) -> Vec<u8> {
        let tensors = [
            ("a.weight", Dtype::F32, vec![3, 64]),
            ("b.weight", Dtype::F32, vec![2, 4, 4, 4]),
            ("b.bias", Dtype::F32, vec![100]),
            ("c.weight", Dtype::F16, vec![2, 65]),
            ("d.weight", Dtype::BF16, vec![2, 70]),
            ("short.weight", Dtype::F32, vec![2, 15]),
        ];
        let mut header = Map::new();
        let mut data = Vec::new();
        for (name, dtype, shape) in tensors {
            let start = data.len();
            for i in 0..shape.iter().product() {
                let value = ((start + i) as f32 * 0.3).sin();
                match dtype {
                    Dtype::F32 => data.extend(value.to_le_bytes()),
                    Dtype::F16 => data.extend(f16::from_f32(value).to_le_bytes()),
                    _ => data.extend(half::bf16::from_f32(value).to_le_bytes()),
                }
            }
            let info = TensorInfo {
                dtype,
                shape,
                data_offsets: (start, data.len()),
            };
            header.insert(
                format!("{prefix}{name}"),
                serde_json::to_value(info).unwrap(),
            );
        }
        header.insert("__metadata__".into(), serde_json::json!({ "format": "pt" }));
        let header = Value::Object(header).to_string();
        let length = (header.len() as u64).to_le_bytes();
        [&length, header.as_bytes(), &data].concat()
    }

    fn metadata_of(file: &[u8]) -> Metadata {
        let mut reader = HeaderReader::default();
        reader.take(file).unwrap().unwrap();
        parse_metadata(reader.bytes()).unwrap()
    }

    fn converted(file: &[u8], piece: usize) -> Vec<u8> {
        converted_to(file, piece, F16)
    }

    fn converted_to(file: &[u8], piece: usize, options: CopyOptions) -> Vec<u8> {
        let mut copier = FileCopier::new(file.len() as u64, options);
        let mut copy = Vec::new();
        for piece in file.chunks(piece) {
            copier.push(piece, &mut copy).unwrap();
        }
        copy
    }

    #[test]
    fn matrices_become_f16_and_the_rest_stays() {
        let file = file();
        let copy = converted(&file, file.len());
        let tensors = SafeTensors::deserialize(&copy).unwrap();
        let matrix = tensors.tensor("a.weight").unwrap();
        assert_eq!((matrix.dtype(), matrix.shape()), (Dtype::F16, &[2, 3][..]));
        let third = f16::from_f32(1.0 / 3.0).to_le_bytes();
        assert_eq!(matrix.data()[2..4], third);
        let vector = tensors.tensor("a.bias").unwrap();
        assert_eq!(vector.dtype(), Dtype::F32);
        assert_eq!(vector.data()[4..], 1e-30_f32.to_le_bytes());
        assert_eq!(tensors.tensor("ids").unwrap().data(), [7, 8, 9]);
        let last = tensors.tensor("b.weight").unwrap();
        assert_eq!(last.data()[4..6], f16::NEG_INFINITY.to_le_bytes());
        let (_, metadata) = SafeTensors::read_metadata(&copy).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    }

    #[test]
    fn long_rows_become_int8_and_the_rest_stays() {
        let file = file_of_long_rows("");
        let copy = converted_to(&file, file.len(), INT8);
        let (before, after) = [&file, &copy]
            .map(|file| SafeTensors::deserialize(file).unwrap())
            .into();
        for (name, rows, bytes) in [("a", 3, 68), ("b", 2, 68), ("c", 2, 69), ("d", 2, 74)] {
            let tensor = after.tensor(&format!("{name}.weight")).unwrap();
            assert_eq!(
                (tensor.dtype(), tensor.shape()),
                (Dtype::I8, &[rows, bytes][..])
            );
        }
        for name in ["b.bias", "short.weight"] {
            let [before, after] = [&before, &after].map(|file| file.tensor(name).unwrap());
            assert_eq!(before.data(), after.data());
            assert_eq!(before.shape(), after.shape());
        }
        let metadata = metadata_of(&copy);
        assert_eq!(metadata.remarks()["format"], "pt");
        let own = int8_rows::int8_tensors(&metadata).unwrap();
        assert_eq!(own["b.weight"].shape, [2, 4, 4, 4]);
        let row = after.tensor("c.weight").unwrap();
        let row: Vec<f32> = int8_rows::stored_rows(row.data(), 69)
            .flat_map(int8_rows::values)
            .collect();
        let exact = before.tensor("c.weight").unwrap();
        let exact = exact.data().as_chunks().0.iter();
        let exact: Vec<f32> = exact.map(|b| f16::from_le_bytes(*b).to_f32()).collect();
        assert_eq!(row.len(), exact.len());
        assert!((row.iter().zip(&exact)).all(|(a, b)| (a - b).abs() < 0.5 / 127.0 + 1e-6));
    }

    #[test]
    fn int8_copies_of_shards_are_joined() {
        let copies = ["first.", "second."].map(|prefix| {
            let file = file_of_long_rows(prefix);
            converted_to(&file, file.len(), INT8)
        });
        let headers = [0, 1].map(|i| ShardHeader::parse(&copies[i]).unwrap().unwrap());
        let data = [0, 1].map(|i| &copies[i][headers[i].data_start() as usize..]);
        let joined = [ShardHeader::join(&headers).unwrap(), data.concat()].concat();
        SafeTensors::deserialize(&joined).unwrap();
        let own = int8_rows::int8_tensors(&metadata_of(&joined)).unwrap();
        assert_eq!(own.len(), 8);
        assert_eq!(own["second.b.weight"].shape, [2, 4, 4, 4]);
    }

    #[test]
    fn the_pieces_make_no_difference() {
        for (file, options) in [(file(), F16), (file_of_long_rows(""), INT8)] {
            let whole = converted_to(&file, file.len(), options);
            for piece in [1, 2, 3, 5, 7, 50, 400] {
                assert_eq!(converted_to(&file, piece, options), whole, "{piece}");
            }
        }
    }

    #[test]
    fn a_broken_conversion_goes_on_anywhere() {
        goes_on_anywhere(&file(), F16);
        goes_on_anywhere(&file_of_long_rows(""), INT8);
    }

    fn goes_on_anywhere(file: &[u8], options: CopyOptions) {
        let whole = converted_to(file, file.len(), options);
        let mut first = FileCopier::new(0, options);
        first.push(file, &mut Vec::new()).unwrap();
        let layout = first.layout().unwrap().clone();
        assert_eq!(layout.file_bytes(), file.len() as u64);
        assert_eq!(layout.copy_bytes(), whole.len() as u64);
        assert_eq!(layout.precision(), options.precision);
        let all = layout.progress(whole.len() as u64);
        assert_eq!(all, (file.len() as u64, file.len() as u64));
        let kept = serde_json::to_vec(&layout).unwrap();
        assert_eq!(serde_json::from_slice::<CopyLayout>(&kept).unwrap(), layout);
        for position in 0..=whole.len() {
            let mut copier = FileCopier::with_layout(layout.clone());
            let mut copy = whole[..position].to_vec();
            let (from, wanted) = copier.seek(position as u64);
            assert_eq!(wanted, None);
            for piece in file[from as usize..].chunks(5) {
                copier.push(piece, &mut copy).unwrap();
            }
            assert_eq!(copy, whole, "from {position}");
        }
    }

    #[test]
    fn what_cannot_be_converted_is_passed_on() {
        let f16_file = converted(&file(), 100);
        let mut shorter = file();
        shorter.truncate(shorter.len() - 4);
        let page = b"<!DOCTYPE html><title>Welcome</title>".to_vec();
        let broken = [&5_u64.to_le_bytes()[..], b"{nope, and more"].concat();
        for bytes in [f16_file, shorter, page, broken, Vec::new(), vec![1, 2, 3]] {
            for piece in [1, 10, 1000] {
                let found = converted(&bytes, piece);
                // A header that never ends is never passed on.
                let expected = if bytes.len() < 8 { &[][..] } else { &bytes };
                assert_eq!(found, expected);
            }
            let mut copier = FileCopier::new(bytes.len() as u64, F16);
            copier.push(&bytes, &mut Vec::new()).unwrap();
            assert_eq!(copier.layout(), None);
            if bytes.len() >= 8 {
                assert_eq!(copier.seek(4), (4, None));
            }
        }
    }

    #[test]
    fn a_value_beyond_f16_is_noticed() {
        let mut file = file();
        let end = file.len();
        file[end - 4..].copy_from_slice(&7e4_f32.to_le_bytes());
        let mut copier = FileCopier::new(0, F16);
        let error = copier.push(&file, &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "a weight is too large for f16 (70000)");
    }

    #[test]
    fn what_earlier_versions_have_stored_is_understood() {
        let stored = r#"{"header":10,"copy_header":9,"runs":[[24,true],[8,false]]}"#;
        let layout: CopyLayout = serde_json::from_str(stored).unwrap();
        assert_eq!((layout.file_bytes(), layout.copy_bytes()), (42, 29));
        assert_eq!(layout.precision(), StoredPrecision::F16);
        assert!(layout.table().is_none());
        assert_eq!(serde_json::to_string(&layout).unwrap(), stored);
    }

    const TABLE: &str = "text_model.embeddings.token_embedding.weight";
    const ROWS: usize = 20_000;
    const WIDTH: usize = 2;

    /// File with a vector, a token embedding of f32 whose values are their indices, and a matrix.
    fn file_with_table() -> Vec<u8> {
        let table = ROWS * WIDTH * 4;
        let header = format!(
            r#"{{"a.bias":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}},
            "{TABLE}":{{"dtype":"F32","shape":[{ROWS},{WIDTH}],"data_offsets":[8,{}]}},
            "b.weight":{{"dtype":"F32","shape":[2,2],"data_offsets":[{},{}]}}}}"#,
            8 + table,
            8 + table,
            24 + table
        );
        let mut file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        let values = [0.5, 0.25].into_iter();
        let values = values.chain((0..ROWS * WIDTH).map(|i| i as f32 / 64.0));
        let values = values.chain([1.0, 2.0, 3.0, 4.0]);
        file.extend(values.flat_map(f32::to_le_bytes));
        file
    }

    /// Copy that is made by asking for ranges as a download does, broken off after every
    /// `most` bytes; and how much of the file was asked for.
    fn downloaded(file: &[u8], options: CopyOptions, most: usize) -> (Vec<u8>, FileCopier, usize) {
        let mut copier = FileCopier::new(0, options);
        let mut copy = Vec::new();
        let mut asked = 0;
        loop {
            let (from, to) = copier.seek(copy.len() as u64);
            let to = to.map_or(file.len(), |to| to.min(file.len() as u64) as usize);
            let from = from as usize;
            if from >= to {
                return (copy, copier, asked);
            }
            // The header has to come in one piece.
            let most = if copier.has_header() { most } else { to };
            for piece in file[from..to.min(from.saturating_add(most))].chunks(1000) {
                asked += piece.len();
                copier.push(piece, &mut copy).unwrap();
                if copier.at_gap() {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_copy_without_table_needs_only_the_rest_of_the_file() {
        let file = file_with_table();
        let table = ROWS * WIDTH * 4;
        for precision in [StoredPrecision::AsDownloaded, StoredPrecision::F16] {
            let f16 = precision == StoredPrecision::F16;
            let options = CopyOptions {
                precision,
                omit_table: true,
            };
            let (whole, copier, asked) = downloaded(&file, options, usize::MAX);
            assert!(asked < file.len() - table + 2000, "{asked}");
            let layout = copier.layout().unwrap();
            assert_eq!(layout.file_bytes(), file.len() as u64);
            assert_eq!(layout.copy_bytes(), whole.len() as u64);
            assert_eq!(layout.precision(), precision);
            let wanted = (file.len() - table) as u64;
            assert_eq!(layout.progress(whole.len() as u64), (wanted, wanted));
            let before_last = layout.progress(whole.len() as u64 - 1).0;
            assert_eq!(before_last, wanted - if f16 { 2 } else { 1 });
            let kept = serde_json::to_vec(layout).unwrap();
            assert_eq!(
                serde_json::from_slice::<CopyLayout>(&kept).unwrap(),
                *layout
            );
            for most in [4, 5, 7] {
                assert_eq!(downloaded(&file, options, most).0, whole, "{most}");
            }

            let tensors = SafeTensors::deserialize(&whole).unwrap();
            let dtype = if f16 { Dtype::F16 } else { Dtype::F32 };
            let empty = tensors.tensor(TABLE).unwrap();
            assert_eq!((empty.dtype(), empty.shape()), (dtype, &[0, WIDTH][..]));
            assert_eq!(tensors.tensor("b.weight").unwrap().dtype(), dtype);
            let bias = [0.5_f32, 0.25].map(f32::to_le_bytes).concat();
            assert_eq!(tensors.tensor("a.bias").unwrap().data(), bias);

            let table = layout.table().unwrap();
            assert_eq!(table.rows() as usize, ROWS);
            let (from, to) = table.byte_range(7, 8);
            let row = table.convert(file[from as usize..to as usize].to_vec());
            let row = row.unwrap();
            assert_eq!(row.len(), table.copied_row_bytes());
            let values = [14.0 / 64.0, 15.0 / 64.0];
            let expected = match f16 {
                true => values.map(|v| f16::from_f32(v).to_le_bytes()).concat(),
                false => values.map(f32::to_le_bytes).concat(),
            };
            assert_eq!(row, expected);
        }
    }

    #[test]
    fn a_copy_without_table_can_be_made_of_a_whole_file() {
        let file = file_with_table();
        let options = CopyOptions {
            omit_table: true,
            ..CopyOptions::default()
        };
        let mut copier = FileCopier::new(file.len() as u64, options);
        let mut copy = Vec::new();
        file.chunks(999)
            .for_each(|piece| copier.push(piece, &mut copy).unwrap());
        assert_eq!(copy, downloaded(&file, options, usize::MAX).0);
    }

    #[test]
    fn a_small_table_stays() {
        let header = format!(
            r#"{{"{TABLE}":{{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}},
            "b.weight":{{"dtype":"F32","shape":[9],"data_offsets":[8,44]}}}}"#,
        );
        let mut file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        file.extend([0; 44]);
        let options = CopyOptions {
            omit_table: true,
            ..CopyOptions::default()
        };
        let (copy, copier, _) = downloaded(&file, options, usize::MAX);
        assert_eq!(copy, file);
        assert!(copier.has_small_table() && copier.layout().is_none());
    }
}
