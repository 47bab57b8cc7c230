//! Encoders, as an evaluation needs them.

use crate::engine::{Engine, EngineError};
use crate::preprocess::DecodedImage;
use crate::zero_shot::{self, Scoring};

/// Zero-shot classifier.
pub struct Classifier {
    /// Feature of each class, `[classes][embed_dim]`.
    pub weights: Vec<Vec<f32>>,
    /// Notes about prompts that were truncated.
    pub truncated: Vec<String>,
}

/// Image and text encoder of a model.
#[allow(async_fn_in_trait)] // one thread
pub trait Encoder {
    /// Preprocessed picture, `[3, image_size, image_size]`.
    fn pixels(&self, picture: &DecodedImage) -> Vec<f32>;

    /// Features of preprocessed pictures, unit vectors `[pictures][embed_dim]`.
    async fn images(&mut self, pixels: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, EngineError>;

    /// Features of texts, unit vectors `[texts][embed_dim]`.
    async fn texts(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, EngineError>;

    /// Zero-shot classifier of some templates.
    async fn classifier(
        &mut self,
        classes: &[String],
        templates: &[String],
    ) -> Result<Classifier, EngineError>;

    /// How the model's similarities become probabilities.
    fn scoring(&self) -> Scoring;

    /// Name of the model.
    fn name(&self) -> String;
}

/// All prompts of a classifier.
pub fn prompts(classes: &[String], templates: &[String]) -> Vec<String> {
    (classes.iter())
        .flat_map(|class| zero_shot::prompts(class, templates))
        .collect()
}

impl Encoder for Engine {
    fn pixels(&self, picture: &DecodedImage) -> Vec<f32> {
        Engine::pixels(self, picture)
    }

    async fn images(&mut self, pixels: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, EngineError> {
        self.image_features(&pixels).await
    }

    async fn texts(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, EngineError> {
        let texts = self.text_features(texts).await?;
        Ok(texts.into_iter().map(|text| text.features).collect())
    }

    async fn classifier(
        &mut self,
        classes: &[String],
        templates: &[String],
    ) -> Result<Classifier, EngineError> {
        Ok(Classifier {
            weights: Engine::classifier(self, classes, templates).await?,
            truncated: self.truncation_notes(&prompts(classes, templates)),
        })
    }

    fn scoring(&self) -> Scoring {
        Engine::scoring(self)
    }

    fn name(&self) -> String {
        self.model_info().name.clone()
    }
}
