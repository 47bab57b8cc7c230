//! LoRA (Hu et al. 2021): low-rank matrices beside frozen projections.
//!
//! burn's LoRA works on any parameter, but materialises the full weight matrix and its
//! full gradient in every step, and treats the fused projection of query, key and value
//! as one. Here each has its own pair, as in PEFT, and only products with the small
//! matrices are added.

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::{TrainError, Unfreeze};
use crate::model::{Clip, ImageEncoder, Transformer};
use crate::ops::{Linear, LowRank};

/// Projection that LoRA can adapt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Target {
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Attention's output projection; in a ResNet's attention pool, the projection into
    /// the shared space.
    Out,
    /// The MLP's first layer.
    Fc1,
    /// The MLP's second layer.
    Fc2,
}

impl Target {
    /// Projections of attention.
    pub const ATTENTION: [Self; 4] = [Self::Query, Self::Key, Self::Value, Self::Out];
    /// Projections of attention and MLP.
    pub const ALL: [Self; 6] = [
        Self::Query,
        Self::Key,
        Self::Value,
        Self::Out,
        Self::Fc1,
        Self::Fc2,
    ];
}

/// LoRA hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lora {
    /// Rank of the update.
    pub rank: usize,
    /// The low-rank product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Adapts the image encoder: the blocks of a ViT, the attention pool of a ResNet.
    pub image: bool,
    /// Adapts the text encoder.
    pub text: bool,
    /// Projections that are adapted.
    pub targets: Vec<Target>,
}

impl Default for Lora {
    /// Rank 8 on the attention projections of both towers.
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            image: true,
            text: true,
            targets: Target::ATTENTION.to_vec(),
        }
    }
}

impl Lora {
    /// Attaches new pairs to `model`. As in the reference, `b` is zero, so that the model
    /// is unchanged at first, and `a` has PyTorch's default initialisation.
    pub fn attach(&self, mut model: Clip, seed: u64) -> Result<Clip, TrainError> {
        if self.rank == 0 {
            return Err(TrainError::Adapter("its rank is 0".into()));
        }
        let mut rng = StdRng::seed_from_u64(seed);
        let scale = self.alpha / self.rank as f64;
        for site in sites(&mut model) {
            let adapts_tower = if site.is_image { self.image } else { self.text };
            site.layer.merge();
            if !adapts_tower || !site.targets.iter().any(|t| self.targets.contains(t)) {
                continue;
            }
            let device = site.layer.weight.lazy_device();
            let (d_input, columns) = site.shape();
            let bound = (d_input as f32).powf(-0.5);
            site.layer.lora = (site.targets.iter())
                .map(|target| {
                    self.targets.contains(target).then(|| {
                        let a = (0..d_input * self.rank)
                            .map(|_| rng.random_range(-bound..bound))
                            .collect();
                        let a = matrix(a, [d_input, self.rank], &device);
                        let b = Tensor::zeros([self.rank, columns], (&device, DType::F32));
                        pair(a, b, scale)
                    })
                })
                .collect();
        }
        Ok(model)
    }
}

/// `model` with LoRA merged into its weights.
pub fn merge_lora(mut model: Clip) -> Clip {
    sites(&mut model)
        .into_iter()
        .for_each(|site| site.layer.merge());
    model
}

/// Adaptable layer with its metadata.
pub(super) struct Site<'a> {
    pub layer: &'a mut Linear,
    pub is_image: bool,
    /// Target of each equal part of the layer's output.
    pub targets: &'static [Target],
    /// Name of each part in transformers.
    pub names: Vec<String>,
}

impl Site<'_> {
    /// Rows of the weights, and columns of one part.
    pub fn shape(&self) -> (usize, usize) {
        let [d_input, d_output] = self.layer.weight.lazy_shape().dims();
        (d_input, d_output / self.targets.len())
    }
}

/// Names of a block's layers in transformers: queries, keys and values, their output, the MLP's two.
type Names = ([&'static str; 3], [&'static str; 3]);

