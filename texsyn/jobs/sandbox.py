"""Files that nobody vouches for are read in a process with limits on memory, time and the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from texsyn.core.errors import Exit, TexsynError
from texsyn.jobs.process import COMMAND, environment
from texsyn.runs.run import Run

_SECONDS, _MEMORY = 60, 8_000_000_000  # that reading an upload may take, and bytes of address space
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000  # Linux' namespaces


def prepare(files: Sequence[Path], out: Path, options: Sequence[str] = ()) -> Run:
    """Read files that nobody vouches for, in a process with limits on memory and time, and lay a run out.

    options: of `texsyn fit`, such as `["--minutes", "3"]`. Raises TexsynError with that command's exit code and words,
    or exit 3 when it takes too much time or memory.
    """
    _limited("fit", *options, "--prepare", "--out", str(out.resolve()), "--", *_absolute(files))
    return Run.open(out)


def origin(file: Path) -> dict[str, Any]:
    """What made a texture, read as `prepare` reads. Raises TexsynError for a file that does not say."""
    found: dict[str, Any] = json.loads(_limited("info", "--json", "--", *_absolute([file])))
    return found


def examine(run: Run, file: Path, out: Path) -> float:
    """Draw the heat map of a file into `out`, read as `prepare` reads; the share of it that is strange."""
    asked = ("heatmap", str(run.path.resolve()), "--json", "--force", "--device", "cpu", "-o", str(out.resolve()))
    return float(json.loads(_limited(*asked, "--", *_absolute([file])))["strange"])


def _absolute(files: Sequence[Path]) -> list[str]:
    """Paths that no command takes for options."""
    return [str(Path(file).absolute()) for file in files]


def _limited(*arguments: str) -> str:
    """What a command of texsyn prints, run with limits on memory and time."""
    try:
        done = subprocess.run(
            [*COMMAND, *arguments],
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
        lines = [line for line in done.stderr.splitlines() if line.startswith("texsyn: ")]
        if lines and done.returncode in set(Exit) - {Exit.BUG}:
            raise TexsynError(lines[-1].removeprefix("texsyn: "), Exit(done.returncode))
        raise TexsynError("this file cannot be read: its decoder failed, or it takes too much memory or time")
    return done.stdout


def _limit() -> None:
    """Of a process that reads what nobody vouches for."""
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # A network of its own, with nobody in it, where the system lets this user have one.
        ctypes.CDLL(None).unshare(_NEW_NETWORK if os.geteuid() == 0 else _NEW_NETWORK | _NEW_USER)
