//! Result of a training, or an imported one: storage, activation, export.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Host, TrainingError};
use crate::diagnostic::Diagnostic;
use crate::engine::messages::{Export, Trained, TrainingPlan};
use crate::engine::onnx::{export_onnx, head_layer};
use crate::engine::{Engine, ModelSlot};
use crate::hub::{HUGGING_FACE_CONFIG, OPEN_CLIP_CONFIG};
use crate::model::{Clip, ClipConfig};
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
    /// Format of the base model, whose files describe the result as well.
    #[serde(default)]
    own: Option<Export>,
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
            own: match plan.settings.method {
                Method::Pretrain => None,
                _ => own_format(engine),
            },
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
                own: None,
            },
            Self::Lora { info, .. } | Self::Model { info, .. } => info.clone(),
        }
    }

    pub fn describe(&self) -> Trained {
        let info = self.info();
        let written = |what: Export, write: fn(&ClipConfig) -> Option<Value>| {
            info.own == Some(what) || info.config.as_ref().and_then(write).is_some()
        };
        let whole = [
            (
                Export::HuggingFace,
                ClipConfig::to_hugging_face as fn(&_) -> _,
            ),
            (Export::OpenClip, ClipConfig::to_open_clip),
        ];
        let whole = (whole.into_iter()).filter(|(what, write)| written(*what, *write));
        let whole = whole.map(|(what, _)| what);
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
            own: own_format(engine),
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
        let own = self.info().own == Some(what);
        let read = async |name: &str| host.model_file(name).await;
        model_files(what, own, &model, &config, engine, read).await
    }
}

/// Format of the files that the engine's model was opened from.
pub fn own_format(engine: &Engine) -> Option<Export> {
    [Export::HuggingFace, Export::OpenClip]
        .into_iter()
        .find(|what| engine.config_file() == Some(config_file(*what)))
}

fn config_file(what: Export) -> &'static str {
    match what {
        Export::OpenClip => OPEN_CLIP_CONFIG,
        _ => HUGGING_FACE_CONFIG,
    }
}

/// Files of a tokenizer, of which a model has some.
const TOKENIZER_FILES: [&str; 8] = [
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

/// Files of a model as transformers ([`Export::HuggingFace`]) or OpenCLIP ([`Export::OpenClip`])
/// opens it, in f32. The model must not be packed. If the engine's model is of that format (`own`),
/// its files describe this one, too; otherwise it must be a CLIP. `read`: one of those files.
pub async fn model_files(
    what: Export,
    own: bool,
    model: &Clip,
    config: &ClipConfig,
    engine: &Engine,
    mut read: impl AsyncFnMut(&str) -> Option<Vec<u8>>,
) -> Result<NamedFiles, TrainingError> {
    let hugging_face = what == Export::HuggingFace;
    let preprocessors = match hugging_face {
        true => &["preprocessor_config.json", "processor_config.json"][..],
        false => &[],
    };
    let mut files = NamedFiles::new();
    let known = match own {
        true => read(config_file(what)).await,
        false => None,
    };
    let pretty = |value: &Value| serde_json::to_vec_pretty(value);
    let preprocess = engine.preprocess();
    if let Some(known) = known {
        files.push((config_file(what).into(), pretty(&of_result(&known)?)?));
        for name in preprocessors {
            let file = read(name).await;
            files.extend(file.map(|file| ((*name).into(), file)));
        }
    } else if hugging_face {
        let described = config.to_hugging_face();
        let described = described.ok_or(TrainingError::NoSuchModelIn("transformers"))?;
        files.push((HUGGING_FACE_CONFIG.into(), pretty(&described)?));
        let preprocessor = pretty(&preprocess.to_hugging_face())?;
        files.push(("preprocessor_config.json".into(), preprocessor));
    } else {
        let model_cfg = config.to_open_clip();
        let model_cfg = model_cfg.ok_or(TrainingError::NoSuchModelIn("OpenCLIP"))?;
        let preprocess_cfg = preprocess.to_open_clip();
        let described = json!({ "model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg });
        files.push((OPEN_CLIP_CONFIG.into(), pretty(&described)?));
    }
    for name in TOKENIZER_FILES {
        let file = read(name).await;
        files.extend(file.map(|file| (name.into(), file)));
    }
    let (weights, names) = match hugging_face {
        true => ("model.safetensors", KeyMap::hugging_face(config)),
        false => ("open_clip_model.safetensors", KeyMap::open_clip(config)),
    };
    let bytes = save(model, config, names, Precision::F32).await?;
    files.push((weights.into(), bytes));
    Ok(files)
}

/// Config of a model for another one of the same shape, in f32: without the name of the first, and
/// the precision of its weights.
fn of_result(config: &[u8]) -> Result<Value, TrainingError> {
    let mut config: Value = serde_json::from_slice(config)?;
    let mut parts = vec![&mut config];
    while let Some(part) = parts.pop() {
        if let Value::Object(keys) = part {
            for key in ["_name_or_path", "torch_dtype", "dtype"] {
                keys.remove(key);
            }
            parts.extend(keys.values_mut());
        }
    }
    Ok(config)
}
