"""Fits that share a device take turns: each waits with a ticket, the oldest ticket that is held has its turn."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import is_locked, locked
from texsyn.runs.run import Run

_POLL = 0.3  # seconds between two looks at whose turn it is


# ------------------------------------------------------------ taking turns


@contextmanager
def turn(run: Run, device: str, say: Callable[[str], None]) -> Iterator[None]:
    """Wait until no fit that asked earlier is at work on this device; the block is this fit's turn."""
    folder = _queue_dir() / device.replace(":", "-")
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{time.time_ns():020d}-{os.getpid()}"
    unready = path.with_name(f".{path.name}")
    with locked(unready):
        unready.write_text(str(run.path.resolve()))
        unready.rename(path)  # held from the first moment that anybody sees it
        try:
            said = False
            while any(is_held(other) for other in _tickets(folder) if other.name < path.name):
                if not said:
                    say("waiting for another fit on this device")
                    said = True
                time.sleep(_POLL)
            yield
        finally:
            path.unlink(missing_ok=True)


def _queue_dir() -> Path:
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


def waiting_tickets() -> list[Path]:
    """The tickets of every device whose fits are alive, the oldest first."""
    return [path for folder in sorted(_queue_dir().iterdir()) for path in _tickets(folder) if is_held(path)]


def is_held(ticket: Path) -> bool:
    """Whether the fit that took a ticket is alive; a dead one's ticket is thrown away."""
    if is_locked(ticket):
        return True
    ticket.unlink(missing_ok=True)
    return False


def ticket_of(run: Run) -> Path | None:
    wanted = str(run.path.resolve())
    for ticket in waiting_tickets():
        try:
            if ticket.read_text() == wanted:
                return ticket
        except OSError:
            continue
    return None


def pid_of(ticket: Path) -> int:
    return int(ticket.name.rpartition("-")[2])
