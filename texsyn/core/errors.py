"""The exception for errors that users can correct, and the exit codes that go with it."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line; `TexsynError.exit` in Python."""

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
    """An error that the user can correct. Its message is one line; every other exception is a bug."""

    def __init__(self, message: str, exit: Exit = Exit.BAD_INPUT) -> None:
        super().__init__(" ".join(message.split()))
        self.exit = exit
