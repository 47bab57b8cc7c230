//! What a run takes of a device's memory, told before it starts.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

use super::lora::{lora_size, towers_of};
use super::{Learning, Tower};
use crate::model::{Activation, Clip, ClipConfig, ResNetConfig, VisionConfig};

/// An estimate, in bytes: 1 to 1.35 times what was measured on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Parameters, learning or not.
    pub weights: u64,
    /// Gradients of what learns, and the optimiser's two moments.
    pub learning: u64,
    /// What one part of a batch leaves for the way back.
    pub activations: u64,
}

impl MemoryEstimate {
    pub fn total(&self) -> u64 {
        self.weights + self.learning + self.activations
    }
}

const FLOAT: u64 = 4;

/// Of a run whose steps see `batch_size` pairs and compute `micro_batch` at once.
pub fn estimate_memory(
    config: &ClipConfig,
    method: &Learning,
    batch_size: usize,
    micro_batch: usize,
    gradient_checkpointing: bool,
    device: &Device,
) -> MemoryEstimate {
    // Parameters are lazy: nothing of size is made here.
    let model = Clip::init(config, device);
    let mut count = Count {
        path: Vec::new(),
        config,
        method,
        all: 0,
        learning: 0,
    };
    model.visit(&mut count);
    let (mut all, mut learning) = (count.all, count.learning);
    if let Learning::Lora(lora) = method {
        learning = lora_size(model, lora);
        all += learning;
    }
    let [image, text] = match method {
        Learning::Lora(lora) => towers_of(lora),
        Learning::Full(parts) => [parts.image, parts.text],
    };
    // The towers are followed back one after the other where a batch comes in
    // parts, together where it does not.
    let numbers = kept(image, image_layers(config)) + kept(text, text_layers(config));
    let share = if gradient_checkpointing { 0.75 } else { 1.0 };
    let numbers = (numbers as f64 * share) as u64;
    // Two moments and the gradient; and its sum over the parts, if there are any.
    let copies = if micro_batch < batch_size { 4 } else { 3 };
    MemoryEstimate {
        weights: FLOAT * all as u64,
        learning: copies * FLOAT * learning as u64,
        activations: FLOAT * numbers * micro_batch as u64,
    }
}

/// The largest number of pairs at once, at most `batch_size`, for which
/// [`estimate_memory`] stays within `bytes`; `None` if not even one pair fits.
pub fn largest_micro_batch(
    config: &ClipConfig,
    method: &Learning,
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
    let left = bytes.checked_sub(one.weights + one.learning)?;
    let fits = usize::try_from(left / one.activations.max(1)).unwrap_or(usize::MAX);
    (fits > 0).then_some(fits.min(batch_size))
}

/// Numbers kept of a tower whose layers put out `layers`, the first layer first:
/// those from the first one on that learns, and never less than one layer's.
fn kept(tower: Tower, layers: Vec<u64>) -> u64 {
    let largest = layers.iter().copied().max().unwrap_or(0);
    let count = match tower {
        Tower::Frozen => 0,
        Tower::Last(blocks) => blocks,
        Tower::Whole => layers.len(),
    };
    let kept: u64 = layers.iter().rev().take(count).sum();
    kept.max(largest)
}

fn image_layers(config: &ClipConfig) -> Vec<u64> {
    match &config.vision {
        VisionConfig::Vit(vision) => {
            let length = vision.grid().pow(2) + 1;
            let block = block(
                [length, vision.width, vision.mlp_width, vision.heads],
                vision.activation,
            );
            vec![block; vision.layers]
        }
        VisionConfig::ResNet(vision) => resnet_stages(vision),
    }
}

fn text_layers(config: &ClipConfig) -> Vec<u64> {
    let text = &config.text;
    let block = block(
        [text.context_length, text.width, text.mlp_width, text.heads],
        text.activation,
    );
    vec![block; text.layers]
}

/// What a block keeps of one example.
fn block([length, width, mlp_width, heads]: [usize; 4], activation: Activation) -> u64 {
    // In and out of both layer norms, query, key and value, their mixture.
    let stream = 14 * width;
    let mlp = match activation {
        Activation::QuickGelu => 4 * mlp_width,
        Activation::Gelu => 2 * mlp_width,
    };
    // Scores, their exponentials, their shares.
    let attention = 3 * heads * length;
    (length * (stream + mlp + attention)) as u64
}

/// What the stem and the four stages keep of one example.
fn resnet_stages(vision: &ResNetConfig) -> Vec<u64> {
    // Of a convolution: its result, turned, normalised, and above zero.
    const EACH: usize = 4;
    let side = vision.image_size / 2;
    let stem = EACH * side * side * 2 * vision.width;
    let stages = (0..4).map(|stage| {
        let planes = vision.width << stage;
        let side = vision.image_size / (4 << stage);
        // Two of `planes` and one of four times as many; the first block of a
        // stage works before it is made smaller, and has a shortcut.
        let block = EACH * side * side * 6 * planes;
        let first = EACH * side * side * (if stage == 0 { 4 } else { 12 }) * planes;
        first + block * vision.layers[stage]
    });
    (std::iter::once(stem).chain(stages))
        .map(|numbers| numbers as u64)
        .collect()
}

struct Count<'a> {
    path: Vec<String>,
    config: &'a ClipConfig,
    method: &'a Learning,
    all: usize,
    learning: usize,
}

impl ModuleVisitor for Count<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let numbers = param.lazy_shape().num_elements();
        self.all += numbers;
        if let Learning::Full(parts) = self.method
            && parts.learns(&self.path.join("."), self.config)
        {
            self.learning += numbers;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Lora, Parts};
    use super::*;
    use crate::model::{TextConfig, VitConfig};

    fn vit_b_32() -> ClipConfig {
        ClipConfig {
            embed_dim: 512,
            vision: VisionConfig::Vit(VitConfig {
                image_size: 224,
                patch_size: 32,
                width: 768,
                layers: 12,
                heads: 12,
                mlp_width: 3072,
                activation: Activation::Gelu,
                layer_norm_eps: 1e-5,
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
            },
        }
    }

    /// Peaks of `benches/training.rs`, in MiB.
    #[test]
    fn it_is_what_was_measured_or_somewhat_more() {
        let full = Learning::Full(Parts::ALL);
        let lora = Learning::Lora(Lora::default());
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
        let full = Learning::Full(Parts::ALL);
        let cpu = Device::flex();
        let largest = |gigabytes: u64| {
            largest_micro_batch(&vit_b_32(), &full, 64, false, &cpu, gigabytes << 30)
        };
        assert_eq!(largest(1), None);
        assert!(largest(4).is_some_and(|pairs| (1..64).contains(&pairs)));
        assert_eq!(largest(40), Some(64));
    }
}
