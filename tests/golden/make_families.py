"""Tiny random models of other families than CLIP's own, with the features that the reference computes,
their tokenizers, and the ids that the reference gives for texts."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import open_clip
import timm
import tokenizers
import torch
import transformers
from make_models import (
    DTYPES,
    HALF,
    HERE,
    MODELS,
    OPENAI_MEAN,
    OPENAI_STD,
    TEXT,
    VISION,
    clip_preprocessor,
    formula,
    pictures,
    preprocessor,
    randomise,
    rounded,
    token_rows,
    upright,
    write_expected,
)
from open_clip.tokenizer import basic_clean, canonicalize_text
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import save_file
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import MetaClip2Config, MetaClip2Model, SiglipConfig, SiglipModel
from transformers.models.siglip.tokenization_siglip import SiglipTokenizer

TEXTS = json.loads((HERE / "texts.json").read_text())
CONTEXT = 16


def unigram(texts: list[str], special: list[str], template: str) -> tokenizers.Tokenizer:
    """SentencePiece; `special` are the first ids, and the template puts some of them around a text."""
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    used = [(token, id) for id, token in enumerate(special) if token in template.split()]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=used)
    return tokenizer


def gemma() -> tokenizers.Tokenizer:
    """Byte-pair encoding as in SigLIP 2. The file adds a start of text, as Gemma's does, which SigLIP 2 has not."""
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, limit_alphabet=120, show_progress=False
    )
    tokenizer.train_from_iterator([text.lower() for text in TEXTS], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return tokenizer


def padded(tokenizer: tokenizers.Tokenizer, end: int, pad: int, texts: list[str]) -> list[list[int]]:
    """End of text as the last token, cut and padded to the context length."""
    rows = [tokenizer.encode(text, add_special_tokens=False).ids[: CONTEXT - 1] + [end] for text in texts]
    return [row + [pad] * (CONTEXT - len(row)) for row in rows]


def transformers_canonical(text: str) -> str:
    self = SimpleNamespace(do_lower_case=True)
    self.remove_punctuation = lambda part: SiglipTokenizer.remove_punctuation(self, part)
    return SiglipTokenizer.canonicalize_text(self, text)


def make_tokens() -> None:
    # T5's special tokens, as in SigLIP.
    lower = [text.lower() for text in TEXTS]
    one, two = unigram(lower, ["<pad>", "</s>", "<unk>"], "$A </s>"), gemma()
    one.save(str(HERE / "tiny_unigram.json"))
    two.save(str(HERE / "tiny_gemma.json"))
    golden = {
        "siglip_transformers": padded(one, 1, 1, [transformers_canonical(text) for text in TEXTS]),
        "siglip_open_clip": padded(one, 1, 1, [canonicalize_text(basic_clean(text)) for text in TEXTS]),
        "siglip2_transformers": padded(two, 1, 0, [text.lower() for text in TEXTS]),
        "siglip2_open_clip": padded(two, 1, 0, [canonicalize_text(basic_clean(text)) for text in TEXTS]),
    }
    lines = []
    for key, value in golden.items():
        rows = ",\n".join(f"    {json.dumps(row)}" for row in value)
        lines.append(f"  {json.dumps(key)}: [\n{rows}\n  ]")
    (HERE / "tokens_siglip.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def features(reference, image, tokens, image_features, text_features, scale, bias, picture_features) -> dict:
    image_features, text_features = (f / f.norm(dim=-1, keepdim=True) for f in (image_features, text_features))
    logits = scale.exp() * image_features @ text_features.T + (0 if bias is None else bias)
    return {
        "reference": f"{reference}, torch {torch.__version__.split('+')[0]}, float32 on the CPU",
        "image_shape": list(image.shape),
        "tokens": tokens.tolist(),
        "image_features": rounded(image_features),
        "text_features": rounded(text_features),
        "logit_scale": float(scale.reshape(())),
        "logits_per_image": rounded(logits),
        "probabilities": rounded(logits.softmax(dim=-1) if bias is None else logits.sigmoid()),
        "pictures": pictures(),
        "picture_features": [rounded(f / f.norm()) for f in picture_features],
    }


# Every key of OpenCLIP's configs that changes the answer and is implemented: a logit bias, the tanh
# approximation, epsilons, layer scale, a text encoder without mask read at its last place, with a bias.
VARIANTS = {
    "openclip-variants-f32": (
        "f32",
        dict(
            embed_dim=20,
            init_logit_bias=-3,
            vision_cfg=dict(
                VISION,
                pool_type="avg",
                ls_init_value=0.1,
                act_kwargs={"approximate": "tanh"},
                norm_kwargs={"eps": 1e-2},
            ),
            text_cfg=dict(
                TEXT,
                no_causal_mask=True,
                pool_type="last",
                proj_bias=True,
                ls_init_value=0.1,
                act_kwargs={"approximate": "tanh"},
                norm_kwargs={"eps": 1e-2},
            ),
        ),
    ),
    # Read at a token that is not the highest; names with `module.` before them.
    "openclip-eos-f16": (
        "f16",
        dict(embed_dim=12, vision_cfg=VISION, text_cfg=dict(TEXT, pool_type="eos", eos_id=300)),
    ),
    "openclip-first-f16": (
        "f16",
        dict(
            embed_dim=12,
            custom_text=True,
            quick_gelu=True,
            vision_cfg=VISION,
            text_cfg=dict(TEXT, pool_type="first", no_causal_mask=True),
        ),
    ),
}


def write_open_clip(folder: Path, model, dtype: str, config: dict, preprocess: dict, tokens, prefix: str = "") -> None:
    written = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(written, indent=2) + "\n")
    tensors = {
        prefix + key: (value.to(DTYPES[dtype]) if value.dtype.is_floating_point else value).contiguous()
        for key, value in model.state_dict().items()
    }
    save_file(tensors, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    size = config["vision_cfg"]["image_size"]
    image = formula(3, 3, size, size)
    transform = image_transform_v2(PreprocessCfg(size=size, **preprocess), is_train=False)
    expected = features(
        f"open_clip {open_clip.__version__}, timm {timm.__version__}",
        image,
        tokens,
        model.encode_image(image),
        model.encode_text(tokens),
        model.logit_scale,
        model.logit_bias,
        [model.encode_image(transform(upright(name)).unsqueeze(0))[0] for name in pictures()],
    )
    write_expected(folder, expected)


@torch.no_grad()
def make_variant(name: str, seed: int) -> None:
    dtype, config = VARIANTS[name]
    folder = MODELS / name
    folder.mkdir(parents=True)
    arguments = {key: value for key, value in config.items() if key != "custom_text"}
    kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    model = kind(**arguments).eval()
    randomise(model, seed, DTYPES[dtype])
    vocabulary = config["text_cfg"]["vocab_size"]
    tokens = token_rows(CONTEXT, vocabulary, vocabulary - 2, config["text_cfg"].get("eos_id", vocabulary - 1), 0)
    preprocess = dict(mean=OPENAI_MEAN, std=OPENAI_STD, interpolation="bicubic", resize_mode="shortest")
    prefix = "module." if name == "openclip-eos-f16" else ""
    write_open_clip(folder, model, dtype, config, preprocess, tokens, prefix)
    shutil.copy(HERE / "tiny_tokenizer.json", folder / "tokenizer.json")


# The same sizes in both libraries: the text encoder is narrower than the features.
SIGLIP = dict(width=24, heads=3, mlp=40, layers=2, text_width=16, text_heads=2, text_mlp=32, text_layers=2)


@timm.models.register_model
def vit_golden_siglip(pretrained=False, **kwargs):
    from timm.models.vision_transformer import VisionTransformer

    kwargs.pop("pretrained_cfg", None), kwargs.pop("pretrained_cfg_overlay", None), kwargs.pop("cache_dir", None)
    return VisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dim=SIGLIP["width"],
        depth=SIGLIP["layers"],
        num_heads=SIGLIP["heads"],
        mlp_ratio=SIGLIP["mlp"] / SIGLIP["width"],
        class_token=False,
        act_layer="gelu_tanh",
        **kwargs,
    )


@torch.no_grad()
def make_timm(name: str, seed: int, dtype: str) -> None:
    folder = MODELS / name
    folder.mkdir(parents=True)
    vocabulary = tokenizers.Tokenizer.from_file(str(HERE / "tiny_unigram.json")).get_vocab_size()
    config = dict(
        embed_dim=SIGLIP["width"],
        init_logit_bias=-10,
        vision_cfg=dict(image_size=32, timm_model_name="vit_golden_siglip", timm_pool="map", timm_proj="none"),
        text_cfg=dict(
            context_length=CONTEXT,
            vocab_size=vocabulary,
            width=SIGLIP["text_width"],
            heads=SIGLIP["text_heads"],
            layers=SIGLIP["text_layers"],
            mlp_ratio=SIGLIP["text_mlp"] / SIGLIP["text_width"],
            no_causal_mask=True,
            proj_bias=True,
            pool_type="last",
            norm_kwargs={"eps": 1e-6},
            act_kwargs={"approximate": "tanh"},
        ),
    )
    model = open_clip.CustomTextCLIP(**config).eval()
    randomise(model, seed, DTYPES[dtype])
    tokens = torch.tensor(json.loads((HERE / "tokens_siglip.json").read_text())["siglip_open_clip"][:4])
    preprocess = dict(mean=HALF, std=HALF, interpolation="bicubic", resize_mode="squash")
    write_open_clip(folder, model, dtype, config, preprocess, tokens)
    # timm has no model of this size by a name: the test takes the config of its twin.
    (folder / "open_clip_config.json").unlink()


@torch.no_grad()
def make_siglip(name: str, seed: int, dtype: str, tokenizer: str, ids: str) -> None:
    folder = MODELS / name
    folder.mkdir(parents=True)
    vocabulary = tokenizers.Tokenizer.from_file(str(HERE / tokenizer)).get_vocab_size()
    text = dict(
        vocab_size=vocabulary,
        hidden_size=SIGLIP["text_width"],
        projection_size=SIGLIP["width"],
        intermediate_size=SIGLIP["text_mlp"],
        num_hidden_layers=SIGLIP["text_layers"],
        num_attention_heads=SIGLIP["text_heads"],
        max_position_embeddings=CONTEXT,
    )
    vision = dict(
        hidden_size=SIGLIP["width"],
        intermediate_size=SIGLIP["mlp"],
        num_hidden_layers=SIGLIP["layers"],
        num_attention_heads=SIGLIP["heads"],
        image_size=32,
        patch_size=8,
    )
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
    randomise(model, seed, DTYPES[dtype])
    shutil.copy(HERE / tokenizer, folder / "tokenizer.json")
    tokens = torch.tensor(json.loads((HERE / "tokens_siglip.json").read_text())[ids][:4])
    settings = preprocessor("SiglipImageProcessor", dict(height=32, width=32), HALF, HALF)
    write_hugging_face(folder, model, dtype, "siglip", text, vision, {}, settings, tokens)


def write_hugging_face(folder, model, dtype, kind, text, vision, top, settings, tokens, **mask) -> None:
    written = {
        "architectures": [type(model).__name__],
        "model_type": kind,
        **top,
        "text_config": dict(text, model_type=f"{kind}_text_model"),
        "vision_config": dict(vision, model_type=f"{kind}_vision_model"),
    }
    (folder / "config.json").write_text(json.dumps(written, indent=2) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    tensors = {
        key: value.to(DTYPES[dtype]).contiguous()
        for key, value in model.state_dict().items()
        if value.dtype.is_floating_point
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    # What the library itself loads from the folder must be what we computed with.
    loaded = type(model).from_pretrained(folder, dtype=torch.float32).eval()
    for key, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key]), key
    image = formula(3, 3, 32, 32)
    processor_type = settings["image_processor_type"] + "Pil"
    processor = getattr(transformers, processor_type).from_pretrained(folder)

    def from_picture(file: str) -> torch.Tensor:
        pixels = processor(upright(file), return_tensors="pt").pixel_values
        return loaded(pixel_values=pixels, input_ids=tokens, **mask).image_embeds[0]

    outputs = loaded(input_ids=tokens, pixel_values=image, **mask)
    bias = getattr(loaded, "logit_bias", None)
    expected = features(
        f"transformers {transformers.__version__}",
        image,
        tokens,
        outputs.image_embeds,
        outputs.text_embeds,
        loaded.logit_scale,
        bias,
        [from_picture(name) for name in pictures()],
    )
    assert torch.allclose(torch.tensor(expected["logits_per_image"]), outputs.logits_per_image, atol=1e-4)
    write_expected(folder, expected)


@torch.no_grad()
def make_metaclip_2(name: str, seed: int, dtype: str) -> None:
    """CLIP's towers; a text is read at the first 2 in it, which is not the highest id."""
    folder = MODELS / name
    folder.mkdir(parents=True)
    text = dict(
        vocab_size=600,
        hidden_size=16,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
        hidden_act="gelu",
    )
    vision = dict(
        hidden_size=24,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=3,
        image_size=32,
        patch_size=8,
        hidden_act="gelu",
    )
    top = dict(projection_dim=12)
    config = MetaClip2Config(
        text_config=dict(text, **top), vision_config=dict(vision, **top), **top
    )
    model = MetaClip2Model(config).eval()
    randomise(model, seed, DTYPES[dtype])
    shutil.copy(HERE / "tiny_tokenizer.json", folder / "tokenizer.json")
    tokens = token_rows(CONTEXT, 600, 598, 2, 1)
    settings = clip_preprocessor(32)
    write_hugging_face(folder, model, dtype, "metaclip_2", text, vision, top, settings, tokens)


UNIGRAM = ("tiny_unigram.json", "siglip_transformers")
GEMMA = ("tiny_gemma.json", "siglip2_transformers")

OTHERS = {
    # folder: (how it is made, seed, data type, what else that needs)
    "siglip-f32": (make_siglip, 310, "f32", *UNIGRAM),
    "siglip-f16": (make_siglip, 313, "f16", *UNIGRAM),
    "siglip2-f32": (make_siglip, 314, "f32", *GEMMA),
    "siglip2-f16": (make_siglip, 311, "f16", *GEMMA),
    "timm-siglip-f32": (make_timm, 316, "f32"),
    "timm-siglip-f16": (make_timm, 312, "f16"),
    "metaclip2-f32": (make_metaclip_2, 318, "f32"),
    "metaclip2-f16": (make_metaclip_2, 315, "f16"),
}


def make() -> None:
    names = [*VARIANTS, *OTHERS]
    for name in names:
        shutil.rmtree(MODELS / name, ignore_errors=True)
    make_tokens()
    for seed, name in enumerate(VARIANTS):
        make_variant(name, 300 + seed)
    for name, (make_one, *arguments) in OTHERS.items():
        make_one(name, *arguments)
    for name in names:
        for file in (MODELS / name).iterdir():
            file.chmod(0o644)  # safetensors writes 0600
