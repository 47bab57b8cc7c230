#!/usr/bin/env python3
"""Writes probe.json: what scikit-learn's LogisticRegression makes of made-up features.

    pip install -r tests/golden/requirements.txt
    python tests/golden/make_probe.py
"""

import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

CLASSES, DIMS = 3, 12


def draw(random, centres, each):
    labels = np.repeat(np.arange(CLASSES), each)
    features = centres[labels] + random.normal(scale=1.2, size=(len(labels), DIMS))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features.astype(np.float32).astype(np.float64), labels


def rounded(values):
    return np.vectorize(lambda v: float(f"{v:.9g}"))(values).tolist()


def main():
    random = np.random.default_rng(5)
    centres = random.normal(size=(CLASSES, DIMS))
    features, labels = draw(random, centres, 20)
    test_features, test_labels = draw(random, centres, 30)
    fits = []
    for c in [0.01, 0.316, 10.0, 1000.0]:
        fit = LogisticRegression(C=c, tol=1e-12, max_iter=100_000).fit(features, labels)
        fits.append({
            "C": c,
            "coef": rounded(fit.coef_),
            "intercept": rounded(fit.intercept_),
            "probabilities": rounded(fit.predict_proba(test_features)),
            "accuracy": fit.score(test_features, test_labels),
        })
        print(c, fits[-1]["accuracy"], fit.n_iter_)
    golden = {
        "features": rounded(features),
        "labels": labels.tolist(),
        "test_features": rounded(test_features),
        "test_labels": test_labels.tolist(),
        "fits": fits,
    }
    path = Path(__file__).with_name("probe.json")
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
