//! A run's whole state as bytes, so that it can go on another day: a safetensors
//! file of what learns, its moments and the running statistics, with all else as
//! JSON in the file's metadata.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::optimizer::map_untracked;
use super::{Sampler, TrainError, TrainOptions, Trainer, values_of};
use crate::model::{Clip, ClipConfig};

/// Our key in the file's metadata.
const KEY: &str = "clip.training";
/// Of the file's meaning. Raised when old files can no longer be read.
const VERSION: u32 = 1;
const PARAMETER: &str = "parameter/";
const FIRST: &str = "moment1/";
const SECOND: &str = "moment2/";

/// What is not a tensor.
#[derive(Serialize, Deserialize)]
struct Progress {
    version: u32,
    step: usize,
    options: TrainOptions,
    config: ClipConfig,
    sampler: Option<Sampler>,
}

impl Trainer {
    /// Everything that a later [`Trainer::resume`] needs beside the model that
    /// this run started from. `sampler` is kept with it.
    pub async fn state(&self, sampler: Option<&Sampler>) -> Result<Vec<u8>, TrainError> {
        let mut collector = Collector::default();
        self.model().visit(&mut collector);
        let mut learning = Learning::default();
        self.model.visit(&mut learning);
        let mut tensors: Vec<(String, Tensor<1>)> = (collector.found.into_iter())
            .filter(|(path, _)| learning.paths.contains(path) || is_statistic(path))
            .map(|(path, values)| (format!("{PARAMETER}{path}"), values))
            .collect();
        for (path, [first, second]) in &self.optimizer.moments {
            tensors.push((format!("{FIRST}{path}"), first.clone()));
            tensors.push((format!("{SECOND}{path}"), second.clone()));
        }
        let mut files = Vec::with_capacity(tensors.len());
        for (name, values) in tensors {
            let values = values_of(values).await?;
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            files.push((name, values.len(), bytes));
        }
        let views = (files.iter())
            .map(|(name, count, bytes)| {
                Ok((name, TensorView::new(Dtype::F32, vec![*count], bytes)?))
            })
            .collect::<Result<Vec<_>, TrainError>>()?;
        let progress = serde_json::to_string(&Progress {
            version: VERSION,
            step: self.optimizer.step,
            options: self.options.clone(),
            config: self.config.clone(),
            sampler: sampler.cloned(),
        });
        let progress = progress.map_err(|error| TrainError::State(error.to_string()))?;
        let metadata = HashMap::from([(KEY.to_string(), progress)]);
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Goes on where [`Trainer::state`] was taken, with `model` as that run was
    /// given it.
    pub fn resume(model: Clip, state: &[u8]) -> Result<(Self, Option<Sampler>), TrainError> {
        let refuse = |what: String| TrainError::State(what);
        let (_, metadata) =
            SafeTensors::read_metadata(state).map_err(|error| refuse(error.to_string()))?;
        let progress = (metadata.metadata().as_ref()).and_then(|metadata| metadata.get(KEY));
        let progress = progress.ok_or_else(|| refuse("it is not one of this program's".into()))?;
        let progress: Progress =
            serde_json::from_str(progress).map_err(|error| refuse(error.to_string()))?;
        if progress.version != VERSION {
            return Err(refuse(format!("it is of version {}", progress.version)));
        }
        let file = SafeTensors::deserialize(state).map_err(|error| refuse(error.to_string()))?;
        let mut values: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(refuse(format!("`{name}` is stored as {:?}", view.dtype())));
            }
            let read = view.data().as_chunks().0.iter();
            values.insert(name.into(), read.map(|b| f32::from_le_bytes(*b)).collect());
        }
        let mut trainer = Self::new(model, progress.config, progress.options)?;
        let mut learning = Learning::default();
        trainer.model.visit(&mut learning);
        let mut filler = Filler {
            path: Vec::new(),
            values,
            learning,
            moments: BTreeMap::new(),
            error: None,
        };
        trainer.model = trainer.model.map(&mut filler);
        if let Some(error) = filler.error {
            return Err(refuse(error));
        }
        if let Some(name) = filler.values.keys().next() {
            return Err(refuse(format!("the model has no place for its `{name}`")));
        }
        trainer.optimizer.moments = filler.moments;
        trainer.optimizer.step = progress.step;
        Ok((trainer, progress.sampler))
    }
}

fn is_statistic(path: &str) -> bool {
    path.ends_with(".running_mean") || path.ends_with(".running_var")
}

/// Flat values of every parameter by path.
#[derive(Default)]
struct Collector {
    path: Vec<String>,
    found: BTreeMap<String, Tensor<1>>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().inner().reshape([-1]);
        self.found.insert(self.path.join("."), values);
    }
}

/// Paths of the parameters that learn.
#[derive(Default)]
struct Learning {
    path: Vec<String>,
    paths: std::collections::BTreeSet<String>,
}

impl ModuleVisitor for Learning {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            self.paths.insert(self.path.join("."));
        }
    }
}

/// Puts a state's values into a model.
struct Filler {
    path: Vec<String>,
    values: BTreeMap<String, Vec<f32>>,
    learning: Learning,
    moments: BTreeMap<String, [Tensor<1>; 2]>,
    error: Option<String>,
}

impl ModuleMapper for Filler {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        if !self.learning.paths.contains(&path) && !is_statistic(&path) {
            return param;
        }
        let device = param.val().device().inner();
        let count = param.val().shape().num_elements();
        let [values, first, second] = [PARAMETER, FIRST, SECOND].map(|kind| {
            let values = self.values.remove(&format!("{kind}{path}"))?;
            (values.len() == count)
                .then(|| Tensor::<1>::from_data(TensorData::new(values, [count]), &device))
        });
        if let (Some(first), Some(second)) = (first, second) {
            self.moments.insert(path.clone(), [first, second]);
        }
        match values {
            Some(values) => map_untracked(param, |before| values.reshape(before.shape())),
            None => {
                let error = format!("`{path}` is missing or of another size");
                self.error.get_or_insert(error);
                param
            }
        }
    }
}
