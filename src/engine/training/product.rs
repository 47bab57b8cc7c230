//! What came of a training, or was brought: kept for a later visit, used, taken
//! away.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Host;
use crate::engine::messages::{Export, Trained, TrainingPlan};
use crate::engine::{Engine, Swapped};
use crate::model::{Clip, ClipConfig};
use crate::train::{Head, Learning, Method, PeftFiles, Trainer, load_peft, merge_lora, save_peft};
use crate::weights::{Layout, Loader, Precision, save};

/// What is kept of a product beside its files.
const ABOUT: &str = "trained";
const FILES: [&str; 2] = ["trained-0", "trained-1"];

#[derive(Debug)]
pub enum Product {
    /// A probe or an adapter.
    Head(Head),
    Lora {
        about: About,
        files: PeftFiles,
    },
    /// A whole model.
    Model {
        about: About,
        /// A safetensors file in OpenCLIP's naming; `None` while it is kept, so
        /// that it is not in memory twice.
        weights: Option<Vec<u8>>,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    method: Method,
    /// Name of the model that was begun with.
    model: String,
    classes: Vec<String>,
    config: Option<ClipConfig>,
}

/// What [`Product::take_up`] gives.
#[allow(clippy::large_enum_variant)] // there is one of them
pub enum InUse {
    Head(Head),
    /// The engine has another model now; this was its own.
    Model(Swapped),
}

/// Named files.
type Files = Vec<(String, Vec<u8>)>;

fn text(error: impl ToString) -> String {
    error.to_string()
}

impl Product {
    pub async fn of_trainer(
        trainer: &Trainer,
        plan: &TrainingPlan,
        engine: &Engine,
    ) -> Result<Self, String> {
        let about = About {
            method: plan.settings.method,
            model: engine.model_info().name.clone(),
            classes: plan.classes.clone(),
            config: Some(trainer.config().clone()),
        };
        match trainer.options().method {
            Learning::Lora(_) => {
                let files = save_peft(&trainer.model(), Some(&about.model)).await;
                let files = files.map_err(text)?;
                Ok(Self::Lora { about, files })
            }
            Learning::Full(_) => {
                let (model, config) = (trainer.model(), trainer.config());
                let weights = save(&model, config, Layout::OpenClip, Precision::F32).await;
                let weights = Some(weights.map_err(text)?);
                Ok(Self::Model { about, weights })
            }
        }
    }

    fn about(&self) -> About {
        match self {
            Self::Head(head) => About {
                method: head.method,
                model: head.model.clone(),
                classes: head.classes.clone(),
                config: None,
            },
            Self::Lora { about, .. } | Self::Model { about, .. } => about.clone(),
        }
    }

    pub fn describe(&self) -> Trained {
        let about = self.about();
        let hugging_face =
            (about.config.as_ref()).is_some_and(|config| config.to_hugging_face().is_some());
        let whole = hugging_face.then_some(Export::HuggingFace).into_iter();
        let whole = whole.chain([Export::OpenClip]);
        Trained {
            method: about.method,
            model: about.model,
            classes: about.classes,
            exports: match self {
                Self::Head(_) => vec![Export::Head],
                Self::Lora { .. } => [Export::Lora].into_iter().chain(whole).collect(),
                Self::Model { .. } => whole.collect(),
            },
        }
    }

