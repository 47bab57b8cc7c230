//! Device and model as one session.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use burn::tensor::{Device, Tensor, TensorData};

use super::OpenedDevice;
use super::messages::{DeviceInfo, Measured, ModelInfo, Ranked};
use crate::hub::{self, HubError, LoadProgress, ModelBundle, ModelFiles};
use crate::model::{Clip, ClipConfig, Packing, TokenBatch, VisionConfig};
use crate::preprocess::{Picture, PreprocessConfig, preprocess};
use crate::tokenizer::{TokenIds, Tokenizer, TokenizerError};
use crate::zero_shot::{self, QuestionError};

/// What can go wrong in a session.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the model cannot be used: {0}")]
    Model(#[from] HubError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error("the device failed while computing: {0}")]
    Device(String),
    #[error(
        "the tokenizer produced the token id {id}, but the model's vocabulary has {vocab_size} entries: \
         its tokenizer.json is missing, or belongs to another model"
    )]
    Vocabulary { id: u32, vocab_size: usize },
    #[error(
        "the model's output is not finite: its weights are damaged, or the device computes \
         incorrectly (try the CPU)"
    )]
    NotFinite,
}

/// A model on a device.
pub struct Engine {
    model: Clip,
    config: ClipConfig,
    tokenizer: Rc<Tokenizer>,
    preprocess: PreprocessConfig,
    opened: OpenedDevice,
    packing: Packing,
    info: ModelInfo,
    /// Logarithm of the inverse temperature, read back once.
    logit_scale: f32,
    /// Features of every prompt seen so far: the next question with the same
    /// labels, and every further picture, costs no text encoding.
    prompts: HashMap<String, TextFeatures>,
}

/// A model for [`Engine::swap`], packed, with its shape.
pub struct Swapped {
    pub model: Clip,
    pub config: ClipConfig,
}

/// What a text became.
#[derive(Clone, Debug, PartialEq)]
pub struct TextFeatures {
    pub tokens: TokenIds,
    /// Of unit length, `[embed_dim]`.
    pub features: Vec<f32>,
}

/// Tokens encoded at once: enough to keep a device busy, few enough to be
/// cancelled between.
const TOKEN_BATCH: usize = 512;

/// Prompts that wait to be encoded, the longest first: like is batched with
/// like, so that little of a batch, which is as long as its longest, is padding.
#[derive(Default)]
pub struct Waiting(Vec<(String, TokenIds)>);

impl Waiting {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the next batch out.
    fn next(&mut self) -> Vec<(String, TokenIds)> {
        let longest = self.0.last().map_or(1, |(_, tokens)| tokens.length);
        let count = (TOKEN_BATCH / longest).max(1).min(self.0.len());
        self.0.split_off(self.0.len() - count)
    }
}

impl Engine {
    /// Streams a model's weights to a device. A GPU has no 8-bit ones: there they
    /// stay exact, as [`ModelInfo::precision`] then says.
    pub async fn load(
        files: &impl ModelFiles,
        bundle: ModelBundle,
        opened: OpenedDevice,
        packing: Packing,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, EngineError> {
        // Where there are threads, one that runs a model meanwhile would be disturbed.
        if cfg!(target_arch = "wasm32") && opened.info.gpu {
            Clip::compile_ahead(&bundle.config, &opened.device);
        }
        let packing = match opened.info.gpu {
            true => Packing::Exact,
            false => packing,
        };
        let loaded = hub::load(files, &bundle, &opened.device, Some(packing), progress).await?;
        let model = loaded.model;
        let scale = read(model.logit_scale.val()).await?;
        let info = ModelInfo {
            name: bundle.name,
            parameters: loaded.parameters,
            bytes: bundle.bytes + loaded.bytes,
            image_size: bundle.config.vision.image_size() as u32,
            context_length: bundle.config.text.context_length as u32,
            embed_dim: bundle.config.embed_dim as u32,
            precision: match (packing, loaded.f16) {
                (Packing::Int8, _) => "8 bits",
                (Packing::Exact, true) => "f16",
                (Packing::Exact, false) => "f32",
            }
            .into(),
            notes: bundle.notes,
        };
        Ok(Self {
            model,
            config: bundle.config,
            tokenizer: bundle.tokenizer,
            preprocess: bundle.preprocess,
            opened,
            packing,
            info,
            logit_scale: scale.first().copied().unwrap_or_default(),
            prompts: HashMap::new(),
        })
    }

    /// The model's shape.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.opened.device
    }

