#!/usr/bin/env python3
"""Four shards of `clip embed`, read by pyarrow and searched by FAISS, against `clip search`.

    python3 -m venv venv && venv/bin/pip install -r tests/library/requirements.txt
    venv/bin/python tests/library/neighbours.py --clip target/release/clip --images DIR

For every 20th image of DIR the ten nearest images by FAISS must be those of `clip search --image`, but for
neighbours whose scores differ by less than f16 can tell.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq

SHARDS = 4
TOP = 10
ROUNDING = 2e-3  # of a cosine similarity of f16 features


def run(*command):
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", default="clip")
    parser.add_argument("--images", required=True, type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for shard in range(1, SHARDS + 1):
            run(options.clip, "embed", "--device", "cpu", "--data", options.images, "--out", folder, "--shard", f"{shard}/{SHARDS}")
        features = np.concatenate([np.load(file) for file in sorted((folder / "img_emb").glob("*.npy"))])
        tables = [pq.read_table(file) for file in sorted((folder / "metadata").glob("*.parquet"))]
        paths = [path for table in tables for path in table.column("image_path").to_pylist()]
        hashes = [sha for table in tables for sha in table.column("sha256").to_pylist()]
        assert len(paths) == len(features) == len(set(paths)), (len(paths), len(features))
        features = np.ascontiguousarray(features, dtype=np.float32)
        index = faiss.IndexFlatIP(features.shape[1])
        index.add(features)

        kept = folder / "index.safetensors"
        search = [options.clip, "search", "--device", "cpu", "--data", options.images, "--index", kept, "--json", "--top", str(TOP)]
        run(options.clip, "index", "--device", "cpu", options.images, "--index", kept)
        compared = 0
        for query in range(0, len(paths), 20):
            scores, found = index.search(features[query : query + 1], len(paths))
            expected = {paths[i]: s for i, s in zip(found[0], scores[0]) if hashes[i] != hashes[query]}
            ours = json.loads(run(*search, "--no-update", "--image", options.images / paths[query]))["images"]
            last = sorted(expected.values(), reverse=True)[: len(ours)][-1]
            for image in ours:
                score = expected[image["path"]]
                if abs(score - image["score"]) > ROUNDING or score < last - ROUNDING:
                    sys.exit(f"{paths[query]}: {image} against {score} (the last of FAISS: {last})")
                compared += 1
        print(f"{len(paths)} images in {SHARDS} shards: {compared} neighbours agree with FAISS {faiss.__version__}")


main()
