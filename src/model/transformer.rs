//! Transformer of both encoders: pre-norm, or post-norm in BERT.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::Activation;
use crate::ops::{Initializer, LayerNorm, Linear, attention};

/// Stack of [`ResidualAttentionBlock`]s over `[batch, length, width]`.
#[derive(Module, Debug)]
pub struct Transformer {
    /// Blocks, input to output.
    pub resblocks: Vec<ResidualAttentionBlock>,
}

/// Hyper-parameters of a [`Transformer`].
#[derive(Clone, Copy, Debug)]
pub(super) struct TransformerConfig {
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    pub mlp_width: usize,
    pub activation: Activation,
    pub layer_norm_eps: f64,
    pub layer_scale: bool,
    pub post_norm: bool,
}

impl Transformer {
    pub(super) fn init(config: &TransformerConfig, device: &Device) -> Self {
        Self {
            resblocks: (0..config.layers)
                .map(|_| ResidualAttentionBlock::init(config, device))
                .collect(),
        }
    }

    /// `[batch, length, width]`, in and out; with a causal mask if `causal`.
    pub fn forward(&self, x: Tensor<3>, causal: bool) -> Tensor<3> {
        (self.resblocks.iter()).fold(x, |x, block| block.forward(x, causal))
    }
}

/// `x = x + ls_1 attn(ln_1(x))`, then `x = x + ls_2 mlp(ln_2(x))`; most models have no `ls`.
/// Post-norm: `x = ln_1(x + attn(x))`, then `x = ln_2(x + mlp(x))`.
#[derive(Module, Debug)]
pub struct ResidualAttentionBlock {
    /// Layer norm before attention, or after it.
    pub ln_1: LayerNorm,
    /// Self-attention.
    pub attn: Attention,
    /// Layer norm before the MLP, or after it.
    pub ln_2: LayerNorm,
    /// MLP.
    pub mlp: Mlp,
    /// `[width]`, LayerScale of the attention.
    pub ls_1: Option<Param<Tensor<1>>>,
    /// `[width]`, LayerScale of the MLP.
    pub ls_2: Option<Param<Tensor<1>>>,
    post_norm: bool,
}

impl ResidualAttentionBlock {
    fn init(config: &TransformerConfig, device: &Device) -> Self {
        let layer_norm = || LayerNorm::init(config.width, config.layer_norm_eps, device);
        let layer_scale =
            || (config.layer_scale).then(|| Initializer::Ones.init([config.width], device));
        Self {
            ln_1: layer_norm(),
            attn: Attention::init(config, device),
            ln_2: layer_norm(),
            mlp: Mlp::init(config, device),
            ls_1: layer_scale(),
            ls_2: layer_scale(),
            post_norm: config.post_norm,
        }
    }

    /// `[batch, length, width]`, in and out.
    pub fn forward(&self, x: Tensor<3>, causal: bool) -> Tensor<3> {
        let y = attention(self.qkv(x.clone()), self.attn.heads, causal);
        self.add_to_residual(y, x)
    }

    /// Query, key and value: `[…, width]` to `[…, 3 * width]`.
    pub(super) fn qkv<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let x = match self.post_norm {
            true => x,
            false => self.ln_1.forward(x),
        };
        self.attn.in_proj.forward(x)
    }

    /// What follows the attention: its output projection and the MLP, `[…, width]`.
    pub(super) fn add_to_residual<const D: usize>(
        &self,
        attended: Tensor<D>,
        x: Tensor<D>,
    ) -> Tensor<D> {
        let x = add_scaled(&self.attn.out_proj, attended, &self.ls_1, x);
        if self.post_norm {
            let x = self.ln_1.forward(x);
            return self.ln_2.forward(self.mlp.forward_residual(x.clone(), x));
        }
        let y = self.mlp.hidden(self.ln_2.forward(x.clone()));
        add_scaled(&self.mlp.c_proj, y, &self.ls_2, x)
    }
}

/// `residual + scale * layer(x)`, `[…, width]`.
fn add_scaled<const D: usize>(
    layer: &Linear,
    x: Tensor<D>,
    scale: &Option<Param<Tensor<1>>>,
    residual: Tensor<D>,
) -> Tensor<D> {
    match scale {
        None => layer.forward_residual(x, residual),
        Some(scale) => layer.forward(x) * scale.val().unsqueeze() + residual,
    }
}

/// Multi-head self-attention with one projection for query, key and value.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[width, 3 * width]`: query, key and value concatenated.
    pub in_proj: Linear,
    /// `[width, width]`
    pub out_proj: Linear,
    pub(super) heads: usize,
}

impl Attention {
    fn init(config: &TransformerConfig, device: &Device) -> Self {
        let width = config.width;
        Self {
            in_proj: linear(width, 3 * width, (width as f64).powf(-0.5), device),
            out_proj: linear(width, width, residual_std(config), device),
            heads: config.heads,
        }
    }
}

/// MLP: two linear layers with an activation between them.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `[width, mlp_width]`
    pub c_fc: Linear,
    /// `[mlp_width, width]`
    pub c_proj: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    pub(super) fn init(config: &TransformerConfig, device: &Device) -> Self {
        let fc_std = (2.0 * config.width as f64).powf(-0.5);
        Self {
            c_fc: linear(config.width, config.mlp_width, fc_std, device),
            c_proj: linear(config.mlp_width, config.width, residual_std(config), device),
            activation: config.activation,
        }
    }

    /// `residual + mlp(x)`, `[…, width]`.
    pub fn forward_residual<const D: usize>(&self, x: Tensor<D>, residual: Tensor<D>) -> Tensor<D> {
        self.c_proj.forward_residual(self.hidden(x), residual)
    }

    /// `[…, width]` to `[…, mlp_width]`.
    fn hidden<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.activation {
            Activation::QuickGelu => self.c_fc.forward_quick_gelu(x),
            Activation::Gelu => self.c_fc.forward_gelu(x),
            Activation::GeluTanh => self.c_fc.forward_gelu_tanh(x),
        }
    }
}

/// Initial standard deviation of layers that write to the residual stream: smaller the
/// deeper the stack, as in the reference.
fn residual_std(config: &TransformerConfig) -> f64 {
    (config.width as f64).powf(-0.5) * (2.0 * config.layers as f64).powf(-0.5)
}

pub(super) fn linear(d_input: usize, d_output: usize, std: f64, device: &Device) -> Linear {
    Linear::init([d_input, d_output], Initializer::Normal(std), true, device)
}
