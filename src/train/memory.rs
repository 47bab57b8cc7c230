//! Memory estimate of a training run.

use burn::module::Param;
use burn::tensor::{Device, Tensor};

use super::lora::{lora_size, towers_of};
use super::{TrainMode, Unfreeze};
use crate::model::{
    Activation, Clip, ClipConfig, ParamVisitor, ResNetConfig, VisionConfig, visit_params,
};

/// Estimate in bytes: 1 to 1.35 times what was measured on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Parameters, trainable or not.
    pub weights: u64,
    /// Gradients of the trainable parameters, and the optimiser's two moments.
    pub learning: u64,
    /// Activations of one micro-batch.
    pub activations: u64,
}

impl MemoryEstimate {
    /// Sum of all parts, in bytes.
    pub fn total(&self) -> u64 {
        (self.weights.saturating_add(self.learning)).saturating_add(self.activations)
    }
}

const FLOAT: u64 = 4;

/// Estimates a run with batches of `batch_size` pairs, in micro-batches of `micro_batch`.
pub fn estimate_memory(
    config: &ClipConfig,
    method: &TrainMode,
    batch_size: usize,
    micro_batch: usize,
    gradient_checkpointing: bool,
    device: &Device,
) -> MemoryEstimate {
    // Parameters are lazy: nothing large is allocated.
    let model = Clip::init(config, device);
    let mut count = ParamCounter {
        config,
        method,
        all: 0,
        learning: 0,
    };
    visit_params(&model, &mut count);
    let (mut all, mut learning) = (count.all, count.learning);
    if let TrainMode::Lora(lora) = method {
        learning = lora_size(&model, lora).unwrap_or(usize::MAX);
        all = all.saturating_add(learning);
    }
    let [image, text] = match method {
        TrainMode::Lora(lora) => towers_of(lora),
        TrainMode::Full(parts) => [parts.image, parts.text],
    };
    // With micro-batches the towers are backpropagated one after the other, otherwise
    // together.
    let activations =
        activation_count(image, image_layers(config)) + activation_count(text, text_layers(config));
    let share = if gradient_checkpointing { 0.75 } else { 1.0 };
    let activations = (activations as f64 * share) as u64;
    // Gradient and two moments; with micro-batches the accumulated gradient, too.
    let copies = if micro_batch < batch_size { 4 } else { 3 };
    MemoryEstimate {
        weights: FLOAT.saturating_mul(all as u64),
        learning: (copies * FLOAT).saturating_mul(learning as u64),
        activations: (FLOAT * activations).saturating_mul(micro_batch as u64),
    }
}

/// Largest micro-batch, at most `batch_size`, whose [`estimate_memory`] stays within
/// `bytes`; `None` if not even one pair fits.
pub fn largest_micro_batch(
    config: &ClipConfig,
    method: &TrainMode,
    batch_size: usize,
    gradient_checkpointing: bool,
    device: &Device,
    bytes: u64,
) -> Option<usize> {
    let checkpointing = gradient_checkpointing;
    let of = |pairs| estimate_memory(config, method, batch_size, pairs, checkpointing, device);
    if of(batch_size).total() <= bytes {
        return Some(batch_size);
    }
    let one = of(1);
    let left = bytes.checked_sub(one.weights.saturating_add(one.learning))?;
    let fits = usize::try_from(left / one.activations.max(1)).unwrap_or(usize::MAX);
    (fits > 0).then_some(fits.min(batch_size))
}

/// Activations saved in a tower, given those of each layer, input to output: from the
/// first trainable layer on, and at least the largest layer's.
fn activation_count(tower: Unfreeze, layers: Vec<u64>) -> u64 {
    let largest = layers.iter().copied().max().unwrap_or(0);
    let count = match tower {
        Unfreeze::Frozen => 0,
        Unfreeze::LastBlocks(blocks) => blocks,
        Unfreeze::All => layers.len(),
    };
    let count: u64 = layers.iter().rev().take(count).sum();
    count.max(largest)
}

fn image_layers(config: &ClipConfig) -> Vec<u64> {
    match &config.vision {
        VisionConfig::Vit(vision) => {
            let length = vision.tokens();
            let mut block = block_activations(
                [length, vision.width, vision.mlp_width, vision.heads],
                vision.activation,
            );
            if vision.rotary.is_some() {
                // Queries and keys, swapped, by cosine and by sine, and joined to the values.
                block += (11 * length * vision.width) as u64;
            }
            if vision.swiglu {
                // The gate, what it gates, their product and its layer norm.
                block += (5 * length * vision.mlp_width) as u64;
            }
            vec![block; vision.layers]
        }
        VisionConfig::ResNet(vision) => resnet_stages(vision),
        VisionConfig::FastVit(_) => Vec::new(), // is not trained
    }
}

