"""Training steps of tiny models of other families than CLIP's own, as their libraries and PyTorch's AdamW take them.

transformers computes the loss of its models, open_clip's losses are its own. Dropout is off. `training/families.json`
has what came of it, and the names of the layers that PEFT adapts."""

import json
import math
from pathlib import Path

import open_clip
import peft
import timm
import torch
import transformers
from make_bert import CONTEXT, tiny_xlm_roberta
from make_models import formula
from make_timm import MODELS_OF_TIMM, SIDES, tiny
from make_training import COMMON, PAIRS, STEPS, TRAINING
from open_clip.loss import SigLipLoss
from open_clip_train.scheduler import cosine_lr
from safetensors.torch import load_file
from transformers import ChineseCLIPModel, SiglipModel

MODELS = Path(__file__).parent / "models"
# Weight decay is not tried: which parameters it spares differs with the number of their axes, which differs with the
# library.
SETTINGS = COMMON | dict(weight_decay=0.0, beta1=0.9, beta2=0.98, epsilon=1e-6, clip_norm=4.0)


def texts(vocabulary: int, pad: int) -> torch.Tensor:
    """Eight texts of one to eight words between a start and an end, padded."""
    rows = []
    for text in range(PAIRS):
        words = [(37 * (word + 1) * (text + 3)) % (vocabulary - 8) + 4 for word in range(text + 1)]
        rows.append(([vocabulary - 2, *words, vocabulary - 1] + [pad] * CONTEXT)[:CONTEXT])
    return torch.tensor(rows)


def of_transformers(kind: type, name: str, masked: bool):
    model = kind.from_pretrained(MODELS / name, dtype=torch.float32).eval()
    tokens = texts(model.config.text_config.vocab_size, 0)
    mask = dict(attention_mask=(tokens != 0).long()) if masked else {}

    def loss(images: torch.Tensor) -> torch.Tensor:
        return model(input_ids=tokens, pixel_values=images, return_loss=True, **mask).loss

    return model, tokens, loss


def of_open_clip(name: str):
    folder = MODELS / name
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    config.pop("custom_text", None)
    pad = 0
    if name in MODELS_OF_TIMM:
        published = config["vision_cfg"]["timm_model_name"]
        config["vision_cfg"] |= dict(timm_model_name=tiny(published), image_size=SIDES[published][0])
        model = open_clip.CustomTextCLIP(**config)
    elif "hf_model_name" in config["text_cfg"]:
        pad = 1
        model = xlm_roberta(folder, config["embed_dim"])
    else:
        model = open_clip.CLIP(**config)
    model.load_state_dict(load_file(folder / "open_clip_model.safetensors"))
    model.eval()
    tokens = texts(config["text_cfg"].get("vocab_size") or model.text.vocab_size, pad)
    loss_of = open_clip.ClipLoss() if model.logit_bias is None else SigLipLoss()

    def loss(images: torch.Tensor) -> torch.Tensor:
        return loss_of(*model(images, tokens))

    return model, tokens, loss


def xlm_roberta(folder: Path, embed_dim: int) -> open_clip.CustomTextCLIP:
    words = "text.transformer.embeddings.word_embeddings.weight"
    weights = load_file(folder / "open_clip_model.safetensors")
    return tiny_xlm_roberta(weights[words].shape[0], embed_dim)


RUNS = {
    "siglip-f32": lambda name: of_transformers(SiglipModel, name, masked=False),
    "chinese-clip-f32": lambda name: of_transformers(ChineseCLIPModel, name, masked=True),
    "openclip-variants-f32": of_open_clip,
    "openclip-xlm-roberta-f32": of_open_clip,
    "eva02-f32": of_open_clip,
    "pe-core-f32": of_open_clip,
}


def run(name: str) -> dict:
    model, tokens, loss_of = RUNS[name](name)
    side = getattr(getattr(model, "config", None), "vision_config", None)
    size = side.image_size if side else 32
    images = formula(PAIRS, 3, size, size)
    sigmoid = getattr(model, "logit_bias", None) is not None
    adamw = torch.optim.AdamW(
        model.parameters(),
        lr=SETTINGS["learning_rate"],
        betas=(SETTINGS["beta1"], SETTINGS["beta2"]),
        eps=SETTINGS["epsilon"],
        weight_decay=SETTINGS["weight_decay"],
    )
    schedule = cosine_lr(adamw, SETTINGS["learning_rate"], SETTINGS["warmup_steps"], SETTINGS["steps"])
    losses, norms, scales = [], [], []
    for step in range(STEPS):
        schedule(step)
        adamw.zero_grad()
        loss = loss_of(images)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["clip_norm"]).item())
        losses.append(loss.item())
        scales.append(model.logit_scale.exp().item())
        adamw.step()
        if not sigmoid:
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
    result = dict(tokens=tokens.tolist(), losses=losses, scales=scales, gradient_norms=norms)
    if hasattr(model, "config"):
        layers = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and ".layer" in n]
        adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=layers))
        result["lora"] = sorted(peft.get_peft_model_state_dict(adapted))
    return result


def make() -> None:
    versions = f"open_clip {open_clip.__version__}, timm {timm.__version__}, transformers {transformers.__version__}"
    expected = {"reference": f"{versions}, torch {torch.__version__.split('+')[0]}, float32 on the CPU", **SETTINGS}
    expected["runs"] = {name: run(name) for name in RUNS}
    lines = json.dumps(expected, indent=1)
    (TRAINING / "families.json").write_text(lines + "\n")

