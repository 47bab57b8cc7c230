//! AdamW as CLIP uses it: decoupled decay on matrices, none on the rest.

use std::collections::BTreeMap;

use burn::backend::flex::FlexTensor;
use burn::backend::{
    BackendTensor, DispatchTensor, DispatchTensorKind, Flex, GradientCheckpointingStrategy,
};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use self::Place::{Cpu, Elsewhere};
use super::Gradients;

/// AdamW's settings, under the field's names.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamWHyperParameters {
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
    pub weight_decay: f32,
}

/// The optimiser (Loshchilov and Hutter 2019) and what it remembers. burn has
/// one, too; of this one the state can be read where a device cannot be waited
/// for (in a browser), and on the CPU it updates in place, in one pass over
/// memory where there would be a dozen.
#[derive(Clone, Debug)]
pub struct AdamW {
    pub settings: AdamWHyperParameters,
    /// Steps done.
    pub step: usize,
    /// Running means of the gradient and of its square, flat, by the
    /// parameter's path.
    pub moments: BTreeMap<String, [Tensor<1>; 2]>,
}

/// Keeps the clipping from dividing by zero, as in PyTorch.
const NORM_EPSILON: f64 = 1e-6;

impl AdamW {
    pub fn new(settings: AdamWHyperParameters) -> Self {
        Self {
            settings,
            step: 0,
            moments: BTreeMap::new(),
        }
    }

    /// Moves the parameters of `model` that have a gradient, which is multiplied
    /// by `factor` first (see [`clip_factor`]). Decay spares gains, biases, the
    /// class embedding and the temperature: everything of less than two axes, as
    /// the paper and OpenCLIP do.
    pub fn step<M: Module>(
        &mut self,
        model: M,
        gradients: Gradients,
        learning_rate: f64,
        factor: f64,
    ) -> M {
        self.step += 1;
        model.map(&mut Updater {
            path: Vec::new(),
            optimizer: self,
            gradients,
            learning_rate,
            factor,
        })
    }
}

/// What shortens a gradient of that norm to `longest`, if it is longer.
pub fn clip_factor(norm: f32, longest: Option<f64>) -> f64 {
    longest.map_or(1.0, |longest| {
        (longest / (f64::from(norm) + NORM_EPSILON)).min(1.0)
    })
}

struct Updater<'a> {
    path: Vec<String>,
    optimizer: &'a mut AdamW,
    gradients: Gradients,
    learning_rate: f64,
    factor: f64,
}

impl ModuleMapper for Updater<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let Some(gradient) = self.gradients.remove(&path) else {
            return param;
        };
        let moments = (self.optimizer.moments.remove(&path)).unwrap_or_else(|| {
            let zeros = || Tensor::zeros(gradient.shape(), &gradient.device());
            [zeros(), zeros()]
        });
        let settings = &self.optimizer.settings;
        let update = Update {
            settings,
            step: self.optimizer.step,
            learning_rate: self.learning_rate,
            decay: if D < 2 { 0.0 } else { settings.weight_decay },
            factor: self.factor,
        };
        let mut kept = None;
        let param = map_untracked(param, |values| {
            let shape = values.shape();
            let (values, moments) = update.apply(values.reshape([-1]), gradient, moments);
            kept = Some(moments);
            values.reshape(shape)
        });
        if let Some(moments) = kept {
            self.optimizer.moments.insert(path, moments);
        }
        param
    }
}

