"""Image-text data for pre-training on a GPU: what `src/train/pretrain/data.rs` reads, packed for a machine elsewhere.

    data.py --data ~/.cache/clip/photos ~/.cache/clip/drawings --out PACK [--part-megabytes 44] [--limit 10]

writes `concepts.json` (names and images of every class, the first --limit of them) and `images-N.zip`, no part larger
than asked for.
"""

import argparse
import io
import json
import random
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

WORDINGS = json.loads((Path(__file__).resolve().parents[2] / "src/train/pretrain/wordings.json").read_text())
# How many concepts of drawings may share a keyword that is used as a caption: others say too little.
KEYWORD_CONCEPTS = 3
KINDS = {"none": 0, "photo": 1, "drawing": 2}


def concepts_of(folders: list[Path]) -> list[dict]:
    """Concepts of all folders' `train.jsonl`, by set; styles of drawings make one set. Drawings that one style
    alone has are left out: they cannot be learnt in any other."""
    concepts = []
    for folder in folders:
        lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
        members: dict[tuple[str, str], list[dict]] = {}
        for line in lines:
            group = line["style"] if line.get("kind") == "photo" else ""
            members.setdefault((group, line["concept"]), []).append(line)
        used: dict[str, int] = {}
        for images in members.values():
            for text in images[0]["texts"] + images[0]["texts_zh"]:
                used[text] = used.get(text, 0) + 1
        for (group, _), images in sorted(members.items()):
            first = images[0]
            kind = first.get("kind", "drawing")
            if len(images) < 2:
                continue

            def names(texts: list[str]) -> list[str]:
                return texts[:1] + [t for t in texts[1:] if kind == "photo" or used[t] <= KEYWORD_CONCEPTS]

            concepts.append({
                "kind": kind,
                "set": group,
                "names": names(first["texts"]),
                "names_zh": names(first["texts_zh"]),
                "broader": first.get("broader", []),
                "broader_zh": first.get("broader_zh", []),
                "labels": sorted({
                    text.lower()
                    for key in ("texts", "texts_zh", "broader", "broader_zh")
                    for text in first.get(key, [])
                }),
                "images": [str(folder / image["image"]) for image in images],
            })
    return concepts


def recoded(path: str) -> bytes:
    """A photograph's bytes as they are; a drawing's as lossless WebP, which is half of a PNG."""
    if not path.endswith(".png"):
        return Path(path).read_bytes()
    out = io.BytesIO()
    Image.open(path).convert("RGBA").save(out, "WEBP", lossless=True, method=4)
    return out.getvalue()


def pack(folders: list[Path], out: Path, part_bytes: int, limit: int | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    concepts = concepts_of(folders)
    part, size, archive = 0, part_bytes, None
    with ProcessPoolExecutor() as pool:
        for index, concept in enumerate(concepts):
            stored = []
            for number, data in enumerate(pool.map(recoded, concept["images"][:limit], chunksize=16)):
                if size + len(data) + 200 > part_bytes:
                    if archive:
                        archive.close()
                    archive, size, part = zipfile.ZipFile(out / f"images-{part}.zip", "w"), 0, part + 1
                name = f"{index}/{number}.webp"
                archive.writestr(name, data)
                size += len(data) + 200
                stored.append([part - 1, name])
            concept["images"] = stored
    archive.close()
    (out / "concepts.json").write_text(json.dumps(concepts, ensure_ascii=False))
    print(f"{sum(len(c['images']) for c in concepts)} images of {len(concepts)} concepts in {part} parts")


def template(kind: str, rng: random.Random) -> str:
    """A prompt template in English that names `kind` or "none", as `templates.rs` puts it together."""
    words = WORDINGS
    if rng.random() < 0.3:
        return rng.choice(words["default"][kind])
    article = rng.choice(words["articles"])
    if kind == "none" and rng.random() < 0.5:
        text = rng.choice(words["other"])
    else:
        of_image = rng.choice(words["images_are"]) + " " if rng.random() < 0.4 else ""
        of_label = rng.choice(words["things_are"]) + " " if rng.random() < 0.12 else ""
        text = f"a {of_image}{rng.choice(words['nouns'][kind])} of {article}{of_label}{{label}}"
    if text.startswith("a ") and text[2] in "aeiou":
        text = "an" + text[1:]
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:]
    return text + "." if rng.random() < 0.7 else text


