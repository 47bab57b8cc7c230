"""What benches/training.rs measures, with PyTorch and open_clip on the same CPU.

    venv/bin/python benches/training.py [--model vit-b-32|bundled] [--batch N] [--runs N] [--threads N]
"""

import argparse
import json
import math
import resource
import statistics
import time
from pathlib import Path

import open_clip
import torch

ROOT = Path(__file__).resolve().parent.parent
VIT_B_32 = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=("vit-b-32", "bundled"), default="bundled")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, help="PyTorch's own choice when left out")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    bundled = json.loads((ROOT / "assets/model/open_clip_config.json").read_text())["model_cfg"]
    config = VIT_B_32 if args.model == "vit-b-32" else bundled
    model = open_clip.CLIP(**config).train()

    size, text = config["vision_cfg"]["image_size"], config["text_cfg"]
    images = torch.randn(args.batch, 3, size, size)
    texts = torch.randint(0, text["vocab_size"] - 2, (args.batch, text["context_length"]))
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
    for run in range(args.runs + 1):
        start = time.perf_counter()
        adamw.zero_grad()
        loss = loss_of(*model(images, texts))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        loss.item()
        if run > 0:
            times.append(time.perf_counter() - start)
    median = statistics.median(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"| {args.model}, full, batch {args.batch} | PyTorch {torch.__version__.split('+')[0]}, "
        f"{torch.get_num_threads()} threads | {median * 1e3:.0f} ms | {args.batch / median:.2f} | – | {peak} MB |"
    )


if __name__ == "__main__":
    main()
