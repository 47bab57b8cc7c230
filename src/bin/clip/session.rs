//! What every subcommand that uses a model begins with.

use std::fs;
use std::path::Path;

use clap::{Args, ValueEnum};
use clip::engine::messages::DeviceChoice;
use clip::engine::{Engine, Place, open_device};
use clip::hub::{self, Bundled, Folder, ModelFiles, Remote};
use clip::model::Activation;
use clip::preprocess::decode;

use crate::Failure;

#[derive(Args)]
pub struct Session {
    /// Folder of a model, its weights file, or its name on the hub
    /// (owner/name, owner/name@revision); the bundled one when left out
    #[arg(long)]
    model: Option<String>,
    /// Activation of weights without a config, which do not show it
    #[arg(long, value_enum)]
    activation: Option<ActivationName>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    device: Choice,
}

#[derive(Clone, Copy, ValueEnum)]
enum Choice {
    Auto,
    Cpu,
    Gpu,
}

#[derive(Clone, Copy, ValueEnum)]
enum ActivationName {
    /// OpenAI's
    #[value(name = "quick_gelu")]
    QuickGelu,
    /// Most of LAION's
    Gelu,
}

impl Session {
    /// Opens the model on the device.
    pub async fn open(&self) -> Result<Engine, Failure> {
        match self.model.as_deref() {
            None => self.open_from(&Bundled).await,
            Some(model) if Path::new(model).exists() => {
                self.open_from(&Folder::new(Path::new(model))?).await
            }
            Some(model) => match Place::parse(model) {
                Ok(place) => self.open_from(&Remote::new(&place)?).await,
                // Meant as a path, most likely.
                Err(error) => {
                    Err(format!("there is no file or folder {model}, and {error}").into())
                }
            },
        }
    }

    async fn open_from(&self, files: &impl ModelFiles) -> Result<Engine, Failure> {
        let activation = self.activation.map(|name| match name {
            ActivationName::QuickGelu => Activation::QuickGelu,
            ActivationName::Gelu => Activation::Gelu,
        });
        let bundle = hub::open(files, activation).await?;
        for note in &bundle.notes {
            eprintln!("clip: note: {note}");
        }
        let choice = match self.device {
            Choice::Auto => DeviceChoice::Auto,
            Choice::Cpu => DeviceChoice::Cpu,
            Choice::Gpu => DeviceChoice::Gpu,
        };
        let lost = |why| eprintln!("clip: the GPU was lost ({why})");
        let opened = open_device(choice, lost).await?;
        Ok(Engine::load(files, bundle, opened, &mut |_| ()).await?)
    }
}

/// Features of a picture file.
pub async fn image_features(engine: &Engine, path: &Path) -> Result<Vec<f32>, Failure> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = fs::read(path).map_err(|error| named(&error))?;
    let picture = decode(&file).map_err(|error| named(&error))?;
    let features = engine.image_features(&[engine.pixels(&picture)]).await?;
    Ok(features.into_iter().next().unwrap_or_default())
}

/// A number as JSON with no more digits than an f32 has.
pub fn number(value: f32) -> serde_json::Value {
    // Through text: as f64 directly, 0.1 would read 0.10000000149011612.
    value.to_string().parse::<f64>().unwrap_or_default().into()
}

/// A vector as JSON.
pub fn numbers(values: &[f32]) -> serde_json::Value {
    values.iter().copied().map(number).collect()
}
