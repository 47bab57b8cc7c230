//! The fast paths in the CPU's memory.

use burn::tensor::{Int, Tensor};

use super::Curve;
use super::conv::ConvShape;

/// A matrix `[d_input, d_output]` as [`linear`] reads it.
pub fn pack(_matrix: Tensor<2>) -> Option<Tensor<2>> {
    None
}

/// `curve(x w * scale + bias + add)`: `[rows, d_input]` times a packed matrix.
pub fn linear(
    _x: Tensor<2>,
    _packed: Tensor<2>,
    _d_output: usize,
    _scale: Option<Tensor<1>>,
    _bias: Option<Tensor<1>>,
    _add: Option<Tensor<2>>,
    _curve: Curve,
) -> Option<Tensor<2>> {
    None
}

/// See [`super::ConvNorm`].
pub fn conv(
    _x: Tensor<4>,
    _packed: Tensor<4>,
    _shape: ConvShape,
    _scale: Tensor<1>,
    _bias: Tensor<1>,
    _add: Option<Tensor<4>>,
    _curve: Curve,
) -> Option<Tensor<4>> {
    None
}

/// See [`super::attention`].
pub fn attention(_qkv: Tensor<3>, _heads: usize, _causal: bool) -> Option<Tensor<3>> {
    None
}

/// `[rows, width]`, see [`super::LayerNorm`].
pub fn layer_norm(
    _x: Tensor<2>,
    _gamma: Tensor<1>,
    _beta: Tensor<1>,
    _epsilon: f64,
) -> Option<Tensor<2>> {
    None
}

/// Rows `ids` of an f16 table `[count, width]`, as f32.
pub fn gather_f16(_table: Tensor<2>, _ids: Tensor<1, Int>) -> Option<Tensor<2>> {
    None
}

/// See [`super::average_pool`].
pub fn average_pool(_x: Tensor<4>, _side: usize) -> Option<Tensor<4>> {
    None
}
