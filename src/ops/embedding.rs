//! Embedding table.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor};

use super::{Initializer, cpu};

/// Token embedding.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocab_size, width]`
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// Table of `shape` `[vocab_size, width]`.
    pub fn init(shape: [usize; 2], weight: Initializer, device: &Device) -> Self {
        Self {
            weight: weight.init(shape, device),
        }
    }

    /// `[batch, length]` to `[batch, length, width]` in f32, plus `positions` `[length,
    /// width]`.
    pub fn forward(&self, ids: Tensor<2, Int>, positions: Tensor<2>) -> Tensor<3> {
        let [batch, length] = ids.dims();
        let weight = self.weight.val();
        let [_, width] = weight.dims();
        let shape = [batch, length, width];
        let ids = ids.reshape([batch * length]);
        #[cfg(feature = "gpu")]
        if let Some(rows) = super::gpu::gather(weight.clone(), ids.clone(), Some(positions.clone()))
        {
            return rows.reshape(shape);
        }
        let rows = match weight.dtype() {
            DType::F32 => weight.select(0, ids),
            _ => cpu::gather_f16(weight.clone(), ids.clone())
                .unwrap_or_else(|| weight.select(0, ids).cast(DType::F32)),
        };
        rows.reshape(shape) + positions.unsqueeze::<3>()
    }
}

/// Gathers the rows `ids` of `x`.
pub fn select_rows(x: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
    #[cfg(feature = "gpu")]
    if let Some(rows) = super::gpu::gather(x.clone(), ids.clone(), None) {
        return rows;
    }
    x.select(0, ids)
}
