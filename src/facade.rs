//! Facade for programs outside a browser: a model by name, its features and rankings,
//! without a future to wait for.

use pollster::block_on;

use crate::engine::messages::DeviceChoice;
use crate::engine::{DeviceError, Engine, EngineError, open_device};
use crate::hub::{self, HubError, LoadProgress, NativeModelFiles};
use crate::model::{Activation, WeightPrecision};
use crate::preprocess::{PreprocessError, decode};
use crate::zero_shot::{self, Ranked, Scoring};

/// Images per batch: large enough to keep a device busy.
const BATCH: usize = 16;

/// Error of [`load`] and of a [`ClipModel`].
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// The model's files are missing, unreadable or of another kind of model.
    #[error(transparent)]
    Model(#[from] HubError),
    /// The device that was asked for cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model could not compute, or labels or templates are invalid.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A file is no readable image; `index` counts the files of the call from 0.
    #[error("image {index}: {error}")]
    Image {
        /// Index of the file.
        index: usize,
        /// What is wrong with it.
        error: PreprocessError,
    },
}

/// Options of [`ClipModel::load`].
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Device to compute on.
    pub device: DeviceChoice,
    /// Precision of the weights: as stored, or 8 bits on the CPU.
    pub precision: WeightPrecision,
    /// Activation of the MLPs, for a lone weight file, which does not say it.
    pub activation: Option<Activation>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            device: DeviceChoice::Auto,
            precision: WeightPrecision::AsStored,
            activation: None,
        }
    }
}

/// Model on a device, ready to encode images and texts.
///
/// Every call waits for its result. Programs that must not wait use the [`Engine`]
/// inside, whose methods are `async`.
pub struct ClipModel {
    engine: Engine,
}

/// Loads a model onto a device.
///
/// `model` is a folder with a config and weights, a `.safetensors` file, `owner/name` or
/// `owner/name@revision` on the Hugging Face hub (with the feature `hub`), or `"bundled"`
/// for the small model that is part of this crate.
///
/// ```
/// use clip::DeviceChoice;
///
/// let mut model = clip::load("bundled", DeviceChoice::Cpu)?;
/// let image = model.image_features(&[std::fs::read("assets/samples/cat.jpg")?])?;
/// let texts = model.text_features(&["a photo of a cat", "a photo of a rocket"])?;
///
/// let cosines = clip::zero_shot::similarities(&image[0], &texts);
/// assert!(cosines[0] > cosines[1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn load(model: &str, device: DeviceChoice) -> Result<ClipModel, ClipError> {
    let options = LoadOptions {
        device,
        ..LoadOptions::default()
    };
    ClipModel::load(model, options, |_| ())
}

impl ClipModel {
    /// Loads a model as [`load`] does, with options. `on_progress` hears of every part of
    /// the weights that has been read or downloaded.
    ///
    /// ```
    /// use clip::{ClipModel, LoadOptions};
    /// use clip::model::WeightPrecision;
    ///
    /// let options = LoadOptions { precision: WeightPrecision::Int8, ..Default::default() };
    /// let model = ClipModel::load("bundled", options, |progress| println!("{progress:?}"))?;
    /// assert_eq!(model.embed_dim(), 256);
    /// # Ok::<(), clip::ClipError>(())
    /// ```
    pub fn load(
        model: &str,
        options: LoadOptions,
        mut on_progress: impl FnMut(LoadProgress),
    ) -> Result<Self, ClipError> {
        block_on(async {
            let files = NativeModelFiles::find(model)?;
            let bundle = hub::open(&files, options.activation).await?;
            let opened = open_device(options.device, |_| ()).await?;
            let progress = &mut on_progress;
            let engine = Engine::load(&files, bundle, opened, options.precision, progress).await?;
            Ok(Self { engine })
        })
    }

    /// Size of the joint embedding: the length of a feature vector.
    pub fn embed_dim(&self) -> usize {
        self.engine.model_info().embed_dim as usize
    }

    /// `logit_scale`, the logarithm of the inverse temperature.
    pub fn logit_scale(&self) -> f32 {
        self.engine.logit_scale()
    }

    /// How similarities become probabilities: by a softmax over the labels, or for each label
    /// by itself.
    pub fn scoring(&self) -> Scoring {
        self.engine.scoring()
    }

