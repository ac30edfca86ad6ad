"""events.jsonl: one JSON object a line, appended as a run is trained."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from texsyn.runs import serialization

Event = dict[str, Any]


def append(path: Path, warn: Callable[[str], None], **content: Any) -> None:
    """Add an event, with the time, to a file. A disk that refuses costs a warning."""
    try:
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, 2)
                file.write(b"" if file.read(1) == b"\n" else b"\n")  # a process that was killed left half a line
            file.write(json.dumps({"time": round(time.time(), 2), **content}).encode() + b"\n")
    except OSError as error:
        warn(f"{path.name} cannot be written: {error.strerror}")


def read(path: Path, format: int) -> tuple[Event, ...]:
    """The events of a run of that format, in today's names; lines that are not JSON objects are left out."""
    try:
        facts = path.stat()
    except OSError:
        return ()
    return _read(path, format, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, format: int, size: int, changed: int) -> tuple[Event, ...]:
    """The same, read once while size and time of change stay: many viewers may ask for one run."""
    lines = (_object(line) for line in path.read_text(errors="replace").splitlines())
    return tuple(serialization.upgrade_event(line, format) for line in lines if line is not None)


def _object(line: str) -> Event | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