fn text_layers(config: &ClipConfig) -> Vec<u64> {
    let text = &config.text;
    let block = block_activations(
        [text.context_length, text.width, text.mlp_width, text.heads],
        text.activation,
    );
    vec![block; text.layers]
}

/// Activations that a block saves per sample.
fn block_activations([length, width, mlp_width, heads]: [usize; 4], activation: Activation) -> u64 {
    // Inputs and outputs of both layer norms, query, key, value and attention output.
    let residual_stream = 14 * width;
    let mlp = match activation {
        Activation::QuickGelu => 4 * mlp_width,
        Activation::Gelu | Activation::GeluTanh => 2 * mlp_width,
    };
    // Scores, their exponentials, the softmax.
    let attention = 3 * heads * length;
    (length * (residual_stream + mlp + attention)) as u64
}

/// Activations that the stem and the four stages save per sample.
fn resnet_stages(vision: &ResNetConfig) -> Vec<u64> {
    // Per convolution: its output, permuted, normalised, and after ReLU.
    const EACH: usize = 4;
    let side = vision.image_size / 2;
    let stem = EACH * side * side * 2 * vision.width;
    let stages = (0..4).map(|stage| {
        let planes = vision.width << stage;
        let side = vision.image_size / (4 << stage);
        // Two of `planes` and one of four times as many channels; a stage's first block
        // works before the downsampling, and has a projection shortcut.
        let block = EACH * side * side * 6 * planes;
        let first = EACH * side * side * (if stage == 0 { 4 } else { 12 }) * planes;
        first + block * vision.layers[stage]
    });
    (std::iter::once(stem).chain(stages))
        .map(|activations| activations as u64)
        .collect()
}

struct ParamCounter<'a> {
    config: &'a ClipConfig,
    method: &'a TrainMode,
    all: usize,
    learning: usize,
}

impl ParamVisitor for ParamCounter<'_> {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let count = param.lazy_shape().num_elements();
        self.all += count;
        if let TrainMode::Full(parts) = self.method
            && parts.is_trainable(path, self.config)
        {
            self.learning += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Lora, TrainableParams};
    use super::*;
    use crate::model::{TextConfig, TextPooling, VitConfig};

    fn vit_b_32() -> ClipConfig {
        ClipConfig {
            embed_dim: 512,
            vision: VisionConfig::Vit(VitConfig {
                activation: Activation::Gelu,
                ..VitConfig::VIT_B_32
            }),
            text: TextConfig {
                vocab_size: 49_408,
                context_length: 77,
                width: 512,
                layers: 12,
                heads: 8,
                mlp_width: 2048,
                activation: Activation::Gelu,
                layer_norm_eps: 1e-5,
                eos_token_id: None,
                causal: true,
                pooling: TextPooling::EndOfText,
                projection_bias: false,
                layer_scale: false,
                bert: None,
                projection_width: None,
            },
            logit_bias: false,
        }
    }

    /// Peaks from `benches/training.rs`, in MiB.
    #[test]
    fn it_is_what_was_measured_or_somewhat_more() {
        let full = TrainMode::Full(TrainableParams::ALL);
        let lora = TrainMode::Lora(Lora::default());
        for (method, batch, parts, checkpointing, measured) in [
            (&full, 8, 8, false, 2564.0),
            (&full, 8, 4, false, 2691.0),
            (&full, 32, 32, false, 4405.0),
            (&full, 32, 32, true, 3361.0),
            (&lora, 8, 8, false, 1071.0),
        ] {
            let estimate = estimate_memory(
                &vit_b_32(),
                method,
                batch,
                parts,
                checkpointing,
                &Device::flex(),
            );
            let ratio = (estimate.total() >> 20) as f64 / measured;
            assert!(
                (1.0..1.35).contains(&ratio),
                "{method:?} {batch} {parts}: {ratio}"
            );
        }
    }

    #[test]
    fn a_smaller_part_is_offered_where_the_batch_does_not_fit() {
        let full = TrainMode::Full(TrainableParams::ALL);
        let cpu = Device::flex();
        let largest = |gigabytes: u64| {
            largest_micro_batch(&vit_b_32(), &full, 64, false, &cpu, gigabytes << 30)
        };
        assert_eq!(largest(1), None);
        assert!(largest(4).is_some_and(|pairs| (1..64).contains(&pairs)));
        assert_eq!(largest(40), Some(64));
    }
}
