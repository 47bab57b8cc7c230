//! Export of the image encoder as [ONNX](https://onnx.ai), with a classifier over its features.
//!
//! Input `pixels` `[batch, 3, image_size, image_size]`, normalised as the file's metadata says. Outputs
//! `image_features` `[batch, embed_dim]`, unit vectors, and with a classifier `logits` and
//! `probabilities` `[batch, classes]`. Operators of opset 17, weights in f32.

mod graph;
mod image_encoder;
mod protobuf;
#[cfg(all(test, feature = "command"))]
mod tests;

use serde_json::json;

use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::model::{Clip, ClipConfig, ReadBackError};
use crate::preprocess::PreprocessConfig;
use graph::{Attribute, Dim, Graph, GraphValue};
use protobuf::Message;

/// Version of the operators.
const OPSET: i64 = 17;
/// Version of the file format that came with it.
const IR_VERSION: i64 = 8;
/// Protocol buffers have no larger messages, bytes.
const MAX_BYTES: usize = i32::MAX as usize;

/// Error of the export.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum OnnxError {
    /// Image encoder with parts that are not exported.
    Unsupported(&'static str),
    /// More than a file can have.
    TooLarge(usize),
    /// The weights cannot be read.
    Device(#[from] ReadBackError),
}

impl ToDiagnostic for OnnxError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Unsupported(part) => diagnostic!(
                "onnx-unsupported",
                "an image encoder with {part} cannot be exported as ONNX: a ViT of CLIP or SigLIP, or a modified ResNet, can",
                part
            ),
            Self::TooLarge(bytes) => diagnostic!(
                "onnx-too-large",
                "the image encoder has {size} MiB, and an ONNX file at most 2048",
                size = bytes >> 20
            ),
            Self::Device(error) => diagnostic!(
                "training-device-failed",
                "the device failed: {reason}",
                reason = error.to_string()
            ),
        }
    }
}

/// Linear classifier over image features.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearClassifier {
    /// Class names.
    pub labels: Vec<String>,
    /// `[classes][embed_dim]`, with the logit scale.
    pub weight: Vec<Vec<f32>>,
    /// `[classes]`
    pub bias: Vec<f32>,
    /// Whether each class has a probability of its own (sigmoid), or all compete (softmax).
    pub independent: bool,
}

/// What the file says about its model.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// How pictures become pixels.
    pub preprocess: &'a PreprocessConfig,
}

/// Image encoder of a model that is not packed, as an ONNX file.
pub async fn export(
    model: &Clip,
    config: &ClipConfig,
    description: Description<'_>,
    classifier: Option<&LinearClassifier>,
) -> Result<Vec<u8>, OnnxError> {
    let size = config.vision.image_size();
    let batch = Dim::Any("batch");
    let mut graph = Graph::default();
    let shape = [batch, Dim::Is(3), Dim::Is(size), Dim::Is(size)];
    let pixels = graph.input("pixels", &shape);
    let encoded = image_encoder::add(&mut graph, model, config, &pixels).await?;
    let norm = graph.node(
        "ReduceL2",
        &[&encoded],
        &[
            ("axes", Attribute::Ints(&[1])),
            ("keepdims", Attribute::Int(1)),
        ],
    );
    let features = graph.node("Div", &[&encoded, &norm], &[]);
    let shape = [batch, Dim::Is(config.embed_dim)];
    graph.output(&features, "image_features", &shape);
    if let Some(classifier) = classifier {
        add_classifier(&mut graph, classifier, &features);
    }
    let metadata = metadata(description, size, classifier);
    let mut file = Message::default()
        .int(1, IR_VERSION)
        .text(2, "clip")
        .text(3, env!("CARGO_PKG_VERSION"))
        .message(8, &Message::default().text(1, "").int(2, OPSET));
    for (key, value) in metadata {
        file.push(14, &Message::default().text(1, key).text(2, &value));
    }
    let graph = graph.into_message("image_encoder");
    match graph.len() + file.len() < MAX_BYTES {
        true => Ok(file.message(7, &graph).into_bytes()),
        false => Err(OnnxError::TooLarge(graph.len())),
    }
}

fn add_classifier(graph: &mut Graph, classifier: &LinearClassifier, features: &GraphValue) {
    let LinearClassifier { weight, bias, .. } = classifier;
    let (classes, dims) = (weight.len(), weight.first().map_or(0, Vec::len));
    let weight = graph.floats("classifier.weight", &[classes, dims], &weight.concat());
    let bias = graph.floats("classifier.bias", &[classes], bias);
    let logits = graph.node(
        "Gemm",
        &[features, &weight, &bias],
        &[("transB", Attribute::Int(1))],
    );
    let probabilities = match classifier.independent {
        true => graph.node("Sigmoid", &[&logits], &[]),
        false => graph.node("Softmax", &[&logits], &[("axis", Attribute::Int(1))]),
    };
    let shape = [Dim::Any("batch"), Dim::Is(classes)];
    graph.output(&logits, "logits", &shape);
    graph.output(&probabilities, "probabilities", &shape);
}

/// What a program needs to know beside the graph, by key.
fn metadata(
    description: Description,
    image_size: usize,
    classifier: Option<&LinearClassifier>,
) -> Vec<(&'static str, String)> {
    let preprocess = description.preprocess;
    let described = serde_json::to_value(preprocess).unwrap_or_default();
    let mut metadata = vec![
        ("model", description.name.to_owned()),
        ("image_size", image_size.to_string()),
        ("mean", json!(preprocess.mean).to_string()),
        ("std", json!(preprocess.std).to_string()),
        ("preprocess", described.to_string()),
    ];
    if let Some(classifier) = classifier {
        metadata.push(("labels", json!(classifier.labels).to_string()));
    }
    metadata
}
