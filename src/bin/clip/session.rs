//! What every subcommand that uses a model begins with.

use std::fs;
use std::path::Path;

use clap::{Args, ValueEnum};
use clip::engine::messages::DeviceChoice;
use clip::engine::{Engine, open_device};
use clip::hub::{self, HubError, NativeModelFiles};
use clip::model::{Activation, Clip, WeightPrecision};
use clip::preprocess::{DecodedImage, decode};

use crate::{AlreadyReported, Failure};

#[derive(Args, Clone)]
pub struct Session {
    /// Model folder, weights file or Hugging Face name (owner/name,
    /// owner/name@revision); the bundled model by default
    #[arg(long)]
    model: Option<String>,
    /// Activation, for weights without a config
    #[arg(long, value_enum)]
    activation: Option<ActivationName>,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    device: Choice,
    /// 8-bit weights: faster on the CPU, slightly less accurate; ignored on a GPU
    #[arg(long)]
    int8: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Choice {
    Auto,
    Cpu,
    Gpu,
}

#[derive(Clone, Copy, ValueEnum)]
enum ActivationName {
    /// OpenAI models
    #[value(name = "quick_gelu")]
    QuickGelu,
    /// Most LAION models
    Gelu,
}

impl Session {
    /// Opens the model on the device.
    pub async fn open(&self) -> Result<Engine, Failure> {
        let files = self.files()?;
        let bundle = hub::open(&files, self.activation()).await?;
        for note in &bundle.notes {
            tell!("note: {note}");
        }
        let choice = match self.device {
            Choice::Auto => DeviceChoice::Auto,
            Choice::Cpu => DeviceChoice::Cpu,
            Choice::Gpu => DeviceChoice::Gpu,
        };
        let lost = |why| tell!("the GPU was lost ({why})");
        let opened = open_device(choice, lost).await?;
        let packing = WeightPrecision::from_int8(self.int8);
        if self.int8 && opened.info.gpu {
            tell!("note: --int8 is for the CPU; the GPU uses the original weights");
        }
        let told = bundle.notes.len();
        let engine = Engine::load(&files, bundle, opened, packing, &mut |_| ()).await?;
        for note in &engine.model_info().notes[told..] {
            tell!("note: {note}");
        }
        Ok(engine)
    }

    /// The same with another model.
    pub fn with_model(&self, model: &str) -> Self {
        Self {
            model: (model != "bundled").then(|| model.into()),
            activation: None,
            ..self.clone()
        }
    }

    /// Opens the model for training: with the original weights.
    pub async fn open_exact(&self) -> Result<Engine, Failure> {
        match self.int8 {
            true => Err("training needs the original weights: remove --int8".into()),
            false => self.open().await,
        }
    }

    /// The model once more, as training wants it: in f32, not packed.
    pub async fn plain(&self, engine: &Engine) -> Result<Clip, HubError> {
        let files = self.files()?;
        let bundle = hub::open(&files, self.activation()).await?;
        let target = engine.target_for_training();
        let loaded = hub::load(&files, &bundle, engine.device(), target, &mut |_| ()).await?;
        Ok(loaded.model)
    }

    /// CRC-32 of the weights: what a training began with.
    pub async fn weights_checksum(&self) -> Result<u32, Failure> {
        let files = self.files()?;
        let bundle = hub::open(&files, self.activation()).await?;
        let mut crc = flate2::Crc::new();
        let mut sink = |chunk: hub::Chunk| {
            if chunk.offset == 0 {
                crc.reset();
            }
            crc.update(chunk.bytes);
            Ok(std::ops::ControlFlow::Continue(()))
        };
        hub::stream_weights(&files, &bundle, &mut sink).await?;
        Ok(crc.sum())
    }

    /// Where the model's files are.
    pub fn files(&self) -> Result<NativeModelFiles, HubError> {
        match &self.model {
            None => Ok(NativeModelFiles::Bundled),
            Some(model) => NativeModelFiles::find(model),
        }
    }

    fn activation(&self) -> Option<Activation> {
        self.activation.map(|name| match name {
            ActivationName::QuickGelu => Activation::QuickGelu,
            ActivationName::Gelu => Activation::Gelu,
        })
    }
}

/// Picture of an image file.
pub fn read_image(path: &Path) -> Result<DecodedImage, Failure> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = fs::read(path).map_err(|error| named(&error))?;
    Ok(decode(&file).map_err(|error| named(&error))?)
}

/// Features of an image file.
pub async fn image_features(engine: &Engine, path: &Path) -> Result<Vec<f32>, Failure> {
    let picture = read_image(path)?;
    let features = engine.image_features(&[engine.pixels(&picture)]).await?;
    Ok(features.into_iter().next().unwrap_or_default())
}

/// Features of image files, or why there are none. Failures are told as they occur.
pub async fn all_image_features(
    engine: &Engine,
    paths: &[std::path::PathBuf],
    mut take: impl FnMut(&Path, Result<Vec<f32>, String>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut failed = false;
    for path in paths {
        let found = image_features(engine, path).await;
        let found = found.map_err(|error| error.to_string());
        if let Err(error) = &found {
            failed = true;
            tell!("{error}");
        }
        take(path, found)?;
    }
    match failed {
        true => Err(AlreadyReported.into()),
        false => Ok(()),
    }
}

/// A path as JSON. What of it is not UTF-8 cannot be written there.
pub fn json_path(path: &Path) -> serde_json::Value {
    path.to_string_lossy().into()
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
