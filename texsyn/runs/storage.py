"""Tensors and JSON in a folder that is either whole or not there, and readers that trust nothing they find.

A stored folder holds `tensors.safetensors`, `content.json` and, written last, `manifest.json` with the size and SHA-256
of the other two. It is written under another name, flushed, and renamed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import PART, reached, write_synced

_TENSORS, _CONTENT, _MANIFEST = "tensors.safetensors", "content.json", "manifest.json"
_MAX_JSON = 4_000_000  # bytes
_MAX_TENSORS = 4_000_000_000  # bytes
_MAX_HEADER = 10_000_000  # bytes
_DTYPES = {"F32": (torch.float32, 4), "I64": (torch.int64, 8), "F16": (torch.float16, 2), "BF16": (torch.bfloat16, 2)}


def store(folder: Path, tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> None:
    """Write a folder so that a crash leaves the old one, the new one, or none, but never half of one.

    Raises TexsynError (exit 5) when the disk refuses; nothing is left behind then.
    """
    from safetensors.torch import save

    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a process that had this one's number, and was killed
        temporary.mkdir(parents=True)
        reached("begun")
        flat = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        blobs = {_TENSORS: save(flat), _CONTENT: _encode(content)}
        manifest = {name: {"bytes": len(blob), "sha256": _sha256(blob)} for name, blob in blobs.items()}
        for name, blob in (*blobs.items(), (_MANIFEST, _encode(manifest))):
            write_synced(temporary / name, blob)
            reached(name)
        _sync_folder(temporary)
        if folder.exists():
            folder.rename(old)
            reached("aside")
        temporary.rename(folder)
        reached("renamed")
        _sync_folder(folder.parent)
    except OSError as error:
        raise TexsynError(f"{folder.name} cannot be stored: {error.strerror or error}", Exit.DISK) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _put_back(old)


def _put_back(old: Path) -> None:
    """What was moved aside for something that never took its place is moved back; otherwise it goes."""
    place = old.with_name(old.name[1:].rsplit(".", 2)[0])
    if old.exists() and not place.exists():
        with suppress(OSError):  # a disk that refuses that, too: `tidy` finds it later
            old.rename(place)
    else:
        shutil.rmtree(old, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Take away what writers that were killed left half done; for whoever holds the folder's lock."""
    for left in (*folder.glob(".*.part"), *folder.glob(f"{PART}*")):
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
    for left in folder.glob(".*.old"):
        _put_back(left)


def read_content(folder: Path) -> dict[str, Any]:
    """The stored JSON, checked against the manifest. Raises TexsynError (exit 3)."""
    return _decode(_verified(folder, _CONTENT, _MAX_JSON), folder)


def read_tensors(folder: Path, expected: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The stored tensors, checked against the manifest and, before anything is allocated, against `expected`.

    `expected` may hold tensors of the meta device: only names, shapes and types count. Raises TexsynError (exit 3).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    shapes = _header(folder)
    if expected is not None:
        wanted = {name: (tuple(value.shape), value.dtype) for name, value in expected.items()}
        if shapes != wanted:
            odd = sorted(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name))
            raise TexsynError(f"{folder.name}: the stored tensors do not fit the stored networks ({odd[0]})")
    blob = _verified(folder, _TENSORS, _MAX_TENSORS)
    try:
        return load(blob)
    except SafetensorError as error:
        raise TexsynError(f"{folder.name} is damaged: {_TENSORS}: {error}") from error


def names(folder: Path) -> set[str]:
    """Of the stored tensors. Raises TexsynError (exit 3)."""
    return set(_header(folder))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a small file that nothing vouches for. Raises TexsynError (exit 3)."""
    try:
        if path.stat().st_size > _MAX_JSON:
            raise TexsynError(f"{path.name} is larger than {_MAX_JSON / 1e6:.0f} MB: not one of texsyn's")
        return _decode(path.read_bytes(), path)
    except OSError as error:
        raise TexsynError(f"{path.name}: {error.strerror}") from error


def _encode(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def _decode(blob: bytes, where: Path) -> dict[str, Any]:
    try:
        found = json.loads(blob)
    except (ValueError, RecursionError) as error:
        raise TexsynError(f"{where.name} is damaged: it is not JSON") from error
    if not isinstance(found, dict):
        raise TexsynError(f"{where.name} is damaged: it holds no JSON object")
    return found


def _sha256(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def _verified(folder: Path, name: str, limit: int) -> bytes:
    try:
        manifest = read_json(folder / _MANIFEST)
    except TexsynError as error:
        raise TexsynError(f"{folder.name} is damaged: {error}") from error
    entry = manifest.get(name)
    if not isinstance(entry, dict) or not isinstance(entry.get("bytes"), int):
        raise TexsynError(f"{folder.name} is damaged: its manifest does not name {name}")
    path = folder / name
    try:
        size = path.stat().st_size
        if size != entry["bytes"] or size > limit:
            raise TexsynError(f"{folder.name} is damaged: {name} has {size} bytes instead of {entry['bytes']}")
        blob = path.read_bytes()
    except OSError as error:
        raise TexsynError(f"{folder.name} is damaged: {name}: {error.strerror}") from error
    if _sha256(blob) != entry.get("sha256"):
        raise TexsynError(f"{folder.name} is damaged: {name} does not match its manifest")
    return blob


def _header(folder: Path) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Names, shapes and types in a safetensors file, from its header alone."""
    path = folder / _TENSORS
    damaged = TexsynError(f"{folder.name} is damaged: {_TENSORS} has no valid header")
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER:
                raise damaged
            entries = json.loads(file.read(length))
    except OSError as error:
        raise TexsynError(f"{folder.name} is damaged: {_TENSORS}: {error.strerror}") from error
    except (struct.error, ValueError, RecursionError) as error:
        raise damaged from error
    if not isinstance(entries, dict):
        raise damaged
    entries.pop("__metadata__", None)
    shapes, total = {}, 0
    for name, entry in entries.items():
        try:
            dtype, width = _DTYPES[entry["dtype"]]
            shape = tuple(entry["shape"])
            if not all(isinstance(size, int) and 0 <= size < 2**32 for size in shape):
                raise damaged
        except (KeyError, TypeError) as error:
            raise damaged from error
        total += math.prod(shape) * width
        shapes[name] = (shape, dtype)
    if total > path.stat().st_size:
        raise damaged
    return shapes


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
