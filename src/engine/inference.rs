//! Inference engine: a device, a model, and a cache of text features.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use super::OpenedDevice;
use super::messages::{DeviceInfo, Measured, ModelInfo, Ranked};
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::hub::{self, HubError, LoadProgress, LoadTarget, ModelBundle, ModelFiles, TokenTable};
#[cfg(feature = "library")]
use crate::library::ModelFingerprint;
use crate::model::{
    Clip, ClipConfig, ReadBackError, StoredPrecision, TokenBatch, VisionConfig, WeightPrecision,
    read_back,
};
use crate::ops::Embedding;
use crate::preprocess::{DecodedImage, PreprocessConfig, preprocess};
use crate::tokenizer::{TokenIds, Tokenizer, TokenizerError};
use crate::weights::WeightsError;
use crate::zero_shot::{self, QuestionError, Scoring};

/// Error of the engine.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum EngineError {
    /// Files of the model are missing or unusable.
    Model(#[from] HubError),
    /// A text cannot be tokenised.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Labels or templates have no answer.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// The device failed, with its reason.
    Device(String),
    /// Tokenizer and model do not belong together.
    Vocabulary {
        /// Token id that the model does not know.
        id: u32,
        /// Number of tokens that it knows.
        vocab_size: usize,
    },
    /// Rows of the token embedding cannot be fetched.
    TokenRows(#[source] HubError),
    /// The features have infinities or NaN.
    NotFinite,
}

impl ToDiagnostic for EngineError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Model(error) => diagnostic!(
                "model-unusable",
                "the model cannot be used: {reason}",
                reason = error
            ),
            Self::Tokenizer(error) => error.to_diagnostic(),
            Self::Question(error) => error.to_diagnostic(),
            Self::Device(reason) => diagnostic!(
                "device-failed",
                "the device failed while computing: {reason}",
                reason
            ),
            Self::Vocabulary { id, vocab_size } => diagnostic!(
                "vocabulary-mismatch",
                "the tokenizer produced the token id {id}, but the model's vocabulary has {vocab_size} entries: its tokenizer.json is missing, or belongs to another model",
                id,
                vocab_size
            ),
            Self::TokenRows(error) => diagnostic!(
                "words-not-fetched",
                "words that are used for the first time have to be downloaded, and could not be: {reason}",
                reason = error
            ),
            Self::NotFinite => diagnostic!(
                "not-finite",
                "the model's output is not finite: its weights are damaged, or the device computes incorrectly (try the CPU)"
            ),
        }
    }
}

impl EngineError {
    /// Whether another device might do better with the same files.
    pub fn is_of_the_device(&self) -> bool {
        match self {
            Self::Model(error) => {
                matches!(error, HubError::Weights(WeightsError::TooLarge { .. }))
            }
            Self::TokenRows(_) => false,
            _ => true,
        }
    }
}

impl From<ReadBackError> for EngineError {
    fn from(error: ReadBackError) -> Self {
        Self::Device(error.to_string())
    }
}

/// Model on a device.
pub struct Engine {
    pub(super) model: Clip,
    config: ClipConfig,
    config_file: Option<&'static str>,
    /// Token embedding, if its rows are fetched as texts use them.
    token_table: Option<TokenTable>,
    tokenizer: Rc<Tokenizer>,
    preprocess: PreprocessConfig,
    opened: OpenedDevice,
    precision: WeightPrecision,
    info: ModelInfo,
    /// Log of the inverse temperature, read back once.
    logit_scale: f32,
    /// Of a model that was trained with a sigmoid loss.
    logit_bias: Option<f32>,
    /// Features of every prompt so far: further questions with the same labels, and
    /// further pictures, need no text encoding.
    prompts: HashMap<String, TextFeatures>,
}

/// Packed model with its configuration, for [`Engine::swap`].
pub struct ModelSlot {
    /// Packed model.
    pub model: Clip,
    /// Its configuration.
    pub config: ClipConfig,
    /// Its token embedding, if the model has only a placeholder.
    pub token_table: Option<TokenTable>,
}

/// Tokens and features of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct TextFeatures {
    /// Token ids.
    pub tokens: TokenIds,
    /// Normalised, `[embed_dim]`.
    pub features: Vec<f32>,
}

