"""Models with random weights, written twice: for us, and for ONNX Runtime.

    python benches/rival/make_models.py DIR [--models tiny-ViT,tiny-RN,ViT-B-32,RN50]

Needs what requirements.txt beside this file names. DIR/NAME gets OpenCLIP's two files,
and image.onnx and text.onnx with the same numbers. What is there is kept.

The ONNX files are made as transformers.js's scripts/convert.py makes the ones that are
published for it: transformers' own modules (the ResNet, which transformers does not
have, is open_clip's) through optimum, which calls PyTorch's TorchScript exporter, at
opset 14 (optimum's choice while those files were written; 18 lately: at either,
ONNX Runtime's optimiser ends at the same graph), then onnxslim. Only standard
operators: ONNX Runtime fuses LayerNorm, QuickGELU and what else it knows when it loads
them. Like those files, they end before the features are brought to unit length.
image_quantized.onnx and text_quantized.onnx are their 8-bit forms, made as that project's
scripts/quantize.py makes its `q8` ones: weights of 8 bits, and what they are multiplied with
brought to 8 bits while it runs."""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxslim
import open_clip
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch.nn.functional import cosine_similarity
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from reference import save, shaken  # noqa: E402

OPSET = 14

# Small enough for a GPU that is imitated; CLIP's own vocabulary, so that they need no tokenizer.
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2}
TINY = {
    "tiny-ViT": {"image_size": 64, "patch_size": 8, "width": 256, "layers": 4, "head_width": 64},
    "tiny-RN": {"image_size": 64, "patch_size": None, "width": 32, "layers": [1, 1, 1, 1], "head_width": 64},
}
MODELS = [*TINY, "ViT-B-32", "RN50"]

# Names of open_clip's parameters -> transformers'.
PROJECTIONS = {"proj": "visual_projection.weight", "text_projection": "text_projection.weight"}
NAMES = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "token_embedding.": "embeddings.token_embedding.",
    "conv1.": "embeddings.patch_embedding.",
    "ln_pre.": "pre_layrnorm.",
    "ln_post.": "post_layernorm.",
    "ln_final.": "final_layer_norm.",
    "transformer.resblocks.": "encoder.layers.",
    ".attn.out_proj.": ".self_attn.out_proj.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
}


class Only(torch.nn.Module):
    """A tower of transformers' that returns one of its outputs."""

    def __init__(self, tower, output):
        super().__init__()
        self.tower, self.output = tower, output

    def forward(self, values):
        return self.tower(values)[self.output]


def configuration(name):
    config = open_clip.get_model_config(name) or {"embed_dim": 128, "vision_cfg": TINY[name], "text_cfg": TEXT}
    return {**config, "quick_gelu": True}


def renamed(state, tower):
    """A tower's parameters as transformers' module of it calls them."""
    result = {}
    for key, values in state.items():
        if key in PROJECTIONS:
            result[PROJECTIONS[key]] = values.T
            continue
        for old, new in NAMES.items():
            key = key.replace(old, new)
        if ".attn.in_proj_" in key:
            for part, third in zip("qkv", values.chunk(3)):
                result[f"{tower}." + key.replace(".attn.in_proj_", f".self_attn.{part}_proj.")] = third
        else:
            result[f"{tower}.{key}"] = values
    return result


def image_tower(model, config):
    vision = config["vision_cfg"]
    if isinstance(vision["layers"], list):
        return model.visual
    tower = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=vision["width"],
            intermediate_size=4 * vision["width"],
            num_hidden_layers=vision["layers"],
            num_attention_heads=vision["width"] // vision.get("head_width", 64),
            image_size=vision["image_size"],
            patch_size=vision["patch_size"],
            projection_dim=config["embed_dim"],
        )
    )
    tower.load_state_dict(renamed(model.visual.state_dict(), "vision_model"))
    return Only(tower.eval(), "image_embeds")


def text_tower(model, config):
    text = config["text_cfg"]
    tower = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=text["vocab_size"],
            hidden_size=text["width"],
            intermediate_size=4 * text["width"],
            num_hidden_layers=text["layers"],
            num_attention_heads=text["heads"],
            max_position_embeddings=text["context_length"],
            projection_dim=config["embed_dim"],
            eos_token_id=2,  # as OpenAI's models say; it means the highest id
        )
    )
    names = ("token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")
    state = {key: values for key, values in model.state_dict().items() if key.startswith(names)}
    tower.load_state_dict(renamed(state, "text_model"))
    return Only(tower.eval(), "text_embeds")


def export(module, example, names, path):
    with tempfile.TemporaryDirectory() as scratch:
        raw = str(Path(scratch, "raw.onnx"))
        torch.onnx.export(
            module,
            (example,),
            raw,
            dynamo=False,
            opset_version=OPSET,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "batch_size"} for name in names},
        )
        onnx.save(onnxslim.slim(raw), path)


def quantize(path):
    """The 8-bit form of an ONNX file beside it."""
    quantized = path.with_name(f"{path.stem}_quantized.onnx")
    if quantized.exists():
        return
    convolutions = any(node.op_type == "Conv" for node in onnx.load(path).graph.node)
    quantize_dynamic(
        path,
        quantized,
        # ONNX Runtime Web has signed 8-bit numbers for matrices only.
        weight_type=QuantType.QUInt8 if convolutions else QuantType.QInt8,
        extra_options={"EnableSubgraph": True, "MatMulConstBOnly": True},
    )


def check(path, values, expected):
    """The file says what open_clip says."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: values.numpy()})[0]
    cosine = cosine_similarity(torch.from_numpy(np.asarray(found)), expected).min().item()
    assert cosine > 0.99999, f"{path}: cosine {cosine}"
    return cosine


@torch.no_grad()
def make(name, folder):
    torch.manual_seed(0)
    config = configuration(name)
    model = shaken(open_clip.CLIP(**config)).eval()
    size, text = config["vision_cfg"]["image_size"], config["text_cfg"]
    images = torch.randn(3, 3, size, size)
    tokens = torch.randint(1, text["vocab_size"] - 1, (3, text["context_length"]))
    tokens[:, -1] = text["vocab_size"] - 1
    towers = {
        "image": (image_tower(model, config), images, model.encode_image, ["pixel_values", "image_embeds"]),
        "text": (text_tower(model, config), tokens, model.encode_text, ["input_ids", "text_embeds"]),
    }
    save(folder, config, model, torch.float32)
    for kind, (module, values, encode, names) in towers.items():
        path = folder / f"{kind}.onnx"
        export(module, values[:2], names, path)
        print(f"{name}: {kind}.onnx, cosine to open_clip {check(path, values, encode(values)):.7f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")  # the exporter's, about itself and about shapes that never change
    # PyTorch's fused attention has no counterpart in ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    for name in arguments.models.split(","):
        folder = arguments.folder / name
        if not folder.exists():
            arguments.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=arguments.folder) as new:
                make(name, Path(new, name))
                Path(new, name).rename(folder)  # whole, or not at all
        for kind in ["image", "text"]:
            quantize(folder / f"{kind}.onnx")


if __name__ == "__main__":
    main()
