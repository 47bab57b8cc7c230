"""Ours, ONNX Runtime and PyTorch on the CPU, natively, in turns, from the same weights.

    python benches/rival/native.py DIR [--models ViT-B-32,RN50] [--threads 1,2]
                                       [--rounds 3] [--runs 5] [--only ours,onnxruntime,pytorch]

DIR is what make_models.py writes. Ours is `cargo bench --bench native`. In every round
each program loads the model anew and does every task a few times; figures are medians
over all rounds. Prints Markdown."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import open_clip
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent.parent
# Pictures and texts at once, as benches/native.rs has them.
TASKS = [(1, 0), (8, 0), (0, 16)]
UNTIMED = 3
# Below this the programs do not compute the same, and no figure means anything.
SAME = 0.9999


def configuration(folder):
    return json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]


def inputs(config):
    """The same made-up picture and text as Engine::measure's (src/engine/inference.rs)."""
    size, text = config["vision_cfg"]["image_size"], config["text_cfg"]
    picture = np.sin(np.arange(3 * size * size, dtype=np.float32) / np.float32(100)).reshape(1, 3, size, size)
    end = text["vocab_size"] - 1
    tokens = np.arange(text["context_length"], dtype=np.int64) * 7919 % (end - 1)
    tokens[0], tokens[-1] = end - 1, end
    return picture, tokens[None]


def measured(encode_images, encode_texts, config, runs):
    """For each task the milliseconds of its runs and the first row of features."""
    picture, tokens = inputs(config)
    for images, texts in TASKS:
        encode = encode_images if images else encode_texts
        batch = np.repeat(picture, images, 0) if images else np.repeat(tokens, texts, 0)
        times = []
        for _ in range(UNTIMED + runs):
            start = time.perf_counter()
            features = encode(batch)
            times.append((time.perf_counter() - start) * 1e3)
        yield times[UNTIMED:], features[0]


def ours(folder, threads, runs):
    command = ["cargo", "bench", "--locked", "--bench", "native", "--", "--device", "cpu", "--json"]
    command += ["--model", str(folder.resolve()), "--runs", str(runs)]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    for line, (images, _) in zip(done.stdout.splitlines(), TASKS, strict=True):
        found, kind = json.loads(line)["measured"], "image" if images else "text"
        yield found[f"{kind}_ms"], np.array(found[f"{kind}_features"])


def onnx_runtime(folder, threads, runs):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3

    def encoder(kind):
        path = folder / f"{kind}.onnx"
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def encode(batch):
            features = session.run(None, {name: batch})[0]
            return features / np.linalg.norm(features, axis=-1, keepdims=True)

        return encode

    return measured(encoder("image"), encoder("text"), configuration(folder), runs)


def pytorch(folder, threads, runs):
    torch.set_num_threads(threads)
    config = configuration(folder)
    model = open_clip.CLIP(**config).eval()
    model.load_state_dict(load_file(folder / "open_clip_model.safetensors"), strict=False)

    def encoder(encode):
        def run(batch):
            with torch.inference_mode():
                return encode(torch.from_numpy(batch), normalize=True).numpy()

        return run

    return measured(encoder(model.encode_image), encoder(model.encode_text), config, runs)


PROGRAMS = {"ours": ours, "onnxruntime": onnx_runtime, "pytorch": pytorch}
NAMES = {"ours": "ours", "onnxruntime": "ONNX Runtime", "pytorch": "PyTorch"}


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def milliseconds(ms):
    return f"{ms:.2f} ms" if ms < 10 else f"{ms:.1f} ms" if ms < 100 else f"{ms:.0f} ms"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default="ViT-B-32,RN50")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default=",".join(PROGRAMS))
    arguments = parser.parse_args()
    programs = arguments.only.split(",")
    first, *others = programs

    titles = [NAMES[program] for program in programs] + [f"{NAMES[program]} : {NAMES[first]}" for program in others]
    versions = f"ONNX Runtime {onnxruntime.__version__}, PyTorch {torch.__version__.split('+')[0]}"
    print(f"{versions}. Medians of {arguments.rounds * arguments.runs} runs in {arguments.rounds} rounds.\n")
    print(f"| model | at once | threads | {' | '.join(titles)} | smallest cosine |")
    print(f"| --- | --- | --: |{' --: |' * len(titles)} --: |")
    worst = 1.0
    for name in arguments.models.split(","):
        for threads in map(int, arguments.threads.split(",")):
            times = {program: [[] for _ in TASKS] for program in programs}
            features = {}
            for round in range(arguments.rounds):
                for program in programs if round % 2 == 0 else reversed(programs):
                    found = list(PROGRAMS[program](arguments.folder / name, threads, arguments.runs))
                    features[program] = [row for _, row in found]
                    for task, (ms, _) in zip(times[program], found):
                        task += ms
                print(f"{name}, {threads} threads: round {round + 1} of {arguments.rounds}", file=sys.stderr)
            for i, (images, texts) in enumerate(TASKS):
                medians = [statistics.median(times[program][i]) for program in programs]
                cells = [milliseconds(median) for median in medians]
                cells += [f"{median / medians[0]:.2f}" for median in medians[1:]]
                same = min((cosine(features[first][i], features[program][i]) for program in others), default=1.0)
                worst = min(worst, same)
                what = f"{texts} texts" if texts else "a picture" if images == 1 else f"{images} pictures"
                print(f"| {name} | {what} | {threads} | {' | '.join(cells)} | {same:.7f} |", flush=True)
    if worst < SAME:
        sys.exit("the programs do not compute the same: these figures mean nothing")


if __name__ == "__main__":
    main()
