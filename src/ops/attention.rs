//! Multi-head attention, without its projections.

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};

use super::{Linear, cpu, into_contiguous};
use crate::kernels::ActivationFunction;

/// `softmax(q kᵀ / sqrt(head_dim)) v` per head: query, key and value concatenated,
/// `[batch, length, 3 * width]`, to `[batch, length, width]`; with a causal mask if
/// `causal`.
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    match fast(&qkv, heads, causal) {
        Some(output) => output,
        None => reference(qkv, heads, causal),
    }
}

pub(super) fn fast(qkv: &Tensor<3>, heads: usize, causal: bool) -> Option<Tensor<3>> {
    let output = cpu::attention(qkv.clone(), heads, causal);
    #[cfg(all(feature = "cpu", feature = "training"))]
    let output = output.or_else(|| cpu::training::attention(qkv, heads, causal));
    #[cfg(feature = "gpu")]
    let output = output.or_else(|| super::gpu::attention(qkv.clone(), heads, causal));
    #[cfg(all(feature = "gpu", feature = "training"))]
    let output = output.or_else(|| super::gpu::training::attention(qkv.clone(), heads, causal));
    output
}

/// Attention pooling, `softmax(q kᵀ / sqrt(head_dim)) v` per head with a single query:
/// `tokens` are `[batch, length, width]`, `query` and the result `[batch, 1, width]`.
pub fn pool_attention(
    tokens: Tensor<3>,
    query: Tensor<3>,
    [key, value]: [&Linear; 2],
    packed: &Option<PackedPool>,
    heads: usize,
) -> Tensor<3> {
    if let Some(output) = (packed.as_ref()).and_then(|packed| {
        let bias = value.bias.as_ref().map(|bias| bias.val());
        let [key, value] = [packed.key.val(), packed.value.val()];
        cpu::pool_attention(tokens.clone(), query.clone(), [key, value], bias, heads)
    }) {
        return output;
    }
    let key = key.forward(tokens.clone());
    let value = value.forward(tokens);
    multi_head(query, key, value, heads)
}

/// Value projection of [`pool_attention`] alone, `[batch, length, width]`, in and out.
pub fn pool_value(tokens: Tensor<3>, value: &Linear, packed: &Option<PackedPool>) -> Tensor<3> {
    let fast = packed.as_ref().and_then(|packed| {
        let [batch, length, width] = tokens.dims();
        let bias = value.bias.as_ref().map(|bias| bias.val());
        let x = tokens.clone().reshape([batch * length, width]);
        let weights = cpu::PackedMatrix::exact(packed.value.val(), &None)?;
        let activation = ActivationFunction::Identity;
        let y = cpu::linear(x, weights, width, [None, bias], None, activation)?;
        Some(y.reshape([batch, length, width]))
    });
    fast.unwrap_or_else(|| value.forward(tokens))
}

/// Key and value projections, packed for [`cpu::pool_attention`].
#[derive(Module, Debug)]
pub struct PackedPool {
    key: Param<Tensor<2>>,
    value: Param<Tensor<2>>,
}

impl PackedPool {
    /// Packs the weights of both and takes them out of the layers, if there is a fast
    /// path.
    pub fn new([key, value]: [&mut Linear; 2], heads: usize) -> Option<Self> {
        let packed = |weight: Tensor<2>| cpu::pack_pool(weight, heads).map(Param::from_tensor);
        for layer in [&mut *key, &mut *value] {
            layer.merge();
        }
        let packed = Self {
            key: packed(key.weight.val().transpose())?,
            value: packed(value.weight.val())?,
        };
        for layer in [key, value] {
            let device = layer.weight.val().device();
            layer.weight = Param::from_tensor(Tensor::zeros([1, 1], &device));
        }
        Some(packed)
    }
}

/// `softmax(q kᵀ / sqrt(head_dim)) v` per head: `query` and the result are `[batch, queries,
/// width]`, `key` and `value` `[batch, length, width]`.
pub fn multi_head(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>, heads: usize) -> Tensor<3> {
    let [query, key, value] = [query, key, value].map(into_contiguous);
    #[cfg(feature = "gpu")]
    if let Some(output) =
        super::gpu::pool_attention(query.clone(), key.clone(), value.clone(), heads)
    {
        return output;
    }
    #[cfg(all(feature = "gpu", feature = "training"))]
    if let Some(output) =
        super::gpu::training::multi_head(query.clone(), key.clone(), value.clone(), heads)
    {
        return output;
    }
    multi_head_reference(query, key, value, heads)
}

pub(super) fn multi_head_reference(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    heads: usize,
) -> Tensor<3> {
    let [batch, queries, width] = query.dims();
    let head_dim = width / heads;
    let split = |x: Tensor<3>| {
        let [_, length, _] = x.dims();
        x.reshape([batch, length, heads, head_dim]).swap_dims(1, 2)
    };
    let scores = split(query).matmul(split(key).swap_dims(2, 3)) * (head_dim as f64).powf(-0.5);
    let output = softmax(scores, 3).matmul(split(value));
    output.swap_dims(1, 2).reshape([batch, queries, width])
}

pub(super) fn reference(qkv: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    let [batch, length, triple] = qkv.dims();
    let width = triple / 3;
    let head_dim = width / heads;
    // [batch, length, 3 * width] -> three of [batch, heads, length, head_dim]
    let part = |index: usize| {
        (qkv.clone().narrow(2, index * width, width))
            .reshape([batch, length, heads, head_dim])
            .swap_dims(1, 2)
    };
    let query = part(0) * (head_dim as f64).powf(-0.5);
    let scores = query.matmul(part(1).swap_dims(2, 3));
    let scores = match causal {
        true => scores + causal_mask(length, &qkv.device()).unsqueeze(),
        false => scores,
    };
    let output = softmax(scores, 3).matmul(part(2));
    output.swap_dims(1, 2).reshape([batch, length, width])
}

/// Additive causal mask: 0 on and below the diagonal, -1e9 above. Finite, since some GPUs
/// turn an infinity into NaN.
fn causal_mask(length: usize, device: &Device) -> Tensor<2> {
    let mask: Vec<f32> = (0..length * length)
        .map(|i| if i % length > i / length { -1e9 } else { 0.0 })
        .collect();
    Tensor::from_data(TensorData::new(mask, [length, length]), device)
}
