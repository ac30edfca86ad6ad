"""What every trial needs: forked children, tiny runs, and the outcome of a trial."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from conftest import KINDS

from texsyn import Run, load
from texsyn.cli.entry import main
from texsyn.core.errors import Exit
from texsyn.core.files import PART
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import Exemplar

PATIENCE = 240.0  # seconds that a child may take
RECIPE = Recipe(steps=60, batch_size=2, precision="float32", checkpoint_interval=7, bandwidth=0.15, codes=16)


@dataclass(frozen=True)
class Outcome:
    """How many tries of a trial went as promised."""

    tries: int
    good: int
    details: str = ""  # measurements and failures, in words

    @property
    def ok(self) -> bool:
        return self.tries > 0 and self.good == self.tries


def run_forked(call: Callable[[], int], out: Path | None = None, **environment: str) -> int:
    """Call in a forked child, with its output in a file; returns its process identifier."""
    if out:
        out.write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads in the parent, which are idle
        pid = os.fork()
    if pid:
        return pid
    code = int(Exit.BUG)
    try:
        os.environ.update(environment)
        sink = os.open(out or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        torch.set_num_threads(1)
        code = call()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # a child must not return into its parent's code  # noqa: BLE001
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def wait_for(pid: int, patience: float = PATIENCE) -> int:
    """The exit code of a child, or minus the signal that ended it; a child that takes too long is killed."""
    deadline = time.monotonic() + patience
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def fit(path: Path, *more: str) -> Callable[[], int]:
    return lambda: main(["fit", "--resume", str(path), "--json", "--no-card", *more])


def new_run(path: Path, recipe: Recipe = RECIPE) -> Run:
    pixels = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    facts = {"name": "noise", "sha256": "0" * 64, "width": 40, "height": 40}
    return Run.create(path, Exemplar(pixels, KINDS["still"], facts=facts), recipe, "fast")


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load(run.path).state_dict()


def are_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def last_step(out: Path) -> int:
    """The last step that a child reported in its output."""
    last = 0
    for line in out.read_text(errors="replace").splitlines():
        try:
            last = max(last, int(json.loads(line).get("step", 0)))
        except ValueError:
            continue
    return last


def leftovers(folder: Path) -> list[Path]:
    return [p for p in folder.rglob(".*") if p.name.endswith((".part", ".old")) or p.name.startswith(PART)]


def mutated(blob: bytes, numbers: random.Random) -> bytes:
    """The bytes of a file with random flips, cuts, repeats and wrong lengths, mostly in its header."""
    out = bytearray(blob)
    for _ in range(numbers.choice((1, 1, 2, 5, 20))):
        if not out:
            break
        kind, place = numbers.randrange(6), numbers.randrange(len(out))
        if numbers.random() < 0.5:
            place = min(place, numbers.randrange(64))  # headers decide most
        if kind == 0:
            out[place] ^= 1 << numbers.randrange(8)
        elif kind == 1:
            del out[place:]
        elif kind == 2:
            out[place : place + 4] = numbers.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\1\0\0")
            )
        elif kind == 3:
            del out[place : place + numbers.randint(1, 64)]
        elif kind == 4:
            out[place:place] = bytes(numbers.randrange(256) for _ in range(numbers.randint(1, 32)))
        else:
            out[place:place] = out[place : place + numbers.randint(1, 256)]
    return bytes(out)
