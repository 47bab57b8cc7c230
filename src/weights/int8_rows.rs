//! Matrices as int8 with a scale per row, in copies of files that a browser stores.
//!
//! A row of `columns` values is the scale (f32, little-endian) and `columns` integers from -127 to 127,
//! as a safetensors tensor of dtype I8 and shape `[rows, 4 + columns]`. The metadata of the file has the
//! matrices' own shapes under [`SHAPES`].

use std::collections::BTreeMap;

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::{Deserialize, Serialize};

use super::load::widen;
use super::metadata::Metadata;
use super::{F16Overflow, WeightsError};

/// Key of the file's metadata: names of matrices and their shapes, as JSON.
pub const SHAPES: &str = "clip_int8_shapes";

/// Fewest values of a row that is worth a scale.
const MIN_COLUMNS: usize = 16;
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
    /// Those of a tensor; `None` if it is no matrix of floats, or has short rows. Depthwise convolutions
    /// stay as they are: they are few values, of which much depends on each.
    pub fn of(info: &TensorInfo) -> Option<Self> {
        let floats = matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16);
        let depthwise = matches!(info.shape[..], [outputs, 1, _, _] if outputs > 1);
        let (_, columns) = rows_and_columns(&info.shape)?;
        (floats && !depthwise && columns >= MIN_COLUMNS).then_some(Self {
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

    /// Appends whole rows of the file as int8. A row with a value that is not finite gets such a scale,
    /// by which whoever loads it knows. Values beyond f16, as which the matrix may be loaded, are an error.
    pub fn quantize(self, rows: &[u8], copy: &mut Vec<u8>) -> Result<(), F16Overflow> {
        let mut values = Vec::with_capacity(self.columns);
        for row in rows.chunks_exact(self.file_bytes()) {
            values.clear();
            let finite = widen(self.dtype, row, &mut values);
            let most = (values.iter()).fold(0.0, |most: f32, value| most.max(value.abs()));
            if finite && most > f16::MAX.to_f32() {
                return Err(F16Overflow(most));
            }
            let scale = if finite { most / MAX } else { f32::NAN };
            copy.extend(scale.to_le_bytes());
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            copy.extend(
                (values.iter()).map(|value| (value * inverse).round_ties_even() as i8 as u8),
            );
        }
        Ok(())
    }
}

/// Rows and values of a row of a tensor, without leading axes of length one; `None` of a vector.
fn rows_and_columns(shape: &[usize]) -> Option<(usize, usize)> {
    let first = shape.iter().position(|length| *length != 1)?;
    let (rows, row) = shape[first..].split_first()?;
    let columns = (row.iter()).try_fold(1_usize, |product, length| product.checked_mul(*length))?;
    // A row of f32 has to be countable, too.
    let countable = columns.checked_mul(size_of::<f32>()).is_some();
    (!row.is_empty() && countable).then_some((*rows, columns))
}

/// Shape that a matrix of that shape is stored in: rows, and bytes of a row. `None` of a vector.
pub fn stored_shape(shape: &[usize]) -> Option<[usize; 2]> {
    let (rows, columns) = rows_and_columns(shape)?;
    Some([rows, SCALE_BYTES + columns])
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
    let Some(shapes) = metadata.remarks().get(SHAPES) else {
        return Ok(BTreeMap::new());
    };
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_str(shapes)
        .map_err(|error| WeightsError::Header(format!("{SHAPES}: {error}")))?;
    let tensors = shapes.into_iter().map(|(name, shape)| {
        let info = metadata.info(&name);
        let stored = stored_shape(&shape);
        let fits = |info: &&TensorInfo| {
            info.dtype == Dtype::I8 && stored.is_some_and(|stored| info.shape == stored)
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
        rows.quantize(&file, &mut copy).unwrap();
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
        rows.quantize(&file, &mut again).unwrap();
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
                rows.quantize(&row.map(f32::to_le_bytes).concat(), &mut copy)
                    .unwrap();
                let mut back = stored_rows(&copy, rows.copy_bytes()).flat_map(values);
                assert!(back.any(|value| !value.is_finite()), "{row:?}");
            }
        }
    }

    #[test]
    fn a_value_beyond_f16_is_refused() {
        let rows = Int8Rows {
            dtype: Dtype::F32,
            columns: 2,
        };
        let quantized =
            |row: [f32; 2]| rows.quantize(&row.map(f32::to_le_bytes).concat(), &mut Vec::new());
        assert!(quantized([65504.0, 1.0]).is_ok());
        assert!(quantized([1.0, -7e4]).is_err());
    }

    #[test]
    fn a_row_is_what_shares_a_scale() {
        let rows = |shape: &[usize]| {
            let info = TensorInfo {
                dtype: Dtype::F32,
                shape: shape.into(),
                data_offsets: (0, 0),
            };
            Int8Rows::of(&info).map(|rows| (rows.columns, stored_shape(shape).unwrap()))
        };
        assert_eq!(rows(&[3, 64]), Some((64, [3, 68])));
        assert_eq!(rows(&[3, 2, 8, 8]), Some((128, [3, 132])));
        // Positions with an axis for the batch.
        assert_eq!(rows(&[1, 197, 768]), Some((768, [197, 772])));
        let others: [&[usize]; 6] = [&[], &[768], &[1, 1, 768], &[3, 15], &[1], &[512, 1, 7, 7]];
        for shape in others {
            assert_eq!(rows(shape), None, "{shape:?}");
        }
        // Of a file that is no model.
        assert_eq!(rows(&[0, usize::MAX, 2]), None);
        assert_eq!(rows(&[0, usize::MAX / 2]), None);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let metadata = |shape: &str, dtype: &str, stored: &str| -> Metadata {
            let header = format!(
                r#"{{"__metadata__":{{"{SHAPES}":"{{\"a\":{shape}}}"}},
                "a":{{"dtype":"{dtype}","shape":{stored},"data_offsets":[0,20]}}}}"#
            );
            Metadata::parse(header.as_bytes()).unwrap()
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
