"""CLIP with the modified ResNet, under the names that OpenCLIP's weights have, for training on a GPU."""

import json
from collections import OrderedDict
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn


class QuickGelu(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, pooling where the stride is 2, 1 x 1; all convolutions have stride 1."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        # A new block changes nothing at first.
        nn.init.zeros_(self.bn3.weight)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.downsample = None
        if stride > 1 or channels != 4 * width:
            self.downsample = nn.Sequential(OrderedDict([
                ("-1", nn.AvgPool2d(stride)),
                ("0", nn.Conv2d(channels, 4 * width, 1, bias=False)),
                ("1", nn.BatchNorm2d(4 * width)),
            ]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.pool(F.relu(self.bn2(self.conv2(x))))
        return F.relu(self.bn3(self.conv3(x)) + residual)


class AttentionPool(nn.Module):
    """Attention whose one query is the mean."""

    def __init__(self, grid: int, channels: int, heads: int, embed_dim: int):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(grid * grid + 1, channels) / channels**0.5)
        self.k_proj, self.q_proj, self.v_proj = (nn.Linear(channels, channels) for _ in range(3))
        self.c_proj = nn.Linear(channels, embed_dim)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + self.positional_embedding

        def heads(y: torch.Tensor) -> torch.Tensor:
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q, k, v = self.q_proj(x[:, :1]), self.k_proj(x), self.v_proj(x)
        pooled = F.scaled_dot_product_attention(heads(q), heads(k), heads(v))
        return self.c_proj(pooled.transpose(1, 2).flatten(1))


class ModifiedResNet(nn.Module):
    """Stem of three convolutions, four stages, attention pool."""

    def __init__(self, config: dict, embed_dim: int):
        super().__init__()
        width = config["width"]
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        channels = width
        for stage, blocks in enumerate(config["layers"]):
            inner = width * 2**stage
            layers = []
            for block in range(blocks):
                layers.append(Bottleneck(channels, inner, 2 if stage > 0 and block == 0 else 1))
                channels = 4 * inner
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        heads = width * 32 // config.get("head_width", 64)
        self.attnpool = AttentionPool(config["image_size"] // 32, channels, heads, embed_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(norm(conv(x)))
        x = F.avg_pool2d(x, 2)
        return self.attnpool(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


class ResidualAttentionBlock(nn.Module):
    def __init__(self, width: int, heads: int, mlp_ratio: float):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        inner = int(width * mlp_ratio)
        self.mlp = nn.Sequential(OrderedDict([
            ("c_fc", nn.Linear(width, inner)), ("gelu", QuickGelu()), ("c_proj", nn.Linear(inner, width)),
        ]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        attn, y = self.attn, self.ln_1(x)
        q, k, v = F.linear(y, attn.in_proj_weight, attn.in_proj_bias).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2) for part in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + attn.out_proj(y.transpose(1, 2).flatten(2))
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, layers: int, *args):
        super().__init__()
        self.resblocks = nn.ModuleList(ResidualAttentionBlock(*args) for _ in range(layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.resblocks:
            x = block(x)
        return x


class Clip(nn.Module):
    """Image encoder and text encoder into one space."""

    def __init__(self, config: dict):
        super().__init__()
        text, embed_dim = config["text_cfg"], config["embed_dim"]
        width = text["width"]
        self.visual = ModifiedResNet(config["vision_cfg"], embed_dim)
        self.transformer = Transformer(text["layers"], width, text["heads"], text.get("mlp_ratio", 4.0))
        self.token_embedding = nn.Embedding(text["vocab_size"], width)
        self.positional_embedding = nn.Parameter(torch.randn(text["context_length"], width) * 0.01)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, embed_dim) * width**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(2.6592))
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def encode_text(self, tokens: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        x = self.ln_final(self.transformer(x))
        return x[torch.arange(len(x), device=x.device), end] @ self.text_projection

    def forward(self, images: torch.Tensor, tokens: torch.Tensor, end: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        image_features = F.normalize(self.visual(images).float(), dim=-1)
        return image_features, F.normalize(self.encode_text(tokens, end).float(), dim=-1)


def opened(folder: Path, layers: list[int] | None) -> tuple[Clip, dict]:
    """The model in OpenCLIP's files and its configuration, with more blocks in its stages where `layers` says so; a
    block that the file lacks begins as one that changes nothing."""
    config = json.loads((folder / "open_clip_config.json").read_text())
    if layers:
        config["model_cfg"]["vision_cfg"]["layers"] = layers
    model = Clip(config["model_cfg"])
    weights = load_file(folder / "open_clip_model.safetensors")
    missing, unexpected = model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    new = [key for key in missing if not key.startswith("visual.layer") and not key.endswith("num_batches_tracked")]
    if new or unexpected:
        raise SystemExit(f"{folder} does not fit: missing {new}, unexpected {unexpected}")
    return model, config


def saved(state: dict, config: dict, folder: Path) -> None:
    """The weights as f16 in OpenCLIP's files."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        key: value.detach().cpu().half().contiguous()
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }
    save_file(weights, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2))
