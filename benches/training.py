"""A training step, ours beside PyTorch's with open_clip, on the CPU of one machine, in turns.

    venv/bin/python benches/training.py [--models vit-b-32:8,bundled:128] [--runs 5] [--rounds 2]

A step is the whole of it: both towers there and back, clipping to norm 1, AdamW, the cap of the
temperature, for new models and made-up pairs of full length. Ours is `cargo bench --bench training`.
Each turn is a process of its own; the figures are the best turn's median and the largest peak.
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VIT_B_32 = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
}


def pytorch(name: str, batch: int, runs: int) -> None:
    """One turn of PyTorch's: prints milliseconds and MiB."""
    import open_clip
    import torch

    bundled = json.loads((ROOT / "assets/model/open_clip_config.json").read_text())["model_cfg"]
    config = VIT_B_32 if name == "vit-b-32" else bundled
    model = open_clip.CLIP(**config).train()
    size, text = config["vision_cfg"]["image_size"], config["text_cfg"]
    images = torch.randn(batch, 3, size, size)
    texts = torch.randint(0, text["vocab_size"] - 2, (batch, text["context_length"]))
    texts[:, -1] = text["vocab_size"] - 1

    def spared(name: str, parameter: torch.Tensor) -> bool:
        return parameter.ndim < 2 or "bn" in name or "ln" in name or "bias" in name or "logit_scale" in name

    named = list(model.named_parameters())
    adamw = torch.optim.AdamW(
        [
            {"params": [p for n, p in named if spared(n, p)], "weight_decay": 0.0},
            {"params": [p for n, p in named if not spared(n, p)], "weight_decay": 0.2},
        ],
        lr=1e-6,
        betas=(0.9, 0.98),
        eps=1e-6,
    )
    loss_of = open_clip.ClipLoss()
    times = []
    for run in range(runs + 1):
        start = time.perf_counter()
        adamw.zero_grad()
        loss = loss_of(*model(images, texts))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        loss.item()
        if run > 0:  # the first one makes room for the moments
            times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([1e3 * statistics.median(times), peak]))


def turn(whose: str, name: str, batch: int, runs: int) -> list[float]:
    what = ["--model", name, "--batch", str(batch), "--runs", str(runs)]
    if whose == "ours":
        line = ["cargo", "bench", "--locked", "--bench", "training", "--", "--json", *what]
    else:
        line = [sys.executable, __file__, "--pytorch", *what]
    run = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{whose}, {name}: {run.stderr[-2000:]}")
    return json.loads(run.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default="vit-b-32:8,bundled:128", help="each with its batch")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pytorch", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pytorch:
        return pytorch(args.model, args.batch, args.runs)
    rows = []
    for entry in args.models.split(","):
        name, batch = entry.split(":")
        turns = {"ours": [], "pytorch": []}
        for _ in range(args.rounds):
            for whose, found in turns.items():
                found.append(turn(whose, name, int(batch), args.runs))
        best = {whose: min(time for time, _ in found) for whose, found in turns.items()}
        peak = {whose: max(peak for _, peak in found) for whose, found in turns.items()}
        rows.append(
            f"| {name}, batch {batch} | {best['ours']:.0f} ms | {best['pytorch']:.0f} ms "
            f"| {best['ours'] / best['pytorch']:.2f} | {1e3 * int(batch) / best['ours']:.1f} "
            f"| {peak['ours']:.0f} MiB | {peak['pytorch']:.0f} MiB |"
        )
    print("| | ours | PyTorch | ratio | ours, pairs a second | ours, memory at its peak | PyTorch's |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
