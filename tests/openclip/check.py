"""The command line that scripts/openclip_train.py prints, run with two processes on the CPU.

    venv/bin/python tests/openclip/check.py

Wants the packages of tests/golden/requirements.txt and those that open_clip_torch[training] adds
(pandas, webdataset, braceexpand). A tiny model and 16 made-up pairs; not run by scripts/test, since
those packages are large.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "openclip_train.py"
CONFIG = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
PAIRS = 16
# As training here reports it.
REPORT = {
    "method": "full",
    "settings": {
        "method": "full",
        "learning_rate": 1e-3,
        "warmup_steps": 1,
        "weight_decay": 0.2,
        "image_tower": {"Last": 1},
        "text_tower": "Whole",
        "gradient_checkpointing": False,
        "seed": 3,
    },
}
# open_clip_train 3.3 names a device to DistributedDataParallel, which on the CPU refuses that; on GPUs
# this is not needed.
ON_THE_CPU = """
import sys
import torch

whole = torch.nn.parallel.DistributedDataParallel
torch.nn.parallel.DistributedDataParallel = lambda model, device_ids=None, **rest: whole(model, **rest)

from open_clip_train.main import main

main(sys.argv[1:])
"""


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    model = folder / "model"
    model.mkdir()
    torch.manual_seed(0)
    before = open_clip.CLIP(**CONFIG).state_dict()
    save_file({k: v.contiguous() for k, v in before.items()}, model / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    (model / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": preprocess}))
    (folder / "report.json").write_text(json.dumps(REPORT))
    rows = ["image,caption"]
    for n in range(PAIRS):
        pixels = np.random.default_rng(n).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.png")
        rows.append(f"{folder}/{n}.png,picture number {n}")
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")

    line = [sys.executable, str(SCRIPT), str(model), "--report", str(folder / "report.json")]
    line += ["--data", str(folder / "pairs.csv"), "--batch-size", "8", "--micro-batch", "2", "--epochs", "2"]
    line += ["--processes", "2", "--device", "cpu"]
    printed = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    print(printed)
    command = shlex.split(printed)
    # This interpreter's torchrun, and its packages; workers would only take time.
    command[:1] = [sys.executable, "-m", "torch.distributed.run"]
    command += ["--workers", "0", "--name", "check"]
    (folder / "on_the_cpu.py").write_text(ON_THE_CPU)
    place = command.index("open_clip_train.main")
    command[place - 1 : place + 1] = [str(folder / "on_the_cpu.py")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stdout[-4000:] + run.stderr[-4000:])
    for log in run.stderr.splitlines():
        if "Train Epoch" in log:
            print(log)

    settings = (folder / "logs" / "check" / "params.txt").read_text().splitlines()
    settings = dict(setting.split(": ", 1) for setting in settings)
    expected = {"lr": "0.001", "beta2": "0.98", "eps": "1e-06", "wd": "0.2", "warmup": "1", "grad_clip_norm": "1.0"}
    expected |= {"world_size": "2", "batch_size": "2", "accum_freq": "2", "lock_image": "True", "seed": "3"}
    for name, value in expected.items():
        assert settings[name] == value, (name, settings[name], value)
    after = torch.load(folder / "logs" / "check" / "checkpoints" / "epoch_2.pt", weights_only=False)["state_dict"]
    after = {name.removeprefix("module."): value for name, value in after.items()}
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    learns = ("visual.transformer.resblocks.1.", "visual.ln_post", "visual.proj")
    assert all(not name.startswith("visual.") or name.startswith(learns) for name in changed), changed
    assert any(name.startswith(learns) for name in changed) and "token_embedding.weight" in changed
    print("Two processes trained what they were told to, as they were told to.")


if __name__ == "__main__":
    main()
