//! WiSE-FT: weights between those before and after fine-tuning, which often keep what the first
//! knew and what the second learnt (Wortsman et al. 2022, [arXiv 2109.01903](https://arxiv.org/abs/2109.01903),
//! equation 1).

use std::collections::HashMap;

use burn::module::Param;
use burn::tensor::Tensor;

use super::TrainError;
use super::optimizer::map_untracked;
use crate::model::{Clip, ParamMapper, ParamVisitor, map_params, visit_params};

/// Model with `(1 - alpha) * base + alpha * tuned` for every parameter. Neither may be packed. An error
/// if the two differ in shape.
pub fn interpolate(base: &Clip, tuned: Clip, alpha: f64) -> Result<Clip, TrainError> {
    let mut before = Values::default();
    visit_params(base, &mut before);
    let mut after = Values::default();
    visit_params(&tuned, &mut after);
    for (path, (shape, _)) in &after.0 {
        let other = before.0.get(path).map(|(shape, _)| shape);
        if other != Some(shape) {
            return Err(TrainError::Mixture(match other {
                Some(other) => format!("{path} is {other:?} in one and {shape:?} in the other"),
                None => format!("{path} is in one of them only"),
            }));
        }
    }
    if let Some(path) = before.0.keys().find(|path| !after.0.contains_key(*path)) {
        return Err(TrainError::Mixture(format!(
            "{path} is in one of them only"
        )));
    }
    Ok(map_params(
        tuned,
        &mut Mix {
            before: before.0,
            alpha,
        },
    ))
}

/// Shape and values of every parameter, by path.
#[derive(Default)]
struct Values(HashMap<String, (Vec<usize>, Tensor<1>)>);

impl ParamVisitor for Values {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let values = param.val().inner();
        let shape = values.dims().to_vec();
        self.0.insert(path.into(), (shape, values.reshape([-1])));
    }
}

struct Mix {
    before: HashMap<String, (Vec<usize>, Tensor<1>)>,
    alpha: f64,
}

impl ParamMapper for Mix {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((_, before)) = self.before.remove(path) else {
            return param;
        };
        let alpha = self.alpha;
        map_untracked(param, |after| {
            let before = before.reshape(after.dims());
            before * (1.0 - alpha) + after * alpha
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use pollster::block_on;

    use super::*;
    use crate::hub::{self, Bundled};
    use crate::model::read_back;
    use crate::train::init_from_seed;

    /// New weights in the bundled model's shape.
    fn model(embed_dim: usize, seed: u64) -> Clip {
        let mut config = block_on(hub::open(&Bundled, None)).unwrap().config;
        config.embed_dim = embed_dim;
        init_from_seed(&config, seed, &Device::flex())
    }

    fn values(model: &Clip) -> Vec<f32> {
        let mut found = Values::default();
        visit_params(model, &mut found);
        let mut all: Vec<_> = found.0.into_iter().collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        (all.into_iter())
            .flat_map(|(_, (_, values))| block_on(read_back(values)).unwrap())
            .collect()
    }

    #[test]
    fn every_weight_lies_between_the_two() {
        let (base, tuned) = (model(8, 1), model(8, 2));
        let (before, after) = (values(&base), values(&tuned));
        for alpha in [0.0, 0.25, 1.0] {
            let mixed = values(&interpolate(&base, tuned.clone(), alpha).unwrap());
            assert_eq!(mixed.len(), before.len());
            for ((mixed, before), after) in mixed.iter().zip(&before).zip(&after) {
                let expected = f64::from(*before) * (1.0 - alpha) + f64::from(*after) * alpha;
                assert!((f64::from(*mixed) - expected).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn models_of_different_shapes_are_refused() {
        let error = interpolate(&model(8, 1), model(16, 1), 0.5).unwrap_err();
        assert!(error.to_string().contains("is [") && error.to_string().contains("in the other"));
    }
}
