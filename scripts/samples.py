#!/usr/bin/env python3
"""Make the page's sample pictures: six photographs and six drawings, none of them trained on.

    pip install -r scripts/drawings/requirements.txt
    python scripts/drawings/fetch.py --out ~/.cache/clip/drawings
    python scripts/samples.py --drawings ~/.cache/clip/drawings --out assets/samples

Photographs: from the PyPI packages scikit-image, scikit-learn and scipy, made smaller. Drawings: OpenMoji,
the style that the bundled model never saw, laid on white.
"""

import argparse
import bz2
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import resvg_py
from PIL import Image

DRAWING_SIZE = 320
PHOTO_SIZE = 480  # longer side

# package==version, sha256 of the wheel; any platform's holds the same pictures
WHEELS = {
    "scikit-image": ("0.26.0", "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af"),
    "scikit-learn": ("1.9.1", "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df"),
    "scipy": ("1.11.4", "530f9ad26440e85766509dbf78edcfe13ffd0ab7fec2560ee5c36ff74d6269ff"),
}
PLATFORM = ["--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64", "--python-version", "3.11",
            "--only-binary", ":all:", "--no-deps"]

# package, member, file, alt, labels that make a question of it
PHOTOS = [
    ("scikit-image", "skimage/data/chelsea.png", "cat", "a cat's face",
     ["cat", "dog", "rabbit", "fox"]),
    ("scikit-image", "skimage/data/coffee.png", "coffee", "a cup of coffee on a table",
     ["cup of coffee", "pizza", "plate", "teapot"]),
    ("scikit-image", "skimage/data/rocket.jpg", "rocket", "a rocket before its launch, at dusk",
     ["rocket", "airplane", "flower", "cat"]),
    ("scikit-learn", "sklearn/datasets/images/flower.jpg", "flower", "an orange dahlia",
     ["flower", "bird", "apple", "bear"]),
    ("scikit-learn", "sklearn/datasets/images/china.jpg", "pagoda", "a pagoda above a lake",
     ["temple", "beach", "skyscraper", "bridge"]),
    ("scipy", "scipy/misc/face.dat", "raccoon", "a raccoon between leaves",
     ["raccoon", "bear", "squirrel", "fox"]),
]
RACCOON = (1024, 768)  # scipy keeps its pixels alone, RGB, in bzip2

# concept, file, labels that make a question of it; without any: for the tests alone
DRAWINGS = [
    ("1f355", "pizza", ["pizza", "hamburger", "banana", "fish"]),
    ("1f6b2", "bicycle", ["bicycle", "car", "train", "airplane"]),
    ("1f3b8", "guitar", ["guitar", "trumpet", "piano", "saxophone"]),
    ("2602", "umbrella", ["umbrella", "hat", "tent", "snowman"]),
    ("26bd", "soccer", ["soccer ball", "basketball", "tennis", "bowling"]),
    ("1f98b", "butterfly", ["butterfly", "airplane", "bird", "fish"]),
    ("1f408", "cat", []),
    ("1f680", "rocket", []),
    ("1f347", "grapes", []),
    ("1f332", "tree", []),
]

# What each shows and its labels, in Chinese. No translations: with these the bundled model is right.
CHINESE = {
    "cat.jpg": ("照片：一只猫的脸", ["猫", "狗", "兔子", "松鼠"]),
    "coffee.jpg": ("照片：桌上的一杯咖啡", ["咖啡", "披萨", "盘子", "茶壶"]),
    "rocket.jpg": ("照片：黄昏时待发射的火箭", ["火箭", "飞机", "花", "猫"]),
    "flower.jpg": ("照片：一朵橙色大丽花", ["花", "鸟", "苹果", "熊"]),
    "pagoda.jpg": ("照片：湖边的塔", ["塔", "海滩", "摩天大楼", "桥"]),
    "raccoon.jpg": ("照片：树叶间的浣熊", ["浣熊", "熊", "松鼠", "狐狸"]),
    "pizza.png": ("图画：披萨", ["披萨", "汉堡", "香蕉", "鱼"]),
    "bicycle.png": ("图画：自行车", ["自行车", "汽车", "火车", "飞机"]),
    "guitar.png": ("图画：吉他", ["吉他", "小号", "钢琴", "萨克斯"]),
    "umbrella.png": ("图画：雨伞", ["雨伞", "帽子", "帐篷", "雪人"]),
    "soccer.png": ("图画：足球", ["足球", "篮球", "网球", "保龄球"]),
    "butterfly.png": ("图画：蝴蝶", ["蝴蝶", "飞机", "鸟", "鱼"]),
}


def chinese(file):
    alt, labels = CHINESE[file]
    return {"alt": alt, "labels": labels}


def photographs(out):
    with tempfile.TemporaryDirectory() as folder:
        wheels = {}
        for package, (version, digest) in WHEELS.items():
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "-q", *PLATFORM, "-d", folder, f"{package}=={version}"],
                check=True,
            )
            (path,) = Path(folder).glob(f"{package.replace('-', '_')}-{version}-*.whl")
            if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                sys.exit(f"error: {path.name} does not have the pinned SHA-256 sum")
            wheels[package] = zipfile.ZipFile(path)
        for package, member, file, alt, labels in PHOTOS:
            data = wheels[package].read(member)
            if member.endswith(".dat"):
                photo = Image.frombytes("RGB", RACCOON, bz2.decompress(data))
            else:
                photo = Image.open(io.BytesIO(data)).convert("RGB")
            photo.thumbnail((PHOTO_SIZE, PHOTO_SIZE), Image.Resampling.LANCZOS)
            photo.save(out / f"{file}.jpg", quality=82, optimize=True)
            yield {
                "file": f"samples/{file}.jpg",
                "alt": f"photograph: {alt}",
                "labels": labels,
                "zh": chinese(f"{file}.jpg"),
            }


def drawings(data, out, tests):
    tarball = next((data / "packages").glob("iconify-json-openmoji-*.tgz"))
    with tarfile.open(tarball) as tar:
        icons = json.load(tar.extractfile("package/icons.json"))
        names = json.load(tar.extractfile("package/chars.json"))
    for concept, file, labels in DRAWINGS:
        name = names[concept]
        icon = icons["icons"][name]
        width = icon.get("width", icons.get("width", 16))
        height = icon.get("height", icons.get("height", 16))
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
            f' viewBox="0 0 {width} {height}" width="{DRAWING_SIZE}" height="{DRAWING_SIZE}">{icon["body"]}</svg>'
        )
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=DRAWING_SIZE, height=DRAWING_SIZE))
        drawing = Image.open(io.BytesIO(png)).convert("RGBA")
        paper = Image.new("RGBA", drawing.size, "white")
        paper.alpha_composite(drawing)
        paper = paper.convert("RGB").quantize(64)
        paper.save(tests / f"{file}.png", optimize=True)
        if not labels:
            continue
        paper.save(out / f"{file}.png", optimize=True)
        alt = name.replace("-", " ")
        yield {
            "file": f"samples/{file}.png",
            "alt": f"drawing: {alt}",
            "labels": labels,
            "zh": chinese(f"{file}.png"),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=Path, required=True, help="folder that scripts/drawings/fetch.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tests", type=Path, default=Path("tests/fixtures/drawings"), help="folder of the tests'")
    arguments = parser.parse_args()
    out, tests = arguments.out, arguments.tests
    for folder in (out, tests):
        folder.mkdir(parents=True, exist_ok=True)
    listed = [*photographs(out), *drawings(arguments.drawings.expanduser(), out, tests)]
    (out / "samples.json").write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
