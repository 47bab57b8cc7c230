//! AdamW on tensors in CPU memory: in place, in one pass.

use burn::backend::flex::FlexTensor;
use burn::backend::{BackendTensor, DispatchTensor, DispatchTensorKind, Flex};
use burn::tensor::{DType, Tensor};

use self::Storage::{Cpu, Other};
use super::Update;

/// Updated values and moments, given `[values, gradient, first moment, second moment]`;
/// returns these unchanged unless all are in CPU memory.
#[allow(clippy::result_large_err)] // for a moment, and what comes back is no error
pub fn update(
    step: &Update<'_>,
    tensors: [Tensor<1>; 4],
) -> Result<(Tensor<1>, [Tensor<1>; 2]), [Tensor<1>; 4]> {
    match tensors.map(storage_of) {
        [
            Cpu(mut values),
            Cpu(gradient),
            Cpu(mut first),
            Cpu(mut second),
        ] => {
            adamw_in_place(step, &mut values, &gradient, &mut first, &mut second);
            let [values, first, second] =
                [values, first, second].map(Tensor::from_primitive::<Flex>);
            Ok((values, [first, second]))
        }
        others => Err(others.map(|tensor| match tensor {
            Cpu(tensor) => Tensor::from_primitive::<Flex>(tensor),
            Other(tensor) => tensor,
        })),
    }
}

fn adamw_in_place(
    step: &Update<'_>,
    values: &mut FlexTensor,
    gradient: &FlexTensor,
    first: &mut FlexTensor,
    second: &mut FlexTensor,
) {
    let factor = step.factor as f32;
    let (beta1, beta2) = (step.settings.beta1, step.settings.beta2);
    let [correction1, correction2] = step.corrections();
    let step_size = (step.learning_rate * correction1) as f32;
    let root_correction = correction2.sqrt() as f32;
    let decay = (1.0 - step.learning_rate * f64::from(step.decay)) as f32;
    let epsilon = step.settings.epsilon;
    let update = |values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]| {
        let moments = first.iter_mut().zip(second);
        for ((value, gradient), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient * factor;
            *first = beta1 * *first + (1.0 - beta1) * gradient;
            *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
            *value =
                decay * *value - step_size * *first / (second.sqrt() * root_correction + epsilon);
        }
    };
    let (values, gradient) = (values.storage_mut(), gradient.storage());
    let (first, second) = (first.storage_mut(), second.storage_mut());
    let threads = threads(values.len());
    if threads == 1 {
        return update(values, gradient, first, second);
    }
    // Memory-bound: one core does not saturate the bandwidth.
    let share = values.len().div_ceil(threads);
    let parts = (values.chunks_mut(share).zip(gradient.chunks(share)))
        .zip(first.chunks_mut(share).zip(second.chunks_mut(share)));
    std::thread::scope(|scope| {
        for ((values, gradient), (first, second)) in parts {
            scope.spawn(|| update(values, gradient, first, second));
        }
    });
}

/// Threads for an update of `count` values.
fn threads(count: usize) -> usize {
    const MIN_PARALLEL_LEN: usize = 1 << 18;
    match cfg!(target_arch = "wasm32") || count < MIN_PARALLEL_LEN {
        true => 1,
        false => std::thread::available_parallelism().map_or(1, Into::into),
    }
}

/// Flat tensor by device.
#[allow(clippy::large_enum_variant)] // for a moment, and not many
enum Storage {
    /// Contiguous, in CPU memory.
    Cpu(FlexTensor),
    Other(Tensor<1>),
}

fn storage_of(tensor: Tensor<1>) -> Storage {
    let DispatchTensor { kind, autodiff } = tensor.into_dispatch();
    match kind {
        DispatchTensorKind::Flex(BackendTensor::Float(tensor)) if tensor.dtype() == DType::F32 => {
            let whole = tensor.as_slice::<f32>().map(<[f32]>::len);
            match whole == Some(tensor.storage::<f32>().len()) {
                true => Cpu(tensor),
                false => Cpu(FlexTensor::from_data(tensor.into_data())),
            }
        }
        kind => Other(Tensor::from_dispatch(DispatchTensor { kind, autodiff })),
    }
}

/// `[1]`, for a tensor in CPU memory.
pub fn sum_of_squares(gradient: &Tensor<1>) -> Option<Tensor<1>> {
    let Cpu(values) = storage_of(gradient.clone()) else {
        return None;
    };
    // Partial sums, so that small values are not lost against a large sum.
    let sums = (values.storage::<f32>().chunks(1024))
        .map(|part| f64::from(part.iter().map(|v| v * v).sum::<f32>()));
    Some(Tensor::from_data(
        [sums.sum::<f64>() as f32],
        &gradient.device(),
    ))
}
