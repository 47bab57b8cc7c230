#!/usr/bin/env python3
"""Render the page's sample pictures from OpenMoji, the style never trained on.

    python scripts/drawings/fetch.py --out ~/.cache/clip/drawings
    python scripts/drawings/samples.py --data ~/.cache/clip/drawings --out assets/samples
"""

import argparse
import io
import json
import tarfile
from pathlib import Path

import resvg_py
from PIL import Image

SIZE = 320

# concept, file, labels that make a question of it
SAMPLES = [
    ("1f408", "cat", ["cat", "dog", "rabbit", "fish"]),
    ("1f355", "pizza", ["pizza", "hamburger", "cake", "bread"]),
    ("1f6b2", "bicycle", ["bicycle", "car", "train", "airplane"]),
    ("1f3b8", "guitar", ["guitar", "violin", "trumpet", "drum"]),
    ("1f680", "rocket", ["rocket", "airplane", "helicopter", "ship"]),
    ("1f347", "grapes", ["grapes", "banana", "strawberry", "lemon"]),
    ("1f332", "tree", ["tree", "flower", "mushroom", "cactus"]),
    ("1f98b", "butterfly", ["butterfly", "bee", "bird", "spider"]),
    ("2602", "umbrella", ["umbrella", "hat", "tent", "snowman"]),
    ("26bd", "soccer", ["soccer ball", "basketball", "tennis", "bowling"]),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that fetch.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    tarball = next((arguments.data / "packages").glob("iconify-json-openmoji-*.tgz"))
    with tarfile.open(tarball) as tar:
        icons = json.load(tar.extractfile("package/icons.json"))
        names = json.load(tar.extractfile("package/chars.json"))
    listed = []
    for concept, file, labels in SAMPLES:
        name = names[concept]
        icon = icons["icons"][name]
        width = icon.get("width", icons.get("width", 16))
        height = icon.get("height", icons.get("height", 16))
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
            f' viewBox="0 0 {width} {height}" width="{SIZE}" height="{SIZE}">{icon["body"]}</svg>'
        )
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE))
        drawing = Image.open(io.BytesIO(png)).convert("RGBA")
        paper = Image.new("RGBA", drawing.size, "white")
        paper.alpha_composite(drawing)
        paper.convert("RGB").quantize(64).save(arguments.out / f"{file}.png", optimize=True)
        alt = name.replace("-", " ")
        listed.append({"file": f"samples/{file}.png", "alt": f"drawing: {alt}", "labels": labels})
    (arguments.out / "samples.json").write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