/// Tokens per batch: large enough to keep a device busy, small enough to cancel in
/// between.
const TOKEN_BATCH: usize = 512;

/// Prompts to encode, the longest first: batches of similar length waste little on
/// padding.
#[derive(Default)]
pub struct PendingPrompts {
    prompts: Vec<(String, TokenIds)>,
    /// Whether the model reads the padding, too.
    padded: bool,
}

impl PendingPrompts {
    /// Number of prompts.
    pub fn len(&self) -> usize {
        self.prompts.len()
    }

    /// Whether no prompt is left.
    pub fn is_empty(&self) -> bool {
        self.prompts.is_empty()
    }

    /// Removes and returns the next batch.
    fn next(&mut self) -> Vec<(String, TokenIds)> {
        let longest = (self.prompts.last()).map_or(1, |(_, tokens)| match self.padded {
            true => tokens.ids.len(),
            false => tokens.length,
        });
        let count = (TOKEN_BATCH / longest.max(1))
            .max(1)
            .min(self.prompts.len());
        self.prompts.split_off(self.prompts.len() - count)
    }
}

impl Engine {
    /// Streams a model's weights to a device. On a GPU int8 does not apply: weights stay
    /// as stored, as [`ModelInfo::precision`] then says.
    pub async fn load(
        files: &impl ModelFiles,
        bundle: ModelBundle,
        opened: OpenedDevice,
        precision: WeightPrecision,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, EngineError> {
        // Only on wasm: natively another thread may be running a model, which a dry run
        // would disturb.
        if cfg!(target_arch = "wasm32") && opened.info.gpu {
            Clip::precompile_kernels(&bundle.config, &opened.device);
        }
        let precision = match opened.info.gpu {
            true => WeightPrecision::AsStored,
            false => precision,
        };
        let target = LoadTarget {
            packing: Some(precision),
            max_tensor_bytes: opened.max_tensor_bytes,
        };
        let loaded = hub::load(files, &bundle, &opened.device, target, progress).await?;
        let model = loaded.model;
        let (logit_scale, logit_bias) = scale_and_bias(&model).await?;
        let info = ModelInfo {
            name: bundle.name,
            parameters: loaded.parameters,
            bytes: bundle.bytes + loaded.bytes,
            image_size: bundle.config.vision.image_size() as u32,
            context_length: bundle.config.text.context_length as u32,
            embed_dim: bundle.config.embed_dim as u32,
            precision: match (precision, loaded.stored_precision) {
                (WeightPrecision::Int8, _) | (_, StoredPrecision::Int8) => "8-bit",
                (WeightPrecision::AsStored, StoredPrecision::F16) => "f16",
                (WeightPrecision::AsStored, StoredPrecision::AsDownloaded) => "f32",
            }
            .into(),
            independent: logit_bias.is_some(),
            notes: bundle.notes.into_iter().chain(loaded.note).collect(),
        };
        Ok(Self {
            model,
            config: bundle.config,
            config_file: bundle.config_file,
            token_table: loaded.token_table,
            tokenizer: bundle.tokenizer,
            preprocess: bundle.preprocess,
            opened,
            precision,
            info,
            logit_scale,
            logit_bias,
            prompts: HashMap::new(),
        })
    }

    /// Configuration of the model.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Name of the file that the model's configuration is from; `None` if it was read from the
    /// weights.
    pub fn config_file(&self) -> Option<&'static str> {
        self.config_file
    }

    /// Device of the model.
    pub fn device(&self) -> &Device {
        &self.opened.device
    }

    /// To load the model once more, to train it on the same device.
    pub fn target_for_training(&self) -> LoadTarget {
        LoadTarget {
            packing: None,
            max_tensor_bytes: self.opened.max_tensor_bytes,
        }
    }

    /// Precision of the packed weights.
    pub fn precision(&self) -> WeightPrecision {
        self.precision
    }

    /// Preprocessing of pictures.
    pub fn preprocess(&self) -> &PreprocessConfig {
        &self.preprocess
    }

    /// Swaps the model. The new one may have another shape, but must have the same image
    /// size and vocabulary. Returns the old one.
    pub async fn swap(&mut self, other: ModelSlot) -> Result<ModelSlot, EngineError> {
        (self.logit_scale, self.logit_bias) = scale_and_bias(&other.model).await?;
        self.info.independent = self.logit_bias.is_some();
        self.prompts.clear();
        self.info.embed_dim = other.config.embed_dim as u32;
        Ok(ModelSlot {
            model: std::mem::replace(&mut self.model, other.model),
            config: std::mem::replace(&mut self.config, other.config),
            token_table: std::mem::replace(&mut self.token_table, other.token_table),
        })
    }

