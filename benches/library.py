#!/usr/bin/env python3
"""The library measured: the commands over 100 to 100,000 images, and pictures per second beside open_clip.

    benches/library.py --clip target/release/clip [--counts 100,1000,10000,100000] [--python VENV/bin/python] [--write]

Images are generated: coloured gradients and shapes, JPEG. With --python, an interpreter that has torch and
open_clip_torch, open_clip encodes the same images with the same ViT-B/32 (random weights) in the same run, through a
DataLoader. Writes benches/library.md with --write. Needs Pillow and NumPy.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
# From 100,000 images on, small ones: it is the library that is measured, not the JPEG decoder.
LARGE, SMALL, MANY = (320, 240), (96, 96), 100_000
# Beside open_clip: photographs as a phone sends them.
PHOTO = (1024, 768)

OPEN_CLIP = """
import json, os, sys, time
from pathlib import Path
import open_clip, torch
from PIL import Image

folder, images, threads = Path(sys.argv[1]), sorted(Path(sys.argv[2]).rglob("*.jpg")), int(sys.argv[3])
torch.manual_seed(0)
torch.set_num_threads(threads)
model, _, preprocess = open_clip.create_model_and_transforms("ViT-B-32", pretrained=None)
model.eval()
if not images:
    from safetensors.torch import save_file
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    config = {"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": model.visual.preprocess_cfg}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    sys.exit()

class Pictures(torch.utils.data.Dataset):
    def __len__(self):
        return len(images)
    def __getitem__(self, index):
        return preprocess(Image.open(images[index]))

cpu = lambda: sum(os.times()[:4])
start, busy = time.monotonic(), cpu()
rows = []
with torch.inference_mode():
    for batch in torch.utils.data.DataLoader(Pictures(), batch_size=32, num_workers=threads):
        rows.append(model.encode_image(batch, normalize=True))
seconds = time.monotonic() - start
features = torch.cat(rows)
print(json.dumps({"seconds": seconds, "cpu": cpu() - busy, "version": open_clip.__version__, "first": features[0].tolist(), "path": str(images[0])}))
"""


def draw(number, file, size):
    rng = random.Random(number)
    colour = lambda: tuple(rng.randrange(256) for _ in range(3))
    width, height = size
    # Rotated small and then enlarged: fast, and just as smooth.
    ramp = Image.linear_gradient("L").resize((64, 64)).rotate(rng.randrange(360)).resize(size)
    image = Image.composite(Image.new("RGB", size, colour()), Image.new("RGB", size, colour()), ramp)
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randrange(2, 9)):
        x, y, side = rng.randrange(width), rng.randrange(height), rng.randrange(height // 12, height // 2)
        shape = rng.choice([pen.ellipse, pen.rectangle])
        shape((x, y, x + side, y + side), fill=colour())
    image.save(file, quality=85)


class Cost:
    """Seconds, CPU seconds of all threads, and peak memory in MB of a command."""

    def __init__(self, seconds, usage):
        self.seconds, self.memory = seconds, usage.ru_maxrss / 1024
        self.cpu = usage.ru_utime + usage.ru_stime

    def __str__(self):
        return f"{self.seconds:.2f} s ({self.cpu:.2f} s), {self.memory:.0f} MB"


def run(command, **more):
    """Output and cost of a command."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, **more)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        if status:
            sys.exit(f"{command} failed: {status}")
        output.seek(0)
        return output.read(), Cost(seconds, usage)


def clip(options, *arguments):
    output, cost = run([options.clip, *map(str, arguments), "--device", "cpu", "--json"])
    return json.loads(output), cost


def processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def fill(images, first, count, size):
    for number in range(first, count):
        part = images / f"{number // 1000:03}"
        part.mkdir(parents=True, exist_ok=True)
        draw(number, part / f"{number:06}.jpg", size)


def growth(options, folder):
    """A row for each number of images: what each command costs."""
    rows = []
    made = {}
    for count in map(int, options.counts.split(",")):
        size = SMALL if count >= MANY else LARGE
        images, index = folder / f"images-{size[0]}", folder / "index.safetensors"
        index.unlink(missing_ok=True)
        fill(images, made.get(size, 0), count, size)
        made[size] = count
        place = ["--index", index]
        found, indexing = clip(options, "index", images, *place)
        assert found["images"] == count, found
        _, again = clip(options, "index", images, *place)
        draw(10**9 + count, images / "new.jpg", size)
        _, one = clip(options, "index", images, *place)
        (images / "new.jpg").unlink()
        clip(options, "index", images, *place)
        _, search = clip(options, "search", "a red circle", "--data", images, *place, "--no-update")
        _, duplicates = clip(options, "duplicates", images, *place)
        _, cluster = clip(options, "cluster", images, *place)
        rows.append(
            f"| {count:,} | {size[0]} x {size[1]} | {indexing} | {1000 * indexing.cpu / count:.2f} ms | {again} | {one} "
            f"| {search} | {duplicates} | {cluster} | {index.stat().st_size / 1e6:.1f} MB |"
        )
        print(rows[-1], flush=True)
    return rows


