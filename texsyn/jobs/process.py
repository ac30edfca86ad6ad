"""Fits as background processes: start, stop, and status as the run folder shows it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import is_locked, locked
from texsyn.jobs.options import FitOptions, as_options
from texsyn.jobs.queue import fits_ahead, pid_of, ticket_of

if TYPE_CHECKING:
    from texsyn.runs.run import Run

WORKING = ("queued", "running")
COMMAND = (sys.executable, "-P", "-m", "texsyn")  # -P: import nothing from the working directory
_PACKAGE_PARENT = Path(__file__).parents[2]
_ENDS = ("finished", "stopped", "diverged", "failed")  # events that end a fit
_LOG = "log.txt"
_NO_ERRORS = ("texsyn: warning", "texsyn: terminated", "texsyn: interrupted")
_START_PATIENCE = 20.0  # seconds until a started process must hold its ticket
_CURVE_POINTS = 300


@dataclass(frozen=True)
class Status:
    """Where a run stands, as its folder shows."""

    state: str  # new, queued, running, finished, stopped, interrupted, diverged or failed
    step: int = 0
    progress: float = 0.0  # 0 to 1
    seconds: float = 0.0  # of training so far
    remaining: float = 0.0  # seconds
    ahead: int = 0  # fits that have their turn earlier
    message: str = ""  # the error, in one line
    curves: list[dict[str, Any]] = field(default_factory=list, repr=False)  # step, seconds and terms; every n-th step
    quick_metrics: list[dict[str, Any]] = field(default_factory=list, repr=False)  # step and metrics of one sample

    @property
    def working(self) -> bool:
        return self.state in WORKING


def environment() -> dict[str, str]:
    """Environment variables with which `COMMAND` finds this package, installed or not."""
    paths = [str(_PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def start(run: Run, options: FitOptions | Sequence[str] = ()) -> None:
    """Train a run in a background process, from where it stands. The process waits for its turn and outlives this one.

    options: steps or minutes in total (instead of the run's own), device, no_card. Raises TexsynError (exit 2) if the
    run is being trained already, or for options that do not go with `resume`.
    """
    options = replace(as_options(options), resume=run.path.resolve(), wait=True, json=False, quiet=True)
    with locked(run.path / ".start"):  # of two callers at once, one is refused
        if status(run).working:
            raise TexsynError(f"{run.path.name} is being trained already", Exit.USAGE)
        lower_priority = ["nice", "-n", "5"] if shutil.which("nice") else []  # than programs that a person waits for
        with (run.path / _LOG).open("w") as log:
            child = subprocess.Popen(
                [*lower_priority, *COMMAND, "fit", *options.to_args()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment(),
            )
        threading.Thread(target=child.wait, daemon=True).start()  # reaps the child when it ends
        deadline = time.monotonic() + _START_PATIENCE
        while ticket_of(run) is None and not _last_error(run) and time.monotonic() < deadline:
            time.sleep(0.02)  # until the process holds its ticket, so that its status is queued from now on


def stop(run: Run, patience: float = 30.0) -> None:
    """Ask a run's process to store what it has trained and end; wait for it, at most `patience` seconds."""
    ticket = ticket_of(run)
    if ticket is None:
        return
    os.kill(pid_of(ticket), signal.SIGTERM)
    deadline = time.monotonic() + patience
    while ticket_of(run) is not None and time.monotonic() < deadline:
        time.sleep(0.05)


def status(run: Run) -> Status:
    """Where a run stands."""
    events = run.events()
    state, ahead = _state(run, events)
    message = _last_error(run) if state in ("new", "interrupted", "diverged", "failed") else ""
    if state == "new" and message:
        state = "failed"
    steps = [event for event in events if event.get("event") == "step"]
    timed = [event for event in events if "seconds" in event]  # steps and ends
    last_step, last = steps[-1] if steps else {}, timed[-1] if timed else {}
    return Status(
        state,
        step=int(last.get("step", 0)),
        progress=float(last_step.get("progress", 0)),
        seconds=float(last.get("seconds", 0)),
        remaining=float(last_step.get("remaining", 0)),
        ahead=ahead,
        message=message,
        curves=steps[:: max(1, len(steps) // _CURVE_POINTS)],
        quick_metrics=[event for event in events if event.get("event") == "quick_metrics"],
    )


def _state(run: Run, events: Sequence[dict[str, Any]]) -> tuple[str, int]:
    """A run's state, and how many fits have their turn earlier."""
    marks = [str(event["event"]) for event in events if event.get("event") in ("start", *_ENDS)]
    ended = bool(marks) and marks[-1] != "start"
    ticket = ticket_of(run)
    if ticket is not None:
        ahead = fits_ahead(ticket)
        # A fit that has ended is scored before its process gives its turn away.
        waiting = ahead or not (ended or is_locked(run.lock))
        return ("queued", ahead) if waiting else ("running", 0)
    if is_locked(run.lock):  # trained from the command line, without a ticket
        return "running", 0
    if ended:
        return marks[-1], 0
    return ("interrupted" if marks else "new"), 0


def _last_error(run: Run) -> str:
    """The last error in the log of a run's process."""
    try:
        lines = (run.path / _LOG).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line for line in lines if line.startswith("texsyn: ") and not line.startswith(_NO_ERRORS)]
    return errors[-1].removeprefix("texsyn: ") if errors else ""
