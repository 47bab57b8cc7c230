//! LoRA in PEFT's format: `adapter_config.json` and `adapter_model.safetensors`, with
//! transformers' names for the projections. PEFT applies it to a transformers `CLIPModel`,
//! `SiglipModel`, `ChineseCLIPModel` or `MetaClip2Model`. That of an encoder that transformers does
//! not have (a ResNet, EVA02, Perception Encoder) can only be read here.

use std::collections::{BTreeMap, BTreeSet};

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TrainError;
use super::lora::{matrix, pair, sites};
use crate::model::{Clip, read_back};

/// Prefix of every name in PEFT's files.
const PREFIX: &str = "base_model.model.";

/// The two files of an adapter.
#[derive(Clone, Debug)]
pub struct PeftFiles {
    /// `adapter_config.json`
    pub config: Vec<u8>,
    /// `adapter_model.safetensors`
    pub weights: Vec<u8>,
}

impl PeftFiles {
    /// The same adapter with a `share` of its effect.
    pub fn scaled(&self, share: f64) -> Result<Self, TrainError> {
        let failed = |error: serde_json::Error| TrainError::Adapter(error.to_string());
        let mut config: PeftConfig = serde_json::from_slice(&self.config).map_err(failed)?;
        config.lora_alpha *= share;
        for alpha in config.alpha_pattern.values_mut() {
            if let Some(value) = alpha.as_f64() {
                *alpha = (value * share).into();
            }
        }
        Ok(Self {
            config: serde_json::to_vec_pretty(&config).map_err(failed)?,
            weights: self.weights.clone(),
        })
    }
}

/// PEFT's config.
#[derive(Debug, Serialize, Deserialize)]
struct PeftConfig {
    peft_type: String,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    target_modules: Value,
    #[serde(default)]
    bias: Option<String>,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    rank_pattern: BTreeMap<String, Value>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, Value>,
    #[serde(default)]
    modules_to_save: Option<Value>,
    #[serde(default)]
    task_type: Option<String>,
    #[serde(default)]
    inference_mode: bool,
}

/// Exports the LoRA of `model` in PEFT's format. `base` is the name of the base model, if
/// any.
pub async fn save_peft(model: &Clip, base: Option<&str>) -> Result<PeftFiles, TrainError> {
    let mut model = model.clone();
    let mut tensors: BTreeMap<String, ([usize; 2], Vec<u8>)> = BTreeMap::new();
    let (mut modules, mut size) = (BTreeSet::new(), None);
    for site in sites(&mut model) {
        for (part, name) in site.layer.lora.iter().zip(&site.names) {
            let Some(part) = part else { continue };
            let (a, b) = (part.a.val().inner(), part.b.val().inner());
            let [_, rank] = a.dims();
            let alpha = part.scale() * rank as f64;
            if size.is_some_and(|size| size != (rank, alpha)) {
                return Err(TrainError::Adapter("its ranks differ".into()));
            }
            size = Some((rank, alpha));
            for (matrix, letter) in [(a, 'A'), (b, 'B')] {
                let [rows, columns] = matrix.dims();
                let values = read_back(matrix.transpose()).await?;
                let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                let name = format!("{PREFIX}{name}.lora_{letter}.weight");
                tensors.insert(name, ([columns, rows], bytes));
            }
            modules.insert(name.clone());
        }
    }
    let Some((rank, alpha)) = size else {
        return Err(TrainError::Adapter("the model has no LoRA".into()));
    };
    let config = PeftConfig {
        peft_type: "LORA".into(),
        base_model_name_or_path: base.map(Into::into),
        r: rank,
        lora_alpha: alpha,
        lora_dropout: 0.0,
        target_modules: modules.into_iter().collect(),
        bias: Some("none".into()),
        fan_in_fan_out: false,
        use_rslora: false,
        use_dora: false,
        rank_pattern: BTreeMap::new(),
        alpha_pattern: BTreeMap::new(),
        modules_to_save: None,
        task_type: None,
        inference_mode: true,
    };
    let views = (tensors.iter())
        .map(|(name, (shape, bytes))| {
            Ok((name, TensorView::new(Dtype::F32, shape.to_vec(), bytes)?))
        })
        .collect::<Result<Vec<_>, TrainError>>()?;
    let metadata = std::collections::HashMap::from([("format".into(), "pt".into())]);
    Ok(PeftFiles {
        config: serde_json::to_vec_pretty(&config)
            .map_err(|error| TrainError::Adapter(error.to_string()))?,
        weights: safetensors::serialize(views, Some(metadata))?,
    })
}

