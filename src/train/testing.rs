//! Helpers of the classifiers' tests.

use std::ops::ControlFlow;

use serde_json::Value;

use super::{FeatureMatrix, HeadProgress};

/// What the reference computed.
pub fn golden(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// Numbers of a JSON array.
pub fn numbers(value: &Value) -> Vec<f64> {
    let values = value.as_array().unwrap().iter();
    values.map(|v| v.as_f64().unwrap()).collect()
}

/// Rows of a JSON array of arrays.
pub fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(numbers).collect()
}

/// Indices of a JSON array.
pub fn indices(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|v| v as usize).collect()
}

/// Samples with their classes.
pub fn samples(features: &[Vec<f64>], labels: &[usize], classes: usize) -> FeatureMatrix {
    let features: Vec<Vec<f32>> = (features.iter())
        .map(|row| row.iter().map(|v| *v as f32).collect())
        .collect();
    let features: Vec<&[f32]> = features.iter().map(Vec::as_slice).collect();
    FeatureMatrix::new(&features, labels, classes)
}

/// Progress that nobody follows.
pub async fn unwatched(_: HeadProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
