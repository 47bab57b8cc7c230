"""Tests of the data side: sets, captions, and which of them are no negatives."""

import json
import random
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import data  # noqa: E402


def line(image: str, style: str, concept: str, texts: list[str], broader: list[str] = (), photo: bool = True) -> dict:
    kind = {"kind": "photo"} if photo else {}
    return {"image": image, "style": style, "concept": concept, "name": texts[0], "texts": texts,
            "texts_zh": ["猫"] if "cat" in texts[0] else [], "broader": list(broader), "broader_zh": [], **kind}


class Encoding:
    def __init__(self, text: str):
        self.ids = [1] + [10 + len(word) for word in text.split()] + [2]


class Words:
    def encode_batch(self, texts: list[str]) -> list[Encoding]:
        return [Encoding(text) for text in texts]


class DataTest(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        lines = [
            line("a.png", "tiny", "Egyptian cat", ["Egyptian cat"], ["cat", "animal"]),
            line("b.png", "tiny", "Egyptian cat", ["Egyptian cat"], ["cat", "animal"]),
            line("a.png", "cifar", "cat", ["cat"], ["animal"]),
            line("b.png", "cifar", "cat", ["cat"], ["animal"]),
            line("a.png", "noto", "1f415", ["dog", "pet"], photo=False),
            line("b.png", "twemoji", "1f415", ["dog", "pet"], photo=False),
            line("a.png", "noto", "alone", ["unicorn"], photo=False),
        ]
        (self.folder / "train.jsonl").write_text("\n".join(json.dumps(one) for one in lines))
        for name in ("a.png", "b.png"):
            Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(self.folder / name)
        self.concepts = data.concepts_of([self.folder])

    def tearDown(self):
        self.temporary.cleanup()

    def test_styles_make_one_set_and_what_one_style_alone_draws_is_left_out(self):
        self.assertEqual([c["names"][0] for c in self.concepts], ["dog", "cat", "Egyptian cat"])
        self.assertEqual([c["set"] for c in self.concepts], ["", "cifar", "tiny"])
        self.assertAlmostEqual(sum(data.shares(self.concepts).values()), 1)

    def test_a_broader_name_is_no_negative(self):
        captions = data.Captions.draw(self.concepts, Words(), 12, 200, seed=3)
        dog, cat, egyptian = range(3)
        labels = sorted({label for c in self.concepts for label in c["labels"] + [n.lower() for n in c["names"]]})
        self.assertEqual(captions.true_of.shape, (3, len(labels)))
        # "cat" is true of an Egyptian cat, and a cat may be one; neither is a dog.
        self.assertTrue(captions.narrower[cat, egyptian])
        self.assertFalse(captions.narrower[egyptian, cat])
        self.assertFalse(captions.narrower[dog, cat])
        own = np.take_along_axis(captions.true_of, captions.label, 1)
        self.assertTrue(own.all(), "a caption's label is true of its own images")
        self.assertTrue((captions.tokens[..., 0] == 1).all())
        ends = np.take_along_axis(captions.tokens, captions.end[..., None], 2)
        self.assertTrue((ends == 2).all(), "long captions keep their end")

    def test_templates_name_their_kind(self):
        rng = random.Random(1)
        for kind in ("none", "photo", "drawing"):
            for text in {data.template(kind, rng) for _ in range(2000)}:
                self.assertEqual(text.count("{label}"), 1, text)
                self.assertEqual("photo" in text.lower(), kind == "photo", text)
                self.assertFalse(text.lower().startswith(("a image", "a old", "a icon")), text)

    def test_a_pack_keeps_every_image_within_parts(self):
        out = self.folder / "pack"
        data.pack([self.folder], out, part_bytes=600, limit=None)
        packed = json.loads((out / "concepts.json").read_text())
        self.assertEqual([len(c["images"]) for c in packed], [2, 2, 2])
        self.assertGreater(len(list(out.glob("images-*.zip"))), 1)


if __name__ == "__main__":
    unittest.main()
