"""What scripts/openclip_train.py carries over from a report, and what it refuses.

    python3 -m unittest tests/openclip/test_command_line.py
"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "openclip_train.py"
VIT = {"layers": 2, "width": 32, "patch_size": 8, "image_size": 32}
RESNET = {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64}
SETTINGS = {
    "method": "full",
    "batch_size": 64,
    "epochs": 7,
    "learning_rate": 1e-4,
    "warmup_steps": 11,
    "weight_decay": 0.1,
    "image_tower": "Whole",
    "text_tower": "Frozen",
    "temperature": True,
    "seed": 3,
}


class CommandLine(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_script(self, *options: str, vision: dict = VIT, vocabulary: int = 49408, settings: dict | None = None):
        config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": {"vocab_size": vocabulary}}
        (self.folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
        (self.folder / "open_clip_model.safetensors").write_bytes(b"")
        line = [sys.executable, str(SCRIPT), str(self.folder), "--data", "pairs.csv", *options]
        if settings is not None:
            (self.folder / "report.json").write_text(json.dumps({"settings": settings}))
            line += ["--report", str(self.folder / "report.json")]
        return subprocess.run(line, capture_output=True, text=True)

    def printed(self, *options: str, **more) -> str:
        done = self.run_script(*options, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def refused(self, *options: str, **more) -> str:
        done = self.run_script(*options, **more)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        return done.stderr

    def test_the_report_is_carried_over(self) -> None:
        line = self.printed(settings=SETTINGS)
        for part in ("--batch-size 64 ", "--epochs 7 ", "--lr 0.0001 ", "--warmup 11 ", "--wd=0.1 ", "--seed 3 ", "--lock-text"):
            self.assertIn(part, line)
        self.assertNotIn("--lock-image", line)

    def test_options_come_before_the_report(self) -> None:
        line = self.printed("--batch-size", "32", "--epochs", "2", settings=SETTINGS)
        self.assertIn("--batch-size 32 ", line)
        self.assertIn("--epochs 2 ", line)

    def test_without_a_report_it_is_the_papers(self) -> None:
        line = self.printed("--processes", "8")
        self.assertIn("--batch-size 4096 ", line)
        self.assertIn("--epochs 32 ", line)

    def test_a_tokenizer_of_its_own_is_refused(self) -> None:
        self.assertIn("does not read tokenizer.json", self.refused(vocabulary=8192))
        bundled = [sys.executable, str(SCRIPT), str(ROOT / "assets" / "model"), "--data", "pairs.csv"]
        done = subprocess.run(bundled, capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("vocabulary of its own", done.stderr)

    def test_what_openclip_cannot_do_is_refused(self) -> None:
        for changed, vision, words in (
            ({"method": "lora"}, VIT, "has no LoRA"),
            ({"method": "probe"}, VIT, "of a classifier"),
            ({"temperature": False}, VIT, "always trains the temperature"),
            ({}, RESNET, "batch statistics"),
            ({"image_tower": {"Last": 1}}, RESNET, "batch statistics"),
        ):
            self.assertIn(words, self.refused(vision=vision, settings=SETTINGS | changed))

    def test_a_resnet_that_is_frozen_or_trained_from_scratch_is_not(self) -> None:
        line = self.printed(vision=RESNET, settings=SETTINGS | {"image_tower": "Frozen", "text_tower": "Whole"})
        self.assertIn("--lock-image --lock-image-freeze-bn-stats", line)
        self.assertIn("torchrun", self.printed(vision=RESNET, settings=SETTINGS | {"method": "pretrain"}))

    def test_what_is_no_report_is_named(self) -> None:
        (self.folder / "list.json").write_text("[]")
        self.assertIn("is no report", self.refused("--report", str(self.folder / "list.json")))


if __name__ == "__main__":
    unittest.main()