/// The same parameter with other values, which are made without a graph.
pub(super) fn map_untracked<const D: usize>(
    param: Param<Tensor<D>>,
    change: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Param<Tensor<D>> {
    param.map(|values| {
        // Nothing is held meanwhile: what is alone can be changed in place.
        let (graph, learns) = (
            values.gradient_checkpointing_strategy(),
            values.is_require_grad(),
        );
        in_graph(change(values.inner()), graph).set_require_grad(learns)
    })
}

/// A tensor without a graph, as a constant in a graph of that kind.
pub(super) fn in_graph<const D: usize>(
    tensor: Tensor<D>,
    graph: Option<GradientCheckpointingStrategy>,
) -> Tensor<D> {
    match graph {
        Some(strategy) => (tensor.autodiff()).with_gradient_checkpointing_strategy(strategy),
        None => tensor,
    }
}

/// One parameter's step.
struct Update<'a> {
    settings: &'a AdamWHyperParameters,
    step: usize,
    learning_rate: f64,
    decay: f32,
    /// What the gradient is multiplied by.
    factor: f64,
}

impl Update<'_> {
    /// New values and moments. All are flat and of one length.
    fn apply(
        &self,
        values: Tensor<1>,
        gradient: Tensor<1>,
        [first, second]: [Tensor<1>; 2],
    ) -> (Tensor<1>, [Tensor<1>; 2]) {
        match [values, gradient, first, second].map(place) {
            [
                Cpu(mut values),
                Cpu(gradient),
                Cpu(mut first),
                Cpu(mut second),
            ] => {
                self.in_place(&mut values, &gradient, &mut first, &mut second);
                let [values, first, second] =
                    [values, first, second].map(Tensor::from_primitive::<Flex>);
                (values, [first, second])
            }
            elsewhere => {
                let [values, gradient, first, second] = elsewhere.map(|tensor| match tensor {
                    Cpu(tensor) => Tensor::from_primitive::<Flex>(tensor),
                    Elsewhere(tensor) => tensor,
                });
                self.plain(values, gradient, [first, second])
            }
        }
    }

    /// What the moments are multiplied by: they start at zero and are too small
    /// at first.
    fn corrections(&self) -> [f64; 2] {
        let step = i32::try_from(self.step).unwrap_or(i32::MAX);
        let missing = |beta: f32| 1.0 - f64::from(beta).powi(step);
        [self.settings.beta1, self.settings.beta2].map(|beta| missing(beta).recip())
    }

    fn plain(
        &self,
        values: Tensor<1>,
        gradient: Tensor<1>,
        [first, second]: [Tensor<1>; 2],
    ) -> (Tensor<1>, [Tensor<1>; 2]) {
        let gradient = gradient * self.factor;
        let [beta1, beta2] = [self.settings.beta1, self.settings.beta2].map(f64::from);
        let [correction1, correction2] = self.corrections();
        let first = first * beta1 + gradient.clone() * (1.0 - beta1);
        let second = second * beta2 + gradient.square() * (1.0 - beta2);
        let spread = (second.clone() * correction2).sqrt() + f64::from(self.settings.epsilon);
        let change = first.clone() / spread * (self.learning_rate * correction1);
        let decayed = values * (1.0 - self.learning_rate * f64::from(self.decay));
        (decayed - change, [first, second])
    }

    /// The same in the CPU's memory, in one pass over it.
    fn in_place(
        &self,
        values: &mut FlexTensor,
        gradient: &FlexTensor,
        first: &mut FlexTensor,
        second: &mut FlexTensor,
    ) {
        let factor = self.factor as f32;
        let (beta1, beta2) = (self.settings.beta1, self.settings.beta2);
        let [correction1, correction2] = self.corrections();
        let rate = (self.learning_rate * correction1) as f32;
        let root = correction2.sqrt() as f32;
        let keep = (1.0 - self.learning_rate * f64::from(self.decay)) as f32;
        let epsilon = self.settings.epsilon;
        let update =
            |values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]| {
                let moments = first.iter_mut().zip(second);
                for ((value, gradient), (first, second)) in
                    values.iter_mut().zip(gradient).zip(moments)
                {
                    let gradient = gradient * factor;
                    *first = beta1 * *first + (1.0 - beta1) * gradient;
                    *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
                    *value = keep * *value - rate * *first / (second.sqrt() * root + epsilon);
                }
            };
        let (values, gradient) = (values.storage_mut(), gradient.storage());
        let (first, second) = (first.storage_mut(), second.storage_mut());
        let threads = threads(values.len());
        if threads == 1 {
            return update(values, gradient, first, second);
        }
        // Memory is what this waits for, and one core does not ask for all that
        // it can give.
        let share = values.len().div_ceil(threads);
        let parts = (values.chunks_mut(share).zip(gradient.chunks(share)))
            .zip(first.chunks_mut(share).zip(second.chunks_mut(share)));
        std::thread::scope(|scope| {
            for ((values, gradient), (first, second)) in parts {
                scope.spawn(|| update(values, gradient, first, second));
            }
        });
    }
}

