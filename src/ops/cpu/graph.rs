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
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, BackendTensor, DispatchAutodiffContext, DispatchKindConversion, DispatchTensor, Flex,
    GradientCheckpointingStrategy,
};
use burn::tensor::DType;

/// Saved state of an operation with `N` inputs, and its backward pass.
pub trait CustomBackward<const N: usize>: Clone + Debug + Send + 'static {
    /// Given dL/d(output), returns dL/d(input) for every input flagged in `needs_grad`.
    /// All tensors are contiguous f32.
    fn backward(
        self,
        grad_output: FlexTensor,
        needs_grad: [bool; N],
    ) -> Option<[Option<FlexTensor>; N]>;
}

/// Runs `forward` and records the operation in the graph of its inputs. `None` unless all
/// of them are f32 in CPU memory and tracked.
pub fn custom_op<const N: usize, S: CustomBackward<N>>(
    inputs: [DispatchTensor; N],
    forward: impl FnOnce(&[FlexTensor; N]) -> Option<(FlexTensor, S)>,
) -> Option<DispatchTensor> {
    use GradientCheckpointingStrategy::{Balanced, Disabled};
    match inputs.first()?.autodiff {
        DispatchAutodiffContext::Disabled => None,
        DispatchAutodiffContext::Enabled(Disabled) => {
            record::<NoCheckpointing, N, S>(inputs, forward)
        }
        DispatchAutodiffContext::Enabled(Balanced) => {
            record::<BalancedCheckpointing, N, S>(inputs, forward)
        }
    }
}

fn record<C: CheckpointStrategy, const N: usize, S: CustomBackward<N>>(
    inputs: [DispatchTensor; N],
    forward: impl FnOnce(&[FlexTensor; N]) -> Option<(FlexTensor, S)>,
) -> Option<DispatchTensor>
where
    DispatchTensor: DispatchKindConversion<Autodiff<Flex, C>>,
{
    let mut tracked: Vec<FloatTensor<Autodiff<Flex, C>>> = Vec::with_capacity(N);
    for input in inputs {
        match <DispatchTensor as DispatchKindConversion<Autodiff<Flex, C>>>::try_into_backend(input)
        {
            Ok(BackendTensor::Float(input)) if input.primitive().dtype() == DType::F32 => {
                tracked.push(input);
            }
            _ => return None,
        }
    }
    let values = tracked
        .iter()
        .map(|input| input.primitive().to_contiguous());
    let values: [FlexTensor; N] = values.collect::<Vec<_>>().try_into().ok()?;
    let (output, state) = forward(&values)?;
    let nodes = tracked.iter().map(|input| input.node()).collect::<Vec<_>>();
    let step = BackwardNode(PhantomData).prepare::<C>(nodes.try_into().ok()?);
    let output = match step.compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(state, output),
        OpsKind::UnTracked(step) => step.finish(output),
    };
    let output = BackendTensor::<Autodiff<Flex, C>>::Float(output);
    Some(DispatchTensor::from_backend(output))
}

#[derive(Debug)]
struct BackwardNode<S>(PhantomData<S>);

impl<const N: usize, S: CustomBackward<N>> Backward<Flex, N> for BackwardNode<S> {
    type State = S;

    fn backward(self, ops: Ops<S, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad_output = grads.consume::<Flex>(&ops.node).to_contiguous();
        let needs_grad = ops.parents.each_ref().map(Option::is_some);
        let input_grads = ops.state.backward(grad_output, needs_grad);
        for (parent, gradient) in ops.parents.iter().zip(input_grads.into_iter().flatten()) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}
