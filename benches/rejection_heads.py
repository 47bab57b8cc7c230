#!/usr/bin/env python3
"""How well images that no class of a trained head fits are told, by several scores.

    python scripts/drawings/fetch.py --out ~/.cache/clip/drawings
    python scripts/photos/fetch.py --out ~/.cache/clip/photos
    cargo build --release
    python benches/rejection_heads.py --clip target/release/clip --cache ~/.cache/clip > benches/rejection_heads.md

Needs NumPy and safetensors. `clip train` fits a probe to half of a set's classes, to two thirds of their images. The
others of these images should be kept, and rejected those of the set's other classes, of another set, and drawings.
The scores are computed here of the features that `clip embed` writes; "nearest mean" is the one in the head's file.
"""

import argparse
import csv
import json
import random
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

# set, other set
SETS = [("photos/cifar-10", "photos/grocery"), ("photos/caltech-101", "photos/grocery"), ("photos/grocery", "photos/cifar-10"),
        ("photos/clothing", "photos/grocery"), ("photos/tiny-imagenet", "photos/grocery"), ("drawings/groups", "photos/cifar-10")]
DRAWINGS = "drawings/openmoji"
GROUP = 12  # drawings that a kind of things has at least
SHARE = 2 / 3
IMAGES = 300
DEFAULT = 0.05


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True, help="the command")
    parser.add_argument("--cache", type=Path, required=True, help="folder with drawings/ and photos/")
    arguments = parser.parse_args()
    cache = arguments.cache.expanduser().resolve()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments.clip, cache, Path(folder))


