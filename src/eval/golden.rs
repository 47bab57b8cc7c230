//! Against scikit-learn, SciPy and statsmodels: `tests/golden/make_eval.py`.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    metrics: Expected,
    mcnemar: Vec<Pair>,
}

#[derive(Deserialize)]
struct Expected {
    logits: Vec<Vec<f32>>,
    truth: Vec<usize>,
    top_1: f64,
    top_5: f64,
    top_1_interval: [f64; 2],
    balanced: f64,
    balanced_interval: [f64; 2],
    /// Precision, recall, F1.
    r#macro: [f64; 3],
    macro_f1_interval: [f64; 2],
    precision: Vec<f64>,
    recall: Vec<f64>,
    f1: Vec<f64>,
    support: Vec<usize>,
    confusion: Vec<Vec<usize>>,
    temperature: f64,
    before: Diagram,
    after: Diagram,
}

#[derive(Deserialize)]
struct Diagram {
    ece: f64,
    nll: f64,
    brier: f64,
    counts: Vec<usize>,
    /// Of bins with answers only.
    shares: Vec<f64>,
    means: Vec<f64>,
}

#[derive(Deserialize)]
struct Pair {
    only_first: usize,
    only_second: usize,
    statistic: Option<f64>,
    p_value: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden/eval.json")).unwrap()
}

fn classes(golden: &Golden) -> Vec<String> {
    (0..golden.metrics.support.len())
        .map(|class| class.to_string())
        .collect()
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: {found}, expected {expected}"
    );
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    let golden = golden();
    let expected = &golden.metrics;
    let classes = classes(&golden);
    let found = Metrics::new(&Predictions {
        classes: &classes,
        logits: &expected.logits,
        truth: &expected.truth,
    });
    close(found.top_1.value, expected.top_1, 1e-12, "top-1");
    close(
        found.top_1.low,
        expected.top_1_interval[0],
        1e-8,
        "low end of top-1",
    );
    close(
        found.top_1.high,
        expected.top_1_interval[1],
        1e-8,
        "high end of top-1",
    );
    close(found.top_5.value, expected.top_5, 1e-12, "top-5");
    close(
        found.mean_per_class.value,
        expected.balanced,
        1e-8,
        "mean of classes",
    );
    close(
        found.macro_precision,
        expected.r#macro[0],
        1e-8,
        "macro precision",
    );
    close(
        found.macro_recall,
        expected.r#macro[1],
        1e-8,
        "macro recall",
    );
    close(found.macro_f1.value, expected.r#macro[2], 1e-8, "macro F1");
    // Other random numbers: up to what a thousand resamples leave open.
    for (found, expected) in [
        (found.mean_per_class, expected.balanced_interval),
        (found.macro_f1, expected.macro_f1_interval),
    ] {
        close(found.low, expected[0], 0.01, "low end of a bootstrap");
        close(found.high, expected[1], 0.01, "high end of a bootstrap");
        assert!(found.low < found.value && found.value < found.high);
    }
    for (index, class) in found.classes.iter().enumerate() {
        close(
            class.precision.value,
            expected.precision[index],
            1e-8,
            "precision",
        );
        close(class.recall.value, expected.recall[index], 1e-8, "recall");
        close(class.f1, expected.f1[index], 1e-8, "F1");
        assert_eq!(class.images, expected.support[index]);
    }
    let judged: Vec<Judged> = (expected.logits.iter().zip(&expected.truth))
        .map(|(logits, truth)| Judged {
            path: "",
            truth: *truth,
            probabilities: softmax(logits),
        })
        .collect();
    let evaluation = Evaluation::new(&classes, &judged);
    assert_eq!(evaluation.confusion_matrix(), expected.confusion);
    close(
        evaluation.top_1,
        expected.top_1,
        1e-12,
        "top-1 of probabilities",
    );
}

#[test]
fn calibration_is_that_of_scikit_learn_and_scipy() {
    let golden = golden();
    let expected = &golden.metrics;
    let found = Calibration::new(&Predictions {
        classes: &classes(&golden),
        logits: &expected.logits,
        truth: &expected.truth,
    })
    .unwrap();
    close(found.temperature, expected.temperature, 1e-5, "temperature");
    for (found, expected) in [
        (&found.before, &expected.before),
        (&found.after, &expected.after),
    ] {
        close(found.ece, expected.ece, 1e-6, "ECE");
        close(found.nll, expected.nll, 1e-6, "NLL");
        close(found.brier, expected.brier, 1e-6, "Brier score");
        let counts: Vec<usize> = found.bins.iter().map(|bin| bin.images).collect();
        assert_eq!(counts, expected.counts);
        let filled = found.bins.iter().filter(|bin| bin.images > 0);
        for ((bin, share), mean) in filled.zip(&expected.shares).zip(&expected.means) {
            close(bin.accuracy, *share, 1e-8, "share of a bin");
            close(bin.confidence, *mean, 1e-6, "probability of a bin");
        }
    }
}

#[test]
fn mcnemar_is_that_of_statsmodels() {
    for pair in golden().mcnemar {
        let (b, c) = (pair.only_first, pair.only_second);
        let first: Vec<bool> = (0..70 + b + c).map(|i| i < 50 + b).collect();
        let second: Vec<bool> = (0..70 + b + c)
            .map(|i| i < 50 || (50 + b..50 + b + c).contains(&i))
            .collect();
        let found = McNemar::new(&first, &second);
        assert_eq!(
            [
                found.both,
                found.only_first,
                found.only_second,
                found.neither
            ],
            [50, b, c, 20]
        );
        close(found.p_value, pair.p_value, 1e-10, "p");
        match (found.statistic, pair.statistic) {
            (Some(found), Some(expected)) => close(found, expected, 1e-9, "statistic"),
            (found, expected) => assert_eq!(found, expected),
        }
    }
}
