//! From a model into a file, as transformers or OpenCLIP names things.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::layout::{Change, Layout, Source};
use super::{WeightsError, transpose};
use crate::model::{Clip, ClipConfig, VisionConfig};

/// How numbers are stored in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    F32,
    F16,
}

/// The model as a safetensors file. In Hugging Face's layout, beside
/// [`ClipConfig::to_hugging_face`] as `config.json`, transformers opens it;
/// ResNets have names in OpenCLIP's layout only.
pub fn save(
    model: &Clip,
    config: &ClipConfig,
    layout: Layout,
    precision: Precision,
) -> Result<Vec<u8>, WeightsError> {
    let mut collector = Collector {
        layout,
        patch_size: match &config.vision {
            VisionConfig::Vit(vision) => vision.patch_size,
            VisionConfig::ResNet(_) => 1,
        },
        path: Vec::new(),
        tensors: BTreeMap::new(),
        error: None,
    };
    model.visit(&mut collector);
    if let Some(error) = collector.error {
        return Err(error);
    }
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::F16 => Dtype::F16,
    };
    let encoded: Vec<(String, Vec<usize>, Vec<u8>)> = (collector.tensors.into_iter())
        .map(|(name, (shape, values))| (name, shape, encode(&values, precision)))
        .collect();
    let views = (encoded.iter())
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, WeightsError>>()?;
    // transformers refuses a file that does not say that it came from PyTorch.
    let metadata = std::collections::HashMap::from([("format".into(), "pt".into())]);
    Ok(safetensors::serialize(views, Some(metadata))?)
}

fn encode(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Precision::F16 => (values.iter())
            .flat_map(|v| f16::from_f32(*v).to_le_bytes())
            .collect(),
    }
}

struct Collector {
    layout: Layout,
    /// Of the patch convolution, which the model holds as a matrix.
    patch_size: usize,
    path: Vec<String>,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    error: Option<WeightsError>,
}

impl Collector {
    fn add(&mut self, shape: Vec<usize>, values: Vec<f32>) -> Result<(), WeightsError> {
        let path = self.path.join(".");
        let Source { names, change } =
            (self.layout.source(&path)).ok_or(WeightsError::Unknown(path))?;
        let p = self.patch_size;
        let (shape, values) = match (change, shape.as_slice()) {
            (Change::Transpose, &[rows, columns]) => {
                (vec![columns, rows], transpose(&values, rows, columns))
            }
            (Change::FlattenTranspose, &[rows, columns]) => (
                vec![columns, rows / (p * p), p, p],
                transpose(&values, rows, columns),
            ),
            (Change::Scalar, _) => (vec![], values),
            _ => (shape, values),
        };
        let part = values.len() / names.len();
        for (name, values) in names.iter().zip(values.chunks(part)) {
            let mut shape = shape.clone();
            if let Some(rows) = shape.first_mut() {
                *rows /= names.len();
            }
            self.tensors.insert(name.clone(), (shape, values.to_vec()));
        }
        Ok(())
    }
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.error.is_some() {
            return;
        }
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let added = (tensor.into_data().try_into_vec::<f32>())
            .map_err(|error| WeightsError::Device(format!("{error:?}")))
            .and_then(|values| self.add(shape, values));
        self.error = added.err();
    }
}
