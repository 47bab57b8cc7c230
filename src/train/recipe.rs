//! The paper's hyper-parameters.

use super::AdamWHyperParameters;

/// Training of a model in the paper (its tables 18 to 20).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Name of the model, as in the paper.
    pub model: &'static str,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Hyper-parameters of AdamW.
    pub optimizer: AdamWHyperParameters,
    /// Pairs of a batch.
    pub batch_size: usize,
    /// Passes over the data.
    pub epochs: usize,
    /// Steps of linear warm-up.
    pub warmup_steps: usize,
}

const RESNET: AdamWHyperParameters = AdamWHyperParameters {
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.2,
};

const VIT: AdamWHyperParameters = AdamWHyperParameters {
    beta1: 0.9,
    beta2: 0.98,
    epsilon: 1e-6,
    weight_decay: 0.2,
};

const fn recipe(
    model: &'static str,
    optimizer: AdamWHyperParameters,
    learning_rate: f64,
    epochs: usize,
) -> Recipe {
    Recipe {
        model,
        learning_rate,
        optimizer,
        batch_size: 32_768,
        epochs,
        warmup_steps: 2_000,
    }
}

/// All models of the paper. The last one is ViT-L/14, trained for another epoch at higher
/// resolution.
pub const RECIPES: [Recipe; 9] = [
    recipe("RN50", RESNET, 5e-4, 32),
    recipe("RN101", RESNET, 5e-4, 32),
    recipe("RN50x4", RESNET, 5e-4, 32),
    recipe("RN50x16", RESNET, 4e-4, 32),
    recipe("RN50x64", RESNET, 3.6e-4, 32),
    recipe("ViT-B/32", VIT, 5e-4, 32),
    recipe("ViT-B/16", VIT, 5e-4, 32),
    recipe("ViT-L/14", VIT, 4e-4, 32),
    recipe("ViT-L/14@336px", VIT, 2e-5, 1),
];
