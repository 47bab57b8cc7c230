"""Every architecture of the paper, and later ones with CLIP's vocabulary, at full size against open_clip, on the CPU.

    python benches/reference.py [--clip target/release/clip] [--models RN50,ViT-B-32] [--keep DIR]

Needs what tests/golden/requirements.txt names. Each model gets random weights in
open_clip, is saved as a lone f32 and f16 file beside its config, and both programs
compute features of the same pictures and texts from it. Prints Markdown: the smallest
cosine between the two programs' features (aims: 0.99999 for f32, 0.9999 for f16), and
whether the architecture is told right from the file alone, where a file tells it."""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent
PAPER = ["RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336"]
LATER = ["MobileCLIP2-S0", "MobileCLIP2-S2", "MobileCLIP2-B", "EVA02-B-16", "PE-Core-B-16"]
TEXTS = ["a photo of a cat", "A red house on a green field, seen from above.", "2 + 2 = 4"]
PICTURES = [ROOT / "tests/fixtures" / name for name in ("scene.png", "scene-grey16.png")]
PICTURES += [ROOT / "tests/fixtures/drawings" / name for name in ("cat.png", "rocket.png")]


def plain(path):
    """As a picture without alpha: open_clip's own preparation drops it, which is no
    matter of the model."""
    picture = Image.open(path).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def shaken(model):
    """No parameter is left at a value that would hide a mistake."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim < 2 and name != "logit_scale":
                parameter.add_(0.05 * torch.randn_like(parameter))
        for name, values in model.named_buffers():
            if name.endswith("running_mean"):
                values.normal_(0, 0.1)
            elif name.endswith("running_var"):
                values.uniform_(0.8, 1.2)
    return model


def save(folder, config, model, dtype):
    """Writes the model as OpenCLIP's repositories lay it out; returns the numbers that the file holds."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.to(dtype).contiguous() for k, v in model.state_dict().items() if v.is_floating_point()}
    save_file(state, folder / "open_clip_model.safetensors", {"format": "pt"})
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    return state


def features(clip, model, pictures, *more):
    command = [clip, "embed", "--device", "cpu", "--json", "--model", model, "--texts", *TEXTS, "--images", *pictures]
    answer = json.loads(subprocess.run([*command, *more], check=True, capture_output=True).stdout)
    return [torch.tensor([row["features"] for row in answer[kind]]) for kind in ("images", "texts")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clip", default=ROOT / "target/release/clip", type=Path)
    parser.add_argument("--models", default=",".join(PAPER + LATER))
    parser.add_argument("--keep", type=Path, help="folder to leave the models in")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    print("| model | parameters | f32 images | f32 texts | f16 images | f16 texts | lone file |")
    print("| --- | --: | --: | --: | --: | --: | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        pictures = []
        for path in PICTURES:
            pictures.append(Path(scratch, path.name))
            plain(path).save(pictures[-1])
        for name in arguments.models.split(","):
            folder = (arguments.keep or Path(scratch)) / name
            row, lone = [], "not told"
            config = open_clip.get_model_config(name)
            if name in PAPER:
                config["quick_gelu"] = True
            model = shaken(open_clip.create_model(name, force_quick_gelu=name in PAPER)).eval()
            count = sum(p.numel() for p in model.parameters())
            preprocess = open_clip.image_transform(config["vision_cfg"]["image_size"], is_train=False)
            tokens = open_clip.get_tokenizer(name)(TEXTS)
            images = torch.stack([preprocess(Image.open(path)) for path in pictures])
            for dtype in (torch.float32, torch.float16):
                kind = folder / str(dtype).split(".")[-1]
                state = save(kind, config, model, dtype)
                # The file's rounded numbers, computed with in full precision.
                model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
                with torch.no_grad():
                    expected = [model.encode_image(images, normalize=True), model.encode_text(tokens, normalize=True)]
                found = features(arguments.clip, kind, pictures)
                row += [torch.cosine_similarity(a, b).min().item() for a, b in zip(found, expected)]
                if dtype is torch.float32 and name in PAPER:
                    (kind / "open_clip_config.json").rename(kind / "config-aside.json")
                    alone = features(arguments.clip, kind, pictures, "--activation", "quick_gelu")
                    lone = "the same" if all(torch.equal(a, b) for a, b in zip(alone, found)) else "DIFFERENT"
                    (kind / "config-aside.json").rename(kind / "open_clip_config.json")
                if not arguments.keep:
                    (kind / "open_clip_model.safetensors").unlink()
            cosines = " | ".join(f"{cosine:.7f}" for cosine in row)
            print(f"| {name} | {count / 1e6:.1f} M | {cosines} | {lone} |", flush=True)


if __name__ == "__main__":
    main()
