"""Prints one hash over texts and the names and contents of files.

    fingerprint.py TEXT... -- PATH...

Contents, not times: a checkout changes the times of files that stay the same.
A path that does not exist counts as empty."""

import hashlib
import sys
from pathlib import Path


def files(path):
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file() and p.name != ".DS_Store")
    return [path] if path.is_file() else []


def main(arguments):
    split = arguments.index("--")
    total = hashlib.sha256()
    for text in arguments[:split]:
        total.update(text.encode() + b"\0")
    for path in arguments[split + 1 :]:
        for file in files(Path(path)):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f"{file.as_posix()}\0{content}\0".encode())
    print(total.hexdigest())


main(sys.argv[1:])
