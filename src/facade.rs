//! Front door for programs outside a browser: a model by name, and its features and
//! rankings, without a future to wait for.

use pollster::block_on;

use crate::engine::messages::DeviceChoice;
use crate::engine::{DeviceError, Engine, EngineError, open_device};
use crate::hub::{self, HubError, NativeModelFiles};
use crate::model::WeightPrecision;
use crate::preprocess::{PreprocessError, decode};
use crate::zero_shot::{self, Ranked};

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
    /// The model could not compute, or the question has no answer.
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
    block_on(async {
        let files = NativeModelFiles::find(model)?;
        let bundle = hub::open(&files, None).await?;
        let opened = open_device(device, |_| ()).await?;
        let precision = WeightPrecision::AsStored;
        let engine = Engine::load(&files, bundle, opened, precision, &mut |_| ()).await?;
        Ok(ClipModel { engine })
    })
}

impl ClipModel {
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
        let labels = strings(labels);
        let templates = [zero_shot::DEFAULT_TEMPLATE.to_owned()];
        let classifier = block_on(self.engine.classifier(&labels, &templates))?;
        let features = self.image_features(&[file])?;
        let ranked = (features.iter()).map(|image| self.engine.rank(image, &labels, &classifier));
        Ok(ranked.flatten().collect())
    }

    /// The engine, for everything else: ensembles of templates, tokens, the model itself.
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
