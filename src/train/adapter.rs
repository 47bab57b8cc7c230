//! Few-shot adapter: the zero-shot classifier with a correction learnt from
//! few pictures.
//!
//! The logits are `beta * exp(logit_scale) * zero_shot . x + alpha * weight . x`.
//! The correction, `weight`, is a logistic regression on top of the zero-shot
//! logits, with an L2 penalty that pulls it to nothing. How strong the penalty
//! is, how much the words still count (`beta`) and how much of the correction is
//! blended in (`alpha`) is tried on pictures that were not learnt from, and what
//! does not clearly beat the zero-shot classifier there leaves it as it is, or
//! nearly so. Thus a few pictures never take away what the words knew, the
//! weakness of the linear probe that the paper reports (figure 6).

use std::ops::ControlFlow;

use super::logistic::{MAX_ITERATIONS, Parameters, Regression, Score, Validation, logits};
use super::probe::matrices;
use super::{Curve, HeadProgress, HeadStage, Samples, Stopped};

/// A fitted adapter.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The correction, `[classes, dims]`.
    pub weight: Vec<Vec<f32>>,
    pub blend: Blend,
    /// Accuracy in validation by strength, each with its best blend; `None`
    /// where there was nothing to try on.
    pub chosen: Option<Curve>,
}

/// How words and pictures go together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blend {
    /// How much of the zero-shot logits counts.
    pub beta: f64,
    /// Strength of the correction's penalty.
    pub l2: f64,
    /// How much of the correction counts.
    pub alpha: f64,
}

/// Strengths that are tried, strong to weak. Features are of unit length and
/// the correction is in logits, so the same ones do for every model.
const L2: [f64; 6] = [1.0, 0.3, 0.1, 0.03, 0.01, 0.003];
/// Words as they are, less of them, none: where the names say little of the
/// pictures, they are best forgotten.
const BETA: [f64; 3] = [1.0, 0.3, 0.0];
const ALPHA: [f64; 2] = [0.5, 1.0];

impl Blend {
    /// The classifier of words alone. The correction can still be turned up.
    const ZERO_SHOT: Self = Self {
        beta: 1.0,
        l2: 0.1,
        alpha: 0.0,
    };

    /// What needs no trial. The zero-shot classifier has not seen the samples,
    /// so how often it errs on them is how often it errs. The more, the more
    /// the pictures count; squared, so that one picture of each class is not
    /// believed before most words are wrong.
    fn cautious(errors: f64) -> Self {
        Self {
            beta: 1.0 - errors * errors,
            l2: 0.1,
            alpha: errors * errors,
        }
    }
}

/// Fits an adapter to samples whose offsets are the zero-shot logits.
pub async fn fit_adapter(
    samples: &Samples,
    seed: u64,
    watch: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<Adapter, Stopped> {
    let all: Vec<usize> = (0..samples.len()).collect();
    let words = zero_shot(samples, [all.as_slice()]);
    let cautious = Blend::cautious(1.0 - words.score.right as f64 / all.len().max(1) as f64);
    let (blend, chosen) = match Validation::new(samples, seed) {
        Some(validation) => choose(samples, &validation, cautious, watch).await?,
        None => (cautious, None),
    };
    let fitting = HeadProgress {
        stage: HeadStage::Fitting,
        done: 0,
        total: 1,
    };
    let start = Regression::zeros(samples);
    let parameters = regression(blend, 1e-6)
        .fit(samples, &all, start, &mut async || watch(fitting).await)
        .await?;
    Ok(Adapter {
        weight: matrices(samples, &parameters).0,
        blend,
        chosen,
    })
}

fn regression(blend: Blend, tolerance: f64) -> Regression {
    Regression {
        l2: blend.l2,
        offset: blend.beta,
        intercept: false,
        iterations: MAX_ITERATIONS,
        tolerance,
    }
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

    /// By how much this one is right more often than `other`, in standard
    /// errors of the difference: over the samples on which the two disagree.
    fn lead(&self, other: &Self) -> f64 {
        let (mut won, mut lost) = (0.0, 0.0);
        for (own, others) in self.right.iter().zip(&other.right) {
            won += f64::from(u8::from(*own && !*others));
            lost += f64::from(u8::from(!*own && *others));
        }
        (won - lost) / f64::sqrt(f64::max(won + lost, 1.0))
    }
}

/// A lead that chance gives one in twenty.
const CLEAR: f64 = 1.64;

/// The classifier of words alone, on those samples.
fn zero_shot<'a>(samples: &Samples, tried: impl IntoIterator<Item = &'a [usize]>) -> Trial {
    let mut trial = Trial::default();
    for &sample in tried.into_iter().flatten() {
        let mut logits = samples.offset(sample).to_vec();
        trial.add(&mut logits, samples.labels()[sample]);
    }
    trial
}

