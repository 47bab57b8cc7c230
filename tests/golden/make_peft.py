"""A LoRA adapter as PEFT writes it, and the features that transformers computes with it."""

import json
import shutil
from pathlib import Path

import peft
import torch
import transformers
from transformers import CLIPModel

from make_models import formula, rounded

HERE = Path(__file__).parent
ADAPTER = HERE / "training" / "peft"
MODEL = "hf-legacy-eos-f32"


@torch.no_grad()
def make() -> None:
    base = CLIPModel.from_pretrained(HERE / "models" / MODEL, dtype=torch.float32)
    # Query and value but not key, of both towers; and one layer of the MLP.
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj", "out_proj", "fc1"])
    model = peft.get_peft_model(base, config).eval()
    generator = torch.Generator().manual_seed(4)
    for name, value in model.named_parameters():
        if "lora_" in name:
            value.copy_(torch.randn(value.shape, generator=generator) * 0.2)
    shutil.rmtree(ADAPTER, ignore_errors=True)
    model.save_pretrained(ADAPTER)
    (ADAPTER / "README.md").unlink(missing_ok=True)
    written = json.loads((ADAPTER / "adapter_config.json").read_text())
    written |= {"base_model_name_or_path": MODEL, "target_modules": sorted(written["target_modules"])}
    (ADAPTER / "adapter_config.json").write_text(json.dumps(written, indent=2) + "\n")

    tokens = torch.tensor(json.loads((HERE / "models" / MODEL / "expected.json").read_text())["tokens"])
    image = formula(3, 3, 32, 32)
    features = model(input_ids=tokens, pixel_values=image)
    expected = {
        "reference": f"peft {peft.__version__}, transformers {transformers.__version__}",
        "model": MODEL,
        "tokens": tokens.tolist(),
        "image_features": rounded(features.image_embeds),
        "text_features": rounded(features.text_embeds),
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in expected.items()]
    (ADAPTER / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    for file in ADAPTER.iterdir():
        file.chmod(0o644)
