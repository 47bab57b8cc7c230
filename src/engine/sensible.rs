//! Settings of a training that make sense for how much there is to learn from.

use super::messages::{ModelInfo, TrainedPart, TrainingSettings};
use crate::train::Method;

/// Share of each class that is kept apart for measuring.
pub const HELD_OUT: f64 = 0.2;

/// What there is to learn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Classes that pictures show; 0 where they have captions.
    pub classes: usize,
    /// Pictures to learn from, without those that are held out.
    pub train: usize,
    pub held_out: usize,
    /// Of the class with the fewest.
    pub fewest: usize,
}

/// Settings that make sense for so much.
pub fn defaults(method: Method, amount: Amount, model: Option<&ModelInfo>) -> TrainingSettings {
    let large = model.is_some_and(|model| model.parameters > 20_000_000);
    let most: usize = if large { 32 } else { 64 };
    // Pairs of one class are no negatives of each other: of few classes, a
    // large batch brings little.
    let wanted = match amount.classes {
        0 => most,
        classes => (4 * classes).clamp(16, most),
    };
    let batch = wanted.min(amount.train.max(2));
    let micro_batch = if large { batch.min(8) } else { batch };
    let epochs =
        |steps: usize, most: usize| (steps * batch / amount.train.max(1)).clamp(1, most) as u32;
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
            // A handful of class names would only make it forget all others.
            Method::Full if amount.classes > 0 => TrainedPart::Frozen,
            _ => TrainedPart::Whole,
        },
        temperature: method != Method::Lora,
        gradient_checkpointing: large && method != Method::Lora,
        width: 128,
        layers: 2,
    };
    settings.warmup_steps = steps(&settings, amount.train) / 10;
    settings
}

/// Steps of the optimiser that settings come to. What does not fill a batch at
/// an epoch's end waits for another.
pub fn steps(settings: &TrainingSettings, train: usize) -> u32 {
    let batch = (settings.batch_size.max(1) as usize).min(train.max(1));
    settings.epochs.saturating_mul((train / batch) as u32)
}