    /// How exact its weights are.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// How pictures are prepared.
    pub fn preprocess(&self) -> &PreprocessConfig {
        &self.preprocess
    }

    /// Puts another model in the place of this one, whose shape may be another
    /// as long as it sees pictures of the same size and reads the same tokens.
    /// Returns the one before, to be put back some time.
    pub async fn swap(&mut self, other: Swapped) -> Result<Swapped, EngineError> {
        let scale = read(other.model.logit_scale.val()).await?;
        self.logit_scale = scale.first().copied().unwrap_or_default();
        self.prompts.clear();
        self.info.embed_dim = other.config.embed_dim as u32;
        Ok(Swapped {
            model: std::mem::replace(&mut self.model, other.model),
            config: std::mem::replace(&mut self.config, other.config),
        })
    }

    pub fn model_info(&self) -> &ModelInfo {
        &self.info
    }

    pub fn device_info(&self) -> &DeviceInfo {
        &self.opened.info
    }

    /// One grey picture and one text through the encoders: a GPU compiles its
    /// kernels now and not while somebody waits for an answer, and a device
    /// that cannot compute shows it.
    pub async fn warm_up(&mut self) -> Result<(), EngineError> {
        let size = self.config.vision.image_size();
        self.image_features(&[vec![0.0; 3 * size * size]]).await?;
        self.text_features(&["A photo of a cat.".into()]).await?;
        self.prompts.clear();
        Ok(())
    }

    /// The model's parameter of that name: cosines are multiplied by its
    /// exponential before the softmax.
    pub fn logit_scale(&self) -> f32 {
        self.logit_scale
    }

    /// A picture as the model sees it: `[3, image_size, image_size]`.
    pub fn pixels(&self, picture: &Picture) -> Vec<f32> {
        preprocess(picture, &self.preprocess)
    }

    /// Pictures, each `[3, image_size, image_size]`, to unit vectors `[embed_dim]`.
    pub async fn image_features(
        &self,
        pictures: &[Vec<f32>],
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        let at_once = match &self.config.vision {
            // What its last layers make of so many fits a processor's caches.
            VisionConfig::ResNet(_) if !self.opened.info.gpu => 8,
            _ => pictures.len().max(1),
        };
        let size = self.config.vision.image_size();
        let mut features = Vec::with_capacity(pictures.len());
        for batch in pictures.chunks(at_once) {
            let pixels = TensorData::new(batch.concat(), [batch.len(), 3, size, size]);
            let images = Tensor::from_data(pixels, &self.opened.device);
            features.extend(rows(self.model.image_features(images), self.config.embed_dim).await?);
        }
        Ok(features)
    }

    /// A text as the model reads it.
    pub fn tokens(&self, text: &str) -> Result<TokenIds, EngineError> {
        Ok(self.tokenizer.encode(text)?)
    }

    /// Token ids, a row for each text, to unit vectors `[embed_dim]`.
    pub async fn token_features(&self, ids: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, EngineError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let vocab_size = self.config.text.vocab_size;
        if let Some(&id) = (ids.iter().flatten()).find(|id| **id as usize >= vocab_size) {
            return Err(EngineError::Vocabulary { id, vocab_size });
        }
        let ends: Vec<(Vec<u32>, usize)> = (ids.iter())
            .map(|ids| (ids.clone(), self.config.text.end_of_text(ids)))
            .collect();
        let tokens = TokenBatch::new(&ends, &self.opened.device);
        rows(self.model.text_features(tokens), self.config.embed_dim).await
    }

    /// Those of `texts` that are not known yet.
    pub fn waiting(&self, texts: &[String]) -> Result<Waiting, EngineError> {
        let mut seen = HashSet::new();
        let mut waiting = (texts.iter())
            .filter(|text| !self.prompts.contains_key(*text) && seen.insert(*text))
            .map(|text| Ok((text.clone(), self.tokens(text)?)))
            .collect::<Result<Vec<_>, EngineError>>()?;
        waiting.sort_by_key(|(_, tokens)| tokens.length);
        Ok(Waiting(waiting))
    }

