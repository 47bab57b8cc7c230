"""Tiny random CLIPs with the features that the reference computes from them.

Every parameter is random, gains, biases, statistics and embeddings included: an untrained model has
zeros and ones there, and a forgotten bias or a swapped LayerNorm would not show.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import torch
import transformers
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

HERE = Path(__file__).parent
MODELS = HERE / "models"
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}

OPENAI_MEAN = [0.48145466, 0.4578275, 0.40821073]
OPENAI_STD = [0.26862954, 0.26130258, 0.27577711]

# Vision width 24 with 3 heads, text width 16 with 2: small files, and head sizes that differ from
# each other's widths so that a mixed-up number fails loudly.
VISION = dict(image_size=32, patch_size=8, width=24, head_width=8, layers=2)
TEXT = dict(context_length=16, vocab_size=600, width=16, heads=2, layers=2)

OPENCLIP = {
    # name: (dtype of the file, model_cfg, preprocess_cfg)
    "openclip-quick-f32": (
        "f32",
        dict(embed_dim=20, quick_gelu=True, vision_cfg=VISION, text_cfg=TEXT),
        dict(mean=OPENAI_MEAN, std=OPENAI_STD, interpolation="bicubic", resize_mode="shortest"),
    ),
    "openclip-gelu-f16": (
        "f16",
        dict(
            embed_dim=12,
            vision_cfg=dict(VISION, image_size=28, patch_size=7, width=32, head_width=16, layers=3),
            text_cfg=dict(TEXT, context_length=77, width=24, heads=3, layers=1),
        ),
        dict(mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5], interpolation="bilinear", resize_mode="squash"),
    ),
    # Two towers as separate modules ("text." in the names), another size of the hidden layer,
    # patches that do not divide the picture: the convolution drops the rest.
    "openclip-custom-text-f16": (
        "f16",
        dict(
            embed_dim=16,
            custom_text=True,
            vision_cfg=dict(VISION, image_size=36, mlp_ratio=2.0, layers=1),
            text_cfg=dict(TEXT, layers=1, mlp_ratio=3.0),
        ),
        None,
    ),
    "openclip-resnet-f16": (
        "f16",
        dict(
            embed_dim=10,
            quick_gelu=True,
            vision_cfg=dict(image_size=64, width=4, head_width=32, layers=[2, 1, 2, 1], patch_size=None),
            text_cfg=TEXT,
        ),
        dict(mean=OPENAI_MEAN, std=OPENAI_STD, interpolation="bicubic", resize_mode="shortest"),
    ),
}
for other in ("custom-text", "resnet"):
    OPENCLIP[f"openclip-{other}-f32"] = ("f32", *OPENCLIP[f"openclip-{other}-f16"][1:])

HF_TEXT = dict(
    vocab_size=600,
    hidden_size=16,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=16,
    bos_token_id=598,
    pad_token_id=1,
)
HF_VISION = dict(
    hidden_size=24,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=3,
    image_size=32,
    patch_size=8,
)

HALF = [0.5, 0.5, 0.5]


def preprocessor(kind: str, size: dict, mean: list[float], std: list[float], resample=3, **crop) -> dict:
    """Settings of an image processor of transformers; `crop` is what it does besides."""
    return dict(
        **crop,
        do_normalize=True,
        do_rescale=True,
        do_resize=True,
        image_mean=mean,
        image_std=std,
        image_processor_type=kind,
        resample=resample,
        rescale_factor=1 / 255,
        size=size,
    )


def clip_preprocessor(side: int) -> dict:
    """CLIP's own: the shorter side to `side`, and the middle."""
    crop = dict(crop_size=dict(height=side, width=side), do_center_crop=True, do_convert_rgb=True)
    return preprocessor("CLIPImageProcessor", dict(shortest_edge=side), OPENAI_MEAN, OPENAI_STD, **crop)


HUGGING_FACE = {
    # OpenAI's own conversions say eos 2, which is not the id of their end-of-text token: the highest
    # id counts then. Old files also carry the position ids as a tensor.
    "hf-legacy-eos-f32": dict(
        dtype="f32",
        projection_dim=20,
        text=dict(HF_TEXT, eos_token_id=2, bos_token_id=0),
        vision=HF_VISION,
        pad=599,
        position_ids=True,
        preprocessor=dict(
            crop_size=32,
            do_center_crop=True,
            do_normalize=True,
            do_resize=True,
            feature_extractor_type="CLIPFeatureExtractor",
            image_mean=OPENAI_MEAN,
            image_std=OPENAI_STD,
            resample=3,
            size=32,
        ),
    ),
    # A proper eos id with higher ids above it, which stand in the texts: the highest id would be wrong.
    "hf-gelu-f16": dict(
        dtype="f16",
        projection_dim=12,
        text=dict(HF_TEXT, vocab_size=604, eos_token_id=599, hidden_act="gelu", intermediate_size=40),
        vision=dict(HF_VISION, hidden_act="gelu", image_size=28, patch_size=7, num_attention_heads=4),
        pad=599,
        above_eos=True,
        preprocessor=clip_preprocessor(28),
    ),
    # With a tokenizer, other activations in the two towers, a large epsilon (it shows), and squashing.
    "hf-tokenizer-bf16": dict(
        dtype="bf16",
        projection_dim=8,
        text=dict(HF_TEXT, eos_token_id=599, hidden_act="quick_gelu", layer_norm_eps=1e-3, max_position_embeddings=24),
        vision=dict(HF_VISION, hidden_act="gelu", layer_norm_eps=1e-2, num_hidden_layers=1),
        pad=599,
        preprocessor=preprocessor(
            "CLIPImageProcessor", dict(height=32, width=32), HALF, HALF, 2, do_center_crop=False, do_convert_rgb=True
        ),
    ),
}


