//! Zero-shot classification: labels to prompts, prompts to one feature for
//! each label, features to ranked labels (paper, section 3.1).

mod heat_map;
mod rejection;
mod scoring;
mod sets;
mod templates;

pub use heat_map::{DenseFeatures, HEAT_COLOURS, HeatMap, Peak};
pub use rejection::{
    DEFAULT_CLASS_FIT, DEFAULT_PROBABILITY, DEFAULT_REJECTION, Rejection, neutral_words,
};
pub use scoring::Scoring;
pub use sets::{TemplateSet, compared_sets, parse_class_names, parse_templates, template_sets};
pub use templates::{DEFAULT_TEMPLATE, LABEL_ONLY, PLACEHOLDER, PRESET_TEMPLATES};

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};

/// Score of one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// The label.
    pub label: String,
    /// Probability by the model's [`Scoring`].
    pub probability: f32,
    /// Cosine of `image_features` and the label's `text_features`, -1 to 1.
    pub similarity: f32,
}

/// What is wrong with a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum QuestionError {
    /// No label, or only blank ones.
    NoLabels,
    /// No prompt template.
    NoTemplates,
    /// Template without [`PLACEHOLDER`].
    NoPlaceholder(String),
    /// Label that is listed twice.
    Duplicate(String),
}

impl ToDiagnostic for QuestionError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::NoLabels => diagnostic!("no-labels", "there are no labels: enter at least one"),
            Self::NoTemplates => diagnostic!(
                "no-templates",
                "there is no prompt template: add one, such as \"A photo of a {{label}}.\""
            ),
            Self::NoPlaceholder(template) => diagnostic!(
                "no-placeholder",
                "the template \"{template}\" has no {{label}} in it, so every label would give the same prompt",
                template
            ),
            Self::Duplicate(label) => diagnostic!(
                "label-twice",
                "the label \"{label}\" is listed twice: remove one",
                label
            ),
        }
    }
}

/// Refuses questions that have no answer.
pub fn check(labels: &[String], templates: &[String]) -> Result<(), QuestionError> {
    if labels.iter().all(|label| label.trim().is_empty()) {
        return Err(QuestionError::NoLabels);
    }
    for (index, label) in labels.iter().enumerate() {
        if labels[..index].contains(label) {
            return Err(QuestionError::Duplicate(label.clone()));
        }
    }
    if templates.is_empty() {
        return Err(QuestionError::NoTemplates);
    }
    match templates.iter().find(|t| !t.contains(PLACEHOLDER)) {
        Some(template) => Err(QuestionError::NoPlaceholder(template.clone())),
        None => Ok(()),
    }
}

/// A label in each template.
pub fn prompts(label: &str, templates: &[String]) -> Vec<String> {
    (templates.iter())
        .map(|template| template.replace(PLACEHOLDER, label))
        .collect()
}

/// The mean of unit vectors, put back on the unit sphere: the paper's ensemble
/// over prompts ("over the embedding space instead of probability space").
pub fn ensemble(features: &[&[f32]]) -> Vec<f32> {
    let dims = features.first().map_or(0, |f| f.len());
    let mut mean: Vec<f32> = (0..dims)
        .map(|i| features.iter().map(|f| f[i]).sum())
        .collect();
    let norm = mean.iter().map(|v| v * v).sum::<f32>().sqrt();
    if norm > 0.0 {
        mean.iter_mut().for_each(|v| *v /= norm);
    }
    mean
}

/// Ranks labels for one image, most likely first. All features are of unit length.
pub fn rank(
    image_features: &[f32],
    labels: &[String],
    text_features: &[Vec<f32>],
    scoring: Scoring,
) -> Vec<Ranked> {
    let similarities = similarities(image_features, text_features);
    let probabilities = scoring.of_similarities(&similarities);
    let mut ranking: Vec<Ranked> = (labels.iter())
        .zip(similarities.iter().zip(probabilities))
        .map(|(label, (similarity, probability))| Ranked {
            label: label.clone(),
            probability,
            similarity: *similarity,
        })
        .collect();
    ranking.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    ranking
}

/// Probability of each label, in the order of `text_features`.
pub fn probabilities(
    image_features: &[f32],
    text_features: &[Vec<f32>],
    scoring: Scoring,
) -> Vec<f32> {
    scoring.of_similarities(&similarities(image_features, text_features))
}

/// Cosine similarities of an image and of texts, `[texts]`. All features are of unit
/// length.
pub fn similarities(image_features: &[f32], text_features: &[Vec<f32>]) -> Vec<f32> {
    (text_features.iter())
        .map(|text| text.iter().zip(image_features).map(|(a, b)| a * b).sum())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| t.to_string()).collect()
    }

    #[test]
    fn questions_without_an_answer_are_refused() {
        let template = strings(&["A photo of a {label}."]);
        assert_eq!(check(&[], &template), Err(QuestionError::NoLabels));
        assert_eq!(
            check(&strings(&[" "]), &template),
            Err(QuestionError::NoLabels)
        );
        assert_eq!(
            check(&strings(&["cat"]), &[]),
            Err(QuestionError::NoTemplates)
        );
        assert!(check(&strings(&["cat"]), &strings(&["a photo"])).is_err());
        assert!(check(&strings(&["cat", "cat"]), &template).is_err());
        assert_eq!(check(&strings(&["cat", "dog"]), &template), Ok(()));
    }

    #[test]
    fn an_ensemble_is_the_normalised_mean() {
        let mixed = ensemble(&[&[1.0, 0.0], &[0.0, 1.0]]);
        assert!((mixed[0] - 0.5f32.sqrt()).abs() < 1e-6);
        assert!((mixed[1] - 0.5f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn probabilities_are_the_softmax_of_scaled_cosines() {
        let texts = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
        let ranking = rank(
            &[0.6, 0.8],
            &strings(&["a", "b"]),
            &texts,
            Scoring::Softmax { scale: 10.0 },
        );
        assert_eq!(ranking[0].label, "b");
        let expected = 1.0 / (1.0 + (-2.0f32).exp());
        assert!((ranking[0].probability - expected).abs() < 1e-6);
        assert!((ranking[1].similarity - 0.6).abs() < 1e-6);
    }
}
