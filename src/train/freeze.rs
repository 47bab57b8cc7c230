//! Freezing of parameters (open_clip: `lock_image_tower`).

use serde::{Deserialize, Serialize};

use crate::model::{ClipConfig, VisionConfig};

/// How much of a tower is trainable, from its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unfreeze {
    /// A locked tower (Zhai et al. 2021).
    Frozen,
    /// The output layers (last layer norm, attention pool and projection) and this
    /// many blocks before them. A ResNet's four stages count as blocks.
    #[serde(rename = "Last")]
    LastBlocks(usize),
    /// Everything.
    #[serde(rename = "Whole")]
    All,
}

/// Trainable parameters of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainableParams {
    /// Part of the image encoder.
    pub image: Unfreeze,
    /// Part of the text encoder.
    pub text: Unfreeze,
    /// Whether the logit scale is trainable.
    pub temperature: bool,
    /// Whether trainable batch normalisation uses and updates batch statistics. Small
    /// batches do better without.
    pub batch_statistics: bool,
}

impl TrainableParams {
    /// All parameters.
    pub const ALL: Self = Self {
        image: Unfreeze::All,
        text: Unfreeze::All,
        temperature: true,
        batch_statistics: true,
    };

    /// Whether the parameter at `path` is trainable.
    pub fn is_trainable(&self, path: &str, config: &ClipConfig) -> bool {
        let (tower, distance) = match path.split_once('.') {
            Some(("visual", rest)) => (self.image, image_distance(rest, config)),
            Some(("text", rest)) => (self.text, text_distance(rest, config)),
            _ => return self.temperature,
        };
        match tower {
            Unfreeze::Frozen => false,
            Unfreeze::LastBlocks(blocks) => distance <= blocks,
            Unfreeze::All => true,
        }
    }
}

/// Number of blocks from the output, 1 for the last one.
fn image_distance(path: &str, config: &ClipConfig) -> usize {
    match &config.vision {
        VisionConfig::Vit(vision) => {
            let path = path.strip_prefix("Vit.").unwrap_or(path);
            transformer_distance(path, vision.layers, &["ln_post", "head", "proj"])
        }
        VisionConfig::ResNet(_) => {
            let path = path.strip_prefix("ResNet.").unwrap_or(path);
            let stage = path.strip_prefix("layer").and_then(|rest| rest.get(..1));
            match stage.and_then(|stage| stage.parse::<usize>().ok()) {
                Some(stage) => 5usize.saturating_sub(stage),
                None if path.starts_with("attnpool") => 0,
                None => 5,
            }
        }
        VisionConfig::FastVit(_) => 0, // is not trained
    }
}

fn text_distance(path: &str, config: &ClipConfig) -> usize {
    const OUTPUT: &[&str] = &["ln_final", "projection_hidden", "text_projection"];
    transformer_distance(path, config.text.layers, OUTPUT)
}

fn transformer_distance(path: &str, layers: usize, output: &[&str]) -> usize {
    let mut names = path.split('.');
    match names.next() {
        Some("transformer") => {
            let block = names.nth(1).and_then(|block| block.parse::<usize>().ok());
            layers.saturating_sub(block.unwrap_or(0))
        }
        Some(name) if output.contains(&name) => 0,
        _ => layers + 1,
    }
}