    /// Keeps it for a later visit; where that is not possible, it is there as
    /// long as the page is.
    pub async fn keep<H: Host>(&self, host: &H) {
        for name in [ABOUT].into_iter().chain(FILES) {
            host.delete(name).await;
        }
        let kept = async {
            match self {
                Self::Head(head) => {
                    host.put(FILES[0], &head.write().map_err(text)?).await?;
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
            let about = serde_json::to_vec(&self.about()).map_err(text)?;
            host.put(ABOUT, &about).await
        };
        let _: Result<(), String> = kept.await;
    }

    /// What an earlier visit kept.
    pub async fn restore<H: Host>(host: &H, _: &Engine) -> Option<Self> {
        let about: About = serde_json::from_slice(&host.get(ABOUT).await?).ok()?;
        match about.method {
            Method::Probe | Method::Adapter => {
                Head::read(&host.get(FILES[0]).await?).ok().map(Self::Head)
            }
            Method::Lora => Some(Self::Lora {
                about,
                files: PeftFiles {
                    weights: host.get(FILES[0]).await?,
                    config: host.get(FILES[1]).await?,
                },
            }),
            Method::Full | Method::Pretrain => {
                host.file(FILES[0]).await?;
                Some(Self::Model {
                    about,
                    weights: None,
                })
            }
        }
    }

    /// Reads what was brought. Also returns a note where it may not belong to
    /// this model.
    pub async fn import<H: Host>(
        files: Vec<Vec<u8>>,
        host: &H,
        engine: &Engine,
    ) -> Result<(Self, Option<String>), String> {
        let is_json = |file: &Vec<u8>| file.first() == Some(&b'{');
        let (configs, weights): (Vec<_>, Vec<_>) = files.into_iter().partition(is_json);
        let weights = weights.into_iter().next();
        let weights = weights.ok_or("none of these is a .safetensors file")?;
        let info = engine.model_info();
        let Some(config) = configs.into_iter().next() else {
            let head = Head::read(&weights).map_err(|error| {
                format!(
                    "{error}; a LoRA also needs its adapter_config.json: choose both files together"
                )
            })?;
            let note = head.fits(info).map_err(text)?;
            return Ok((Self::Head(head), note));
        };
        let files = PeftFiles { config, weights };
        // Whether it fits shows when it is put on.
        load_peft(host.model(engine).await?, &files).map_err(text)?;
        let about = About {
            method: Method::Lora,
            model: info.name.clone(),
            classes: Vec::new(),
            config: Some(engine.config().clone()),
        };
        Ok((Self::Lora { about, files }, None))
    }

    /// Puts it in the place of what the engine answers with.
    pub async fn take_up<H: Host>(&self, host: &H, engine: &mut Engine) -> Result<InUse, String> {
        let about = self.about();
        let here = engine.model_info().name.clone();
        if let Self::Head(head) = self {
            head.fits(engine.model_info()).map_err(text)?;
            return Ok(InUse::Head(head.clone()));
        }
        if about.model != here {
            return Err(format!(
                "the trained result belongs to the model {}, but {here} is loaded: load that model first",
                about.model
            ));
        }
        let model = self.model(host, engine).await?;
        let model = model.pack(engine.packing());
        let config = about.config.unwrap_or_else(|| engine.config().clone());
        let before = engine.swap(Swapped { model, config }).await.map_err(text)?;
        Ok(InUse::Model(before))
    }

    /// The whole model, LoRA and all, not packed.
    async fn model<H: Host>(&self, host: &H, engine: &Engine) -> Result<Clip, String> {
        match self {
            Self::Head(_) => Err("a classifier is not a model".into()),
            Self::Lora { files, .. } => {
                let model = load_peft(host.model(engine).await?, files).map_err(text)?;
                Ok(merge_lora(model))
            }
            Self::Model { about, weights } => {
                let kept = match weights {
                    Some(_) => None,
                    None => host.get(FILES[0]).await,
                };
                let weights = (weights.as_ref().or(kept.as_ref()))
                    .ok_or("the trained weights no longer exist: train again")?;
                let config = about.config.as_ref().unwrap_or(engine.config());
                let mut loader = Loader::new(config, engine.device(), weights.len() as u64);
                loader.push(weights).map_err(text)?;
                loader.finish().map_err(text)
            }
        }
    }

    /// Its files, to be taken away.
    pub async fn export<H: Host>(
        &self,
        what: Export,
        host: &H,
        engine: &Engine,
    ) -> Result<Files, String> {
        match (what, self) {
            (Export::Head, Self::Head(head)) => {
                let name = format!("{}.safetensors", head.method.name());
                Ok(vec![(name, head.write().map_err(text)?)])
            }
            (Export::Lora, Self::Lora { files, .. }) => Ok(vec![
                ("adapter_model.safetensors".into(), files.weights.clone()),
                ("adapter_config.json".into(), files.config.clone()),
            ]),
            (Export::HuggingFace | Export::OpenClip, Self::Lora { .. } | Self::Model { .. }) => {
                self.whole(what, host, engine).await
            }
            _ => Err("it cannot be exported in this format".into()),
        }
    }

    async fn whole<H: Host>(
        &self,
        what: Export,
        host: &H,
        engine: &Engine,
    ) -> Result<Files, String> {
        let model = self.model(host, engine).await?;
        let config = self
            .about()
            .config
            .unwrap_or_else(|| engine.config().clone());
        let pretty = |value: &Value| serde_json::to_vec_pretty(value).map_err(text);
        let mut files = Vec::new();
        let layout = match what {
            Export::HuggingFace => {
                let described = config.to_hugging_face();
                let described =
                    described.ok_or("transformers does not support CLIP with a ResNet")?;
                files.push(("config.json".into(), pretty(&described)?));
                let own = host.model_file("preprocessor_config.json").await;
                let preprocessor = match own {
                    Some(own) => own,
                    None => pretty(&engine.preprocess().to_hugging_face())?,
                };
                files.push(("preprocessor_config.json".into(), preprocessor));
                Layout::HuggingFace
            }
            _ => {
                let described = json!({
                    "model_cfg": config.to_open_clip(),
                    "preprocess_cfg": engine.preprocess().to_open_clip(),
                });
                files.push(("open_clip_config.json".into(), pretty(&described)?));
                Layout::OpenClip
            }
        };
        if let Some(tokenizer) = host.model_file("tokenizer.json").await {
            files.push(("tokenizer.json".into(), tokenizer));
        }
        let name = match layout {
            Layout::HuggingFace => "model.safetensors",
            _ => "open_clip_model.safetensors",
        };
        let weights = save(&model, &config, layout, Precision::F32)
            .await
            .map_err(text)?;
        files.push((name.into(), weights));
        Ok(files)
    }
}
