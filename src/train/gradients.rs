//! Parameter gradients, keyed by parameter path.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::optimizer::sum_of_squares;
use crate::model::{ParamVisitor, visit_params};

/// Flat gradients of a module's parameters, without a graph.
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    by_path: BTreeMap<String, Tensor<1>>,
}

impl Gradients {
    /// Collects the gradients of `model` from the result of [`Tensor::backward`].
    pub fn of<M: Module>(model: &M, tensors: burn::tensor::Gradients) -> Self {
        let mut collector = GradientVisitor {
            tensors,
            gradients: Self::default(),
        };
        visit_params(model, &mut collector);
        collector.gradients
    }

    /// Accumulates another batch's gradients.
    pub fn add(&mut self, other: Self) {
        for (path, gradient) in other.by_path {
            let sum = match self.by_path.remove(&path) {
                Some(before) => before + gradient,
                None => gradient,
            };
            self.by_path.insert(path, sum);
        }
    }

    /// All gradients times `factor`.
    pub fn scaled(self, factor: f64) -> Self {
        let scaled = self.by_path.into_iter().map(|(path, g)| (path, g * factor));
        Self {
            by_path: scaled.collect(),
        }
    }

    /// Global L2 norm, `[1]`; `None` without gradients.
    pub fn norm(&self) -> Option<Tensor<1>> {
        #[cfg(feature = "gpu")]
        if let Some(squares) = crate::ops::sum_of_squares(self.by_path.values()) {
            return Some(squares.sqrt());
        }
        let squares = self.by_path.values().map(sum_of_squares);
        squares
            .reduce(|sum, squares| sum + squares)
            .map(Tensor::sqrt)
    }

    /// Sets those of the image encoder's key biases to zero.
    pub(super) fn zero_key_biases(&mut self) {
        for (path, gradient) in &mut self.by_path {
            if path.starts_with("visual.") && path.ends_with("attn.in_proj.bias") {
                let width = gradient.dims()[0] / 3;
                let parts = [0, 1, 2].map(|part| gradient.clone().narrow(0, part * width, width));
                let [query, key, value] = parts;
                *gradient = Tensor::cat(vec![query, key.zeros_like(), value], 0);
            }
        }
    }

    /// The gradient of the parameter at `path`, flat.
    pub fn get(&self, path: &str) -> Option<&Tensor<1>> {
        self.by_path.get(path)
    }

    pub(super) fn remove(&mut self, path: &str) -> Option<Tensor<1>> {
        self.by_path.remove(path)
    }
}

struct GradientVisitor {
    tensors: burn::tensor::Gradients,
    gradients: Gradients,
}

impl ParamVisitor for GradientVisitor {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(&mut self.tensors) {
            let gradient = gradient.reshape([-1]);
            self.gradients.by_path.insert(path.into(), gradient);
        }
    }
}
