//! Matrices as int8 with a scale per row, in copies of files that a browser stores.
//!
//! A row of `columns` values is the scale (f32, little-endian) and `columns` integers from -127 to 127,
//! as a safetensors tensor of dtype I8 and shape `[rows, 4 + columns]`. The metadata of the file has the
//! matrices' own shapes under [`SHAPES`].

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::{Deserialize, Serialize};

use super::WeightsError;

/// Key of the file's metadata: names of matrices and their shapes, as JSON.
pub const SHAPES: &str = "clip_int8_shapes";

/// Fewest values of a row that is worth a scale.
const MIN_COLUMNS: usize = 64;
/// Bytes of a scale.
const SCALE_BYTES: usize = 4;
/// Largest magnitude.
const MAX: f32 = 127.0;

/// Rows of a matrix in a file, of which a copy has int8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Int8Rows {
    dtype: Dtype,
    columns: usize,
}

impl Int8Rows {
    /// Those of a tensor; `None` if it is no matrix of floats, or has short rows.
    pub fn of(info: &TensorInfo) -> Option<Self> {
        let floats = matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16);
        let columns = columns(&info.shape);
        (floats && info.shape.len() > 1 && columns >= MIN_COLUMNS).then_some(Self {
            dtype: info.dtype,
            columns,
        })
    }

    /// Bytes of a row in the file.
    pub fn file_bytes(self) -> usize {
        self.columns * if self.dtype == Dtype::F32 { 4 } else { 2 }
    }

    /// Bytes of a row in the copy.
    pub fn copy_bytes(self) -> usize {
        SCALE_BYTES + self.columns
    }

    /// Shape of the copy's tensor.
    pub fn copy_shape(self, rows: usize) -> Vec<usize> {
        vec![rows, self.copy_bytes()]
    }

    /// Appends whole rows of the file as int8. A row with a value that is not finite gets such a scale,
    /// by which whoever loads it knows.
    pub fn quantize(self, rows: &[u8], copy: &mut Vec<u8>) {
        let mut values = Vec::with_capacity(self.columns);
        for row in rows.chunks_exact(self.file_bytes()) {
            values.clear();
            let halves = || row.as_chunks().0.iter();
            match self.dtype {
                Dtype::F32 => {
                    values.extend(row.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)))
                }
                Dtype::F16 => values.extend(halves().map(|b| f16::from_le_bytes(*b).to_f32())),
                _ => values.extend(halves().map(|b| bf16::from_le_bytes(*b).to_f32())),
            }
            let scale = match values.iter().all(|value| value.is_finite()) {
                true => {
                    values
                        .iter()
                        .fold(0.0, |most: f32, value| most.max(value.abs()))
                        / MAX
                }
                false => f32::NAN,
            };
            copy.extend(scale.to_le_bytes());
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            copy.extend(
                values
                    .iter()
                    .map(|value| (value * inverse).round_ties_even() as i8 as u8),
            );
        }
    }
}

/// Bytes of a stored row of a matrix of that shape.
pub fn row_bytes(shape: &[usize]) -> usize {
    SCALE_BYTES + columns(shape)
}

fn columns(shape: &[usize]) -> usize {
    shape.iter().skip(1).product()
}

/// Scales and integers of whole stored rows of `row_bytes` each.
pub fn stored_rows(rows: &[u8], row_bytes: usize) -> impl Iterator<Item = (f32, &[u8])> {
    rows.chunks_exact(row_bytes).filter_map(|row| {
        let (scale, integers) = row.split_first_chunk()?;
        Some((f32::from_le_bytes(*scale), integers))
    })
}

/// Values of a stored row.
pub fn values((scale, integers): (f32, &[u8])) -> impl Iterator<Item = f32> {
    integers
        .iter()
        .map(move |byte| scale * f32::from(byte.cast_signed()))
}