/// The best blend where it clearly beats the words alone, else the cautious one
/// where that beats them at all, else the words alone.
async fn choose(
    samples: &Samples,
    validation: &Validation,
    cautious: Blend,
    watch: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<(Blend, Option<Curve>), Stopped> {
    let parts = validation.rounds.iter().map(|(_, tried)| tried.as_slice());
    let words = zero_shot(samples, parts);
    let mut trials = Trials {
        samples,
        validation,
        done: 0,
        watch,
    };
    let mut best = (Blend::ZERO_SHOT, words.clone());
    let mut points = L2.map(|l2| [l2, 0.0]);
    for beta in BETA {
        let mut warm = vec![Regression::zeros(samples); validation.rounds.len()];
        for (l2, point) in L2.into_iter().zip(&mut points) {
            let blends = ALPHA.map(|alpha| Blend { beta, l2, alpha });
            let tried = trials.run(blends, &mut warm).await?;
            for (blend, trial) in blends.into_iter().zip(tried) {
                let share = trial.score.right as f64 / validation.tried() as f64;
                point[1] = f64::max(point[1], share);
                if trial.score.better_than(&best.1.score) {
                    best = (blend, trial);
                }
            }
        }
    }
    let blend = if best.1.lead(&words) > CLEAR {
        best.0
    } else {
        let mut warm = vec![Regression::zeros(samples); validation.rounds.len()];
        match trials.run([cautious], &mut warm).await? {
            [trial] if trial.lead(&words) > 0.0 => cautious,
            _ => Blend::ZERO_SHOT,
        }
    };
    let curve = Curve {
        name: "accuracy in validation".into(),
        x: "l2".into(),
        points: points.to_vec(),
    };
    Ok((blend, Some(curve)))
}

struct Trials<'a, W> {
    samples: &'a Samples,
    validation: &'a Validation,
    done: usize,
    watch: &'a mut W,
}

impl<W: AsyncFnMut(HeadProgress) -> ControlFlow<()>> Trials<'_, W> {
    /// Tries blends of one correction, which is fitted from `warm` on.
    async fn run<const N: usize>(
        &mut self,
        blends: [Blend; N],
        warm: &mut [Parameters],
    ) -> Result<[Trial; N], Stopped> {
        let choosing = HeadProgress {
            stage: HeadStage::Choosing,
            done: self.done,
            total: BETA.len() * L2.len() + 1,
        };
        self.done += 1;
        let mut trials = blends.map(|_| Trial::default());
        let mut values = vec![0.0; self.samples.classes()];
        for ((learnt, tried), warm) in self.validation.rounds.iter().zip(warm) {
            let start = std::mem::take(warm);
            *warm = regression(blends[0], 1e-4)
                .fit(self.samples, learnt, start, &mut async || {
                    (self.watch)(choosing).await
                })
                .await?;
            for (blend, trial) in blends.iter().zip(&mut trials) {
                for &sample in tried {
                    let factors = [blend.beta, blend.alpha];
                    logits(self.samples, sample, warm, factors, &mut values);
                    trial.add(&mut values, self.samples.labels()[sample]);
                }
            }
        }
        Ok(trials)
    }
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
            let mut accuracy = |blend: Blend| {
                let factors = [blend.beta, blend.alpha];
                let mut score = Score::default();
                for sample in 0..test.len() {
                    logits(&test, sample, &parameters, factors, &mut values);
                    score.add(&mut values, test.labels()[sample]);
                }
                score.right as f64 / test.len() as f64
            };
            (accuracy(Blend::ZERO_SHOT), accuracy(adapter.blend))
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
    fn words_of_middling_use_are_not_spoilt_either() {
        let means = means(0.8);
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
        assert_eq!(adapter.blend, Blend::ZERO_SHOT);
    }
}
