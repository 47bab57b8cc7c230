//! What the checkpoint of a run belongs to, beside the model and the trainer's options.

use serde::{Deserialize, Serialize};

use super::{PretrainData, PretrainOptions};
use crate::model::ClipConfig;
use crate::train::{TrainError, TrainOptions, state};

/// Data and options of a run, as far as its trainer does not know them. Kept in its
/// checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PretrainOrigin {
    /// Lists of the images, in the order of their folders.
    pub lists: Vec<ListFingerprint>,
    /// Batches of a step.
    pub replicas: usize,
    /// Whether the model began from nothing.
    pub beginner: bool,
}

/// Fingerprint of a list of images. The images themselves are not read for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFingerprint {
    /// Path of the list.
    pub path: String,
    /// Number of images that it names.
    pub images: usize,
    /// CRC-32 of its text.
    pub checksum: u32,
}

impl PretrainOrigin {
    /// Origin of a run on `data`.
    pub fn new(data: &PretrainData, options: &PretrainOptions) -> Self {
        Self {
            lists: data.lists().to_vec(),
            replicas: options.replicas.max(1),
            beginner: options.beginner,
        }
    }

    /// Origin in a checkpoint; `None` for one of an earlier version, which kept none.
    pub fn of_state(bytes: &[u8]) -> Result<Option<Self>, TrainError> {
        Ok(state::progress(bytes)?.pretraining)
    }

    /// Number of steps that a checkpoint comes after.
    pub fn step_of_state(bytes: &[u8]) -> Result<usize, TrainError> {
        Ok(state::progress(bytes)?.step)
    }

    /// What differs in a run that is to be resumed, in words. Where the lists lie makes no
    /// difference.
    pub(super) fn differences(&self, now: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        if self.lists.len() != now.lists.len() {
            differences.push(format!(
                "it has {} data folders, not {}",
                self.lists.len(),
                now.lists.len()
            ));
            return differences;
        }
        for (was, is) in self.lists.iter().zip(&now.lists) {
            if was.images != is.images {
                differences.push(format!(
                    "{} lists {} images, not {} as before",
                    is.path, is.images, was.images
                ));
            } else if was.checksum != is.checksum {
                differences.push(format!("{} has other contents than before", is.path));
            }
        }
        if self.replicas != now.replicas {
            differences.push(format!(
                "--replicas was {}, not {}",
                self.replicas, now.replicas
            ));
        }
        differences
    }
}

/// What differs between the options and models of two runs, in words.
pub(super) fn differences(
    (was, was_config): (&TrainOptions, &ClipConfig),
    (is, is_config): (&TrainOptions, &ClipConfig),
) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differ = |option: &str, was: String, is: String| {
        if was != is {
            differences.push(format!("--{option} was {was}, not {is}"));
        }
    };
    let text = |value: usize| value.to_string();
    differ("batch-size", text(was.micro_batch), text(is.micro_batch));
    differ("seed", was.seed.to_string(), is.seed.to_string());
    differ(
        "weight-decay",
        was.optimizer.weight_decay.to_string(),
        is.optimizer.weight_decay.to_string(),
    );
    let [was_size, is_size] = [was_config, is_config].map(|config| config.vision.image_size());
    differ("image-size", text(was_size), text(is_size));
    differ(
        "embed-dim",
        text(was_config.embed_dim),
        text(is_config.embed_dim),
    );
    if differences.is_empty() && was_config != is_config {
        differences.push("the model has other layers, another width or another vocabulary".into());
    }
    if differences.is_empty() && was != is {
        differences.push("the optimizer has other settings".into());
    }
    differences
}
