//! Where the files of a model come from, and what they say together.
//!
//! A model is a folder: config, weights, perhaps a tokenizer and the way its
//! pictures are prepared; or weights alone. The same code opens one that ships
//! with the program, a folder on disk, one that is dropped on the page, and one
//! on a hub, through [`ModelFiles`].

#[cfg(target_arch = "wasm32")]
mod dropped;
#[cfg(target_arch = "wasm32")]
mod either;
#[cfg(target_arch = "wasm32")]
mod fetched;
#[cfg(target_arch = "wasm32")]
pub mod kept;
#[cfg(not(target_arch = "wasm32"))]
mod local;
#[cfg(all(feature = "command", not(target_arch = "wasm32")))]
mod remote;

#[cfg(target_arch = "wasm32")]
pub use dropped::Dropped;
#[cfg(target_arch = "wasm32")]
pub use either::Either;
#[cfg(target_arch = "wasm32")]
pub use fetched::Fetched;
#[cfg(not(target_arch = "wasm32"))]
pub use local::{Bundled, Folder};
#[cfg(all(feature = "command", not(target_arch = "wasm32")))]
pub use remote::Remote;

use std::ops::ControlFlow;
use std::rc::Rc;

use burn::tensor::Device;

use crate::model::{Activation, Clip, ClipConfig, ConfigError, Packing};
use crate::preprocess::{PreprocessConfig, PreprocessError};
use crate::tokenizer::{CLIP_VOCABULARY_SIZE, SpecialIds, Tokenizer, TokenizerError};
use crate::weights::{self, HeaderReader, Inferred, Loader, WeightsError};

/// The files of the model that ships with the project (`assets/model`).
pub const BUNDLED_FILES: &[&str] = &[
    "open_clip_config.json",
    "open_clip_model.safetensors",
    "tokenizer.json",
];

/// Bytes of a file on their way.
pub struct Piece<'a> {
    /// Where in the file they lie. 0 begins anew: what came before is void (the
    /// file changed under way).
    pub offset: u64,
    pub bytes: &'a [u8],
    /// Length of the whole file; 0 when unknown.
    pub total: u64,
}

impl Piece<'_> {
    /// The whole file up to and with this piece.
    pub fn done(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// Takes a file piece by piece; `Break` when it has seen enough.
pub type Take<'a> = dyn FnMut(Piece) -> Result<ControlFlow<()>, HubError> + 'a;

/// Reads files of one model by name.
#[allow(async_fn_in_trait)] // one thread, in the worker and in the command
pub trait ModelFiles {
    /// For people: what this model is called.
    fn name(&self) -> String;

    /// The weights file, where somebody named it.
    fn weights(&self) -> Option<String> {
        None
    }

    /// A small file whole; `None` where there is no such file.
    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError>;

    /// Gives a file to `take` as it comes; `false` where there is no such file.
    async fn stream(&self, file: &str, take: &mut Take<'_>) -> Result<bool, HubError>;

    /// CLIP's own vocabulary (`assets/clip_vocabulary`), for models without one.
    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError>;
}

/// Why a model's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("{file} could not be read: {why}")]
    Read { file: String, why: String },
    #[error(
        "{0} does not contain a CLIP model: expected config.json and model.safetensors, or \
         open_clip_config.json and open_clip_model.safetensors, or a .safetensors file alone"
    )]
    NoModel(String),
    #[error(
        "{config} was found, but its weights, {weights}, were not (other formats, such as \
         pytorch_model.bin, are not supported)"
    )]
    NoWeights {
        config: &'static str,
        weights: String,
    },
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("{0}")]
    Refused(String),
    #[error(
        "the model takes images of {seen} x {seen} pixels, but its preprocessor config makes \
         them {prepared} x {prepared}: the files do not match"
    )]
    ImageSize { prepared: usize, seen: usize },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error("the model's preprocessor config: {0}")]
    Preprocess(#[from] PreprocessError),
}

/// A model's small files, read and understood. Cheap to clone: a device that
/// fails is followed by another with the same files.
#[derive(Clone)]
pub struct ModelBundle {
    pub name: String,
    pub config: ClipConfig,
    pub preprocess: PreprocessConfig,
    pub tokenizer: Rc<Tokenizer>,
    /// Names that the safetensors file may have.
    pub weights: Vec<String>,
    /// The config that speaks of it; none where there is none.
    config_file: Option<&'static str>,
    /// Size of the small files together.
    pub bytes: u64,
    /// What was taken for granted, in words.
    pub notes: Vec<String>,
}

