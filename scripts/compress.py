"""Puts a .gz, and where possible a .br, beside the files of a built page.

    compress.py DIR

Done once after a build, because the wasm is tens of megabytes: half a minute for a
seventh less to download at every first visit. Brotli comes from Python's module, the
`brotli` command or Node, whichever is there."""

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

COMPRESSIBLE = {".wasm", ".js", ".mjs", ".css", ".html", ".json", ".svg", ".txt", ".webmanifest"}
WORTH_IT = 0.9
SMALL = 1024

NODE_BROTLI = """
const zlib = require('zlib'), fs = require('fs');
const data = fs.readFileSync(0);
const c = zlib.constants;
process.stdout.write(zlib.brotliCompressSync(data, { params: {
  [c.BROTLI_PARAM_QUALITY]: 11, [c.BROTLI_PARAM_LGWIN]: 24, [c.BROTLI_PARAM_SIZE_HINT]: data.length } }));
"""


def pipe(*command):
    return lambda data: subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def find_brotli():
    try:
        import brotli

        return lambda data: brotli.compress(data, quality=11, lgwin=24)
    except ImportError:
        pass
    if shutil.which("brotli"):
        return pipe("brotli", "-q", "11", "-w", "24", "-c", "-")
    if shutil.which("node"):
        return pipe("node", "-e", NODE_BROTLI)
    return None


def main(root):
    ways = {".gz": lambda data: gzip.compress(data, 6, mtime=0)}
    if brotli := find_brotli():
        ways[".br"] = brotli
    before = dict.fromkeys(ways, 0)
    after = dict.fromkeys(ways, 0)
    for path in sorted(Path(root).rglob("*")):
        if not path.is_file() or path.suffix not in COMPRESSIBLE or path.stat().st_size < SMALL:
            continue
        data = path.read_bytes()
        for suffix, compress in ways.items():
            packed = compress(data)
            if len(packed) < WORTH_IT * len(data):
                path.with_name(path.name + suffix).write_bytes(packed)
                before[suffix] += len(data)
                after[suffix] += len(packed)
    for suffix in ways:
        print(f"    {suffix}: {before[suffix] / 1e6:.1f} MB -> {after[suffix] / 1e6:.1f} MB", file=sys.stderr)


main(sys.argv[1])
