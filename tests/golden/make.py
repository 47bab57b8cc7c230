"""Make the golden data: what the Python reference says, for the Rust tests to agree with.

    venv/bin/python tests/golden/make.py [tokens] [pictures] [models] [families] [sentence_piece]
        [bert] [timm] [dense] [training] [peft] [family_training] [configs]

Run by hand, not by the tests; the outputs are committed. README.md beside this file describes them.
"""

import sys

STEPS = (
    "tokens",
    "pictures",
    "models",
    "families",
    "sentence_piece",
    "bert",
    "timm",
    "dense",
    "training",
    "peft",
    "family_training",
    "configs",
)


def main() -> None:
    steps = sys.argv[1:] or STEPS
    unknown = [step for step in steps if step not in STEPS]
    if unknown:
        sys.exit(f"unknown step {unknown[0]!r}: choose from {', '.join(STEPS)}")
    for step in STEPS:  # always in this order: later steps read what earlier ones made
        if step in steps:
            __import__(f"make_{step}").make()


if __name__ == "__main__":
    main()
