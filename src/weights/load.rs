//! From a file into a model.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::{TensorFile, WeightsError};
use crate::model::{Clip, ClipConfig};

/// Builds the model that `config` describes with the weights in `file` on
/// `device`. `progress` is told how many parameters are done, of how many.
pub fn load(
    config: &ClipConfig,
    file: &TensorFile,
    device: &Device,
    mut progress: impl FnMut(usize, usize),
) -> Result<Clip, WeightsError> {
    // burn's parameters are lazy: the initialisation is described, not run.
    let model = Clip::init(config, device);
    let mut counter = Counter(0);
    model.visit(&mut counter);
    let mut loader = Loader {
        file,
        device,
        path: Vec::new(),
        done: 0,
        progress: &mut |done| progress(done, counter.0),
        error: None,
    };
    let model = model.map(&mut loader);
    match loader.error {
        None => Ok(model),
        Some(error) => Err(error),
    }
}

struct Counter(usize);

impl burn::module::ModuleVisitor for Counter {
    fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
        self.0 += 1;
    }
}

struct Loader<'a> {
    file: &'a TensorFile<'a>,
    device: &'a Device,
    path: Vec<String>,
    done: usize,
    progress: &'a mut dyn FnMut(usize),
    error: Option<WeightsError>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        let shape = param.lazy_shape();
        match self.file.parameter(&self.path.join("."), shape.as_slice()) {
            Ok(values) => {
                let tensor = Tensor::from_data(TensorData::new(values, shape), self.device);
                self.done += 1;
                (self.progress)(self.done);
                Param::initialized(param.id, tensor)
            }
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}
