//! Few-shot adapter: the zero-shot classifier plus a correction learnt from a few images.
//!
//! The logits are `beta * exp(logit_scale) * zero_shot . x + alpha * weight . x`.
//! The correction, `weight`, is a logistic regression with the zero-shot logits as
//! offset, with an L2 penalty that shrinks it to zero. The strength of the penalty, the
//! weight of the zero-shot logits (`beta`) and of the correction (`alpha`) are chosen by
//! cross-validation, and a correction that does not clearly beat the zero-shot classifier
//! there is (nearly) left out. So a few images never lose what the text encoder knows,
//! the weakness of the linear probe that the paper reports (figure 6).

use std::ops::ControlFlow;

use super::logistic::{
    MAX_ITERATIONS, Parameters, Regression, Validation, ValidationScore, logits,
};
use super::probe::matrices;
use super::{Cancelled, FeatureMatrix, HeadProgress, MetricSeries, TrainingStage};

/// Fitted adapter.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The correction, `[classes, dims]`.
    pub weight: Vec<Vec<f32>>,
    /// Hyper-parameters that were chosen.
    pub params: AdapterParams,
    /// Validation accuracy by penalty, each with its best `alpha` and `beta`; `None`
    /// without validation samples.
    pub chosen: Option<MetricSeries>,
}

/// Hyper-parameters of the adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdapterParams {
    /// Weight of the zero-shot logits.
    pub beta: f64,
    /// L2 penalty of the correction.
    pub l2: f64,
    /// Weight of the correction.
    pub alpha: f64,
}

/// Candidate penalties, strong to weak. Features are normalised and the correction is in
/// logits, so they suit every model.
const L2: [f64; 6] = [1.0, 0.3, 0.1, 0.03, 0.01, 0.003];
/// Candidate weights of the zero-shot logits: full, reduced, none, for class names that
/// say little about the images.
const BETA: [f64; 3] = [1.0, 0.3, 0.0];
const ALPHA: [f64; 2] = [0.5, 1.0];

impl AdapterParams {
    /// The zero-shot classifier, with a correction fitted but off.
    const ZERO_SHOT: Self = Self {
        beta: 1.0,
        l2: 0.1,
        alpha: 0.0,
    };

    /// Default for an error rate of the zero-shot classifier on the samples, which it has
    /// not seen: the higher, the more the images count. Squared, so that one image per
    /// class outweighs the prompts only if most are wrong.
    fn default_for_error_rate(errors: f64) -> Self {
        Self {
            beta: 1.0 - errors * errors,
            l2: 0.1,
            alpha: errors * errors,
        }
    }
}

/// Fits an adapter to samples whose offsets are the zero-shot logits.
pub async fn fit_adapter(
    samples: &FeatureMatrix,
    seed: u64,
    on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<Adapter, Cancelled> {
    let all: Vec<usize> = (0..samples.len()).collect();
    let words = zero_shot(samples, [all.as_slice()]);
    let fallback = AdapterParams::default_for_error_rate(
        1.0 - words.score.right as f64 / all.len().max(1) as f64,
    );
    let (params, chosen) = match Validation::new(samples, seed) {
        Some(validation) => choose(samples, &validation, fallback, on_progress).await?,
        None => (fallback, None),
    };
    let fitting = HeadProgress {
        stage: TrainingStage::Fitting,
        done: 0,
        total: 1,
    };
    let start = Regression::zeros(samples);
    let parameters = regression(params, 1e-6)
        .fit(samples, &all, start, &mut async || {
            on_progress(fitting).await
        })
        .await?;
    Ok(Adapter {
        weight: matrices(samples, &parameters).0,
        params,
        chosen,
    })
}

fn regression(params: AdapterParams, tolerance: f64) -> Regression {
    Regression {
        l2: params.l2,
        offset: params.beta,
        intercept: false,
        iterations: MAX_ITERATIONS,
        tolerance,
    }
}

/// Validation result of a classifier.
#[derive(Clone, Default)]
struct Trial {
    score: ValidationScore,
    /// For each validation sample, in order.
    right: Vec<bool>,
}

impl Trial {
    fn add(&mut self, logits: &mut [f64], label: usize) {
        let before = self.score.right;
        self.score.add(logits, label);
        self.right.push(self.score.right > before);
    }

    /// Lead over `other` in accuracy, in standard errors of the difference on the samples
    /// where the two disagree.
    fn lead(&self, other: &Self) -> f64 {
        let (mut won, mut lost) = (0.0, 0.0);
        for (own, others) in self.right.iter().zip(&other.right) {
            won += f64::from(u8::from(*own && !*others));
            lost += f64::from(u8::from(!*own && *others));
        }
        (won - lost) / f64::sqrt(f64::max(won + lost, 1.0))
    }
}

/// One-sided 95 % significance.
const CLEAR: f64 = 1.64;

/// The zero-shot classifier on the given samples.
fn zero_shot<'a>(samples: &FeatureMatrix, tried: impl IntoIterator<Item = &'a [usize]>) -> Trial {
    let mut trial = Trial::default();
    for &sample in tried.into_iter().flatten() {
        let mut logits = samples.offset(sample).to_vec();
        trial.add(&mut logits, samples.labels()[sample]);
    }
    trial
}

