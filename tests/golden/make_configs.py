"""Features of tiny models whose configs have other values than those that they were made with: what a value means to
open_clip and transformers, or `null` where they refuse it. `configs.json` has a line for each change."""

import copy
import json
from pathlib import Path

import open_clip
import torch
import transformers
from make_models import formula, rounded
from safetensors.torch import load_file
from transformers import (
    ChineseCLIPConfig,
    ChineseCLIPModel,
    CLIPConfig,
    CLIPModel,
    MetaClip2Config,
    MetaClip2Model,
    SiglipConfig,
    SiglipModel,
)

HERE = Path(__file__).parent
MODELS = HERE / "models"

ACTIVATIONS = ["gelu", "quick_gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu"]
OPEN_CLIP = {
    "/model_cfg/quick_gelu": [True, False],
    "/model_cfg/vision_cfg/head_width": [4, 6, 12, 24, 5],
    "/model_cfg/vision_cfg/pool_type": ["tok", "avg", "none"],
    "/model_cfg/vision_cfg/act_kwargs": [{}, {"approximate": "none"}, {"approximate": "tanh"}],
    "/model_cfg/vision_cfg/norm_kwargs": [{}, {"eps": 1e-6}, {"eps": 0.1}],
    "/model_cfg/text_cfg/heads": [1, 4, 8, 3],
    "/model_cfg/text_cfg/pool_type": ["argmax", "first", "last", "eos", "none"],
    "/model_cfg/text_cfg/eos_id": [11, 165, 22],
    "/model_cfg/text_cfg/no_causal_mask": [True, False],
    "/model_cfg/text_cfg/act_kwargs": [{}, {"approximate": "none"}, {"approximate": "tanh"}],
    "/model_cfg/text_cfg/norm_kwargs": [{}, {"eps": 1e-6}, {"eps": 0.1}],
    "/model_cfg/text_cfg/context_length": [8, 32],
}
HUGGING_FACE = {
    "/text_config/hidden_act": ACTIVATIONS,
    "/text_config/layer_norm_eps": [1e-5, 1e-2],
    "/text_config/num_attention_heads": [1, 4, 8, 3],
    "/text_config/eos_token_id": [2, 11, 165, 22],
    "/text_config/max_position_embeddings": [8, 32],
    "/vision_config/hidden_act": ACTIVATIONS,
    "/vision_config/layer_norm_eps": [1e-6, 1e-2],
    "/vision_config/num_attention_heads": [1, 2, 6, 5],
    "/vision_config/image_size": [16, 64],
}
# Folder: its keys, and how the reference opens it.
FOLDERS = {
    "openclip-variants-f32": OPEN_CLIP,
    "openclip-quick-f32": OPEN_CLIP,
    "openclip-eos-f16": OPEN_CLIP,
    "hf-gelu-f16": HUGGING_FACE,
    "siglip-f32": HUGGING_FACE,
    "metaclip2-f32": HUGGING_FACE,
    "chinese-clip-f32": HUGGING_FACE,
}
CLASSES = {
    "clip": (CLIPConfig, CLIPModel),
    "siglip": (SiglipConfig, SiglipModel),
    "metaclip_2": (MetaClip2Config, MetaClip2Model),
    "chinese_clip": (ChineseCLIPConfig, ChineseCLIPModel),
}


def changed(config: dict, path: str, value) -> dict:
    config = copy.deepcopy(config)
    *parents, key = path.split("/")[1:]
    part = config
    for parent in parents:
        part = part[parent]
    part[key] = value
    return config


def inputs(size: int, context: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As in tests/files.rs."""
    return formula(1, 3, size, size), torch.tensor([[11 * i % 300 for i in range(context)]])


def filled(model: torch.nn.Module, weights: Path) -> torch.nn.Module:
    tensors = {name.removeprefix("module."): value for name, value in load_file(weights).items()}
    tensors = {name: v.float() if v.is_floating_point() else v for name, v in tensors.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    if [name for name in missing if not name.endswith("position_ids")] or unexpected:
        raise ValueError("the weights are of another model")
    return model.eval()


def by_open_clip(folder: Path, config: dict) -> tuple[torch.Tensor, torch.Tensor]:
    arguments = {key: value for key, value in config["model_cfg"].items() if key != "custom_text"}
    model = filled(open_clip.CLIP(**arguments), folder / "open_clip_model.safetensors")
    image, ids = inputs(arguments["vision_cfg"]["image_size"], arguments["text_cfg"]["context_length"])
    return model.encode_image(image, normalize=True), model.encode_text(ids, normalize=True)


def by_transformers(folder: Path, config: dict) -> tuple[torch.Tensor, torch.Tensor]:
    kind, model = CLASSES[config["model_type"]]
    config = {key: value for key, value in config.items() if key not in ("torch_dtype", "architectures")}
    model = filled(model(kind.from_dict(config)), folder / "model.safetensors")
    text, vision = model.config.text_config, model.config.vision_config
    image, ids = inputs(vision.image_size, text.max_position_embeddings)
    both = model(pixel_values=image, input_ids=ids, attention_mask=torch.ones_like(ids))
    return both.image_embeds, both.text_embeds


@torch.no_grad()
def make() -> None:
    lines = []
    for name, changes in FOLDERS.items():
        folder = MODELS / name
        file = "open_clip_config.json" if changes is OPEN_CLIP else "config.json"
        reference = by_open_clip if changes is OPEN_CLIP else by_transformers
        config = json.loads((folder / file).read_text())
        for path, values in changes.items():
            for value in values:
                row = {"model": name, "path": path, "value": value, "features": None}
                try:
                    features = reference(folder, changed(config, path, value))
                    assert all(f.ndim == 2 for f in features), "not one feature for a text or an image"
                    row["features"] = [rounded(f)[0] for f in features]
                except Exception as error:  # whatever it is refused with
                    print(f"{name} {path} = {value}: {type(error).__name__}: {str(error)[:80]}")
                lines.append(json.dumps(row))
    versions = f"open_clip {open_clip.__version__}, transformers {transformers.__version__}"
    reference = json.dumps(f"{versions}, torch {torch.__version__.split('+')[0]}, float32 on the CPU")
    rows = ",\n  ".join(lines)
    (HERE / "configs.json").write_text(f'{{"reference": {reference}, "changes": [\n  {rows}\n]}}\n')
