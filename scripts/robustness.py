#!/usr/bin/env python3
"""Figures of scripts/fuzz in benches/robustness.md: one row for each target and kind of run, the
newest in place of an older one.

    robustness.py FILE TARGET LOG    log of a run of libFuzzer
    robustness.py FILE kills LOG     output of tests/killed.rs
"""

import datetime
import re
import sys
from pathlib import Path

FUZZ = ["target", "date", "seconds", "files tried", "places reached", "files kept", "ended by"]
KILLS = ["run", "date", "kills", "runs that were resumed, with the same end"]

TEXT = """# Robustness

By `scripts/fuzz`, under libFuzzer and AddressSanitizer, with checks of arithmetic on. A target is a reader of
`tests/fuzz/targets.rs`. "Places reached" are edges of the program, that of crates that decode included; "files kept"
reach different ones. A run ends by its time, or at the first file that breaks something.

{fuzz}

`kill -9` of the command at random moments (`scripts/fuzz kills`, `tests/killed.rs`), up to five times before a run may
come to its end: losses, curves, weights and indexes are compared with those of a run that nobody touched.

{kills}
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
        ended = (broken.group(1) or broken.group(2)) if broken else "a crash"
    tried = last(r"stat::number_of_executed_units:\s*(\d+)")
    seconds = last(r"in (\d+) second")
    grouped = f"{int(tried):,}" if tried != "-" else tried
    kept = last(r"corp: (\d+)/")
    return [target, today, seconds, grouped, last(r"cov: (\d+)"), kept, ended]


def killed(log, today):
    for name, hit, runs in re.findall(r"kills: ([\w -]+): (\d+) kills, (\d+) runs ended the same", log):
        yield [name, today, hit, runs]


def main():
    file, target, log = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_text(errors="replace")
    text = file.read_text() if file.exists() else ""
    fuzz, kills = rows(text, FUZZ), rows(text, KILLS)
    today = datetime.date.today().isoformat()
    if target == "kills":
        kills.update((row[0], row) for row in killed(log, today))
    else:
        fuzz[target] = fuzzed(target, log, today)
    file.write_text(TEXT.format(fuzz=table(FUZZ, fuzz), kills=table(KILLS, kills)))


if __name__ == "__main__":
    main()
