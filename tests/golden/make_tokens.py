"""Texts and the token ids that open_clip and transformers give for them."""

import gzip
import json
from pathlib import Path

import open_clip
import open_clip.tokenizer
import transformers
from transformers import CLIPTokenizer

HERE = Path(__file__).parent
# The tiny vocabulary has the 512 byte tokens, these merges, start and end of text.
TINY_VOCABULARY = 600

# Any language, any accident: what people type and paste.
TEXTS = json.loads((HERE / "texts.json").read_text())


def vocabulary(size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's vocabulary as Hugging Face writes it, cut to `size` entries with the special ones at the end."""
    with gzip.open(open_clip.tokenizer.default_bpe(), "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 1 + size - 512 - 2]]
    characters = list(open_clip.tokenizer.bytes_to_unicode().values())
    entries = characters + [c + "</w>" for c in characters] + ["".join(merge) for merge in merges]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    assert len(entries) == size
    return {entry: id for id, entry in enumerate(entries)}, merges


def hugging_face(size: int) -> CLIPTokenizer:
    entries, merges = vocabulary(size)
    return CLIPTokenizer(vocab=entries, merges=merges, model_max_length=77)


def open_clip_ids(length: int) -> list[list[int]]:
    """Without the padding, which is 0; no text ends with that."""
    rows = open_clip.tokenize(TEXTS, context_length=length).tolist()
    return [row[: max(i for i, id in enumerate(row) if id != 0) + 1] for row in rows]


def hugging_face_ids(tokenizer: CLIPTokenizer, length: int) -> list[list[int]]:
    return tokenizer(TEXTS, truncation=True, max_length=length)["input_ids"]


def make() -> None:
    tiny = hugging_face(TINY_VOCABULARY)
    entries, merges = vocabulary(TINY_VOCABULARY)
    written = json.loads(tiny.backend_tokenizer.to_str())
    (HERE / "tiny_tokenizer.json").write_text(json.dumps(written, ensure_ascii=False) + "\n")
    folder = HERE / "tiny_vocabulary"
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(entries, ensure_ascii=False) + "\n")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))

    golden = {
        "reference": f"open_clip {open_clip.__version__}, transformers {transformers.__version__}",
        "texts": TEXTS,
        "open_clip_77": open_clip_ids(77),
        "open_clip_16": open_clip_ids(16),
        "hugging_face_77": hugging_face_ids(hugging_face(49408), 77),
        "hugging_face_tiny_24": hugging_face_ids(tiny, 24),
    }
    lines = []
    for key, value in golden.items():
        if isinstance(value, list):
            rows = ",\n".join(f"    {json.dumps(row, ensure_ascii=True)}" for row in value)
            lines.append(f"  {json.dumps(key)}: [\n{rows}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    (HERE / "tokens.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