const CLIP: Names = (
    ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    ["self_attn.out_proj", "mlp.fc1", "mlp.fc2"],
);

const BERT: Names = (
    [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
    ],
    [
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ],
);

/// All layers that LoRA can adapt.
pub(super) fn sites(model: &mut Clip) -> Vec<Site<'_>> {
    let mut found = Vec::new();
    match &mut model.visual {
        ImageEncoder::Vit(vit) => {
            let layers = "vision_model.encoder.layers";
            blocks(&mut vit.transformer, layers, CLIP, true, &mut found);
        }
        ImageEncoder::ResNet(resnet) => {
            // transformers has no ResNet: these names are OpenCLIP's.
            let pool = &mut resnet.attnpool;
            let layers: [(&mut Linear, &'static [Target], &str); 4] = [
                (&mut pool.q_proj, &[Target::Query], "q_proj"),
                (&mut pool.k_proj, &[Target::Key], "k_proj"),
                (&mut pool.v_proj, &[Target::Value], "v_proj"),
                (&mut pool.c_proj, &[Target::Out], "c_proj"),
            ];
            found.extend(layers.map(|(layer, targets, name)| Site {
                layer,
                is_image: true,
                targets,
                names: vec![format!("visual.attnpool.{name}")],
            }));
        }
        ImageEncoder::FastVit(_) => {} // is not trained
    }
    let (layers, names) = match model.text.token_type_embedding {
        None => ("text_model.encoder.layers", CLIP),
        Some(_) => ("text_model.encoder.layer", BERT),
    };
    blocks(
        &mut model.text.transformer,
        layers,
        names,
        false,
        &mut found,
    );
    found
}

fn blocks<'a>(
    transformer: &'a mut Transformer,
    prefix: &str,
    (fused, [out, fc1, fc2]): Names,
    is_image: bool,
    found: &mut Vec<Site<'a>>,
) {
    for (number, block) in transformer.resblocks.iter_mut().enumerate() {
        const FUSED: &[Target] = &[Target::Query, Target::Key, Target::Value];
        let (attn, mlp) = (&mut block.attn, &mut block.mlp);
        let layers: [(&mut Linear, &'static [Target], &[&str]); 4] = [
            (&mut attn.in_proj, FUSED, &fused),
            (&mut attn.out_proj, &[Target::Out], &[out]),
            (&mut mlp.c_fc, &[Target::Fc1], &[fc1]),
            (&mut mlp.c_proj, &[Target::Fc2], &[fc2]),
        ];
        found.extend(layers.map(|(layer, targets, names)| {
            Site {
                layer,
                is_image,
                targets,
                names: (names.iter())
                    .map(|name| format!("{prefix}.{number}.{name}"))
                    .collect(),
            }
        }));
    }
}

pub(super) fn pair(a: Tensor<2>, b: Tensor<2>, scale: f64) -> LowRank {
    LowRank::new(Param::from_tensor(a), Param::from_tensor(b), scale)
}

pub(super) fn matrix(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// Whether a parameter belongs to LoRA.
pub(super) fn is_lora(path: &str) -> bool {
    path.contains(".lora.")
}

/// Number of parameters that it adds to `model`; `None` if that is no number.
pub(super) fn lora_size(model: &Clip, lora: &Lora) -> Option<usize> {
    let mut model = model.clone();
    let sites = sites(&mut model);
    let mut sizes = (sites.iter())
        .filter(|site| if site.is_image { lora.image } else { lora.text })
        .map(|site| {
            let (d_input, columns) = site.shape();
            let targets = site.targets.iter().filter(|t| lora.targets.contains(t));
            (targets.count() * (d_input + columns)).checked_mul(lora.rank)
        });
    sizes.try_fold(0usize, |sum, size| sum.checked_add(size?))
}

/// Depth of the backward pass in the image tower and in the text tower.
pub(super) fn towers_of(lora: &Lora) -> [Unfreeze; 2] {
    [lora.image, lora.text].map(|learns| match learns {
        true => Unfreeze::All,
        false => Unfreeze::Frozen,
    })
}
