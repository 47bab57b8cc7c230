//! Few-shot adapter: the zero-shot classifier with a correction learnt from
//! few pictures.
//!
//! The logits are `exp(logit_scale) * zero_shot . x + alpha * weight . x`. The
//! correction, `weight`, is a logistic regression on top of the zero-shot
//! logits, with an L2 penalty that pulls it to nothing: to the zero-shot
//! classifier. How strong the penalty is, and how much of the correction is
//! blended in (`alpha`), is tried on pictures that were not learnt from, and
//! what does not clearly beat the zero-shot classifier there leaves it as it is.
//! So a few pictures never take away what the words knew, the weakness of the
//! linear probe that the paper reports (figure 6).

use std::ops::ControlFlow;

use super::logistic::{MAX_ITERATIONS, Parameters, Regression, Score, Validation, logits};
use super::probe::matrices;
use super::{Curve, HeadProgress, HeadStage, Samples, Stopped};

/// A fitted adapter.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The correction, `[classes, dims]`.
    pub weight: Vec<Vec<f32>>,
    /// How much of it is blended in; 0 is the zero-shot classifier.
    pub alpha: f64,
    /// Strength of the correction's penalty.
    pub l2: f64,
    /// Accuracy in validation by strength, each with its best blend; `None`
    /// where there was nothing to try on.
    pub chosen: Option<Curve>,
}

/// Strengths that are tried, strong to weak. Features are of unit length and
/// the correction is in logits, so the same ones do for every model.
const L2: [f64; 8] = [3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001];
/// Blends that are tried beside none.
const ALPHA: [f64; 2] = [0.5, 1.0];
/// With one picture of each class there is nothing to try a correction on. The
/// zero-shot classifier can be tried, though, for it has not seen any of them:
/// as often as it is wrong, so much is blended in.
const L2_UNTRIED: f64 = 0.1;

/// Fits an adapter to samples whose offsets are the zero-shot logits.
pub async fn fit_adapter(
    samples: &Samples,
    seed: u64,
    watch: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<Adapter, Stopped> {
    let choice = match Validation::new(samples, seed) {
        Some(validation) => choose(samples, &validation, watch).await?,
        None => {
            let all: Vec<usize> = (0..samples.len()).collect();
            let right = zero_shot(samples, [all.as_slice()]).score.right;
            Choice {
                l2: L2_UNTRIED,
                alpha: 1.0 - right as f64 / samples.len().max(1) as f64,
                curve: None,
            }
        }
    };
    let fitting = HeadProgress {
        stage: HeadStage::Fitting,
        done: 0,
        total: 1,
    };
    let rows: Vec<usize> = (0..samples.len()).collect();
    let parameters = regression(choice.l2, 1e-6)
        .fit(
            samples,
            &rows,
            Regression::zeros(samples),
            &mut async || watch(fitting).await,
        )
        .await?;
    Ok(Adapter {
        weight: matrices(samples, &parameters).0,
        alpha: choice.alpha,
        l2: choice.l2,
        chosen: choice.curve,
    })
}

fn regression(l2: f64, tolerance: f64) -> Regression {
    Regression {
        l2,
        intercept: false,
        iterations: MAX_ITERATIONS,
        tolerance,
    }
}

struct Choice {
    l2: f64,
    alpha: f64,
    curve: Option<Curve>,
}

/// How a classifier did in validation.
#[derive(Clone, Default)]
struct Trial {
    score: Score,
    /// For each sample that was tried on.
    right: Vec<bool>,
}

impl Trial {
    fn add(&mut self, logits: &mut [f64], label: usize) {
        let before = self.score.right;
        self.score.add(logits, label);
        self.right.push(self.score.right > before);
    }

    /// Whether this one is right more often than `other`, by more than chance
    /// would have it: the difference exceeds its own standard error, over the
    /// samples on which the two disagree.
    fn clearly_beats(&self, other: &Self) -> bool {
        let pairs = self.right.iter().zip(&other.right);
        let (mut won, mut lost) = (0.0, 0.0);
        for (own, others) in pairs {
            won += f64::from(u8::from(*own && !*others));
            lost += f64::from(u8::from(!*own && *others));
        }
        won - lost > f64::sqrt(won + lost)
    }
}

/// The classifier of words alone, on those samples.
fn zero_shot<'a>(samples: &Samples, tried: impl IntoIterator<Item = &'a [usize]>) -> Trial {
    let mut trial = Trial::default();
    for &sample in tried.into_iter().flatten() {
        let mut logits = samples.offset(sample).to_vec();
        trial.add(&mut logits, samples.labels()[sample]);
    }
    trial
}