    /// Features of images, unit vectors `[images][embed_dim]`, from the bytes of PNG,
    /// JPEG, WebP, GIF or BMP files.
    pub fn image_features(&self, files: &[impl AsRef<[u8]>]) -> Result<Vec<Vec<f32>>, ClipError> {
        let mut features = Vec::with_capacity(files.len());
        for (start, batch) in (0..).step_by(BATCH).zip(files.chunks(BATCH)) {
            let pixels = (start..).zip(batch).map(|(index, file)| {
                let picture = decode(file.as_ref());
                let picture = picture.map_err(|error| ClipError::Image { index, error })?;
                Ok(self.engine.pixels(&picture))
            });
            let pixels = pixels.collect::<Result<Vec<_>, ClipError>>()?;
            features.extend(block_on(self.engine.image_features(&pixels))?);
        }
        Ok(features)
    }

    /// Features of texts, unit vectors `[texts][embed_dim]`. They are cached: a text is
    /// encoded once.
    pub fn text_features(&mut self, texts: &[impl AsRef<str>]) -> Result<Vec<Vec<f32>>, ClipError> {
        let encoded = block_on(self.engine.text_features(&strings(texts)))?;
        Ok(encoded.into_iter().map(|text| text.features).collect())
    }

    /// Labels ranked for an image, the most likely first, each put into
    /// [`zero_shot::DEFAULT_TEMPLATE`].
    ///
    /// ```
    /// # let mut model = clip::load("bundled", clip::DeviceChoice::Cpu)?;
    /// let cat = std::fs::read("assets/samples/cat.jpg")?;
    /// let ranking = model.classify(&cat, &["dog", "cat", "rabbit", "fox"])?;
    /// assert_eq!(ranking[0].label, "cat");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn classify(
        &mut self,
        file: &[u8],
        labels: &[impl AsRef<str>],
    ) -> Result<Vec<Ranked>, ClipError> {
        let ranked = self.classify_batch(&[file], labels, &[zero_shot::DEFAULT_TEMPLATE])?;
        Ok(ranked.into_iter().flatten().collect())
    }

    /// Labels ranked for each of several images. The text features of a label's prompts, one
    /// for each template, are averaged; `{label}` in a template stands for the label.
    ///
    /// ```
    /// # let mut model = clip::load("bundled", clip::DeviceChoice::Cpu)?;
    /// let images = [std::fs::read("assets/samples/cat.jpg")?];
    /// let templates = ["a photo of a {label}", "a close-up of a {label}"];
    /// let rankings = model.classify_batch(&images, &["dog", "cat", "fox"], &templates)?;
    /// assert_eq!(rankings[0].len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn classify_batch(
        &mut self,
        files: &[impl AsRef<[u8]>],
        labels: &[impl AsRef<str>],
        templates: &[impl AsRef<str>],
    ) -> Result<Vec<Vec<Ranked>>, ClipError> {
        let labels = strings(labels);
        let classifier = block_on(self.engine.classifier(&labels, &strings(templates)))?;
        let features = self.image_features(files)?;
        let ranked = (features.iter()).map(|image| self.engine.rank(image, &labels, &classifier));
        Ok(ranked.collect())
    }

    /// Engine of the model, for everything else: tokens, the model itself.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }
}

fn strings(texts: &[impl AsRef<str>]) -> Vec<String> {
    texts.iter().map(|text| text.as_ref().to_owned()).collect()
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;

    fn file(name: &str) -> Vec<u8> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/samples/");
        std::fs::read(format!("{root}{name}")).unwrap()
    }

    #[test]
    fn features_do_not_depend_on_the_batch() {
        let model = load("bundled", DeviceChoice::Cpu).unwrap();
        let files = [file("cat.jpg"), file("pizza.png")];
        let many: Vec<_> = files.iter().cycle().take(BATCH + 3).collect();
        let found = model.image_features(&many).unwrap();
        assert_eq!(found.len(), BATCH + 3);
        let alone = model.image_features(&files[1..]).unwrap();
        for (a, b) in alone[0].iter().zip(&found[BATCH + 1]) {
            assert!((a - b).abs() < 1e-4);
        }
    }

    #[test]
    fn a_bad_image_is_named_by_its_index() {
        let model = load("bundled", DeviceChoice::Cpu).unwrap();
        let files = [file("cat.jpg"), b"no image".to_vec()];
        let error = model.image_features(&files).unwrap_err();
        assert!(
            matches!(error, ClipError::Image { index: 1, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_missing_model_can_be_matched() {
        let error = load("no/such/model", DeviceChoice::Cpu).err().unwrap();
        assert!(
            matches!(error, ClipError::Model(HubError::NotFound(..))),
            "{error}"
        );
    }
}
