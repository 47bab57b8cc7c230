//! Where the files of a model come from, and what they say together.
//!
//! A model is a folder: config, weights, perhaps a tokenizer and the way its
//! pictures are prepared. The same code opens one that ships with the program,
//! a folder on disk and one that a page fetches, through [`ModelFiles`].

#[cfg(target_arch = "wasm32")]
mod fetched;
#[cfg(not(target_arch = "wasm32"))]
mod local;

#[cfg(target_arch = "wasm32")]
pub use fetched::Fetched;
#[cfg(not(target_arch = "wasm32"))]
pub use local::{Bundled, Folder};

use std::rc::Rc;

use crate::model::{ClipConfig, ConfigError};
use crate::preprocess::{PreprocessConfig, PreprocessError};
use crate::tokenizer::{CLIP_VOCABULARY_SIZE, SpecialIds, Tokenizer, TokenizerError};

/// The files of the model that ships with the project (`assets/model`).
pub const BUNDLED_FILES: &[&str] = &[
    "open_clip_config.json",
    "open_clip_model.safetensors",
    "tokenizer.json",
];

/// Reads files of one model by name.
#[allow(async_fn_in_trait)] // one thread, in the worker and in the command
pub trait ModelFiles {
    /// For people: what this model is called.
    fn name(&self) -> String;

    /// A file's bytes; `None` where there is no such file. `progress` is told
    /// the bytes read so far and how many there are (0 when unknown).
    async fn read(
        &self,
        file: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<Vec<u8>>, HubError>;

    /// CLIP's own vocabulary (`assets/clip_vocabulary`), for models without one.
    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError>;
}

/// Why a model's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("{file} could not be read: {why}")]
    Read { file: String, why: String },
    #[error(
        "{0} holds no CLIP: expected config.json and model.safetensors, or \
         open_clip_config.json and open_clip_model.safetensors"
    )]
    NoModel(String),
    #[error("{config} is there, but its weights, {weights}, are not")]
    NoWeights {
        config: &'static str,
        weights: &'static str,
    },
    #[error(
        "the model sees pictures of {seen} x {seen} pixels, but its preprocessor config makes \
         them {prepared} x {prepared}: the files do not belong together"
    )]
    ImageSize { prepared: usize, seen: usize },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error("the model's preprocessor config: {0}")]
    Preprocess(#[from] PreprocessError),
}

/// A model's files, read and understood; the weights still as bytes. Cheap to
/// clone: a device that fails is followed by another with the same files.
#[derive(Clone)]
pub struct ModelBundle {
    pub name: String,
    pub config: ClipConfig,
    pub preprocess: PreprocessConfig,
    pub tokenizer: Rc<Tokenizer>,
    /// A safetensors file.
    pub weights: Rc<[u8]>,
    /// Size of all files together.
    pub bytes: u64,
}

/// Reads a model. `progress` is told the bytes of the weights as they come.
pub async fn open(
    files: &impl ModelFiles,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ModelBundle, HubError> {
    let mut reader = Reader { files, bytes: 0 };
    let found = match reader.optional("config.json").await? {
        // timm's repositories hold a config.json of their own beside OpenCLIP's.
        Some(json) if is_hugging_face(&json) => Some((json, Kind::HuggingFace)),
        _ => (reader.optional("open_clip_config.json").await?).map(|json| (json, Kind::OpenClip)),
    };
    let Some((json, kind)) = found else {
        return Err(HubError::NoModel(files.name()));
    };
    let (config, config_file, weights_file) = match kind {
        Kind::HuggingFace => (
            ClipConfig::from_hugging_face(&json)?,
            "config.json",
            "model.safetensors",
        ),
        Kind::OpenClip => (
            ClipConfig::from_open_clip(&json)?,
            "open_clip_config.json",
            "open_clip_model.safetensors",
        ),
    };
    let size = config.vision.image_size();
    let preprocess = match kind {
        Kind::OpenClip => PreprocessConfig::from_open_clip(&json)?,
        Kind::HuggingFace => match reader.optional("preprocessor_config.json").await? {
            Some(json) => PreprocessConfig::from_hugging_face(&json)?,
            None => PreprocessConfig::openai(size),
        },
    };
    if preprocess.image_size != size {
        return Err(HubError::ImageSize {
            prepared: preprocess.image_size,
            seen: size,
        });
    }
    let tokenizer = reader.tokenizer(&config).await?;
    let weights = (files.read(weights_file, progress).await?).ok_or(HubError::NoWeights {
        config: config_file,
        weights: weights_file,
    })?;
    Ok(ModelBundle {
        name: named(&json).unwrap_or_else(|| files.name()),
        config,
        preprocess,
        tokenizer: Rc::new(tokenizer),
        bytes: reader.bytes + weights.len() as u64,
        weights: weights.into(),
    })
}

#[derive(Clone, Copy)]
enum Kind {
    HuggingFace,
    OpenClip,
}

fn is_hugging_face(config: &[u8]) -> bool {
    serde_json::from_slice(config).is_ok_and(|value: serde_json::Value| {
        value.get("vision_config").is_some() || value.get("model_type").is_some()
    })
}

/// What a model's config calls it.
fn named(config: &[u8]) -> Option<String> {
    let config: serde_json::Value = serde_json::from_slice(config).ok()?;
    let name = config.get("_name_or_path")?.as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Reads the small files and counts their bytes.
struct Reader<'a, F> {
    files: &'a F,
    bytes: u64,
}

impl<F: ModelFiles> Reader<'_, F> {
    async fn optional(&mut self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
        let bytes = self.files.read(file, &mut |_, _| ()).await?;
        self.bytes += bytes.as_ref().map_or(0, |b| b.len() as u64);
        Ok(bytes)
    }

    /// The model's own tokenizer where its folder has one, else CLIP's.
    async fn tokenizer(&mut self, config: &ClipConfig) -> Result<Tokenizer, HubError> {
        let length = config.text.context_length;
        let special = SpecialIds {
            end_of_text: config.text.eos_token_id,
            pad: None,
        };
        if let Some(json) = self.optional("tokenizer.json").await? {
            return Ok(Tokenizer::from_json(&json, length, special)?);
        }
        // A vocabulary of CLIP's size is CLIP's; only others need their own files.
        if config.text.vocab_size != CLIP_VOCABULARY_SIZE {
            let vocabulary = self.optional("vocab.json").await?;
            let merges = self.optional("merges.txt").await?;
            if let (Some(vocabulary), Some(merges)) = (vocabulary, merges) {
                let merges = String::from_utf8_lossy(&merges);
                return Ok(Tokenizer::from_vocabulary(
                    &vocabulary,
                    &merges,
                    length,
                    special,
                )?);
            }
        }
        let vocabulary = self.files.clip_vocabulary().await?;
        Ok(Tokenizer::clip(&vocabulary, length)?)
    }
}