    /// Description of the model, for display.
    pub fn model_info(&self) -> &ModelInfo {
        &self.info
    }

    /// Description of the device, for display.
    pub fn device_info(&self) -> &DeviceInfo {
        &self.opened.info
    }

    /// Runs both encoders once: a GPU compiles its kernels before the first request, and
    /// a broken device fails early.
    pub async fn warm_up(&mut self) -> Result<(), EngineError> {
        let size = self.config.vision.image_size();
        self.image_features(&[vec![0.0; 3 * size * size]]).await?;
        match self.text_features(&["A photo of a cat.".into()]).await {
            // Without a network the image encoder is of use, and words of earlier visits are.
            Ok(_) | Err(EngineError::TokenRows(_)) => {}
            Err(error) => return Err(error),
        }
        self.prompts.clear();
        Ok(())
    }

    /// Features of a fixed image and a fixed text, which tell the model's weights from
    /// any others.
    #[cfg(feature = "library")]
    pub async fn fingerprint(&mut self) -> Result<ModelFingerprint, EngineError> {
        const SIDE: u32 = 64;
        let samples = (0..SIDE * SIDE * 3).map(|i| {
            let (pixel, channel) = (i / 3, i % 3);
            let (x, y) = (pixel % SIDE, pixel / SIDE);
            (x * (3 + channel) + y * (7 - channel)) as u8
        });
        let picture = DecodedImage::new(SIDE, SIDE, 3, samples.collect())
            .map_err(|error| EngineError::Device(error.to_string()))?;
        let image = self
            .image_features(&[self.pixels(&picture)])
            .await?
            .concat();
        let text = self.text_features(&["a photo of a cat".into()]).await?;
        Ok(ModelFingerprint {
            name: self.info.name.clone(),
            image,
            text: text
                .into_iter()
                .next()
                .map(|text| text.features)
                .unwrap_or_default(),
        })
    }

    /// Log of the logit scale, by whose exponential cosine similarities are multiplied.
    pub fn logit_scale(&self) -> f32 {
        self.logit_scale
    }

    /// Bias of the logits, of a model that was trained with a sigmoid loss.
    pub fn logit_bias(&self) -> Option<f32> {
        self.logit_bias
    }

    /// How the model's similarities become probabilities.
    pub fn scoring(&self) -> Scoring {
        scoring_of(self.logit_scale, self.logit_bias)
    }

    /// Preprocessed picture, `[3, image_size, image_size]`.
    pub fn pixels(&self, picture: &DecodedImage) -> Vec<f32> {
        preprocess(picture, &self.preprocess)
    }

    /// Image features: pictures of `[3, image_size, image_size]` each, to unit vectors
    /// `[embed_dim]`.
    pub async fn image_features(
        &self,
        pictures: &[Vec<f32>],
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        let batch_size = match (&self.config.vision, self.opened.max_tensor_bytes) {
            // The activations of its last layers fit the caches for this many.
            (VisionConfig::ResNet(_) | VisionConfig::FastVit(_), None) => 8,
            (VisionConfig::Vit(_), None) => pictures.len().max(1),
            (vision, Some(limit)) => images_within(limit, vision),
        };
        let size = self.config.vision.image_size();
        let mut features = Vec::with_capacity(pictures.len());
        for batch in pictures.chunks(batch_size) {
            let pixels = TensorData::new(batch.concat(), [batch.len(), 3, size, size]);
            let images = Tensor::from_data(pixels, &self.opened.device);
            features.extend(rows(self.model.image_features(images), self.config.embed_dim).await?);
        }
        Ok(features)
    }

    /// Tokenises a text.
    pub fn tokens(&self, text: &str) -> Result<TokenIds, EngineError> {
        Ok(self.tokenizer.encode(text)?)
    }

