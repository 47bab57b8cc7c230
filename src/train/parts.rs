//! Which parts of a model learn.

use serde::{Deserialize, Serialize};

use crate::model::{ClipConfig, VisionConfig};

/// How much of a tower learns, counted from its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tower {
    /// Nothing: a locked tower (Zhai et al. 2021).
    Frozen,
    /// What stands between the last block and the shared space (last layer norm
    /// and projection, or attention pool), and so many blocks before it. Of a
    /// ResNet, its four stages count as blocks.
    Last(usize),
    Whole,
}

/// What of a model learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    pub image: Tower,
    pub text: Tower,
    pub temperature: bool,
    /// Whether batch normalisation where it learns goes by the batch and notes
    /// its statistics. Small batches do better without.
    pub batch_statistics: bool,
}

impl Parts {
    pub const ALL: Self = Self {
        image: Tower::Whole,
        text: Tower::Whole,
        temperature: true,
        batch_statistics: true,
    };

    /// Whether the parameter at `path` learns.
    pub fn learns(&self, path: &str, config: &ClipConfig) -> bool {
        let (tower, distance) = match path.split_once('.') {
            Some(("visual", rest)) => (self.image, image_distance(rest, config)),
            Some(("text", rest)) => (self.text, text_distance(rest, config)),
            _ => return self.temperature,
        };
        match tower {
            Tower::Frozen => false,
            Tower::Last(blocks) => distance <= blocks,
            Tower::Whole => true,
        }
    }
}

/// Blocks from the output, the last one's distance being 1.
fn image_distance(path: &str, config: &ClipConfig) -> usize {
    match &config.vision {
        VisionConfig::Vit(vision) => {
            let path = path.strip_prefix("Vit.").unwrap_or(path);
            transformer_distance(path, vision.layers, &["ln_post", "proj"])
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
    }
}

fn text_distance(path: &str, config: &ClipConfig) -> usize {
    transformer_distance(path, config.text.layers, &["ln_final", "text_projection"])
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
