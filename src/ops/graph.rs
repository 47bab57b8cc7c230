//! Custom operations with autodiff: saved state and backward pass as nodes of burn's
//! graph.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, BackendTensor, DispatchAutodiffContext, DispatchKindConversion,
    DispatchTensor, GradientCheckpointingStrategy, TensorMetadata,
};
use burn::tensor::DType;

/// Backend with custom operations.
pub trait CustomOps: Backend {
    /// Contiguous copy of a tensor, or the tensor itself.
    fn contiguous(tensor: FloatTensor<Self>) -> Option<FloatTensor<Self>>;
}

/// Saved state of an operation with `N` inputs, and its backward pass.
pub trait CustomBackward<B: Backend, const N: usize>: Clone + Debug + Send + 'static {
    /// Given dL/d(output), returns dL/d(input) for every input flagged in `needs_grad`.
    /// All tensors are contiguous f32.
    fn backward(
        self,
        grad_output: FloatTensor<B>,
        needs_grad: [bool; N],
    ) -> Option<[Option<FloatTensor<B>>; N]>;
}

/// Runs `forward` and records the operation in the graph of its inputs. `None` unless all
/// of them are f32, of the backend `B`, and on a device with autodiff.
pub fn custom_op<B: CustomOps, const N: usize, S: CustomBackward<B, N>>(
    inputs: [DispatchTensor; N],
    forward: impl FnOnce(&[FloatTensor<B>; N]) -> Option<(FloatTensor<B>, S)>,
) -> Option<DispatchTensor>
where
    DispatchTensor: DispatchKindConversion<Autodiff<B, NoCheckpointing>>
        + DispatchKindConversion<Autodiff<B, BalancedCheckpointing>>,
{
    use GradientCheckpointingStrategy::{Balanced, Disabled};
    match inputs.first()?.autodiff {
        DispatchAutodiffContext::Disabled => None,
        DispatchAutodiffContext::Enabled(Disabled) => {
            record::<B, NoCheckpointing, N, S>(inputs, forward)
        }
        DispatchAutodiffContext::Enabled(Balanced) => {
            record::<B, BalancedCheckpointing, N, S>(inputs, forward)
        }
    }
}

fn record<B: CustomOps, C: CheckpointStrategy, const N: usize, S: CustomBackward<B, N>>(
    inputs: [DispatchTensor; N],
    forward: impl FnOnce(&[FloatTensor<B>; N]) -> Option<(FloatTensor<B>, S)>,
) -> Option<DispatchTensor>
where
    DispatchTensor: DispatchKindConversion<Autodiff<B, C>>,
{
    let mut tracked: Vec<FloatTensor<Autodiff<B, C>>> = Vec::with_capacity(N);
    for input in inputs {
        match <DispatchTensor as DispatchKindConversion<Autodiff<B, C>>>::try_into_backend(input) {
            Ok(BackendTensor::Float(input)) if input.primitive().dtype() == DType::F32 => {
                tracked.push(input);
            }
            _ => return None,
        }
    }
    let values = tracked
        .iter()
        .map(|input| B::contiguous(input.primitive().clone()));
    let values: Vec<_> = values.collect::<Option<_>>()?;
    let values: [FloatTensor<B>; N] = values.try_into().ok()?;
    let (output, state) = forward(&values)?;
    let nodes = tracked.iter().map(|input| input.node()).collect::<Vec<_>>();
    let step = BackwardNode::<S>(PhantomData).prepare::<C>(nodes.try_into().ok()?);
    let output = match step.compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(state, output),
        OpsKind::UnTracked(step) => step.finish(output),
    };
    let output = BackendTensor::<Autodiff<B, C>>::Float(output);
    Some(DispatchTensor::from_backend(output))
}

#[derive(Debug)]
struct BackwardNode<S>(PhantomData<S>);

impl<B: CustomOps, const N: usize, S: CustomBackward<B, N>> Backward<B, N> for BackwardNode<S> {
    type State = S;

    fn backward(self, ops: Ops<S, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let needs_grad = ops.parents.each_ref().map(Option::is_some);
        let grad_output = B::contiguous(grads.consume::<B>(&ops.node));
        let input_grads =
            grad_output.and_then(|grad_output| ops.state.backward(grad_output, needs_grad));
        for (parent, gradient) in ops.parents.iter().zip(input_grads.into_iter().flatten()) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}
