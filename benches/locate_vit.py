#!/usr/bin/env python3
"""Which reading of a ViT's last block points best: SCLIP, ClearCLIP, MaskCLIP or the block as it is.

    python scripts/drawings/fetch.py --out ~/.cache/clip/drawings
    python benches/locate_vit.py train --clip target/release/clip --cache ~/.cache/clip --out vit [--minutes 36]
    python benches/locate_vit.py compare --clip target/release/clip --cache ~/.cache/clip --out vit

Needs what tests/golden/requirements.txt names. No trained ViT comes with this project, so a small one is trained first: image
encoder only (72 pixels, patches of 12, four blocks of width 128) on drawings of 40 things in ten styles, each alone on its
canvas, against the text features of the bundled model. Then three drawings are put on a canvas at known places, and the
maximum of each label's map must lie in its drawing's box."""

import argparse
import json
import random
import subprocess
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "assets/model"
HELD_OUT = "openmoji"
KNOWN = ["noto", "twemoji", "fluent-emoji-flat", "emojione"]
GROUPS = ("animal", "food", "transport", "plant", "musical", "clothing", "sports", "sky", "tool", "music", "office", "household")
VISION = dict(image_size=72, patch_size=12, width=128, layers=4, head_width=64)
SIDE, PATCH = VISION["image_size"], VISION["patch_size"]
WIDTH, HEIGHT, SCENES = 480, 360, 100


def things(cache):
    """40 concepts: `[(concept, name, {style: file})]`."""
    groups = {c: g["group"] for g in json.loads((cache / "groups.json").read_text()) for c in g["concepts"]}
    by_concept = {}
    for part in ("train.jsonl", "held_out.jsonl"):
        for row in map(json.loads, (cache / part).read_text().splitlines()):
            by_concept.setdefault(row["concept"], {})[row["style"]] = row
    found = sorted(
        concept
        for concept, styles in by_concept.items()
        if "-" not in concept and len(styles) >= 9 and HELD_OUT in styles and groups.get(concept, "").startswith(GROUPS)
    )
    random.Random(5).shuffle(found)
    files = lambda styles: {style: cache / row["image"] for style, row in styles.items()}
    return [(concept, by_concept[concept][HELD_OUT]["name"], files(by_concept[concept])) for concept in found[:40]]