/// Matrices that a file has as int8: their own shapes with the dtype and offsets of what is stored.
/// An error if the metadata does not fit what is stored.
pub fn int8_tensors(metadata: &Metadata) -> Result<BTreeMap<String, TensorInfo>, WeightsError> {
    let remarks = metadata.metadata().as_ref();
    let Some(shapes) = remarks.and_then(|remarks| remarks.get(SHAPES)) else {
        return Ok(BTreeMap::new());
    };
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_str(shapes)
        .map_err(|error| WeightsError::Header(format!("{SHAPES}: {error}")))?;
    let tensors = shapes.into_iter().map(|(name, shape)| {
        let info = metadata.info(&name);
        let columns = (shape.iter().skip(1))
            .try_fold(1_usize, |product, length| product.checked_mul(*length))
            .and_then(|columns| columns.checked_add(SCALE_BYTES));
        let fits = |info: &&TensorInfo| {
            let stored = [shape.first().copied(), columns];
            info.dtype == Dtype::I8 && info.shape.iter().copied().map(Some).eq(stored)
        };
        match info.filter(fits) {
            Some(info) => Ok((
                name,
                TensorInfo {
                    shape,
                    ..info.clone()
                },
            )),
            None => Err(WeightsError::Header(format!(
                "{SHAPES}: `{name}` does not fit its tensor"
            ))),
        }
    });
    tensors.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_within_half_a_step() {
        let row: Vec<f32> = (0..MIN_COLUMNS)
            .map(|i| (i as f32 * 0.7).sin() * 3.0)
            .collect();
        let file: Vec<u8> = (row.iter().flat_map(|v| v.to_le_bytes()))
            .chain([0; 4 * MIN_COLUMNS])
            .collect();
        let rows = Int8Rows {
            dtype: Dtype::F32,
            columns: MIN_COLUMNS,
        };
        let mut copy = Vec::new();
        rows.quantize(&file, &mut copy);
        assert_eq!(copy.len(), 2 * rows.copy_bytes());
        let back: Vec<f32> = (stored_rows(&copy, rows.copy_bytes()))
            .flat_map(values)
            .collect();
        let step = row.iter().fold(0.0_f32, |most, v| most.max(v.abs())) / MAX;
        for (value, back) in row.iter().zip(&back) {
            assert!((value - back).abs() <= step * 0.501, "{value} {back}");
        }
        assert!(back[MIN_COLUMNS..].iter().all(|value| *value == 0.0));
        assert_eq!(back.len(), 2 * MIN_COLUMNS);
        // Again, it is the same.
        let file: Vec<u8> = back.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut again = Vec::new();
        rows.quantize(&file, &mut again);
        assert_eq!(
            again[SCALE_BYTES..rows.copy_bytes()],
            copy[SCALE_BYTES..rows.copy_bytes()]
        );
    }

    #[test]
    fn a_row_that_is_not_finite_stays_so() {
        let rows = Int8Rows {
            dtype: Dtype::F32,
            columns: 2,
        };
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for row in [[wrong, 1.0], [1.0, wrong]] {
                let mut copy = Vec::new();
                rows.quantize(&row.map(f32::to_le_bytes).concat(), &mut copy);
                let mut back = stored_rows(&copy, rows.copy_bytes()).flat_map(values);
                assert!(back.any(|value| !value.is_finite()), "{row:?}");
            }
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let metadata = |shape: &str, dtype: &str, stored: &str| -> Metadata {
            let header = format!(
                r#"{{"__metadata__":{{"{SHAPES}":"{{\"a\":{shape}}}"}},
                "a":{{"dtype":"{dtype}","shape":{stored},"data_offsets":[0,20]}}}}"#
            );
            serde_json::from_str(&header).unwrap()
        };
        let found = int8_tensors(&metadata("[2,3,2]", "I8", "[2,10]")).unwrap();
        assert_eq!(found["a"].shape, [2, 3, 2]);
        let refused = [
            ("[2,7]", "I8", "[2,10]"),
            ("[1,6]", "I8", "[2,10]"),
            ("[]", "I8", "[2,10]"),
            ("[2,6]", "U8", "[2,10]"),
            ("[2,6]", "I8", "[20]"),
            ("[2,4294967296,4294967296]", "I8", "[2,10]"),
        ];
        for (shape, dtype, stored) in refused {
            assert!(
                int8_tensors(&metadata(shape, dtype, stored)).is_err(),
                "{shape}"
            );
        }
    }
}
