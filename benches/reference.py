"""Every architecture of the paper, and of later families, at full size against open_clip or transformers, on the CPU.

    python benches/reference.py [--clip target/release/clip] [--models RN50,ViT-B-32] [--keep DIR]

Needs what tests/golden/requirements.txt names. Each model gets random weights in the library whose
names it goes by, is saved as a lone f32 and f16 file beside its config, and both programs
compute features of the same pictures and texts from it. Prints Markdown: the smallest
cosine between the two programs' features (aims: 0.99999 for f32, 0.9999 for f16) without the mean
over them, and whether the architecture is told right from the file alone, where a file tells it."""

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import open_clip
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ["a photo of a cat", "A red house on a green field, seen from above.", "2 + 2 = 4"]
PICTURES = [ROOT / "tests/fixtures" / name for name in ("scene.png", "scene-grey16.png")]
PICTURES += [ROOT / "tests/fixtures/drawings" / name for name in ("cat.png", "rocket.png")]


class Special(NamedTuple):
    """Special tokens of a kind of tokenizer: ids, place beside a text, id of the padding."""

    ids: dict[str, int]
    template: str
    pad: int


SIGLIP = Special({"</s>": 1}, "$A </s>", 1)
SIGLIP2 = Special({"<pad>": 0, "<eos>": 1}, "$A <eos>", 0)
BERT = Special({"[CLS]": 101, "[SEP]": 102}, "[CLS] $A [SEP]", 0)
XLM_ROBERTA = Special({"<s>": 0, "</s>": 2}, "<s> $A </s>", 1)

PAPER = ["RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336"]
LATER = ["MobileCLIP2-S0", "MobileCLIP2-S2", "MobileCLIP2-B", "EVA02-B-16", "PE-Core-B-16"]
SQUASHED = dict(mean=[0.5] * 3, std=[0.5] * 3, resize_mode="squash")
SIGLIP_CLASSES = dict(family="Siglip", processor="SiglipImageProcessor", masked=False, alone=[])

# By open_clip's names. `alone`: the command's further arguments for a lone file, where that tells the architecture.
OPEN_CLIP = {
    **{name: dict(quick_gelu=True, alone=["--activation", "quick_gelu"]) for name in PAPER},
    **{name: {} for name in LATER},
    "ViT-B-16-SigLIP": dict(special=SIGLIP, preprocess=SQUASHED, alone=[]),
    # Its encoders have different activations, which no file tells.
    "ViT-B-16-SigLIP2": dict(special=SIGLIP2, preprocess=SQUASHED),
    "xlm-roberta-base-ViT-B-32": dict(
        special=XLM_ROBERTA,
        text_encoder=dict(vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5),
    ),
}
# By the names on the hub; `text` and `vision` are what the configs there have other than transformers' defaults.
TRANSFORMERS = {
    "siglip-base-patch16-224": dict(SIGLIP_CLASSES, special=SIGLIP),
    "siglip2-base-patch16-224": dict(SIGLIP_CLASSES, special=SIGLIP2, text=dict(vocab_size=256_000)),
    "chinese-clip-vit-base-patch16": dict(
        family="ChineseCLIP",
        processor="ChineseCLIPImageProcessor",
        special=BERT,
        text=dict(vocab_size=21_128),
        vision=dict(patch_size=16),
    ),
    "metaclip-2-worldwide-b32": dict(
        family="MetaClip2",
        processor="CLIPImageProcessor",
        special=XLM_ROBERTA,
        text=dict(vocab_size=901_629, bos_token_id=0, eos_token_id=2, hidden_act="gelu"),
        vision=dict(hidden_act="gelu"),
    ),
}


class Reference(NamedTuple):
    """A model of a library, and what the command needs to compute the same."""

    model: torch.nn.Module
    # From a picture to its pixels.
    prepare: Callable
    # From the pixels of pictures to their features and those of the texts, normalised.
    features: Callable
    # The file of weights, and the contents of those beside it, the config first.
    weights: str
    beside: dict[str, str]
    alone: list[str] | None


