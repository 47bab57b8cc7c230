//! Text encoder: a transformer, causal and pooled at the end-of-text token in CLIP,
//! bidirectional in SigLIP and BERT.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::transformer::{Attend, Transformer, TransformerConfig};
use super::{ClipConfig, TextPooling};
use crate::ops::{Embedding, Initializer, LayerNorm, Linear};

/// Text encoder: token ids to features.
#[derive(Module, Debug)]
pub struct TextTransformer {
    /// `[vocab_size, width]`
    pub token_embedding: Embedding,
    /// `[context_length, width]`; the rows of BERT's table are the config's `positions`.
    pub positional_embedding: Param<Tensor<2>>,
    /// `[types, width]`, of which BERT adds the first row to every token.
    pub token_type_embedding: Option<Param<Tensor<2>>>,
    /// Layer norm of BERT's embeddings.
    pub ln_pre: Option<LayerNorm>,
    /// Transformer, with a causal mask if `causal`.
    pub transformer: Transformer,
    /// Layer norm of the pooled token; BERT's last block has it.
    pub ln_final: Option<LayerNorm>,
    /// `[width, hidden]`, before a GELU, if the projection has two layers.
    pub projection_hidden: Option<Linear>,
    /// `[width, embed_dim]`; with a bias in SigLIP.
    pub text_projection: Linear,
    causal: bool,
    first_position: usize,
    #[module(skip)]
    pooling: TextPooling,
}

/// Batch of tokenised texts.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    /// `[batch, length]`
    pub ids: Tensor<2, Int>,
    /// Index of the pooled token of each text, `[batch]`.
    pub ends: Vec<usize>,
    /// Table that the ids are rows of, in place of the model's, if that is not loaded.
    pub embedding: Option<Embedding>,
}

impl TokenBatch {
    /// From rows of ids padded to the context length, and the index of the pooled token of
    /// each. If attention is `causal`, what comes after the last of these cannot change the
    /// features, and is cut off. Where padding is masked ([`TextConfig::unmasked`]), rows are
    /// without it, and of one length.
    ///
    /// [`TextConfig::unmasked`]: super::TextConfig::unmasked
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
            embedding: None,
        }
    }
}

impl TextTransformer {
    pub(super) fn init(config: &ClipConfig, device: &Device) -> Self {
        let text = &config.text;
        let bert = text.bert.as_ref();
        let embedding = |rows| Initializer::Normal(0.01).init([rows, text.width], device);
        let layer_norm = || LayerNorm::init(text.width, text.layer_norm_eps, device);
        let projection = |d_input: usize, d_output, bias| {
            let std = Initializer::Normal((d_input as f64).powf(-0.5));
            Linear::init([d_input, d_output], std, bias, device)
        };
        let hidden = text.projection_width;
        Self {
            token_embedding: Embedding::init(
                [text.vocab_size, text.width],
                Initializer::Normal(0.02),
                device,
            ),
            positional_embedding: embedding(bert.map_or(text.context_length, |b| b.positions)),
            token_type_embedding: bert.map(|bert| embedding(bert.token_types)),
            ln_pre: bert.map(|_| layer_norm()),
            transformer: Transformer::init(
                &TransformerConfig {
                    width: text.width,
                    layers: text.layers,
                    heads: text.heads,
                    mlp_width: text.mlp_width,
                    activation: text.activation,
                    layer_norm_eps: text.layer_norm_eps,
                    layer_scale: text.layer_scale,
                    post_norm: bert.is_some(),
                    swiglu: false,
                },
                device,
            ),
            ln_final: bert.is_none().then(layer_norm),
            projection_hidden: hidden.map(|hidden| projection(text.width, hidden, false)),
            text_projection: projection(
                hidden.unwrap_or(text.width),
                config.embed_dim,
                text.projection_bias,
            ),
            causal: text.causal,
            first_position: bert.map_or(0, |bert| bert.first_position),
            pooling: text.pooling,
        }
    }

    /// Whether a token attends to those before it only.
    pub fn is_causal(&self) -> bool {
        self.causal
    }

    /// Indices of the rows that can be encoded together: without a mask a text reads all of its
    /// row, so those of one length.
    pub fn groups(&self, rows: &[(Vec<u32>, usize)]) -> Vec<Vec<usize>> {
        if self.causal {
            return vec![(0..rows.len()).collect()];
        }
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, (ids, _)) in rows.iter().enumerate() {
            groups.entry(ids.len()).or_default().push(index);
        }
        groups.into_values().collect()
    }

    /// Token ids `[batch, length]` to `[batch, embed_dim]`, before normalisation.
    pub fn forward(&self, tokens: TokenBatch) -> Tensor<2> {
        let embedding = tokens.embedding.as_ref().unwrap_or(&self.token_embedding);
        let x = self.embed(tokens.ids, embedding);
        let attend = Attend::masked(self.causal);
        let x = match self.pooling {
            TextPooling::Mean => {
                let x = self.transformer.forward(x, attend);
                x.mean_dim(1).squeeze_dim(1)
            }
            _ => (self.transformer).forward_pooled(x, attend, &tokens.ends),
        };
        let x = match &self.ln_final {
            Some(ln_final) => ln_final.forward(x),
            None => x,
        };
        let x = match &self.projection_hidden {
            Some(hidden) => hidden.forward_gelu(x),
            None => x,
        };
        self.text_projection.forward(x)
    }

    /// Token ids `[batch, length]` to embeddings `[batch, length, width]`.
    fn embed(&self, ids: Tensor<2, Int>, embedding: &Embedding) -> Tensor<3> {
        let [_, length] = ids.dims();
        let positions = (self.positional_embedding.val()).narrow(0, self.first_position, length);
        let positions = match &self.token_type_embedding {
            Some(types) => positions + types.val().narrow(0, 0, 1),
            None => positions,
        };
        let x = embedding.forward(ids, positions);
        match &self.ln_pre {
            Some(ln_pre) => ln_pre.forward(x),
            None => x,
        }
    }
}
