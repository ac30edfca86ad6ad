"""The `texsyn` command: parse, run one command, and turn what went wrong into an exit code.

Results go to stdout, everything else to stderr. Only the standard library is imported here: commands import what they
need, so that `texsyn --help` is quick.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from texsyn.cli import arguments, batch, edit, evaluate, fit, generate
from texsyn.core.errors import Exit, TexsynError, short
from texsyn.core.performance import tune
from texsyn.core.version import __version__

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(argv)
    tune()
    try:
        with nullcontext() if getattr(options, "dies_at_once", False) else _terminated():
            return int(options.command(options))
    except TexsynError as error:
        print(f"texsyn: {error}", file=sys.stderr)
        return int(error.exit)
    except MemoryError:
        print("texsyn: not enough memory", file=sys.stderr)
        return int(Exit.OUT_OF_MEMORY)
    except RuntimeError as error:  # what torch raises on the CPU, and as OutOfMemoryError on a GPU
        if not any(words in str(error) for words in ("out of memory", "can't allocate memory")):
            raise
        print("texsyn: not enough memory", file=sys.stderr)
        return int(Exit.OUT_OF_MEMORY)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
    except OSError as error:  # what no command had its own words for
        name = short(Path(str(error.filename or "")).name)
        print(f"texsyn: {name + ': ' if name else ''}{error.strerror or error}", file=sys.stderr)
        return int(Exit.DISK if error.errno in _FULL else Exit.BAD_INPUT)
    except _Terminated:
        print("texsyn: terminated", file=sys.stderr)
        return int(Exit.TERMINATED)
    except KeyboardInterrupt:
        print("texsyn: interrupted", file=sys.stderr)
        return int(Exit.INTERRUPTED)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which undoes what is half done as Ctrl-C does."""


@contextmanager
def _terminated() -> Iterator[None]:
    def end(number: int, frame: types.FrameType | None) -> None:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():  # which alone may watch for signals
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "texsyn", description="New textures, still and moving, from one exemplar.", epilog=arguments.EXIT_CODES
    )
    parser.add_argument("--version", action="version", version=f"texsyn {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (fit, batch, generate, edit, evaluate):
        module.add(commands)
    return parser
