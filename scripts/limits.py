#!/usr/bin/env python3
"""Make the drawings of people for the bias test of `clip evaluate --limits`.

    pip install -r scripts/drawings/requirements.txt
    python scripts/drawings/fetch.py --out ~/.cache/clip/drawings
    python scripts/limits.py --drawings ~/.cache/clip/drawings --out assets/limits

OpenMoji draws the same people at work in five skin tones, as a man, a woman and a person: drawings that
differ in nothing else. They go into `people.zip`, named `ROLE/GENDER/TONE.png`, on white.
"""

import argparse
import io
import json
import tarfile
import zipfile
from pathlib import Path

import resvg_py
from PIL import Image

SIZE = 96
ROLES = ["artist", "astronaut", "cook", "factory-worker", "farmer", "firefighter", "health-worker", "judge", "mechanic",
         "office-worker", "pilot", "scientist", "singer", "student", "teacher", "technologist"]
GENDERS = {"man": "man-", "woman": "woman-", "person": ""}
TONES = ["light", "medium-light", "medium", "medium-dark", "dark"]


def drawing(icons, name):
    icon = icons["icons"][name]
    width, height = (icon.get(side, icons[side]) for side in ("width", "height"))
    svg = (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
           f'viewBox="0 0 {width} {height}" width="{SIZE}" height="{SIZE}">{icon["body"]}</svg>')
    drawn = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).convert("RGBA")
    on_white = Image.new("RGBA", drawn.size, "white")
    on_white.alpha_composite(drawn)
    out = io.BytesIO()
    on_white.convert("RGB").quantize(32, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=Path, required=True, help="what scripts/drawings/fetch.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    [package] = (arguments.drawings / "packages").expanduser().glob("iconify-json-openmoji-*.tgz")
    with tarfile.open(package) as archive:
        icons = json.load(archive.extractfile("package/icons.json"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(arguments.out / "people.zip", "w") as out:
        for role in ROLES:
            for gender, prefix in GENDERS.items():
                for tone in TONES:
                    # A fixed date: the same file from the same package.
                    entry = zipfile.ZipInfo(f"{role}/{gender}/{tone}.png", (2020, 1, 1, 0, 0, 0))
                    out.writestr(entry, drawing(icons, f"{prefix}{role}-{tone}-skin-tone"))


if __name__ == "__main__":
    main()
