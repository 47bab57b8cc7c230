//! Conversion of a safetensors file to f16 as its bytes arrive, for a copy of half the size.

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::WeightsError;
use super::header::{HeaderReader, parse_metadata};
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};

/// Which bytes of a file are f32 matrices, and so f16 in its copy: all of f32 with two axes or
/// more. Vectors (gains, biases, variances) stay f32: they are few, and the model is the more
/// exact for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct F16Layout {
    /// Length of the file's header, with its length field.
    header: u64,
    /// Length of the copy's.
    copy_header: u64,
    /// Data in file order: so many bytes of the file, and whether they are f32 matrices.
    runs: Vec<(u64, bool)>,
}

impl F16Layout {
    /// Layout of a file by its header, with the copy's header; `None` if nothing is f32.
    fn of(header: &[u8]) -> Result<Option<(Self, Vec<u8>)>, WeightsError> {
        let wrong = |error: serde_json::Error| WeightsError::Header(error.to_string());
        let metadata = parse_metadata(header)?;
        let mut tensors = Map::new();
        if let Some(remarks) = metadata.metadata() {
            let remarks = serde_json::to_value(remarks).map_err(wrong)?;
            tensors.insert("__metadata__".into(), remarks);
        }
        let mut runs: Vec<(u64, bool)> = Vec::new();
        let mut start = 0;
        for name in metadata.offset_keys() {
            let Some(info) = metadata.info(&name) else {
                continue;
            };
            let halved = info.dtype == Dtype::F32 && info.shape.len() > 1;
            let length = info.data_offsets.1 - info.data_offsets.0;
            let end = start + if halved { length / 2 } else { length };
            let copy = TensorInfo {
                dtype: if halved { Dtype::F16 } else { info.dtype },
                shape: info.shape.clone(),
                data_offsets: (start, end),
            };
            tensors.insert(name, serde_json::to_value(copy).map_err(wrong)?);
            start = end;
            match runs.last_mut() {
                Some((run, same)) if *same == halved => *run += length as u64,
                _ => runs.push((length as u64, halved)),
            }
        }
        if !runs.iter().any(|(_, halved)| *halved) {
            return Ok(None);
        }
        let json = Value::Object(tensors).to_string();
        let copy = [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
        let layout = Self {
            header: header.len() as u64,
            copy_header: copy.len() as u64,
            runs,
        };
        Ok(Some((layout, copy)))
    }

    /// Length of the file.
    pub fn file_bytes(&self) -> u64 {
        self.header + self.runs.iter().map(|(length, _)| length).sum::<u64>()
    }

    /// Length of the copy.
    pub fn copy_bytes(&self) -> u64 {
        self.copy_header + self.runs.iter().map(|run| copied(*run)).sum::<u64>()
    }
}

/// Length of a run in the copy.
fn copied((length, halved): (u64, bool)) -> u64 {
    if halved { length / 2 } else { length }
}

/// Value that is finite in f32 and not in f16.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub struct F16Overflow(f32);

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

/// Converter of a file to its f16 copy, in pieces of any size. A file that is no safetensors file,
/// has no f32 matrices or another length than announced is passed on as it is.
#[derive(Default)]
pub struct ToF16 {
    /// Announced length of the file; 0 if unknown.
    announced: u64,
    layout: Option<F16Layout>,
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
        /// Bytes of an incomplete value.
        partial: Vec<u8>,
    },
    AsItIs,
}

impl Default for State {
    fn default() -> Self {
        Self::Header(HeaderReader::default())
    }
}

impl ToF16 {
    /// For a file of that announced length, 0 if unknown.
    pub fn new(announced: u64) -> Self {
        Self {
            announced,
            ..Self::default()
        }
    }

    /// For a file of which the layout is known.
    pub fn with_layout(layout: F16Layout) -> Self {
        Self {
            announced: layout.file_bytes(),
            layout: Some(layout),
            ..Self::default()
        }
    }

    /// Layout of the file, once its header is complete; `None` too if it is passed on as it is.
    pub fn layout(&self) -> Option<&F16Layout> {
        self.layout.as_ref()
    }

