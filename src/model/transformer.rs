//! The pre-norm transformer that both encoders are made of.

use burn::module::Module;
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{gelu, sigmoid, softmax};
use burn::tensor::{Device, Tensor};

use super::Activation;

/// A stack of [`ResidualAttentionBlock`]s: `[batch, length, width]` in and out.
#[derive(Module, Debug)]
pub struct Transformer {
    pub resblocks: Vec<ResidualAttentionBlock>,
}

/// What a [`Transformer`] is built from.
#[derive(Clone, Copy, Debug)]
pub(super) struct TransformerConfig {
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    pub mlp_width: usize,
    pub activation: Activation,
    pub layer_norm_eps: f64,
}

impl Transformer {
    pub(super) fn init(config: &TransformerConfig, device: &Device) -> Self {
        Self {
            resblocks: (0..config.layers)
                .map(|_| ResidualAttentionBlock::init(config, device))
                .collect(),
        }
    }

    /// `mask`, shape `[length, length]`, is added to the attention scores.
    pub fn forward(&self, x: Tensor<3>, mask: Option<Tensor<2>>) -> Tensor<3> {
        self.resblocks
            .iter()
            .fold(x, |x, block| block.forward(x, mask.clone()))
    }
}

/// `x + attn(ln_1(x))`, then `x + mlp(ln_2(x))`.
#[derive(Module, Debug)]
pub struct ResidualAttentionBlock {
    pub ln_1: LayerNorm,
    pub attn: Attention,
    pub ln_2: LayerNorm,
    pub mlp: Mlp,
}

impl ResidualAttentionBlock {
    fn init(config: &TransformerConfig, device: &Device) -> Self {
        let layer_norm = || {
            LayerNormConfig::new(config.width)
                .with_epsilon(config.layer_norm_eps)
                .init(device)
        };
        Self {
            ln_1: layer_norm(),
            attn: Attention::init(config, device),
            ln_2: layer_norm(),
            mlp: Mlp::init(config, device),
        }
    }

    fn forward(&self, x: Tensor<3>, mask: Option<Tensor<2>>) -> Tensor<3> {
        let x = x.clone() + self.attn.forward(self.ln_1.forward(x), mask);
        x.clone() + self.mlp.forward(self.ln_2.forward(x))
    }
}

/// Multi-head self-attention with one projection for query, key and value.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[width, 3 * width]`: query, key, value side by side.
    pub in_proj: Linear,
    pub out_proj: Linear,
    heads: usize,
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

    fn forward(&self, x: Tensor<3>, mask: Option<Tensor<2>>) -> Tensor<3> {
        let [batch, length, width] = x.dims();
        let head_dim = width / self.heads;
        // [batch, length, 3 * width] -> three of [batch, heads, length, head_dim]
        let qkv = apply(&self.in_proj, x);
        let part = |index: usize| {
            qkv.clone()
                .narrow(2, index * width, width)
                .reshape([batch, length, self.heads, head_dim])
                .swap_dims(1, 2)
        };
        let query = part(0) * (head_dim as f64).powf(-0.5);
        let scores = query.matmul(part(1).swap_dims(2, 3));
        let scores = match mask {
            Some(mask) => scores + mask.unsqueeze::<4>(),
            None => scores,
        };
        let mixed = softmax(scores, 3).matmul(part(2));
        let mixed = mixed.swap_dims(1, 2).reshape([batch, length, width]);
        apply(&self.out_proj, mixed)
    }
}

/// Two linear layers with the model's activation between them.
#[derive(Module, Debug)]
pub struct Mlp {
    pub c_fc: Linear,
    pub c_proj: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    fn init(config: &TransformerConfig, device: &Device) -> Self {
        let fc_std = (2.0 * config.width as f64).powf(-0.5);
        Self {
            c_fc: linear(config.width, config.mlp_width, fc_std, device),
            c_proj: linear(config.mlp_width, config.width, residual_std(config), device),
            activation: config.activation,
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = apply(&self.c_fc, x);
        let x = match self.activation {
            Activation::QuickGelu => x.clone() * sigmoid(x * 1.702),
            Activation::Gelu => gelu(x),
        };
        apply(&self.c_proj, x)
    }
}

/// A layer in the precision of its weights, whatever that of the stream beside
/// it: these matrices are most of a model, and may be kept in half of the room.
fn apply(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    let (stream, weights) = (x.dtype(), layer.weight.val().dtype());
    match stream == weights {
        true => layer.forward(x),
        false => layer.forward(x.cast(weights)).cast(stream),
    }
}

/// Layers that write into the residual stream start smaller the deeper the
/// stack, as the reference does it.
fn residual_std(config: &TransformerConfig) -> f64 {
    (config.width as f64).powf(-0.5) * (2.0 * config.layers as f64).powf(-0.5)
}

fn linear(d_input: usize, d_output: usize, std: f64, device: &Device) -> Linear {
    let mut linear = LinearConfig::new(d_input, d_output)
        .with_initializer(Initializer::Normal { mean: 0.0, std })
        .init(device);
    linear.bias = Some(Initializer::Zeros.init([d_output], device));
    linear
}
