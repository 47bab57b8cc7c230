//! Loss and gradients of one batch; with gradient caching (GradCache) when it exceeds the
//! micro-batch.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};

use super::optimizer::{in_graph, map_untracked};
use super::{FrozenPrefix, Gradients, TrainError, contrastive_loss, sigmoid_loss};
use crate::model::{
    Clip, ClipConfig, ImageEncoder, ParamMapper, ParamVisitor, map_params, visit_params,
};

/// Batch of image-text pairs.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Preprocessed pixels of each pair, `[3, image_size, image_size]`, or what `prefix` made of
    /// them.
    pub pixels: Vec<Vec<f32>>,
    /// Part of the image encoder that the images have been through ([`Trainer::encode_prefix`]).
    ///
    /// [`Trainer::encode_prefix`]: super::Trainer::encode_prefix
    pub prefix: Option<FrozenPrefix>,
    /// Token ids of each pair, as [`Clip::encode_texts`] takes them.
    pub texts: Vec<(Vec<u32>, usize)>,
    /// Caption or class id of each pair: pairs with equal ids are no negatives of each
    /// other.
    pub captions: Vec<u64>,
    /// Mask of texts that may be true of an image, `[images, texts]` row by row, or
    /// empty: excluded from the negatives.
    pub false_negatives: Vec<bool>,
}

impl Batch {
    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.pixels.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    fn ignores(&self, image: usize, text: usize) -> bool {
        let known = self.false_negatives.get(image * self.len() + text);
        self.captions[image] == self.captions[text] || known == Some(&true)
    }

    /// Validates the batch for a model.
    pub(super) fn check(&self, config: &ClipConfig) -> Result<(), TrainError> {
        let context = config.text.context_length;
        let misfit = |what: String| Err(TrainError::Batch(what));
        let (pixels, texts) = (self.pixels.len(), self.texts.len());
        if pixels != texts || pixels != self.captions.len() {
            return misfit(format!(
                "{pixels} images, {texts} texts and {} captions",
                self.captions.len()
            ));
        }
        if !matches!(self.false_negatives.len(), length if length == 0 || length == pixels * pixels)
        {
            return misfit(format!(
                "{} marks of false negatives for {pixels} pairs",
                self.false_negatives.len()
            ));
        }
        let numbers = match self.prefix {
            None => 3 * config.vision.image_size().pow(2),
            Some(prefix) => prefix.output_len(config),
        };
        if let Some(picture) = self.pixels.iter().find(|p| p.len() != numbers) {
            return misfit(format!(
                "an image has {} values, not {numbers}",
                picture.len()
            ));
        }
        let long = |(ids, end): &&(Vec<u32>, usize)| *end >= context || *end >= ids.len();
        if self.texts.iter().any(|text| long(&text)) {
            return misfit(format!("a text does not end within {context} tokens"));
        }
        let first = self.captions.first();
        match self.captions.iter().any(|caption| Some(caption) != first) {
            true => Ok(()),
            false => Err(TrainError::NoNegatives(self.captions.len().min(1))),
        }
    }

    /// Image features of a range of the batch, `[len, embed_dim]`.
    fn image_features(&self, model: &Clip, part: BatchRange, image_size: usize) -> Tensor<2> {
        let device = model.logit_scale.val().device();
        let values = self.pixels[part.clone()].concat();
        match self.prefix {
            None => {
                let shape = [part.len(), 3, image_size, image_size];
                let values = TensorData::new(values, shape);
                model.image_features(Tensor::from_data(values, &device))
            }
            Some(prefix) => {
                let shape = [part.len(), values.len() / part.len().max(1)];
                let values = TensorData::new(values, shape);
                prefix.image_features(model, Tensor::from_data(values, &device))
            }
        }
    }

    /// Loss of the features, `[1]`: the one that the model was trained with.
    fn loss(&self, model: &Clip, images: Tensor<2>, texts: Tensor<2>) -> Tensor<1> {
        let logits = model.logits(images, texts);
        let ignored = |image, text| self.ignores(image, text);
        match model.logit_bias {
            None => contrastive_loss(logits, ignored),
            Some(_) => sigmoid_loss(logits, ignored),
        }
    }
}

/// Chunks in which the texts of a batch are encoded.
const TEXT_CHUNKS: usize = 4;

type BatchRange = std::ops::Range<usize>;

/// Features of the micro-batch that starts at an index.
type Features<'a> = dyn Fn(&Clip, usize) -> Tensor<2> + 'a;

