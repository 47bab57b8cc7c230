//! Files of a model by name, and the bundle of its config, tokenizer and preprocessing.

use std::ops::ControlFlow;
use std::rc::Rc;

use burn::tensor::Device;

use super::token_rows::{TokenRows, TokenTable};
use super::twins::twin;
use super::{ModelLocation, ModelLocationError, shards};
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::model::{
    Activation, Clip, ClipConfig, ConfigError, StoredPrecision, VisionConfig, VitPooling,
    WeightPrecision,
};
use crate::preprocess::{PreprocessConfig, PreprocessError};
use crate::tokenizer::{
    CLIP_VOCABULARY_SIZE, Cleaning, SpecialIds, Tokenizer, TokenizerError, TokenizerFile,
};
use crate::weights::{self, Header, HeaderReader, Inferred, Loader, WeightsError};

/// Files of the bundled model (`assets/model`).
pub const BUNDLED_FILES: &[&str] = &[
    OPEN_CLIP_CONFIG,
    "open_clip_model.safetensors",
    "tokenizer.json",
];

/// Chunk of a file.
pub struct Chunk<'a> {
    /// Offset in the file. 0 restarts it: earlier chunks are void (the file changed
    /// during the download).
    pub offset: u64,
    /// Contents.
    pub bytes: &'a [u8],
    /// Length of the whole file; 0 when unknown.
    pub total: u64,
    /// Progress to show, which is that of a download if the file is a smaller copy of it.
    pub progress: LoadProgress,
}

impl<'a> Chunk<'a> {
    /// Chunk of a file as it is stored.
    pub fn new(offset: u64, bytes: &'a [u8], total: u64) -> Self {
        let progress = LoadProgress {
            bytes: offset + bytes.len() as u64,
            total_bytes: total,
        };
        Self {
            offset,
            bytes,
            total,
            progress,
        }
    }

