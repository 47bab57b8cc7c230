"""Training steps of tiny models as open_clip takes them, with PyTorch's AdamW.

Model, loss, parameter groups, schedule, clipping and the cap of the temperature are those of
open_clip_train (its parameter groups stand in the middle of a function and are repeated here).
"""

import json
import math
from pathlib import Path

import open_clip
import torch
from open_clip_train.scheduler import cosine_lr
from safetensors.torch import load_file, save_file

from make_models import formula

HERE = Path(__file__).parent
TRAINING = HERE / "training"
PAIRS = 8
STEPS = 6

# Which of models/, and how it is trained: the ViTs' and the ResNets' settings of the paper, but for the
# learning rate and a clipping that acts. Adam divides by the gradient's size: where that is hardly more
# than rounding (1e-8 and less), it is the ResNets' epsilon that keeps rounding from being a step, and the
# shorter clipping that leaves it something to do. The ViT's clipping acts in the first steps only: Adam does
# not see a factor that all of its gradients have.
RUNS = {
    "vit": dict(model="openclip-quick-f32", beta1=0.9, beta2=0.98, epsilon=1e-6, clip_norm=4.0),
    "resnet": dict(model="openclip-resnet-f16", beta1=0.9, beta2=0.999, epsilon=1e-8, clip_norm=0.1),
    # Starts just below the cap of the temperature, with pairs for which it wants to rise.
    "capped": dict(model="openclip-quick-f32", beta1=0.9, beta2=0.98, epsilon=1e-6, clip_norm=1.0, logit_scale=math.log(99.99)),
}
COMMON = dict(weight_decay=0.2, learning_rate=1e-3, warmup_steps=2, steps=10)


def texts(context: int, vocabulary: int) -> torch.Tensor:
    """Eight different texts of one to eight words."""
    rows = []
    for text in range(PAIRS):
        words = [(37 * (word + 1) * (text + 3)) % (vocabulary - 4) + 1 for word in range(text + 1)]
        rows.append(([vocabulary - 2, *words, vocabulary - 1] + [0] * context)[:context])
    return torch.tensor(rows)


def optimizer(model: torch.nn.Module, settings: dict) -> torch.optim.Optimizer:
    """As open_clip_train/main.py makes it."""

    def spared(name: str, parameter: torch.Tensor) -> bool:
        return parameter.ndim < 2 or "bn" in name or "ln" in name or "bias" in name or "logit_scale" in name

    named = list(model.named_parameters())
    return torch.optim.AdamW(
        [
            {"params": [p for n, p in named if spared(n, p)], "weight_decay": 0.0},
            {"params": [p for n, p in named if not spared(n, p)], "weight_decay": settings["weight_decay"]},
        ],
        lr=settings["learning_rate"],
        betas=(settings["beta1"], settings["beta2"]),
        eps=settings["epsilon"],
    )


def matching(model: torch.nn.Module, images: torch.Tensor, tokens: torch.Tensor) -> tuple:
    """The two images and two texts that the model takes for pairs most clearly, but not so that nothing is left to learn."""
    with torch.no_grad():
        image_features, text_features, scale = model(images, tokens)
        likeness = scale * image_features @ text_features.T
    found = []
    for i in range(len(images)):
        for j in range(i + 1, len(images)):
            for a in range(len(tokens)):
                for b in range(len(tokens)):
                    if a == b:
                        continue
                    square = likeness[[i, i, j, j], [a, b, a, b]].tolist()
                    margin = min(square[0] - square[1], square[0] - square[2], square[3] - square[1], square[3] - square[2])
                    found.append((margin, [i, j], [a, b]))
    # The temperature's gradient vanishes with a large margin.
    margin, pictures, words = max(pair for pair in found if pair[0] < 3)
    assert margin > 0.5, margin
    return pictures, words


def keep(model: torch.nn.Module, file: str) -> None:
    """Every parameter and running statistic."""
    after = {k: v.clone().contiguous() for k, v in model.state_dict().items() if v.is_floating_point()}
    TRAINING.mkdir(exist_ok=True)
    save_file(after, TRAINING / file, metadata={"format": "pt"})
    (TRAINING / file).chmod(0o644)


def make_run(name: str) -> None:
    settings = RUNS[name] | COMMON
    folder = HERE / "models" / settings["model"]
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    model = open_clip.CLIP(**config)
    weights = load_file(folder / "open_clip_model.safetensors")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    model.train()
    size, text = config["vision_cfg"]["image_size"], config["text_cfg"]
    images = formula(PAIRS, 3, size, size)
    tokens = texts(text["context_length"], text["vocab_size"])
    pictures = list(range(PAIRS))
    if "logit_scale" in settings:
        with torch.no_grad():
            model.logit_scale.fill_(settings["logit_scale"])
        pictures, words = matching(model, images, tokens)
        images, tokens = images[pictures], tokens[words]

    loss_of = open_clip.ClipLoss()
    adamw = optimizer(model, settings)
    schedule = cosine_lr(adamw, settings["learning_rate"], settings["warmup_steps"], settings["steps"])
    losses, norms, scales = [], [], []
    for step in range(STEPS):
        schedule(step)
        adamw.zero_grad()
        image_features, text_features, scale = model(images, tokens)
        loss = loss_of(image_features, text_features, scale)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip_norm"], norm_type=2.0).item())
        adamw.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        losses.append(loss.item())
        scales.append(scale.item())
        if step == 0 and "logit_scale" not in settings:
            keep(model, f"{name}.safetensors")
    if "logit_scale" not in settings:
        keep(model, f"{name}-{STEPS}.safetensors")
    expected = {
        "reference": f"open_clip {open_clip.__version__}, torch {torch.__version__.split('+')[0]}, float32 on the CPU",
        **settings,
        "image_shape": list(images.shape),
        "pictures": pictures,
        "tokens": tokens.tolist(),
        "losses": losses,
        "scales": scales,
        "gradient_norms": norms,
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in expected.items()]
    (TRAINING / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def make() -> None:
    for name in RUNS:
        make_run(name)
