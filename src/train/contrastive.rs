//! What a batch's loss asks of the model, however large the batch.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::optimizer::{in_graph, map_untracked};
use super::{Gradients, TrainError, contrastive_loss};
use crate::model::{Clip, ImageEncoder, TokenBatch};

/// Pairs of a picture and a text.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Of each pair `[3, image_size, image_size]`, as the model's preprocessing
    /// makes it.
    pub pixels: Vec<Vec<f32>>,
    /// Of each pair the token ids and the index of the end-of-text token.
    pub texts: Vec<(Vec<u32>, usize)>,
    /// Of each pair what its text says, be it a class or a caption: pairs of one
    /// number are no negatives of each other.
    pub captions: Vec<u64>,
    /// Further texts that may be true of an image, `[images, texts]` row by row, or empty: no negatives
    /// either.
    pub false_negatives: Vec<bool>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.pixels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    fn ignores(&self, image: usize, text: usize) -> bool {
        let known = self.false_negatives.get(image * self.len() + text);
        self.captions[image] == self.captions[text] || known == Some(&true)
    }

    /// Whether it can be computed with by a model of that size.
    pub(super) fn check(&self, image_size: usize, context: usize) -> Result<(), TrainError> {
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
        let numbers = 3 * image_size * image_size;
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

    /// Pictures of a part of it, `[len, 3, image_size, image_size]`.
    fn images(&self, part: Part, image_size: usize, device: &Device) -> Tensor<4> {
        let pixels = self.pixels[part.clone()].concat();
        let shape = [part.len(), 3, image_size, image_size];
        Tensor::from_data(TensorData::new(pixels, shape), device)
    }

    fn tokens(&self, part: Part, device: &Device) -> TokenBatch {
        TokenBatch::new(&self.texts[part], device)
    }
}

/// Parts in which the texts of a batch are encoded.
const TEXT_PARTS: usize = 4;

type Part = std::ops::Range<usize>;

/// A model's features of a batch's part that starts there.
type Features<'a> = dyn Fn(&Clip, usize) -> Tensor<2> + 'a;

/// The loss of `batch`, `[1]`, and its gradients. Where the batch is larger than
/// `micro_batch`, features of all parts come first, without a graph; then what
/// the loss asks of them; then that is followed through each part (gradient
/// caching, Gao et al. 2021): the gradients of the one large batch, with the
/// memory of the small one. Batch normalisation alone goes by the part.
pub fn loss_and_gradients(
    model: &Clip,
    batch: &Batch,
    image_size: usize,
    micro_batch: usize,
) -> (Tensor<1>, Gradients) {
    let device = model.logit_scale.val().device();
    let micro_batch = micro_batch.clamp(1, batch.len().max(1));
    if batch.len() <= micro_batch {
        let images = model.image_features(batch.images(0..batch.len(), image_size, &device));
        // A part is as long as its longest text: of a batch sorted by length, parts waste less.
        let part = batch.len().div_ceil(TEXT_PARTS);
        let texts = (0..batch.len()).step_by(part).map(|start| {
            let part = start..(start + part).min(batch.len());
            model.text_features(batch.tokens(part, &device))
        });
        let texts = Tensor::cat(texts.collect(), 0);
        let loss = contrastive_loss(model.logits(images, texts), |i, j| batch.ignores(i, j));
        let gradients = Gradients::of(model, loss.backward());
        return (loss.inner(), gradients);
    }
    let graph = device.gradient_checkpointing_strategy();
    let parts = || (0..batch.len()).step_by(micro_batch);
    let part = |start: usize| start..(start + micro_batch).min(batch.len());
    let images = |model: &Clip, start| {
        let device = model.logit_scale.val().device();
        model.image_features(batch.images(part(start), image_size, &device))
    };
    let texts = |model: &Clip, start| {
        let device = model.logit_scale.val().device();
        model.text_features(batch.tokens(part(start), &device))
    };

    // All features, as leaves of a graph of their own. This pass is a rehearsal:
    // the statistics that it notes are noted again below.
    let statistics = Statistics::of(model);
    let rehearsing = match model.visual {
        ImageEncoder::Vit(_) => model.valid(),
        // Batch normalisation goes by the batch where there is autodiff.
        ImageEncoder::ResNet(_) => model.clone().no_grad(),
    };
    let all = |features: &Features| {
        let features = parts().map(|start| features(&rehearsing, start)).collect();
        in_graph(Tensor::cat(features, 0).inner(), graph).require_grad()
    };
    let (image_features, text_features) = (all(&images), all(&texts));
    statistics.restore(&rehearsing);

    let logits = model.logits(image_features.clone(), text_features.clone());
    let loss = contrastive_loss(logits, |i, j| batch.ignores(i, j));
    let mut found = loss.backward();
    let asked = [image_features, text_features].map(|features| features.grad_remove(&mut found));
    let mut gradients = Gradients::of(model, found);

    let towers: [&Features; 2] = [&images, &texts];
    for (features, asked) in towers.into_iter().zip(asked) {
        let Some(asked) = asked else { continue };
        for start in parts() {
            let features = features(model, start);
            if !features.is_tracked() {
                break; // the tower is frozen
            }
            let asked = asked.clone().narrow(0, start, part(start).len());
            let asked = in_graph(asked, graph);
            // Whose gradient with respect to the features is what is asked of them.
            let stand_in = (features * asked).sum();
            gradients.add(Gradients::of(model, stand_in.backward()));
        }
    }
    (loss.inner(), gradients)
}

/// The running statistics of batch normalisation. All clones of a model share
/// them.
struct Statistics(Vec<Tensor<1>>);

impl Statistics {
    fn of(model: &Clip) -> Self {
        let mut collector = StatisticsVisitor::default();
        if let ImageEncoder::ResNet(_) = model.visual {
            settle(model);
            model.visit(&mut collector);
        }
        Self(collector.found)
    }

    /// Sets them back.
    fn restore(self, model: &Clip) {
        if self.0.is_empty() {
            return;
        }
        settle(model);
        let mut kept = self.0;
        kept.reverse();
        let _ = model.clone().map(&mut StatisticsMapper {
            path: Vec::new(),
            kept,
        });
    }
}

/// Burn notes statistics by thread; this is what takes them into the model.
pub(super) fn settle(model: &Clip) {
    drop(model.valid());
}

fn is_statistic(path: &[String]) -> bool {
    path.last().is_some_and(|name| name.starts_with("running_"))
}

#[derive(Default)]
struct StatisticsVisitor {
    path: Vec<String>,
    found: Vec<Tensor<1>>,
}

impl ModuleVisitor for StatisticsVisitor {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if is_statistic(&self.path) {
            self.found.push(param.val().inner().reshape([-1]));
        }
    }
}

struct StatisticsMapper {
    path: Vec<String>,
    /// The next one last.
    kept: Vec<Tensor<1>>,
}

impl ModuleMapper for StatisticsMapper {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !is_statistic(&self.path) {
            return param;
        }
        match self.kept.pop() {
            Some(kept) => map_untracked(param, |values| kept.reshape(values.shape())),
            None => param,
        }
    }
}