    /// Text features: token ids, a row per text, to unit vectors `[embed_dim]`.
    pub async fn token_features(&self, ids: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, EngineError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let vocab_size = self.config.text.vocab_size;
        if let Some(&id) = (ids.iter().flatten()).find(|id| **id as usize >= vocab_size) {
            return Err(EngineError::Vocabulary { id, vocab_size });
        }
        let rows_in_use = match &self.token_table {
            None => None,
            Some(table) => {
                let used: BTreeSet<u32> = ids.iter().flatten().copied().collect();
                let used: Vec<u32> = used.into_iter().collect();
                let rows = table.rows(&used, &self.opened.device).await;
                let weight = Param::from_tensor(rows.map_err(EngineError::TokenRows)?);
                Some((Embedding { weight }, used))
            }
        };
        let text = &self.config.text;
        let texts: Vec<(Vec<u32>, usize)> = (ids.iter())
            .map(|ids| {
                let ids = text.unmasked(ids);
                let rows = match &rows_in_use {
                    None => ids.to_vec(),
                    Some((_, used)) => used_rows(ids, used),
                };
                (rows, text.pool_index(ids))
            })
            .collect();
        let mut features = vec![Vec::new(); ids.len()];
        for group in self.model.text.groups(&texts) {
            let texts: Vec<_> = group.iter().map(|index| texts[*index].clone()).collect();
            let mut tokens = TokenBatch::new(&texts, text.causal, &self.opened.device);
            tokens.embedding = rows_in_use.as_ref().map(|(embedding, _)| embedding.clone());
            let found = rows(self.model.text_features(tokens), self.config.embed_dim).await?;
            for (index, row) in group.into_iter().zip(found) {
                features[index] = row;
            }
        }
        Ok(features)
    }

    /// Those of `texts` that are not cached.
    pub fn pending_prompts(&self, texts: &[String]) -> Result<PendingPrompts, EngineError> {
        let mut seen = HashSet::new();
        let mut pending_prompts = (texts.iter())
            .filter(|text| !self.prompts.contains_key(*text) && seen.insert(*text))
            .map(|text| Ok((text.clone(), self.tokens(text)?)))
            .collect::<Result<Vec<_>, EngineError>>()?;
        pending_prompts.sort_by_key(|(_, tokens)| tokens.length);
        Ok(PendingPrompts {
            prompts: pending_prompts,
            padded: !self.config.text.causal && self.config.text.bert.is_none(),
        })
    }

    /// Encodes the next batch of prompts; returns its size. Called until it returns 0, so
    /// that a worker can handle messages in between.
    pub async fn encode_next_batch(
        &mut self,
        pending_prompts: &mut PendingPrompts,
    ) -> Result<usize, EngineError> {
        let batch = pending_prompts.next();
        let ids: Vec<Vec<u32>> = (batch.iter())
            .map(|(_, tokens)| tokens.ids.clone())
            .collect();
        let features = self.token_features(&ids).await?;
        let count = batch.len();
        for ((text, tokens), features) in batch.into_iter().zip(features) {
            let cached = TextFeatures { tokens, features };
            self.prompts.insert(text, cached);
        }
        Ok(count)
    }

    /// Warnings about those of the cached `texts` that were truncated at `context_length`.
    pub fn truncation_notes(&self, texts: &[String]) -> Vec<String> {
        let cut = |text: &&String| {
            let cached = self.prompts.get(*text);
            cached.is_some_and(|cached| cached.tokens.truncated)
        };
        let length = self.info.context_length;
        let note = |text: &String| {
            let start: String = text.chars().take(40).collect();
            format!("\"{start}…\" is longer than the model's {length} tokens and was truncated")
        };
        texts.iter().filter(cut).map(note).collect()
    }

    /// Features of texts, cached.
    pub async fn text_features(
        &mut self,
        texts: &[String],
    ) -> Result<Vec<TextFeatures>, EngineError> {
        let mut pending_prompts = self.pending_prompts(texts)?;
        while self.encode_next_batch(&mut pending_prompts).await? > 0 {}
        Ok((texts.iter())
            .filter_map(|text| self.prompts.get(text).cloned())
            .collect())
    }

