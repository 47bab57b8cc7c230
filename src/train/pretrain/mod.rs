//! CLIP pre-training from scratch: the loop that made the bundled model.

mod augment;
mod data;
mod origin;
mod templates;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use rand::rngs::StdRng;

use super::optimizer::map_untracked;
use super::{
    AdamWHyperParameters, Batch, Gradients, StepReport, TrainError, TrainMode, TrainOptions,
    TrainableParams, Trainer, WarmupCosine, loss_and_gradients,
};
use crate::model::{Clip, ClipConfig, ImageEncoder, VisionConfig};

use data::seeded;

pub use augment::{Augment, Sprite};
pub use data::{
    ConceptGroup, ImageKind, LabelledImage, PretrainData, PretrainDataError, SharedName,
};
pub use origin::{ListFingerprint, PretrainOrigin};

/// Options of a run besides the data.
#[derive(Clone, Debug)]
pub struct PretrainOptions {
    /// Augmentation of the images.
    pub augment: Augment,
    /// Pairs of a batch.
    pub batch_size: usize,
    /// Learning rate by step.
    pub schedule: WarmupCosine,
    /// Hyper-parameters of AdamW.
    pub optimizer: AdamWHyperParameters,
    /// Batches of a step, each on a thread of its own; their gradients are
    /// averaged. Negatives come from within a batch.
    pub replicas: usize,
    /// Whether the model knows nothing yet: then captions are bare names at
    /// first, and other wordings come in over the first half of the run.
    pub beginner: bool,
    /// Random seed.
    pub seed: u64,
}

/// Why training cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum PretrainError {
    /// Checkpoint of a run with other data or options; the differences in words.
    #[error(
        "the checkpoint belongs to another run: {0}. Resume with the data and options that it was \
         started with, or discard it with --restart"
    )]
    OtherRun(String),
    /// Caption that cannot be tokenised.
    #[error("a text could not be tokenised: {0}")]
    Text(EncodeError),
    /// Step that failed.
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Error of the caller's tokenizer.
pub type EncodeError = Box<dyn std::error::Error + Send + Sync>;

/// Token ids of a text and the index of its end-of-text token.
pub type Encode<'a> = dyn Fn(&str) -> Result<(Vec<u32>, usize), EncodeError> + Sync + 'a;

