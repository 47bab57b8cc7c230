#!/usr/bin/env python3
"""Writes eval.json: what scikit-learn, SciPy, statsmodels and NumPy make of made-up predictions.

    pip install -r tests/golden/requirements.txt
    python tests/golden/make_eval.py
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score, balanced_accuracy_score, brier_score_loss, confusion_matrix, log_loss,
    precision_recall_fscore_support, top_k_accuracy_score,
)
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

# The last class has no image, but is named; the one before has images, but is not named.
CLASSES, IMAGES, BINS = 9, 240, 15


def numbers(values):
    return np.vectorize(lambda v: float(f"{v:.9g}"))(values).tolist()


def predictions(random):
    share = np.array([0.25, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06, 0.04, 0.0])
    truth = random.choice(CLASSES, size=IMAGES, p=share)
    logits = 3.0 * random.normal(size=(IMAGES, CLASSES))
    logits[np.arange(IMAGES), truth] += 4.0
    logits[:, 7] -= 20.0
    return np.round(logits, 4).astype(np.float32).astype(np.float64), truth


def halves(truth):
    """Every other image of each class, the first for the trial."""
    seen, fitted = np.zeros(CLASSES, int), np.zeros(len(truth), bool)
    for index, label in enumerate(truth):
        fitted[index] = seen[label] % 2 == 1
        seen[label] += 1
    return fitted


def reliability(logits, truth, temperature):
    probabilities = softmax(logits / temperature, axis=1)
    answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = (answers == truth).astype(int)
    shares, means = calibration_curve(right, confidence, n_bins=BINS, strategy="uniform")
    counts = np.histogram(confidence, bins=BINS, range=(0, 1))[0]
    filled = counts[counts > 0]
    return {
        "ece": float((filled * np.abs(shares - means)).sum() / len(truth)),
        "nll": float(log_loss(truth, probabilities, labels=range(CLASSES))),
        "brier": float(brier_score_loss(truth, probabilities, labels=list(range(CLASSES)), scale_by_half=False)),
        "counts": counts.tolist(),
        "shares": numbers(shares),
        "means": numbers(means),
    }


def bootstrap(random, truth, answers, statistic, resamples=4000):
    members = [np.flatnonzero(truth == label) for label in np.unique(truth)]
    values = []
    for _ in range(resamples):
        drawn = np.concatenate([random.choice(images, size=len(images)) for images in members])
        values.append(statistic(truth[drawn], answers[drawn]))
    return numbers(np.percentile(values, [2.5, 97.5]))


def macro_f1(truth, answers):
    """As `f1_score(average="macro")`, but quick."""
    right = np.bincount(truth[truth == answers], minlength=CLASSES)
    both = np.bincount(truth, minlength=CLASSES) + np.bincount(answers, minlength=CLASSES)
    return (2 * right[both > 0] / both[both > 0]).mean()


def recalls(truth, answers):
    right = np.bincount(truth[truth == answers], minlength=CLASSES)
    images = np.bincount(truth, minlength=CLASSES)
    return (right[images > 0] / images[images > 0]).mean()


def metrics(random):
    logits, truth = predictions(random)
    answers = logits.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, answers, labels=range(CLASSES), zero_division=0)
    macro = precision_recall_fscore_support(truth, answers, average="macro", zero_division=0)[:3]
    assert abs(macro[2] - macro_f1(truth, answers)) < 1e-12
    assert abs(balanced_accuracy_score(truth, answers) - recalls(truth, answers)) < 1e-12
    right = int((answers == truth).sum())
    fitted = halves(truth)
    loss = lambda log: -log_softmax(logits[fitted] / np.exp(log), axis=1)[np.arange(fitted.sum()), truth[fitted]].sum()
    temperature = float(np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9}).x))
    return {
        "logits": numbers(logits),
        "truth": truth.tolist(),
        "top_1": accuracy_score(truth, answers),
        "top_5": float(top_k_accuracy_score(truth, logits, k=5, labels=range(CLASSES))),
        "top_1_interval": numbers(proportion_confint(right, IMAGES, method="wilson")),
        "balanced": float(recalls(truth, answers)),
        "balanced_interval": bootstrap(random, truth, answers, recalls),
        "macro": numbers(macro),
        "macro_f1_interval": bootstrap(random, truth, answers, macro_f1),
        "precision": numbers(precision),
        "recall": numbers(recall),
        "f1": numbers(f1),
        "support": support.tolist(),
        "confusion": confusion_matrix(truth, answers, labels=range(CLASSES)).tolist(),
        "temperature": temperature,
        "before": reliability(logits[~fitted], truth[~fitted], 1.0),
        "after": reliability(logits[~fitted], truth[~fitted], temperature),
    }


def tests():
    found = []
    for only_first, only_second in [(0, 0), (3, 15), (12, 12), (1, 23), (10, 15), (40, 25), (30, 120), (300, 301)]:
        exact = only_first + only_second < 25
        test = mcnemar([[50, only_first], [only_second, 20]], exact=exact, correction=True)
        found.append({
            "only_first": only_first, "only_second": only_second,
            "statistic": None if exact else float(test.statistic), "p_value": float(test.pvalue),
        })
    return found


def gda(random):
    """Class means and the precision as the paper's equation gives it."""
    classes, dims, each = 3, 12, 8
    labels = np.repeat(np.arange(classes), each)
    features = random.normal(size=(classes, dims))[labels] + random.normal(scale=1.0, size=(len(labels), dims))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    features = features.astype(np.float32).astype(np.float64)
    means = np.stack([features[labels == label].mean(axis=0) for label in range(classes)])
    covariance = np.cov((features - means[labels]).T)
    shrunk = (len(labels) - 1) * covariance + np.trace(covariance) * np.eye(dims)
    precision = dims * np.linalg.inv(shrunk)
    weight = means @ precision
    return {
        "features": numbers(features),
        "labels": labels.tolist(),
        "weight": numbers(weight),
        "bias": numbers(-(weight * means).sum(axis=1) / 2),
    }


def main():
    random = np.random.default_rng(19)
    golden = {"metrics": metrics(random), "mcnemar": tests(), "gda": gda(random)}
    path = Path(__file__).with_name("eval.json")
    path.write_text(json.dumps(golden) + "\n")
    print({name: golden["metrics"][name] for name in ("top_1", "top_5", "balanced", "temperature", "macro")})
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
