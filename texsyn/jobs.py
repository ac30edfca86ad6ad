"""A fit as a process of its own: whoever looks on reads its folder, and nothing is lost with the viewer.

Fits that share a device take turns. Each waits with a ticket, a file that it holds a lock on for as long as it lives;
the oldest ticket that is held has its turn. Locks end with their process however it ends, so nothing needs tidying, and
a process identifier that is used anew is never mistaken for a fit.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from texsyn import storage
from texsyn.errors import Exit, TexsynError
from texsyn.runs import Run

_POLL = 0.3  # seconds between two looks at whose turn it is
_SECONDS, _MEMORY = 60, 8_000_000_000  # that reading an upload may take, and bytes of address space
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000  # Linux' namespaces
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
    paths = [str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


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


def start(run: Run, minutes: float | None = None, device: str = "auto") -> None:
    """Let a process of its own learn a run, from where it stands. It waits for its turn, and outlives this process.

    minutes: a budget of time in all, instead of the run's own. Raises TexsynError (exit 2) when one is at it already.
    """
    with storage.locked(run.path / ".start"):  # of two that ask at once, one is refused
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
        while _ticket_of(run) is None and not _said(run) and time.monotonic() < deadline:
            time.sleep(0.02)  # until it holds its ticket, so that it is seen as queued from now on


def stop(run: Run, patience: float = 30.0) -> None:
    """Ask a run's process to end and to keep what is learnt; returns when it has, or after `patience` seconds."""
    ticket = _ticket_of(run)
    if ticket is None:
        return
    os.kill(_pid(ticket), signal.SIGTERM)
    deadline = time.monotonic() + patience
    while _held(ticket) and time.monotonic() < deadline:
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
    ticket = _ticket_of(run)
    if ticket is not None:
        ahead = [other for other in _waiting() if other.parent == ticket.parent and other.name < ticket.name]
        if ahead or not (ended or storage.is_locked(run.path / ".lock")):  # at its end it is scored
            return Status("queued", ahead=len(ahead), **known)
        return Status("running", **known)
    if storage.is_locked(run.path / ".lock"):  # by a fit on the command line, which takes no ticket
        return Status("running", **known)
    if ended:
        state = str(ends[-1]["event"])
        return Status(state, message=_said(run) if state in ("diverged", "failed") else "", **known)
    said = _said(run)
    state = "interrupted" if starts else "failed" if said else "new"
    return Status(state, message=said, **known)


def _said(run: Run) -> str:
    """The last line that a run's process said, where it said something is wrong."""
    try:
        lines = (run.path / _LOG).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    told = [line for line in lines if line.startswith("texsyn: ") and not line.startswith(_NO_ERROR)]
    return told[-1].removeprefix("texsyn: ") if told else ""


# ------------------------------------------------------------ taking turns


@contextmanager
def turn(run: Run, device: str, say: Callable[[str], None]) -> Iterator[None]:
    """Wait until no fit that asked earlier is at work on this device; the block is this fit's turn."""
    folder = _office() / device.replace(":", "-")
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{time.time_ns():020d}-{os.getpid()}"
    unready = path.with_name(f".{path.name}")
    with storage.locked(unready):
        unready.write_text(str(run.path.resolve()))
        unready.rename(path)  # held from the first moment that anybody sees it
        try:
            said = False
            while any(_held(other) for other in _tickets(folder) if other.name < path.name):
                if not said:
                    say("waiting for another fit on this device")
                    said = True
                time.sleep(_POLL)
            yield
        finally:
            path.unlink(missing_ok=True)


def _office() -> Path:
    """Where the tickets of this user's fits lie. Raises TexsynError (exit 5) when it is somebody else's."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"texsyn-{user}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()  # not where a link leads that somebody left there
    if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != user):
        raise TexsynError(f"{folder} is not a folder of this user's", Exit.DISK)
    return folder


def _tickets(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.replace("-", "").isdigit())


def _waiting() -> list[Path]:
    """The tickets of every device whose fits are alive, the oldest first."""
    return [path for folder in sorted(_office().iterdir()) for path in _tickets(folder) if _held(path)]


def _held(ticket: Path) -> bool:
    """Whether the fit that took a ticket is alive; a dead one's ticket is thrown away."""
    if storage.is_locked(ticket):
        return True
    ticket.unlink(missing_ok=True)
    return False


def _ticket_of(run: Run) -> Path | None:
    wanted = str(run.path.resolve())
    for ticket in _waiting():
        try:
            if ticket.read_text() == wanted:
                return ticket
        except OSError:
            continue
    return None


def _pid(ticket: Path) -> int:
    return int(ticket.name.rpartition("-")[2])
