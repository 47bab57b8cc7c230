//! Default training settings, from the statistics of the data set.

use super::messages::{ModelInfo, TrainedPart, TrainingSettings};
use crate::train::Method;

/// Fraction of each class that is held out for evaluation.
pub const HELD_OUT: f64 = 0.2;

/// Statistics of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatasetStats {
    /// Number of classes; 0 for captions.
    pub classes: usize,
    /// Training pictures, without the held-out ones.
    pub train: usize,
    /// Held-out pictures.
    pub held_out: usize,
    /// Pictures of the smallest class.
    pub fewest: usize,
}

/// Default settings of a method for such a data set.
pub fn training_settings(
    method: Method,
    stats: DatasetStats,
    model: Option<&ModelInfo>,
) -> TrainingSettings {
    let large = model.is_some_and(|model| model.parameters > 20_000_000);
    let max_batch: usize = if large { 32 } else { 64 };
    // Pairs of one class are no negatives of each other: with few classes, a large batch
    // gains little.
    let target = match stats.classes {
        0 => max_batch,
        classes => (4 * classes).clamp(16, max_batch),
    };
    let batch = target.min(stats.train.max(2));
    let micro_batch = if large { batch.min(8) } else { batch };
    let epochs = |steps: usize, max_batch: usize| {
        (steps * batch / stats.train.max(1)).clamp(1, max_batch) as u32
    };
    let (epochs, learning_rate, weight_decay) = match method {
        Method::Lora => (epochs(400, 60), 1e-3, 0.0),
        Method::Full => (epochs(400, 30), if large { 1e-5 } else { 1e-4 }, 0.1),
        Method::Pretrain => (epochs(3_000, 200), 1e-3, 0.2),
        Method::Probe | Method::Adapter => (1, 1e-3, 0.0),
    };
    let (batch, micro_batch) = (batch as u32, micro_batch as u32);
    let mut settings = TrainingSettings {
        method,
        held_out: HELD_OUT,
        seed: 0,
        epochs,
        batch_size: batch,
        micro_batch,
        learning_rate,
        weight_decay,
        warmup_steps: 0,
        rank: 8,
        alpha: 16.0,
        mlp: false,
        image_tower: TrainedPart::Whole,
        text_tower: match method {
            // With a handful of class names it would only forget all others.
            Method::Full if stats.classes > 0 => TrainedPart::Frozen,
            _ => TrainedPart::Whole,
        },
        temperature: method != Method::Lora,
        gradient_checkpointing: large && method != Method::Lora,
        width: 128,
        layers: 2,
    };
    settings.warmup_steps = steps(&settings, stats.train) / 10;
    settings
}

/// Number of optimiser steps. An incomplete last batch of an epoch is dropped.
pub fn steps(settings: &TrainingSettings, train: usize) -> u32 {
    let batch = (settings.batch_size.max(1) as usize).min(train.max(1));
    settings.epochs.saturating_mul((train / batch) as u32)
}
