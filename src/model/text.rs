//! Text encoder: a transformer, causal and pooled at the end-of-text token in CLIP.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::ClipConfig;
use super::transformer::{Transformer, TransformerConfig};
use crate::ops::{Embedding, Initializer, LayerNorm, Linear};

/// Text encoder: token ids to features.
#[derive(Module, Debug)]
pub struct TextTransformer {
    /// `[vocab_size, width]`
    pub token_embedding: Embedding,
    /// `[context_length, width]`
    pub positional_embedding: Param<Tensor<2>>,
    /// Transformer, with a causal mask if `causal`.
    pub transformer: Transformer,
    /// Layer norm of the pooled token.
    pub ln_final: LayerNorm,
    /// `[width, embed_dim]`; with a bias in SigLIP.
    pub text_projection: Linear,
    causal: bool,
}

/// Batch of tokenised texts.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    /// `[batch, length]`
    pub ids: Tensor<2, Int>,
    /// Index of the pooled token of each text, `[batch]`.
    pub ends: Vec<usize>,
}

impl TokenBatch {
    /// From rows of ids padded to the context length, and the index of the pooled token of
    /// each. If attention is `causal`, what comes after the last of these cannot change the
    /// features, and is cut off.
    pub fn new(rows: &[(Vec<u32>, usize)], causal: bool, device: &Device) -> Self {
        let length = (rows.iter())
            .map(|(ids, end)| if causal { end + 1 } else { ids.len() })
            .max()
            .unwrap_or(1);
        let mut ids = Vec::with_capacity(rows.len() * length);
        for (row, _) in rows {
            ids.extend((0..length).map(|i| row.get(i).copied().unwrap_or(0) as i32));
        }
        Self {
            ids: Tensor::from_data(TensorData::new(ids, [rows.len(), length]), device),
            ends: rows.iter().map(|(_, end)| *end).collect(),
        }
    }
}

impl TextTransformer {
    pub(super) fn init(config: &ClipConfig, device: &Device) -> Self {
        let text = &config.text;
        Self {
            token_embedding: Embedding::init(
                [text.vocab_size, text.width],
                Initializer::Normal(0.02),
                device,
            ),
            positional_embedding: Initializer::Normal(0.01)
                .init([text.context_length, text.width], device),
            transformer: Transformer::init(
                &TransformerConfig {
                    width: text.width,
                    layers: text.layers,
                    heads: text.heads,
                    mlp_width: text.mlp_width,
                    activation: text.activation,
                    layer_norm_eps: text.layer_norm_eps,
                    layer_scale: text.layer_scale,
                },
                device,
            ),
            ln_final: LayerNorm::init(text.width, text.layer_norm_eps, device),
            text_projection: Linear::init(
                [text.width, config.embed_dim],
                Initializer::Normal((text.width as f64).powf(-0.5)),
                text.projection_bias,
                device,
            ),
            causal: text.causal,
        }
    }

    /// Token ids `[batch, length]` to `[batch, embed_dim]`, before normalisation.
    pub fn forward(&self, tokens: TokenBatch) -> Tensor<2> {
        let [_, length] = tokens.ids.dims();
        let positions = self.positional_embedding.val().narrow(0, 0, length);
        let x = self.token_embedding.forward(tokens.ids, positions);
        let x = (self.transformer).forward_pooled(x, self.causal, &tokens.ends);
        let x = self.ln_final.forward(x);
        self.text_projection.forward(x)
    }
}
