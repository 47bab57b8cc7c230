//! Shortcut for a transformer that is pooled at one position per sample, as in both
//! encoders. After attention, positions do not depend on each other: the last block
//! projects and runs its MLP at the pooled positions only. The result is that of
//! [`Transformer::forward`] at these positions.

use burn::tensor::{Int, Tensor, TensorData};

use super::transformer::Attend;
use super::{ResidualAttentionBlock, Transformer};
use crate::ops::select_rows;

/// Rows of `[batch * length, width]`, `[batch]`.
struct PooledRows(Tensor<1, Int>);

impl PooledRows {
    /// `[batch, length, width]` to `[batch, width]`.
    fn gather(&self, x: Tensor<3>) -> Tensor<2> {
        let [batch, length, width] = x.dims();
        select_rows(x.reshape([batch * length, width]), self.0.clone())
    }
}

impl Transformer {
    /// `[batch, length, width]` to `[batch, width]`: the output at position `pool_index`
    /// of each sample.
    pub fn forward_pooled(&self, x: Tensor<3>, attend: Attend, pool_index: &[usize]) -> Tensor<2> {
        let [batch, length, _] = x.dims();
        let rows: Vec<i32> = (pool_index.iter().enumerate())
            .map(|(row, position)| (row * length + position) as i32)
            .collect();
        let rows = TensorData::new(rows, [batch]);
        let rows = PooledRows(Tensor::from_data(rows, &x.device()));
        let Some((last, blocks)) = self.resblocks.split_last() else {
            return rows.gather(x);
        };
        let x = (blocks.iter()).fold(x, |x, block| block.forward(x, attend));
        last.forward_pooled(x, attend, &rows)
    }
}

impl ResidualAttentionBlock {
    fn forward_pooled(&self, x: Tensor<3>, attend: Attend, rows: &PooledRows) -> Tensor<2> {
        let mixed = rows.gather(self.mixed(x.clone(), attend));
        self.add_to_residual(mixed, rows.gather(x))
    }
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::Activation;
    use crate::model::transformer::TransformerConfig;
    use crate::ops::Initializer;

    #[test]
    fn the_short_cut_is_the_whole_transformer_at_the_pooled_positions() {
        let device = Device::flex();
        for layers in [0, 1, 3] {
            let config = TransformerConfig {
                width: 64,
                layers,
                heads: 2,
                mlp_width: 128,
                activation: Activation::QuickGelu,
                layer_norm_eps: 1e-5,
                layer_scale: layers == 1,
                post_norm: layers == 3,
                swiglu: layers == 1,
            };
            let transformer = Transformer::init(&config, &device);
            let x = Initializer::Normal(1.0).init([3, 7, 64], &device).val();
            for causal in [false, true] {
                let pool_index = [0, 6, 2];
                let attend = Attend::masked(causal);
                let whole = transformer.forward(x.clone(), attend);
                let expected = (pool_index.iter().enumerate())
                    .map(|(sample, position)| {
                        let row = whole.clone().narrow(0, sample, 1).narrow(1, *position, 1);
                        row.reshape([1, 64])
                    })
                    .collect();
                let found = transformer.forward_pooled(x.clone(), attend, &pool_index);
                let off = (found - Tensor::cat(expected, 0)).abs().max();
                assert!(off.into_scalar::<f32>() < 1e-5, "{layers} layers");
            }
        }
    }
}
