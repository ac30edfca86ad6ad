"""A fit as a process of its own: whoever looks on reads its folder, and nothing is lost with the viewer.

Fits that share a device take turns. Each waits with a ticket, a file that it holds a lock on for as long as it lives;
the oldest ticket that is held has its turn. Locks end with their process however it ends, so nothing needs tidying, and
a process identifier that is used anew is never mistaken for a fit.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import is_locked, locked
from texsyn.jobs.queue import is_held, pid_of, ticket_of, waiting_tickets
from texsyn.runs.run import Run

_LOG = "log.txt"
WORKING = ("queued", "running")
_NO_ERROR = ("texsyn: warning", "texsyn: terminated", "texsyn: interrupted")  # of what a fit may say last
COMMAND = (sys.executable, "-P", "-m", "texsyn")  # -P: nothing is imported from the folder that somebody works in


@dataclass(frozen=True)
class Status:
    """Where a run stands, as its folder says."""

    state: str  # new, queued, running, finished, stopped, interrupted, diverged or failed
    step: int = 0
    progress: float = 0.0  # 0 to 1
    seconds: float = 0.0  # of learning so far
    remaining: float = 0.0  # seconds
    ahead: int = 0  # fits that have their turn before it
    message: str = ""  # what went wrong, in one line
    curves: list[dict[str, Any]] = field(default_factory=list, repr=False)  # step, seconds and terms, thinned
    glances: list[dict[str, Any]] = field(default_factory=list, repr=False)  # step and a few measures of a sample

    @property
    def working(self) -> bool:
        return self.state in WORKING


def environment() -> dict[str, str]:
    """In which `COMMAND` finds this package, installed or not."""
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def start(run: Run, minutes: float | None = None, device: str = "auto") -> None:
    """Let a process of its own learn a run, from where it stands. It waits for its turn, and outlives this process.

    minutes: a budget of time in all, instead of the run's own. Raises TexsynError (exit 2) when one is at it already.
    """
    with locked(run.path / ".start"):  # of two that ask at once, one is refused
        if status(run).working:
            raise TexsynError(f"{run.path.name} is being learnt already", Exit.USAGE)
        # Behind whatever a person waits for, such as the server's next answer.
        command = ["nice", "-n", "5"] if shutil.which("nice") else []
        command += [*COMMAND, "fit", "--resume", str(run.path.resolve()), "--quiet", "--wait"]
        command += ["--device", device, *([] if minutes is None else ["--minutes", str(minutes)])]
        with (run.path / _LOG).open("w") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment()
            )
        threading.Thread(target=child.wait, daemon=True).start()  # or it would stay behind as a zombie
        deadline = time.monotonic() + 20
        while ticket_of(run) is None and not _last_error(run) and time.monotonic() < deadline:
            time.sleep(0.02)  # until it holds its ticket, so that it is seen as queued from now on


def stop(run: Run, patience: float = 30.0) -> None:
    """Ask a run's process to end and to keep what is learnt; returns when it has, or after `patience` seconds."""
    ticket = ticket_of(run)
    if ticket is None:
        return
    os.kill(pid_of(ticket), signal.SIGTERM)
    deadline = time.monotonic() + patience
    while is_held(ticket) and time.monotonic() < deadline:
        time.sleep(0.05)


def status(run: Run) -> Status:
    """Where a run stands."""
    events = run.events()
    steps = [event for event in events if event.get("event") == "step"]
    ends = [event for event in events if event.get("event") in ("finished", "stopped", "diverged", "failed")]
    last = steps[-1] if steps else {}
    timed = [event for event in events if "seconds" in event]  # steps and ends
    newest = timed[-1] if timed else {}
    known: dict[str, Any] = {
        "step": int(newest.get("step", 0)),
        "seconds": float(newest.get("seconds", 0)),
        "progress": float(last.get("progress", 0)),
        "remaining": float(last.get("remaining", 0)),
        "curves": steps[:: max(1, len(steps) // 300)],
        "glances": [event for event in events if event.get("event") == "glance"],
    }
    starts = [index for index, event in enumerate(events) if event.get("event") == "start"]
    ended = bool(ends) and (not starts or events.index(ends[-1]) > starts[-1])
    ticket = ticket_of(run)
    if ticket is not None:
        ahead = [other for other in waiting_tickets() if other.parent == ticket.parent and other.name < ticket.name]
        if ahead or not (ended or is_locked(run.path / ".lock")):  # at its end it is scored
            return Status("queued", ahead=len(ahead), **known)
        return Status("running", **known)
    if is_locked(run.path / ".lock"):  # by a fit on the command line, which takes no ticket
        return Status("running", **known)
    if ended:
        state = str(ends[-1]["event"])
        return Status(state, message=_last_error(run) if state in ("diverged", "failed") else "", **known)
    said = _last_error(run)
    state = "interrupted" if starts else "failed" if said else "new"
    return Status(state, message=said, **known)


def _last_error(run: Run) -> str:
    """The last line that a run's process said, where it said something is wrong."""
    try:
        lines = (run.path / _LOG).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    told = [line for line in lines if line.startswith("texsyn: ") and not line.startswith(_NO_ERROR)]
    return told[-1].removeprefix("texsyn: ") if told else ""
