//! Serialisation of a model in the naming of transformers or OpenCLIP.

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::Tensor;
use half::f16;
use safetensors::Dtype;
use serde_json::json;

use super::key_map::{KeyMap, Source, Transform};
use super::{WeightsError, begin_file, transpose};
use crate::model::{Clip, ClipConfig, ParamVisitor, VisionConfig, read_back, visit_params};

/// Storage precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
}

/// Serialises a model as safetensors. With [`KeyMap::hugging_face`], next to
/// [`ClipConfig::to_hugging_face`] as `config.json`, transformers loads it; with
/// [`KeyMap::open_clip`] and [`ClipConfig::to_open_clip`] OpenCLIP does. A model that is not
/// [`ClipConfig::is_unfolded`] cannot be saved.
pub async fn save(
    model: &Clip,
    config: &ClipConfig,
    key_map: KeyMap,
    precision: Precision,
) -> Result<Vec<u8>, WeightsError> {
    let mut collector = ParamCollector::default();
    visit_params(model, &mut collector);
    let mut encoded: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (path, shape, tensor) in collector.params {
        let values =
            (read_back(tensor).await).map_err(|error| WeightsError::Device(error.to_string()))?;
        for (name, shape, values) in to_file_tensors(key_map, config, path, shape, values)? {
            encoded.insert(name, (shape, encode(&values, precision)));
        }
    }
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::F16 => Dtype::F16,
    };
    let tensors = (encoded.iter()).map(|(name, (shape, _))| (name.as_str(), dtype, &shape[..]));
    // transformers rejects a file without PyTorch's format tag.
    let mut file = begin_file(tensors, json!({ "format": "pt" }))?;
    for (_, bytes) in encoded.into_values() {
        file.extend(bytes);
    }
    Ok(file)
}

fn encode(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Precision::F16 => (values.iter())
            .flat_map(|v| f16::from_f32(*v).to_le_bytes())
            .collect(),
    }
}

/// Name, shape and values.
type Named = (String, Vec<usize>, Vec<f32>);

/// Converts a parameter to the tensors of a file: renamed, transposed, or split.
fn to_file_tensors(
    key_map: KeyMap,
    config: &ClipConfig,
    path: String,
    shape: Vec<usize>,
    values: Vec<f32>,
) -> Result<Vec<Named>, WeightsError> {
    let source = key_map.source(&path, config);
    let Some(Source {
        names,
        transform,
        fold: None,
    }) = source
    else {
        return Err(WeightsError::Unknown(path));
    };
    let p = match &config.vision {
        VisionConfig::Vit(vision) => vision.patch_size,
        VisionConfig::ResNet(_) | VisionConfig::FastVit(_) => 1,
    };
    let (shape, values) = match (transform, shape.as_slice()) {
        (Transform::Transpose, &[rows, columns]) => {
            (vec![columns, rows], transpose(&values, rows, columns))
        }
        (Transform::FlattenTranspose, &[rows, columns]) => (
            vec![columns, rows / (p * p), p, p],
            transpose(&values, rows, columns),
        ),
        // A scalar, which transformers' SigLIP has on an axis.
        (Transform::Flatten, _) if key_map != KeyMap::HuggingFaceSiglip => (vec![], values),
        (Transform::Squeeze, _) => {
            let ones = vec![1; 3usize.saturating_sub(shape.len())];
            ([ones, shape].concat(), values)
        }
        (Transform::WithoutKeyBias, &[triple]) => {
            let width = triple / 3;
            let kept = [&values[..width], &values[2 * width..]].concat();
            (vec![kept.len()], kept)
        }
        _ => (shape, values),
    };
    // Keys and values that are one tensor are two of the three parts.
    let parts: Vec<usize> = (names.iter())
        .map(|name| if name.contains(".kv.") { 2 } else { 1 })
        .collect();
    let all: usize = parts.iter().sum();
    let mut rest = values.as_slice();
    Ok((names.into_iter().zip(parts))
        .map(|(name, part)| {
            let (values, after) = rest.split_at(values.len() / all * part);
            rest = after;
            let mut shape = shape.clone();
            if let Some(rows) = shape.first_mut() {
                *rows = *rows / all * part;
            }
            (name, shape, values.to_vec())
        })
        .collect())
}

#[derive(Default)]
struct ParamCollector {
    /// Path, shape and values of every parameter.
    params: Vec<(String, Vec<usize>, Tensor<1>)>,
}

impl ParamVisitor for ParamCollector {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let tensor = param.val().inner();
        let shape = tensor.dims().to_vec();
        self.params.push((path.into(), shape, tensor.reshape([-1])));
    }
}
