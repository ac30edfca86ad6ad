"""One fit of a batch, in a child process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import digest
from texsyn.core.text import reason
from texsyn.jobs import process
from texsyn.jobs.options import BUDGET, FitOptions, parse_field
from texsyn.jobs.summary import Row

if TYPE_CHECKING:
    from texsyn.runs.run import Run

_POLL = 1.0  # seconds between two checks whether another process trains the run
_STATES = {Exit.INTERRUPTED: "stopped", Exit.TERMINATED: "stopped", Exit.BAD_INPUT: "skipped"}
_SET_DEATH_SIGNAL = 1  # Linux: PR_SET_PDEATHSIG

Files = tuple[Path, ...]  # of one exemplar


def fit_one(
    files: Files,
    name: str,
    out: Path,
    options: FitOptions,
    jobs: int = 1,
    force: bool = False,
    death_signal: int = signal.SIGTERM,
) -> Row:
    """Fit one exemplar in a child process, or continue its run `out/name`; wait while another process trains it.

    jobs: fits that share the cores of this machine. death_signal: sent to the child if the calling thread dies; at
    SIGTERM it stores what it has trained. Never raises for a fit that fails: the row says why.
    """
    folder = out.resolve() / name
    try:
        return _fit_one(files, folder, options, jobs, force, death_signal)
    except TexsynError as error:  # such as a damaged run; the other fits go on
        return Row(name, str(folder), "failed", int(error.exit), str(error))
    except OSError as error:  # no memory for another process, or a disk error
        return Row(name, str(folder), "failed", int(Exit.DISK), reason(error))


def _fit_one(files: Files, folder: Path, options: FitOptions, jobs: int, force: bool, death_signal: int) -> Row:
    run = _open_free_run(folder, files)
    trained = run is not None and process.status(run).state == "finished"
    if run and trained and not force and (options.no_card or run.is_scored or not run.is_trainable):
        return _finished_row(folder, options, before=True)
    if run:
        # A finished run without a card was killed while it was scored: it is only scored now.
        budget = () if trained and not force else BUDGET
        words = replace(options.select(*budget, "device", "no_card"), resume=folder, quiet=True).to_args()
    else:
        words = replace(options, out=folder, quiet=True, json=False).to_args()
        words += ["--", *(str(file.absolute()) for file in files)]
    done = _run_command(words, jobs, death_signal)
    if done.returncode:
        return _failed_row(folder, done)
    return _finished_row(folder, options, before=trained and not force)


def _open_free_run(folder: Path, files: Files) -> Run | None:
    """The run in a folder, once no process trains it; None if there is none.

    Raises TexsynError (exit 3) if the run was trained on other files than these.
    """
    from texsyn.runs.run import Run

    if not (folder / "run.json").exists():
        return None
    run = Run.open(folder)
    if len(run.facts) == 1 and run.facts[0].get("sha256") != digest(files):
        raise TexsynError(f"{run.path.name} was trained on another file of this name: rename one, or remove {run.path}")
    while process.status(run).working:
        time.sleep(_POLL)
    return run


def _run_command(words: Sequence[str], jobs: int, death_signal: int) -> subprocess.CompletedProcess[str]:
    """Run `texsyn fit` with its share of this machine's cores."""
    threads = max(1, usable_cores() // jobs)
    return subprocess.run(
        [*process.COMMAND, "fit", *words],
        capture_output=True,
        text=True,
        errors="replace",
        env=process.environment() | ({} if jobs == 1 else {"OMP_NUM_THREADS": str(threads)}),
        check=False,
        preexec_fn=partial(_die_with_parent, death_signal) if sys.platform == "linux" else None,
    )


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _die_with_parent(number: int) -> None:
    """Let the system send a signal to the calling process when the thread that started it dies."""
    import ctypes

    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, number)


def _failed_row(folder: Path, done: subprocess.CompletedProcess[str]) -> Row:
    code = done.returncode
    state = _STATES.get(Exit(code) if code in set(Exit) else Exit.BUG, "failed")
    if code < 0:
        why = f"its process was ended by {signal.Signals(-code).name}, as when memory runs out"
    else:
        lines = [line for line in done.stderr.splitlines() if line.strip() and "warning: " not in line]
        why = lines[-1].removeprefix("texsyn: ") if lines else f"ended with {code}"
    return Row(folder.name, str(folder), state, code, why)


def _finished_row(folder: Path, options: FitOptions, before: bool) -> Row:
    from texsyn.runs.run import Run

    run = Run.open(folder)
    status, card = process.status(run), run.card()
    unused = _unused_options(run, options)
    return Row(
        folder.name,
        str(folder),
        "finished",
        reason=f"trained with its own settings, without {', '.join(unused)}" if unused else "",
        steps=status.step,
        seconds=status.seconds,
        before=before,
        card=card.to_dict() if card else {},
        words=run.describe_cards(),
    )


def _unused_options(run: Run, options: FitOptions) -> list[str]:
    """Options that differ from the settings that a run was created with, and keeps."""
    recipe = run.recipe_fields
    unused = []
    if options.recipe not in (None, run.recipe_name):
        unused.append("--recipe")
    if options.seed not in (None, run.seed):
        unused.append("--seed")
    for text in options.set:
        name, value = parse_field(text)
        if recipe.get(name, value) != value:
            unused.append(f"--set {text}")
    return unused
