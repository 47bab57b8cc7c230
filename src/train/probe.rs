//! Linear probe: logistic regression on image features (paper, section 3.2).
//!
//! Uses the normalised features of the shared space. The paper probes its ViTs on the
//! features before the projection, whose accuracy is a little higher; with the projected
//! ones, probe, adapter and zero-shot classifier are comparable, and a head is one small
//! matrix for any model.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::logistic::{
    MAX_ITERATIONS, Parameters, Regression, Validation, ValidationScore, logits,
};
use super::{Cancelled, FeatureMatrix, HeadProgress, MetricSeries, TrainingStage};

/// Fitted probe.
#[derive(Clone, Debug)]
pub struct Probe {
    /// `[classes, dims]`
    pub weight: Vec<Vec<f32>>,
    /// `[classes]`
    pub bias: Vec<f32>,
    /// L2 penalty; 1 / C in scikit-learn's terms.
    pub l2: f64,
    /// Validation accuracy by penalty; `None` without validation samples.
    pub chosen: Option<MetricSeries>,
}

/// The paper's sweep: penalties from 10⁻⁶ to 10⁶, eight per decade.
const PER_DECADE: i32 = 8;
const DECADES: i32 = 6;
/// Initial stride of the search, in steps of the sweep.
const FIRST_STRIDE: i32 = 2 * PER_DECADE;
/// Default without validation: the paper's usual C of 0.316, for features of norm 10 or
/// so, rescaled to normalised features.
const L2_UNTRIED: f64 = 1.0 / 31.6;

fn strength(step: i32) -> f64 {
    10f64.powf(f64::from(step) / f64::from(PER_DECADE))
}

/// Fits a probe, with the penalty chosen by cross-validation, to all samples.
pub async fn fit_probe(
    samples: &FeatureMatrix,
    seed: u64,
    on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<Probe, Cancelled> {
    let mut search = Search {
        samples,
        validation: Validation::new(samples, seed),
        warm: Vec::new(),
        scores: BTreeMap::new(),
    };
    let step = search.run(on_progress).await?;
    let l2 = step.map_or(L2_UNTRIED, strength);
    let fitting = HeadProgress {
        stage: TrainingStage::Fitting,
        done: 0,
        total: 1,
    };
    let rows: Vec<usize> = (0..samples.len()).collect();
    let parameters = regression(l2, 1e-6)
        .fit(
            samples,
            &rows,
            Regression::zeros(samples),
            &mut async || on_progress(fitting).await,
        )
        .await?;
    let (weight, bias) = matrices(samples, &parameters);
    Ok(Probe {
        weight,
        bias,
        l2,
        chosen: search.curve(),
    })
}

fn regression(l2: f64, tolerance: f64) -> Regression {
    Regression {
        l2,
        offset: 0.0,
        intercept: true,
        iterations: MAX_ITERATIONS,
        tolerance,
    }
}

/// Splits parameters into rows of weights, and biases.
pub(super) fn matrices(samples: &FeatureMatrix, parameters: &[f64]) -> (Vec<Vec<f32>>, Vec<f32>) {
    let narrow = |values: &[f64]| values.iter().map(|v| *v as f32).collect();
    let (weights, biases) = parameters.split_at(samples.classes() * samples.dims());
    let rows = (0..samples.classes()).map(|class| {
        let start = class * samples.dims();
        narrow(&weights[start..start + samples.dims()])
    });
    (rows.collect(), narrow(biases))
}

/// The paper's "parametric binary search": start coarse, and halve the stride around the
/// best until it is 1.
struct Search<'a> {
    samples: &'a FeatureMatrix,
    validation: Option<Validation>,
    /// Last parameters of each round, as warm start.
    warm: Vec<Parameters>,
    scores: BTreeMap<i32, ValidationScore>,
}

