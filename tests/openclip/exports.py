"""What `clip train` gives to take away, opened by the programs that it is for.

    venv/bin/python tests/openclip/exports.py [target/release/clip]

A LoRA and a fine-tuning of the bundled ResNet, of two tiny ViTs (one as transformers keeps it, one as
open_clip does, which squash or crop pictures in other ways), and of a tiny SigLIP, Chinese-CLIP, MetaCLIP 2
and a CLIP with a sigmoid loss; then the files in `transformers/`, `open_clip/` and `lora/`, opened by
transformers, open_clip and PEFT, which prepare pictures as the files say, must give the features that `clip
embed` gives: cosine 1 - 1e-4 at least. The page writes the same files by the same code. Wants the packages of
tests/golden/requirements.txt; a minute. Not run by scripts/test, since those packages are large.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import open_clip
import torch
from peft import PeftModel
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoImageProcessor, AutoModel, CLIPConfig, CLIPImageProcessor, CLIPModel

ROOT = Path(__file__).resolve().parents[2]
CLIP = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "target/release/clip")
GOLDEN = ROOT / "tests/golden/models"
DATA = ROOT / "assets/samples/training.zip"
SAMPLES = ["pizza", "rocket", "cat", "umbrella"]
TEXTS = ["a photo of a cat", "food", "a rocket on its way to the moon drawn in red and blue"]
TOLERANCE = 1e-4


def clip(*words) -> str:
    run = subprocess.run([CLIP, *map(str, words)], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"clip {' '.join(map(str, words))}\n{run.stderr}")
    return run.stdout


def transformers_vit(folder: Path) -> Path:
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = text | {"image_size": 32, "patch_size": 8}
    ids = {"bos_token_id": 49406, "eos_token_id": 49407}
    CLIPModel(CLIPConfig(text_config=text | ids, vision_config=vision, projection_dim=24)).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    CLIPImageProcessor(size=size, do_center_crop=False, resample=2).save_pretrained(folder)
    return folder


def open_clip_vit(folder: Path) -> Path:
    folder.mkdir()
    config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    weights = open_clip.CLIP(**config).state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    return folder


def metaclip_2(folder: Path) -> Path:
    """With a tokenizer that ends a text as the config says, with 2."""
    shutil.copytree(GOLDEN / "metaclip2-f32", folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["post_processor"]["sep"] = [next(t for t, id in tokenizer["model"]["vocab"].items() if id == 2), 2]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


# What transformers' models pad with.
PADDING = {"clip": 0, "metaclip_2": 0, "chinese_clip": 0, "siglip": 1}


def tokens(folder: Path, context: int, pad: int = 0) -> torch.Tensor:
    """By the exported vocabulary, or CLIP's where there is none."""
    if not (folder / "tokenizer.json").exists():
        return open_clip.tokenize(TEXTS)
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = [vocabulary.encode(text).ids for text in TEXTS]
    # Cut before the token that ends a text.
    cut = [row if len(row) <= context else [*row[: context - 1], row[-1]] for row in rows]
    return torch.tensor([row + [pad] * (context - len(row)) for row in cut])


@torch.no_grad()
def by_transformers(model, folder: Path, pictures: list[Path]) -> tuple[torch.Tensor, torch.Tensor]:
    processor = AutoImageProcessor.from_pretrained(folder)
    pixels = processor([Image.open(path) for path in pictures], return_tensors="pt")["pixel_values"]
    kind = model.config.model_type
    ids = tokens(folder, model.config.text_config.max_position_embeddings, PADDING[kind])
    mask = {"attention_mask": (ids != PADDING[kind]).long()} if kind == "chinese_clip" else {}
    both = model.eval()(input_ids=ids, pixel_values=pixels, **mask)
    return both.image_embeds, both.text_embeds


@torch.no_grad()
def by_open_clip(folder: Path, pictures: list[Path]) -> tuple[torch.Tensor, torch.Tensor]:
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    pixels = torch.stack([preprocess(Image.open(path)) for path in pictures])
    described = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    ids = tokens(folder, described["context_length"])
    return model.eval().encode_image(pixels, normalize=True), model.encode_text(ids, normalize=True)


def by_us(folder: Path | None, pictures: list[Path]) -> tuple[torch.Tensor, torch.Tensor]:
    model = ["--model", folder] if folder else []
    said = json.loads(clip("embed", "--device", "cpu", *model, "--images", *pictures, "--texts", *TEXTS, "--json"))
    return tuple(torch.tensor([row["features"] for row in said[kind]]) for kind in ("images", "texts"))


def distance(a: tuple, b: tuple) -> float:
    """The largest 1 - cosine."""
    pairs = [pair for kind in zip(a, b, strict=True) for pair in zip(*kind, strict=True)]
    return max(1 - torch.cosine_similarity(x.double(), y.double(), dim=0).item() for x, y in pairs)


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    torch.manual_seed(0)
    pictures = []
    for name in SAMPLES:
        # Neither square nor with alpha, which each program treats in its own way.
        picture = Image.open(ROOT / f"tests/fixtures/drawings/{name}.png").convert("RGBA")
        opaque = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
        wide = Image.new("RGB", (picture.width * 3 // 2, picture.height), "lightblue")
        wide.paste(opaque, (picture.width // 4, 0))
        pictures.append(folder / f"{name}.png")
        wide.save(pictures[-1])
    models = {
        "the bundled ResNet": None,
        "a ViT of transformers": transformers_vit(folder / "transformers-vit"),
        "a ViT of open_clip": open_clip_vit(folder / "open-clip-vit"),
        "SigLIP": GOLDEN / "siglip-f32",
        "Chinese-CLIP": GOLDEN / "chinese-clip-f32",
        "MetaCLIP 2": metaclip_2(folder / "metaclip-2"),
        "CLIP with a sigmoid loss": GOLDEN / "openclip-variants-f32",
    }
    failed = False
    for name, model in models.items():
        base = ["--model", model] if model else []
        for method in ("lora", "full"):
            out = folder / f"{name} {method}".replace(" ", "-")
            clip("train", "--device", "cpu", "--method", method, *base, "--data", DATA, "--out", out, "--epochs", 2,
                 "--learning-rate", "1e-2" if method == "lora" else "1e-3")
            folders = {name: out / name for name in ("open_clip", "transformers") if (out / name).exists()}
            ours = by_us(next(iter(folders.values())), pictures)
            learnt = distance(by_us(model, pictures), ours)
            found = {}
            if "open_clip" in folders:
                found["open_clip"] = by_open_clip(out / "open_clip", pictures)
            if "transformers" in folders:
                whole = AutoModel.from_pretrained(out / "transformers")
                found["transformers"] = by_transformers(whole, out / "transformers", pictures)
                found["ours, of transformers/"] = by_us(out / "transformers", pictures)
            if method == "lora" and model and (model / "config.json").exists():
                # PEFT's layers go onto the weights that the training began with.
                adapted = PeftModel.from_pretrained(AutoModel.from_pretrained(model), out / "lora")
                found["PEFT"] = by_transformers(adapted, out / "transformers", pictures)
            for program, features in found.items():
                off = distance(ours, features)
                good = off <= TOLERANCE < learnt
                failed |= not good
                print(f"{name}, {method}, {program}: 1 - cosine {off:.1e} (learnt: {learnt:.1e}){'' if good else ' WRONG'}")
    if failed:
        sys.exit("not the same")


if __name__ == "__main__":
    main()