    /// Goes on at `position` of the copy. Returns the position in the file from which bytes have
    /// to be pushed.
    pub fn seek(&mut self, position: u64) -> u64 {
        let layout = match (&self.layout, &self.state) {
            (None, State::AsItIs) => return position,
            (Some(layout), _) if position >= layout.copy_header => layout,
            _ => {
                self.state = State::default();
                self.skip = position;
                return 0;
            }
        };
        let (mut file, mut copy) = (layout.header, layout.copy_header);
        let mut run = 0;
        while let Some(next) = layout.runs.get(run)
            && copy + copied(*next) <= position
        {
            file += next.0;
            copy += copied(*next);
            run += 1;
        }
        let (length, halved) = layout.runs.get(run).copied().unwrap_or_default();
        let within = position - copy;
        let (offset, skip) = match halved {
            true => (within / 2 * 4, within % 2),
            false => (within, 0),
        };
        self.skip = skip;
        self.state = State::Data {
            run,
            left: length - offset,
            partial: Vec::new(),
        };
        file + offset
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
            let rest = match reader.take(bytes) {
                Ok(None) => return Ok(()),
                Ok(Some(rest)) => Some(rest),
                // Whoever reads the file will say so.
                Err(_) => None,
            };
            let header = reader.bytes();
            let found = rest.and_then(|_| F16Layout::of(header).ok().flatten());
            let announced =
                |layout: &F16Layout| self.announced == 0 || self.announced == layout.file_bytes();
            match found.filter(|(layout, _)| announced(layout)) {
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
        while let Some((_, halved)) = runs.get(*run)
            && !bytes.is_empty()
        {
            let count = usize::try_from(*left).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(count.min(bytes.len()));
            match halved {
                true => narrow(now, partial, copy)?,
                false => copy.extend_from_slice(now),
            }
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

/// Appends f32 values as f16; an incomplete one waits in `partial`.
fn narrow(mut bytes: &[u8], partial: &mut Vec<u8>, copy: &mut Vec<u8>) -> Result<(), F16Overflow> {
    let mut append = |value: &[u8; 4]| {
        let value = f32::from_le_bytes(*value);
        let narrow = f16::from_f32(value);
        copy.extend(narrow.to_le_bytes());
        match value.is_finite() && !narrow.is_finite() {
            true => Err(F16Overflow(value)),
            false => Ok(()),
        }
    };
    if !partial.is_empty() {
        let (rest, later) = bytes.split_at((4 - partial.len()).min(bytes.len()));
        partial.extend_from_slice(rest);
        bytes = later;
        if let Some(value) = partial.first_chunk() {
            append(value)?;
            partial.clear();
        }
    }
    let (values, rest) = bytes.as_chunks();
    values.iter().try_for_each(append)?;
    partial.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

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

    fn converted(file: &[u8], piece: usize) -> Vec<u8> {
        let mut to_f16 = ToF16::new(file.len() as u64);
        let mut copy = Vec::new();
        for piece in file.chunks(piece) {
            to_f16.push(piece, &mut copy).unwrap();
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
    fn the_pieces_make_no_difference() {
        let file = file();
        let whole = converted(&file, file.len());
        for piece in [1, 2, 3, 5, 7, 50, 400] {
            assert_eq!(converted(&file, piece), whole, "{piece}");
        }
    }

    #[test]
    fn a_broken_conversion_goes_on_anywhere() {
        let file = file();
        let whole = converted(&file, file.len());
        let mut first = ToF16::new(0);
        first.push(&file, &mut Vec::new()).unwrap();
        let layout = first.layout().unwrap().clone();
        assert_eq!(layout.file_bytes(), file.len() as u64);
        assert_eq!(layout.copy_bytes(), whole.len() as u64);
        let kept = serde_json::to_vec(&layout).unwrap();
        assert_eq!(serde_json::from_slice::<F16Layout>(&kept).unwrap(), layout);
        for position in 0..=whole.len() {
            let mut to_f16 = ToF16::with_layout(layout.clone());
            let mut copy = whole[..position].to_vec();
            let from = to_f16.seek(position as u64) as usize;
            for piece in file[from..].chunks(5) {
                to_f16.push(piece, &mut copy).unwrap();
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
            let mut to_f16 = ToF16::new(bytes.len() as u64);
            to_f16.push(&bytes, &mut Vec::new()).unwrap();
            assert_eq!(to_f16.layout(), None);
            if bytes.len() >= 8 {
                assert_eq!(to_f16.seek(4), 4);
            }
        }
    }

    #[test]
    fn a_value_beyond_f16_is_noticed() {
        let mut file = file();
        let end = file.len();
        file[end - 4..].copy_from_slice(&7e4_f32.to_le_bytes());
        let mut to_f16 = ToF16::new(0);
        let error = to_f16.push(&file, &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "a weight is too large for f16 (70000)");
    }
}
