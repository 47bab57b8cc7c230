//! AdamW as CLIP uses it: decoupled decay on matrices, none on the rest.

use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::optim::{AdamWConfig, ModuleOptimizer};
use burn::tensor::Tensor;

/// AdamW's settings, under the field's names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWHyperParameters {
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
    pub weight_decay: f32,
}

/// An optimiser for `model` that spares gains, biases, the class embedding and
/// the temperature (everything of less than two axes) from weight decay, as the
/// paper and OpenCLIP do.
pub fn adamw<M: Module>(model: &M, settings: AdamWHyperParameters) -> ModuleOptimizer {
    let config = |weight_decay| {
        AdamWConfig::new()
            .with_beta_1(settings.beta1)
            .with_beta_2(settings.beta2)
            .with_epsilon(settings.epsilon)
            .with_weight_decay(weight_decay)
    };
    let mut matrices = Matrices::default();
    model.visit(&mut matrices);
    config(0.0).init().with_group(
        ParamGroup::from_paths(matrices.found),
        config(settings.weight_decay).build(),
        None,
    )
}

#[derive(Default)]
struct Matrices {
    path: Vec<String>,
    found: Vec<String>,
}

impl ModuleVisitor for Matrices {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
        if D >= 2 {
            self.found.push(self.path.join("."));
        }
    }
}