def randomise(model: torch.nn.Module, seed: int, dtype: torch.dtype) -> None:
    """Fill every parameter and running statistic, then round to what the file will hold."""
    random = np.random.RandomState(seed)  # a frozen stream: the same with every numpy

    for name, value in sorted(model.state_dict(keep_vars=True).items()):
        if not value.dtype.is_floating_point or "attn_mask" in name:
            continue
        noise = torch.from_numpy(random.standard_normal(tuple(value.shape)).astype(np.float32))
        if name.endswith("logit_scale"):
            filled = torch.tensor(2.4) + 0.1 * noise
        elif name.endswith("running_var"):
            filled = 0.1 * torch.exp(0.3 * noise)  # small: else the biases drown the picture
        elif "embedding" in name or "pos_embed" in name:  # token, position and class
            filled = 0.5 * noise
        elif name.endswith((".probe", ".latent")):  # queries of attention pooling
            filled = noise
        elif value.dim() >= 2:
            fan_in = value.shape[0] if name.endswith("proj") and value.dim() == 2 else value[0].numel()
            filled = noise / fan_in**0.5
        elif name.endswith("weight"):  # gains of LayerNorm and BatchNorm
            filled = 1 + 0.25 * noise
        else:
            filled = 0.25 * noise
        with torch.no_grad():
            value.copy_(filled.to(dtype).float())


def formula(*shape: int) -> torch.Tensor:
    """Pictures without a file: element i (row-major) is ((i // 29) * 7919 mod 2003) / 500.75 - 2.

    Runs of 29 equal values, so that strided convolutions and pools do not average it all away.
    """
    i = np.arange(int(np.prod(shape)), dtype=np.int64) // 29
    return torch.from_numpy(((i * 7919 % 2003) / 500.75 - 2).astype(np.float32).reshape(shape))


def token_rows(context: int, vocabulary: int, start: int, end: int, pad: int, above: bool = False) -> torch.Tensor:
    """Texts of no, few, many and too many words."""
    rows = []
    for count in (0, 1, 5, context - 2):
        words = [(37 * (k + 1) * (count + 3)) % (start - 2) + 2 for k in range(count)]
        if above and words:
            words[0] = vocabulary - 1
        rows.append(([start, *words, end] + [pad] * context)[:context])
    return torch.tensor(rows)


def pictures() -> list[str]:
    """Picture files for the whole way from bytes to features (made by `make.py pictures`)."""
    names = ["rgb_61x40.png", "photo_120x90.jpg", "rgba_50x64.png"]
    return [name for name in names if (HERE / "pictures" / name).exists()]


def rounded(tensor: torch.Tensor) -> list:
    """9 significant digits are enough to name every f32."""
    return json.loads(json.dumps(tensor.double().tolist()), parse_float=lambda text: float(f"{float(text):.9g}"))