/// Reads everything of a model but its weights. `activation` is for weights
/// without a config, which do not show it.
pub async fn open(
    files: &impl ModelFiles,
    activation: Option<Activation>,
) -> Result<ModelBundle, HubError> {
    let mut reader = Reader { files, bytes: 0 };
    let found = match reader.optional(HUGGING_FACE_CONFIG).await? {
        // timm's repositories hold a config.json of their own beside OpenCLIP's.
        Some(json) if is_hugging_face(&json) => Some((json, Kind::HuggingFace)),
        _ => (reader.optional(OPEN_CLIP_CONFIG).await?).map(|json| (json, Kind::OpenClip)),
    };
    let Some((json, kind)) = found else {
        return reader.lone_weights(activation).await;
    };
    let (config, config_file, weights_files) = match kind {
        Kind::HuggingFace => (
            ClipConfig::from_hugging_face(&json)?,
            HUGGING_FACE_CONFIG,
            [HUGGING_FACE_WEIGHTS].as_slice(),
        ),
        Kind::OpenClip => (
            ClipConfig::from_open_clip(&json)?,
            OPEN_CLIP_CONFIG,
            OPEN_CLIP_WEIGHTS.as_slice(),
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
    Ok(ModelBundle {
        name: named(&json).unwrap_or_else(|| files.name()),
        tokenizer: reader.tokenizer(&config).await?,
        config,
        preprocess,
        weights: match files.weights() {
            Some(named) => vec![named],
            None => weights_files.iter().map(|name| (*name).into()).collect(),
        },
        config_file: Some(config_file),
        bytes: reader.bytes,
        notes: Vec::new(),
    })
}

/// How far the weights are.
#[derive(Clone, Copy, Debug)]
pub struct LoadProgress {
    pub bytes: u64,
    /// 0 when unknown.
    pub total_bytes: u64,
}

/// A model on its device.
pub struct Loaded {
    pub model: Clip,
    /// Size of the weights file.
    pub bytes: u64,
    /// Whether its matrices are kept as f16.
    pub f16: bool,
    /// How many numbers it has.
    pub parameters: u64,
}

/// Streams a model's weights to `device`: what is held on the way is one
/// parameter. With a `packing` it is for answering only, see [`Loader::packed`];
/// to be trained or saved it has to be as it comes, in f32.
pub async fn load(
    files: &impl ModelFiles,
    bundle: &ModelBundle,
    device: &Device,
    packing: Option<Packing>,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<Loaded, HubError> {
    let mut loader = None;
    let mut done = 0;
    let mut take = |piece: Piece| {
        if piece.offset == 0 {
            loader = None;
        }
        let loader = loader.get_or_insert_with(|| {
            let loader = Loader::new(&bundle.config, device, piece.total);
            match packing {
                Some(packing) => loader.packed(packing),
                None => loader,
            }
        });
        loader.push(piece.bytes)?;
        done = piece.done();
        progress(LoadProgress {
            bytes: done,
            total_bytes: piece.total,
        });
        Ok(ControlFlow::Continue(()))
    };
    let mut found = false;
    for weights in &bundle.weights {
        found = found || files.stream(weights, &mut take).await?;
    }
    match (found, loader) {
        (false, _) => Err(match bundle.config_file {
            None => HubError::NoModel(files.name()),
            Some(config) => HubError::NoWeights {
                config,
                weights: bundle.weights.join(" or "),
            },
        }),
        (true, None) => Err(WeightsError::NotSafetensors("it is empty").into()),
        (true, Some(loader)) => Ok(Loaded {
            f16: loader.keeps_f16(),
            parameters: loader.parameters(),
            bytes: done,
            model: loader.finish()?,
        }),
    }
}

const HUGGING_FACE_CONFIG: &str = "config.json";
const HUGGING_FACE_WEIGHTS: &str = "model.safetensors";
const OPEN_CLIP_CONFIG: &str = "open_clip_config.json";
/// The second is what a conversion of OpenCLIP's older files is called.
const OPEN_CLIP_WEIGHTS: [&str; 2] = [
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
];

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
        let bytes = self.files.read(file).await?;
        self.bytes += bytes.as_ref().map_or(0, |b| b.len() as u64);
        Ok(bytes)
    }

    /// Weights without a config: what they say themselves.
    async fn lone_weights(
        mut self,
        activation: Option<Activation>,
    ) -> Result<ModelBundle, HubError> {
        let candidates = match self.files.weights() {
            Some(weights) => vec![weights],
            None => ([HUGGING_FACE_WEIGHTS].iter().chain(&OPEN_CLIP_WEIGHTS))
                .map(|name| (*name).into())
                .collect(),
        };
        for weights in candidates {
            let mut reader = HeaderReader::default();
            let mut header = None;
            let mut take = |piece: Piece| {
                if piece.offset == 0 {
                    reader = HeaderReader::default();
                }
                header = reader.push(piece.bytes)?.map(|(header, _)| header);
                Ok(match header {
                    Some(_) => ControlFlow::Break(()),
                    None => ControlFlow::Continue(()),
                })
            };
            if !self.files.stream(&weights, &mut take).await? {
                continue;
            }
            let header = header.ok_or(WeightsError::NotSafetensors(
                "it ends before its header does",
            ))?;
            let Inferred { config, note } = weights::infer(&header, activation)?;
            return Ok(ModelBundle {
                name: self.files.name(),
                preprocess: PreprocessConfig::openai(config.vision.image_size()),
                tokenizer: self.tokenizer(&config).await?,
                config,
                weights: vec![weights],
                config_file: None,
                bytes: self.bytes,
                notes: vec![note],
            });
        }
        Err(HubError::NoModel(self.files.name()))
    }

    /// The model's own tokenizer where its folder has one, else CLIP's.
    async fn tokenizer(&mut self, config: &ClipConfig) -> Result<Rc<Tokenizer>, HubError> {
        let length = config.text.context_length;
        let special = SpecialIds {
            end_of_text: config.text.eos_token_id,
            pad: None,
        };
        if let Some(json) = self.optional("tokenizer.json").await? {
            return Ok(Rc::new(Tokenizer::from_json(&json, length, special)?));
        }
        // A vocabulary of CLIP's size is CLIP's; only others need their own files.
        if config.text.vocab_size != CLIP_VOCABULARY_SIZE {
            let vocabulary = self.optional("vocab.json").await?;
            let merges = self.optional("merges.txt").await?;
            if let (Some(vocabulary), Some(merges)) = (vocabulary, merges) {
                let merges = String::from_utf8_lossy(&merges);
                let tokenizer = Tokenizer::from_vocabulary(&vocabulary, &merges, length, special)?;
                return Ok(Rc::new(tokenizer));
            }
        }
        let vocabulary = self.files.clip_vocabulary().await?;
        Ok(Rc::new(Tokenizer::clip(&vocabulary, length)?))
    }
}
