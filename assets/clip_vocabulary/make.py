"""Make merges.txt.gz from the vocabulary file that the PyPI package open_clip_torch carries.

    pip download --no-deps open_clip_torch==3.3.0
    python assets/clip_vocabulary/make.py open_clip_torch-3.3.0-py3-none-any.whl
"""

import gzip
import sys
import zipfile
from pathlib import Path

SOURCE = "open_clip/bpe_simple_vocab_16e6.txt.gz"
# 49,408 entries less a letter per byte, the same at the end of a word, start and end of text.
MERGES = 49_408 - 2 * 256 - 2

with zipfile.ZipFile(sys.argv[1]) as wheel:
    lines = gzip.decompress(wheel.read(SOURCE)).decode("utf-8").split("\n")
merges = lines[1 : 1 + MERGES]  # the first line is a comment
assert all(len(line.split(" ")) == 2 for line in merges)
text = "".join(f"{line}\n" for line in merges)
target = Path(__file__).with_name("merges.txt.gz")
target.write_bytes(gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0))
print(f"{target}: {len(merges)} merges, {target.stat().st_size} bytes")