/// Trains `model` on `data`. With a `state` that [`Trainer::pretraining_state`] of such a run gave, goes
/// on there, by the same data and options but for the schedule; a state that [`Trainer::state`] gave
/// does not know its data. `report` sees every step and the trainer after it, and
/// says whether to go on.
pub async fn pretrain(
    model: Clip,
    config: &ClipConfig,
    data: &PretrainData,
    encode: &Encode<'_>,
    options: &PretrainOptions,
    state: Option<&[u8]>,
    mut report: impl FnMut(StepReport, &Trainer) -> bool,
) -> Result<Clip, PretrainError> {
    let replicas = options.replicas.max(1);
    let augment = &options.augment;
    let options_of_trainer = TrainOptions {
        method: TrainMode::Full(TrainableParams::ALL),
        schedule: options.schedule,
        optimizer: options.optimizer,
        clip_norm: None,
        micro_batch: options.batch_size,
        gradient_checkpointing: false,
        seed: options.seed,
    };
    let mut beginner = options.beginner;
    let mut trainer = match state {
        Some(state) => {
            let mut differences = Vec::new();
            if let Some(origin) = PretrainOrigin::of_state(state)? {
                differences.extend(origin.differences(&PretrainOrigin::new(data, options)));
                beginner = origin.beginner;
            }
            let mut known = super::state::progress(state)?;
            known.options.schedule = options.schedule;
            differences.extend(origin::differences(
                (&known.options, &known.config),
                (&options_of_trainer, config),
            ));
            if !differences.is_empty() {
                return Err(PretrainError::OtherRun(differences.join("; ")));
            }
            let (mut trainer, _) = Trainer::resume(model, config.clone(), state)?;
            trainer.set_schedule(options.schedule);
            trainer
        }
        None => Trainer::new(model, config.clone(), options_of_trainer)?,
    };
    let mut sampler = data.sampler(options.batch_size, options.seed);
    for step in trainer.steps()..options.schedule.steps {
        let variety = match beginner {
            true => (2.0 * step as f64 / options.schedule.steps as f64).min(1.0),
            false => 1.0,
        };
        let parts = (0..replicas)
            .map(|replica| {
                let number = (step * replicas + replica) as u64;
                let drawn = sampler.draw(number);
                let mut rng = seeded([options.seed, u64::MAX, number]);
                move || batch(data, augment, encode, &drawn, variety, &mut rng)
            })
            .collect();
        let (loss, gradients) = side_by_side(trainer.tracked(), augment.image_size, parts)?;
        let found = trainer.learn(loss, gradients).await?;
        if !report(found, &trainer) {
            break;
        }
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

/// Augmented images and captions of the images that were `drawn`.
fn batch(
    data: &PretrainData,
    augment: &Augment,
    encode: &Encode,
    drawn: &[usize],
    variety: f64,
    rng: &mut StdRng,
) -> Result<Batch, PretrainError> {
    let mut pairs = Vec::with_capacity(drawn.len());
    for image in drawn {
        let caption = data.caption(*image, variety, rng);
        let text = encode(&caption.text).map_err(PretrainError::Text)?;
        pairs.push((*image, caption, text));
    }
    // Texts of one length are encoded together.
    pairs.sort_by_key(|(_, _, (ids, _))| ids.len());
    let mut false_negatives = Vec::with_capacity(pairs.len() * pairs.len());
    for (image, ..) in &pairs {
        for (other, caption, _) in &pairs {
            false_negatives.push(data.may_be_true(*image, *other, caption));
        }
    }
    Ok(Batch {
        pixels: (pairs.iter())
            .map(|(image, ..)| augment.random(data.sprite(*image), data.kind(*image), rng))
            .collect(),
        prefix: None,
        texts: pairs.into_iter().map(|(.., text)| text).collect(),
        captions: (0..drawn.len() as u64).collect(),
        false_negatives,
    })
}

/// Resizes the positional embedding of a ResNet's attention pool, `[1 + grid * grid, channels]`, to
/// the image size of `config`, as open_clip does when weights of another size are loaded: the grid by
/// interpolation, the mean's as it is.
pub fn resize_positional_embedding(mut model: Clip, config: &ClipConfig) -> Clip {
    let (ImageEncoder::ResNet(visual), VisionConfig::ResNet(wanted)) =
        (&mut model.visual, &config.vision)
    else {
        return model;
    };
    let embedding = visual.attnpool.positional_embedding.clone();
    let [tokens, channels] = embedding.dims();
    let (from, to) = (((tokens - 1) as f64).sqrt().round() as usize, wanted.grid());
    if from == to {
        return model;
    }
    visual.attnpool.positional_embedding = map_untracked(embedding, |values| {
        let mean = values.clone().narrow(0, 0, 1);
        let place =
            |row: usize, column: usize| values.clone().narrow(0, 1 + row * from + column, 1);
        // Centres of cells, as an image is resized bilinearly.
        let at = |i: usize| {
            let at =
                ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
            let low = at as usize;
            (low, (low + 1).min(from - 1), at - low as f64)
        };
        let mut rows = vec![mean];
        for (top, bottom, fy) in (0..to).map(at) {
            for (left, right, fx) in (0..to).map(at) {
                let across = |row| place(row, left) * (1.0 - fx) + place(row, right) * fx;
                rows.push(across(top) * (1.0 - fy) + across(bottom) * fy);
            }
        }
        Tensor::cat(rows, 0).reshape([1 + to * to, channels])
    });
    model
}
