"""Untrusted files are read in a child process with limits on memory and time, on Linux without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn.core.errors import Exit, TexsynError
from texsyn.jobs.options import SETTINGS, FitOptions, as_options
from texsyn.jobs.process import COMMAND, environment

if TYPE_CHECKING:
    from texsyn.runs.run import Run

_SECONDS = 60
_MEMORY = 8_000_000_000  # bytes of address space
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000  # Linux: CLONE_NEWNET, CLONE_NEWUSER


def prepare(files: Sequence[str | Path], out: str | Path, options: FitOptions | Sequence[str] = ()) -> Run:
    """Read untrusted files in a child process with limits, and create a run from them.

    options: those of `texsyn fit` that a new run depends on, such as `FitOptions(minutes=3)`. Raises TexsynError with
    the exit code and message of the child, or with exit 3 if reading takes too much time or memory.
    """
    from texsyn.runs.run import Run

    options = replace(as_options(options).select(*SETTINGS), prepare=True, out=Path(out).resolve())
    _run_limited("fit", *options.to_args(), *(("--", *_absolute(files)) if files else ()))
    return Run.open(out)


def origin(file: str | Path) -> dict[str, Any]:
    """The metadata that texsyn wrote into a file, read as `prepare` reads. Raises TexsynError if there is none."""
    content: dict[str, Any] = json.loads(_run_limited("info", "--json", "--", *_absolute([file])))
    return content


def examine(run: Run, file: str | Path, out: str | Path) -> float:
    """Write the heat map of a file to `out`, read as `prepare` reads; return the share of anomalous pixels, 0 to 1."""
    words = ("heatmap", str(run.path.resolve()), "--json", "--force", "--device", "cpu", "-o", str(Path(out).resolve()))
    return float(json.loads(_run_limited(*words, "--", *_absolute([file])))["strange"])


def _absolute(files: Sequence[str | Path]) -> list[str]:
    """Paths that no command takes for options."""
    return [str(Path(file).absolute()) for file in files]


def _run_limited(*words: str) -> str:
    """What a texsyn command prints, run with limits. Raises TexsynError."""
    try:
        done = subprocess.run(
            [*COMMAND, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            preexec_fn=_limit if os.name == "posix" else None,
            env={**environment(), "OMP_NUM_THREADS": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TexsynError(f"reading took more than {_SECONDS} seconds") from None
    if done.returncode:
        raise _error_of(done)
    return done.stdout


def _error_of(done: subprocess.CompletedProcess[str]) -> TexsynError:
    lines = [line for line in done.stderr.splitlines() if line.startswith("texsyn: ")]
    if lines and done.returncode in set(Exit) - {Exit.BUG}:
        return TexsynError(lines[-1].removeprefix("texsyn: "), Exit(done.returncode))
    return TexsynError("this file cannot be read: its decoder failed, or it takes too much memory or time")


def _limit() -> None:
    """Limit the calling process, between fork and exec."""
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # An empty network namespace; where the system does not allow one, the call fails and reading goes on.
        ctypes.CDLL(None).unshare(_NEW_NETWORK if os.geteuid() == 0 else _NEW_NETWORK | _NEW_USER)
