//! Stands where [`super::cpu`] does in a program for GPUs alone, which a visitor
//! downloads sooner: no tensor lies in the CPU's memory there, so no fast path can take any.

use burn::tensor::{Device, Int, Tensor};

use super::linear::Int8;
use crate::kernels::Curve;
use crate::kernels::conv::ConvShape;
use crate::kernels::crew::Shares;

pub struct Weights;

impl Weights {
    pub fn exact<const D: usize>(_: Tensor<D>, _: &Option<Shares>) -> Option<Self> {
        None
    }

    pub fn int8(_: &Int8, _: &Option<Shares>) -> Option<Self> {
        None
    }

    pub fn by_squares(self, _: bool) -> Self {
        self
    }
}

pub fn is_cpu(_: &Device) -> bool {
    false
}

pub fn is_there<const D: usize>(_: &Tensor<D>) -> bool {
    false
}

pub fn pack(_: Tensor<2>) -> Option<(Tensor<2>, Option<Shares>)> {
    None
}

pub fn pack_int8(_: Tensor<2>) -> Option<(Int8, Option<Shares>)> {
    None
}

pub fn pack_pool(_: Tensor<2>, _: usize) -> Option<Tensor<2>> {
    None
}

pub fn by_squares(_: &Tensor<2>, _: ConvShape) -> Option<Tensor<2>> {
    None
}

pub fn linear(
    _: Tensor<2>,
    _: Weights,
    _: usize,
    _: [Option<Tensor<1>>; 2],
    _: Option<Tensor<2>>,
    _: Curve,
) -> Option<Tensor<2>> {
    None
}

pub fn conv(
    _: Tensor<4>,
    _: Weights,
    _: ConvShape,
    _: Tensor<1>,
    _: Tensor<1>,
    _: Option<Tensor<4>>,
    _: Curve,
) -> Option<Tensor<4>> {
    None
}

pub fn attention(_: Tensor<3>, _: usize, _: bool) -> Option<Tensor<3>> {
    None
}

pub fn pool_attention(
    _: Tensor<3>,
    _: Tensor<3>,
    _: [Tensor<2>; 2],
    _: Option<Tensor<1>>,
    _: usize,
) -> Option<Tensor<3>> {
    None
}

pub fn layer_norm(_: Tensor<2>, _: Tensor<1>, _: Tensor<1>, _: f64) -> Option<Tensor<2>> {
    None
}

pub fn gather_f16(_: Tensor<2>, _: Tensor<1, Int>) -> Option<Tensor<2>> {
    None
}

pub fn average_pool(_: Tensor<4>, _: usize) -> Option<Tensor<4>> {
    None
}
