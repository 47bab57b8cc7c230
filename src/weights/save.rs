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
pub async fn save(
    model: &Clip,
    config: &ClipConfig,
    layout: Layout,
    precision: Precision,
) -> Result<Vec<u8>, WeightsError> {
    let mut collector = Collector::default();
    model.visit(&mut collector);
    let patch_size = match &config.vision {
        VisionConfig::Vit(vision) => vision.patch_size,
        VisionConfig::ResNet(_) => 1,
    };
    let mut encoded: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (path, shape, tensor) in collector.found {
        let data = tensor.into_data_async().await;
        let values = (data.map_err(|error| format!("{error:?}")))
            .and_then(|data| (data.try_into_vec::<f32>()).map_err(|error| format!("{error:?}")))
            .map_err(WeightsError::Device)?;
        for (name, shape, values) in in_file(layout, patch_size, path, shape, values)? {
            encoded.insert(name, (shape, encode(&values, precision)));
        }
    }
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::F16 => Dtype::F16,
    };
    let views = (encoded.iter())
        .map(|(name, (shape, bytes))| Ok((name, TensorView::new(dtype, shape.clone(), bytes)?)))
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

/// Name, shape and numbers.
type Named = (String, Vec<usize>, Vec<f32>);

/// A parameter as the file has it: under another name, turned, or in parts.
fn in_file(
    layout: Layout,
    patch_size: usize,
    path: String,
    shape: Vec<usize>,
    values: Vec<f32>,
) -> Result<Vec<Named>, WeightsError> {
    let Source { names, change } = (layout.source(&path)).ok_or(WeightsError::Unknown(path))?;
    let p = patch_size;
    let (mut shape, values) = match (change, shape.as_slice()) {
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
    if let Some(rows) = shape.first_mut() {
        *rows /= names.len();
    }
    Ok((names.into_iter())
        .zip(values.chunks(part))
        .map(|(name, values)| (name, shape.clone(), values.to_vec()))
        .collect())
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    /// Path, shape and numbers of every parameter.
    found: Vec<(String, Vec<usize>, Tensor<1>)>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val().inner();
        let shape = tensor.dims().to_vec();
        self.found
            .push((self.path.join("."), shape, tensor.reshape([-1])));
    }
}