/// Loss of `batch`, `[1]`, and its gradients. A batch larger than `micro_batch` uses
/// gradient caching (Gao et al. 2021): features of all micro-batches without a graph, the
/// loss and its gradient with respect to the features, then a backward pass through each
/// micro-batch. The result is that of the full batch, with the memory of a micro-batch;
/// only batch normalisation uses the statistics of each micro-batch.
pub fn loss_and_gradients(
    model: &Clip,
    batch: &Batch,
    image_size: usize,
    micro_batch: usize,
) -> (Tensor<1>, Gradients) {
    let device = model.logit_scale.val().device();
    let micro_batch = micro_batch.clamp(1, batch.len().max(1));
    if batch.len() <= micro_batch {
        let images = batch.image_features(model, 0..batch.len(), image_size);
        // A chunk is padded to its longest text: in a batch sorted by length, chunks
        // waste less.
        let part = batch.len().div_ceil(TEXT_CHUNKS);
        let texts = (0..batch.len()).step_by(part).map(|start| {
            let part = start..(start + part).min(batch.len());
            model.encode_texts(&batch.texts[part], &device)
        });
        let texts = Tensor::cat(texts.collect(), 0);
        let loss = batch.loss(model, images, texts);
        let gradients = Gradients::of(model, loss.backward());
        return (loss.inner(), gradients);
    }
    let strategy = device.gradient_checkpointing_strategy();
    let parts = || (0..batch.len()).step_by(micro_batch);
    let part = |start: usize| start..(start + micro_batch).min(batch.len());
    let images = |model: &Clip, start| batch.image_features(model, part(start), image_size);
    let texts = |model: &Clip, start| {
        let device = model.logit_scale.val().device();
        model.encode_texts(&batch.texts[part(start)], &device)
    };

    // All features, as leaves of a graph of their own. The running statistics that this
    // pass updates are restored, since the second pass updates them again.
    let statistics = RunningStats::of(model);
    let no_grad_model = match model.visual {
        ImageEncoder::Vit(_) | ImageEncoder::FastVit(_) => model.valid(),
        // burn normalises by the batch only with autodiff.
        ImageEncoder::ResNet(_) => model.clone().no_grad(),
    };
    let all = |features: &Features| {
        let features = parts()
            .map(|start| features(&no_grad_model, start))
            .collect();
        in_graph(Tensor::cat(features, 0).inner(), strategy).require_grad()
    };
    let (image_features, text_features) = (all(&images), all(&texts));
    statistics.restore(&no_grad_model);

    let loss = batch.loss(model, image_features.clone(), text_features.clone());
    let mut grads = loss.backward();
    let feature_grads =
        [image_features, text_features].map(|features| features.grad_remove(&mut grads));
    let mut gradients = Gradients::of(model, grads);

    let towers: [&Features; 2] = [&images, &texts];
    for (features, grad) in towers.into_iter().zip(feature_grads) {
        let Some(grad) = grad else { continue };
        for start in parts() {
            let features = features(model, start);
            if !features.is_tracked() {
                break; // the tower is frozen
            }
            let grad = grad.clone().narrow(0, start, part(start).len());
            let grad = in_graph(grad, strategy);
            // Surrogate loss: its gradient w.r.t. the features equals the cached one.
            let surrogate_loss = (features * grad).sum();
            gradients.add(Gradients::of(model, surrogate_loss.backward()));
        }
    }
    (loss.inner(), gradients)
}

/// Running statistics of batch normalisation, which all clones of a model share.
struct RunningStats(Vec<Tensor<1>>);

impl RunningStats {
    fn of(model: &Clip) -> Self {
        let mut collector = RunningStatsVisitor::default();
        if let ImageEncoder::ResNet(_) = model.visual {
            sync_running_stats(model);
            visit_params(model, &mut collector);
        }
        Self(collector.stats)
    }

    /// Restores them.
    fn restore(self, model: &Clip) {
        if self.0.is_empty() {
            return;
        }
        sync_running_stats(model);
        let mut stats = self.0;
        stats.reverse();
        let _ = map_params(model.clone(), &mut RunningStatsMapper { stats });
    }
}

/// Synchronises running statistics, which burn collects per thread, into the model.
pub(super) fn sync_running_stats(model: &Clip) {
    drop(model.valid());
}

/// Whether a path is that of a running mean or variance of batch normalisation.
pub(super) fn is_running_stat(path: &str) -> bool {
    path.ends_with(".running_mean") || path.ends_with(".running_var")
}

#[derive(Default)]
struct RunningStatsVisitor {
    stats: Vec<Tensor<1>>,
}

impl ParamVisitor for RunningStatsVisitor {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        if is_running_stat(path) {
            self.stats.push(param.val().inner().reshape([-1]));
        }
    }
}

struct RunningStatsMapper {
    /// In reverse order.
    stats: Vec<Tensor<1>>,
}

impl ParamMapper for RunningStatsMapper {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !is_running_stat(path) {
            return param;
        }
        match self.stats.pop() {
            Some(stats) => map_untracked(param, |values| stats.reshape(values.shape())),
            None => param,
        }
    }
}
