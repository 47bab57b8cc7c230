"""Tiny random models whose image encoder is timm's: EVA02-CLIP and Perception Encoder.

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

# Smaller than the published ones, the same for both data types of a family.
TINY = {
    "eva02_base_patch16_clip_224": dict(
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
    "vit_pe_core_base_patch16_224": dict(
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
}

MODELS_OF_TIMM = {
    # folder: (data type, published name, its pooling, preprocessing)
    "eva02-f32": ("f32", "eva02_base_patch16_clip_224", "token", (OPENAI_MEAN, OPENAI_STD, "bicubic", "shortest")),
    "eva02-f16": ("f16", "eva02_base_patch16_clip_224", "token", (OPENAI_MEAN, OPENAI_STD, "bicubic", "shortest")),
    "pe-core-f32": ("f32", "vit_pe_core_base_patch16_224", "map", (HALF, HALF, "bilinear", "squash")),
    "pe-core-f16": ("f16", "vit_pe_core_base_patch16_224", "map", (HALF, HALF, "bilinear", "squash")),
}


@functools.cache
def tiny(name: str) -> str:
    """Name by which timm makes the tiny one."""

    def make(pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **kwargs):
        return Eva(img_size=32, patch_size=8, **TINY[name], **kwargs)

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
    vision = dict(image_size=32, timm_model_name=tiny(name), timm_pool=pool, timm_proj=None)
    model = open_clip.CustomTextCLIP(embed_dim=12, vision_cfg=vision, text_cfg=TEXT).eval()
    randomise(model, seed, DTYPES[dtype])
    vocabulary = TEXT["vocab_size"]
    tokens = token_rows(CONTEXT, vocabulary, vocabulary - 2, vocabulary - 1, 0)
    preprocess = dict(mean=mean, std=std, interpolation=interpolation, resize_mode=resize)
    config = dict(embed_dim=12, vision_cfg=dict(vision, timm_model_name=name), text_cfg=TEXT, custom_text=True)
    write_open_clip(folder, model, dtype, config, preprocess, tokens)
    written = folder / "open_clip_config.json"
    size = int(name.rsplit("_", 1)[1])
    written.write_text(written.read_text().replace('"image_size": 32', f'"image_size": {size}'))


def make() -> None:
    for seed, name in enumerate(MODELS_OF_TIMM):
        shutil.rmtree(MODELS / name, ignore_errors=True)
        make_one(name, 330 + seed)
        for file in (MODELS / name).iterdir():
            file.chmod(0o644)  # safetensors writes 0600
