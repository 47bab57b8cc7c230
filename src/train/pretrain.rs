//! CLIP from nothing: the loop that made the bundled model.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::optimizer::map_untracked;
use super::{
    AdamWHyperParameters, Augment, Batch, Drawings, Gradients, Learning, Parts, StepReport,
    TrainError, TrainOptions, Trainer, WarmupCosine, loss_and_gradients,
};
use crate::model::{Clip, ClipConfig, ImageEncoder, VisionTransformer};

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

/// Why training cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum PretrainError {
    #[error("a batch of {batch_size} is larger than the {concepts} concepts of the data")]
    BatchTooLarge { batch_size: usize, concepts: usize },
    #[error("a text could not be tokenised: {0}")]
    Text(String),
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Token ids of a text and the index of its end-of-text token.
pub type Encode<'a> = dyn Fn(&str) -> Result<(Vec<u32>, usize), String> + Sync + 'a;

/// A new model, ready for [`pretrain`].
pub fn fresh(config: &ClipConfig, seed: u64, device: &Device) -> Clip {
    crate::ops::seed(seed);
    let mut model = Clip::init(config, device);
    model.visual = match model.visual {
        ImageEncoder::Vit(visual) => ImageEncoder::Vit(woken(visual)),
        resnet => resnet,
    };
    model.visit(&mut Drawn);
    model
}

/// Looks at every parameter, so that all are drawn here and in their order.
struct Drawn;

impl ModuleVisitor for Drawn {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        param.val();
    }
}

/// Trains `model` on `data`. `report` sees every step and the trainer after it.
pub async fn pretrain(
    model: Clip,
    config: &ClipConfig,
    data: &Drawings,
    augment: &Augment,
    encode: &Encode<'_>,
    options: &PretrainOptions,
    mut report: impl FnMut(StepReport, &Trainer),
) -> Result<Clip, PretrainError> {
    let mut rng = StdRng::seed_from_u64(options.seed);
    let options_of_trainer = TrainOptions {
        method: Learning::Full(Parts::ALL),
        schedule: options.schedule,
        optimizer: options.optimizer,
        clip_norm: None,
        micro_batch: options.batch_size,
        gradient_checkpointing: false,
        seed: options.seed,
    };
    let mut trainer = Trainer::new(model, config.clone(), options_of_trainer)?;
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
            let drawn = batches.pop().ok_or(PretrainError::BatchTooLarge {
                batch_size: options.batch_size,
                concepts: data.concept_count(),
            })?;
            let mut rng = StdRng::seed_from_u64(rng.random());
            parts.push(move || batch(data, augment, encode, &drawn, variety, &mut rng));
        }
        let (loss, gradients) = side_by_side(trainer.tracked(), augment.image_size, parts)?;
        let found = trainer.learn(loss, gradients).await?;
        report(found, &trainer);
    }
    Ok(trainer.model())
}

/// Mean loss and mean gradients of several batches, made and worked out each on a
/// thread of its own.
fn side_by_side(
    model: &Clip,
    image_size: usize,
    parts: Vec<impl FnOnce() -> Result<Batch, PretrainError> + Send>,
) -> Result<(Tensor<1>, Gradients), PretrainError> {
    let share = 1.0 / parts.len() as f64;
    let outcomes = std::thread::scope(|scope| {
        let threads: Vec<_> = (parts.into_iter())
            .map(|part| {
                let model = model.clone().map(&mut Apart);
                scope.spawn(move || {
                    let batch = part()?;
                    Ok(loss_and_gradients(&model, &batch, image_size, batch.len()))
                })
            })
            .collect();
        let panicked = || TrainError::Device("a thread panicked".into()).into();
        (threads.into_iter())
            .map(|thread| thread.join().unwrap_or_else(|_| Err(panicked())))
            .collect::<Result<Vec<_>, PretrainError>>()
    })?;
    let (losses, outcomes): (Vec<_>, Vec<_>) = outcomes.into_iter().unzip();
    let mut sum = Gradients::default();
    outcomes
        .into_iter()
        .for_each(|gradients| sum.add(gradients));
    Ok((Tensor::cat(losses, 0).mean(), sum.scaled(share)))
}

/// The same parameters as leaves of a graph of their own: burn's autodiff locks
/// graphs that share a leaf, and two threads would wait for each other.
struct Apart;

impl ModuleMapper for Apart {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        map_untracked(param, |values| values)
    }
}

/// Pictures and captions of the drawings that were `drawn`.
fn batch(
    data: &Drawings,
    augment: &Augment,
    encode: &Encode,
    drawn: &[usize],
    variety: f64,
    rng: &mut StdRng,
) -> Result<Batch, PretrainError> {
    let pixels = (drawn.iter())
        .map(|index| augment.random(&data.sprites[*index], rng))
        .collect();
    let texts = (drawn.iter())
        .map(|index| encode(&data.caption(*index, variety, rng)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(PretrainError::Text)?;
    // No concept is drawn twice into a batch.
    let captions = (0..drawn.len() as u64).collect();
    Ok(Batch {
        pixels,
        texts,
        captions,
    })
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
    map_untracked(param, |values| values * by)
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::hub::{self, Bundled};

    struct Sums(Vec<f32>);

    impl ModuleVisitor for Sums {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().sum().into_scalar::<f32>());
        }
    }

    #[test]
    fn a_seed_is_a_model_whatever_is_drawn_beside() {
        let config = block_on(hub::open(&Bundled, None)).unwrap().config;
        let sums = |seed| {
            let mut sums = Sums(Vec::new());
            fresh(&config, seed, &Device::flex()).visit(&mut sums);
            sums.0
        };
        let expected = sums(3);
        std::thread::scope(|scope| {
            let sums = &sums;
            let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || sums(seed))).collect();
            for (seed, thread) in threads.into_iter().enumerate() {
                assert_eq!(thread.join().unwrap() == expected, seed == 3);
            }
        });
    }
}
