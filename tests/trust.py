"""Promises about fits, files and runs, tried many times: python tests/trust.py [TRIAL...]

Writes tests/benchmarks/TRUST.md. `test_trust.py` runs each trial with few tries, `make trust` with many. Models are
tiny, children are forked.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from trials.app import load_test, web
from trials.children import Outcome
from trials.files import attacks, malformed
from trials.fits import bad_steps, damage, full_disk, kills, same_bytes, signals, small_disk
from trials.forgeries import forged_json, forged_tensors

REPORT = Path(__file__).parent / "benchmarks" / "TRUST.md"


@dataclass(frozen=True)
class Trial:
    call: Callable[[int, Path], Outcome]
    few: int  # tries in a test
    many: int  # tries in the report


TRIALS = {
    "kill -9 and resume: the unbroken run's weights, bit for bit": Trial(kills, 4, 200),
    "SIGTERM and Ctrl-C: 143 / 130, checkpoint, under 2 s": Trial(signals, 2, 50),
    "damaged checkpoints noticed, the one before used": Trial(damage, 40, 1000),
    "disk full from the k-th write on": Trial(full_disk, 5, 60),
    "a real disk of 60 to 700 kB": Trial(small_disk, 3, 40),
    "steps not finite, out of memory": Trial(bad_steps, 4, 60),
    "malformed media": Trial(malformed, 60, 5200),
    "attack media": Trial(attacks, 2, 99),
    "attack runs: forged JSON": Trial(forged_json, 60, 3000),
    "attack runs: forged tensors": Trial(forged_tensors, 60, 2000),
    "web: forged requests, paths out of the folder, floods, slow uploads, no login": Trial(web, 40, 10_000),
    "the app under load, 16 people: answers": Trial(load_test, 0, 30),
    "same seed, same bytes": Trial(same_bytes, 2, 10),
}


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "trials", nargs="*", metavar="TRIAL", help=", ".join(each.call.__name__ for each in TRIALS.values())
    )
    parser.add_argument("--minutes", type=int, help="of load_test, instead of 30")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, trial in TRIALS.items():
        if options.trials and trial.call.__name__ not in options.trials:
            continue
        with scratch() as folder:
            start = time.monotonic()
            minutes = options.minutes if trial.call is load_test else None
            outcome = trial.call(minutes or trial.many, folder)
        mark = "" if outcome.ok else "**no**: "
        taken = f"{time.monotonic() - start:.0f} s"
        row = f"| {name} | {mark}{outcome.good} of {outcome.tries} | {outcome.details} | {taken} |"
        print(row, flush=True)
        rows.append(row)
    if not options.trials:
        write(rows)


def write(rows: list[str]) -> None:
    head = io.StringIO()
    print("# Trust, by `make trust`\n", file=head)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, {versions}\n", file=head)
    print("| trial | as promised | details | time |\n|---|---|---|---|", file=head)
    notes = REPORT.read_text().split("\n## ", 1)[1:] if REPORT.exists() else []
    REPORT.write_text(head.getvalue() + "\n".join(rows) + "\n" + "".join(f"\n## {note}" for note in notes))


if __name__ == "__main__":
    main()
