#!/usr/bin/env python3
"""Growth of the library: clip index, search and duplicates with 100, 1,000 and 10,000 images (and more).

    benches/library.py --clip target/release/clip [--counts 100,1000,10000,100000] [--write]

Images are generated: coloured gradients and shapes, JPEG, 320 x 240. Writes benches/library.md with --write.
Needs Pillow.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageDraw

HERE = Path(__file__).parent


def draw(number, file):
    rng = random.Random(number)
    colour = lambda: tuple(rng.randrange(256) for _ in range(3))
    image = Image.linear_gradient("L").resize((320, 240)).rotate(rng.randrange(360))
    image = Image.composite(Image.new("RGB", image.size, colour()), Image.new("RGB", image.size, colour()), image)
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randrange(2, 9)):
        x, y, size = rng.randrange(320), rng.randrange(240), rng.randrange(20, 120)
        shape = rng.choice([pen.ellipse, pen.rectangle])
        shape((x, y, x + size, y + size), fill=colour())
    image.save(file, quality=85)


def clip(options, *arguments):
    start = time.monotonic()
    done = subprocess.run([options.clip, *arguments, "--device", "cpu", "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout), time.monotonic() - start


def processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", default="clip")
    parser.add_argument("--counts", default="100,1000,10000")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    lines = [
        "| images | indexing | an image | again, nothing new | one more image | search | duplicates | index |",
        "| --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        images, index = Path(folder, "images"), Path(folder, "index.safetensors")
        made = 0
        for count in map(int, options.counts.split(",")):
            index.unlink(missing_ok=True)
            for number in range(made, count):
                part = images / f"{number // 1000:03}"
                part.mkdir(parents=True, exist_ok=True)
                draw(number, part / f"{number:06}.jpg")
            made = count
            place = ["--index", str(index)]
            found, indexing = clip(options, "index", str(images), *place)
            assert found["images"] == count, found
            _, again = clip(options, "index", str(images), *place)
            draw(10**9 + count, images / "new.jpg")
            _, one = clip(options, "index", str(images), *place)
            (images / "new.jpg").unlink()
            _, search = clip(options, "search", "a red circle", "--data", str(images), *place, "--no-update")
            _, duplicates = clip(options, "duplicates", str(images), *place)
            size = index.stat().st_size / 1e6
            lines.append(
                f"| {count:,} | {indexing:.1f} s | {1000 * indexing / count:.2f} ms | {again:.2f} s | {one:.2f} s "
                f"| {search:.2f} s | {duplicates:.2f} s | {size:.1f} MB |"
            )
            print(lines[-1], flush=True)
    if options.write:
        text = f"""# A library of one's own images

Written by `benches/library.py`: the whole command, start and reading of the index included, with the bundled model
on {os.cpu_count()} threads of {processor()}. Images are JPEGs of 320 x 240.

"""
        (HERE / "library.md").write_text(text + "\n".join(lines) + "\n")


main()
