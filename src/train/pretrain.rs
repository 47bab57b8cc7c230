//! CLIP from nothing: the loop that made the bundled model.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{AdamWHyperParameters, Augment, Drawings, WarmupCosine, adamw, contrastive_loss};
use crate::model::{Clip, ClipConfig, ImageEncoder, TokenBatch, VisionTransformer};

/// Everything that decides a run, beside the data.
#[derive(Clone, Debug)]
pub struct PretrainOptions {
    pub batch_size: usize,
    pub schedule: WarmupCosine,
    pub optimizer: AdamWHyperParameters,
    /// Batches of a step, each on a thread of its own; their gradients are
    /// averaged. Negatives come from within a batch.
    pub replicas: usize,
    /// Whether the model knows nothing yet: then captions are bare names at
    /// first, and other wordings come in over the first half of the run.
    pub beginner: bool,
    pub seed: u64,
}

/// A step's outcome.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Counted from 1.
    pub step: usize,
    pub loss: f32,
    /// `exp(logit_scale)`.
    pub scale: f32,
    pub learning_rate: f64,
}

/// Why training cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum PretrainError {
    #[error("a batch of {batch_size} is larger than the {concepts} concepts of the data")]
    BatchTooLarge { batch_size: usize, concepts: usize },
    #[error("the loss became {loss} in step {step}: try a smaller learning rate")]
    Diverged { step: usize, loss: f32 },
    #[error("a text could not be tokenised: {0}")]
    Text(String),
    #[error("the device failed: {0}")]
    Device(String),
}

/// Token ids of a text and the index of its end-of-text token.
pub type Encode<'a> = dyn Fn(&str) -> Result<(Vec<u32>, usize), String> + Sync + 'a;

/// A new model, ready for [`pretrain`].
pub fn fresh(config: &ClipConfig, seed: u64, device: &Device) -> Clip {
    let device = device.clone().autodiff();
    device.seed(seed);
    let mut model = Clip::init(config, &device);
    model.visual = match model.visual {
        ImageEncoder::Vit(visual) => ImageEncoder::Vit(woken(visual)),
        resnet => resnet,
    };
    model
}

/// Trains `model` on `data`. `report` sees every step and the model after it;
/// it runs on an autodiff device until [`Module::valid`] is called on it.
pub fn pretrain(
    mut model: Clip,
    data: &Drawings,
    augment: &Augment,
    encode: &Encode,
    options: &PretrainOptions,
    mut report: impl FnMut(Progress, &Clip),
) -> Result<Clip, PretrainError> {
    let device = &(model.logit_scale.val()).device();
    let mut rng = StdRng::seed_from_u64(options.seed);
    let mut optimizer = adamw(&model, options.optimizer);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for step in 0..options.schedule.steps {
        let variety = match options.beginner {
            true => (2.0 * step as f64 / options.schedule.steps as f64).min(1.0),
            false => 1.0,
        };
        let mut parts = Vec::with_capacity(options.replicas);
        for _ in 0..options.replicas.max(1) {
            if batches.is_empty() {
                batches = data.epoch(options.batch_size, &mut rng);
            }
            let batch = batches.pop().ok_or(PretrainError::BatchTooLarge {
                batch_size: options.batch_size,
                concepts: data.concept_count(),
            })?;
            let mut rng = StdRng::seed_from_u64(rng.random());
            parts.push(move || {
                Ok(Batch {
                    images: images(data, augment, &batch, device, &mut rng),
                    texts: texts(data, encode, &batch, variety, device, &mut rng)?,
                })
            });
        }
        let (gradients, loss) = gradients(&model, parts)?;
        // Every thread has noted its batch-norm statistics for itself; this is
        // what averages them into the model.
        drop(model.valid());
        if !loss.is_finite() {
            return Err(PretrainError::Diverged {
                step: step + 1,
                loss,
            });
        }
        let learning_rate = options.schedule.at(step);
        model = optimizer.step(learning_rate, model, gradients);
        model.logit_scale = capped(model.logit_scale);
        let progress = Progress {
            step: step + 1,
            loss,
            scale: scalar(model.logit_scale.val())?.exp(),
            learning_rate,
        };
        report(progress, &model);
    }
    Ok(model.valid())
}

/// Pairs of pictures and texts, on the device.
struct Batch {
    images: Tensor<4>,
    texts: TokenBatch,
}

