"""Dense image features of the tiny models: what ClearCLIP, MaskCLIP and the value path of SigLIP's pooling give
for each place, at the model's size and at another, for which the position embeddings are interpolated."""

import json

import open_clip
import torch
import torch.nn.functional as F
from make_models import HERE, MODELS, formula, rounded
from safetensors.torch import load_file
from transformers import SiglipModel

# Rows and columns of places: the model's, and others.
GRIDS = {
    "openclip-quick-f32": [[4, 4], [3, 6]],
    "openclip-variants-f32": [[4, 4], [5, 3]],
    "openclip-resnet-f16": [[2, 2], [3, 5]],
    "siglip-f32": [[4, 4], [6, 3]],
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


@torch.no_grad()
def dense(name: str, grid: list[int]) -> dict:
    folder = MODELS / name
    if name.startswith("siglip"):
        visual, features, step = SiglipModel.from_pretrained(folder).eval().vision_model, siglip, 8
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
