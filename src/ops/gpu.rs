//! The fast paths on a GPU: kernels of our own in WGSL.

use burn::tensor::{Int, Tensor};

use super::Curve;
use super::conv::ConvShape;

/// `curve(x w + bias + add)`: `[rows, d_input]` times `[d_input, d_output]`
/// (f32 or f16).
pub fn linear(
    _x: Tensor<2>,
    _weight: Tensor<2>,
    _bias: Option<Tensor<1>>,
    _add: Option<Tensor<2>>,
    _curve: Curve,
) -> Option<Tensor<2>> {
    None
}

/// `[batch, height, width, in]`, weights `[1, 1, kernel² in, out]` whose rows run
/// over kernel rows, kernel columns and channels; `curve(… * scale + bias + add)`.
pub fn conv(
    _x: &Tensor<4>,
    _weight: &Tensor<4>,
    _shape: ConvShape,
    _scale: &Tensor<1>,
    _bias: &Tensor<1>,
    _add: &Option<Tensor<4>>,
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
