"""The one exception meant for people, and the exit codes that go with it."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line; Python users see them as `TexsynError.exit`."""

    OK = 0
    BUG = 1
    USAGE = 2
    BAD_INPUT = 3
    OUT_OF_MEMORY = 4
    DISK = 5
    DIVERGED = 6
    INTERRUPTED = 130
    TERMINATED = 143


class TexsynError(Exception):
    """Something the user can mend, said in one line in the user's words and numbers."""

    def __init__(self, message: str, exit: Exit = Exit.BAD_INPUT) -> None:
        super().__init__(" ".join(message.split()))
        self.exit = exit


def short(name: str) -> str:
    """A name as a message may show it: printable, at most 80 characters."""
    printable = "".join(c if c.isprintable() else "?" for c in name)
    return printable if len(printable) <= 80 else printable[:77] + "..."


def reason(error: Exception) -> str:
    """The first line of what a decoder or the system said."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return short(str(error).splitlines()[0] if str(error) else type(error).__name__)
