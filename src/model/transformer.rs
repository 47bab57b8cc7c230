//! The pre-norm transformer that both encoders are made of.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use super::Activation;
use crate::ops::{LayerNorm, Linear, Packing, Start, Then, attention, select_rows};

/// A stack of [`ResidualAttentionBlock`]s over `[batch, length, width]`, read at one
/// place of each row.
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

    /// `[batch, length, width]` to `[batch, width]`: what is found at `places`, one in
    /// each row. Where it is `causal`, no place sees a later one.
    pub fn forward(&self, x: Tensor<3>, causal: bool, places: &[usize]) -> Tensor<2> {
        let [batch, length, width] = x.dims();
        let rows: Vec<i32> = (places.iter().enumerate())
            .map(|(row, place)| (row * length + place) as i32)
            .collect();
        let rows = Tensor::from_data(TensorData::new(rows, [batch]), &x.device());
        let read = |x: Tensor<3>| select_rows(x.reshape([batch * length, width]), rows.clone());
        let Some((last, blocks)) = self.resblocks.split_last() else {
            return read(x);
        };
        let x = (blocks.iter()).fold(x, |x, block| block.forward(x, causal));
        last.forward_at(x, causal, read)
    }

    pub(super) fn pack(&mut self, packing: Packing) {
        let layers = self.resblocks.iter_mut().flat_map(|block| block.linears());
        layers.for_each(|(_, layer)| layer.pack(packing));
    }

    /// By its path: `resblocks.0.attn.in_proj`.
    pub(super) fn linear(&mut self, path: &str) -> Option<&mut Linear> {
        let (block, path) = path.strip_prefix("resblocks.")?.split_once('.')?;
        let block = self.resblocks.get_mut(block.parse::<usize>().ok()?)?;
        let found = (block.linears().into_iter()).find(|(name, _)| *name == path);
        found.map(|(_, layer)| layer)
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
        let layer_norm = || LayerNorm::init(config.width, config.layer_norm_eps, device);
        Self {
            ln_1: layer_norm(),
            attn: Attention::init(config, device),
            ln_2: layer_norm(),
            mlp: Mlp::init(config, device),
        }
    }

    fn linears(&mut self) -> [(&'static str, &mut Linear); 4] {
        [
            ("attn.in_proj", &mut self.attn.in_proj),
            ("attn.out_proj", &mut self.attn.out_proj),
            ("mlp.c_fc", &mut self.mlp.c_fc),
            ("mlp.c_proj", &mut self.mlp.c_proj),
        ]
    }

    fn forward(&self, x: Tensor<3>, causal: bool) -> Tensor<3> {
        let mixed = self.attn.mix(self.ln_1.forward(x.clone()), causal);
        self.finish(mixed, x)
    }

    /// The same of what `read` takes: once places are mixed, none looks at another.
    fn forward_at(
        &self,
        x: Tensor<3>,
        causal: bool,
        read: impl Fn(Tensor<3>) -> Tensor<2>,
    ) -> Tensor<2> {
        let mixed = self.attn.mix(self.ln_1.forward(x.clone()), causal);
        self.finish(read(mixed), read(x))
    }

    fn finish<const D: usize>(&self, mixed: Tensor<D>, stream: Tensor<D>) -> Tensor<D> {
        let x = self.attn.out_proj.forward(mixed, Then::Add(stream));
        self.mlp.forward(self.ln_2.forward(x.clone()), x)
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

    /// What each place finds in `x`, before `out_proj`.
    fn mix(&self, x: Tensor<3>, causal: bool) -> Tensor<3> {
        let qkv = self.in_proj.forward(x, Then::Nothing);
        attention(qkv, self.heads, causal)
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

    /// What the layers make of `x`, added to `stream`.
    fn forward<const D: usize>(&self, x: Tensor<D>, stream: Tensor<D>) -> Tensor<D> {
        let hidden = self.c_fc.forward(
            x,
            match self.activation {
                Activation::QuickGelu => Then::QuickGelu,
                Activation::Gelu => Then::Gelu,
            },
        );
        self.c_proj.forward(hidden, Then::Add(stream))
    }
}

/// Layers that write into the residual stream start smaller the deeper the
/// stack, as the reference does it.
fn residual_std(config: &TransformerConfig) -> f64 {
    (config.width as f64).powf(-0.5) * (2.0 * config.layers as f64).powf(-0.5)
}

fn linear(d_input: usize, d_output: usize, std: f64, device: &Device) -> Linear {
    Linear::init([d_input, d_output], Start::Normal(std), true, device)
}