/// Attaches an adapter in PEFT's format to `model`.
pub fn load_peft(mut model: Clip, files: &PeftFiles) -> Result<Clip, TrainError> {
    let refuse = |what: String| Err(TrainError::Adapter(what));
    let config: PeftConfig = serde_json::from_slice(&files.config)
        .map_err(|error| TrainError::Adapter(format!("adapter_config.json: {error}")))?;
    let saved = match &config.modules_to_save {
        Some(Value::Array(modules)) => !modules.is_empty(),
        Some(Value::Null) | None => false,
        Some(_) => true,
    };
    let unknown = [
        (config.peft_type != "LORA", "it is not a LoRA"),
        (config.use_dora, "it uses DoRA"),
        (
            config.fan_in_fan_out,
            "its matrices are transposed (fan_in_fan_out)",
        ),
        (
            !config.alpha_pattern.is_empty(),
            "its layers have different alphas",
        ),
        (saved, "it contains full layers (modules_to_save)"),
        (
            config.bias.as_deref().is_some_and(|bias| bias != "none"),
            "it contains biases",
        ),
    ];
    if let Some((_, what)) = unknown.iter().find(|(is, _)| *is) {
        return refuse(format!("{what}, which is not supported"));
    }
    let file = SafeTensors::deserialize(&files.weights)
        .map_err(|error| TrainError::Adapter(format!("adapter_model.safetensors: {error}")))?;
    let mut names: BTreeMap<String, &str> = (file.names().into_iter())
        .map(|name| (name.replace(".default.weight", ".weight"), name))
        .collect();
    for site in sites(&mut model) {
        site.layer.merge();
        let (d_input, columns) = site.shape();
        let device = site.layer.weight.lazy_device();
        let mut parts = Vec::new();
        for name in &site.names {
            let mut read = |letter| {
                let name = names.remove(&format!("{PREFIX}{name}.lora_{letter}.weight"));
                name.map(|name| transposed(&file, name)).transpose()
            };
            parts.push(match (read('A')?, read('B')?) {
                (None, None) => None,
                (Some((a, [d, rank])), Some((b, [r, n])))
                    if (d, r, n) == (d_input, rank, columns) =>
                {
                    let divisor = match config.use_rslora {
                        true => (rank as f64).sqrt(),
                        false => rank as f64,
                    };
                    let a = matrix(a, [d, rank], &device);
                    let b = matrix(b, [r, n], &device);
                    Some(pair(a, b, config.lora_alpha / divisor))
                }
                _ => return refuse(format!("its `{name}` does not fit this model")),
            });
        }
        if parts.iter().any(Option::is_some) {
            site.layer.lora = parts;
        }
    }
    match names.into_values().next() {
        Some(name) => refuse(format!("this model has no layer for its `{name}`")),
        None => Ok(model),
    }
}

/// A matrix of the file, transposed to `[in, out]`, with its shape.
fn transposed(file: &SafeTensors, name: &str) -> Result<(Vec<f32>, [usize; 2]), TrainError> {
    let refuse = |what: String| TrainError::Adapter(format!("`{name}` {what}"));
    let view = file.tensor(name).map_err(|e| refuse(e.to_string()))?;
    let &[rows, columns] = view.shape() else {
        return Err(refuse(format!("has shape {:?}", view.shape())));
    };
    // The other side of an empty matrix may be of any length.
    if rows == 0 || columns == 0 {
        return Err(refuse("is empty".into()));
    }
    let bytes = view.data();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => (bytes.as_chunks().0.iter())
            .map(|b| f32::from_le_bytes(*b))
            .collect(),
        Dtype::F16 => (bytes.as_chunks().0.iter())
            .map(|b| f16::from_le_bytes(*b).to_f32())
            .collect(),
        Dtype::BF16 => (bytes.as_chunks().0.iter())
            .map(|b| bf16::from_le_bytes(*b).to_f32())
            .collect(),
        other => return Err(refuse(format!("is stored as {other:?}"))),
    };
    if !values.iter().all(|value| value.is_finite()) {
        return Err(refuse("contains values that are not finite".into()));
    }
    let transposed = (0..columns)
        .flat_map(|column| (0..rows).map(move |row| row * columns + column))
        .map(|place| values[place])
        .collect();
    Ok((transposed, [columns, rows]))
}
