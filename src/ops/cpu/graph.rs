//! Operations of our own that are differentiated: burn's graph keeps what each
//! needs on the way back, and calls it there.

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

/// What an operation of `N` inputs keeps for its way back.
pub trait WayBack<const N: usize>: Clone + Debug + Send + 'static {
    /// What the loss asks of each input that it is `wanted` of, by what it asks of
    /// the output. All are contiguous and f32.
    fn gradients(self, asked: FlexTensor, wanted: [bool; N]) -> Option<[Option<FlexTensor>; N]>;
}

/// Does `forward` with the numbers of `inputs` and notes in their graph how to come
/// back. Only where all of them are f32 in the CPU's memory and belong to a graph.
pub fn differentiable<const N: usize, S: WayBack<N>>(
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

fn record<C: CheckpointStrategy, const N: usize, S: WayBack<N>>(
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
    let step = Step(PhantomData).prepare::<C>(nodes.try_into().ok()?);
    let output = match step.compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(state, output),
        OpsKind::UnTracked(step) => step.finish(output),
    };
    let output = BackendTensor::<Autodiff<Flex, C>>::Float(output);
    Some(DispatchTensor::from_backend(output))
}

#[derive(Debug)]
struct Step<S>(PhantomData<S>);

impl<const N: usize, S: WayBack<N>> Backward<Flex, N> for Step<S> {
    type State = S;

    fn backward(self, ops: Ops<S, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let asked = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = ops.state.gradients(asked, wanted);
        for (parent, gradient) in ops.parents.iter().zip(found.into_iter().flatten()) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}
