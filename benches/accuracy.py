#!/usr/bin/env python3
"""Zero-shot accuracy of a model on images that the bundled one was not trained on.

    python scripts/drawings/fetch.py --out ~/.cache/clip/drawings
    python scripts/photos/fetch.py --out ~/.cache/clip/photos
    cargo build --release
    python benches/accuracy.py --clip target/release/clip --cache ~/.cache/clip [--model DIR] > benches/accuracy.md

Runs `clip evaluate` on every set and prints Markdown.
"""

import argparse
import json
import subprocess
from pathlib import Path

PHOTO = "A photo of a {label}."
DRAWING = "A drawing of a {label}."
PHOTO_ZH = "一张{label}的照片"

# title, table, aims for top-1, top-5 and among 10 (None: no aim)
PHOTOS = [
    ("Tiny ImageNet", "tiny-imagenet", (42, 70, 90)),
    ("CIFAR-100", "cifar-100", (58, 85, 92)),
    ("CIFAR-10", "cifar-10", (86, None, None)),
    ("Clothing", "clothing", (65, 90, 92)),
    ("Grocery Store", "grocery", (65, 90, 92)),
    ("Caltech-101", "caltech-101", (60, 82, 92)),
]
OPENMOJI = ("OpenMoji (drawings)", "openmoji", (45, 70, 92))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True, help="the command")
    parser.add_argument("--cache", type=Path, required=True, help="folder with drawings/ and photos/")
    parser.add_argument("--model", help="as `clip evaluate` takes it; the bundled one when left out")
    arguments = parser.parse_args()
    cache = arguments.cache.expanduser()

    def evaluate(table, template):
        command = [arguments.clip, "evaluate", "--data", cache / table, "--template", template, "--device", "cpu", "--json"]
        if arguments.model:
            command += ["--model", arguments.model]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode:
            raise SystemExit(found.stderr)
        return json.loads(found.stdout)["evaluation"]

    def percent(share):
        return f"{100 * share:.1f} %"

    print("# Accuracy of the bundled model\n")
    print("With text prompts, on held-out images of the sets that it was trained on (of OpenMoji, a style of drawings that was held out as a whole). Written by `benches/accuracy.py`; targets in brackets. *Among 10*: top-1 among the right class and nine others.\n")
    print(f"Photographs with \"{PHOTO}\", drawings with \"{DRAWING}\".\n")
    print("| set | images | classes | top-1 | top-5 | mean per class | among 10 |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    english = {}
    for folder, sets, template in (("photos", PHOTOS, PHOTO), ("drawings", [OPENMOJI], DRAWING)):
        for title, table, aims in sets:
            found = english[table] = evaluate(f"{folder}/{table}.csv", template)
            shown = [
                percent(found[key]) + (f" ({aim})" if aim else "")
                for key, aim in zip(("top_1", "top_5", "among_10"), aims)
            ]
            print(
                f"| {title} | {found['images']:,} | {len(found['classes']):,} | {shown[0]} | {shown[1]}"
                f" | {percent(found['mean_per_class'])} | {shown[2]} |",
                flush=True,
            )
    print(f"\nWith Chinese names (\"{PHOTO_ZH}\"); the target is at most 5 points less:\n")
    print("| set | top-1 | points less | top-5 | among 10 |")
    print("| --- | --: | --: | --: | --: |")
    for title, table, _ in PHOTOS:
        found = evaluate(f"photos/{table}-zh.csv", PHOTO_ZH)
        less = 100 * (english[table]["top_1"] - found["top_1"])
        print(
            f"| {title} | {percent(found['top_1'])} | {less:.1f} | {percent(found['top_5'])} | {percent(found['among_10'])} |",
            flush=True,
        )
    print("\nWith the template of the other kind:\n")
    print(f"| set | \"{PHOTO}\" | \"{DRAWING}\" |")
    print("| --- | --: | --: |")
    for title, table, _ in PHOTOS:
        other = evaluate(f"photos/{table}.csv", DRAWING)
        print(f"| {title} | {percent(english[table]['top_1'])} | {percent(other['top_1'])} |", flush=True)
    other = evaluate("drawings/openmoji.csv", PHOTO)
    print(f"| {OPENMOJI[0]} | {percent(other['top_1'])} | {percent(english['openmoji']['top_1'])} |")


if __name__ == "__main__":
    main()
