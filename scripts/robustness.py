#!/usr/bin/env python3
"""Figures of scripts/fuzz and scripts/soak in benches/robustness.md: one row for each target and
kind of run, the newest in place of an older one.

    robustness.py FILE TARGET LOG    log of a run of libFuzzer
    robustness.py FILE kills LOG     output of tests/killed.rs
    robustness.py FILE soak LOG      output of tests/browser/soak.mjs; while it runs, too
"""

import datetime
import json
import re
import sys
from pathlib import Path

FUZZ = ["target", "date", "seconds", "files tried", "places reached", "files kept", "ended by"]
KILLS = ["run", "date", "kills", "runs that were resumed, with the same end"]
SOAK = ["soak", "date", "minutes", "steps", "compared with a fresh page", "failures", "seeds"]
MEMORY = ["memory", "page", "worker", "processes", "nodes and listeners of the document"]
STEPS = ["steps of the soak", "kinds"]

TEXT = """# Robustness

By `scripts/fuzz`, under libFuzzer and AddressSanitizer, with checks of arithmetic on. A target is a reader of
`tests/fuzz/targets.rs`. "Places reached" are edges of the program, that of crates that decode included; "files kept"
reach different ones. A run ends by its time, or at the first file that breaks something.

{fuzz}

`kill -9` of the command at random moments (`scripts/fuzz kills`, `tests/killed.rs`), up to five times before a run may
come to its end: losses, curves, weights and indexes are compared with those of a run that nobody touched.

{kills}

A visitor in a headless Chromium who does at random what visitors do, and to whom happens what may happen (`scripts/soak`,
`tests/browser/soak-steps.mjs`). After every step all images, labels and classes must be there, with answers, and nothing
may be said that the step does not explain. "Compared" are all probabilities with those of a fresh page that is given the
same: how often, and the largest difference.

{soak}

Memory in MiB after a collection of garbage, at the first such comparison, in the middle and at the last: the page's
JavaScript and WebAssembly, the worker's WebAssembly, and the processes that show pages. What is open differs.

{memory}

{steps}
"""


def table(columns, rows):
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows.values()])


def rows(text, columns):
    """Rows of the table with these columns, by their first cell."""
    found = {}
    lines = iter(text.splitlines())
    for line in lines:
        if line == "| " + " | ".join(columns) + " |":
            next(lines)
            for line in lines:
                if not line.startswith("|"):
                    break
                cells = [cell.strip() for cell in line.strip("|").split("|")]
                found[cells[0]] = cells
    return found


def fuzzed(target, log, today):
    def last(pattern):
        found = re.findall(pattern, log)
        return found[-1] if found else "-"

    ended = "its time"
    broken = re.search(r"panicked at (\S+?):?\n|ERROR: (\w+: [\w-]+)", log)
    if broken or "DONE" not in log:
        place = broken and (broken.group(1) or broken.group(2))
        # Where the code lies on this machine is nobody's business.
        ended = re.sub(r"^/.*?/(?=(src|tests)/)", "", place) if place else "a crash"
    tried = last(r"stat::number_of_executed_units:\s*(\d+)")
    seconds = last(r"in (\d+) second")
    grouped = f"{int(tried):,}" if tried != "-" else tried
    kept = last(r"corp: (\d+)/")
    return [target, today, seconds, grouped, last(r"cov: (\d+)"), kept, ended]


def killed(log, today):
    for name, hit, runs in re.findall(r"kills: ([\w -]+): (\d+) kills, (\d+) runs ended the same", log):
        yield [name, today, hit, runs]


def soaked(log, today):
    """Rows of the three tables about a soak, by the last line that sums up."""
    report = json.loads(re.findall(r"^soak: (.*)$", log, re.M)[-1])
    kind = "WebGPU" if report["webgpu"] else "CPU"
    seeds = report["seeds"]
    named = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    compared = f"{report['comparisons']} times, {report['furthest']:.1e}"
    failures = len(report["failures"])
    minutes, steps = f"{report['minutes']:.0f}", f"{report['steps']:,}"
    row = [kind, today, minutes, steps, compared, str(failures), named]
    memory = report["memory"]
    rows = []
    if memory:
        for name, place in [("first", 0), ("middle", len(memory) // 2), ("last", -1)]:
            at = memory[place]
            mib = [f"{bytes / 2**20:.0f}" for bytes in (at["heap"] + at["program"], at["worker"], at["renderers"])]
            when = f"{kind}, {name} ({at['minutes']:.0f} min)"
            rows.append([when, *mib, f"{at['nodes']:,}, {at['listeners']:,}"])
    kinds = sorted(report["kinds"].items(), key=lambda kind: -kind[1])
    return row, rows, [kind, ", ".join(f"{name} {count}" for name, count in kinds)]


def main():
    file, target, log = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_text(errors="replace")
    text = file.read_text() if file.exists() else ""
    fuzz, kills, soak, memory, steps = (rows(text, columns) for columns in (FUZZ, KILLS, SOAK, MEMORY, STEPS))
    today = datetime.date.today().isoformat()
    if target == "kills":
        kills.update((row[0], row) for row in killed(log, today))
    elif target == "soak":
        row, used, kinds = soaked(log, today)
        soak[row[0]], steps[kinds[0]] = row, kinds
        memory = {name: row for name, row in memory.items() if not name.startswith(f"{kinds[0]}, ")}
        memory.update((row[0], row) for row in used)
    else:
        fuzz[target] = fuzzed(target, log, today)
    tables = {
        "fuzz": table(FUZZ, fuzz),
        "kills": table(KILLS, kills),
        "soak": table(SOAK, soak),
        "memory": table(MEMORY, memory),
        "steps": table(STEPS, steps),
    }
    file.write_text(TEXT.format(**tables))


if __name__ == "__main__":
    main()
