//! Checkpoints of a run: a safetensors file of the trainable parameters, their moments
//! and the running statistics, with everything else as JSON in its metadata.

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[cfg(not(target_arch = "wasm32"))]
use super::PretrainOrigin;
use super::contrastive::{is_running_stat, sync_running_stats};
use super::lora::lora_size;
use super::optimizer::map_untracked;
use super::{Sampler, TrainError, TrainMode, TrainOptions, Trainer};
use crate::model::{
    Clip, ClipConfig, ParamMapper, ParamVisitor, map_params, read_back, visit_params,
};
use crate::weights::begin_file;

/// Metadata key.
const KEY: &str = "clip.training";
/// Version of the format. Raised when old files can no longer be read.
const VERSION: u32 = 1;
const PARAMETER: &str = "parameter/";
const FIRST: &str = "moment1/";
const SECOND: &str = "moment2/";

/// The part that is not a tensor.
#[derive(Serialize, Deserialize)]
pub(super) struct Progress {
    version: u32,
    pub step: usize,
    pub options: TrainOptions,
    pub config: ClipConfig,
    sampler: Option<Sampler>,
    /// Of a pre-training only. Earlier versions kept none.
    #[cfg(not(target_arch = "wasm32"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretraining: Option<PretrainOrigin>,
}

/// The part of a checkpoint that is not a tensor.
pub(super) fn progress(state: &[u8]) -> Result<Progress, TrainError> {
    let refuse = |what: String| TrainError::State(what);
    let (_, metadata) =
        SafeTensors::read_metadata(state).map_err(|error| refuse(error.to_string()))?;
    let progress = (metadata.metadata().as_ref()).and_then(|metadata| metadata.get(KEY));
    let progress = progress.ok_or_else(|| refuse("it was not written by this program".into()))?;
    let progress: Progress =
        serde_json::from_str(progress).map_err(|error| refuse(error.to_string()))?;
    match progress.version {
        VERSION => Ok(progress),
        other => Err(refuse(format!("its version {other} is not supported"))),
    }
}

impl Trainer {
    /// Serialises all that [`Trainer::resume`] needs beside the run's initial model, with
    /// `sampler`.
    pub async fn state(&self, sampler: Option<&Sampler>) -> Result<Vec<u8>, TrainError> {
        self.serialize(self.progress(sampler)).await
    }

    /// [`Trainer::state`] of a pre-training, with what it belongs to.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn pretraining_state(&self, origin: &PretrainOrigin) -> Result<Vec<u8>, TrainError> {
        let progress = Progress {
            pretraining: Some(origin.clone()),
            ..self.progress(None)
        };
        self.serialize(progress).await
    }

    fn progress(&self, sampler: Option<&Sampler>) -> Progress {
        Progress {
            version: VERSION,
            step: self.optimizer.step,
            options: self.options.clone(),
            config: self.config.clone(),
            sampler: sampler.cloned(),
            #[cfg(not(target_arch = "wasm32"))]
            pretraining: None,
        }
    }

    async fn serialize(&self, progress: Progress) -> Result<Vec<u8>, TrainError> {
        let mut collector = Collector::default();
        sync_running_stats(&self.model);
        visit_params(&self.model, &mut collector);
        let mut tensors: Vec<(String, Tensor<1>)> = (collector.found.into_iter())
            .map(|(path, values)| (format!("{PARAMETER}{path}"), values))
            .collect();
        for (path, [first, second]) in &self.optimizer.moments {
            tensors.push((format!("{FIRST}{path}"), first.clone()));
            tensors.push((format!("{SECOND}{path}"), second.clone()));
        }
        let progress = serde_json::to_string(&progress);
        let progress = progress.map_err(|error| TrainError::Keep(error.to_string()))?;
        let shapes: Vec<[usize; 1]> = tensors.iter().map(|(_, values)| values.dims()).collect();
        let entries = (tensors.iter().zip(&shapes))
            .map(|((name, _), shape)| (name.as_str(), Dtype::F32, &shape[..]));
        let mut bytes = begin_file(entries, json!({ KEY: progress }))
            .map_err(|error| TrainError::Keep(error.to_string()))?;
        for (_, values) in tensors {
            let values = read_back(values).await?;
            bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        }
        Ok(bytes)
    }

    /// Resumes from [`Trainer::state`], with the same initial `model`, of this `config`.
    pub fn resume(
        model: Clip,
        config: ClipConfig,
        state: &[u8],
    ) -> Result<(Self, Option<Sampler>), TrainError> {
        let refuse = |what: String| TrainError::State(what);
        let progress = progress(state)?;
        let file = SafeTensors::deserialize(state).map_err(|error| refuse(error.to_string()))?;
        let mut values: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(refuse(format!("`{name}` is stored as {:?}", view.dtype())));
            }
            let read = view.data().as_chunks().0.iter();
            values.insert(name.into(), read.map(|b| f32::from_le_bytes(*b)).collect());
        }
        // New matrices are made before the stored ones take their places.
        if let TrainMode::Lora(lora) = &progress.options.method {
            let stored = values.values().map(Vec::len).sum();
            if lora_size(&model, lora).is_none_or(|size| size > stored) {
                return Err(refuse(format!("a LoRA of rank {} is not in it", lora.rank)));
            }
        }
        let mut trainer = Self::new(model, config, progress.options)?;
        let mut filler = Filler {
            values,
            moments: BTreeMap::new(),
            error: None,
        };
        trainer.model = map_params(trainer.model, &mut filler);
        if let Some(error) = filler.error {
            return Err(refuse(error));
        }
        if let Some(name) = filler.values.keys().next() {
            return Err(refuse(format!("the model has no parameter `{name}`")));
        }
        trainer.optimizer.moments = filler.moments;
        trainer.optimizer.step = progress.step;
        Ok((trainer, progress.sampler))
    }
}

/// Collects the flat values of trainable parameters and running statistics.
#[derive(Default)]
struct Collector {
    found: Vec<(String, Tensor<1>)>,
}

impl ParamVisitor for Collector {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let values = param.val();
        if values.is_require_grad() || is_running_stat(path) {
            self.found.push((path.into(), values.inner().reshape([-1])));
        }
    }
}

/// Loads the values of a checkpoint into a model.
struct Filler {
    values: BTreeMap<String, Vec<f32>>,
    moments: BTreeMap<String, [Tensor<1>; 2]>,
    error: Option<String>,
}

impl ParamMapper for Filler {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let before = param.val();
        if !before.is_require_grad() && !is_running_stat(path) {
            return param;
        }
        let (device, count) = (before.device().inner(), before.shape().num_elements());
        let [values, first, second] = [PARAMETER, FIRST, SECOND].map(|kind| {
            let values = self.values.remove(&format!("{kind}{path}"))?;
            (values.len() == count)
                .then(|| Tensor::<1>::from_data(TensorData::new(values, [count]), &device))
        });
        if let (Some(first), Some(second)) = (first, second) {
            self.moments.insert(path.into(), [first, second]);
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
