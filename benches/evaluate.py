#!/usr/bin/env python3
"""How the cost of evaluating and of rejecting grows with the number of images.

    benches/evaluate.py --clip target/release/clip [--counts 100,1000,10000] [--write]

`clip evaluate`, alone and with prompts and few images, and `clip classify` with and without --reject, on generated
JPEGs of ten classes with the bundled model. Writes benches/evaluate.md with --write. Needs Pillow and NumPy.
"""

import argparse
import os
import tempfile
from pathlib import Path

from library import clip, draw, processor, run

HERE = Path(__file__).parent
CLASSES = ["circle", "square", "line", "cloud", "wall", "flag", "window", "ball", "box", "sky"]
SIZE = (320, 240)


def fill(images, count):
    """Images up to `count`, in folders of their class."""
    for name in CLASSES:
        (images / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        file = images / CLASSES[number % len(CLASSES)] / f"{number:06}.jpg"
        if not file.exists():
            draw(number, file, SIZE)


def growth(options, folder):
    """A row for each number of images."""
    images = folder / "images"
    rows, first = [], None
    for count in map(int, options.counts.split(",")):
        fill(images, count)
        data = ["evaluate", "--data", images]
        found, alone = clip(options, *data)
        assert found["evaluation"]["images"] == count, found["evaluation"]["images"]
        _, prompts = clip(options, *data, "--templates", "imagenet")
        _, shots = clip(options, *data, "--shots", "1,2,4", "--draws", "1")
        each = 1000 * alone.cpu / count
        first = first or each
        rows.append(f"| {count:,} | {alone} | {each:.2f} ms | {each / first:.2f} x | {prompts} | {shots} |")
        print(rows[-1], flush=True)
    return rows


def rejection(options, folder):
    """What --reject costs beside a plain classification, by the number of images."""
    rows = []
    files = sorted((folder / "images").rglob("*.jpg"))
    for count in [10, 100, 1000]:
        command = [options.clip, "classify", "--images", *files[:count], "--labels", ",".join(CLASSES), "--device", "cpu", "--json"]
        _, plain = run(command)
        _, reject = run([*command, "--reject"])
        more = reject.cpu - plain.cpu
        rows.append(f"| {count:,} | {plain} | {reject} | {more:.2f} s | {1000 * reject.cpu / count:.2f} ms |")
        print(rows[-1], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", required=True, help="the command, built for release")
    parser.add_argument("--counts", default="100,1000,10000")
    parser.add_argument("--write", action="store_true", help="write benches/evaluate.md")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        evaluated = growth(options, folder)
        rejected = rejection(options, folder)
    text = f"""# Evaluating and rejecting: growth

Written by `benches/evaluate.py`: whole commands with the bundled model on {os.cpu_count()} threads of {processor()};
the load of the machine was {load:.1f} when it began and {os.getloadavg()[0]:.1f} at the end, so what counts are the
ratios. Images are generated JPEGs of {SIZE[0]} x {SIZE[1]} in {len(CLASSES)} classes. Elapsed time, in parentheses the
CPU time of all threads, and peak memory.

| images | `clip evaluate` | CPU time of an image | against the first row | with `--templates imagenet` | with `--shots 1,2,4 --draws 1` |
| --: | --: | --: | --: | --: | --: |
{chr(10).join(evaluated)}

`clip classify`, plain and with `--reject`:

| images | plain | with `--reject` | CPU time more | CPU time of an image with `--reject` |
| --: | --: | --: | --: | --: |
{chr(10).join(rejected)}
"""
    if options.write:
        (HERE / "evaluate.md").write_text(text)


if __name__ == "__main__":
    main()
