//! Accuracy by number of labelled images: methods that learn from features against the
//! zero-shot classifier on the same ones (paper, figure 6).

use std::ops::ControlFlow;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::gda::fit_gda;
use super::{Cancelled, FeatureMatrix, Head, HeadProgress, Method, fit_adapter, fit_probe};
use crate::eval::{FewShotMethod, MethodCurve, Metrics, Predictions, ShotPoint, ShotsCurve};

/// Features with their classes, and the zero-shot classifier of these.
#[derive(Clone, Copy, Debug)]
pub struct FewShotData<'a> {
    /// Names of the classes.
    pub classes: &'a [String],
    /// `[images][embed_dim]`, of unit length.
    pub features: &'a [Vec<f32>],
    /// Class of each image.
    pub labels: &'a [usize],
    /// Indices of the images that shots are drawn from.
    pub pool: &'a [usize],
    /// Indices of the images that are tested on.
    pub test: &'a [usize],
    /// `[classes][embed_dim]`, of unit length.
    pub zero_shot: &'a [Vec<f32>],
    /// The model's `exp(logit_scale)`.
    pub scale: f32,
}

/// What is tried.
#[derive(Clone, Debug)]
pub struct FewShotSettings {
    /// Numbers of images per class, `None` for all. Those that no class has are skipped.
    pub shots: Vec<Option<usize>>,
    /// Draws of each number; all images are drawn once.
    pub draws: usize,
    /// Seed of the first draw.
    pub seed: u64,
    /// Methods to compare.
    pub methods: Vec<FewShotMethod>,
}

/// Accuracies of each method with each number of shots. `on_progress` gets the fits so far
/// and their total, also several times during one.
pub async fn few_shot_curve(
    data: &FewShotData<'_>,
    settings: &FewShotSettings,
    on_progress: &mut impl AsyncFnMut(usize, usize) -> ControlFlow<()>,
) -> Result<ShotsCurve, Cancelled> {
    let members = data.pool_by_class();
    let most = members.iter().map(Vec::len).max().unwrap_or(0);
    let mut shots: Vec<Option<usize>> = (settings.shots.iter().copied())
        .filter(|shots| shots.is_none_or(|shots| shots > 0 && shots <= most))
        .collect();
    shots.sort_by_key(|shots| shots.unwrap_or(usize::MAX));
    shots.dedup();
    let draws_of = |shots: &Option<usize>| shots.map_or(1, |_| settings.draws);
    let total = settings.methods.len() * shots.iter().map(draws_of).sum::<usize>();
    let words = data.zero_shot_head();
    let mut curve = ShotsCurve {
        classes: data.classes.len(),
        pool: data.pool.len(),
        tested: data.test.len(),
        zero_shot: data.accuracy(&words),
        methods: (settings.methods.iter())
            .map(|method| MethodCurve {
                method: *method,
                points: Vec::new(),
            })
            .collect(),
    };
    let seen = members.iter().filter(|of| !of.is_empty()).count().max(1);
    let mut done = 0;
    for shots in &shots {
        let mut accuracies = vec![Vec::new(); settings.methods.len()];
        let mut images = 0;
        for draw in 0..draws_of(shots) {
            let seed = settings.seed + draw as u64;
            let drawn = draw_shots(&members, *shots, seed);
            images = drawn.len();
            let features: Vec<&[f32]> =
                drawn.iter().map(|i| data.features[*i].as_slice()).collect();
            let labels: Vec<usize> = drawn.iter().map(|i| data.labels[*i]).collect();
            let samples = FeatureMatrix::new(&features, &labels, data.classes.len());
            for (method, accuracies) in settings.methods.iter().zip(&mut accuracies) {
                let mut fitting = async |_: HeadProgress| on_progress(done, total).await;
                let head = fit_few_shot(*method, &samples, &words, seed, &mut fitting).await?;
                accuracies.push(data.accuracy(&head));
                done += 1;
            }
        }
        for (curve, accuracies) in curve.methods.iter_mut().zip(accuracies) {
            curve.points.push(ShotPoint {
                shots: *shots,
                per_class: images as f64 / seen as f64,
                accuracies,
            });
        }
    }
    Ok(curve)
}

