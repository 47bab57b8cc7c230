//! Transformer of both encoders: pre-norm, or post-norm in BERT.

use burn::module::{Module, Param};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};

use super::Activation;
use super::rotary::Rotation;
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
    pub swiglu: bool,
}

/// How the tokens of a sequence attend to each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attend<'a> {
    /// Whether each token attends to those before it only.
    pub causal: bool,
    /// Rotary positions.
    pub rotation: Option<&'a Rotation>,
}

impl Attend<'_> {
    /// Without rotary positions.
    pub fn masked(causal: bool) -> Self {
        Self {
            causal,
            rotation: None,
        }
    }
}

impl Transformer {
    pub(super) fn init(config: &TransformerConfig, device: &Device) -> Self {
        Self {
            resblocks: (0..config.layers)
                .map(|_| ResidualAttentionBlock::init(config, device))
                .collect(),
        }
    }

    /// `[batch, length, width]`, in and out.
    pub fn forward(&self, x: Tensor<3>, attend: Attend) -> Tensor<3> {
        (self.resblocks.iter()).fold(x, |x, block| block.forward(x, attend))
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
    pub fn forward(&self, x: Tensor<3>, attend: Attend) -> Tensor<3> {
        self.add_to_residual(self.mixed(x.clone(), attend), x)
    }

    /// Attention before its output projection, `[batch, length, width]`, in and out.
    pub(super) fn mixed(&self, x: Tensor<3>, attend: Attend) -> Tensor<3> {
        attention(self.qkv(x, attend.rotation), self.attn.heads, attend.causal)
    }

    /// Query, key and value: `[batch, length, width]` to `[batch, length, 3 * width]`.
    pub(super) fn qkv(&self, x: Tensor<3>, rotation: Option<&Rotation>) -> Tensor<3> {
        let x = match self.post_norm {
            true => x,
            false => self.ln_1.forward(x),
        };
        let qkv = self.attn.in_proj.forward(x);
        match rotation {
            Some(rotation) => rotation.apply(qkv),
            None => qkv,
        }
    }

    /// What follows the attention: its output projection and the MLP, `[…, width]`.
    pub(super) fn add_to_residual<const D: usize>(
        &self,
        attended: Tensor<D>,
        x: Tensor<D>,
    ) -> Tensor<D> {
        let attended = match &self.attn.ln {
            Some(ln) => ln.forward(attended),
            None => attended,
        };
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
    /// Layer norm before the output projection, in EVA02.
    pub ln: Option<LayerNorm>,
    /// `[width, width]`
    pub out_proj: Linear,
    pub(super) heads: usize,
}

impl Attention {
    fn init(config: &TransformerConfig, device: &Device) -> Self {
        let width = config.width;
        Self {
            in_proj: linear(width, 3 * width, (width as f64).powf(-0.5), device),
            ln: (config.swiglu).then(|| LayerNorm::init(width, config.layer_norm_eps, device)),
            out_proj: linear(width, width, residual_std(config), device),
            heads: config.heads,
        }
    }
}

/// MLP: two linear layers with an activation between them. In EVA02 half of the inner numbers
/// gate the others (SwiGLU, Shazeer 2020), and a layer norm follows.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `[width, mlp_width]`, or `[width, 2 * mlp_width]`, those that gate first.
    pub c_fc: Linear,
    /// Layer norm after the gate.
    pub ln: Option<LayerNorm>,
    /// `[mlp_width, width]`
    pub c_proj: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    pub(super) fn init(config: &TransformerConfig, device: &Device) -> Self {
        let fc_std = (2.0 * config.width as f64).powf(-0.5);
        let inner = config.mlp_width * if config.swiglu { 2 } else { 1 };
        let layer_norm = || LayerNorm::init(config.mlp_width, config.layer_norm_eps, device);
        Self {
            c_fc: linear(config.width, inner, fc_std, device),
            ln: (config.swiglu).then(layer_norm),
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
        if let Some(ln) = &self.ln {
            let x = self.c_fc.forward(x);
            let width = x.dims()[D - 1] / 2;
            let gate = silu(x.clone().narrow(D - 1, 0, width));
            return ln.forward(gate * x.narrow(D - 1, width, width));
        }
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
