"""Pre-training of the bundled model on an NVIDIA GPU: the recipe of `clip pretrain` in PyTorch, for one long run.

    data.py --data ~/.cache/clip/photos ~/.cache/clip/drawings --out PACK
    train.py --data PACK --from assets/model --layers 2,3,4,1 --out model --seconds 500

Needs torch, tokenizers, safetensors and Pillow. The learning rate falls to nothing over --seconds, whatever the GPU
reaches in them. OUT/ema has the mean of the last weights, OUT/last the last ones, both in OpenCLIP's files.
"""

import argparse
import csv
import json
import math
import os
import shutil
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from tokenizers import Tokenizer

import augment
from data import KINDS, Captions, shares
from model import Clip, opened, saved

# Side of the canvas of photographs that are not enlarged; what is longer is cut.
CANVAS = 176


@cache
def part(pack: Path, number: int, process: int) -> zipfile.ZipFile:
    """A part opened by this process: two must not share a file's position."""
    return zipfile.ZipFile(pack / f"images-{number}.zip")


def decoded(job: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Images of a concept on canvases `[n, channels, canvas, canvas]` and their sizes (width, height)."""
    pack, images, kind, canvas, image_size = job
    channels, mode = (4, "RGBA") if kind == "drawing" else (3, "RGB")
    out = np.zeros((len(images), channels, canvas, canvas), np.uint8)
    sizes = np.zeros((len(images), 2), np.float32)
    for row, (number, name) in enumerate(images):
        with part(pack, number, os.getpid()).open(name) as file:
            image = Image.open(file).convert(mode)
        shorter = min(image.size)
        if kind == "photo" and shorter != image_size:
            # As the model's preprocessing would.
            width, height = (round(side * image_size / shorter) for side in image.size)
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        elif kind == "drawing" and max(image.size) != canvas:
            image = image.resize((canvas, canvas), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)[:canvas, :canvas]
        if kind == "drawing":
            alpha = pixels[..., 3:].astype(np.uint16)
            colours = (pixels[..., :3] * alpha + 127) // 255
            pixels = np.concatenate([colours, alpha], -1).astype(np.uint8)
        height, width = pixels.shape[:2]
        out[row, :, :height, :width] = pixels.transpose(2, 0, 1)
        sizes[row] = width, height
    return out, sizes


class Images:
    """All images, by the canvas that they lie on; a concept's lie together."""

    def __init__(self, pack: Path, concepts: list[dict], image_size: int):
        self.start = torch.zeros(len(concepts))
        self.count = torch.tensor([float(len(c["images"])) for c in concepts])
        groups = {"": "drawing"}
        for concept in concepts:
            if concept["set"] not in groups:
                number, name = concept["images"][0]
                with part(pack, number, os.getpid()).open(name) as file:
                    groups[concept["set"]] = "small" if min(Image.open(file).size) < image_size else "large"
        self.group_of = [groups[concept["set"]] for concept in concepts]
        self.groups: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for group in ("small", "large", "drawing"):
            members = [i for i, of in enumerate(self.group_of) if of == group]
            canvas = CANVAS if group == "large" else image_size
            jobs = [(pack, concepts[i]["images"], concepts[i]["kind"], canvas, image_size) for i in members]
            pixels, sizes, at = [], [], 0
            with ProcessPoolExecutor() as pool:
                for i, (images, size) in zip(members, pool.map(decoded, jobs)):
                    self.start[i] = at
                    at += len(images)
                    pixels.append(torch.from_numpy(images))
                    sizes.append(torch.from_numpy(size))
            self.groups[group] = (torch.cat(pixels), torch.cat(sizes))

    def to(self, device: torch.device) -> "Images":
        self.start, self.count = self.start.to(device), self.count.to(device)
        self.groups = {name: (p.to(device), s.to(device)) for name, (p, s) in self.groups.items()}
        return self


class Batches:
    """Batches with a fixed share of every set, in which the classes of a set come equally often."""

    def __init__(self, args, config: dict, concepts: list[dict], images: Images, device: torch.device):
        self.size = config["vision_cfg"]["image_size"]
        self.device = device
        self.generator = torch.Generator(device).manual_seed(args.seed)
        self.images = images.to(device)
        tokenizer = Tokenizer.from_file(str(args.tokenizer or args.start / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        drawn = Captions.draw(concepts, tokenizer, config["text_cfg"]["context_length"], args.captions, args.seed)
        self.captions = {name: torch.from_numpy(value).to(device) for name, value in vars(drawn).items()}
        self.kind = torch.tensor([KINDS[c["kind"]] for c in concepts], device=device)
        counts = {name: share * args.batch_size for name, share in shares(concepts).items()}
        whole = {name: int(count) for name, count in counts.items()}
        by_rest = sorted(counts, key=lambda name: whole[name] - counts[name])
        for name in by_rest[: args.batch_size - sum(whole.values())]:
            whole[name] += 1
        first, among, self.slots = [], [], []
        # Photographs first: they alone are mixed.
        for group in ("small", "large", "drawing"):
            before = len(first)
            for name, count in whole.items():
                members = [i for i, c in enumerate(concepts) if c["set"] == name and self.images.group_of[i] == group]
                if members:
                    assert members == list(range(members[0], members[0] + len(members)))
                    first += [members[0]] * count
                    among += [len(members)] * count
            self.slots.append((group, before, len(first)))
        self.first = torch.tensor(first, device=device)
        self.among = torch.tensor(among, dtype=torch.float32, device=device)
        self.photos = self.slots[1][2]

    def _random(self, n: int) -> torch.Tensor:
        return torch.rand(n, generator=self.generator, device=self.device)

    @torch.no_grad()
    def draw(self, mix: bool) -> dict:
        n = len(self.first)
        concept = self.first + (self._random(n) * self.among).long()
        image = (self.images.start[concept] + (self._random(n) * self.images.count[concept]).floor()).long()
        pixels = []
        for group, begin, end in self.slots:
            if begin == end:
                continue
            stored, sizes = self.images.groups[group]
            at = image[begin:end]
            canvases = stored[at].float() / 255
            random = augment.Random(self.generator, end - begin)
            if group == "drawing":
                pixels.append(augment.drawings(canvases, sizes[at], random, self.size))
            else:
                pixels.append(augment.photos(canvases, sizes[at], random, self.size, group == "large"))
        pixels = torch.cat(pixels)
        order, own = torch.arange(n, device=self.device), 1.0
        if mix:
            order[: self.photos] = torch.randperm(self.photos, generator=self.generator, device=self.device)
            own = 1 - 0.5 * float(torch.rand(1))
            pixels = augment.cut_mix(pixels, order, 1 - own)
        captions = self.captions
        which = (self._random(n) * captions["end"].shape[1]).long()
        label, kind = captions["label"][concept, which], captions["kind"][concept, which]
        fits = (kind[None] == KINDS["none"]) | (kind[None] == self.kind[concept][:, None])
        ignored = captions["true_of"][concept][:, label] | captions["narrower"][concept][:, concept]
        ignored = ignored & fits
        ignored = ignored | ignored[order]
        rows = torch.arange(n, device=self.device)
        ignored[rows, rows] = False
        ignored[rows, order] = False
        return {
            "images": ((pixels - 0.5) / 0.25).contiguous(memory_format=torch.channels_last),
            "tokens": captions["tokens"][concept, which].long(),
            "end": captions["end"][concept, which],
            "ignored": ignored,
            "order": order,
            "own": own,
        }


def contrastive_loss(logits: torch.Tensor, batch: dict) -> torch.Tensor:
    """Mean cross-entropy of both directions. A mixed image has two true texts, by the shares of its area."""
    logits = logits.masked_fill(batch["ignored"], -1e9)
    rows = torch.arange(len(logits), device=logits.device)
    loss = 0.0
    for logarithms in (logits.log_softmax(1), logits.log_softmax(0)):
        own, other = logarithms[rows, rows].mean(), logarithms[rows, batch["order"]].mean()
        loss = loss - (batch["own"] * own + (1 - batch["own"]) * other) / 2
    return loss


def optimizer(model: Clip, args, device: torch.device) -> torch.optim.Optimizer:
    """AdamW that decays matrices only."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": args.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=args.learning_rate, betas=(0.9, 0.98), fused=device.type == "cuda")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="what data.py has written")
    parser.add_argument("--from", dest="start", type=Path, required=True, help="model in OpenCLIP's files")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json, if not beside the model")
    parser.add_argument("--layers", help="blocks of the stages, if more than the model's: 2,3,4,1")
    parser.add_argument("--fresh", action="store_true", help="take the model's shape, not its weights")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--warmup", type=float, default=0.02, help="share of the time")
    parser.add_argument("--mix", type=float, default=0.25, help="share of batches with CutMix")
    parser.add_argument("--unmixed", type=float, default=0.2, help="share of the time at the end without it")
    parser.add_argument("--ema", type=float, default=0.9995)
    parser.add_argument("--captions", type=int, default=256, help="captions drawn in advance for each class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--profile", action="store_true", help="print the costliest kernels of five steps and end")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.manual_seed(args.seed)
    begun = time.time()
    concepts = json.loads((args.data / "concepts.json").read_text())
    config = json.loads((args.start / "open_clip_config.json").read_text())
    # Before the GPU is touched: processes that read images are forked.
    images = Images(args.data, concepts, config["model_cfg"]["vision_cfg"]["image_size"])
    print(f"{sum(len(c['images']) for c in concepts)} images read in {time.time() - begun:.0f} s", flush=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    model, config = opened(args.start, [int(n) for n in args.layers.split(",")] if args.layers else None)
    if args.fresh:
        model = Clip(config["model_cfg"])
    model = model.to(device).to(memory_format=torch.channels_last)
    batches = Batches(args, config["model_cfg"], concepts, images, device)
    print(f"captions drawn until second {time.time() - begun:.0f}", flush=True)
    adamw = optimizer(model, args, device)
    ema = {key: value.detach().clone() for key, value in model.state_dict().items() if value.is_floating_point()}
    current = {key: value for key, value in model.state_dict().items() if key in ema}
    forward = torch.compile(model) if args.compile else model
    args.out.mkdir(parents=True, exist_ok=True)

    def step(mix: bool) -> torch.Tensor:
        batch = batches.draw(mix)
        with torch.autocast(device.type, torch.bfloat16):
            image_features, text_features = forward(batch["images"], batch["tokens"], batch["end"])
        logits = model.logit_scale.exp() * image_features @ text_features.T
        loss = contrastive_loss(logits, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        return loss.detach()

    def set_rate(rate: float) -> None:
        for group in adamw.param_groups:
            group["lr"] = rate

    # Compiling and choosing kernels is not training time.
    set_rate(0.0)
    for mix in (False, True, False):
        step(mix)
    if args.profile:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            for _ in range(5):
                step(False)
            torch.cuda.synchronize()
        print(profile.key_averages().table(sort_by="cuda_time_total", row_limit=25, max_name_column_width=90))
        return
    print(f"the first steps took until second {time.time() - begun:.0f}", flush=True)
    begun = time.time()
    saved_at, steps, losses = 0.0, 0, []
    with (args.out / "curve.csv").open("w", newline="") as file:
        curve = csv.writer(file)
        curve.writerow(["step", "seconds", "pairs", "loss", "learning_rate", "logit_scale"])
        while (elapsed := time.time() - begun) < args.seconds:
            done = elapsed / args.seconds
            warm = min(1.0, (done + 1e-4) / args.warmup)
            rate = args.learning_rate * warm * (1 + math.cos(math.pi * done)) / 2
            set_rate(rate)
            losses.append(step(done < 1 - args.unmixed and float(torch.rand(1)) < args.mix))
            steps += 1
            decay = min(args.ema, (1 + steps) / (10 + steps))
            torch._foreach_lerp_(list(ema.values()), list(current.values()), 1 - decay)
            if steps % 200 == 0:
                loss = torch.stack(losses).mean().item()
                losses.clear()
                scale = model.logit_scale.exp().item()
                row = [steps, round(elapsed, 1), steps * args.batch_size, round(loss, 4), f"{rate:.3g}", round(scale, 1)]
                curve.writerow(row)
                file.flush()
                print(*row, flush=True)
                if not math.isfinite(loss):
                    raise SystemExit("the loss is no number")
            if elapsed - saved_at > 120:
                saved_at = elapsed
                saved(ema, config, args.out / "ema")
    if device.type == "cuda":
        torch.cuda.synchronize()
    for name, state in (("ema", ema), ("last", current)):
        saved(state, config, args.out / name)
        shutil.copy(args.tokenizer or args.start / "tokenizer.json", args.out / name)
    print(f"{steps} steps of {args.batch_size} pairs in {time.time() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
