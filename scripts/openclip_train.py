#!/usr/bin/env python3
"""Print the command line that trains a model on in OpenCLIP, with many processes or machines.

    scripts/openclip_train.py MODEL --report report.json --data pairs.csv [--processes 8] [--nodes 4]

MODEL is a folder in OpenCLIP's files (`open_clip_config.json`, `open_clip_model.safetensors`), as
training here writes it. The settings in the report become OpenCLIP's own: batch, epochs, learning rate,
warm-up, cosine, decay, clipping, frozen towers. What the report does not say is the paper's. What
OpenCLIP cannot do is refused: a tokenizer of the model's own, LoRA, a temperature that stays, batch
statistics that stay while their ResNet learns.

The batch is the whole one, over all processes; where a process cannot hold its share, --micro-batch
says what it can, and OpenCLIP takes the rest in turns (--accum-freq).
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

PAPER = {"batch_size": 32768, "epochs": 32, "learning_rate": 5e-4, "warmup_steps": 2000, "weight_decay": 0.2}
# Of CLIP's own vocabulary, the only one that OpenCLIP takes for a model in a folder.
VOCABULARY = 49408
# AdamW's betas and epsilon, by kind of image encoder: the paper's, and what training here takes.
VIT, RESNET = (0.9, 0.98, 1e-6), (0.9, 0.999, 1e-8)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", required=True, help="CSV or TSV of picture paths and captions, or webdataset shards")
    parser.add_argument("--examples", type=int, help="how many the data has (webdataset has to be told)")
    parser.add_argument("--report", type=Path, help="report.json of a run")
    parser.add_argument("--batch-size", type=int, help="pairs of a step, over all processes (the report's, or the paper's)")
    parser.add_argument("--micro-batch", type=int, help="pairs that a process computes at once")
    parser.add_argument("--epochs", type=int, help="(the report's, or the paper's)")
    parser.add_argument("--processes", type=int, default=1, help="on each machine, one for each GPU")
    parser.add_argument("--nodes", type=int, default=1, help="machines")
    parser.add_argument("--master", default="localhost:29500", help="address of the first machine")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--image-key", default="image")
    parser.add_argument("--caption-key", default="caption")
    return parser.parse_args()


def locks(settings: dict, resnet: bool) -> list[str]:
    """OpenCLIP counts unlocked groups: the projection alone, then with the last block, and so on."""
    if settings.get("method") == "lora":
        sys.exit("OpenCLIP has no LoRA: train on without --report, or parts of the model here first")
    if settings.get("method") in ("probe", "adapter"):
        sys.exit(f"the report is that of a classifier ({settings['method']}), not of a model: leave --report out")
    if settings.get("temperature") is False:
        sys.exit("OpenCLIP always trains the temperature, which this run did not: train on here, or leave --report out")
    if settings.get("method") != "full":
        return []
    flags = []
    if resnet and settings["image_tower"] != "Frozen":
        sys.exit("OpenCLIP trains a ResNet's batch statistics, which stay as they are here: train on here, or leave --report out")
    for tower, unit in (("image", "groups"), ("text", "layers")):
        learns = settings[f"{tower}_tower"]
        if learns == "Whole":
            continue
        flags.append(f"--lock-{tower}")
        if isinstance(learns, dict):
            # The projection is a group of its own, and the last layer norm goes with the last block.
            flags += [f"--lock-{tower}-unlocked-{unit}", str(learns["Last"] + 1)]
        if tower == "image":
            flags.append("--lock-image-freeze-bn-stats")
    return flags


def command(args: argparse.Namespace) -> list[str]:
    config_file = args.model / "open_clip_config.json"
    if not config_file.is_file() or not (args.model / "open_clip_model.safetensors").is_file():
        sys.exit(f"{args.model} holds no open_clip_config.json with an open_clip_model.safetensors")
    config = json.loads(config_file.read_text())["model_cfg"]
    vocabulary = config["text_cfg"].get("vocab_size", VOCABULARY)
    if vocabulary != VOCABULARY and "hf_tokenizer_name" not in config["text_cfg"]:
        sys.exit(
            f"the model has a vocabulary of its own, of {vocabulary} tokens: OpenCLIP does not read tokenizer.json "
            f"and would give it ids up to {VOCABULARY - 1}. Train it on here"
        )
    resnet = isinstance(config["vision_cfg"]["layers"], list)
    beta1, beta2, epsilon = RESNET if resnet else VIT
    report = json.loads(args.report.read_text()) if args.report else {"settings": {}}
    if not isinstance(report, dict) or "settings" not in report:
        sys.exit(f"{args.report} is no report of a training: it has no settings")
    settings = PAPER | report["settings"]
    batch_size = settings["batch_size"] if args.batch_size is None else args.batch_size
    epochs = settings["epochs"] if args.epochs is None else args.epochs

    world = args.processes * args.nodes
    share, rest = divmod(batch_size, world)
    if rest or share == 0:
        sys.exit(f"a batch of {batch_size} cannot be shared among {world} processes")
    at_once = min(args.micro_batch or share, share)
    turns, rest = divmod(share, at_once)
    if rest:
        sys.exit(f"a process's {share} pairs cannot be taken {at_once} at once")

    line = ["torchrun", f"--nproc_per_node={args.processes}", f"--nnodes={args.nodes}"]
    if args.nodes > 1:
        line += ["--rdzv_backend=c10d", f"--rdzv_endpoint={args.master}"]
    else:
        line += ["--standalone"]
    line += ["-m", "open_clip_train.main"]
    line += ["--model", f"local-dir:{args.model}"]
    line += ["--train-data", args.data]
    if Path(args.data).suffix in (".csv", ".tsv"):
        separator = "\t" if args.data.endswith(".tsv") else ","
        line += ["--dataset-type", "csv", "--csv-separator", separator]
        line += ["--csv-img-key", args.image_key, "--csv-caption-key", args.caption_key]
    else:
        line += ["--dataset-type", "webdataset"]
        if args.examples is None:
            sys.exit("say with --examples how many pairs the shards hold")
    if args.examples is not None:
        line += ["--train-num-samples", str(args.examples)]
    line += ["--batch-size", str(at_once), "--accum-freq", str(turns), "--epochs", str(epochs)]
    line += ["--lr", f"{settings['learning_rate']:g}", "--warmup", str(settings["warmup_steps"])]
    line += ["--lr-scheduler", "cosine", "--opt", "adamw"]
    line += [f"--beta1={beta1:g}", f"--beta2={beta2:g}", f"--eps={epsilon:g}"]
    line += [f"--wd={settings['weight_decay']:g}", "--grad-clip-norm", "1"]
    if settings.get("gradient_checkpointing"):
        line += ["--grad-checkpointing"]
    line += locks(settings, resnet)
    # Every process sees the features of all: the loss of the whole batch, as here.
    line += ["--local-loss", "--gather-with-grad"]
    # No --logs: torchrun takes it for one of its own. They come into ./logs.
    line += ["--seed", str(settings.get("seed", 0))]
    if args.device == "cpu":
        line += ["--device", "cpu", "--dist-backend", "gloo", "--precision", "fp32"]
    else:
        line += ["--precision", "amp"]
    return line


if __name__ == "__main__":
    print(shlex.join(command(arguments())))