    /// Bytes up to and including this chunk.
    pub fn done(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// Sink of a file's chunks; `Break` when it has seen enough.
pub type ChunkSink<'a> = dyn FnMut(Chunk) -> Result<ControlFlow<()>, HubError> + 'a;

/// Source of one model's files, by name.
#[allow(async_fn_in_trait)] // one thread, in the worker and in the command
pub trait ModelFiles {
    /// Display name of the model.
    fn name(&self) -> String;

    /// Name of the weights file, if it was given.
    fn weights(&self) -> Option<String> {
        None
    }

    /// Reads a small file; `None` if there is none.
    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError>;

    /// Streams a file to `sink`; `false` if there is none.
    async fn stream(&self, file: &str, sink: &mut ChunkSink<'_>) -> Result<bool, HubError>;

    /// Rows of the token embedding, if [`stream`](Self::stream) gave weights without them.
    fn token_rows(&self) -> Option<Rc<dyn TokenRows>> {
        None
    }

    /// CLIP's own vocabulary (`assets/clip_vocabulary`), for models without one.
    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError>;

    /// Files of another model of the same hub, by its name there.
    fn other(&self, _name: &str) -> Result<Option<Self>, HubError>
    where
        Self: Sized,
    {
        Ok(None)
    }

    /// Files of the same model in which the hub's bot has converted its weights to safetensors,
    /// for a repository that has none.
    async fn converted(&self) -> Result<Option<Self>, HubError>
    where
        Self: Sized,
    {
        Ok(None)
    }
}

/// Error of a model's files.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum HubError {
    /// File that cannot be read or fetched.
    Read {
        /// Path or name of the file.
        file: String,
        /// The system's or the server's reason.
        why: String,
    },
    /// List of a repository's pull requests that cannot be fetched.
    PullRequests {
        /// Name of the repository.
        name: String,
        /// The system's or the server's reason.
        why: String,
    },
    /// Folder or repository without a CLIP model.
    NoModel(String),
    /// Config without weights.
    NoWeights {
        /// File name of the config.
        config: &'static str,
        /// File names that the weights may have.
        weights: String,
    },
    /// Repository whose weights are not safetensors, but which another has as such.
    Twin {
        /// Name that was asked for.
        name: String,
        /// Name of the same model.
        twin: &'static str,
    },
    /// Weights in several files, by the name of their index or of one of them.
    Shards(String),
    /// Index of weights in several files that cannot be used.
    Index {
        /// File name of the index.
        index: String,
        /// What is wrong with it.
        why: String,
    },
    /// Model with a vocabulary of its own, without its tokenizer.
    NoTokenizer(usize),
    /// Weights that cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Request that the source refuses, in words.
    Refused(Diagnostic),
    /// Text that is neither a path nor a name on the hub.
    NotFound(String, ModelLocationError),
    /// Name on the hub, in a program without the feature `hub`.
    NoHub(ModelLocation),
    /// Preprocessing for another image size.
    ImageSize {
        /// Image size of the preprocessing.
        prepared: usize,
        /// Image size of the model.
        seen: usize,
    },
    /// Config that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Tokenizer that cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Preprocessing config that cannot be used.
    Preprocess(#[from] PreprocessError),
}

impl ToDiagnostic for HubError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Read { file, why } => diagnostic!("unreadable", "{file} could not be read: {reason}", file, reason = why),
            Self::PullRequests { name, why } => diagnostic!("no-pull-requests", "the list of pull requests of {name} could not be read: {reason}", name, reason = why),
            Self::NoModel(name) => diagnostic!("no-clip-model", "{name} does not contain a CLIP model: expected config.json and model.safetensors, or open_clip_config.json and open_clip_model.safetensors, or a .safetensors file alone", name),
            Self::NoWeights { config, weights } => diagnostic!("no-weights", "{config} was found, but its weights, {weights}, were not (other formats, such as pytorch_model.bin, are not supported)", config, weights),
            Self::Twin { name, twin } => diagnostic!("twin", "{name} has no safetensors, but its weights are also published as {twin}: open that model", name, twin),
            Self::Shards(file) => diagnostic!("weights-in-parts", "the weights are in several files ({file}): open the folder that has all of them, with their index and their config", file),
            Self::Index { index, why } => diagnostic!("weights-index", "{index} cannot be used: {reason}", index, reason = why),
            Self::NoTokenizer(size) => diagnostic!("no-tokenizer", "the model has a vocabulary of its own ({size} tokens), but there is no file of a tokenizer beside it: tokenizer.json, or for SigLIP spiece.model or tokenizer.model", size),
            Self::Weights(error) => error.to_diagnostic(),
            Self::Refused(reason) => reason.clone(),
            // In the command alone.
            Self::NotFound(path, error) => format!("no such file or folder: {path}; {error}").into(),
            Self::NoHub(location) => format!("{location} is not on disk, and this program was built without access to a hub (feature `hub`)").into(),
            Self::ImageSize { prepared, seen } => diagnostic!("image-sizes-differ", "the model takes images of {seen} x {seen} pixels, but its preprocessor config makes them {prepared} x {prepared}: the files do not match", seen, prepared),
            Self::Config(error) => error.to_diagnostic(),
            Self::Tokenizer(error) => error.to_diagnostic(),
            Self::Preprocess(error) => diagnostic!("preprocessor-config", "the model's preprocessor config: {reason}", reason = error),
        }
    }
}

/// Parsed small files of a model. Cheap to clone: after a device fails, another opens the
/// same bundle.
#[derive(Clone)]
pub struct ModelBundle {
    /// Display name of the model.
    pub name: String,
    /// Configuration of the model.
    pub config: ClipConfig,
    /// Preprocessing of pictures.
    pub preprocess: PreprocessConfig,
    /// Tokenizer of texts.
    pub tokenizer: Rc<Tokenizer>,
    /// Possible names of the safetensors file.
    pub weights: Vec<String>,
    /// Config that implies these weights, if any.
    pub config_file: Option<&'static str>,
    /// Total size of the small files.
    pub bytes: u64,
    /// Assumptions made, for display.
    pub notes: Vec<Diagnostic>,
}

