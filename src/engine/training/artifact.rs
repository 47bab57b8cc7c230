//! Result of a training, or an imported one: storage, activation, export.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Host, TrainingError};
use crate::diagnostic::Diagnostic;
use crate::engine::messages::{Export, Trained, TrainingPlan};
use crate::engine::onnx::{export_onnx, head_layer};
use crate::engine::{Engine, ModelSlot};
use crate::model::{Clip, ClipConfig};
use crate::preprocess::PreprocessConfig;
use crate::train::{
    Head, Method, PeftFiles, TrainMode, Trainer, interpolate, load_peft, merge_lora, save_peft,
};
use crate::weights::{KeyMap, Loader, Precision, save};

/// Name of the stored metadata, and of the stored files.
const INFO_FILE: &str = "trained";
const FILES: [&str; 2] = ["trained-0", "trained-1"];

#[derive(Debug)]
pub enum TrainedArtifact {
    /// A probe or an adapter.
    Head(Head),
    Lora {
        info: ArtifactInfo,
        files: PeftFiles,
    },
    /// Full model.
    Model {
        info: ArtifactInfo,
        /// Safetensors in OpenCLIP's naming; `None` while stored, so that it is not in
        /// memory twice.
        weights: Option<Vec<u8>>,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArtifactInfo {
    method: Method,
    /// Name of the base model.
    model: String,
    classes: Vec<String>,
    config: Option<ClipConfig>,
}

/// Result of [`TrainedArtifact::activate`].
#[allow(clippy::large_enum_variant)] // there is one of them
pub enum InUse {
    Head(Head),
    /// The engine's original model, which was swapped out.
    Model(ModelSlot),
}

/// Named files.
pub type NamedFiles = Vec<(String, Vec<u8>)>;

impl TrainedArtifact {
    pub async fn from_trainer(
        trainer: &Trainer,
        plan: &TrainingPlan,
        engine: &Engine,
    ) -> Result<Self, TrainingError> {
        let info = ArtifactInfo {
            method: plan.settings.method,
            model: engine.model_info().name.clone(),
            classes: plan.classes.clone(),
            config: Some(trainer.config().clone()),
        };
        match trainer.options().method {
            TrainMode::Lora(_) => {
                let files = save_peft(&trainer.model(), Some(&info.model)).await?;
                Ok(Self::Lora { info, files })
            }
            TrainMode::Full(_) => {
                let (model, config) = (trainer.model(), trainer.config());
                let names = KeyMap::open_clip(config);
                let weights = save(&model, config, names, Precision::F32).await?;
                let weights = Some(weights);
                Ok(Self::Model { info, weights })
            }
        }
    }

    fn info(&self) -> ArtifactInfo {
        match self {
            Self::Head(head) => ArtifactInfo {
                method: head.method,
                model: head.model.clone(),
                classes: head.classes.clone(),
                config: None,
            },
            Self::Lora { info, .. } | Self::Model { info, .. } => info.clone(),
        }
    }

    pub fn describe(&self) -> Trained {
        let info = self.info();
        let written = |write: fn(&ClipConfig) -> Option<Value>| {
            info.config.as_ref().and_then(write).is_some()
        };
        let whole = [
            (Export::HuggingFace, written(ClipConfig::to_hugging_face)),
            (Export::OpenClip, written(ClipConfig::to_open_clip)),
        ];
        let whole = whole
            .into_iter()
            .filter_map(|(what, is)| is.then_some(what));
        Trained {
            method: info.method,
            model: info.model,
            classes: info.classes,
            tells_fit: matches!(self, Self::Head(head) if head.class_fit.is_some()),
            exports: match self {
                Self::Head(_) => vec![Export::Head, Export::Onnx],
                Self::Lora { .. } => [Export::Lora].into_iter().chain(whole).collect(),
                Self::Model { .. } => whole.collect(),
            },
        }
    }

    /// Forgets what earlier visits stored.
    pub async fn forget<H: Host>(host: &H) {
        for name in [INFO_FILE].into_iter().chain(FILES) {
            host.delete(name).await;
        }
    }

    /// The same with its weights in memory, so that it outlasts what is stored.
    pub async fn in_memory<H: Host>(self, host: &H) -> Self {
        match self {
            Self::Model {
                info,
                weights: None,
            } => Self::Model {
                info,
                weights: host.get(FILES[0]).await,
            },
            other => other,
        }
    }

    /// Stores it for later visits; without storage it lasts as long as the page.
    pub async fn save<H: Host>(&self, host: &H) {
        Self::forget(host).await;
        let stored = async {
            match self {
                Self::Head(head) => {
                    host.put(FILES[0], &head.write()?).await?;
                }
                Self::Lora { files, .. } => {
                    host.put(FILES[0], &files.weights).await?;
                    host.put(FILES[1], &files.config).await?;
                }
                Self::Model { weights, .. } => {
                    if let Some(weights) = weights {
                        host.put(FILES[0], weights).await?;
                    }
                }
            }
            let info = serde_json::to_vec(&self.info())?;
            Ok(host.put(INFO_FILE, &info).await?)
        };
        let _: Result<(), TrainingError> = stored.await;
    }

    /// Loads what an earlier visit stored.
    pub async fn restore<H: Host>(host: &H, _: &Engine) -> Option<Self> {
        let info: ArtifactInfo = serde_json::from_slice(&host.get(INFO_FILE).await?).ok()?;
        match info.method {
            Method::Probe | Method::Adapter => {
                Head::read(&host.get(FILES[0]).await?).ok().map(Self::Head)
            }
            Method::Lora => Some(Self::Lora {
                info,
                files: PeftFiles {
                    weights: host.get(FILES[0]).await?,
                    config: host.get(FILES[1]).await?,
                },
            }),
            Method::Full | Method::Pretrain => {
                host.file(FILES[0]).await?;
                Some(Self::Model {
                    info,
                    weights: None,
                })
            }
        }
    }

    /// Parses imported files; the classes of a LoRA are not in them. Also returns a warning if they may belong to another model.
    pub async fn import<H: Host>(
        files: Vec<Vec<u8>>,
        classes: Vec<String>,
        host: &H,
        engine: &Engine,
    ) -> Result<(Self, Option<Diagnostic>), TrainingError> {
        let is_json = |file: &Vec<u8>| file.first() == Some(&b'{');
        let (configs, weights): (Vec<_>, Vec<_>) = files.into_iter().partition(is_json);
        let weights = weights.into_iter().next();
        let weights = weights.ok_or(TrainingError::NoWeightsFile)?;
        let model_info = engine.model_info();
        let Some(config) = configs.into_iter().next() else {
            let head = Head::read(&weights).map_err(TrainingError::NotHead)?;
            let note = head.fits(model_info)?;
            return Ok((Self::Head(head), note));
        };
        let files = PeftFiles { config, weights };
        // Validates the adapter by attaching it.
        load_peft(host.model(engine).await?, &files)?;
        let info = ArtifactInfo {
            method: Method::Lora,
            model: model_info.name.clone(),
            classes,
            config: Some(engine.config().clone()),
        };
        Ok((Self::Lora { info, files }, None))
    }

    /// Replaces the engine's classifier or model; `share` as in [`TrainingRequest::Mix`].
    ///
    /// [`TrainingRequest::Mix`]: crate::engine::messages::TrainingRequest::Mix
    pub async fn activate<H: Host>(
        &self,
        host: &H,
        engine: &mut Engine,
        share: f64,
    ) -> Result<InUse, TrainingError> {
        let info = self.info();
        let loaded_model = engine.model_info().name.clone();
        if let Self::Head(head) = self {
            head.fits(engine.model_info())?;
            return Ok(InUse::Head(head.clone()));
        }
        if info.model != loaded_model {
            return Err(TrainingError::ResultOfOtherModel {
                model: info.model,
                loaded: loaded_model,
            });
        }
        let model = self.model(host, engine, share).await?;
        let model = model.pack(engine.precision());
        let config = info.config.unwrap_or_else(|| engine.config().clone());
        let trained = ModelSlot {
            model,
            config,
            token_table: None,
        };
        let before = engine.swap(trained).await?;
        Ok(InUse::Model(before))
    }

    /// The full model, with LoRA merged, not packed. Of its weights a `share` is the trained ones', the
    /// rest the original's.
    async fn model<H: Host>(
        &self,
        host: &H,
        engine: &Engine,
        share: f64,
    ) -> Result<Clip, TrainingError> {
        let trained = self.trained_model(host, engine).await?;
        if share >= 1.0 {
            return Ok(trained);
        }
        let original = host.model(engine).await?;
        Ok(interpolate(&original, trained, share)?)
    }

    async fn trained_model<H: Host>(
        &self,
        host: &H,
        engine: &Engine,
    ) -> Result<Clip, TrainingError> {
        match self {
            Self::Head(_) => Err(TrainingError::HeadIsNoModel),
            Self::Lora { files, .. } => {
                let model = load_peft(host.model(engine).await?, files)?;
                Ok(merge_lora(model))
            }
            Self::Model { info, weights } => {
                let stored = match weights {
                    Some(_) => None,
                    None => host.get(FILES[0]).await,
                };
                let weights =
                    (weights.as_ref().or(stored.as_ref())).ok_or(TrainingError::WeightsLost)?;
                let config = info.config.as_ref().unwrap_or(engine.config());
                let mut loader = Loader::new(config, engine.device(), weights.len() as u64);
                loader.push(weights)?;
                Ok(loader.finish()?)
            }
        }
    }

    /// Exports a probe, an adapter or a LoRA as it was trained.
    pub async fn export_compact<H: Host>(
        &self,
        host: &H,
        engine: &Engine,
    ) -> Result<NamedFiles, TrainingError> {
        let what = self.describe().compact_export();
        let what = what.ok_or(TrainingError::NoSuchFormat)?;
        self.export(what, host, engine, 1.0).await
    }

    /// Exports it as files.
    pub async fn export<H: Host>(
        &self,
        what: Export,
        host: &H,
        engine: &Engine,
        share: f64,
    ) -> Result<NamedFiles, TrainingError> {
        match (what, self) {
            (Export::Head, Self::Head(head)) => {
                let name = format!("{}.safetensors", head.method.name());
                Ok(vec![(name, head.write()?)])
            }
            (Export::Onnx, Self::Head(head)) => {
                let name = format!("{}.onnx", head.method.name());
                let model = host.model(engine).await?;
                let file = export_onnx(engine, &model, Some(&head_layer(head))).await?;
                Ok(vec![(name, file)])
            }
            (Export::Lora, Self::Lora { files, .. }) => {
                let files = files.scaled(share)?;
                Ok(vec![
                    ("adapter_model.safetensors".into(), files.weights),
                    ("adapter_config.json".into(), files.config),
                ])
            }
            (Export::HuggingFace | Export::OpenClip, Self::Lora { .. } | Self::Model { .. }) => {
                self.export_model(what, host, engine, share).await
            }
            _ => Err(TrainingError::NoSuchFormat),
        }
    }

    async fn export_model<H: Host>(
        &self,
        what: Export,
        host: &H,
        engine: &Engine,
        share: f64,
    ) -> Result<NamedFiles, TrainingError> {
        let model = self.model(host, engine, share).await?;
        let config = self
            .info()
            .config
            .unwrap_or_else(|| engine.config().clone());
        let tokenizer = tokenizer_files(async |name| host.model_file(name).await).await;
        if what != Export::HuggingFace {
            return open_clip_files(&model, &config, engine.preprocess(), tokenizer).await;
        }
        // A newer file goes before the model's own, which may then say otherwise.
        let newer = host.model_file("processor_config.json").await;
        let own = host.model_file("preprocessor_config.json").await;
        let own = own.filter(|_| newer.is_none());
        hugging_face_files(&model, &config, engine.preprocess(), own, tokenizer).await
    }
}

/// Files of a model's tokenizer by their names: those that come first below and that `read` has.
pub async fn tokenizer_files(mut read: impl AsyncFnMut(&str) -> Option<Vec<u8>>) -> NamedFiles {
    const TOKENIZERS: &[&[&str]] = &[
        &["tokenizer.json"],
        &["tokenizer.model"],
        &["spiece.model"],
        &["vocab.json", "merges.txt"],
    ];
    // Of use to transformers alone.
    const BESIDE: &[&str] = &["tokenizer_config.json", "special_tokens_map.json"];
    let mut all = async |names: &[&str]| {
        let mut files = NamedFiles::new();
        for name in names {
            let file = read(name).await;
            files.extend(file.map(|file| ((*name).into(), file)));
        }
        files
    };
    for names in TOKENIZERS {
        let mut files = all(names).await;
        if files.len() == names.len() {
            files.extend(all(BESIDE).await);
            return files;
        }
    }
    NamedFiles::new()
}

/// Files of a model as transformers opens it, in f32. The model must not be packed.
/// `preprocessor`: its own `preprocessor_config.json`, if that is to stay as it is. An error if
/// transformers has no such model.
pub async fn hugging_face_files(
    model: &Clip,
    config: &ClipConfig,
    preprocess: &PreprocessConfig,
    preprocessor: Option<Vec<u8>>,
    tokenizer: NamedFiles,
) -> Result<NamedFiles, TrainingError> {
    let pretty = |value: &Value| serde_json::to_vec_pretty(value);
    let described = config.to_hugging_face();
    let described = described.ok_or(TrainingError::NoSuchModelIn("transformers"))?;
    let preprocessor = match preprocessor {
        Some(own) => own,
        None => pretty(&preprocess.to_hugging_face())?,
    };
    let mut files = vec![
        ("config.json".into(), pretty(&described)?),
        ("preprocessor_config.json".into(), preprocessor),
    ];
    files.extend(tokenizer);
    let weights = save(model, config, KeyMap::hugging_face(config), Precision::F32).await?;
    files.push(("model.safetensors".into(), weights));
    Ok(files)
}

/// Files of a model as OpenCLIP opens it, in f32. The model must not be packed; `tokenizer` is
/// the files of its own, if it has one. An error if OpenCLIP has no such model.
pub async fn open_clip_files(
    model: &Clip,
    config: &ClipConfig,
    preprocess: &PreprocessConfig,
    tokenizer: NamedFiles,
) -> Result<NamedFiles, TrainingError> {
    let model_cfg = config.to_open_clip();
    let model_cfg = model_cfg.ok_or(TrainingError::NoSuchModelIn("OpenCLIP"))?;
    let described = json!({
        "model_cfg": model_cfg,
        "preprocess_cfg": preprocess.to_open_clip(),
    });
    let described = serde_json::to_vec_pretty(&described)?;
    let mut files = vec![("open_clip_config.json".into(), described)];
    files.extend(tokenizer);
    let weights = save(model, config, KeyMap::open_clip(config), Precision::F32).await?;
    files.push(("open_clip_model.safetensors".into(), weights));
    Ok(files)
}
