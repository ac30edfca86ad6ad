"""One fit of a batch, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from texsyn.core.errors import Exit, TexsynError, reason
from texsyn.jobs import summary
from texsyn.jobs.options import option_value, option_words

if TYPE_CHECKING:
    from texsyn.runs.run import Run

_POLL = 1.0  # seconds between two looks at whether a run is free
_WORDS = {Exit.INTERRUPTED: "stopped", Exit.TERMINATED: "stopped", Exit.BAD_INPUT: "skipped"}

Files = tuple[Path, ...]  # of one exemplar


def fit_one(
    files: Files,
    name: str,
    out: Path,
    how: Sequence[str],
    jobs: int = 1,
    force: bool = False,
    dies_by: int = signal.SIGTERM,
) -> summary.Row:
    """Fit one exemplar, in a process of its own, from where its run stands; whoever learns it already ends first.

    jobs: how many share this machine's cores. dies_by: the signal that process gets when the thread that waits for it
    dies; by SIGTERM it keeps what it has learnt.
    """
    place = out.resolve() / name
    try:
        return _fit_one(files, name, place, how, jobs, force, dies_by)
    except TexsynError as error:  # a damaged run, which costs nothing else
        return summary.Row(name, str(place), "failed", int(error.exit), str(error))
    except OSError as error:  # no memory for another process, or a disk that is gone
        return summary.Row(name, str(place), "failed", int(Exit.DISK), reason(error))


def _fit_one(
    files: Files, name: str, place: Path, how: Sequence[str], jobs: int, force: bool, dies_by: int
) -> summary.Row:
    from texsyn.jobs import process
    from texsyn.jobs.process import COMMAND
    from texsyn.runs.run import Run

    begun = Run.open(place) if (place / "run.json").exists() else None
    if begun:
        _same(begun, files)
    while begun and process.status(begun).working:
        time.sleep(_POLL)
    learnt = begun is not None and process.status(begun).state == "finished"
    if begun and learnt and not force and (option_words(how, "--no-card") or begun.scored):
        return _learnt(name, place, how, before=True)
    # A finished run without a card was killed while it was scored.
    budget = [] if learnt and not force else ["--minutes", "--steps"]
    again = [word for option in (*budget, "--device", "--no-card") for word in option_words(how, option)]
    asked = (
        [f"--resume={place}", *again]
        if begun
        else [*how, f"--out={place}", "--", *(str(file.absolute()) for file in files)]
    )
    threads = max(1, usable_cores() // jobs)
    environment = process.environment() | ({} if jobs == 1 else {"OMP_NUM_THREADS": str(threads)})
    command = [*COMMAND, "fit", "--quiet", *asked]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
        check=False,
        preexec_fn=partial(_die_with_parent, dies_by) if sys.platform == "linux" else None,
    )
    if done.returncode == 0:
        return _learnt(name, place, how, before=learnt and not force)
    if done.returncode < 0:
        said = [f"its process was ended by {signal.Signals(-done.returncode).name}, as where memory runs out"]
    else:
        said = [line for line in done.stderr.splitlines() if line.strip() and "warning: " not in line]
    state = _WORDS.get(Exit(done.returncode) if done.returncode in set(Exit) else Exit.BUG, "failed")
    why = said[-1].removeprefix("texsyn: ") if said else f"ended with {done.returncode}"
    return summary.Row(name, str(place), state, done.returncode, why)


def _same(run: Run, files: Files) -> None:
    """Raise TexsynError (exit 3) where a run was begun from other files than these."""
    from texsyn.core.files import digest

    if len(run.facts) == 1 and run.facts[0].get("sha256") != digest(files):
        raise TexsynError(f"{run.path.name} was begun from another file of this name: rename one, or remove {run.path}")


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _die_with_parent(number: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG


def _learnt(name: str, place: Path, how: Sequence[str], before: bool = False) -> summary.Row:
    from texsyn.jobs import process
    from texsyn.metrics.card import Card, describe
    from texsyn.runs import storage
    from texsyn.runs.run import Run

    run = Run.open(place)
    status = process.status(run)
    card = storage.read_json(place / "card.json") if (place / "card.json").exists() else {}
    try:
        words = [] if not card else describe(Card.from_dict(card))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TexsynError(f"{name}: card.json is damaged") from error
    kept = _kept(run, how)
    return summary.Row(name, str(place), "finished", 0, kept, status.step, status.seconds, before, card, words)


def _kept(run: Run, how: Sequence[str]) -> str:
    """What a run that was begun before keeps as it is, though the options ask for something else."""
    from texsyn.jobs.options import field_value

    recipe = asdict(run.recipe)
    has = {"--recipe": run.content.get("recipe_name"), "--seed": str(recipe["seed"])}
    kept = [option for option, value in has.items() if option_value(how, option) not in ("", value)]
    for option, text in pairwise(how):
        field_name, _, value = text.partition("=")
        field_name = field_name.replace("-", "_")
        if option == "--set" and field_name in recipe:
            kept += [f"--set {text}"] * (field_value(field_name, value, recipe[field_name]) != recipe[field_name])
    return f"as it was begun, without {', '.join(kept)}" if kept else ""
