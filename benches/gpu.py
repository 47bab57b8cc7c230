"""What PyTorch needs for the tasks of `benches/gpu.rs` on the same GPU.

    python3 benches/gpu.py [--tasks vit-b-32,vit-l-14,rn50,texts,training] [--json FILE] [--device cuda]

Models of random weights: those of transformers, CLIP's modified ResNet as below, and the bundled model's
shape for training. In f32 without and with TF32, and in bf16 and f16 (weights and activations; training by
autocast). Times as there: "alone" from the input on the GPU to the features in memory, "in a row" without
waiting in between. A training step copies its pixels to the GPU, as ours does.
"""

import argparse
import json
import math
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

WARM_UP, RUNS = 3, 30


def image_model(name):
    """An image encoder that maps pixels to features, and the side of its images."""
    if name == "rn50":
        return ModifiedResNet([3, 4, 6, 3], 64, 224, 1024), 224
    if name == "bundled":
        return ModifiedResNet([1, 2, 2, 1], 24, 96, 256), 96
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = {
        "vit-b-32": dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                         num_attention_heads=12, patch_size=32, projection_dim=512),
        "vit-l-14": dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24,
                         num_attention_heads=16, patch_size=14, projection_dim=768),
    }[name]
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(image_size=224, hidden_act="gelu", **sizes))
    return Features(model, "image_embeds"), 224


def text_model():
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(hidden_size=512, intermediate_size=2048, num_hidden_layers=12,
                            num_attention_heads=8, projection_dim=512, hidden_act="gelu")
    return Features(CLIPTextModelWithProjection(config), "text_embeds")


class Features(nn.Module):
    """Normalised features of a model of transformers."""

    def __init__(self, model, output):
        super().__init__()
        self.model, self.output = model, output

    def forward(self, x):
        return F.normalize(getattr(self.model(x), self.output), dim=-1)


class Bottleneck(nn.Module):
    def __init__(self, channels, planes, stride):
        super().__init__()
        out = 4 * planes
        self.conv1, self.bn1 = nn.Conv2d(channels, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3, self.bn3 = nn.Conv2d(planes, out, 1, bias=False), nn.BatchNorm2d(out)
        self.shortcut = nn.Identity()
        if stride > 1 or channels != out:
            self.shortcut = nn.Sequential(
                self.pool, nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.pool(F.relu(self.bn2(self.conv2(y))))
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


class AttentionPool(nn.Module):
    def __init__(self, grid, width, heads, out):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(grid * grid + 1, width) / width**0.5)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out, self.heads = nn.Linear(width, out), heads

    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + self.positions
        batch, length, width = x.shape
        split = lambda y: y.view(batch, -1, self.heads, width // self.heads).transpose(1, 2)
        q, k, v = split(self.q(x[:, :1])), split(self.k(x)), split(self.v(x))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(batch, width))


class ModifiedResNet(nn.Module):
    """CLIP's ResNet (Radford et al. 2021), with normalised features."""

    def __init__(self, layers, width, size, out):
        super().__init__()
        half = width // 2
        self.stem = nn.Sequential(
            nn.Conv2d(3, half, 3, 2, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(),
            nn.Conv2d(half, half, 3, 1, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(),
            nn.Conv2d(half, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.AvgPool2d(2),
        )
        blocks, channels = [], width
        for stage, count in enumerate(layers):
            for block in range(count):
                stride = 2 if block == 0 and stage else 1
                blocks.append(Bottleneck(channels, width << stage, stride))
                channels = 4 * (width << stage)
        self.blocks = nn.Sequential(*blocks)
        self.pool = AttentionPool(size // 32, channels, channels // 64, out)

    def forward(self, x):
        return F.normalize(self.pool(self.blocks(self.stem(x))), dim=-1)


class Transformer(nn.Module):
    """Text encoder of the bundled model's shape, with normalised features."""

    def __init__(self, vocabulary, length, width, heads, layers, out):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(length, width) * 0.01)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "ln1": nn.LayerNorm(width),
                    "qkv": nn.Linear(width, 3 * width),
                    "out": nn.Linear(width, width),
                    "ln2": nn.LayerNorm(width),
                    "up": nn.Linear(width, 4 * width),
                    "down": nn.Linear(4 * width, width),
                }
            )
            for _ in range(layers)
        )
        self.norm, self.project = nn.LayerNorm(width), nn.Linear(width, out, bias=False)
        self.heads = heads

    def forward(self, ids):
        x = self.tokens(ids) + self.positions
        batch, length, width = x.shape
        for block in self.blocks:
            qkv = block["qkv"](block["ln1"](x)).view(batch, length, 3, self.heads, -1)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + block["out"](y.transpose(1, 2).reshape(batch, length, width))
            y = block["up"](block["ln2"](x))
            x = x + block["down"](y * torch.sigmoid(1.702 * y))
        return F.normalize(self.project(self.norm(x[:, -1])), dim=-1)


class Bundled(nn.Module):
    """Both encoders of the bundled model's shape."""

    def __init__(self):
        super().__init__()
        self.image, _ = image_model("bundled")
        self.text = Transformer(5120, 32, 128, 2, 2, 256)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, images, texts):
        logits = self.logit_scale.exp() * self.image(images) @ self.text(texts).T
        targets = torch.arange(len(images), device=images.device)
        return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def forwards(model, x, seconds):
    """Seconds of a batch: alone, and in a row."""
    with torch.inference_mode():
        for _ in range(WARM_UP):
            model(x).cpu()
        times, start = [], time.perf_counter()
        while not times or len(times) < RUNS and time.perf_counter() - start < seconds / 2:
            begin = time.perf_counter()
            model(x).cpu()
            times.append(time.perf_counter() - begin)
        alone = statistics.median(times)
        count = min(max(int(seconds / 2 / alone), 1), RUNS)
        begin = time.perf_counter()
        for _ in range(count):
            y = model(x)
        y.cpu()
        return alone, (time.perf_counter() - begin) / count


