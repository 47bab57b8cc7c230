#!/usr/bin/env python3
"""How well `clip locate` points: scenes of drawings at known places.

    python scripts/drawings/fetch.py --out ~/.cache/clip/drawings
    cargo build --release
    python benches/locate.py --clip target/release/clip --cache ~/.cache/clip

Needs Pillow and NumPy. Each scene is a canvas of 480 x 360 pixels with two to four drawings of OpenMoji (a style that the
bundled model was not trained on), 90 to 150 pixels wide, which do not overlap. A label is found if the place of its maximum
lies in the box of its drawing. Chance is the mean share of a box. The baseline encodes overlapping crops of 120 x 120
pixels, each as an image of its own, and points to the centre of the one that fits best."""

import argparse
import json
import random
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

STYLE = "openmoji"
WIDTH, HEIGHT = 480, 360
SCENES = 100
CROP, STRIDE = 120, 40
GROUPS = ("animal", "food", "transport", "plant", "musical", "sport", "clothing", "household")


def concepts(cache):
    groups = {c: g["group"] for g in json.loads((cache / "groups.json").read_text()) for c in g["concepts"]}
    rows = [json.loads(line) for line in (cache / "held_out.jsonl").read_text().splitlines()]
    return [
        (row["concept"], row["name"])
        for row in rows
        if row["style"] == STYLE and "-" not in row["concept"] and groups.get(row["concept"], "").startswith(GROUPS)
        and "," not in row["name"]
    ]


def scene(cache, known, draw):
    canvas = Image.new("RGB", (WIDTH, HEIGHT), tuple(draw.randint(200, 255) for _ in range(3)))
    boxes = []
    for concept, name in draw.sample(known, draw.randint(2, 4)):
        for _ in range(1000):
            side = draw.randint(90, 150)
            x, y = draw.randint(0, WIDTH - side), draw.randint(0, HEIGHT - side)
            if all(x + side <= a or a + s <= x or y + side <= b or b + s <= y for _, (a, b, s) in boxes):
                break
        drawing = Image.open(cache / STYLE / f"{concept}.png").convert("RGBA").resize((side, side), Image.BICUBIC)
        canvas.paste(drawing, (x, y), drawing)
        boxes.append((name, (x, y, side)))
    return canvas, boxes


def inside(x, y, box):
    return box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[2]


def interval(found, total):
    """Wilson's, 95 %."""
    p, z = found / total, 1.96
    middle, half = p + z * z / (2 * total), z * (p * (1 - p) / total + z * z / (4 * total**2)) ** 0.5
    return [(middle + sign * half) / (1 + z * z / total) for sign in (-1, 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True, help="the command")
    parser.add_argument("--cache", type=Path, required=True, help="folder with drawings/")
    parser.add_argument("--model", help="another model than the bundled one")
    parser.add_argument("--only", type=Path, help="JSON file with the names to draw from")
    arguments = parser.parse_args()
    cache = arguments.cache.expanduser() / "drawings"
    known = concepts(cache)
    if arguments.only:
        names = json.loads(arguments.only.read_text())
        known = [(concept, name) for concept, name in known if name in names]
    model = ["--device", "cpu", "--json"] + (["--model", arguments.model] if arguments.model else [])
    draw = random.Random(1)

    def run(*words):
        found = subprocess.run([arguments.clip, *words, *model], capture_output=True, text=True, check=True)
        return json.loads(found.stdout)

    hits, crops, chance, total = 0, 0, 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(SCENES):
            canvas, boxes = scene(cache, known, draw)
            file = Path(folder) / "scene.png"
            canvas.save(file)
            places = [(x, y) for y in range(0, HEIGHT - CROP + 1, STRIDE) for x in range(0, WIDTH - CROP + 1, STRIDE)]
            files = []
            for x, y in places:
                files.append(Path(folder) / f"{x}-{y}.png")
                canvas.crop((x, y, x + CROP, y + CROP)).save(files[-1])
            names = [name for name, _ in boxes]
            found = run("locate", file, "--labels", ",".join(names))["images"][0]["labels"]
            encoded = run("embed", "--texts", *(f"A photo of a {name}." for name in names), "--images", *files)
            images = np.array([image["features"] for image in encoded["images"]])
            for (name, box), label, text in zip(boxes, found, encoded["texts"]):
                best = places[int(np.argmax(images @ np.array(text["features"])))]
                hits += inside(label["x"] * WIDTH, label["y"] * HEIGHT, box)
                crops += inside(best[0] + CROP / 2, best[1] + CROP / 2, box)
                chance += box[2] ** 2 / (WIDTH * HEIGHT)
                total += 1
    low, high = (f"{100 * bound:.1f}" for bound in interval(hits, total))
    print(f"{total} labels in {SCENES} scenes.\n")
    print("| | maximum in the right drawing |\n| --- | --: |")
    print(f"| `clip locate` | {100 * hits / total:.1f} % (95 % interval {low} to {high} %) |")
    print(f"| {len(places)} crops, each encoded by itself | {100 * crops / total:.1f} % |")
    print(f"| chance | {100 * chance / total:.1f} % |")


if __name__ == "__main__":
    main()
