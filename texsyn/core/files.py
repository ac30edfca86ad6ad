"""Files: only regular ones are read, they are written whole or not at all, and lock files guard what is in use."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.text import reason, short

try:
    import fcntl
except ImportError:  # not on Windows, where nothing guards a run against a second process
    fcntl = None  # type: ignore[assignment]

PART = ".texsyn-"  # prefix of files that are not finished
_BLOCK = 1 << 20  # bytes hashed at once
_LOCK_TRIES = 10
_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


# ------------------------------------------------------------ reading


def existing(path: Path) -> Path:
    """Return `path` if it is a regular file or a folder, or a link to one.

    Raises TexsynError (exit 3) for anything else: reading a named pipe or a device could wait for ever.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # a name that no file can have is a ValueError
        why = "no such file or folder" if isinstance(error, FileNotFoundError) else reason(error)
        raise TexsynError(f"{short(path.name)}: {why}") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = _SPECIAL.get(stat.S_IFMT(mode), "special")
        raise TexsynError(f"{short(path.name)} is {kind}: only regular files and folders are read")
    return path


def digest(files: Sequence[Path]) -> str:
    """SHA-256 of the bytes of files, and of the regular files in folders, in turn.

    Raises TexsynError (exit 3) as `existing` does.
    """
    sha = hashlib.sha256()
    for file in files:
        for part in sorted(file.iterdir()) if existing(file).is_dir() else [file]:
            if part.is_file():
                with part.open("rb") as opened:
                    while block := opened.read(_BLOCK):
                        sha.update(block)
    return sha.hexdigest()


# ------------------------------------------------------------ writing


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new, empty file beside `path` that takes its place if the block raises nothing, and is removed otherwise.

    Makes the folder if needed. Raises TexsynError (exit 5) when the disk refuses.
    """
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _replacement(path) as temporary:
        yield temporary
        reached("written")


def replace_text(path: Path, text: str) -> None:
    """Write a small file into an existing folder, whole or not at all, even if the machine crashes.

    Raises TexsynError (exit 5) when the disk refuses.
    """
    with _replacement(path) as temporary:
        write_synced(temporary, text.encode())


def write_synced(path: Path, blob: bytes) -> None:
    """Write a file and wait until the disk has its bytes."""
    with path.open("wb") as file:
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def refuse_overwrite(path: Path, force: bool) -> None:
    """Raise TexsynError (exit 2) when `path` exists, unless `force`."""
    if path.exists() and not force and not (path.is_dir() and not any(path.iterdir())):
        raise TexsynError(f"{short(str(path))} exists already: --force overwrites it", Exit.USAGE)


def reached(point: str) -> None:
    """Kill this process at a named point of writing if a test asks for it by TEXSYN_KILL_AT; otherwise do nothing."""
    if os.environ.get("TEXSYN_KILL_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def _replacement(path: Path) -> Iterator[Path]:
    """The one way in which a file is replaced: under a temporary name in the same folder, then renamed."""
    temporary = path.with_name(f"{PART}{secrets.token_hex(8)}{path.suffix}")
    with _disk_errors(path):
        try:
            temporary.touch(exist_ok=False)
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TexsynError(f"{short(path.name)} cannot be written: {reason(error)}", Exit.DISK) from error


# ------------------------------------------------------------ locks


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file while the block runs, or until the process ends.

    Raises TexsynError: exit 2 when another process holds it, exit 5 on a file system without locks.
    """
    with path.open("a") as file:
        for _ in range(_LOCK_TRIES):
            try:
                if _take(file):
                    break
            except OSError as error:
                raise TexsynError(f"{path.parent.name} cannot be locked: {error.strerror}", Exit.DISK) from error
            time.sleep(0.05)  # `is_locked` of another process may hold it for a moment
        else:
            raise TexsynError(f"{path.parent.name} is in use by another process", Exit.USAGE)
        yield


def is_locked(path: Path) -> bool:
    """Whether some process holds a lock file; False where the file or the file system's locks are missing."""
    try:
        with path.open("r") as file:
            return not _take(file, shared=True)  # network file systems refuse an exclusive lock to readers
    except OSError:
        return False


def _take(file: IO[str], shared: bool = False) -> bool:
    """Lock a file until it is closed; False when another process holds it. Raises OSError where there are no locks."""
    if fcntl is not None:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
