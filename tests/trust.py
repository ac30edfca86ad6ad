"""What is promised of a fit, a file and a run, tried many times over: python tests/trust.py [FIGURE...]

Writes tests/benchmarks/TRUST.md. Each figure is one of the trials; `test_trust.py` calls them with few tries,
`make trust` with many. Models are tiny, children are forked.
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
from trials.children import Found
from trials.fits import bad_steps, damage, full_disk, kills, same_bytes, signals, small_disk
from trials.strangers import attacks, malformed, strangers, tensors

REPORT = Path(__file__).parent / "benchmarks" / "TRUST.md"


@dataclass(frozen=True)
class Figure:
    call: Callable[[int, Path], Found]
    few: int  # tries in a test
    many: int  # tries in the report


FIGURES = {
    "kill -9 and resume: the unbroken run's weights, bit for bit": Figure(kills, 4, 200),
    "SIGTERM and Ctrl-C: 143 / 130, checkpoint, under 2 s": Figure(signals, 2, 50),
    "damaged checkpoints noticed, the one before used": Figure(damage, 40, 1000),
    "disk full from the k-th write on": Figure(full_disk, 5, 60),
    "a real disk of 60 to 700 kB": Figure(small_disk, 3, 40),
    "steps not finite, out of memory": Figure(bad_steps, 4, 60),
    "malformed media": Figure(malformed, 60, 5200),
    "attack media": Figure(attacks, 2, 99),
    "attack runs: forged JSON": Figure(strangers, 60, 3000),
    "attack runs: forged tensors": Figure(tensors, 60, 2000),
    "web: forged requests, ways out, floods, slow uploads, no login": Figure(web, 40, 10_000),
    "the app under load, 16 people: answers": Figure(load_test, 0, 30),
    "same seed, same bytes": Figure(same_bytes, 2, 10),
}


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", help="; ".join(figure.call.__name__ for figure in FIGURES.values()))
    parser.add_argument("--minutes", type=int, help="of the load, instead of 30")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, figure in FIGURES.items():
        if options.figures and figure.call.__name__ not in options.figures:
            continue
        with scratch() as folder:
            start = time.monotonic()
            minutes = options.minutes if figure.call is load_test else None
            found = figure.call(minutes or figure.many, folder)
        mark = "" if found.ok else "**no**: "
        row = f"| {name} | {mark}{found.good} of {found.tries} | {found.said} | {time.monotonic() - start:.0f} s |"
        print(row, flush=True)
        rows.append(row)
    if not options.figures:
        write(rows)


def write(rows: list[str]) -> None:
    head = io.StringIO()
    print("# Trust, by `make trust`\n", file=head)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, {versions}\n", file=head)
    print("| figure | held | more | took |\n|---|---|---|---|", file=head)
    notes = REPORT.read_text().split("\n## ", 1)[1:] if REPORT.exists() else []
    REPORT.write_text(head.getvalue() + "\n".join(rows) + "\n" + "".join(f"\n## {note}" for note in notes))


if __name__ == "__main__":
    main()
