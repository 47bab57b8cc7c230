//! Token sequences and memory layout.

use burn::tensor::Tensor;

use super::cpu;

/// Prepends the class token to `places`, `[batch, places, width]`, or their mean if there
/// is none, and adds the position embedding `[places + 1, width]`.
pub fn add_cls_and_position(
    first: Option<Tensor<1>>,
    places: Tensor<3>,
    positions: Tensor<2>,
) -> Tensor<3> {
    #[cfg(feature = "gpu")]
    if let Some(tokens) =
        super::gpu::add_cls_and_position(first.clone(), places.clone(), positions.clone())
    {
        return tokens;
    }
    let [batch, _, _] = places.dims();
    let first = match first {
        Some(first) => first.unsqueeze::<3>().repeat_dim(0, batch),
        None => places.clone().mean_dim(1),
    };
    Tensor::cat(vec![first, places], 1) + positions.unsqueeze::<3>()
}

/// Makes a tensor contiguous on a GPU, which burn otherwise does itself before a reshape.
pub fn into_contiguous<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "gpu")]
    if let Some(x) = super::gpu::into_contiguous(x.clone()) {
        return x;
    }
    x
}

/// Runs `forward` on a batch; in CPU memory without autodiff sample by sample, since the
/// activations of a ResNet's first layers fit the caches only for one.
pub fn map_samples(images: Tensor<4>, forward: impl Fn(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let batch = images.dims()[0];
    if batch <= 1 || !cpu::is_cpu_untracked(&images) {
        return forward(images);
    }
    let one = |index| forward(images.clone().narrow(0, index, 1));
    Tensor::cat((0..batch).map(one).collect(), 0)
}
