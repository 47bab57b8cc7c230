#!/usr/bin/env python3
"""Prepare the photographs that the bundled model is trained on.

    python scripts/photos/fetch.py --out ~/.cache/clip/photos [--source DIR | --public] [--sets SET,SET]

Takes the sets as labels.csv and zips of WebP in --source (../shared/photos where that is
there). Without such a folder, or with --public, downloads them from their public homes
(sets.py; needs Pillow: pip install -r scripts/drawings/requirements.txt). Writes, under --out:

    SET/NAME.webp     the photographs
    train.jsonl       one line per training photograph, with its names
    held_out.jsonl    the same for the part that is never trained on
    SET.csv           the held-out part as `clip evaluate --data` reads it, English labels
    SET-zh.csv        the same with Chinese labels

Names, synonyms, broader words and Chinese names: classes.csv beside this script.
"""

import argparse
import csv
import json
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared" / "photos"


# Photographs of people who can be recognised.
NOT_TRAINED_ON = {("caltech-101", "face")}


def fail(message):
    sys.exit(f"error: {message}")


def split(field):
    return [text for text in field.split("|") if text]


def unique(texts):
    """Each text once, whatever its case."""
    return list({text.lower(): text for text in reversed(texts)}.values())[::-1]


def classes():
    with open(HERE / "classes.csv", encoding="utf-8", newline="") as file:
        return {(row["set"], row["label"]): row for row in csv.DictReader(file)}


def unpack(source, out, wanted):
    for packed in sorted(source.glob("*.zip")):
        if wanted and packed.stem.rpartition("-")[0] not in wanted:  # SET-1.zip
            continue
        with zipfile.ZipFile(packed) as archive:
            names = archive.namelist()
            if all((out / name).exists() for name in names):
                continue
            print(f"unpacking {packed.name}: {len(names)} photographs", flush=True)
            for name in names:
                if name.startswith("/") or ".." in name:
                    fail(f"{packed.name} has an entry named {name}")
            archive.extractall(out)


def fetch_public(out, wanted):
    try:
        import sets
    except ImportError as error:
        fail(f"{error}. Downloading the sets needs Pillow: pip install -r scripts/drawings/requirements.txt")
    if unknown := [name for name in wanted if name not in sets.HOMES]:
        fail(f"there is no set named {', '.join(unknown)}. The sets: {', '.join(sets.HOMES)}")
    sets.fetch(wanted or list(sets.HOMES), out)


def described(names, row):
    """What is true of a photograph: names (first the label), broader words, and both in Chinese."""
    label, *others = names
    broader = split(row["broader"])
    texts = [label] + split(row["names"])
    if row["set"] == "grocery":  # apple|fruit|granny smith: the last one is the variety
        known = {text.lower() for text in texts + broader}
        texts += [text for text in others if text.lower() not in known]
    if row["set"] == "clothing":
        broader += [text for text in others if text == "kids clothes"]
    texts = unique(texts)
    return {
        "texts": texts,
        "texts_zh": split(row["names_zh"]),
        "broader": [text for text in unique(broader) if text not in texts],
        "broader_zh": split(row["broader_zh"]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", type=Path, help="a folder with labels.csv and zips of WebP")
    parser.add_argument("--public", action="store_true", help="download the sets, whatever folder is there")
    parser.add_argument("--sets", default="", metavar="SET,SET", help="only these sets")
    arguments = parser.parse_args()
    wanted = [name for name in arguments.sets.split(",") if name]
    if arguments.public and arguments.source:
        fail("--public and --source exclude each other")
    out = arguments.out.expanduser().resolve()
    out.mkdir(parents=True, exist_ok=True)
    source = arguments.source or SHARED
    if arguments.public or not (arguments.source or SHARED.is_dir()):
        fetch_public(out, wanted)
        source = out
    elif not (source / "labels.csv").exists():
        fail(f"there is no labels.csv in {source}")
    else:
        unpack(source, out, wanted)

    table = classes()
    lines = {"train": [], "val": []}
    tables = {}
    with open(source / "labels.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            style = row["file"].split("/")[0]
            if wanted and style not in wanted:
                continue
            names = split(row["names"])
            known = table.get((style, names[0])) or fail(f"classes.csv has no row for {style}: {names[0]}")
            line = {
                "image": row["file"], "kind": "photo", "style": style, "concept": row["names"], "name": names[0],
                **described(names, known),
            }
            if row["split"] == "train" and (style, names[0]) in NOT_TRAINED_ON:
                continue
            lines[row["split"]].append(json.dumps(line, ensure_ascii=False) + "\n")
            if row["split"] == "val":
                for suffix, label in (("", names[0]), ("-zh", line["texts_zh"][0])):
                    tables.setdefault(style + suffix, []).append((row["file"], label))
    (out / "train.jsonl").write_text("".join(lines["train"]), encoding="utf-8")
    (out / "held_out.jsonl").write_text("".join(lines["val"]), encoding="utf-8")
    for name, rows in tables.items():
        with open(out / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("file", "label"))
            writer.writerows(rows)
        print(f"{name:18} {len(rows):5} held out, {len({label for _, label in rows})} names")
    print(f"train {len(lines['train'])}, held out {len(lines['val'])}")


if __name__ == "__main__":
    main()