def tokenizer_of_words(special, vocabulary, context):
    """In place of a published tokenizer, which would have to be downloaded. The words of the texts
    have ids from all over the vocabulary, the last one included."""
    words = sorted(set(re.findall(r"\w+", " ".join(TEXTS).lower())))
    ids = {word: vocabulary - 1 - place * (vocabulary // len(words)) for place, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel({**special.ids, "<unk>": 3, **ids}, unk_token="<unk>"))
    # As in the cleaning of texts that some models have, which then changes no ids.
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\W+"), "removed")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=special.template, special_tokens=list(special.ids.items())
    )
    tokenizer.enable_padding(length=context, pad_id=special.pad)
    return tokenizer


def of_open_clip(name, quick_gelu=False, special=None, text_encoder=None, preprocess=None, alone=None):
    """`special`: of a tokenizer that is not CLIP's. `text_encoder`: config of transformers' XLM-RoBERTa."""
    config, preprocess = open_clip.get_model_config(name), preprocess or {}
    if quick_gelu:
        config["quick_gelu"] = True
    beside = {"open_clip_config.json": json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})}
    text = dict(config["text_cfg"])
    with tempfile.TemporaryDirectory() as folder:
        if text_encoder:
            # open_clip would download what the encoder's name stands for.
            transformers.XLMRobertaConfig(**text_encoder).save_pretrained(folder)
            text.update(hf_model_name=folder, hf_model_pretrained=False)
        model = open_clip.create_model(name, force_quick_gelu=quick_gelu, pretrained_text=False, text_cfg=text)
    if special:
        tokenizer = tokenizer_of_words(special, model.vocab_size, text.get("context_length", 77))
        beside["tokenizer.json"] = tokenizer.to_str()
        tokens = torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(TEXTS)])
    else:
        tokens = open_clip.get_tokenizer(name)(TEXTS)
    return Reference(
        model,
        open_clip.image_transform(config["vision_cfg"]["image_size"], is_train=False, **preprocess),
        lambda images: [model.encode_image(images, normalize=True), model.encode_text(tokens, normalize=True)],
        "open_clip_model.safetensors",
        beside,
        alone,
    )


def of_transformers(family, processor, special, text=None, vision=None, masked=True, alone=None):
    """`masked`: whether its text encoder is told which tokens are padding."""
    config = getattr(transformers, f"{family}Config")(text_config=text, vision_config=vision)
    model = getattr(transformers, f"{family}Model")(config)
    processor = getattr(transformers, f"{processor}Pil")()
    sizes = config.text_config
    tokenizer = tokenizer_of_words(special, sizes.vocab_size, sizes.max_position_embeddings)
    encodings = tokenizer.encode_batch(TEXTS)
    texts = {"input_ids": torch.tensor([encoding.ids for encoding in encodings])}
    if masked:
        texts["attention_mask"] = torch.tensor([encoding.attention_mask for encoding in encodings])

    def features(images):
        outputs = model(pixel_values=images, **texts)
        return [outputs.image_embeds, outputs.text_embeds]

    return Reference(
        model,
        lambda picture: processor(picture, return_tensors="pt").pixel_values[0],
        features,
        "model.safetensors",
        {
            "config.json": config.to_json_string(),
            "preprocessor_config.json": processor.to_json_string(),
            "tokenizer.json": tokenizer.to_str(),
        },
        alone,
    )


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


def save(folder, reference, dtype):
    """Writes the model as its repositories lay it out; returns the numbers that the file holds."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.to(dtype).contiguous() for k, v in reference.model.state_dict().items() if v.is_floating_point()}
    save_file(state, folder / reference.weights, {"format": "pt"})
    for name, contents in reference.beside.items():
        (folder / name).write_text(contents)
    return state


def features(clip, model, pictures, *more):
    command = [clip, "embed", "--device", "cpu", "--json", "--model", model, "--texts", *TEXTS, "--images", *pictures]
    answer = json.loads(subprocess.run([*command, *more], check=True, capture_output=True).stdout)
    return [torch.tensor([row["features"] for row in answer[kind]]) for kind in ("images", "texts")]


def likeness(found, expected):
    """The smallest cosine between features, without what they all have in common: with random
    weights, cosines between different pictures are as high as 0.99999."""
    common = expected.mean(0)
    return torch.cosine_similarity(found - common, expected - common).min().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clip", default=ROOT / "target/release/clip", type=Path)
    parser.add_argument("--models", default=",".join([*OPEN_CLIP, *TRANSFORMERS]))
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
            if name in OPEN_CLIP:
                reference = of_open_clip(name, **OPEN_CLIP[name])
            else:
                reference = of_transformers(**TRANSFORMERS[name])
            model = shaken(reference.model).eval()
            count = sum(p.numel() for p in model.parameters())
            images = torch.stack([reference.prepare(Image.open(path)) for path in pictures])
            for dtype in (torch.float32, torch.float16):
                kind = folder / str(dtype).split(".")[-1]
                state = save(kind, reference, dtype)
                # The file's rounded numbers, computed with in full precision.
                model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
                with torch.no_grad():
                    expected = reference.features(images)
                found = features(arguments.clip, kind, pictures)
                row += [likeness(a, b) for a, b in zip(found, expected)]
                if dtype is torch.float32 and reference.alone is not None:
                    config = kind / next(iter(reference.beside))
                    config.rename(kind / "config-aside.json")
                    alone = features(arguments.clip, kind, pictures, *reference.alone)
                    lone = "the same" if all(torch.equal(a, b) for a, b in zip(alone, found)) else "DIFFERENT"
                    (kind / "config-aside.json").rename(config)
                if not arguments.keep:
                    (kind / reference.weights).unlink()
            cosines = " | ".join(f"{cosine:.7f}" for cosine in row)
            print(f"| {name} | {count / 1e6:.1f} M | {cosines} | {lone} |", flush=True)


if __name__ == "__main__":
    main()