impl Search<'_> {
    /// The best step of the sweep.
    async fn run(
        &mut self,
        on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
    ) -> Result<Option<i32>, Cancelled> {
        let Some(validation) = self.validation.take() else {
            return Ok(None);
        };
        let end = DECADES * PER_DECADE;
        self.warm = vec![Regression::zeros(self.samples); validation.rounds.len()];
        // From strong to weak: each is a warm start for the next.
        let mut open: Vec<i32> = (-end..=end).rev().step_by(FIRST_STRIDE as usize).collect();
        let mut stride = FIRST_STRIDE;
        let total = open.len() + 2 * FIRST_STRIDE.ilog2() as usize;
        loop {
            for step in open {
                let choosing = HeadProgress {
                    stage: TrainingStage::CrossValidating,
                    done: self.scores.len(),
                    total,
                };
                let score = self.score(step, &validation, choosing, on_progress).await?;
                self.scores.insert(step, score);
            }
            let best = self.best();
            if stride == 1 {
                self.validation = Some(validation);
                return Ok(Some(best));
            }
            stride /= 2;
            open = vec![best + stride, best - stride];
            open.retain(|step| (-end..=end).contains(step));
        }
    }

    /// On ties the strongest penalty.
    fn best(&self) -> i32 {
        let mut scores = self.scores.iter().rev();
        let Some(mut best) = scores.next() else {
            return 0;
        };
        for other in scores {
            if other.1.better_than(best.1) {
                best = other;
            }
        }
        *best.0
    }

    async fn score(
        &mut self,
        step: i32,
        validation: &Validation,
        choosing: HeadProgress,
        on_progress: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
    ) -> Result<ValidationScore, Cancelled> {
        let mut score = ValidationScore::default();
        let mut values = vec![0.0; self.samples.classes()];
        for ((learnt, tried), warm) in validation.rounds.iter().zip(&mut self.warm) {
            // scikit-learn's tolerance, enough for a comparison.
            *warm = regression(strength(step), 1e-4)
                .fit(
                    self.samples,
                    learnt,
                    std::mem::take(warm),
                    &mut async || on_progress(choosing).await,
                )
                .await?;
            for &sample in tried {
                logits(self.samples, sample, warm, [0.0, 1.0], &mut values);
                score.add(&mut values, self.samples.labels()[sample]);
            }
        }
        Ok(score)
    }

    fn curve(&self) -> Option<MetricSeries> {
        let tried = self.validation.as_ref()?.tried() as f64;
        Some(MetricSeries {
            name: "accuracy in validation".into(),
            x: "l2".into(),
            points: (self.scores.iter())
                .map(|(step, score)| [strength(*step), score.right as f64 / tried])
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{golden, indices, numbers, rows, samples, unwatched};
    use super::*;

    /// `tests/golden/make_probe.py`
    #[test]
    fn scikit_learn_finds_the_same() {
        let golden = golden(include_str!("../../tests/golden/probe.json"));
        let labels = indices(&golden["labels"]);
        let train = samples(&rows(&golden["features"]), &labels, 3);
        let test = samples(
            &rows(&golden["test_features"]),
            &indices(&golden["test_labels"]),
            3,
        );
        for fit in golden["fits"].as_array().unwrap() {
            let c = fit["C"].as_f64().unwrap();
            let all: Vec<usize> = (0..train.len()).collect();
            let parameters = pollster::block_on(regression(1.0 / c, 1e-9).fit(
                &train,
                &all,
                Regression::zeros(&train),
                &mut async || ControlFlow::Continue(()),
            ))
            .unwrap();
            let (weight, bias) = matrices(&train, &parameters);
            let close = |a: f32, b: f64, size: f64| {
                assert!(
                    (f64::from(a) - b).abs() < 1e-4 * size.max(1.0),
                    "{a} {b} at C {c}"
                );
            };
            let expected = rows(&fit["coef"]);
            let size = expected
                .iter()
                .flatten()
                .fold(0.0, |m: f64, v| m.max(v.abs()));
            for (weight, expected) in weight.iter().flatten().zip(expected.iter().flatten()) {
                close(*weight, *expected, size);
            }
            // A constant may be added to all biases; scikit-learn starts from 0, too.
            for (bias, expected) in bias.iter().zip(numbers(&fit["intercept"])) {
                close(*bias, expected, size);
            }
            let mut score = ValidationScore::default();
            let mut values = vec![0.0; 3];
            for (sample, expected) in rows(&fit["probabilities"]).iter().enumerate() {
                logits(&test, sample, &parameters, [0.0, 1.0], &mut values);
                score.add(&mut values, test.labels()[sample]);
                for (value, expected) in values.iter().zip(expected) {
                    assert!(
                        (value - expected).abs() < 1e-5,
                        "{value} {expected} at C {c}"
                    );
                }
            }
            let accuracy = score.right as f64 / test.len() as f64;
            assert!((accuracy - fit["accuracy"].as_f64().unwrap()).abs() < 1e-12);
        }
    }

    #[test]
    fn the_search_narrows_down_and_can_be_stopped() {
        let golden = golden(include_str!("../../tests/golden/probe.json"));
        let labels = indices(&golden["labels"]);
        let train = samples(&rows(&golden["features"]), &labels, 3);
        let probe = pollster::block_on(fit_probe(&train, 1, &mut unwatched)).unwrap();
        let chosen = probe.chosen.unwrap().points;
        // Seven at first, two for each halving of the stride of sixteen.
        assert!((13..=15).contains(&chosen.len()), "{chosen:?}");
        let best = chosen.iter().map(|p| p[1]).fold(0.0, f64::max);
        let of_chosen = chosen.iter().find(|p| p[0] == probe.l2).unwrap();
        assert_eq!(of_chosen[1], best);

        let mut calls = 0;
        let stopped = pollster::block_on(fit_probe(&train, 1, &mut async |_| {
            calls += 1;
            if calls == 20 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }));
        assert!(stopped.is_err());
        assert_eq!(calls, 20);
    }

    #[test]
    fn one_sample_of_each_class_is_enough() {
        let train = samples(&[vec![1.0, 0.0], vec![0.0, 1.0]], &[0, 1], 2);
        let probe = pollster::block_on(fit_probe(&train, 1, &mut unwatched)).unwrap();
        assert!(probe.chosen.is_none());
        assert!(probe.weight[0][0] > 0.5 && probe.weight[0][1] < -0.5);
    }
}