def wide(options, folder, model, images):
    """Cost of a search in an index of 100,000 x 512 that is made up, and in one of a few images."""
    index, count = folder / "few.safetensors", 100_000
    shared = ["--model", model, "--data", images, "--index"]
    clip(options, "index", images, "--model", model, "--index", index)
    _, few = clip(options, "search", "a red circle", *shared, index, "--no-update")
    data = index.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    begin, end = header["entries"]["data_offsets"]
    listing = json.loads(data[8 + length :][begin:end])
    dim = header["features"]["shape"][1]
    listing["entries"] = [listing["entries"][0] | {"path": f"{number:06}.jpg"} for number in range(count)]
    entries = json.dumps(listing).encode()
    length = 2 * count * dim
    header["features"] = {"dtype": "F16", "shape": [count, dim], "data_offsets": [0, length]}
    header["entries"] = {"dtype": "U8", "shape": [len(entries)], "data_offsets": [length, length + len(entries)]}
    text = json.dumps(header).encode()
    many = folder / "many.safetensors"
    rng = np.random.default_rng(0)
    with many.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        # In parts: what this process holds would count as the peak memory of the command.
        for _ in range(0, count, 1000):
            features = rng.standard_normal((1000, dim), dtype=np.float32)
            file.write((features / np.linalg.norm(features, axis=1, keepdims=True)).astype("<f2").tobytes())
        file.write(entries)
    _, search = clip(options, "search", "a red circle", *shared, many, "--no-update")
    return (
        f"In an index of {count:,} x {dim} that was made up, `clip search` costs {search}, loading of the model and reading of "
        f"the index included; in one of {len(list(images.rglob('*.jpg')))} images {few}."
    )


def beside_open_clip(options, folder):
    """Pictures per second of ViT-B/32: ours, ours in 8 bits, and open_clip's, by turns in one run."""
    model, images, threads = folder / "vit-b-32", folder / "photos", os.cpu_count()
    model.mkdir()
    command = [options.python, "-c", OPEN_CLIP]
    run([*command, model, folder / "nothing", str(threads)])
    fill(images, 0, options.photos, PHOTO)
    costs = {"ours": [], "int8": [], "theirs": []}
    for number in range(options.rounds):
        for name, more in [("ours", []), ("int8", ["--int8"])]:
            place = [*more, "--model", model, "--index", folder / f"{name}-{number}.safetensors"]
            found, whole = clip(options, "index", images, *place)
            # Without the start and the loading of the model.
            _, again = clip(options, "index", images, *place)
            costs[name].append((found["seconds"], whole.cpu - again.cpu))
        output, _ = run([*command, model, images, str(threads)])
        theirs = json.loads(output)
        costs["theirs"].append((theirs["seconds"], theirs["cpu"]))
    # The same model: the same features.
    ours, _ = clip(options, "embed", "--images", theirs["path"], "--model", model)
    cosine = float(np.dot(ours["images"][0]["features"], theirs["first"]))
    assert cosine > 0.999, cosine
    best = {name: [min(column) for column in zip(*rounds)] for name, rounds in costs.items()}

    def row(program, name):
        seconds, cpu = best[name]
        return (
            f"| {program} | {options.photos / seconds:.1f} | {best['theirs'][0] / seconds:.2f} x "
            f"| {1000 * cpu / options.photos:.1f} ms | {best['theirs'][1] / cpu:.2f} x |"
        )

    table = [
        "| program | pictures per second | against open_clip | CPU time per picture | against open_clip |",
        "| --- | --: | --: | --: | --: |",
        row("`clip index`", "ours"),
        row("`clip index --int8`", "int8"),
        row(f"open_clip {theirs['version']}, DataLoader with {threads} workers", "theirs"),
        "| rclip on an M1 Max, as [its README](https://github.com/yurijmikhalevich/rclip) says: 50,000 in 7 minutes, "
        "1.28 million in three hours | 119 | | | |",
    ]
    text = (
        f"{options.photos} JPEGs of {PHOTO[0]} x {PHOTO[1]}, ViT-B/32, reading and decoding included, the best of {options.rounds} "
        f"rounds by turns. Both use {threads} threads and the same random weights; the features of an image agree (cosine {cosine:.5f}).\n\n"
    )
    return text + "\n".join(table) + "\n\n" + wide(options, folder, model, images) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", default="clip")
    parser.add_argument("--counts", default="100,1000,10000")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", help="interpreter with torch and open_clip_torch")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        rows = growth(options, Path(folder))
        beside = beside_open_clip(options, Path(folder)) if options.python else ""
        print(beside, flush=True)
    if options.write:
        text = f"""# A library of one's own images

Written by `benches/library.py`. Whole commands, start and reading of the index included, on {os.cpu_count()} threads of
{processor()}; the load of the machine was {load:.1f} when it began and {os.getloadavg()[0]:.1f} at the end, and other programs took part of it. CPU time hardly depends on
that; elapsed time does, and is shorter on a free machine.

## Growth

With the bundled model; images are JPEGs. For each command its elapsed time, in parentheses the CPU time of all threads,
and its peak memory.

| images | size | indexing | CPU time of an image | again, nothing new | one more image | search | duplicates | cluster | index |
| --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |
"""
        text += "\n".join(rows) + "\n"
        if beside:
            text += f"\n## Beside other programs\n\n{beside}"
        (HERE / "library.md").write_text(text)


if __name__ == "__main__":
    main()