def caption(concept: dict, rng: random.Random) -> tuple[str, str, str]:
    """A caption, the label in it, and the kind of image that its template names."""
    chinese = bool(concept["names_zh"]) and rng.random() < 0.18
    names, broader = (concept[key + "_zh" * chinese] for key in ("names", "broader"))
    name, synonyms = names[0], names[1:]
    chance = rng.random()
    label = name
    if chance < 0.18:
        label = rng.choice(synonyms or [name])
    elif chance < 0.32:
        label = rng.choice(broader or [name])
    if rng.random() >= 0.72:
        return label, label, "none"
    kind = concept["kind"] if rng.random() < 0.65 else "none"
    if chinese:
        text = rng.choice(WORDINGS["chinese"][kind]) + ("。" if rng.random() < 0.4 else "")
    else:
        text = template(kind, rng)
    return text.replace("{label}", label), label, kind


@dataclass
class Captions:
    """Captions drawn in advance, `per_concept` of each concept."""

    tokens: np.ndarray  # [concepts, per_concept, context_length], padded with 0
    end: np.ndarray  # [concepts, per_concept], place of the end-of-text token
    label: np.ndarray  # [concepts, per_concept], number of the label
    kind: np.ndarray  # [concepts, per_concept], KINDS
    true_of: np.ndarray  # [concepts, labels]: whether the label is true of the concept's images
    narrower: np.ndarray  # [concepts, concepts]: whether the column's images may be what the row is

    @classmethod
    def draw(cls, concepts: list[dict], tokenizer, context_length: int, per_concept: int, seed: int) -> "Captions":
        rng = random.Random(seed)
        drawn = [caption(concept, rng) for concept in concepts for _ in range(per_concept)]
        numbers: dict[str, int] = {}
        for concept in concepts:
            for label in concept["labels"] + [n.lower() for n in concept["names"]]:
                numbers.setdefault(label, len(numbers))
        encodings = tokenizer.encode_batch([text for text, _, _ in drawn])
        tokens = np.zeros((len(drawn), context_length), np.int16)
        end = np.zeros(len(drawn), np.int64)
        for row, encoding in enumerate(encodings):
            ids = encoding.ids
            if len(ids) > context_length:
                ids = ids[: context_length - 1] + ids[-1:]
            tokens[row, : len(ids)] = ids
            end[row] = len(ids) - 1
        true_of = np.zeros((len(concepts), len(numbers)), bool)
        for row, concept in enumerate(concepts):
            true_of[row, [numbers[label] for label in concept["labels"]]] = True
        first = [numbers[concept["names"][0].lower()] for concept in concepts]
        shape = (len(concepts), per_concept)
        return cls(
            tokens=tokens.reshape(*shape, context_length),
            end=end.reshape(shape),
            label=np.array([numbers[label.lower()] for _, label, _ in drawn]).reshape(shape),
            kind=np.array([KINDS[kind] for _, _, kind in drawn]).reshape(shape),
            true_of=true_of,
            # Images of the column's concept may be the row's: a cat may be an Egyptian cat.
            narrower=true_of[:, first].T.copy(),
        )


def shares(concepts: list[dict]) -> dict[str, float]:
    """Share of every set in a batch, by the cube root of images times concepts."""
    weights = {}
    for name in sorted({concept["set"] for concept in concepts}):
        members = [concept for concept in concepts if concept["set"] == name]
        images = sum(len(concept["images"]) for concept in members)
        weights[name] = (images * len(members)) ** (1 / 3)
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--part-megabytes", type=float, default=1e6)
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    pack([folder.expanduser() for folder in args.data], args.out, int(args.part_megabytes * 1e6), args.limit)


if __name__ == "__main__":
    main()