/// Fits a method to samples. `words` is the zero-shot classifier as a head.
pub async fn fit_few_shot(
    method: FewShotMethod,
    samples: &FeatureMatrix,
    words: &Head,
    seed: u64,
    on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<Head, Cancelled> {
    let with_words = || samples.clone().with_offsets(&words.zero_shot, words.scale);
    Ok(match method {
        FewShotMethod::Probe => {
            let probe = fit_probe(samples, seed, on_progress).await?;
            words.clone().with_probe(probe.weight, probe.bias)
        }
        FewShotMethod::Adapter => {
            let adapter = fit_adapter(&with_words(), seed, on_progress).await?;
            words.clone().with_adapter(adapter.weight, adapter.params)
        }
        FewShotMethod::Gda => {
            let gda = fit_gda(&with_words(), seed, on_progress).await?;
            Head {
                weight: gda.weight,
                bias: gda.bias,
                alpha: gda.alpha as f32,
                ..words.clone()
            }
        }
    })
}

impl FewShotData<'_> {
    fn pool_by_class(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.classes.len()];
        for &image in self.pool {
            members[self.labels[image]].push(image);
        }
        members
    }

    fn zero_shot_head(&self) -> Head {
        let dims = self.zero_shot.first().map_or(0, Vec::len);
        Head {
            method: Method::Adapter,
            model: String::new(),
            classes: self.classes.to_vec(),
            templates: Vec::new(),
            zero_shot: self.zero_shot.to_vec(),
            scale: self.scale,
            weight: vec![vec![0.0; dims]; self.classes.len()],
            bias: vec![0.0; self.classes.len()],
            alpha: 0.0,
            beta: 1.0,
            class_fit: None,
        }
    }

    /// Mean over the classes.
    fn accuracy(&self, head: &Head) -> f64 {
        let logits: Vec<Vec<f32>> = (self.test.iter())
            .map(|image| head.logits(&self.features[*image]))
            .collect();
        let truth: Vec<usize> = self.test.iter().map(|image| self.labels[*image]).collect();
        Metrics::balanced_accuracy(&Predictions {
            classes: self.classes,
            logits: &logits,
            truth: &truth,
        })
    }
}

/// So many images of each class, or all that it has.
fn draw_shots(members: &[Vec<usize>], shots: Option<usize>, seed: u64) -> Vec<usize> {
    let mut rng = StdRng::seed_from_u64(seed);
    let drawn = members.iter().flat_map(|members| {
        let mut members = members.clone();
        members.shuffle(&mut rng);
        members.truncate(shots.unwrap_or(usize::MAX));
        members
    });
    drawn.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes along two axes, words that mix them up, and a third axis of noise.
    fn image(label: usize, number: usize) -> Vec<f32> {
        let noise = ((number * 7919 % 101) as f32 / 101.0 - 0.5) * 0.6;
        let mut features = [0.0, 0.0, noise];
        features[label] = 1.0;
        let norm = features.iter().map(|v| v * v).sum::<f32>().sqrt();
        features.iter().map(|v| v / norm).collect()
    }

    #[test]
    fn every_method_learns_what_the_words_do_not_know() {
        let labels: Vec<usize> = (0..80).map(|i| i % 2).collect();
        let features: Vec<Vec<f32>> = (labels.iter().enumerate())
            .map(|(number, label)| image(*label, number))
            .collect();
        let (pool, test): (Vec<usize>, Vec<usize>) = (0..80).partition(|i| *i < 40);
        let classes = ["a", "b"].map(String::from);
        let data = FewShotData {
            classes: &classes,
            features: &features,
            labels: &labels,
            pool: &pool,
            test: &test,
            zero_shot: &[vec![0.0, 0.7, 0.7], vec![0.7, 0.0, 0.7]],
            scale: 10.0,
        };
        let settings = FewShotSettings {
            shots: vec![None, Some(4), Some(1), Some(4), Some(1000)],
            draws: 2,
            seed: 3,
            methods: FewShotMethod::ALL.to_vec(),
        };
        let mut last = (0, 0);
        let found = pollster::block_on(few_shot_curve(
            &data,
            &settings,
            &mut async |done, total| {
                last = (done, total);
                ControlFlow::Continue(())
            },
        ))
        .unwrap();
        assert_eq!((found.pool, found.tested, found.zero_shot), (40, 40, 0.0));
        // Two draws of one and of four shots, one of all.
        assert_eq!(last, (14, 15));
        for curve in &found.methods {
            let shots: Vec<_> = curve.points.iter().map(|point| point.shots).collect();
            assert_eq!(shots, [Some(1), Some(4), None], "{:?}", curve.method);
            let draws: Vec<_> = curve.points.iter().map(|p| p.accuracies.len()).collect();
            assert_eq!(draws, [2, 2, 1]);
            assert_eq!(curve.points[2].per_class, 20.0);
            assert_eq!(curve.points[2].accuracies, [1.0], "{:?}", curve.method);
        }
        let again = pollster::block_on(few_shot_curve(&data, &settings, &mut async |_, _| {
            ControlFlow::Continue(())
        }));
        assert_eq!(again.unwrap(), found);
        let stopped =
            pollster::block_on(few_shot_curve(
                &data,
                &settings,
                &mut async |done, _| match done {
                    0 => ControlFlow::Continue(()),
                    _ => ControlFlow::Break(()),
                },
            ));
        assert!(stopped.is_err());
    }
}