def text_features(clip, names):
    command = [clip, "embed", "--device", "cpu", "--json", "--texts", *(f"A photo of a {name}." for name in names)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return torch.tensor([text["features"] for text in json.loads(found.stdout)["texts"]])


def model_of(folder):
    config = json.loads((BUNDLED / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"] = VISION
    model = open_clip.CLIP(**config["model_cfg"])
    source = folder if (folder / "open_clip_model.safetensors").exists() else BUNDLED
    weights = load_file(source / "open_clip_model.safetensors")
    kept = {key: value.float() for key, value in weights.items() if source == folder or not key.startswith("visual.")}
    model.load_state_dict(kept, strict=False)
    return model, config


def normalised(images):
    return (torch.from_numpy(np.stack(images).astype(np.float32) / 255).permute(0, 3, 1, 2) - 0.5) / 0.25


def train(arguments, known, texts):
    torch.manual_seed(0)
    draw = random.Random(0)
    model, config = model_of(arguments.out)
    images = [
        (Image.open(file).convert("RGBA"), index)
        for index, (_, _, files) in enumerate(known)
        for style, file in files.items()
        if style != HELD_OUT
    ]

    def canvas(drawing):
        colour = tuple(draw.randint(120, 255) for _ in range(3)) if draw.random() < 0.5 else (255, 255, 255)
        whole, side = Image.new("RGB", (SIDE, SIDE), colour), draw.randint(28, SIDE)
        if draw.random() < 0.5:
            drawing = drawing.transpose(Image.FLIP_LEFT_RIGHT)
        drawing = drawing.resize((side, side), Image.BILINEAR)
        whole.paste(drawing, (draw.randint(0, SIDE - side), draw.randint(0, SIDE - side)), drawing)
        return np.asarray(whole)

    parameters = list(model.visual.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05, betas=(0.9, 0.98))
    start, step = time.time(), 0
    while (share := (time.time() - start) / 60 / arguments.minutes) < 1:
        optimizer.param_groups[0]["lr"] = 1e-3 * min(1, (step + 1) / 100) * max(0.02, 0.5 * (1 + np.cos(np.pi * share)))
        batch = draw.sample(images, 64)
        features = F.normalize(model.encode_image(normalised([canvas(drawing) for drawing, _ in batch])), dim=-1)
        loss = F.cross_entropy(20 * features @ texts.T, torch.tensor([index for _, index in batch]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            print(step, float(loss), flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    state = {key: value.contiguous() for key, value in model.state_dict().items() if "attn_mask" not in key}
    save_file(state, arguments.out / "open_clip_model.safetensors", {"format": "pt"})
    (arguments.out / "open_clip_config.json").write_text(json.dumps(config))
    (arguments.out / "tokenizer.json").write_bytes((BUNDLED / "tokenizer.json").read_bytes())


def embedded(visual, image):
    """Input of the transformer, `[1 + places, width]`, with interpolated positions, and the grid."""
    x = visual.conv1(image)
    grid = list(x.shape[2:])
    side = SIDE // PATCH
    places = visual.positional_embedding[1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    places = F.interpolate(places, size=grid, mode="bilinear").permute(0, 2, 3, 1).flatten(0, 2)
    positions = torch.cat([visual.positional_embedding[:1], places])
    return visual.ln_pre(torch.cat([visual.class_embedding[None], x[0].flatten(1).T]) + positions), grid


def attention(layer, x, pairs):
    """Self-attention with the sum of the softmaxes of these pairs, of `q` and `k`; by the value alone without pairs."""
    heads, (length, width) = layer.num_heads, x.shape
    q, k, v = F.linear(x, layer.in_proj_weight, layer.in_proj_bias).chunk(3, dim=-1)
    parts = {name: part.reshape(length, heads, -1).transpose(0, 1) for name, part in zip("qkv", (q, k, v))}
    scale = (width // heads) ** -0.5
    mixed = sum(((parts[a] @ parts[b].transpose(1, 2) * scale).softmax(-1) @ parts["v"] for a, b in pairs), 0 * parts["v"])
    mixed = mixed if pairs else parts["v"]
    return layer.out_proj(mixed.transpose(0, 1).reshape(length, width))


READINGS = {
    "the last block as it is": ("qk", True),
    "value alone, without residual and MLP (MaskCLIP)": ("", False),
    "q-q and k-k, with residual and MLP (SCLIP)": ("qq kk", True),
    "q-q, without residual and MLP (ClearCLIP)": ("qq", False),
    "q-q and k-k, without residual and MLP": ("qq kk", False),
    "q-q, with residual and MLP": ("qq", True),
}


def dense(visual, image, pairs, whole_block):
    x, grid = embedded(visual, image)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = block(x[None])[0]
    y = attention(last.attn, last.ln_1(x), pairs.split())
    if whole_block:
        y = x + y
        y = y + last.mlp(last.ln_2(y))
    return F.normalize(visual.ln_post(y[1:]) @ visual.proj, dim=-1).reshape(*grid, -1)


def scenes(known, styles, seed):
    draw = random.Random(seed)
    for _ in range(SCENES):
        whole, boxes = Image.new("RGB", (WIDTH, HEIGHT), tuple(draw.randint(200, 255) for _ in range(3))), []
        for index in draw.sample(range(len(known)), 3):
            for _ in range(1000):
                side = draw.randint(90, 150)
                x, y = draw.randint(0, WIDTH - side), draw.randint(0, HEIGHT - side)
                if all(x + side <= a or a + s <= x or y + side <= b or b + s <= y for _, a, b, s in boxes):
                    break
            files = known[index][2]
            file = files[draw.choice([style for style in styles if style in files])]
            drawing = Image.open(file).convert("RGBA").resize((side, side), Image.BICUBIC)
            whole.paste(drawing, (x, y), drawing)
            boxes.append((index, x, y, side))
        yield whole, boxes


@torch.no_grad()
def compare(arguments, known, texts):
    visual = model_of(arguments.out)[0].eval().visual
    print("| last block | known styles | new style |\n| --- | --: | --: |")
    for name, reading in READINGS.items():
        shares = []
        for styles in (KNOWN, [HELD_OUT]):
            hits = []
            for whole, boxes in scenes(known, styles, 1):
                image = normalised([np.asarray(whole.resize((16 * PATCH, 12 * PATCH), Image.BICUBIC))])
                features = dense(visual, image, *reading)
                for index, x, y, side in boxes:
                    row, column = divmod(int((features @ texts[index]).argmax()), 16)
                    at = ((column + 0.5) / 16 * WIDTH, (row + 0.5) / 12 * HEIGHT)
                    hits.append(x <= at[0] <= x + side and y <= at[1] <= y + side)
            shares.append(f"{100 * np.mean(hits):.1f} %")
        print(f"| {name} | {' | '.join(shares)} |", flush=True)
    chance = np.mean([side**2 / (WIDTH * HEIGHT) for _, boxes in scenes(known, KNOWN, 1) for *_, side in boxes])
    print(f"| chance | {100 * chance:.1f} % | {100 * chance:.1f} % |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["train", "compare"])
    parser.add_argument("--clip", type=Path, required=True, help="the command")
    parser.add_argument("--cache", type=Path, required=True, help="folder with drawings/")
    parser.add_argument("--out", type=Path, required=True, help="folder of the ViT")
    parser.add_argument("--minutes", type=float, default=36)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = things(arguments.cache.expanduser() / "drawings")
    texts = text_features(arguments.clip, [name for _, name, _ in known])
    {"train": train, "compare": compare}[arguments.step](arguments, known, texts)


if __name__ == "__main__":
    main()
