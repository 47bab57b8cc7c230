#!/usr/bin/env python3
"""Pack the page's sample data set for training: OpenMoji, a folder for each class.

    python scripts/drawings/fetch.py --out ~/.cache/clip/drawings
    python scripts/drawings/training_samples.py --data ~/.cache/clip/drawings --out assets/samples/training.zip

The classes are wide on purpose: a model that knows cats and trains by name need not
know "animal" and "vehicle", so that training shows.
"""

import argparse
import io
import json
import random
import zipfile
from pathlib import Path

from PIL import Image

EACH = 16
# class: groups of Unicode's emoji list
CLASSES = {
    "animal": ["animal-mammal", "animal-bird", "animal-bug", "animal-marine", "animal-reptile"],
    "building": ["place-building", "place-religious"],
    "clothes": ["clothing"],
    "face": ["face-smiling", "face-concerned", "face-neutral-skeptical", "face-unwell"],
    "food": ["food-fruit", "food-prepared", "food-sweet", "food-vegetable"],
    "vehicle": ["transport-ground", "transport-air", "transport-water"],
}
# In these groups, but not what the class says.
NOT = {
    "1f43e", "1f3d7", "1f3d8", "1f3da", "1f6a5", "1f6a6", "1f6a7", "1f6a8", "1f6d1", "26fd", "2693", "1f6df", "1f6e3",
    "1f6e4", "1f6e2", "1f6de", "1f68f", "1f4ba", "1f6eb", "1f6ec", "1f578", "1fab6", "1fab9", "1faba", "1f54a",
    "1f451", "1f484", "1f48e", "1f4ff", "1f58d", "1f6cd", "1f48d", "1faae", "1faad", "26d1", "1f9ea",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that fetch.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="the zip")
    arguments = parser.parse_args()
    groups = {group["group"]: group["concepts"] for group in json.loads((arguments.data / "groups.json").read_text())}
    names = {n["concept"]: n["name"] for n in json.loads((arguments.data / "names.json").read_text())}
    chance = random.Random(0)
    with zipfile.ZipFile(arguments.out, "w", zipfile.ZIP_STORED) as packed:
        for folder, wanted in CLASSES.items():
            concepts = [c for group in wanted for c in groups[group] if c not in NOT and "-" not in c]
            concepts = sorted(c for c in concepts if (arguments.data / "openmoji" / f"{c}.png").exists())
            for concept in sorted(chance.sample(concepts, EACH)):
                drawing = Image.open(arguments.data / "openmoji" / f"{concept}.png").convert("RGBA")
                paper = Image.new("RGBA", drawing.size, "white")
                paper.alpha_composite(drawing)
                file = io.BytesIO()
                paper.convert("RGB").quantize(24).save(file, "png", optimize=True)
                # The same bytes in every run.
                name = "".join(c if c.isalnum() else "-" for c in names[concept]).strip("-")
                entry = zipfile.ZipInfo(f"{folder}/{name}.png")
                packed.writestr(entry, file.getvalue())


if __name__ == "__main__":
    main()
