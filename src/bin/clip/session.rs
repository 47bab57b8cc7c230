//! What every subcommand that uses a model begins with.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use clip::engine::messages::DeviceChoice;
use clip::engine::{Engine, open_device};
use clip::hub::{self, Bundled, Folder};
use clip::preprocess::decode;

use crate::Failure;

#[derive(Args)]
pub struct Session {
    /// Folder of a model, or its weights file; the bundled one when left out
    #[arg(long)]
    model: Option<PathBuf>,
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

impl Session {
    /// Opens the model on the device.
    pub async fn open(&self) -> Result<Engine, Failure> {
        let quiet = &mut |_, _| ();
        let bundle = match &self.model {
            None => hub::open(&Bundled, quiet).await?,
            Some(path) => hub::open(&Folder::new(path)?, quiet).await?,
        };
        let choice = match self.device {
            Choice::Auto => DeviceChoice::Auto,
            Choice::Cpu => DeviceChoice::Cpu,
            Choice::Gpu => DeviceChoice::Gpu,
        };
        let lost = |why| eprintln!("clip: the GPU was lost ({why})");
        let opened = open_device(choice, lost).await?;
        Ok(Engine::load(bundle, opened, |_, _| ()).await?)
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
