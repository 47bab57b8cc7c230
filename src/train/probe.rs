//! Linear probe: logistic regression on image features (paper, section 3.2).
//!
//! The features are those of the shared space, of unit length. The paper probes
//! its ViTs on the features before the projection, whose accuracy is a little
//! higher; with the projected ones, probe, adapter and zero-shot classifier
//! are comparable, and a head is one small matrix for any model.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::logistic::{MAX_ITERATIONS, Parameters, Regression, Score, Validation, logits};
use super::{Curve, HeadProgress, HeadStage, Samples, Stopped};

/// A fitted probe.
#[derive(Clone, Debug)]
pub struct Probe {
    /// `[classes, dims]`
    pub weight: Vec<Vec<f32>>,
    /// `[classes]`
    pub bias: Vec<f32>,
    /// Strength of its penalty; 1 / C in scikit-learn's terms.
    pub l2: f64,
    /// What was tried; `None` where there was nothing to try it on.
    pub chosen: Option<Curve>,
}

/// The paper's sweep: strengths from 10⁻⁶ to 10⁶, eight a decade.
const PER_DECADE: i32 = 8;
const DECADES: i32 = 6;
/// The strengths that the search begins with lie this many steps apart.
const FIRST_STRIDE: i32 = 2 * PER_DECADE;
/// Without anything to choose by: the paper's usual C of 0.316, for features
/// of length 10 or so, carried over to unit length.
const L2_UNTRIED: f64 = 1.0 / 31.6;

fn strength(step: i32) -> f64 {
    10f64.powf(f64::from(step) / f64::from(PER_DECADE))
}

/// Fits a probe; the penalty's strength is chosen by trying on parts of the
/// samples, then all of them are learnt from.
pub async fn fit_probe(
    samples: &Samples,
    seed: u64,
    watch: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
) -> Result<Probe, Stopped> {
    let mut search = Search {
        samples,
        validation: Validation::new(samples, seed),
        warm: Vec::new(),
        scores: BTreeMap::new(),
    };
    let step = search.run(watch).await?;
    let l2 = step.map_or(L2_UNTRIED, strength);
    let fitting = HeadProgress {
        stage: HeadStage::Fitting,
        done: 0,
        total: 1,
    };
    let rows: Vec<usize> = (0..samples.len()).collect();
    let parameters = regression(l2, 1e-6)
        .fit(
            samples,
            &rows,
            Regression::zeros(samples),
            &mut async || watch(fitting).await,
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

/// Weights row by row, and biases.
pub(super) fn matrices(samples: &Samples, parameters: &[f64]) -> (Vec<Vec<f32>>, Vec<f32>) {
    let narrow = |values: &[f64]| values.iter().map(|v| *v as f32).collect();
    let (weights, biases) = parameters.split_at(samples.classes() * samples.dims());
    let rows = (0..samples.classes()).map(|class| {
        let start = class * samples.dims();
        narrow(&weights[start..start + samples.dims()])
    });
    (rows.collect(), narrow(biases))
}

/// The paper's "parametric binary search": begin far apart, halve the distance
/// around the best, until the sweep's resolution is reached.
struct Search<'a> {
    samples: &'a Samples,
    validation: Option<Validation>,
    /// The last parameters of each round: a good start for the next.
    warm: Vec<Parameters>,
    scores: BTreeMap<i32, Score>,
}

impl Search<'_> {
    /// The best strength's step.
    async fn run(
        &mut self,
        watch: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
    ) -> Result<Option<i32>, Stopped> {
        let Some(validation) = self.validation.take() else {
            return Ok(None);
        };
        let end = DECADES * PER_DECADE;
        self.warm = vec![Regression::zeros(self.samples); validation.rounds.len()];
        // From strong to weak, where each is a good start for the next.
        let mut open: Vec<i32> = (-end..=end).rev().step_by(FIRST_STRIDE as usize).collect();
        let mut stride = FIRST_STRIDE;
        let total = open.len() + 2 * FIRST_STRIDE.ilog2() as usize;
        loop {
            for step in open {
                let choosing = HeadProgress {
                    stage: HeadStage::Choosing,
                    done: self.scores.len(),
                    total,
                };
                let score = self.score(step, &validation, choosing, watch).await?;
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

    /// Among equals the strongest: it says the least that is not so.
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
        watch: &mut impl AsyncFnMut(HeadProgress) -> ControlFlow<()>,
    ) -> Result<Score, Stopped> {
        let mut score = Score::default();
        let mut values = vec![0.0; self.samples.classes()];
        for ((learnt, tried), warm) in validation.rounds.iter().zip(&mut self.warm) {
            // scikit-learn's tolerance: enough to compare by.
            *warm = regression(strength(step), 1e-4)
                .fit(
                    self.samples,
                    learnt,
                    std::mem::take(warm),
                    &mut async || watch(choosing).await,
                )
                .await?;
            for &sample in tried {
                logits(self.samples, sample, warm, [0.0, 1.0], &mut values);
                score.add(&mut values, self.samples.labels()[sample]);
            }
        }
        Ok(score)
    }

    fn curve(&self) -> Option<Curve> {
        let tried = self.validation.as_ref()?.tried() as f64;
        Some(Curve {
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
    use super::*;
    use serde_json::Value;

    fn numbers(value: &Value) -> Vec<f64> {
        let values = value.as_array().unwrap().iter();
        values.map(|v| v.as_f64().unwrap()).collect()
    }

    fn rows(value: &Value) -> Vec<Vec<f64>> {
        value.as_array().unwrap().iter().map(numbers).collect()
    }

    fn indices(value: &Value) -> Vec<usize> {
        numbers(value).into_iter().map(|v| v as usize).collect()
    }

    fn samples(features: &[Vec<f64>], labels: &[usize], classes: usize) -> Samples {
        let features: Vec<Vec<f32>> = (features.iter())
            .map(|row| row.iter().map(|v| *v as f32).collect())
            .collect();
        let features: Vec<&[f32]> = features.iter().map(Vec::as_slice).collect();
        Samples::new(&features, labels, classes)
    }

    async fn unwatched(_: HeadProgress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// `tests/golden/make_probe.py`
    #[test]
    fn scikit_learn_finds_the_same() {
        let golden: Value =
            serde_json::from_str(include_str!("../../tests/golden/probe.json")).unwrap();
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
            // The same may be added to every bias; scikit-learn starts from 0, too.
            for (bias, expected) in bias.iter().zip(numbers(&fit["intercept"])) {
                close(*bias, expected, size);
            }
            let mut score = Score::default();
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
        let golden: Value =
            serde_json::from_str(include_str!("../../tests/golden/probe.json")).unwrap();
        let labels = indices(&golden["labels"]);
        let train = samples(&rows(&golden["features"]), &labels, 3);
        let probe = pollster::block_on(fit_probe(&train, 1, &mut unwatched)).unwrap();
        let chosen = probe.chosen.unwrap().points;
        // Seven to begin with, two for each halving of the distance of sixteen.
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