async fn choose(
    samples: &Samples,
    validation: &Validation,
    watch: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<Choice, Stopped> {
    let mut values = vec![0.0; samples.classes()];
    let zero_shot = zero_shot(
        samples,
        validation.rounds.iter().map(|(_, tried)| tried.as_slice()),
    );
    let mut warm: Vec<Parameters> = vec![Regression::zeros(samples); validation.rounds.len()];
    let mut best: Option<(f64, f64, Trial)> = None;
    let mut points = Vec::with_capacity(L2.len());
    for (done, l2) in L2.into_iter().enumerate() {
        let choosing = HeadProgress {
            stage: HeadStage::Choosing,
            done,
            total: L2.len(),
        };
        let mut trials = ALPHA.map(|_| Trial::default());
        for ((learnt, tried), warm) in validation.rounds.iter().zip(&mut warm) {
            *warm = regression(l2, 1e-4)
                .fit(samples, learnt, std::mem::take(warm), &mut async || {
                    watch(choosing).await
                })
                .await?;
            for (alpha, trial) in ALPHA.iter().zip(&mut trials) {
                for &sample in tried {
                    logits(samples, sample, warm, *alpha, &mut values);
                    trial.add(&mut values, samples.labels()[sample]);
                }
            }
        }
        let most = trials.iter().map(|trial| trial.score.right).max();
        points.push([l2, most.unwrap_or(0) as f64 / validation.tried() as f64]);
        for (alpha, trial) in ALPHA.into_iter().zip(trials) {
            let better =
                (best.as_ref()).is_none_or(|(_, _, best)| trial.score.better_than(&best.score));
            if better {
                best = Some((l2, alpha, trial));
            }
        }
    }
    let (l2, alpha) = match best {
        Some((l2, alpha, trial)) if trial.clearly_beats(&zero_shot) => (l2, alpha),
        // The correction is kept for whoever wants to turn it up.
        Some((l2, _, _)) => (l2, 0.0),
        None => (L2_UNTRIED, 0.0),
    };
    Ok(Choice {
        l2,
        alpha,
        curve: Some(Curve {
            name: "accuracy in validation".into(),
            x: "l2".into(),
            points,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    const CLASSES: usize = 12;
    const DIMS: usize = 24;
    const SCALE: f32 = 20.0;

    type Rows = Vec<Vec<f32>>;

    fn unit(mut row: Vec<f32>) -> Vec<f32> {
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter_mut().for_each(|v| *v /= norm);
        row
    }

    /// Roughly normal.
    fn noise(rng: &mut StdRng) -> f32 {
        (0..6).map(|_| rng.random_range(-1.0..1.0f32)).sum::<f32>() / 2f32.sqrt()
    }

    fn around(centre: &[f32], far: f32, rng: &mut StdRng) -> Vec<f32> {
        let scale = far / (DIMS as f32).sqrt();
        unit(centre.iter().map(|v| v + scale * noise(rng)).collect())
    }

    /// Classes, words for them that are `off`, and pictures around them.
    struct World {
        centres: Rows,
        zero_shot: Rows,
        test: (Rows, Vec<usize>),
    }

    impl World {
        fn new(off: f32, rng: &mut StdRng) -> Self {
            let centres: Rows = (0..CLASSES)
                .map(|_| unit((0..DIMS).map(|_| noise(rng)).collect()))
                .collect();
            let zero_shot = centres.iter().map(|c| around(c, off, rng)).collect();
            let mut world = Self {
                centres,
                zero_shot,
                test: Default::default(),
            };
            world.test = world.draw(60, rng);
            world
        }

        fn draw(&self, shots: usize, rng: &mut StdRng) -> (Rows, Vec<usize>) {
            let labels: Vec<usize> = (0..CLASSES * shots).map(|i| i % CLASSES).collect();
            let features = labels.iter().map(|l| around(&self.centres[*l], 1.3, rng));
            (features.collect(), labels)
        }

        fn samples(&self, (features, labels): &(Rows, Vec<usize>)) -> Samples {
            let features: Vec<&[f32]> = features.iter().map(Vec::as_slice).collect();
            Samples::new(&features, labels, CLASSES).with_offsets(&self.zero_shot, SCALE)
        }

        /// Accuracy on new pictures: zero-shot, and with the adapter.
        fn accuracies(&self, shots: usize, rng: &mut StdRng) -> (f64, f64) {
            let train = self.samples(&self.draw(shots, rng));
            let adapter = pollster::block_on(fit_adapter(&train, 1, &mut async |_| {
                ControlFlow::Continue(())
            }))
            .unwrap();
            let test = self.samples(&self.test);
            let mut parameters: Vec<f64> = adapter
                .weight
                .iter()
                .flatten()
                .map(|v| f64::from(*v))
                .collect();
            parameters.resize(CLASSES * (DIMS + 1), 0.0);
            let mut values = vec![0.0; CLASSES];
            let mut accuracy = |alpha: f64| {
                let mut score = Score::default();
                for sample in 0..test.len() {
                    logits(&test, sample, &parameters, alpha, &mut values);
                    score.add(&mut values, test.labels()[sample]);
                }
                score.right as f64 / test.len() as f64
            };
            (accuracy(0.0), accuracy(adapter.alpha))
        }
    }

    /// Mean over worlds, for each count of shots.
    fn means(off: f32) -> Vec<(f64, f64)> {
        const WORLDS: u64 = 12;
        ([1, 2, 4, 8, 16].into_iter())
            .map(|shots| {
                let mut sums = (0.0, 0.0);
                for seed in 0..WORLDS {
                    let mut rng = StdRng::seed_from_u64(seed);
                    let world = World::new(off, &mut rng);
                    let (zero_shot, adapted) = world.accuracies(shots, &mut rng);
                    sums.0 += zero_shot / WORLDS as f64;
                    sums.1 += adapted / WORLDS as f64;
                }
                sums
            })
            .collect()
    }

    #[test]
    fn wrong_words_are_mended_by_pictures() {
        let means = means(1.5);
        println!("{means:?}");
        for (zero_shot, adapted) in &means {
            assert!(adapted >= zero_shot, "{means:?}");
        }
        let (zero_shot, adapted) = means[4];
        assert!(adapted > zero_shot + 0.15, "{means:?}");
    }

    #[test]
    fn right_words_are_not_spoilt() {
        let means = means(0.2);
        println!("{means:?}");
        for (zero_shot, adapted) in &means {
            assert!(*adapted >= zero_shot - 0.002, "{means:?}");
        }
    }

    #[test]
    fn labels_that_are_noise_change_nothing() {
        let mut rng = StdRng::seed_from_u64(7);
        let world = World::new(0.5, &mut rng);
        let (features, mut labels) = world.draw(8, &mut rng);
        labels
            .iter_mut()
            .for_each(|label| *label = rng.random_range(0..CLASSES));
        let train = world.samples(&(features, labels));
        let adapter = pollster::block_on(fit_adapter(&train, 1, &mut async |_| {
            ControlFlow::Continue(())
        }))
        .unwrap();
        assert_eq!(adapter.alpha, 0.0);
    }
}
