//! A table of vectors, read by row.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{DType, Device, Int, Tensor};

use super::cpu;

/// Token ids to vectors.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocab_size, width]`
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    pub fn init(shape: [usize; 2], weight: Initializer, device: &Device) -> Self {
        Self {
            weight: weight.init(shape, device),
        }
    }

    /// `[batch, length]` to `[batch, length, width]`, f32.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [batch, length] = ids.dims();
        let weight = self.weight.val();
        let [_, width] = weight.dims();
        let ids = ids.reshape([batch * length]);
        let rows = match weight.dtype() {
            DType::F32 => weight.select(0, ids),
            _ => fast(&weight, &ids).unwrap_or_else(|| weight.select(0, ids).cast(DType::F32)),
        };
        rows.reshape([batch, length, width])
    }
}

/// Rows of a table in half precision, which not every device knows.
fn fast(weight: &Tensor<2>, ids: &Tensor<1, Int>) -> Option<Tensor<2>> {
    let rows = cpu::gather_f16(weight.clone(), ids.clone());
    #[cfg(feature = "gpu")]
    let rows = rows.or_else(|| super::gpu::gather_f16(weight.clone(), ids.clone()));
    rows
}
