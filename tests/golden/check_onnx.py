#!/usr/bin/env python3
"""Files of `clip export` in ONNX Runtime, against the reference's features and the command's own.

    cargo build --release
    ~/.cache/clip/rival-venv/bin/python tests/golden/check_onnx.py --clip target/release/clip

Needs onnx, onnxruntime, NumPy and Pillow (`scripts/setup rival`). The tiny models of models/ run on the pixels of
`expected.json`. The bundled model runs on the sample images at its input size, with labels and with a trained adapter, and is
compared with `clip embed` and `clip classify` on the CPU. Fails if anything differs by more than 1e-4."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-4
# Their configs name encoders of other sizes, or have no tokenizer beside them.
OTHERS = ("eva02", "pe-core", "mobileclip", "openclip-xlm-roberta", "timm-siglip")
LABELS = "raccoon,rocket,pizza,umbrella,cup of coffee,bicycle"


def formula(shape):
    i = np.arange(np.prod(shape))
    return ((i // 29 * 7919 % 2003) / 500.75 - 2).astype(np.float32).reshape(shape)


def session(path):
    onnx.checker.check_model(path, full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=ROOT / "target/release/clip")
    arguments = parser.parse_args()

    def clip(*words, json_out=True):
        run = subprocess.run([arguments.clip, *map(str, words)], capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(run.stderr.strip())
        return json.loads(run.stdout) if json_out else run.stdout

    print(f"ONNX Runtime {onnxruntime.__version__}, onnx {onnx.__version__}")
    worst = 0.0

    def compare(what, found, expected):
        nonlocal worst
        off = float(np.abs(np.asarray(found, np.float64) - np.asarray(expected, np.float64)).max())
        worst = max(worst, off)
        print(f"{what:44} {off:.1e}")

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        for model in sorted((ROOT / "tests/golden/models").iterdir()):
            if model.name.startswith(OTHERS):
                continue
            clip("export", "--model", model, "--device", "cpu", "--onnx", path, json_out=False)
            expected = json.loads((model / "expected.json").read_text())
            pixels = formula(expected["image_shape"])
            (found,) = session(path).run(["image_features"], {"pixels": pixels})
            compare(model.name, found, expected["image_features"])

        # Of the input's size, so that nothing is resized.
        probe = session_of(clip, path, "--labels", LABELS)
        size = int(metadata(probe)["image_size"])
        images = []
        for sample in json.loads((ROOT / "assets/samples/samples.json").read_text()):
            image = Image.open(ROOT / "assets" / sample["file"]).convert("RGB").resize((size, size))
            images.append(Path(folder) / f"{len(images)}.png")
            image.save(images[-1])
        known = metadata(probe)
        mean, std = (np.array(json.loads(known[key]), np.float32) for key in ("mean", "std"))
        pixels = np.stack([(np.asarray(Image.open(image), np.float32) / 255 - mean) / std for image in images])
        pixels = {"pixels": pixels.transpose(0, 3, 1, 2)}

        found = dict(zip(("image_features", "probabilities"), probe.run(["image_features", "probabilities"], pixels)))
        embedded = clip("embed", "--device", "cpu", "--json", "--images", *images)["images"]
        compare("bundled model: image_features", found["image_features"], [image["features"] for image in embedded])
        answers = clip("classify", "--device", "cpu", "--json", "--labels", LABELS, "--images", *images)["images"]
        compare("bundled model: probabilities of labels", found["probabilities"], in_order(answers, known))

        data = Path(folder) / "data"
        for index, image in enumerate(images):
            place = data / ("even" if index % 2 == 0 else "odd") / image.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(image.read_bytes())
        out = Path(folder) / "trained"
        clip("train", "--device", "cpu", "--method", "adapter", "--data", data, "--out", out, json_out=False)
        head = out / "head.safetensors"
        trained = session_of(clip, path, "--head", head)
        (found,) = trained.run(["probabilities"], pixels)
        answers = clip("classify", "--device", "cpu", "--json", "--head", head, "--images", *images)["images"]
        compare("bundled model: probabilities of an adapter", found, in_order(answers, metadata(trained)))
    if worst > TOLERANCE:
        sys.exit(f"error: a difference of {worst:.1e} is more than {TOLERANCE:.0e}")


def session_of(clip, path, *words):
    clip("export", "--device", "cpu", "--onnx", path, *words, json_out=False)
    return session(path)


def metadata(session):
    return session.get_modelmeta().custom_metadata_map


def in_order(answers, known):
    """Probabilities `[images][labels]`, in the order of the file's labels."""
    by_label = [{row["label"]: row["probability"] for row in image["labels"]} for image in answers]
    return [[row[label] for label in json.loads(known["labels"])] for row in by_label]


if __name__ == "__main__":
    main()
