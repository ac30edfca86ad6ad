"""Files and locks: written whole or not at all, refused where they would be lost."""

from __future__ import annotations

import hashlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from texsyn.core.errors import Exit, TexsynError, reason, short


def existing(path: Path) -> Path:
    try:
        path.stat()
    except (OSError, ValueError) as error:  # a name that no file can have is a ValueError
        said = "no such file or folder" if isinstance(error, FileNotFoundError) else reason(error)
        raise TexsynError(f"{short(path.name)}: {said}") from error
    return path


def digest(files: Sequence[Path]) -> str:
    """SHA-256 of the bytes of files, and of the files in folders, in turn."""
    sha = hashlib.sha256()
    for file in files:
        for part in sorted(file.iterdir()) if file.is_dir() else [file]:
            if part.is_file():
                sha.update(part.read_bytes())
    return sha.hexdigest()


try:
    import fcntl
except ImportError:  # not on Windows, where nothing guards a run against a second process
    fcntl = None  # type: ignore[assignment]

PART = ".texsyn-"  # how the names of files begin that `writing` has not finished
_TRIES = 10  # to take a lock


def replace_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all. Raises TexsynError (exit 5) when the disk refuses."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write_synced(temporary, text.encode())
        temporary.replace(path)
    except OSError as error:
        raise TexsynError(f"{path.name} cannot be written: {error.strerror or error}", Exit.DISK) from error
    finally:
        temporary.unlink(missing_ok=True)


def reached(point: str) -> None:
    """Where a test may have this process killed: TEXSYN_KILL_AT names a point of writing. Otherwise nothing."""
    if os.environ.get("TEXSYN_KILL_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file for as long as the block runs, or the process lives.

    Raises TexsynError: exit 2 when it is taken, exit 5 on a file system that has no locks.
    """
    with path.open("a") as file:
        for _ in range(_TRIES):
            try:
                if _take(file):
                    break
            except OSError as error:
                raise TexsynError(f"{path.parent.name} cannot be locked: {error.strerror}", Exit.DISK) from error
            time.sleep(0.05)  # it may only be somebody who looks whether it is taken
        else:
            raise TexsynError(f"{path.parent.name} is in use by another process", Exit.USAGE)
        yield


def is_locked(path: Path) -> bool:
    """Whether some process holds a lock file; False where there is none, or nobody can."""
    try:
        with path.open("r") as file:
            return not _take(file, shared=True)  # on a network's file system who only reads cannot take it alone
    except OSError:
        return False


def _take(file: IO[str], shared: bool = False) -> bool:
    """Lock an open file, for as long as it is open; False when it is taken. Raises OSError where there are no locks."""
    if fcntl is not None:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def write_synced(path: Path, blob: bytes) -> None:
    with path.open("wb") as file:
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name in the same folder to write to, which takes the place of `path` when all went well."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=PART, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            reached("written")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise TexsynError(f"{short(path.name)} cannot be written: {error.strerror or error}", Exit.DISK) from error


def refuse_overwrite(path: Path, force: bool) -> None:
    """Raise TexsynError (exit 2) when `path` exists, unless `force`."""
    if path.exists() and not force and not (path.is_dir() and not any(path.iterdir())):
        raise TexsynError(f"{short(str(path))} exists already: --force overwrites it", Exit.USAGE)