def training(device, dtype, pairs, seconds):
    """Seconds of a step."""
    model = Bundled().to(device).train()
    images = torch.randn(pairs, 3, 96, 96)
    texts = torch.randint(0, 5118, (pairs, 32))
    named = list(model.named_parameters())
    adamw = torch.optim.AdamW(
        [
            {"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0},
            {"params": [p for _, p in named if p.ndim >= 2], "weight_decay": 0.2},
        ],
        lr=1e-6, betas=(0.9, 0.98), eps=1e-6, fused=device.type == "cuda",
    )

    def step():
        adamw.zero_grad()
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss = model(images.to(device), texts.to(device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        return loss.item()

    for _ in range(WARM_UP):
        step()
    times, start = [], time.perf_counter()
    while not times or len(times) < RUNS and time.perf_counter() - start < seconds:
        synchronize(device)
        begin = time.perf_counter()
        step()
        synchronize(device)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", default="vit-b-32,vit-l-14,rn50,texts,training")
    parser.add_argument("--precisions", default="f32,tf32,bf16,f16")
    parser.add_argument("--batches", default="1,8,64")
    parser.add_argument("--texts", default="16,64")
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure, about")
    parser.add_argument("--limit", type=float, default=60, help="seconds after which no figure is begun")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json")
    args = parser.parse_args()
    device = torch.device(args.device)
    torch.manual_seed(0)
    file = open(args.json, "w") if args.json else None
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"PyTorch {torch.__version__}, {name}\n")
    print("| | precision | batch | alone | in a row |\n| --- | --- | --: | --: | --: |", flush=True)
    began = time.perf_counter()

    def tell(**line):
        if file:
            print(json.dumps(line | {"device": name}), file=file, flush=True)
        shown = [f"{line[key]:.2f} ms" if key in line else "" for key in ("alone_ms", "row_ms")]
        print(f"| {line['task']} | {line['precision']} | {line['batch']} | {shown[0]} | {shown[1]} |", flush=True)

    for task in args.tasks.split(","):
        model, size = None, 0
        for precision in args.precisions.split(","):
            try:
                tf32 = precision == "tf32"
                torch.backends.cuda.matmul.allow_tf32 = tf32
                torch.backends.cudnn.allow_tf32 = tf32
                dtype = {"bf16": torch.bfloat16, "f16": torch.float16}.get(precision, torch.float32)
                if task == "training":
                    if precision == "f16":
                        continue  # would need its gradients scaled
                    if time.perf_counter() - began < args.limit:
                        step = training(device, dtype, args.pairs, args.seconds)
                        tell(task=task, precision=precision, batch=args.pairs, row_ms=1e3 * step)
                    continue
                if model is None:
                    model, size = (text_model(), 0) if task == "texts" else image_model(task)
                    model = model.to(device).eval()
                # From f32 to bf16 to f16: the weights are random anyway.
                model = model.to(dtype)
                for batch in map(int, (args.texts if task == "texts" else args.batches).split(",")):
                    if time.perf_counter() - began > args.limit:
                        continue
                    if task == "texts":
                        x = torch.randint(0, 49406, (batch, 77))
                        x[:, -1] = 49407
                        x = x.to(device)
                    else:
                        x = torch.randn(batch, 3, size, size).to(device, dtype)
                    alone, row = forwards(model, x, args.seconds)
                    tell(task=task, precision=precision, batch=batch, alone_ms=1e3 * alone, row_ms=1e3 * row)
            except Exception as error:  # the other figures are not lost
                print(f"| {task} | {precision} | failed: {str(error).splitlines()[0]} | | |", flush=True)
                print(f"{task}, {precision}: {error!r}", file=sys.stderr)


if __name__ == "__main__":
    main()
