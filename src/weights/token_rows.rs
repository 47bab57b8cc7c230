//! Rows of a token embedding that the model has a placeholder for.

use burn::tensor::{Device, Tensor};
use safetensors::Dtype;

use super::WeightsError;
use super::load::Values;

/// Format of the rows of a token embedding `[vocab_size, width]` that stays out of the model: the file has
/// none of them, or they are too many for a tensor of the device.
#[derive(Clone, Debug)]
pub struct RowFormat {
    /// Name of the tensor.
    pub(super) name: String,
    pub(super) vocab_size: usize,
    pub(super) width: usize,
    /// In the file.
    pub(super) dtype: Dtype,
    /// Bytes of a row in the file.
    pub(super) row_bytes: usize,
    /// Whether rows are f16 in the model.
    pub(super) f16: bool,
}

impl RowFormat {
    /// Number of rows of the whole table.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Error for a file whose table has another number of rows than the model.
    pub fn wrong_rows(&self, found: usize) -> WeightsError {
        WeightsError::Shape {
            name: self.name.clone(),
            found: vec![found, self.width],
            expected: vec![self.vocab_size, self.width],
        }
    }

    /// Whether the values of whole rows are finite, in the precision of the model.
    pub(super) fn are_finite(&self, bytes: &[u8]) -> bool {
        // Some at a time, so that there is no second table in memory.
        bytes.chunks(self.row_bytes * 256).all(|rows| {
            let count = rows.len() / self.row_bytes * self.width;
            Values::with_capacity(self.f16, count).append(self.dtype, self.row_bytes, rows)
        })
    }

    /// Some rows, one after the other in `bytes`, `[rows, width]`: the same values as in a table
    /// that is loaded as a whole.
    pub fn rows(&self, bytes: &[u8], device: &Device) -> Result<Tensor<2>, WeightsError> {
        let rows = bytes.len() / self.row_bytes;
        if rows == 0 || bytes.len() != rows * self.row_bytes {
            return Err(self.wrong_rows(rows));
        }
        let mut values = Values::with_capacity(self.f16, rows * self.width);
        if !values.append(self.dtype, self.row_bytes, bytes) {
            return Err(WeightsError::NotFinite(self.name.clone()));
        }
        Ok(values.tensor(device).reshape([rows, self.width]))
    }
}
