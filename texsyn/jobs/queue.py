"""Fits that share a device take turns.

Each waiting fit holds a lock on a ticket, a file named by time and process identifier. The fit with the oldest ticket
that is still locked has its turn. The system releases the lock when the process ends, however it ends, so a dead fit's
ticket is recognised even if its process identifier is in use again. Whoever gives a waiting fit another place in the
queue renames its ticket, so a process finds its own by its identifier.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import is_locked, locked

if TYPE_CHECKING:
    from texsyn.runs.run import Run

_POLL = 0.3  # seconds between two checks of the queue


@contextmanager
def turn(run: Run, device: str, say: Callable[[str], None]) -> Iterator[None]:
    """Wait until all fits that queued earlier for this device have ended; the block is this fit's turn.

    say: called once with a message if there is a wait. Raises TexsynError (exit 5) if the queue cannot be used.
    """
    folder = _queue_dir() / device.replace(":", "-")
    folder.mkdir(mode=0o700, exist_ok=True)
    ticket = _ticket(folder, time.time_ns(), os.getpid())
    unready = ticket.with_name(f".{ticket.name}")
    with locked(unready):
        unready.write_text(str(run.path.resolve()))
        unready.rename(ticket)  # the ticket is locked from the moment other processes can see it
        try:
            if _is_blocked(folder):
                say("waiting for another fit on this device")
            while _is_blocked(folder):
                time.sleep(_POLL)
            yield
        finally:
            for own in _own_tickets(folder):
                own.unlink(missing_ok=True)


def fits_ahead(ticket: Path) -> int:
    """How many fits have their turn on the same device before this ticket's."""
    return sum(other.name < ticket.name for other in waiting_tickets() if other.parent == ticket.parent)


def waiting_tickets() -> list[Path]:
    """The tickets of all living fits on all devices, the oldest of each device first."""
    return [path for folder in sorted(_queue_dir().iterdir()) for path in _tickets(folder) if is_held(path)]


def queued() -> list[Path]:
    """The folders of all runs that are trained in their turn or wait for it, of each device in the order of turns."""
    folders = []
    for ticket in waiting_tickets():
        with suppress(OSError):  # ended meanwhile
            folders.append(Path(ticket.read_text()))
    return folders


def advance(run: Run) -> None:
    """Give a waiting run the next turn on its device, before all others that wait."""
    ticket = ticket_of(run)
    if ticket is None:
        return
    first, *rest = (each for each in waiting_tickets() if each.parent == ticket.parent)
    waiting = [each for each in rest if each != ticket]
    if ticket != first and waiting and waiting[0].name < ticket.name:
        moment = (_time_of(first) + _time_of(waiting[0])) // 2
        with suppress(FileNotFoundError):  # ended meanwhile
            ticket.rename(_ticket(ticket.parent, moment, pid_of(ticket)))


def ticket_of(run: Run) -> Path | None:
    """The ticket of the process that trains a run, or waits to; None if there is none."""
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


def _time_of(ticket: Path) -> int:
    return int(ticket.name.partition("-")[0])


def _ticket(folder: Path, moment: int, pid: int) -> Path:
    return folder / f"{moment:020d}-{pid}"


def is_held(ticket: Path) -> bool:
    """Whether the fit that took a ticket is alive; a dead fit's ticket is deleted."""
    if is_locked(ticket):
        return True
    ticket.unlink(missing_ok=True)
    return False


def _is_blocked(folder: Path) -> bool:
    """Whether another fit on this process's device has its turn earlier."""
    own = _own_tickets(folder) or _own_tickets(folder)  # a listing may miss it in the moment in which it is renamed
    return bool(own) and any(is_held(other) for other in _tickets(folder) if other.name < own[0].name)


def _own_tickets(folder: Path) -> list[Path]:
    return [ticket for ticket in _tickets(folder) if pid_of(ticket) == os.getpid()]


def _queue_dir() -> Path:
    """The folder of this user's tickets. Raises TexsynError (exit 5) if the folder belongs to another user."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"texsyn-{user}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    facts = folder.lstat()  # of the folder itself: another user may have left a link in its place
    if not stat.S_ISDIR(facts.st_mode) or (hasattr(os, "getuid") and facts.st_uid != user):
        raise TexsynError(f"{folder} is not a folder of this user", Exit.DISK)
    return folder


def _tickets(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.replace("-", "").isdigit())