/// Reads everything but the weights. `activation` applies to weights without a config,
/// from which it cannot be inferred.
pub async fn open(
    files: &impl ModelFiles,
    activation: Option<Activation>,
) -> Result<ModelBundle, HubError> {
    let mut reader = Reader { files, bytes: 0 };
    // Weights that were named may lie beside the config of another model.
    let header = match files.weights() {
        Some(weights) => reader.header(&weights).await?,
        None => None,
    };
    let mut notes = Vec::new();
    let mut fitting = Vec::new();
    let mut refused = Vec::new();
    for kind in Kind::in_order(header.as_ref()) {
        let json = match reader.optional(kind.config_file()).await {
            // Offline, a second config may be out of reach.
            Err(_) if !fitting.is_empty() => None,
            json => json?,
        };
        let Some(json) = json else {
            continue;
        };
        // timm's repositories have a config.json of their own next to OpenCLIP's.
        if matches!(kind, Kind::HuggingFace) && !is_hugging_face(&json) {
            continue;
        }
        let config = match kind {
            Kind::HuggingFace => ClipConfig::from_hugging_face(&json),
            Kind::OpenClip => ClipConfig::from_open_clip(&json),
        };
        let config = match config {
            Ok(config) => config,
            // It may be that of the weights, whose shapes do not tell what is refused in it.
            Err(error) => {
                refused.push(error.into());
                continue;
            }
        };
        let misfit = (header.as_ref()).and_then(|header| weights::misfit(header, &config));
        if let Some(reason) = misfit {
            notes.push(diagnostic!(
                "config-not-used",
                "{file} beside the weights belongs to another model and was not used: {reason}",
                file = kind.config_file(),
                reason
            ));
            continue;
        }
        fitting.push((json, kind, config));
        if header.is_some() {
            break;
        }
    }
    // Of several configs, the first whose weights are there and fit, or the first if there are
    // no weights at all: they may be found elsewhere.
    if fitting.len() > 1 {
        let mut pair = None;
        let mut without_weights = None;
        for (json, kind, config) in fitting {
            match reader.misfit(kind, &config).await? {
                None => pair = Some((json, kind, config)),
                Some(HubError::NoWeights { .. }) if without_weights.is_none() => {
                    without_weights = Some((json, kind, config));
                    refused.push(kind.no_weights());
                }
                Some(error) => refused.push(error),
            }
            if pair.is_some() {
                break;
            }
        }
        let all_missing = (refused.iter()).all(|e| matches!(e, HubError::NoWeights { .. }));
        if pair.is_none() && all_missing {
            pair = without_weights;
            refused.clear();
        }
        fitting = pair.into_iter().collect();
    }
    let Some((json, kind, config)) = fitting.into_iter().next() else {
        if let Some(error) = all_of(refused) {
            return Err(missing_weights(files, error).await);
        }
        let mut bundle = reader.lone_weights(activation).await?;
        bundle.notes.splice(0..0, notes);
        return Ok(bundle);
    };
    notes.extend((refused.iter()).map(|error| diagnostic!("left-out", "not used: {error}", error)));
    let size = config.vision.image_size();
    let preprocess = match kind {
        Kind::OpenClip => PreprocessConfig::from_open_clip(&json)?,
        Kind::HuggingFace => reader.hugging_face_preprocess(&config).await?,
    };
    if preprocess.image_size != size {
        return Err(HubError::ImageSize {
            prepared: preprocess.image_size,
            seen: size,
        });
    }
    Ok(ModelBundle {
        name: named(&json).unwrap_or_else(|| files.name()),
        tokenizer: match kind {
            Kind::OpenClip => {
                let cleaning = Cleaning::from_open_clip(&json)?;
                reader.tokenizer(&config, cleaning).await?
            }
            Kind::HuggingFace => reader.tokenizer(&config, None).await?,
        },
        config,
        preprocess,
        weights: match files.weights() {
            Some(named) => vec![named],
            None => kind.weights().iter().map(|name| (*name).into()).collect(),
        },
        config_file: Some(kind.config_file()),
        bytes: reader.bytes,
        notes,
    })
}