    /// Zero-shot classifier: for each label the normalised mean of its prompts' features.
    pub async fn classifier(
        &mut self,
        labels: &[String],
        templates: &[String],
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        zero_shot::check(labels, templates)?;
        let prompts = |label: &String| zero_shot::prompts(label, templates);
        let all: Vec<String> = labels.iter().flat_map(prompts).collect();
        let mut pending_prompts = self.pending_prompts(&all)?;
        while self.encode_next_batch(&mut pending_prompts).await? > 0 {}
        let classes = all.chunks(templates.len()).map(|prompts| {
            let cached = prompts.iter().filter_map(|prompt| self.prompts.get(prompt));
            let features: Vec<&[f32]> = cached.map(|t| t.features.as_slice()).collect();
            zero_shot::ensemble(&features)
        });
        Ok(classes.collect())
    }

    /// Benchmarks the encoders on synthetic pictures and texts of full length. `now` is
    /// in milliseconds. Pixels are `sin(i / 100)`, token ids `(7919 i) mod (vocab_size -
    /// 2)` between start and end of text, the last two ids of the vocabulary.
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

    /// Ranks labels for a picture, given the features from [`Self::classifier`].
    pub fn rank(
        &self,
        image_features: &[f32],
        labels: &[String],
        classifier: &[Vec<f32>],
    ) -> Vec<Ranked> {
        zero_shot::rank(image_features, labels, classifier, self.scoring())
    }
}

/// Index of each id among those in use, which are sorted.
fn used_rows(ids: &[u32], used: &[u32]) -> Vec<u32> {
    let index = |id: &u32| used.partition_point(|other| other < id) as u32;
    ids.iter().map(index).collect()
}

/// Images at once whose activations have at most `limit` bytes each.
fn images_within(limit: u64, vision: &VisionConfig) -> usize {
    let bytes = size_of::<f32>() * vision.largest_activation();
    let images = limit / bytes.max(1) as u64;
    usize::try_from(images).unwrap_or(usize::MAX).max(1)
}

/// How a model's similarities become probabilities.
#[cfg(feature = "training")]
pub(super) async fn scoring(model: &Clip) -> Result<Scoring, EngineError> {
    let (logit_scale, logit_bias) = scale_and_bias(model).await?;
    Ok(scoring_of(logit_scale, logit_bias))
}

fn scoring_of(logit_scale: f32, logit_bias: Option<f32>) -> Scoring {
    let scale = logit_scale.exp();
    match logit_bias {
        None => Scoring::Softmax { scale },
        Some(logit_bias) => Scoring::Sigmoid { scale, logit_bias },
    }
}

/// Log of the logit scale, and the logit bias.
async fn scale_and_bias(model: &Clip) -> Result<(f32, Option<f32>), ReadBackError> {
    let scale = read_back(model.logit_scale.val()).await?;
    let bias = match &model.logit_bias {
        Some(bias) => read_back(bias.val()).await?.first().copied(),
        None => None,
    };
    Ok((scale.first().copied().unwrap_or_default(), bias))
}

/// Reads a matrix back from the device, row by row.
async fn rows(features: Tensor<2>, embed_dim: usize) -> Result<Vec<Vec<f32>>, EngineError> {
    let values = read_back(features).await?;
    if values.iter().any(|v| !v.is_finite()) {
        return Err(EngineError::NotFinite);
    }
    Ok(values.chunks(embed_dim).map(<[f32]>::to_vec).collect())
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;

    fn vision(name: &str) -> VisionConfig {
        let json = match name {
            "ViT-L/14" => r#"{"image_size": 224, "layers": 24, "width": 1024, "patch_size": 14}"#,
            _ => r#"{"image_size": 224, "layers": [3, 4, 6, 3], "width": 64}"#,
        };
        let json = format!(
            r#"{{"embed_dim": 768, "vision_cfg": {json}, "text_cfg": {{"width": 768, "heads": 12, "layers": 12}}}}"#
        );
        ClipConfig::from_open_clip(json.as_bytes()).unwrap().vision
    }

    #[test]
    fn a_batch_keeps_within_the_least_buffers_of_webgpu() {
        const LEAST: u64 = 128 << 20;
        // 257 tokens of 4096 numbers in its MLPs.
        let large = vision("ViT-L/14");
        assert_eq!(large.largest_activation(), 257 * 4096);
        assert_eq!(images_within(LEAST, &large), 31);
        // 64 channels at half the side.
        let resnet = vision("RN50");
        assert_eq!(resnet.largest_activation(), 112 * 112 * 64);
        assert_eq!(images_within(LEAST, &resnet), 41);
        assert_eq!(images_within(1, &large), 1);
    }
}
