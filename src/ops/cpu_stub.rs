//! Stub of [`super::cpu`] for programs without the CPU backend, which are a smaller
//! download: no tensor is in CPU memory, so every fast path declines.

use burn::tensor::{Device, Int, Tensor};

use super::linear::Int8;
use crate::kernels::ActivationFunction;
use crate::kernels::conv::ConvParams;
use crate::kernels::pool::ShardedMatrix;

pub struct PackedMatrix;

impl PackedMatrix {
    pub fn exact<const D: usize>(_: Tensor<D>, _: &Option<ShardedMatrix>) -> Option<Self> {
        None
    }

    pub fn int8(_: &Int8, _: &Option<ShardedMatrix>) -> Option<Self> {
        None
    }

    pub fn winograd(self, _: bool) -> Self {
        self
    }
}

/// Whether a device is the CPU backend's: there is none here.
pub fn is_cpu(_: &Device) -> bool {
    false
}

pub fn is_cpu_untracked<const D: usize>(_: &Tensor<D>) -> bool {
    false
}

pub fn pack(_: Tensor<2>) -> Option<(Tensor<2>, Option<ShardedMatrix>)> {
    None
}

pub fn pack_int8(_: Tensor<2>) -> Option<(Int8, Option<ShardedMatrix>)> {
    None
}

pub fn pack_pool(_: Tensor<2>, _: usize) -> Option<Tensor<2>> {
    None
}

pub fn winograd_weights(_: &Tensor<2>, _: ConvParams) -> Option<Tensor<2>> {
    None
}

pub fn linear(
    _: Tensor<2>,
    _: PackedMatrix,
    _: usize,
    _: [Option<Tensor<1>>; 2],
    _: Option<Tensor<2>>,
    _: ActivationFunction,
) -> Option<Tensor<2>> {
    None
}

pub fn conv(
    _: Tensor<4>,
    _: PackedMatrix,
    _: ConvParams,
    _: Tensor<1>,
    _: Tensor<1>,
    _: Option<Tensor<4>>,
    _: ActivationFunction,
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