impl Batch {
    /// The loss, and what it asks of every parameter.
    fn backward(self, model: &Clip) -> Result<(GradientsParams, f32), PretrainError> {
        let image_features = model.image_features(self.images);
        let text_features = model.text_features(self.texts);
        let loss = contrastive_loss(model.logits(image_features, text_features));
        let gradients = GradientsParams::from_grads(loss.backward(), model);
        Ok((gradients, scalar(loss)?))
    }
}

/// Mean gradients and mean loss of several batches, made and worked out side by
/// side.
fn gradients(
    model: &Clip,
    parts: Vec<impl FnOnce() -> Result<Batch, PretrainError> + Send>,
) -> Result<(GradientsParams, f32), PretrainError> {
    let count = parts.len();
    let outcomes = std::thread::scope(|scope| {
        let threads: Vec<_> = (parts.into_iter())
            .map(|part| {
                let model = model.clone().map(&mut Apart);
                scope.spawn(move || part()?.backward(&model))
            })
            .collect();
        (threads.into_iter())
            .map(|thread| {
                (thread.join())
                    .unwrap_or_else(|_| Err(PretrainError::Device("a thread panicked".into())))
            })
            .collect::<Result<Vec<_>, _>>()
    })?;
    let loss = outcomes.iter().map(|(_, loss)| loss).sum::<f32>() / count as f32;
    let mut mean = Mean {
        parts: outcomes.into_iter().map(|(part, _)| part).collect(),
        result: GradientsParams::new(),
    };
    model.visit(&mut mean);
    Ok((mean.result, loss))
}

/// The same parameters as leaves of a graph of their own: burn's autodiff locks
/// graphs that share a leaf, and two threads would wait for each other.
struct Apart;

impl ModuleMapper for Apart {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        scaled(param, 1.0)
    }
}

struct Mean {
    parts: Vec<GradientsParams>,
    result: GradientsParams,
}

impl ModuleVisitor for Mean {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let count = self.parts.len() as f64;
        let sum = (self.parts.iter_mut())
            .filter_map(|part| part.remove::<D>(param.id))
            .reduce(|sum, gradient| sum + gradient);
        if let Some(sum) = sum {
            self.result.register(param.id, sum / count);
        }
    }
}

fn images(
    data: &Drawings,
    augment: &Augment,
    batch: &[usize],
    device: &Device,
    rng: &mut StdRng,
) -> Tensor<4> {
    let size = augment.image_size;
    let pixels: Vec<f32> = (batch.iter())
        .flat_map(|index| augment.random(&data.sprites[*index], rng))
        .collect();
    Tensor::from_data(
        TensorData::new(pixels, [batch.len(), 3, size, size]),
        device,
    )
}

fn texts(
    data: &Drawings,
    encode: &Encode,
    batch: &[usize],
    variety: f64,
    device: &Device,
    rng: &mut StdRng,
) -> Result<TokenBatch, PretrainError> {
    let rows = (batch.iter())
        .map(|index| encode(&data.caption(*index, variety, rng)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(PretrainError::Text)?;
    Ok(TokenBatch::new(&rows, device))
}

/// The reference's initialisation of a ViT, changed for a short run. At the start every
/// picture has almost the same features, because the class token that is read
/// at the end is mostly itself; long runs get over that by and by. Here the
/// residual stream starts small, so that what the blocks bring in from the
/// patches outweighs it at once, and places are told apart from the first step.
fn woken(mut visual: VisionTransformer) -> VisionTransformer {
    visual.ln_pre.gamma = scaled(visual.ln_pre.gamma, 0.2);
    visual.positional_embedding = scaled(visual.positional_embedding, 4.0);
    visual
}

fn scaled<const D: usize>(param: Param<Tensor<D>>, by: f64) -> Param<Tensor<D>> {
    param.map(|values| Tensor::from_inner(values.inner() * by).require_grad())
}

/// The temperature is clipped, "to prevent scaling the logits by more than 100".
fn capped(logit_scale: Param<Tensor<1>>) -> Param<Tensor<1>> {
    // Clamped below the gradient's tracking: the cap is no part of the next step.
    logit_scale.map(|scale| {
        let highest = Clip::MAX_LOGIT_SCALE_EXP.ln();
        Tensor::from_inner(scale.inner().clamp(0.0, highest)).require_grad()
    })
}

fn scalar(tensor: Tensor<1>) -> Result<f32, PretrainError> {
    (tensor.into_data().try_into_vec::<f32>())
        .map_err(|error| PretrainError::Device(format!("{error:?}")))?
        .first()
        .copied()
        .ok_or_else(|| PretrainError::Device("an empty tensor came back".into()))
}
