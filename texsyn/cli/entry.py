"""The `texsyn` command: parses arguments, runs one command, and turns errors into exit codes.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from texsyn.cli import app, arguments, batch, edit, evaluate, fit, generate, sharing
from texsyn.core.errors import Exit, TexsynError
from texsyn.core.performance import tune
from texsyn.core.text import short
from texsyn.core.version import __version__

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_MEMORY_ERRORS = ("out of memory", "can't allocate memory")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    own = words[:1] if words[:1] == ["app"] else words  # the app parses its options itself
    options = _parser().parse_args(own)
    options.rest = words[len(own) :]
    tune()
    try:
        with nullcontext() if getattr(options, "dies_at_once", False) else _raise_at_sigterm():
            return int(options.command(options))
    except TexsynError as error:
        return _fail(str(error), error.exit)
    except MemoryError:
        return _fail("not enough memory", Exit.OUT_OF_MEMORY)
    except RuntimeError as error:  # torch's error on the CPU, and the base class of its error on a GPU
        if not any(words in str(error) for words in _MEMORY_ERRORS):
            raise
        return _fail("not enough memory", Exit.OUT_OF_MEMORY)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
    except OSError as error:  # that no command turned into a TexsynError
        name = short(Path(str(error.filename or "")).name)
        message = f"{name + ': ' if name else ''}{error.strerror or error}"
        return _fail(message, Exit.DISK if error.errno in _DISK_ERRORS else Exit.BAD_INPUT)
    except _Terminated:
        return _fail("terminated", Exit.TERMINATED)
    except KeyboardInterrupt:
        return _fail("interrupted", Exit.INTERRUPTED)


def _fail(message: str, exit: Exit) -> int:
    print(f"texsyn: {message}", file=sys.stderr)
    return int(exit)


class _Terminated(KeyboardInterrupt):
    """SIGTERM; it unwinds the stack as Ctrl-C does, so that temporary files are removed."""


@contextmanager
def _raise_at_sigterm() -> Iterator[None]:
    def end(number: int, frame: types.FrameType | None) -> None:
        raise _Terminated

    if not arguments.may_set_signals():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "texsyn",
        description="Make new textures, still and moving, from one exemplar.",
        epilog=arguments.EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"texsyn {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (fit, batch, generate, edit, evaluate, sharing, app):
        module.add(commands)
    return parser
