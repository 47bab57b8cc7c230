#!/usr/bin/env python3
"""Write assets/neutral_words.txt: everyday things, against which it is seen that no label fits.

    python scripts/drawings/fetch.py --out ~/.cache/clip/drawings
    python scripts/neutral_words.py --drawings ~/.cache/clip/drawings

The names of the classes in scripts/photos/classes.csv and of Unicode's emoji, as far as they are one or two
words: what the bundled model knows, and any other model, too.
"""

import argparse
import csv
import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLAIN = re.compile(r"[a-z][a-z' -]{1,24}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=Path, required=True, help="what scripts/drawings/fetch.py wrote")
    arguments = parser.parse_args()
    with open(ROOT / "scripts/photos/classes.csv", encoding="utf-8") as table:
        names = {row["label"] for row in csv.DictReader(table)}
    drawings = json.loads((arguments.drawings / "names.json").expanduser().read_text(encoding="utf-8"))
    names |= {drawing["name"] for drawing in drawings}
    words = sorted(name for name in names if PLAIN.fullmatch(name) and len(name.split()) <= 2)
    (ROOT / "assets/neutral_words.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    print(f"{len(words)} words")


if __name__ == "__main__":
    main()