def write_expected(folder: Path, expected: dict) -> None:
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in expected.items()]
    (folder / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def features(dtype, reference, image, tokens, image_features, text_features, scale, from_pictures) -> dict:
    image_features, text_features = (f / f.norm(dim=-1, keepdim=True) for f in (image_features, text_features))
    logits = scale.exp() * image_features @ text_features.T
    names = pictures()
    picture_features = [from_pictures(name) for name in names]
    return {
        "reference": reference,
        "dtype": dtype,
        "image_shape": list(image.shape),
        "tokens": tokens.tolist(),
        "image_features": rounded(image_features),
        "text_features": rounded(text_features),
        "logit_scale": rounded(scale),
        "logit_scale_exp": rounded(scale.exp()),
        "logits_per_image": rounded(logits),
        "probabilities": rounded(logits.softmax(dim=-1)),
        "pictures": names,
        "picture_features": [rounded(f / f.norm()) for f in picture_features],
    }


@torch.no_grad()
def make_openclip(name: str, seed: int) -> None:
    dtype, config, preprocess = OPENCLIP[name]
    folder = MODELS / name
    folder.mkdir(parents=True)
    arguments = {key: value for key, value in config.items() if key != "custom_text"}
    kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    model = kind(**arguments).eval()
    randomise(model, seed, DTYPES[dtype])

    written = {"model_cfg": config}
    if preprocess:
        written["preprocess_cfg"] = preprocess
    (folder / "open_clip_config.json").write_text(json.dumps(written, indent=2) + "\n")
    # Its vocabulary is not CLIP's, which needs a tokenizer. The tokens below are made without.
    shutil.copy(HERE / "tiny_tokenizer.json", folder / "tokenizer.json")
    tensors = {
        key: (value.to(DTYPES[dtype]) if value.dtype.is_floating_point else value).contiguous()
        for key, value in model.state_dict().items()
    }
    save_file(tensors, folder / "open_clip_model.safetensors", metadata={"format": "pt"})

    size = config["vision_cfg"]["image_size"]
    text = config["text_cfg"]
    image = formula(3, 3, size, size)
    vocabulary = text["vocab_size"]
    tokens = token_rows(text["context_length"], vocabulary, vocabulary - 2, vocabulary - 1, 0)
    transform = image_transform_v2(PreprocessCfg(size=size, **(preprocess or {})), is_train=False)

    def from_picture(file: str) -> torch.Tensor:
        return model.encode_image(transform(upright(file)).unsqueeze(0))[0]

    expected = features(
        dtype,
        f"open_clip {open_clip.__version__}, torch {torch.__version__.split('+')[0]}, float32 on the CPU",
        image,
        tokens,
        model.encode_image(image),
        model.encode_text(tokens),
        model.logit_scale,
        from_picture,
    )
    write_expected(folder, expected)
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes 0600


@torch.no_grad()
def make_hugging_face(name: str, seed: int) -> None:
    spec = HUGGING_FACE[name]
    dtype = spec["dtype"]
    folder = MODELS / name
    folder.mkdir(parents=True)
    config = CLIPConfig(
        text_config=dict(spec["text"], projection_dim=spec["projection_dim"]),
        vision_config=dict(spec["vision"], projection_dim=spec["projection_dim"]),
        projection_dim=spec["projection_dim"],
    )
    model = CLIPModel(config).eval()
    randomise(model, seed, DTYPES[dtype])

    # The config as published models write it: what differs from the defaults.
    written = {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": spec["projection_dim"],
        "logit_scale_init_value": 2.6592,
        "text_config": dict(spec["text"], model_type="clip_text_model"),
        "vision_config": dict(spec["vision"], model_type="clip_vision_model"),
        "torch_dtype": {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[dtype],
    }
    (folder / "config.json").write_text(json.dumps(written, indent=2) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps(spec["preprocessor"], indent=2) + "\n")
    tensors = {
        key: value.to(DTYPES[dtype]).contiguous()
        for key, value in model.state_dict().items()
        if value.dtype.is_floating_point
    }
    if spec.get("position_ids"):
        positions = config.text_config.max_position_embeddings
        patches = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
        tensors["text_model.embeddings.position_ids"] = torch.arange(positions).unsqueeze(0)
        tensors["vision_model.embeddings.position_ids"] = torch.arange(patches + 1).unsqueeze(0)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    size = spec["vision"]["image_size"]
    image = formula(3, 3, size, size)
    text = spec["text"]
    tokens = token_rows(
        text["max_position_embeddings"], text["vocab_size"], 598, 599, spec["pad"], spec.get("above_eos", False)
    )
    shutil.copy(HERE / "tiny_tokenizer.json", folder / "tokenizer.json")

    # What the library itself loads from the folder must be what we computed with.
    loaded = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    assert loaded.config.text_config.eos_token_id == text["eos_token_id"]
    for key, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key]), key
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)

    def from_picture(file: str) -> torch.Tensor:
        pixels = processor(upright(file), return_tensors="pt").pixel_values
        return loaded(pixel_values=pixels, input_ids=tokens).image_embeds[0]

    outputs = loaded(input_ids=tokens, pixel_values=image)  # without attention mask: the causal one is enough
    expected = features(
        dtype,
        f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, float32 on the CPU",
        image,
        tokens,
        outputs.image_embeds,
        outputs.text_embeds,
        loaded.logit_scale,
        from_picture,
    )
    write_expected(folder, expected)
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes 0600


def upright(name: str):
    from PIL import Image, ImageOps

    return ImageOps.exif_transpose(Image.open(HERE / "pictures" / name))


def make() -> None:
    for name in [*OPENCLIP, *HUGGING_FACE]:
        shutil.rmtree(MODELS / name, ignore_errors=True)
    for seed, name in enumerate(OPENCLIP):
        make_openclip(name, 100 + seed)
    for seed, name in enumerate(HUGGING_FACE):
        make_hugging_face(name, 200 + seed)