/// Progress of loading the weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadProgress {
    /// Bytes so far.
    pub bytes: u64,
    /// 0 when unknown.
    pub total_bytes: u64,
}

/// Model loaded on its device.
pub struct Loaded {
    /// The model.
    pub model: Clip,
    /// Size of the weights file.
    pub bytes: u64,
    /// Precision of the matrices in the file; f16 only if they stay so.
    pub stored_precision: StoredPrecision,
    /// Number of parameters.
    pub parameters: u64,
    /// Token embedding, if it stays out of the model.
    pub token_table: Option<TokenTable>,
    /// Where the weights are from, if not from the model's own files, for display.
    pub note: Option<Diagnostic>,
}

/// What a model is loaded for. The default is training and saving, which need it unpacked, in f32.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadTarget {
    /// For inference only, see [`Loader::packed`].
    pub packing: Option<WeightPrecision>,
    /// Largest tensor of the device, bytes, see [`Loader::max_tensor_bytes`].
    pub max_tensor_bytes: Option<u64>,
}

/// Streams a model's weights to `device`, one parameter in memory at a time.
pub async fn load(
    files: &impl ModelFiles,
    bundle: &ModelBundle,
    device: &Device,
    target: LoadTarget,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<Loaded, HubError> {
    let mut loader = None;
    let mut done = 0;
    let mut sink = |chunk: Chunk| {
        if chunk.offset == 0 {
            loader = None;
        }
        let loader = loader.get_or_insert_with(|| {
            let loader = Loader::new(&bundle.config, device, chunk.total)
                .max_tensor_bytes(target.max_tensor_bytes);
            match target.packing {
                Some(packing) => loader.packed(packing),
                None => loader,
            }
        });
        loader.push(chunk.bytes)?;
        done = chunk.done();
        progress(chunk.progress);
        Ok(ControlFlow::Continue(()))
    };
    let note = stream_weights(files, bundle, &mut sink).await?;
    match loader {
        None => Err(WeightsError::NotSafetensors("it is empty").into()),
        Some(mut loader) => {
            let token_table = (loader.row_format().cloned())
                .map(|format| match loader.take_held_rows() {
                    Some(bytes) => Ok(TokenTable::held(format, bytes)),
                    None => TokenTable::fetched(format, files.token_rows()),
                })
                .transpose()?;
            Ok(Loaded {
                stored_precision: loader.stored_precision(),
                parameters: loader.parameters(),
                token_table,
                bytes: done,
                model: loader.finish()?,
                note,
            })
        }
    }
}

/// Streams a model's weights to `sink`, from one file or several. Where there are none, but another repository
/// has the same, or the hub's bot has converted them, those are taken, and a note says so.
pub async fn stream_weights(
    files: &impl ModelFiles,
    bundle: &ModelBundle,
    sink: &mut ChunkSink<'_>,
) -> Result<Option<Diagnostic>, HubError> {
    if stream_any(files, &bundle.weights, sink).await? {
        return Ok(None);
    }
    let name = files.name();
    let mut twin_error = None;
    if let Some(twin) = twin(&name)
        && let Some(other) = files.other(twin)?
    {
        match stream_any(&other, &OPEN_CLIP_WEIGHTS.map(Into::into), sink).await {
            Ok(true) => {
                return Ok(Some(diagnostic!(
                    "twin-taken",
                    "{name} has no safetensors; its weights were taken from {place}, where the same ones are",
                    name,
                    place = twin
                )));
            }
            Ok(false) => {}
            Err(error @ HubError::Weights(_)) => return Err(error),
            // A mirror of the hub need not have it.
            Err(error) => twin_error = Some(error),
        }
    }
    if let Some(converted) = files.converted().await?
        && stream_any(&converted, &bundle.weights, sink).await?
    {
        return Ok(Some(diagnostic!(
            "converted",
            "{name} has no safetensors; its weights were taken from {place}, where the hub's bot has converted them",
            name,
            place = converted.name()
        )));
    }
    if let Some(error) = twin_error {
        return Err(error);
    }
    let error = match bundle.config_file {
        None => HubError::NoModel(name),
        Some(config) => HubError::NoWeights {
            config,
            weights: bundle.weights.join(" or "),
        },
    };
    Err(missing_weights(files, error).await)
}

/// Streams the first weights of those names that are there; `false` if none are.
async fn stream_any(
    files: &impl ModelFiles,
    names: &[String],
    sink: &mut ChunkSink<'_>,
) -> Result<bool, HubError> {
    for name in names {
        if files.stream(name, sink).await? {
            return Ok(true);
        }
    }
    for name in names {
        if shards::stream(files, name, sink).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Name of the config of a model in Hugging Face's layout.
pub const HUGGING_FACE_CONFIG: &str = "config.json";
const HUGGING_FACE_WEIGHTS: &str = "model.safetensors";
/// Name of the config of a model in OpenCLIP's layout.
pub const OPEN_CLIP_CONFIG: &str = "open_clip_config.json";
/// The second is the name after a conversion of OpenCLIP's older files.
const OPEN_CLIP_WEIGHTS: [&str; 2] = [
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
];

#[derive(Clone, Copy)]
enum Kind {
    HuggingFace,
    OpenClip,
}

impl Kind {
    /// The kind that names tensors as the file does first.
    fn in_order(header: Option<&Header>) -> [Self; 2] {
        match header.map(Header::key_map) {
            Some(key_map) if !key_map.is_hugging_face() => [Self::OpenClip, Self::HuggingFace],
            _ => [Self::HuggingFace, Self::OpenClip],
        }
    }

    fn config_file(self) -> &'static str {
        match self {
            Self::HuggingFace => HUGGING_FACE_CONFIG,
            Self::OpenClip => OPEN_CLIP_CONFIG,
        }
    }

    fn weights(self) -> &'static [&'static str] {
        match self {
            Self::HuggingFace => &[HUGGING_FACE_WEIGHTS],
            Self::OpenClip => &OPEN_CLIP_WEIGHTS,
        }
    }

    fn no_weights(self) -> HubError {
        HubError::NoWeights {
            config: self.config_file(),
            weights: self.weights().join(" or "),
        }
    }
}

/// One error of several.
fn all_of(mut errors: Vec<HubError>) -> Option<HubError> {
    match errors.len() {
        0 => None,
        1 => errors.pop(),
        _ => {
            let errors = errors.iter().map(HubError::to_diagnostic);
            Some(HubError::Refused(Diagnostic::list(errors)))
        }
    }
}

fn is_hugging_face(config: &[u8]) -> bool {
    serde_json::from_slice(config).is_ok_and(|value: serde_json::Value| {
        value.get("vision_config").is_some() || value.get("model_type").is_some()
    })
}

/// Whether a name is that of one of several files of weights:
/// `model-00001-of-00002.safetensors`.
fn is_shard(weights: &str) -> bool {
    let numbers = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem = weights.strip_suffix(".safetensors").unwrap_or(weights);
    (stem.rsplit_once("-of-")).is_some_and(|(first, last)| {
        let first = first.rsplit_once('-').map_or("", |(_, number)| number);
        numbers(first) && numbers(last)
    })
}

/// The error for weights that are not there, or what there is in their place.
async fn missing_weights(files: &impl ModelFiles, error: HubError) -> HubError {
    if !matches!(error, HubError::NoWeights { .. } | HubError::NoModel(_)) {
        return error;
    }
    let name = files.name();
    if let Some(twin) = twin(&name) {
        return HubError::Twin { name, twin };
    }
    for weights in [HUGGING_FACE_WEIGHTS].iter().chain(&OPEN_CLIP_WEIGHTS) {
        let index = shards::index_of(weights);
        if let Ok(Some(_)) = files.read(&index).await {
            return HubError::Shards(index);
        }
    }
    error
}

/// Tokens of a vocabulary whose `tokenizer.json` is large.
const LARGE_VOCABULARY: usize = 100_000;

fn is_siglip(config: &ClipConfig) -> bool {
    match &config.vision {
        VisionConfig::Vit(vision) => vision.pooling == VitPooling::Map,
        VisionConfig::ResNet(_) | VisionConfig::FastVit(_) => false,
    }
}

/// Preprocessing of a model that says nothing about it.
fn usual_preprocess(config: &ClipConfig) -> PreprocessConfig {
    let size = config.vision.image_size();
    match is_siglip(config) {
        true => PreprocessConfig::siglip(size),
        false => PreprocessConfig::openai(size),
    }
}

/// The model's name in its config.
fn named(config: &[u8]) -> Option<String> {
    let config: serde_json::Value = serde_json::from_slice(config).ok()?;
    let name = config.get("_name_or_path")?.as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Reads small files and counts their bytes.
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

    /// Preprocessing of a Hugging Face model. transformers 5 writes one file for the whole
    /// processor, and takes it before the older one.
    async fn hugging_face_preprocess(
        &mut self,
        config: &ClipConfig,
    ) -> Result<PreprocessConfig, HubError> {
        if let Some(json) = self.optional("processor_config.json").await?
            && let Some(config) = PreprocessConfig::from_processor(&json)?
        {
            return Ok(config);
        }
        match self.optional("preprocessor_config.json").await? {
            Some(json) => Ok(PreprocessConfig::from_hugging_face(&json)?),
            None => Ok(usual_preprocess(config)),
        }
    }

    /// What keeps the weights of that kind from being used with `config`, if anything.
    async fn misfit(
        &mut self,
        kind: Kind,
        config: &ClipConfig,
    ) -> Result<Option<HubError>, HubError> {
        for weights in kind.weights() {
            match self.header(weights).await {
                Ok(None) => {}
                Ok(Some(header)) => {
                    return Ok(weights::misfit(&header, config).map(|why| {
                        HubError::Refused(diagnostic!(
                            "config-misfit",
                            "{config} does not fit {weights}: {reason}",
                            config = kind.config_file(),
                            weights,
                            reason = why
                        ))
                    }));
                }
                Err(error @ HubError::Weights(_)) => return Ok(Some(error)),
                Err(error) => return Err(error),
            }
        }
        for weights in kind.weights() {
            if self.files.read(&shards::index_of(weights)).await?.is_some() {
                return Ok(None);
            }
        }
        Ok(Some(kind.no_weights()))
    }

    /// Without a config: infers it from the weights.
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
            let Some(header) = self.header(&weights).await? else {
                continue;
            };
            let Inferred { config, note } = weights::infer(&header, activation)?;
            return Ok(ModelBundle {
                name: self.files.name(),
                preprocess: usual_preprocess(&config),
                tokenizer: self.tokenizer(&config, None).await?,
                config,
                weights: vec![weights],
                config_file: None,
                bytes: self.bytes,
                notes: vec![note],
            });
        }
        if self.optional("adapter_config.json").await?.is_some() {
            return Err(WeightsError::Adapter.into());
        }
        Err(missing_weights(self.files, HubError::NoModel(self.files.name())).await)
    }

    /// Header of a safetensors file; `None` if there is no such file.
    async fn header(&mut self, weights: &str) -> Result<Option<Header>, HubError> {
        if is_shard(weights) {
            return Err(HubError::Shards(weights.into()));
        }
        let mut reader = HeaderReader::default();
        let mut header = None;
        let mut sink = |chunk: Chunk| {
            if chunk.offset == 0 {
                reader = HeaderReader::default();
            }
            header = reader.push(chunk.bytes)?.map(|(header, _)| header);
            Ok(match header {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            })
        };
        if !self.files.stream(weights, &mut sink).await? {
            return Ok(None);
        }
        let cut = WeightsError::NotSafetensors("it ends before its header does");
        header.ok_or(cut.into()).map(Some)
    }

    /// SigLIP's tokenizer, from the first file that there is and that can be used.
    async fn siglip_tokenizer(
        &mut self,
        config: &ClipConfig,
        cleaning: Option<Cleaning>,
    ) -> Result<Rc<Tokenizer>, HubError> {
        const JSON: &str = "tokenizer.json";
        // Gemma's has 34 MB as tokenizer.json and 4 MB as tokenizer.model.
        let names = match config.text.vocab_size > LARGE_VOCABULARY {
            true => ["tokenizer.model", "spiece.model", JSON],
            false => [JSON, "spiece.model", "tokenizer.model"],
        };
        // Servers say in many ways that there is no such file, and without a network one may be kept.
        let mut first_error = None;
        for name in names {
            let tokenizer = match self.optional(name).await {
                Ok(None) => continue,
                Err(error) => Err(error),
                Ok(Some(bytes)) => {
                    let file = match name {
                        JSON => TokenizerFile::Json(&bytes),
                        _ => TokenizerFile::SentencePiece(&bytes),
                    };
                    let length = config.text.context_length;
                    Tokenizer::siglip(file, length, cleaning).map_err(HubError::from)
                }
            };
            match tokenizer {
                Ok(tokenizer) => return Ok(Rc::new(tokenizer)),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        let missing = HubError::NoTokenizer(config.text.vocab_size);
        Err(first_error.unwrap_or(missing))
    }

    /// The model's own tokenizer if its folder has one, else CLIP's. `cleaning`: what an
    /// OpenCLIP config says of a tokenizer that is not CLIP's.
    async fn tokenizer(
        &mut self,
        config: &ClipConfig,
        cleaning: Option<Cleaning>,
    ) -> Result<Rc<Tokenizer>, HubError> {
        let length = config.text.context_length;
        let special = SpecialIds {
            end_of_text: config.text.eos_token_id,
            // A text encoder without a mask reads the padding, which is 0 in OpenCLIP.
            pad: match config.text.bert {
                Some(bert) => Some(bert.pad),
                None => (!config.text.causal).then_some(0),
            },
        };
        if is_siglip(config) {
            return self.siglip_tokenizer(config, cleaning).await;
        }
        if let Some(json) = self.optional("tokenizer.json").await? {
            if !config.text.causal && config.text.bert.is_none() && cleaning.is_some() {
                return Err(HubError::Refused(diagnostic!(
                    "padding-unknown",
                    "a text encoder without a causal mask and with a tokenizer of transformers is supported for SigLIP only: its padding is not known"
                )));
            }
            let tokenizer = Tokenizer::from_json(&json, length, special)?;
            return Ok(Rc::new(tokenizer.cleaned(cleaning.unwrap_or_default())));
        }
        if cleaning.is_some() {
            return Err(HubError::NoTokenizer(config.text.vocab_size));
        }
        // A vocabulary of CLIP's size is CLIP's; only others need files of their own.
        if config.text.vocab_size != CLIP_VOCABULARY_SIZE {
            let vocabulary = self.optional("vocab.json").await?;
            let merges = self.optional("merges.txt").await?;
            if let (Some(vocabulary), Some(merges)) = (vocabulary, merges) {
                let merges = String::from_utf8_lossy(&merges);
                let tokenizer = Tokenizer::from_vocabulary(&vocabulary, &merges, length, special)?;
                return Ok(Rc::new(tokenizer));
            }
            return Err(HubError::NoTokenizer(config.text.vocab_size));
        }
        let vocabulary = self.files.clip_vocabulary().await?;
        Ok(Rc::new(Tokenizer::clip(&vocabulary, length)?))
    }
}
