"""Tiny random models whose image encoder is timm's: EVA02-CLIP, Perception Encoder and MobileCLIP 2.

timm knows no encoders of this size. The config that is written names a published one, whose sizes the tests make
small; what else the name stands for is not touched."""

import functools
import shutil

import open_clip
import timm
import torch
from make_families import CONTEXT, write_open_clip
from make_models import DTYPES, HALF, MODELS, OPENAI_MEAN, OPENAI_STD, TEXT, randomise, token_rows
from timm.layers import LayerNorm
from timm.models.eva import Eva
from timm.models.fastvit import FastVit, RepConditionalPosEnc
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_hybrid import ConvStem, HybridEmbed


def mobile_clip_b(width: int, img_size: int, **kwargs) -> VisionTransformer:
    """As timm makes `vit_base_mci_224`."""
    stem = ConvStem(
        channels=(width // 4, width // 4, width),
        stride=(4, 2, 2),
        kernel_size=(4, 2, 2),
        padding=0,
        act_layer=torch.nn.GELU,
    )
    embed = functools.partial(HybridEmbed, backbone=stem, proj=False)
    return VisionTransformer(
        img_size=img_size, patch_size=1, embed_dim=width, embed_layer=embed, no_embed_class=True, **kwargs
    )


def mobile_clip_s(layers: tuple[int, ...], **kwargs) -> FastVit:
    """As timm makes `fastvit_mci0` and `fastvit_mci2`."""
    return FastVit(
        layers=layers,
        embed_dims=(8, 16, 32, 64),
        mlp_ratios=(3, 3, 3, 3),
        se_downsamples=(False, False, True, True),
        pos_embs=(None, None, None, functools.partial(RepConditionalPosEnc, spatial_shape=(7, 7))),
        token_mixers=("repmixer", "repmixer", "repmixer", "attention"),
        lkc_use_act=True,
        **kwargs,
    )


# Smaller than the published ones, the same for both data types of a family.
TINY = {
    "eva02_base_patch16_clip_224": functools.partial(
        Eva,
        img_size=32,
        patch_size=8,
        embed_dim=24,
        depth=2,
        num_heads=3,
        qkv_fused=False,
        mlp_ratio=4 * 2 / 3,
        swiglu_mlp=True,
        scale_mlp=True,
        scale_attn_inner=True,
        use_rot_pos_emb=True,
        ref_feat_shape=(16, 16),
    ),
    "vit_pe_core_base_patch16_224": functools.partial(
        Eva,
        img_size=32,
        patch_size=8,
        embed_dim=32,
        depth=2,
        num_heads=4,
        attn_type="rope",
        use_pre_transformer_norm=True,
        use_rot_pos_emb=True,
        ref_feat_shape=(14, 14),
        rope_grid_offset=1.0,
        rope_grid_indexing="xy",
        attn_pool_num_heads=8,
        attn_pool_mlp_ratio=4.0,
        norm_layer=lambda *args, **kwargs: LayerNorm(*args, **{"eps": 1e-5, **kwargs}),
    ),
    "vit_base_mci_224": functools.partial(mobile_clip_b, width=24, img_size=48, depth=2, num_heads=3),
    "fastvit_mci0": functools.partial(mobile_clip_s, layers=(1, 2, 1, 2)),
    # The published one is wider too; here both have the smallest width that there can be.
    "fastvit_mci2": functools.partial(mobile_clip_s, layers=(2, 1, 2, 1)),
}
# Sides of their pictures, and of the published ones'.
SIDES = {
    "eva02_base_patch16_clip_224": (32, 224),
    "vit_pe_core_base_patch16_224": (32, 224),
    "vit_base_mci_224": (48, 224),
    "fastvit_mci0": (64, 256),
    "fastvit_mci2": (64, 256),
}

PLAIN = ([0.0] * 3, [1.0] * 3, "bilinear", "shortest")

MODELS_OF_TIMM = {
    # folder: (data type, published name, its pooling, preprocessing)
    "eva02-f32": ("f32", "eva02_base_patch16_clip_224", "token", (OPENAI_MEAN, OPENAI_STD, "bicubic", "shortest")),
    "eva02-f16": ("f16", "eva02_base_patch16_clip_224", "token", (OPENAI_MEAN, OPENAI_STD, "bicubic", "shortest")),
    "pe-core-f32": ("f32", "vit_pe_core_base_patch16_224", "map", (HALF, HALF, "bilinear", "squash")),
    "pe-core-f16": ("f16", "vit_pe_core_base_patch16_224", "map", (HALF, HALF, "bilinear", "squash")),
    "mobileclip-b-f32": ("f32", "vit_base_mci_224", "token", PLAIN),
    "mobileclip-b-f16": ("f16", "vit_base_mci_224", "token", PLAIN),
    "mobileclip-s0-f32": ("f32", "fastvit_mci0", "avg", PLAIN),
    "mobileclip-s0-f16": ("f16", "fastvit_mci0", "avg", PLAIN),
    "mobileclip-s2-f16": ("f16", "fastvit_mci2", "avg", PLAIN),
    "mobileclip-s2-f32": ("f32", "fastvit_mci2", "avg", PLAIN),
}


@functools.cache
def tiny(name: str) -> str:
    """Name by which timm makes the tiny one."""

    def make(pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **kwargs):
        return TINY[name](**kwargs)

    make.__name__ = f"golden_{name}"
    make.__module__ = __name__
    timm.models.register_model(make)
    return make.__name__


__all__ = []  # timm adds the names that it registers


@torch.no_grad()
def make_one(folder_name: str, seed: int) -> None:
    dtype, name, pool, (mean, std, interpolation, resize) = MODELS_OF_TIMM[folder_name]
    folder = MODELS / folder_name
    folder.mkdir(parents=True)
    side, published = SIDES[name]
    vision = dict(image_size=side, timm_model_name=tiny(name), timm_pool=pool, timm_proj=None)
    # Read to the end, padding included, as in MobileCLIP 2 S0 and S2.
    text = dict(TEXT, no_causal_mask=True) if name.startswith("fastvit") else TEXT
    model = open_clip.CustomTextCLIP(embed_dim=12, vision_cfg=vision, text_cfg=text).eval()
    randomise(model, seed, DTYPES[dtype])
    vocabulary = TEXT["vocab_size"]
    tokens = token_rows(CONTEXT, vocabulary, vocabulary - 2, vocabulary - 1, 0)
    preprocess = dict(mean=mean, std=std, interpolation=interpolation, resize_mode=resize)
    config = dict(embed_dim=12, vision_cfg=dict(vision, timm_model_name=name), text_cfg=text, custom_text=True)
    write_open_clip(folder, model, dtype, config, preprocess, tokens)
    written = folder / "open_clip_config.json"
    written.write_text(written.read_text().replace(f'"image_size": {side}', f'"image_size": {published}'))


def make() -> None:
    for seed, name in enumerate(MODELS_OF_TIMM):
        shutil.rmtree(MODELS / name, ignore_errors=True)
        make_one(name, 330 + seed)
        for file in (MODELS / name).iterdir():
            file.chmod(0o644)  # safetensors writes 0600