    /// Encodes one batch of what waits; returns how many texts that were. Called
    /// until it returns 0, so that a worker can listen in between.
    pub async fn encode_some(&mut self, waiting: &mut Waiting) -> Result<usize, EngineError> {
        let batch = waiting.next();
        let ids: Vec<Vec<u32>> = (batch.iter())
            .map(|(_, tokens)| tokens.ids.clone())
            .collect();
        let features = self.token_features(&ids).await?;
        let count = batch.len();
        for ((text, tokens), features) in batch.into_iter().zip(features) {
            let known = TextFeatures { tokens, features };
            self.prompts.insert(text, known);
        }
        Ok(count)
    }

    /// Those of `texts` that are known and were cut at `context_length`.
    pub fn truncated<'a>(&'a self, texts: &'a [String]) -> impl Iterator<Item = &'a String> {
        let cut = |text: &&String| {
            let known = self.prompts.get(*text);
            known.is_some_and(|known| known.tokens.truncated)
        };
        texts.iter().filter(cut)
    }

    /// Texts to their features, from the cache where they are known.
    pub async fn text_features(
        &mut self,
        texts: &[String],
    ) -> Result<Vec<TextFeatures>, EngineError> {
        let mut waiting = self.waiting(texts)?;
        while self.encode_some(&mut waiting).await? > 0 {}
        Ok((texts.iter())
            .filter_map(|text| self.prompts.get(text).cloned())
            .collect())
    }

    /// One feature for each label: its prompts' mean on the unit sphere.
    pub async fn classifier(
        &mut self,
        labels: &[String],
        templates: &[String],
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        zero_shot::check(labels, templates)?;
        let prompts = |label: &String| zero_shot::prompts(label, templates);
        let all: Vec<String> = labels.iter().flat_map(prompts).collect();
        let mut waiting = self.waiting(&all)?;
        while self.encode_some(&mut waiting).await? > 0 {}
        let classes = all.chunks(templates.len()).map(|prompts| {
            let known = prompts.iter().filter_map(|prompt| self.prompts.get(prompt));
            let features: Vec<&[f32]> = known.map(|t| t.features.as_slice()).collect();
            zero_shot::ensemble(&features)
        });
        Ok(classes.collect())
    }

    /// Times the encoders on made-up pictures and texts of full length. `now`
    /// gives milliseconds. The pictures' values are `sin(i / 100)`, the texts'
    /// ids `(7919 i) mod (vocab_size - 2)` between the first and the last two
    /// ids of the vocabulary.
    pub async fn measure(
        &self,
        images: usize,
        texts: usize,
        runs: usize,
        now: impl Fn() -> f64,
    ) -> Result<Measured, EngineError> {
        let pixels = 3 * self.config.vision.image_size().pow(2);
        let picture: Vec<f32> = (0..pixels).map(|i| (i as f32 / 100.0).sin()).collect();
        let end = self.config.text.vocab_size as u32 - 1;
        let length = self.config.text.context_length;
        let mut text: Vec<u32> = (0..length).map(|i| i as u32 * 7919 % (end - 1)).collect();
        (text[0], text[length - 1]) = (end - 1, end);
        let (pictures, texts) = (vec![picture; images], vec![text; texts]);
        let mut measured = Measured::default();
        for _ in 0..runs {
            let start = now();
            let features = self.image_features(&pictures).await?;
            measured.image_ms.push(now() - start);
            measured.image_features = features.into_iter().next().unwrap_or_default();
            let start = now();
            let features = self.token_features(&texts).await?;
            measured.text_ms.push(now() - start);
            measured.text_features = features.into_iter().next().unwrap_or_default();
        }
        Ok(measured)
    }

    /// Labels ranked for a picture, given the label's features of [`Self::classifier`].
    pub fn rank(
        &self,
        image_features: &[f32],
        labels: &[String],
        classifier: &[Vec<f32>],
    ) -> Vec<Ranked> {
        zero_shot::rank(image_features, labels, classifier, self.logit_scale.exp())
    }
}

/// A matrix back from the device, row by row.
async fn rows(features: Tensor<2>, embed_dim: usize) -> Result<Vec<Vec<f32>>, EngineError> {
    let values = read(features).await?;
    if values.iter().any(|v| !v.is_finite()) {
        return Err(EngineError::NotFinite);
    }
    Ok(values.chunks(embed_dim).map(<[f32]>::to_vec).collect())
}

async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, EngineError> {
    let data = (tensor.into_data_async().await)
        .map_err(|error| EngineError::Device(format!("{error:?}")))?;
    data.try_into_vec::<f32>()
        .map_err(|error| EngineError::Device(format!("{error:?}")))
}
