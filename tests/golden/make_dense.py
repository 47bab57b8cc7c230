"""Dense image features of the tiny models: what ClearCLIP, MaskCLIP and the value path of SigLIP's pooling give
for each place, at the model's size and at another, for which the position embeddings are interpolated."""

import json

import open_clip
import torch
import torch.nn.functional as F
from make_models import HERE, MODELS, formula, rounded
from make_timm import MODELS_OF_TIMM, SIDES, tiny
from safetensors.torch import load_file
from timm.layers import apply_rot_embed_cat
from transformers import SiglipModel

# Rows and columns of places: the model's, and others.
GRIDS = {
    "openclip-quick-f32": [[4, 4], [3, 6]],
    "openclip-variants-f32": [[4, 4], [5, 3]],
    "openclip-resnet-f16": [[2, 2], [3, 5]],
    "siglip-f32": [[4, 4], [6, 3]],
    "eva02-f32": [[4, 4], [3, 6]],
    "pe-core-f32": [[4, 4], [5, 3]],
    "mobileclip-b-f32": [[3, 3], [2, 4]],
    "mobileclip-s0-f32": [[2, 2], [3, 2]],
}


def positions(embedding: torch.Tensor, first: int, grid: list[int]) -> torch.Tensor:
    """`[first + side², width]` for another grid; the first rows stay."""
    side = round((len(embedding) - first) ** 0.5)
    places = embedding[first:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    places = F.interpolate(places, size=grid, mode="bilinear", align_corners=False)
    return torch.cat([embedding[:first], places.permute(0, 2, 3, 1).flatten(0, 2)])


def query_attention(attention: torch.nn.MultiheadAttention, x: torch.Tensor) -> torch.Tensor:
    """Self-attention in which queries attend to queries."""
    length, width = x.shape
    heads = attention.num_heads
    query, _, value = F.linear(x, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)
    query, value = (part.reshape(length, heads, -1).transpose(0, 1) for part in (query, value))
    weights = (query @ query.transpose(1, 2) * (width // heads) ** -0.5).softmax(dim=-1)
    return attention.out_proj((weights @ value).transpose(0, 1).reshape(length, width))


def vit(visual, image: torch.Tensor) -> torch.Tensor:
    x = visual.conv1(image)
    grid = list(x.shape[2:])
    x = torch.cat([visual.class_embedding[None], x[0].flatten(1).T])
    x = visual.ln_pre(x + positions(visual.positional_embedding, 1, grid))
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = block(x[None])[0]
    x = last.ls_1(query_attention(last.attn, last.ln_1(x)))
    return visual.ln_post(x[1:]) @ visual.proj


def resnet(visual, image: torch.Tensor) -> torch.Tensor:
    x = visual.stem(image)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        x = layer(x)
    pool = visual.attnpool
    tokens = x[0].flatten(1).T + positions(pool.positional_embedding, 1, list(x.shape[2:]))[1:]
    return pool.c_proj(pool.v_proj(tokens))


def siglip(visual, image: torch.Tensor) -> torch.Tensor:
    embeddings = visual.embeddings
    x = embeddings.patch_embedding(image)
    grid = list(x.shape[2:])
    x = x.flatten(2).transpose(1, 2) + positions(embeddings.position_embedding.weight, 0, grid)
    x = visual.post_layernorm(visual.encoder(inputs_embeds=x).last_hidden_state)[0]
    head = visual.head
    width = x.shape[-1]
    value = F.linear(x, head.attention.in_proj_weight[-width:], head.attention.in_proj_bias[-width:])
    x = head.attention.out_proj(value)
    return x + head.mlp(head.layernorm(x))


def embed_timm(trunk, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Tokens `[1, tokens, width]` and their rotary positions."""
    patches = trunk.patch_embed
    x = patches.backbone(image) if hasattr(patches, "backbone") else patches.proj(image)
    grid = list(x.shape[2:])
    x = x.flatten(2).transpose(1, 2)
    if trunk.no_embed_class:
        x = torch.cat([trunk.cls_token, x + positions(trunk.pos_embed[0], 0, grid)], dim=1)
    else:
        x = torch.cat([trunk.cls_token, x], dim=1) + positions(trunk.pos_embed[0], 1, grid)
    rope = getattr(trunk, "rope", None)
    if rope is None:
        return trunk.norm_pre(x), None
    rope.update_feat_shape(grid)
    return trunk.norm_pre(x), rope.get_embed()


def vit_of_timm(visual, image: torch.Tensor) -> torch.Tensor:
    """The last block without residual and MLP, its queries attending to queries; or each patch pooled by itself."""
    trunk = visual.trunk
    x, rope = embed_timm(trunk, image)
    options = {} if rope is None else dict(rope=rope)
    *blocks, last = trunk.blocks
    for block in blocks:
        x = block(x, **options)
    pool = trunk.attn_pool
    if pool is not None:
        x = trunk.norm(last(x, **options))[0, 1:]
        x = pool.proj(pool.kv(x)[:, x.shape[-1] :])
        return trunk.head(x + pool.mlp(pool.norm(x)))
    x = last.norm1(x)[0]
    attention = last.attn
    if hasattr(attention, "q_proj"):
        query, value = attention.q_proj(x), attention.v_proj(x)
    else:
        query, _, value = attention.qkv(x).chunk(3, dim=-1)
    length, width = x.shape
    query, value = (part.reshape(length, attention.num_heads, -1).transpose(0, 1) for part in (query, value))
    if rope is not None:
        query = torch.cat([query[:, :1], apply_rot_embed_cat(query[:, 1:], rope)], dim=1)
    weights = (query @ query.transpose(1, 2) * query.shape[-1] ** -0.5).softmax(dim=-1)
    x = attention.proj(attention.norm((weights @ value).transpose(0, 1).reshape(length, width)))
    return trunk.head(trunk.norm(x[1:]))


def fast_vit(visual, image: torch.Tensor) -> torch.Tensor:
    trunk = visual.trunk
    return trunk.head.fc(trunk.forward_features(image)[0].flatten(1).T)


@torch.no_grad()
def dense(name: str, grid: list[int]) -> dict:
    folder = MODELS / name
    if name.startswith("siglip"):
        visual, features, step = SiglipModel.from_pretrained(folder).eval().vision_model, siglip, 8
    elif name in MODELS_OF_TIMM:
        config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
        published = config["vision_cfg"]["timm_model_name"]
        vision = dict(config["vision_cfg"], timm_model_name=tiny(published), image_size=SIDES[published][0])
        model = open_clip.CustomTextCLIP(embed_dim=config["embed_dim"], vision_cfg=vision, text_cfg=config["text_cfg"])
        model.load_state_dict(load_file(folder / "open_clip_model.safetensors"))
        visual = model.eval().visual
        features, step = {"fastvit_mci0": (fast_vit, 32), "vit_base_mci_224": (vit_of_timm, 16)}.get(
            published, (vit_of_timm, 8)
        )
    else:
        config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
        model = open_clip.CLIP(**config).eval()
        weights = load_file(folder / "open_clip_model.safetensors")
        model.load_state_dict({key: value.float() for key, value in weights.items()}, strict=False)
        visual = model.visual
        features, step = (resnet, 32) if "resnet" in name else (vit, 8)
    places = features(visual, formula(1, 3, grid[0] * step, grid[1] * step))
    return {"grid": grid, "features": rounded(places / places.norm(dim=-1, keepdim=True))}


def make() -> None:
    found = {name: [dense(name, grid) for grid in grids] for name, grids in GRIDS.items()}
    lines = [f"  {json.dumps(name)}: {json.dumps(cases)}" for name, cases in found.items()]
    (HERE / "dense.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
