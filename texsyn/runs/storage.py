"""Tensors and JSON in a folder that is whole or absent, and readers that trust nothing in it.

A stored folder holds `tensors.safetensors`, `content.json` and, written last, `manifest.json` with the size and SHA-256
of the other two. It is written under a temporary name, flushed to disk, and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import PART, existing, reached, replace_text, sync_folder, write_synced
from texsyn.core.text import short

_TENSORS, _CONTENT, _MANIFEST = "tensors.safetensors", "content.json", "manifest.json"
_MAX_JSON = 4_000_000  # bytes
_MAX_TENSORS = 4_000_000_000  # bytes
_MAX_COUNT = 20_000  # tensors in a file
_MAX_RANK, _MAX_LENGTH = 16, 2**32  # of a tensor, and of each of its axes
_DTYPES = {
    "F32": torch.float32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I8": torch.int8,
    "U8": torch.uint8,
}
_Shape = tuple[tuple[int, ...], torch.dtype]  # and type


def store(folder: Path, tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> None:
    """Write a folder so that a crash leaves the old one, the new one, or none, but never half of one.

    Raises TexsynError (exit 5) when the disk refuses; nothing is left behind then.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process that had the same number
        _write(temporary, tensors, content)
        _replace(folder, temporary, old)
    except OSError as error:
        raise TexsynError(f"{folder.name} cannot be stored: {error.strerror or error}", Exit.DISK) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _put_back(old)


def _write(folder: Path, tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> None:
    from safetensors.torch import save

    folder.mkdir(parents=True)
    reached("begun")
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    blobs = {_TENSORS: save(contiguous), _CONTENT: _encode(content)}
    manifest = {name: {"bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()} for name, blob in blobs.items()}
    for name, blob in (*blobs.items(), (_MANIFEST, _encode(manifest))):
        write_synced(folder / name, blob)
        reached(name)
    sync_folder(folder)


def _replace(folder: Path, temporary: Path, old: Path) -> None:
    if folder.exists():
        folder.rename(old)
        reached("aside")
    temporary.rename(folder)
    reached("renamed")
    sync_folder(folder.parent)


def _put_back(old: Path) -> None:
    """Restore a folder that was moved aside and never replaced; delete it if it was replaced."""
    folder = old.with_name(old.name[1:].rsplit(".", 2)[0])
    if old.exists() and not folder.exists():
        with suppress(OSError):  # `tidy` tries again later
            old.rename(folder)
    else:
        shutil.rmtree(old, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Delete what killed processes left half written in a folder. The caller holds the run's lock."""
    for path in (*folder.glob(".*.part"), *folder.glob(f"{PART}*")):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    for path in folder.glob(".*.old"):
        _put_back(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a small file that has no manifest. Raises TexsynError (exit 3)."""
    try:
        if existing(path).stat().st_size > _MAX_JSON:
            raise TexsynError(f"{path.name} is larger than {_MAX_JSON / 1e6:.0f} MB: texsyn did not write it")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise TexsynError(f"{path.name}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise TexsynError(f"{path.name} is damaged: it is not JSON") from error
    if not isinstance(found, dict):
        raise TexsynError(f"{path.name} is damaged: it holds no JSON object")
    return found


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a small JSON file whole or not at all. Raises TexsynError (exit 5) when the disk refuses."""
    replace_text(path, json.dumps(content, indent=2) + "\n")


def read_content(folder: Path) -> dict[str, Any]:
    """The stored JSON, checked against the manifest. Raises TexsynError (exit 3)."""
    _verify(folder, _CONTENT, _MAX_JSON)
    return read_json(folder / _CONTENT)


def read_tensors(
    folder: Path, expected: Mapping[str, Tensor] | None = None, partial: bool = False
) -> dict[str, Tensor]:
    """The stored tensors, checked against the manifest and, before memory is allocated, against `expected`.

    expected: the names, shapes and types that must be stored; its tensors may be on the meta device.
    partial: the folder may hold other tensors too; they are not read.
    Raises TexsynError (exit 3).
    """
    with _opened(folder) as file:
        names = set(file.keys()) & expected.keys() if partial and expected is not None else set(file.keys())
        if len(names) > _MAX_COUNT:
            raise TexsynError(f"{folder.name} is damaged: {_TENSORS} holds {len(names)} tensors")
        shapes = {name: _shape(file, name, folder) for name in names}
        if expected is not None:
            _compare(shapes, {name: (tuple(value.shape), value.dtype) for name, value in expected.items()}, folder)
        _verify(folder, _TENSORS, _MAX_TENSORS)
        return {name: file.get_tensor(name).clone() for name in names}


def names(folder: Path) -> set[str]:
    """The names of the stored tensors, which nothing has verified yet. Raises TexsynError (exit 3)."""
    with _opened(folder) as file:
        return set(file.keys())


def _compare(stored: Mapping[str, _Shape], expected: Mapping[str, _Shape], folder: Path) -> None:
    """Raise TexsynError (exit 3) where names, shapes or types differ."""
    if stored != expected:
        odd = min(name for name in stored.keys() | expected.keys() if stored.get(name) != expected.get(name))
        raise TexsynError(f"{folder.name}: the stored tensors do not fit the stored networks ({short(odd)})")


@contextmanager
def _opened(folder: Path) -> Iterator[Any]:
    """The tensor file, of which only the header has been read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / _TENSORS, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise TexsynError(f"{folder.name} is damaged: {_TENSORS} has no valid header") from error
    except OSError as error:
        raise TexsynError(f"{folder.name} is damaged: {_TENSORS} cannot be read") from error


def _shape(file: Any, name: str, folder: Path) -> _Shape:
    """Shape and type of a stored tensor, from the header alone."""
    header = file.get_slice(name)
    shape, dtype = tuple(header.get_shape()), _DTYPES.get(header.get_dtype())
    if dtype is None or len(shape) > _MAX_RANK or max(shape, default=0) >= _MAX_LENGTH:
        raise TexsynError(f"{folder.name} is damaged: {_TENSORS} has no valid header")
    return shape, dtype


def _verify(folder: Path, name: str, limit: int) -> None:
    """Compare a file's size and hash with the manifest. Raises TexsynError (exit 3) where they differ."""
    try:
        entry = read_json(folder / _MANIFEST).get(name)
    except TexsynError as error:
        raise TexsynError(f"{folder.name} is damaged: {error}") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("bytes"), int):
        raise TexsynError(f"{folder.name} is damaged: its manifest does not name {name}")
    try:
        with (folder / name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry["bytes"] or size > limit:
                raise TexsynError(f"{folder.name} is damaged: {name} has {size} bytes instead of {entry['bytes']}")
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TexsynError(f"{folder.name} is damaged: {name}: {error.strerror}") from error
    if found != entry.get("sha256"):
        raise TexsynError(f"{folder.name} is damaged: {name} does not match its manifest")


def _encode(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
