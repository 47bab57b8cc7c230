//! Pre-norm transformer of both encoders.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use super::Activation;
use crate::ops::{
    Epilogue, Initializer, LayerNorm, Linear, WeightPrecision, attention, select_rows,
};

/// Stack of [`ResidualAttentionBlock`]s over `[batch, length, width]`, pooled at one
/// position per sample.
#[derive(Module, Debug)]
pub struct Transformer {
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
}

impl Transformer {
    pub(super) fn init(config: &TransformerConfig, device: &Device) -> Self {
        Self {
            resblocks: (0..config.layers)
                .map(|_| ResidualAttentionBlock::init(config, device))
                .collect(),
        }
    }

    /// `[batch, length, width]` to `[batch, width]`, the output at position `pool_index`
    /// of each sample; with a causal mask if `causal`.
    pub fn forward(&self, x: Tensor<3>, causal: bool, pool_index: &[usize]) -> Tensor<2> {
        let [batch, length, width] = x.dims();
        let rows: Vec<i32> = (pool_index.iter().enumerate())
            .map(|(row, position)| (row * length + position) as i32)
            .collect();
        let rows = Tensor::from_data(TensorData::new(rows, [batch]), &x.device());
        let gather = |x: Tensor<3>| select_rows(x.reshape([batch * length, width]), rows.clone());
        let Some((last, blocks)) = self.resblocks.split_last() else {
            return gather(x);
        };
        let x = (blocks.iter()).fold(x, |x, block| block.forward(x, causal));
        last.forward_pooled(x, causal, gather)
    }

    pub(super) fn pack(&mut self, packing: WeightPrecision) {
        let layers = self.resblocks.iter_mut().flat_map(|block| block.linears());
        layers.for_each(|(_, layer)| layer.pack(packing));
    }

    /// Linear layer by path, such as `resblocks.0.attn.in_proj`.
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
        let attn_output = self.attn.attend(self.ln_1.forward(x.clone()), causal);
        self.project_and_mlp(attn_output, x)
    }

    /// [`Self::forward`] at the positions of `gather` only: after attention, positions
    /// are independent.
    fn forward_pooled(
        &self,
        x: Tensor<3>,
        causal: bool,
        gather: impl Fn(Tensor<3>) -> Tensor<2>,
    ) -> Tensor<2> {
        let attn_output = self.attn.attend(self.ln_1.forward(x.clone()), causal);
        self.project_and_mlp(gather(attn_output), gather(x))
    }

    fn project_and_mlp<const D: usize>(
        &self,
        attn_output: Tensor<D>,
        residual: Tensor<D>,
    ) -> Tensor<D> {
        let x = self
            .attn
            .out_proj
            .forward(attn_output, Epilogue::Add(residual));
        self.mlp.forward(self.ln_2.forward(x.clone()), x)
    }
}

/// Multi-head self-attention with one projection for query, key and value.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[width, 3 * width]`: query, key and value concatenated.
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

    /// Attention without `out_proj`.
    fn attend(&self, x: Tensor<3>, causal: bool) -> Tensor<3> {
        let qkv = self.in_proj.forward(x, Epilogue::None);
        attention(qkv, self.heads, causal)
    }
}

/// MLP: two linear layers with an activation between them.
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

    /// `residual + mlp(x)`.
    fn forward<const D: usize>(&self, x: Tensor<D>, residual: Tensor<D>) -> Tensor<D> {
        let hidden = self.c_fc.forward(
            x,
            match self.activation {
                Activation::QuickGelu => Epilogue::QuickGelu,
                Activation::Gelu => Epilogue::Gelu,
            },
        );
        self.c_proj.forward(hidden, Epilogue::Add(residual))
    }
}

/// Initial standard deviation of layers that write to the residual stream: smaller the
/// deeper the stack, as in the reference.
fn residual_std(config: &TransformerConfig) -> f64 {
    (config.width as f64).powf(-0.5) * (2.0 * config.layers as f64).powf(-0.5)
}

fn linear(d_input: usize, d_output: usize, std: f64, device: &Device) -> Linear {
    Linear::init([d_input, d_output], Initializer::Normal(std), true, device)
}
