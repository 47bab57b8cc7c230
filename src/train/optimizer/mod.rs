//! AdamW as in CLIP: decoupled weight decay on matrices only.

#[cfg(feature = "cpu")]
mod in_place;

use std::collections::BTreeMap;

use burn::backend::GradientCheckpointingStrategy;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::Gradients;
use crate::model::{ParamMapper, map_params};

/// Hyper-parameters of AdamW.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamWHyperParameters {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
}

/// AdamW (Loshchilov and Hutter 2019) with its state. Unlike burn's, its state can be
/// read asynchronously, as a browser requires, and on the CPU it updates in place, in one
/// pass over memory rather than a dozen.
#[derive(Clone, Debug)]
pub struct AdamW {
    /// Hyper-parameters.
    pub settings: AdamWHyperParameters,
    /// Completed steps.
    pub step: usize,
    /// First and second moments, flat, by parameter path.
    pub moments: BTreeMap<String, [Tensor<1>; 2]>,
}

/// Avoids division by zero in clipping, as in PyTorch.
const NORM_EPSILON: f64 = 1e-6;

impl AdamW {
    /// Optimiser without moments.
    pub fn new(settings: AdamWHyperParameters) -> Self {
        Self {
            settings,
            step: 0,
            moments: BTreeMap::new(),
        }
    }

    /// Updates the parameters of `model` that have a gradient, scaled by `factor` (see
    /// [`clip_factor`]). Weight decay skips gains, biases, the class embedding and the
    /// logit scale: everything with fewer than two axes, as in the paper and OpenCLIP.
    pub fn step<M: Module>(
        &mut self,
        model: M,
        gradients: Gradients,
        learning_rate: f64,
        factor: f64,
    ) -> M {
        self.step += 1;
        let mut updater = Updater {
            optimizer: self,
            gradients,
            learning_rate,
            factor,
        };
        map_params(model, &mut updater)
    }
}

/// Factor that clips a gradient norm to `longest`.
pub fn clip_factor(norm: f32, longest: Option<f64>) -> f64 {
    longest.map_or(1.0, |longest| {
        (longest / (f64::from(norm) + NORM_EPSILON)).min(1.0)
    })
}

struct Updater<'a> {
    optimizer: &'a mut AdamW,
    gradients: Gradients,
    learning_rate: f64,
    factor: f64,
}

impl ParamMapper for Updater<'_> {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove(path) else {
            return param;
        };
        let moments = (self.optimizer.moments.remove(path)).unwrap_or_else(|| {
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
        let mut new_moments = None;
        let param = map_untracked(param, |values| {
            let shape = values.shape();
            let (values, moments) = update.apply(values.reshape([-1]), gradient, moments);
            new_moments = Some(moments);
            values.reshape(shape)
        });
        if let Some(moments) = new_moments {
            self.optimizer.moments.insert(path.into(), moments);
        }
        param
    }
}

/// Replaces the values of a parameter, without recording a graph.
pub(super) fn map_untracked<const D: usize>(
    param: Param<Tensor<D>>,
    change: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Param<Tensor<D>> {
    param.map(|values| {
        // The value is moved out, so that a unique one is updated in place.
        let (graph, requires_grad) = (
            values.gradient_checkpointing_strategy(),
            values.is_require_grad(),
        );
        in_graph(change(values.inner()), graph).set_require_grad(requires_grad)
    })
}

/// Wraps an untracked tensor as a constant of a graph with this checkpointing strategy.
pub(super) fn in_graph<const D: usize>(
    tensor: Tensor<D>,
    graph: Option<GradientCheckpointingStrategy>,
) -> Tensor<D> {
    match graph {
        Some(strategy) => (tensor.autodiff()).with_gradient_checkpointing_strategy(strategy),
        None => tensor,
    }
}

/// Update of one parameter.
struct Update<'a> {
    settings: &'a AdamWHyperParameters,
    step: usize,
    learning_rate: f64,
    decay: f32,
    /// Gradient scale.
    factor: f64,
}

impl Update<'_> {
    /// Updated values and moments. All are flat and of equal length.
    fn apply(
        &self,
        values: Tensor<1>,
        gradient: Tensor<1>,
        [first, second]: [Tensor<1>; 2],
    ) -> (Tensor<1>, [Tensor<1>; 2]) {
        #[cfg(feature = "cpu")]
        let [values, gradient, first, second] =
            match in_place::update(self, [values, gradient, first, second]) {
                Ok(updated) => return updated,
                Err(others) => others,
            };
        #[cfg(feature = "gpu")]
        if let Some([values, first, second]) = self.on_gpu([&values, &gradient, &first, &second]) {
            return (values, [first, second]);
        }
        self.reference(values, gradient, [first, second])
    }

    /// [`Self::apply`] in a kernel; `None` for tensors that are not on a GPU.
    #[cfg(feature = "gpu")]
    fn on_gpu(&self, tensors: [&Tensor<1>; 4]) -> Option<[Tensor<1>; 3]> {
        let [correction1, correction2] = self.corrections();
        let step = crate::ops::AdamWStep {
            factor: self.factor as f32,
            beta1: self.settings.beta1,
            beta2: self.settings.beta2,
            correction2: correction2 as f32,
            epsilon: self.settings.epsilon,
            rate: (self.learning_rate * correction1) as f32,
            kept: (1.0 - self.learning_rate * f64::from(self.decay)) as f32,
        };
        crate::ops::adamw(tensors.map(Clone::clone), step)
    }

    /// Bias correction of the moments.
    fn corrections(&self) -> [f64; 2] {
        let step = i32::try_from(self.step).unwrap_or(i32::MAX);
        let bias = |beta: f32| 1.0 - f64::from(beta).powi(step);
        [self.settings.beta1, self.settings.beta2].map(|beta| bias(beta).recip())
    }

    fn reference(
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
        let denominator = (second.clone() * correction2).sqrt() + f64::from(self.settings.epsilon);
        let change = first.clone() / denominator * (self.learning_rate * correction1);
        let decayed = values * (1.0 - self.learning_rate * f64::from(self.decay));
        (decayed - change, [first, second])
    }
}

/// `[1]`
pub(super) fn sum_of_squares(gradient: &Tensor<1>) -> Tensor<1> {
    #[cfg(feature = "cpu")]
    if let Some(sum) = in_place::sum_of_squares(gradient) {
        return sum;
    }
    gradient.clone().square().sum()
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
            let (a, [b, c]) = update.reference(values.clone(), gradient.clone(), moments.clone());
            let (d, [e, f]) = update.apply(values.clone(), gradient.clone(), moments.clone());
            for (reference, fast) in [(a, d), (b, e), (c, f)] {
                let reference = reference.into_data().try_into_vec::<f32>().unwrap();
                let fast = fast.into_data().try_into_vec::<f32>().unwrap();
                assert!(
                    reference
                        .iter()
                        .zip(fast)
                        .all(|(p, f)| (p - f).abs() < 1e-6)
                );
            }
        }
    }
}