/// How many threads are worth their start for an update of `count` numbers.
fn threads(count: usize) -> usize {
    const WORTH_IT: usize = 1 << 18;
    match cfg!(target_arch = "wasm32") || count < WORTH_IT {
        true => 1,
        false => std::thread::available_parallelism().map_or(1, Into::into),
    }
}

/// A flat tensor by where it lies.
#[allow(clippy::large_enum_variant)] // for a moment, and not many
enum Place {
    /// Whole and in order.
    Cpu(FlexTensor),
    Elsewhere(Tensor<1>),
}

fn place(tensor: Tensor<1>) -> Place {
    let DispatchTensor { kind, autodiff } = tensor.into_dispatch();
    match kind {
        DispatchTensorKind::Flex(BackendTensor::Float(tensor)) if tensor.dtype() == DType::F32 => {
            let whole = tensor.as_slice::<f32>().map(<[f32]>::len);
            match whole == Some(tensor.storage::<f32>().len()) {
                true => Cpu(tensor),
                false => Cpu(FlexTensor::from_data(tensor.into_data())),
            }
        }
        kind => Elsewhere(Tensor::from_dispatch(DispatchTensor { kind, autodiff })),
    }
}

/// `[1]`
pub(super) fn sum_of_squares(gradient: &Tensor<1>) -> Tensor<1> {
    match place(gradient.clone()) {
        Cpu(values) => {
            // Partial sums, so that many small numbers are not lost on a large one.
            let sums = (values.storage::<f32>().chunks(1024))
                .map(|part| f64::from(part.iter().map(|v| v * v).sum::<f32>()));
            Tensor::from_data([sums.sum::<f64>() as f32], &gradient.device())
        }
        Elsewhere(gradient) => gradient.square().sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    fn update(step: usize, factor: f64) -> Update<'static> {
        Update {
            settings: &AdamWHyperParameters {
                beta1: 0.9,
                beta2: 0.98,
                epsilon: 1e-6,
                weight_decay: 0.2,
            },
            step,
            learning_rate: 1e-2,
            decay: 0.2,
            factor,
        }
    }

    #[test]
    fn in_place_is_the_same_as_plain() {
        // Long enough for threads.
        const COUNT: usize = (1 << 18) + 3;
        let device = Device::flex();
        let random =
            |low, high| Tensor::<1>::random([COUNT], Distribution::Uniform(low, high), &device);
        let (values, gradient) = (random(-1.0, 1.0), random(-1.0, 1.0));
        let moments = [random(-1.0, 1.0), random(0.0, 1.0)];
        for (step, factor) in [(1, 1.0), (7, 0.3)] {
            let update = update(step, factor);
            let (a, [b, c]) = update.plain(values.clone(), gradient.clone(), moments.clone());
            let (d, [e, f]) = update.apply(values.clone(), gradient.clone(), moments.clone());
            for (plain, fast) in [(a, d), (b, e), (c, f)] {
                let plain = plain.into_data().try_into_vec::<f32>().unwrap();
                let fast = fast.into_data().try_into_vec::<f32>().unwrap();
                assert!(plain.iter().zip(fast).all(|(p, f)| (p - f).abs() < 1e-6));
            }
        }
    }
}
