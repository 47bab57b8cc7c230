//! Tokens of places, and how they lie in memory.

use burn::tensor::Tensor;

use super::cpu;

/// `places`, `[batch, places, width]`, after one more token, with `positions`
/// `[places + 1, width]` added. What comes first is given, or their mean.
pub fn tokens(first: Option<Tensor<1>>, places: Tensor<3>, positions: Tensor<2>) -> Tensor<3> {
    #[cfg(feature = "gpu")]
    if let Some(tokens) = super::gpu::tokens(first.clone(), places.clone(), positions.clone()) {
        return tokens;
    }
    let [batch, _, _] = places.dims();
    let first = match first {
        Some(first) => first.unsqueeze::<3>().repeat_dim(0, batch),
        None => places.clone().mean_dim(1),
    };
    Tensor::cat(vec![first, places], 1) + positions.unsqueeze::<3>()
}

/// The same tensor; on a GPU its numbers are laid in the order of its axes, which burn
/// else does for itself before a reshape.
pub fn in_order<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "gpu")]
    if let Some(x) = super::gpu::in_order(x.clone()) {
        return x;
    }
    x
}

/// `forward` of several pictures; on the CPU, where nothing is differentiated, of one
/// after the other: what a ResNet's first layers make of one fits a processor's caches.
pub fn one_by_one(images: Tensor<4>, forward: impl Fn(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let batch = images.dims()[0];
    if batch <= 1 || !cpu::is_there(&images) {
        return forward(images);
    }
    let one = |index| forward(images.clone().narrow(0, index, 1));
    Tensor::cat((0..batch).map(one).collect(), 0)
}
