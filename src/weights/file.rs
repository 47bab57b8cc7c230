//! A safetensors file in memory, read as f32.

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::{Layout, layout::Source};
use crate::weights::layout::Change;

/// What is wrong with a weights file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("not a readable safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    #[error(
        "these weights are not a CLIP: no `visual.conv1.weight` and no `vision_model.…` in the file"
    )]
    NotClip,
    #[error("the weights lack `{0}`, which the model's config calls for")]
    Missing(String),
    #[error("`{name}` has shape {found:?} where the model's config calls for {expected:?}")]
    Shape {
        name: String,
        found: Vec<usize>,
        expected: Vec<usize>,
    },
    #[error("`{name}` is stored as {found}; f32, f16 and bf16 can be read")]
    Dtype { name: String, found: String },
    #[error("no layout is known for the parameter `{0}`")]
    Unknown(String),
    #[error("the weights could not be read back from the device: {0}")]
    Device(String),
}

/// The bytes of a safetensors file, its header checked.
pub struct TensorFile<'a> {
    tensors: SafeTensors<'a>,
    layout: Layout,
}

impl<'a> TensorFile<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Self, WeightsError> {
        let tensors = SafeTensors::deserialize(bytes)?;
        let layout =
            Layout::detect(tensors.iter().map(|(name, _)| name)).ok_or(WeightsError::NotClip)?;
        Ok(Self { tensors, layout })
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Values of one parameter in burn's layout, whose shape is `expected`.
    pub(super) fn parameter(
        &self,
        path: &str,
        expected: &[usize],
    ) -> Result<Vec<f32>, WeightsError> {
        let Source { names, change } =
            (self.layout.source(path)).ok_or_else(|| WeightsError::Unknown(path.into()))?;
        let mut values = Vec::with_capacity(expected.iter().product());
        let mut shape: Vec<usize> = Vec::new();
        for name in &names {
            let tensor =
                (self.tensors.tensor(name)).map_err(|_| WeightsError::Missing(name.clone()))?;
            match shape.first_mut() {
                None => shape = tensor.shape().to_vec(),
                Some(rows) => *rows += tensor.shape().first().copied().unwrap_or(0),
            }
            append_f32(name, tensor.dtype(), tensor.data(), &mut values)?;
        }
        let rows = shape.first().copied().unwrap_or(1);
        let columns: usize = shape.iter().skip(1).product();
        let becomes = match change {
            Change::Keep => shape.clone(),
            Change::Transpose | Change::FlattenTranspose => vec![columns, rows],
            Change::Scalar => vec![values.len()],
        };
        let rank_fits = match change {
            Change::Transpose => shape.len() == 2,
            Change::FlattenTranspose => shape.len() == 4,
            Change::Keep | Change::Scalar => true,
        };
        if becomes != expected || !rank_fits || values.len() != rows * columns {
            return Err(WeightsError::Shape {
                name: names.join(" + "),
                found: shape,
                expected: expected.to_vec(),
            });
        }
        Ok(match change {
            Change::Keep | Change::Scalar => values,
            Change::Transpose | Change::FlattenTranspose => transpose(&values, rows, columns),
        })
    }
}

/// `[rows, columns]` to `[columns, rows]`, both row by row.
pub(super) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| (0..rows).map(move |row| values[row * columns + column]))
        .collect()
}

fn append_f32(
    name: &str,
    dtype: Dtype,
    bytes: &[u8],
    values: &mut Vec<f32>,
) -> Result<(), WeightsError> {
    match dtype {
        Dtype::F32 => values.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
        Dtype::F16 => {
            values.extend((bytes.as_chunks().0.iter()).map(|b| f16::from_le_bytes(*b).to_f32()))
        }
        Dtype::BF16 => {
            values.extend((bytes.as_chunks().0.iter()).map(|b| bf16::from_le_bytes(*b).to_f32()))
        }
        other => {
            return Err(WeightsError::Dtype {
                name: name.into(),
                found: format!("{other:?}"),
            });
        }
    }
    Ok(())
}
