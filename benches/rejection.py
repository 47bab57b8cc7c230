#!/usr/bin/env python3
"""How well `clip classify --reject` tells images that none of the labels fits.

    python scripts/drawings/fetch.py --out ~/.cache/clip/drawings
    python scripts/photos/fetch.py --out ~/.cache/clip/photos
    cargo build --release
    python benches/rejection.py --clip target/release/clip --cache ~/.cache/clip > benches/rejection.md

The labels are half of a set's classes. Images of these classes should be kept, others rejected: of the set's other
half, of another set, and drawings. AUROC, and the share of the others that is kept where 95 % of the right ones are
(FPR95); beside it the same with the softmax's highest probability, and the shares kept at the default threshold.
"""

import argparse
import csv
import json
import random
import subprocess
from pathlib import Path

# set, template, other set
SETS = [("photos/cifar-10", "photos/grocery"), ("photos/caltech-101", "photos/grocery"), ("photos/grocery", "photos/cifar-10"),
        ("photos/clothing", "photos/grocery"), ("photos/tiny-imagenet", "photos/grocery")]
DRAWINGS = "drawings/openmoji"
DEFAULT = 0.3
IMAGES = 300


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True, help="the command")
    parser.add_argument("--cache", type=Path, required=True, help="folder with drawings/ and photos/")
    arguments = parser.parse_args()
    cache = arguments.cache.expanduser()

    def images(table):
        with open(cache / f"{table}.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        random.Random(1).shuffle(rows)
        return [(cache / table.split("/")[0] / row["file"], row["label"]) for row in rows]

    def scores(files, labels):
        command = [arguments.clip, "classify", "--device", "cpu", "--json", "--reject", "--labels", ",".join(labels), "--images", *files]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        return [(image["fit"], image["labels"][0]["probability"]) for image in json.loads(found.stdout)["images"]]

    def auroc(kept, rejected):
        wins = sum((a > b) + 0.5 * (a == b) for a in kept for b in rejected)
        return wins / (len(kept) * len(rejected))

    def fpr95(kept, rejected):
        threshold = sorted(kept)[int(0.05 * len(kept))]
        return sum(score >= threshold for score in rejected) / len(rejected)

    print("# None of these\n")
    print(f"Written by `benches/rejection.py` with the bundled model; up to {IMAGES} images of each kind, held out from the")
    print("sets that it was trained on. On photographs from elsewhere it is too weak to tell: of the page's six it rejects")
    print("five, though it ranks the right label first. Take a published model for those.\n")
    print("| labels | others | AUROC | FPR95 | AUROC of softmax | FPR95 of softmax | right ones kept | others kept |")
    print("| --- | --- | --: | --: | --: | --: | --: | --: |")
    sums = [0.0] * 6
    rows = 0
    for table, other in SETS:
        found = images(table)
        classes = sorted({label for _, label in found})
        random.Random(3).shuffle(classes)
        known = sorted(classes[: len(classes) // 2])
        within = scores([file for file, label in found if label in known][:IMAGES], known)
        outside = {
            "its other classes": [file for file, label in found if label not in known],
            other.split("/")[1]: [file for file, _ in images(other)],
            "drawings": [file for file, _ in images(DRAWINGS)],
        }
        for name, files in outside.items():
            without = scores(files[:IMAGES], known)
            fit, highest = ([[score[i] for score in side] for side in (within, without)] for i in (0, 1))
            kept = [sum(score >= DEFAULT for score in side) / len(side) for side in fit]
            figures = [auroc(*fit), fpr95(*fit), auroc(*highest), fpr95(*highest), *kept]
            sums = [a + b for a, b in zip(sums, figures)]
            rows += 1
            shown = " | ".join(f"{100 * value:.1f} %" for value in figures)
            print(f"| {len(known)} of {table.split('/')[1]} | {name} | {shown} |", flush=True)
    print(f"| mean | | {' | '.join(f'{100 * value / rows:.1f} %' for value in sums)} |")


if __name__ == "__main__":
    main()
