//! AdamW in one pass over memory.

use burn::backend::Wgpu;
use burn::tensor::{DType, Tensor};

use super::kernel::{Kernel, WORKGROUP_SIZE, on_gpu, rows_of_workgroups};

/// Numbers of a step of AdamW.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    /// Factor of the gradient.
    pub factor: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Bias correction of the second moment.
    pub correction2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Learning rate, times the bias correction of the first moment.
    pub rate: f32,
    /// What weight decay leaves of the values.
    pub kept: f32,
}

/// Values and moments after a step, given values, gradient, first and second moments, all
/// `[count]`.
pub fn adamw(tensors: [Tensor<1>; 4], step: AdamWStep) -> Option<[Tensor<1>; 3]> {
    let [count] = tensors[0].dims();
    let inputs = tensors.map(|tensor| on_gpu(tensor, DType::F32));
    let inputs: Vec<_> = inputs.into_iter().collect::<Option<_>>()?;
    let (groups, row) = rows_of_workgroups(count);
    let mut arguments = vec![count as u32, row];
    let numbers = [
        step.factor,
        step.beta1,
        step.beta2,
        step.correction2,
        step.epsilon,
        step.rate,
        step.kept,
    ];
    arguments.extend(numbers.map(f32::to_bits));
    let shapes = std::array::from_fn(|_| [count].into());
    let results = adamw_kernel().launch(&inputs, &arguments, groups, shapes)?;
    Some(results.map(Tensor::from_primitive::<Wgpu>))
}

pub fn adamw_kernel() -> Kernel {
    Kernel::new(
        "adamw",
        include_str!("adamw.wgsl"),
        [WORKGROUP_SIZE as u32, 1],
    )
}