/// The best hyper-parameters if they clearly beat the zero-shot classifier, else the
/// default if it beats it at all, else zero-shot.
async fn choose(
    samples: &FeatureMatrix,
    validation: &Validation,
    fallback: AdapterParams,
    on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<(AdapterParams, Option<MetricSeries>), Cancelled> {
    let parts = validation.rounds.iter().map(|(_, tried)| tried.as_slice());
    let words = zero_shot(samples, parts);
    let mut trials = Trials {
        samples,
        validation,
        done: 0,
        on_progress,
    };
    let mut best = (AdapterParams::ZERO_SHOT, words.clone());
    let mut points = L2.map(|l2| [l2, 0.0]);
    for beta in BETA {
        let mut warm = vec![Regression::zeros(samples); validation.rounds.len()];
        for (l2, point) in L2.into_iter().zip(&mut points) {
            let blends = ALPHA.map(|alpha| AdapterParams { beta, l2, alpha });
            let tried = trials.run(blends, &mut warm).await?;
            for (params, trial) in blends.into_iter().zip(tried) {
                let share = trial.score.right as f64 / validation.tried() as f64;
                point[1] = f64::max(point[1], share);
                if trial.score.better_than(&best.1.score) {
                    best = (params, trial);
                }
            }
        }
    }
    let params = if best.1.lead(&words) > CLEAR {
        best.0
    } else {
        let mut warm = vec![Regression::zeros(samples); validation.rounds.len()];
        match trials.run([fallback], &mut warm).await? {
            [trial] if trial.lead(&words) > 0.0 => fallback,
            _ => AdapterParams::ZERO_SHOT,
        }
    };
    let curve = MetricSeries {
        name: "accuracy in validation".into(),
        x: "l2".into(),
        points: points.to_vec(),
    };
    Ok((params, Some(curve)))
}

struct Trials<'a, W> {
    samples: &'a FeatureMatrix,
    validation: &'a Validation,
    done: usize,
    on_progress: &'a mut W,
}

impl<W: AsyncFnMut(HeadProgress) -> ControlFlow<()>> Trials<'_, W> {
    /// Validates hyper-parameters that share one correction, fitted from `warm`.
    async fn run<const N: usize>(
        &mut self,
        blends: [AdapterParams; N],
        warm: &mut [Parameters],
    ) -> Result<[Trial; N], Cancelled> {
        let choosing = HeadProgress {
            stage: TrainingStage::CrossValidating,
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
                    (self.on_progress)(choosing).await
                })
                .await?;
            for (params, trial) in blends.iter().zip(&mut trials) {
                for &sample in tried {
                    let factors = [params.beta, params.alpha];
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

    /// Approximately normal.
    fn noise(rng: &mut StdRng) -> f32 {
        (0..6).map(|_| rng.random_range(-1.0..1.0f32)).sum::<f32>() / 2f32.sqrt()
    }

    fn around(centre: &[f32], far: f32, rng: &mut StdRng) -> Vec<f32> {
        let scale = far / (DIMS as f32).sqrt();
        unit(centre.iter().map(|v| v + scale * noise(rng)).collect())
    }

    /// Class prototypes, zero-shot directions that are `off` from them, and images around
    /// them.
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

        fn samples(&self, (features, labels): &(Rows, Vec<usize>)) -> FeatureMatrix {
            let features: Vec<&[f32]> = features.iter().map(Vec::as_slice).collect();
            FeatureMatrix::new(&features, labels, CLASSES).with_offsets(&self.zero_shot, SCALE)
        }

        /// Accuracy on new images: zero-shot, and with the adapter.
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
            let mut accuracy = |params: AdapterParams| {
                let factors = [params.beta, params.alpha];
                let mut score = ValidationScore::default();
                for sample in 0..test.len() {
                    logits(&test, sample, &parameters, factors, &mut values);
                    score.add(&mut values, test.labels()[sample]);
                }
                score.right as f64 / test.len() as f64
            };
            (accuracy(AdapterParams::ZERO_SHOT), accuracy(adapter.params))
        }
    }

    /// Mean over worlds, for each number of shots.
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
        assert_eq!(adapter.params, AdapterParams::ZERO_SHOT);
    }
}