def measure(clip, cache, folder):
    kinds = {}
    for group in json.loads((cache / "drawings/groups.json").read_text()):
        kinds |= dict.fromkeys(group["concepts"], group["group"].split("-")[0])

    def images(table):
        groups = table == "drawings/groups"
        with open(cache / f"{DRAWINGS if groups else table}.csv", encoding="utf-8") as file:
            rows = [(str(cache / table.split("/")[0] / row["file"]), row["label"]) for row in csv.DictReader(file)]
        if groups:
            rows = [(path, kinds.get(Path(path).stem)) for path, _ in rows]
            count = {kind: sum(own == kind for _, own in rows) for kind in set(kinds.values())}
            rows = [(path, kind) for path, kind in rows if kind and count[kind] >= GROUP]
        random.Random(1).shuffle(rows)
        return rows

    paths = sorted({path for table in {*sum(SETS, ()), DRAWINGS} for path, _ in images(table)})
    (folder / "list").write_text("\n".join(paths) + "\n")
    run = lambda *words: subprocess.run([clip, *words, "--device", "cpu"], capture_output=True, text=True, check=True)
    run("embed", "--data", folder / "list", "--out", folder / "features")
    features = np.load(folder / "features/img_emb/img_emb_0.npy").astype(np.float64)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    at = {path: index for index, path in enumerate(paths)}
    of = lambda files: features[[at[path] for path in files]]

    found, rows = {}, []
    for shots in (None, 4):
        for table, other in SETS:
            every = images(table)
            classes = sorted({label for _, label in every})
            random.Random(3).shuffle(classes)
            known = sorted(classes[: len(classes) // 2])
            learnt, tried = [], []
            for label in known:
                own = [(path, label) for path, own in every if own == label]
                count = max(2, round(SHARE * len(own)))
                learnt += own[: min(count, shots or count)]
                tried += own[count:]
            random.Random(2).shuffle(tried)
            tried = tried[:IMAGES]
            with tempfile.TemporaryDirectory(dir=folder) as data:
                link(Path(data), learnt)
                run("train", "--method", "probe", "--held-out", "0", "--data", data, "--out", folder / "head")
            head = load_file(folder / "head/head.safetensors")
            scores = all_scores(head, of([path for path, _ in learnt]), [known.index(label) for _, label in learnt])
            fit = lambda x: np.interp(scores["nearest mean"](x), head["fit_quantiles"], np.linspace(0, 1, len(head["fit_quantiles"])))
            right = of([path for path, _ in tried])
            outside = {
                "its other classes": [path for path, label in every if label not in known],
                other.split("/")[1]: [path for path, _ in images(other)],
            }
            if not table.startswith("drawings"):
                outside["drawings"] = [path for path, _ in images(DRAWINGS)]
            for name, files in outside.items():
                wrong = of(files[:IMAGES])
                for score, value in scores.items():
                    figures = auroc(value(right), value(wrong)), fpr95(value(right), value(wrong))
                    found.setdefault(score, []).append((shots, name == "its other classes", *figures))
                    if score == "nearest mean" and not shots:
                        kept = [(fit(side) >= DEFAULT).mean() for side in (right, wrong)]
                        rows.append((f"{len(known)} of {table.split('/')[1]}, {len(learnt)} images", name, *figures, *kept))
    report(found, rows)


def link(data, images):
    """A data set of links to images, with a table."""
    rows = [(f"{number}{Path(path).suffix}", path, label) for number, (path, label) in enumerate(images)]
    for name, path, _ in rows:
        (data / name).symlink_to(path)
    with open(data / "labels.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "label"), *((name, label) for name, _, label in rows)])


def all_scores(head, x, labels):
    """Scores by name, the higher the better an image fits: functions of features `[images, dims]`."""
    labels = np.array(labels)
    count, dims = x.shape
    means = np.stack([x[labels == label].mean(0) for label in range(labels.max() + 1)])
    unit = head["class_means"].astype(np.float64)
    weight, bias = head["weight"].astype(np.float64), head["bias"].astype(np.float64)
    logits = lambda z: z @ weight.T + bias

    def precision(centred):  # as in src/train/gda.rs
        scatter = centred.T @ centred
        return dims * np.linalg.inv(scatter + np.trace(scatter) / max(count - 1, 1) * np.eye(dims))

    def distances(z, precision, means):
        away = z[:, None] - means[None]
        return (away @ precision * away).sum(2)

    within, around = precision(x - means[labels]), precision(x - x.mean(0))
    nearest = lambda z: distances(z, within, means).min(1)
    softmax = lambda z: np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))
    return {
        "nearest mean": lambda z: (z @ unit.T).max(1),
        "Mahalanobis": lambda z: -nearest(z),
        "relative Mahalanobis": lambda z: distances(z, around, x.mean(0)[None])[:, 0] - nearest(z),
        "nearest neighbour": lambda z: (z @ x.T).max(1),
        "3 nearest neighbours": lambda z: np.sort(z @ x.T, axis=1)[:, -3:].mean(1),
        "highest probability": lambda z: softmax(logits(z)).max(1),
        "highest logit": lambda z: logits(z).max(1),
        "energy": lambda z: np.logaddexp.reduce(logits(z), axis=1),
    }


def auroc(kept, rejected):
    wins = (kept[:, None] > rejected[None]) + 0.5 * (kept[:, None] == rejected[None])
    return wins.mean()


def fpr95(kept, rejected):
    return (rejected >= np.sort(kept)[int(0.05 * len(kept))]).mean()


def report(found, rows):
    percent = lambda values: " | ".join(f"{100 * value:.1f} %" for value in values)
    print("# None of these, for trained heads\n")
    print("Written by `benches/rejection_heads.py` with the bundled model: probes on half of a set's classes, up to")
    print(f"{IMAGES} images of each kind. The images are held out from the sets that the model was trained on. AUROC, and the")
    print("share of the others that is kept where 95 % of the right ones are (FPR95), on average.\n")
    print("| score | AUROC | FPR95 | AUROC, the set's other classes | FPR95 | AUROC, 4 images per class | FPR95 |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for score, figures in found.items():
        sides = [
            [row[2:] for row in figures if row[0] is None],
            [row[2:] for row in figures if row[0] is None and row[1]],
            [row[2:] for row in figures if row[0] is not None],
        ]
        print(f"| {score} | {percent(np.concatenate([np.mean(side, axis=0) for side in sides]))} |")
    print("\nThe cosine of the nearest class mean is what a head's file keeps, and what `--reject` and the page use. At their")
    print("threshold, 5 %, which each head takes from its own training images, these are kept:\n")
    print("| head | others | AUROC | FPR95 | right ones kept | others kept |")
    print("| --- | --- | --: | --: | --: | --: |")
    for head, others, *figures in rows:
        print(f"| {head} | {others} | {percent(figures)} |")
    print(f"| mean | | {percent(np.mean([row[2:] for row in rows], axis=0))} |")


if __name__ == "__main__":
    main()
