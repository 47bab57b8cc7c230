//! Multi-head attention pooling (MAP) of SigLIP and Perception Encoder: a learnt query attends
//! to all tokens.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::transformer::{Mlp, TransformerConfig, linear};
use crate::ops::{Initializer, LayerNorm, Linear, multi_head};

/// `x = out_proj(attn(probe, tokens))`, then `x + mlp(ln(x))`.
#[derive(Module, Debug)]
pub struct MapHead {
    /// `[width]`, the query before its projection.
    pub probe: Param<Tensor<1>>,
    /// `[width, 3 * width]`: query, key and value concatenated.
    pub in_proj: Linear,
    /// `[width, width]`
    pub out_proj: Linear,
    /// Layer norm before the MLP.
    pub ln: LayerNorm,
    /// MLP.
    pub mlp: Mlp,
    heads: usize,
}

impl MapHead {
    pub(super) fn init(config: &TransformerConfig, heads: usize, device: &Device) -> Self {
        let width = config.width;
        let std = (width as f64).powf(-0.5);
        Self {
            probe: Initializer::Normal(std).init([width], device),
            in_proj: linear(width, 3 * width, std, device),
            out_proj: linear(width, width, std, device),
            ln: LayerNorm::init(width, config.layer_norm_eps, device),
            mlp: Mlp::init(config, device),
            heads,
        }
    }

    /// `[batch, length, width]` to `[batch, width]`.
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<2> {
        let [batch, _, width] = tokens.dims();
        let probe = self.in_proj.forward(self.probe.val().unsqueeze::<3>());
        let query = probe.narrow(2, 0, width).repeat_dim(0, batch);
        // The tokens' queries are computed in vain, which is less than a hundredth of the
        // encoder.
        let tokens = self.in_proj.forward(tokens);
        let [key, value] = [1, 2].map(|part| tokens.clone().narrow(2, part * width, width));
        let x = multi_head(query, key, value, self.heads).reshape([batch, width]);
        let x = self.out_proj.forward(x);
        (self.mlp).forward_residual(self.ln.forward(x.clone()), x)
    }
}
