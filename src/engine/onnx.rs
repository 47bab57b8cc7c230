//! ONNX files of an engine's image encoder, with the classifier that it is used with.

use super::Engine;
use crate::model::Clip;
use crate::onnx::{self, Description, LinearClassifier, OnnxError};
use crate::train::Head;
use crate::zero_shot::Scoring;

/// Image encoder of the engine's model, and a classifier over its features, as an ONNX file.
/// `model` is the engine's, not packed.
pub async fn export_onnx(
    engine: &Engine,
    model: &Clip,
    classifier: Option<&LinearClassifier>,
) -> Result<Vec<u8>, OnnxError> {
    let description = Description {
        name: &engine.model_info().name,
        preprocess: engine.preprocess(),
    };
    onnx::export(model, engine.config(), description, classifier).await
}

/// Zero-shot classifier as a layer: text features of the labels, `[labels][embed_dim]`, with the
/// model's scale and bias.
pub fn zero_shot_layer(
    engine: &Engine,
    labels: &[String],
    text_features: &[Vec<f32>],
) -> LinearClassifier {
    let scoring = engine.scoring();
    let bias = match scoring {
        Scoring::Softmax { .. } => 0.0,
        Scoring::Sigmoid { logit_bias, .. } => logit_bias,
    };
    let scaled = |row: &Vec<f32>| row.iter().map(|value| value * scoring.scale()).collect();
    LinearClassifier {
        labels: labels.to_vec(),
        weight: text_features.iter().map(scaled).collect(),
        bias: vec![bias; labels.len()],
        independent: scoring.is_independent(),
    }
}

/// Probe or adapter as a layer.
pub fn head_layer(head: &Head) -> LinearClassifier {
    let (weight, bias) = head.linear();
    LinearClassifier {
        labels: head.classes.clone(),
        weight,
        bias,
        independent: false,
    }
}
